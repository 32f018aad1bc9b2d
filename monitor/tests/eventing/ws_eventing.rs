//! WS-Eventing as its users see it: python-zeep, and messages as they are.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Agent, asked, curl, put, sink::Sink, two, until, until_asked};

const STUCK: &str = "SELECT id, state FROM jobs WHERE state = 'stuck'";
const WSE: &str = "http://schemas.xmlsoap.org/ws/2004/08/eventing";
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/eventing/client.py");

/// A client that is written in Python.
struct Zeep {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    address: String,
}

impl Drop for Zeep {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Zeep {
    /// `None` without python-zeep.
    fn start(agent: &Agent) -> Option<Self> {
        let has = |python: &&str| {
            let mut command = Command::new(python);
            let command = command.args(["-c", "import zeep"]).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has) else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "python3-zeep is needed: .ci/run installs it"
            );
            eprintln!("SKIPPED, needs python3-zeep");
            return None;
        };
        let address = format!("http://{}/v1/ws-eventing", agent.api);
        let mut command = Command::new(python);
        let command = command.args([CLIENT, &format!("{address}?wsdl")]);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python is there");
        let to = process.stdin.take().expect("piped");
        let mut from = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        from.read_line(&mut line).expect("text");
        assert!(line.contains("ready"), "it reads the WSDL: {line}");
        Some(Self { process, to, from, address })
    }

    fn ask(&mut self, mut request: Value) -> Value {
        request["to"] = json!(self.address);
        writeln!(self.to, "{request}").expect("it listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("text");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    fn subscribe(&mut self, port: &str, sink: &Sink, expires: &str, patience: &str) -> Value {
        let end = json!({ "Address": sink.url("/end") });
        self.ask(json!({ "operation": "Subscribe", "port": port, "body": {
            "EndTo": end,
            "Delivery": { "Mode": format!("{WSE}/DeliveryModes/Push"), "NotifyTo": { "Address": sink.url("/notify") } },
            "Expires": expires,
            "Filter": { "_value_1": STUCK, "Dialect": "urn:gcs-monitor:sql", "zone": "/b", "patience": patience },
        } }))
    }

    fn about(&mut self, operation: &str, identifier: &Value) -> Value {
        self.ask(json!({ "operation": operation, "identifier": identifier }))
    }
}

fn stuck(ids: &[u64]) -> Value {
    ids.iter().map(|id| json!({ "id": id, "state": "stuck" })).collect()
}

/// An xs:duration in seconds, as the agent writes it.
fn seconds(duration: &Value) -> u64 {
    let text = duration.as_str().unwrap_or_default();
    let number = text.strip_prefix("PT").and_then(|rest| rest.strip_suffix('S')).and_then(|n| n.parse().ok());
    number.unwrap_or_else(|| panic!("{duration}"))
}

/// The message that says that a subscription has ended.
fn end(sink: &Sink, status: &str) -> String {
    let (status, action) =
        (format!("<wse:Status>{WSE}/{status}<"), format!("<wsa:Action>{WSE}/SubscriptionEnd<"));
    let right = |body: &str| body.contains(&status) && body.contains(&action);
    sink.until(|posted| posted.path == "/end" && right(&posted.body)).body
}

#[test]
fn zeep_subscribes_hears_renews_asks_and_unsubscribes() {
    let ([first, second], sink) = (two(), Sink::start());
    let Some(mut zeep) = Zeep::start(&first) else { return };
    for port in ["Soap12", "Soap11"] {
        put(&second, &json!([]));
        let begun = zeep.subscribe(port, &sink, "PT10M", "PT5M");
        assert_eq!(
            (&begun["expires"], &begun["address"]),
            (&json!("PT600S"), &json!(zeep.address)),
            "{begun}"
        );
        let identifier = &begun["identifier"];
        until_asked(&second, "/b", 1);
        put(&second, &stuck(&[7]));
        let posted = sink.next();
        let kind = posted.header("content-type");
        assert!(
            kind.starts_with(if port == "Soap12" { "application/soap+xml" } else { "text/xml" }),
            "{kind}"
        );
        for right in [
            "<wsa:Action>urn:gcs-monitor:eventing/Fired</wsa:Action>",
            &format!("<wsa:To>{}</wsa:To>", sink.url("/notify")),
            "Agent=\"/b/1\"",
            "<e:Column Name=\"id\" Type=\"integer\">7</e:Column><e:Column Name=\"state\" Type=\"text\">stuck</e:Column>",
        ] {
            assert!(posted.body.contains(right), "{right}: {}", posted.body);
        }
        let renewed = zeep.about("GetStatus", identifier);
        assert!((60..=600).contains(&seconds(&renewed["expires"])), "{renewed}");
        let renew = json!({ "operation": "Renew", "identifier": identifier, "body": { "Expires": "PT1H" } });
        assert_eq!(zeep.ask(renew)["expires"], "PT3600S");
        assert!(seconds(&zeep.about("GetStatus", identifier)["expires"]) > 600);
        assert!(zeep.about("Unsubscribe", identifier)["fault"].is_null());
        until_asked(&second, "/b", 0);
        for (operation, code) in
            [("Unsubscribe", "InvalidMessage"), ("GetStatus", "InvalidMessage"), ("Renew", "UnableToRenew")]
        {
            let fault = zeep.about(operation, identifier);
            assert!(fault["subcodes"][0].as_str().is_some_and(|all| all.ends_with(code)), "{fault}");
        }
    }
    assert!(sink.rest().is_empty(), "who has unsubscribed is not told that it ends");
}

