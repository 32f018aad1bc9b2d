//! Asks the agent of this machine.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    time::Duration,
};

use clap::Args;
use gcs_monitor::{
    daemon::api::HEADER,
    trust::{Identity, RequestSeal},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;

use crate::keys::now_s;

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_MAX: u64 = 64 << 20;

#[derive(Args, Clone, Copy)]
pub(crate) struct Api {
    /// Where the agent is asked.
    #[arg(long, default_value = "127.0.0.1:4805")]
    api: SocketAddr,
    /// How long an answer may take.
    #[arg(skip = PATIENCE)]
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum Unanswered {
    /// Nobody is there.
    #[error(
        "no agent answers at http://{0}: {1}; start one with `gcs-monitor agent`, or say with --api where it is"
    )]
    NotThere(SocketAddr, String),
    /// It says why not.
    #[error("{message}")]
    Refused {
        /// One sentence.
        message: String,
        /// Whoever asks may not: asking again will not help.
        forbidden: bool,
        /// Where in the text the mistake is, if it is in one: line and column.
        at: Option<(usize, usize)>,
    },
}

impl Unanswered {
    /// With the text that has the mistake, and a mark under it.
    pub(crate) fn under(self, text: &str) -> String {
        let Self::Refused { message, at: Some((line, column)), .. } = &self else { return self.to_string() };
        let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        format!("{message}\n  {shown}\n  {}^", " ".repeat(column.saturating_sub(1)))
    }
}

impl Api {
    /// The agent that is asked there.
    pub(crate) fn at(api: SocketAddr) -> Self {
        Self { api, patience: PATIENCE }
    }

    /// For those who would rather not wait for long.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where it is.
    pub(crate) fn address(self) -> SocketAddr {
        self.api
    }

    fn agent(self) -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        config.timeout_connect(Some(self.patience)).build().into()
    }

    fn with_timeout(self) -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        config.timeout_global(Some(self.patience)).build().into()
    }

    /// Where something of the agent is.
    pub(crate) fn url(self, path: &str) -> String {
        format!("http://{}{path}", self.api)
    }

    fn not_there(self, e: impl ToString) -> Unanswered {
        Unanswered::NotThere(self.api, e.to_string())
    }

    fn answer(
        self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Unanswered> {
        let mut response = response.map_err(|e| self.not_there(e))?;
        let text = response.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
        let text = text.map_err(|e| self.not_there(e))?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if response.status().is_success() {
            return Ok(value);
        }
        let error = &value["error"];
        let at = |of: &Value| of.as_u64().and_then(|n| usize::try_from(n).ok());
        // Where several things were said, the first that was not taken says why.
        let first = value["attributes"].as_object().and_then(|all| all.values().next());
        let error = first.unwrap_or(error);
        let message = error["message"].as_str().or(error.as_str()).unwrap_or(text.trim()).to_owned();
        let forbidden = response.status() == ureq::http::StatusCode::FORBIDDEN;
        Err(Unanswered::Refused { message, forbidden, at: at(&error["line"]).zip(at(&error["column"])) })
    }

    pub(crate) fn get(self, path: &str, query: &[(&str, &str)]) -> Result<Value, Unanswered> {
        let request =
            query.iter().fold(self.agent().get(self.url(path)), |r, (name, value)| r.query(name, value));
        self.answer(request.config().timeout_global(Some(self.patience)).build().call())
    }

    pub(crate) fn post(self, path: &str, body: &Value) -> Result<Value, Unanswered> {
        let request = self.agent().post(self.url(path)).config().timeout_global(Some(self.patience)).build();
        self.answer(request.send_json(body))
    }

    pub(crate) fn put(self, path: &str, body: &Value) -> Result<Value, Unanswered> {
        let request = self.agent().put(self.url(path)).config().timeout_global(Some(self.patience)).build();
        self.answer(request.send_json(body))
    }

    /// Changes something of the agent itself; signed for it, if somebody signs.
    pub(crate) fn change(
        self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        by: Option<&Identity>,
    ) -> Result<Value, Box<dyn std::error::Error>> {
        let body = body.map_or_else(String::new, Value::to_string);
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some(by) = by {
            let agent = self.get("/v1/agent", &[])?;
            let name = agent["name"].as_str().unwrap_or_default().parse()?;
            let what = (&*format!("{method} {path}"), body.as_bytes());
            let seal = RequestSeal::sign(by, &name, what, now_s(), getrandom::u64()?);
            request = request.header(HEADER, seal.to_text());
        }
        let agent = self.with_timeout();
        Ok(self.answer(agent.run(request.body(body)?))?)
    }

    pub(crate) fn delete(self, path: &str, query: &[(&str, &str)]) -> Result<Value, Unanswered> {
        let request =
            query.iter().fold(self.agent().delete(self.url(path)), |r, (name, value)| r.query(name, value));
        self.answer(request.config().timeout_global(Some(self.patience)).build().call())
    }

    /// Server-sent events, one after the other: the name and the data of each.
    pub(crate) fn events(
        self,
        path: &str,
        query: &[(&str, &str)],
        on: impl FnMut(&str, Value) -> std::io::Result<()>,
    ) -> Result<(), Unanswered> {
        let request =
            query.iter().fold(self.agent().get(self.url(path)), |r, (name, value)| r.query(name, value));
        self.follow(request.call(), on)
    }

    /// The same, asked with a body.
    pub(crate) fn post_events(
        self,
        path: &str,
        body: &Value,
        on: impl FnMut(&str, Value) -> std::io::Result<()>,
    ) -> Result<(), Unanswered> {
        self.follow(self.agent().post(self.url(path)).send_json(body), on)
    }

    fn follow(
        self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        mut on: impl FnMut(&str, Value) -> std::io::Result<()>,
    ) -> Result<(), Unanswered> {
        let mut response = response.map_err(|e| self.not_there(e))?;
        if !response.status().is_success() {
            return self.answer(Ok(response)).map(drop);
        }
        let mut event = String::new();
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let line = line.map_err(|e| self.not_there(e))?;
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data:") {
                let data = serde_json::from_str(data.trim()).unwrap_or_else(|_| data.trim().into());
                if on(&event, data).is_err() {
                    return Ok(());
                }
            }
        }
        Err(self.not_there("it has ended"))
    }
}

/// A name as one part of a path.
pub(crate) fn path_part(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
