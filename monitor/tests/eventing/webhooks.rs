//! Webhooks as their users see them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{asked, curl, put, sent, sink::Sink, two, until_asked, until_hook};

const STUCK: &str = "SELECT id FROM jobs WHERE state = 'stuck'";
const SECRET: [u8; 32] = [7; 32];

fn stuck(ids: &[u64]) -> Value {
    ids.iter().map(|id| json!({ "id": id, "state": "stuck" })).collect()
}

/// The ids of what an event tells.
fn ids(body: &Value) -> Vec<u64> {
    body["data"]["rows"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_u64()).collect()
}

#[test]
fn events_are_posted_signed_and_said_again_until_they_are_taken() {
    let ([first, second], sink) = (two(), Sink::start());
    let secret = format!("whsec_{}", STANDARD.encode(SECRET));
    let hook = json!({ "url": sink.url("/hook?x=1"), "sql": STUCK, "zone": "/b", "secret": secret });
    let made = sent(&first, "POST", "/v1/webhooks", &hook);
    assert_eq!((&made["zone"], &made["columns"]), (&json!("/b"), &json!(["id"])), "{made}");
    let name = made["name"].as_str().expect("a name").to_owned();
    put(&second, &stuck(&[7]));
    let posted = sink.next();
    assert_eq!((posted.path.as_str(), posted.header("content-type")), ("/hook?x=1", "application/json"));
    let body = posted.json();
    assert_eq!(
        (&body["type"], &body["data"]["agent"], ids(&body)),
        (&json!("fired"), &json!("/b/1"), vec![7])
    );
    // As the receiver verifies it.
    let id = posted.header("webhook-id");
    let signed = format!("{id}.{}.{}", posted.header("webhook-timestamp"), posted.body);
    let signature = posted.header("webhook-signature").strip_prefix("v1,").expect("version 1");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &SECRET);
    let signature = STANDARD.decode(signature).expect("Base64");
    aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &signature).expect("it is signed");
    // Nobody takes it for a while: not one who is elsewhere, either.
    sink.answers(503);
    put(&second, &stuck(&[7, 8]));
    let failed = sink.next();
    assert_eq!(ids(&failed.json()), [8]);
    until_hook(&first, |hook| {
        hook["state"] == "retrying" && hook["last_error"] == "it answers 503 Service Unavailable"
    });
    sink.answers(302);
    let again = sink.next();
    assert_eq!((again.header("webhook-id"), &again.body), (failed.header("webhook-id"), &failed.body));
    until_hook(&first, |hook| hook["last_error"] == "it answers 302 Found");
    // What fires meanwhile waits.
    put(&second, &stuck(&[7, 8, 9]));
    sink.answers(200);
    sink.until(|posted| ids(&posted.json()) == [8]);
    let third = sink.until(|posted| ids(&posted.json()) != [8]);
    assert_eq!(ids(&third.json()), [9]);
    let hook = until_hook(&first, |hook| hook["delivered"] == 3 && hook["state"] == "delivering");
    assert!(hook["retried"].as_u64() >= Some(2) && hook["given_up"] == 0, "{hook}");
    // Its secret is not shown.
    assert!(!hook.to_string().contains("whsec"), "{hook}");
    assert_eq!(asked(&first, &["-X", "DELETE"], &format!("/v1/webhooks/{name}"))["name"], json!(name));
    assert_eq!(asked(&first, &[], "/v1/webhooks"), json!({ "webhooks": [] }));
    until_asked(&second, "/b", 0);
}