#[test]
fn zeep_hears_that_a_subscription_ends_before_its_time_and_not_that_its_time_is_over() {
    let ([first, second], sink) = (two(), Sink::start());
    let Some(mut zeep) = Zeep::start(&first) else { return };
    // Its time is over.
    let begun = zeep.subscribe("Soap12", &sink, "PT1S", "PT5M");
    until(|| {
        let said = zeep.about("GetStatus", &begun["identifier"]);
        if said["fault"].is_string() { Ok(()) } else { Err(said.to_string()) }
    });
    until_asked(&second, "/b", 0);
    // Nobody takes what it tells.
    let begun = zeep.subscribe("Soap12", &sink, "PT1H", "PT2S");
    sink.answers(500);
    until_asked(&second, "/b", 1);
    put(&second, &stuck(&[1]));
    assert!(sink.next().path == "/notify", "nothing was said of the one whose time is over");
    until(|| {
        let said = zeep.about("GetStatus", &begun["identifier"]);
        if said["fault"].is_string() { Ok(()) } else { Err(said.to_string()) }
    });
    sink.answers(202);
    let said = end(&sink, "DeliveryFailure");
    assert!(said.contains(begun["identifier"].as_str().expect("text")), "{said}");
    until_asked(&second, "/b", 0);
    // Somebody removes it at the agent.
    let begun = zeep.subscribe("Soap11", &sink, "PT1H", "PT5M");
    let name =
        begun["identifier"].as_str().and_then(|text| text.strip_prefix("urn:gcs-monitor:")).expect("ours");
    asked(&first, &["-X", "DELETE"], &format!("/v1/webhooks/{name}"));
    end(&sink, "SourceCancelling");
    // The agent ends.
    zeep.subscribe("Soap12", &sink, "PT1H", "PT5M");
    until_asked(&second, "/b", 1);
    let process = i32::try_from(first.process.id()).ok().and_then(Pid::from_raw).expect("it runs");
    kill_process(process, Signal::TERM).expect("it is ours");
    end(&sink, "SourceShuttingDown");
    until_asked(&second, "/b", 0);
}

/// A message in SOAP 1.2.
fn envelope(headers: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing' xmlns:w='http://www.w3.org/2005/08/addressing' xmlns:e='{WSE}' xmlns:g='urn:gcs-monitor:eventing'><s:Header>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn post(agent: &Agent, message: &str) -> String {
    let words = ["-H", "content-type: application/soap+xml", "--data-binary", message];
    String::from_utf8(curl(agent, &words, "/v1/ws-eventing").stdout).expect("text")
}

const NOTIFY: &str =
    "<e:Delivery><e:NotifyTo><a:Address>http://127.0.0.1:9/</a:Address></e:NotifyTo></e:Delivery>";

