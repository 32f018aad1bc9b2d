//! Chromium, driven over W3C WebDriver: `chromedriver` is HTTP and JSON.

use std::{
    cell::RefCell,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::agents::tried;

pub(crate) const UP: &str = "\u{e013}";
pub(crate) const ENTER: &str = "\u{e007}";
/// The key under which WebDriver names elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; it ends with the test.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    origin: RefCell<String>,
    _out: BufReader<ChildStdout>,
    _profile: Profile,
}

/// A directory of its own.
struct Profile(std::path::PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn asked(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, String> {
    let mut answer = answer.map_err(|e| e.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|e| e.to_string())?;
    let mut says: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
    let value = says["value"].take();
    if answer.status().is_success() { Ok(value) } else { Err(value["message"].to_string()) }
}

impl Browser {
    /// `None` without Chromium.
    pub(crate) fn start() -> Option<Self> {
        let driver =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = driver else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "chromium is needed: .ci/run installs it");
            eprintln!("SKIPPED, needs chromium and chromedriver");
            return None;
        };
        let mut out = BufReader::new(driver.stdout.take().expect("piped"));
        let port = loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).expect("text") > 0, "chromedriver says where it is");
            let said =
                line.rsplit_once("on port ").map(|(_, rest)| rest.trim().trim_end_matches('.').to_owned());
            if let Some(port) = said.filter(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
                break port;
            }
        };
        let profile = Profile(std::env::temp_dir().join(format!("gcs-web-{port}-{}", std::process::id())));
        let home = format!("--user-data-dir={}", profile.0.display());
        // The sandbox wants rights that those who test in containers lack; the pages are ours.
        let words = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,800",
            &home,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": words },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let session = asked(post(&format!("http://127.0.0.1:{port}/session"), &wanted));
        let session = session.unwrap_or_else(|e| panic!("chromium does not start: {e}"));
        let session =
            format!("http://127.0.0.1:{port}/session/{}", session["sessionId"].as_str().expect("an id"));
        Some(Self { driver, session, origin: RefCell::default(), _out: out, _profile: profile })
    }

    fn try_do(&self, path: &str, body: &Value) -> Result<Value, String> {
        asked(post(&format!("{}{path}", self.session), body))
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.try_do(path, body).unwrap_or_else(|e| panic!("{path} {body}: {e}"))
    }

    pub(crate) fn open(&self, url: &str) {
        let end = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
        url[..end].clone_into(&mut self.origin.borrow_mut());
        self.command("/url", &json!({ "url": url }));
    }

    pub(crate) fn reload(&self) {
        self.command("/refresh", &json!({}));
    }

    /// Where the page is from.
    pub(crate) fn origin(&self) -> String {
        self.origin.borrow().clone()
    }

    /// What a function with this body returns.
    pub(crate) fn script(&self, body: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Runs the script until what it returns is right.
    pub(crate) fn until(&self, what: &str, script: &str, right: impl Fn(&Value) -> bool) -> Value {
        tried(what, || {
            let value = self.script(script);
            if right(&value) { Ok(value) } else { Err(value.to_string()) }
        })
    }

    pub(crate) fn until_text(&self, selector: &str, right: impl Fn(&str) -> bool) {
        let script = format!("return document.querySelector({})?.textContent", json!(selector));
        self.until(selector, &script, |text| text.as_str().is_some_and(&right));
    }

    fn element(&self, selector: &str) -> Result<String, String> {
        let element = self.try_do("/element", &json!({ "using": "css selector", "value": selector }))?;
        element[ELEMENT].as_str().map(ToOwned::to_owned).ok_or_else(|| element.to_string())
    }

    /// Does something with an element as soon as a person could.
    fn with(&self, selector: &str, what: &str, body: &Value) {
        tried(selector, || self.try_do(&format!("/element/{}/{what}", self.element(selector)?), body));
    }

    pub(crate) fn click(&self, selector: &str) {
        self.with(selector, "click", &json!({}));
    }

    pub(crate) fn keys(&self, selector: &str, keys: &str) {
        self.with(selector, "value", &json!({ "text": keys }));
    }

    /// Writes it in the place of what was there.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        self.with(selector, "clear", &json!({}));
        self.keys(selector, text);
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.command("/se/log", &json!({ "type": kind }));
        log.as_array().cloned().unwrap_or_default()
    }

    /// No error was written but that of the questions that were wrong, and nothing was asked for but of this agent.
    pub(crate) fn nothing_odd_has_happened(&self, api: &str) {
        for entry in self.log("browser") {
            let message = entry["message"].as_str().unwrap_or_default();
            let wrong = ["/v1/query", "/v1/functions"]
                .iter()
                .any(|path| message.starts_with(&format!("http://{api}{path} ")));
            assert!(wrong && message.contains("status of 400"), "{entry}");
        }
        self.no_request_elsewhere(api);
    }

    pub(crate) fn no_request_elsewhere(&self, api: &str) {
        let mut asked = 0;
        for entry in self.log("performance") {
            let message: Value =
                serde_json::from_str(entry["message"].as_str().unwrap_or_default()).expect("JSON");
            let message = &message["message"];
            let (params, own) = (&message["params"], format!("http://{api}/"));
            // The window's own first page is of the browser.
            let of_page = !params["documentURL"].as_str().unwrap_or_default().starts_with("chrome://");
            if message["method"] == "Network.requestWillBeSent" && of_page {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                assert!(url.starts_with(&own), "{url}");
                asked += 1;
            }
        }
        assert!(asked > 10, "the log has the page itself");
    }
}

fn post(url: &str, body: &Value) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    ureq::post(url).config().http_status_as_error(false).build().send_json(body)
}