#[test]
fn where_nobody_takes_them_they_are_given_up_and_it_ends() {
    let ([first, second], sink) = (two(), Sink::start());
    // Said once.
    let hook = json!({ "url": sink.url("/"), "sql": STUCK, "delivery": "at-most-once" });
    let made = sent(&first, "POST", "/v1/webhooks", &hook);
    sink.answers(500);
    until_asked(&second, "/", 1);
    put(&second, &stuck(&[1]));
    assert_eq!(ids(&sink.next().json()), [1]);
    until_hook(&first, |hook| hook["given_up"] == 1 && hook["retried"] == 0);
    sink.answers(204);
    put(&second, &stuck(&[1, 2]));
    let body = sink.next().json();
    assert_eq!((ids(&body), &body["data"]["lost"]), (vec![2], &json!(1)), "what was given up is told");
    let name = made["name"].as_str().expect("a name");
    asked(&first, &["-X", "DELETE"], &format!("/v1/webhooks/{name}"));
    until_asked(&second, "/", 0);
    // Said again for two seconds.
    sink.answers(500);
    let hook = json!({ "url": sink.url("/"), "sql": STUCK, "patience_s": 2 });
    sent(&first, "POST", "/v1/webhooks", &hook);
    let hook = until_hook(&first, |hook| hook["state"] == "ended");
    assert_eq!(hook["ended"], "events could not be delivered");
    assert!(hook["retried"].as_u64() >= Some(2) && hook["given_up"] == 1 && hook["delivered"] == 0, "{hook}");
    until_asked(&second, "/", 0);
    // Who answers 410 wants no more at once; and a time that is over is over.
    sink.answers(410);
    let hook = json!({ "url": sink.url("/gone"), "sql": STUCK });
    let gone = sent(&first, "POST", "/v1/webhooks", &hook);
    let soon = json!({ "url": sink.url("/soon"), "sql": "SELECT id FROM nothing", "expires_s": 1 });
    let soon = sent(&first, "POST", "/v1/webhooks", &soon);
    for (made, why) in [(gone, "events could not be delivered"), (soon, "its time is over")] {
        super::until(|| {
            let all = asked(&first, &[], "/v1/webhooks");
            let of =
                all["webhooks"].as_array().into_iter().flatten().find(|hook| hook["name"] == made["name"]);
            if of.is_some_and(|hook| hook["ended"] == why) { Ok(()) } else { Err(all.to_string()) }
        });
    }
    until_asked(&second, "/", 0);
}

#[test]
fn what_cannot_be_a_webhook_is_refused_in_one_sentence() {
    let agent = super::agent("/a/1", &[]);
    let good = json!({ "url": "http://127.0.0.1:9/", "sql": STUCK });
    let with = |name: &str, value: Value| {
        let mut hook = good.clone();
        hook[name] = value;
        hook
    };
    for (hook, says) in [
        (
            with("url", json!("https://example.org/")),
            "`https://example.org/` cannot be posted to: give http://",
        ),
        (with("url", json!("file:///etc/passwd")), "`file:///etc/passwd` cannot be posted to"),
        (with("secret", json!("short")), "the secret is not whsec_ and 24 to 64 bytes in Base64"),
        (with("sql", json!("SELECT 1")), "a standing query names the table"),
        (with("sql", json!("SELECT pit( FROM log")), "line 1, column "),
        (with("zone", json!("a")), "`a` is not the path of a zone"),
        (with("zone", json!("/z")), "there is no zone /z"),
        (with("every_ms", json!(1)), "a standing query is looked at each 100 ms"),
        (with("patience_s", json!(0)), "patience_s is 1 to 86400"),
    ] {
        let said = sent(&agent, "POST", "/v1/webhooks", &hook);
        let message = said["error"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(says), "{hook}: {said}");
    }
    let said = asked(&agent, &["-X", "DELETE"], "/v1/webhooks/x");
    assert!(said.to_string().contains("there is no such webhook"), "{said}");
    // A page of somebody else cannot have the agent call anybody.
    let (content, json) = (good.to_string(), "Content-Type: application/json");
    for headers in [
        [json, "Origin: http://evil.example"],
        [json, "Host: evil.example"],
        ["Content-Type: text/plain", "X: y"],
    ] {
        let words = ["-i", "-H", headers[0], "-H", headers[1], "-d", &content];
        let output = curl(&agent, &words, "/v1/webhooks");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with("HTTP/1.1 4"), "{headers:?}: {said}");
    }
    assert_eq!(asked(&agent, &[], "/v1/webhooks"), json!({ "webhooks": [] }));
    // There are only so many.
    for _ in 0..32 {
        assert!(sent(&agent, "POST", "/v1/webhooks", &good)["name"].is_string());
    }
    let said = sent(&agent, "POST", "/v1/webhooks", &good);
    assert!(said.to_string().contains("delivers the events of 32 subscriptions"), "{said}");
}