#[test]
fn faults_are_those_of_the_standard() {
    let agent = super::agent("/a/1", &[]);
    let filter = format!("<e:Filter Dialect='urn:gcs-monitor:sql'>{STUCK}</e:Filter>");
    let subscribe = |content: &str| envelope("", &format!("<e:Subscribe>{content}</e:Subscribe>"));
    let good = format!("{NOTIFY}{filter}");
    for (message, code, more) in [
        (
            subscribe(&good.replace("<e:Delivery>", "<e:Delivery Mode='urn:pull'>")),
            "DeliveryModeRequestedUnavailable",
            "SupportedDeliveryMode",
        ),
        (subscribe(&format!("{NOTIFY}<e:Expires>PT0S</e:Expires>{filter}")), "InvalidExpirationTime", ""),
        (subscribe(&format!("{NOTIFY}<e:Expires>-PT1S</e:Expires>{filter}")), "InvalidExpirationTime", ""),
        (
            subscribe(&format!("{NOTIFY}<e:Expires>2001-01-01T00:00:00Z</e:Expires>{filter}")),
            "InvalidExpirationTime",
            "",
        ),
        (
            subscribe(&format!("{NOTIFY}<e:Filter>//x</e:Filter>")),
            "FilteringRequestedUnavailable",
            "SupportedDialect>urn:gcs-monitor:sql<",
        ),
        (subscribe(NOTIFY), "InvalidMessage", "there is no Filter"),
        (subscribe(&filter), "InvalidMessage", "there is no Delivery"),
        (subscribe(&good.replace("http://127", "https://127")), "InvalidMessage", "without TLS"),
        (subscribe(&good.replace("FROM jobs", "FROM")), "InvalidMessage", "line 1"),
        (subscribe(&good.replace("<e:Filter", "<e:Filter g:mode='x'")), "InvalidMessage", "edge or level"),
        (subscribe(&good.replace("<e:Filter", "<e:Filter g:every='1'")), "InvalidMessage", "xs:duration"),
        (
            subscribe(&good.replace("<e:Filter", "<e:Filter g:zone='/z'")),
            "EventSourceUnableToProcess",
            "there is no zone /z",
        ),
        (envelope("<a:Action>urn:x</a:Action>", "<e:GetStatus/>"), "InvalidMessage", "Action"),
        (envelope("", "<e:GetStatus/>"), "InvalidMessage", "Identifier"),
        (
            envelope("<e:Identifier>x</e:Identifier>", "<e:Renew/>"),
            "UnableToRenew",
            "there is no subscription x",
        ),
        (
            envelope("<a:ReplyTo><a:Address>http://evil/</a:Address></a:ReplyTo>", "<e:GetStatus/>"),
            "InvalidMessage",
            "ReplyTo",
        ),
        (envelope("", "<x/>"), "InvalidMessage", "the body is x"),
        (envelope("<x s:mustUnderstand='1'/>", "<e:GetStatus/>"), "", "<s:Value>s:MustUnderstand</s:Value>"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".to_owned(), "InvalidMessage", "a document type"),
        ("<a>".repeat(5000), "InvalidMessage", "more than 24 levels"),
        ("<Envelope xmlns='urn:else'/>".to_owned(), "", "VersionMismatch"),
        ("nonsense".to_owned(), "InvalidMessage", "not XML"),
    ] {
        let answer = post(&agent, &message);
        assert!(answer.contains("<s:Fault>"), "{message}: {answer}");
        assert!(answer.contains(code) && answer.contains(more), "{code} {more}: {answer}");
    }
    assert_eq!(asked(&agent, &[], "/v1/webhooks"), json!({ "webhooks": [] }));
    // What is too long is not read.
    let long = format!("{}{}", subscribe(&good), " ".repeat(70_000));
    let file = std::env::temp_dir().join(format!("gcs-monitor-long-{}", std::process::id()));
    std::fs::write(&file, long).expect("it is written");
    let answer = post(&agent, &format!("@{}", file.display()));
    let _ = std::fs::remove_file(&file);
    assert!(!answer.contains("SubscribeResponse"), "{answer}");
}

#[test]
fn endpoints_get_what_they_want_to_find_in_either_addressing() {
    let ([first, second], sink) = (two(), Sink::start());
    let notify = |wsa: &str| {
        format!(
            "<{wsa}:Address>{}</{wsa}:Address><{wsa}:ReferenceParameters><t:which xmlns:t='urn:t' t:n='1'>a&amp;b<t:more/></t:which></{wsa}:ReferenceParameters>",
            sink.url("/x")
        )
    };
    for (n, (wsa, space)) in [
        ("a", "http://schemas.xmlsoap.org/ws/2004/08/addressing"),
        ("w", "http://www.w3.org/2005/08/addressing"),
    ]
    .into_iter()
    .enumerate()
    {
        let headers =
            format!("<{wsa}:Action>{WSE}/Subscribe</{wsa}:Action><{wsa}:MessageID>urn:m:1</{wsa}:MessageID>");
        let body = format!(
            "<e:Subscribe><e:Delivery><e:NotifyTo>{}</e:NotifyTo></e:Delivery><e:Expires>2100-01-01T00:00:00Z</e:Expires><e:Filter Dialect='urn:gcs-monitor:sql' g:mode='level' g:every='PT0.2S' g:zone='/b'>{}</e:Filter></e:Subscribe>",
            notify(wsa),
            STUCK.replace("stuck", &format!("s{n}"))
        );
        let answer = post(&first, &envelope(&headers, &body));
        assert!(
            answer.contains("<wsa:RelatesTo>urn:m:1</wsa:RelatesTo>")
                && answer.contains(&format!("xmlns:wsa=\"{space}\"")),
            "{answer}"
        );
        // At most a day, and said as it was asked.
        assert!(answer.contains("<wse:Expires>20") && !answer.contains("2100-01-01"), "{answer}");
        put(&second, &json!([{ "id": n, "state": format!("s{n}") }]));
        // A level fires again and again.
        for _ in 0..2 {
            let posted = sink.until(|posted| posted.body.contains(&format!(">s{n}<")));
            let which = posted.body.contains("<which xmlns=\"urn:t\"")
                && posted.body.contains(">a&amp;b<more xmlns=\"urn:t\"></more></which>");
            assert!(which && posted.body.contains(&format!("xmlns:wsa=\"{space}\"")), "{}", posted.body);
            assert_eq!(posted.body.contains("IsReferenceParameter=\"true\""), wsa == "w", "{}", posted.body);
        }
    }
}
