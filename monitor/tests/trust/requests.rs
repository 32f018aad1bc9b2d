//! Requests of clients.

use gcs_monitor::trust::{Identity, Need, Refusal, Request, Verifier};

use super::fleet::{NOW, alice, eu, h1, root, verifier, zone};

fn ask(
    verifier: &mut Verifier,
    by: &Identity,
    target: &str,
    need: Need<'_>,
    nonce: u64,
) -> Result<(), Refusal> {
    let target = zone(target);
    let request = Request { target: &target, method: "do", at_s: NOW, nonce, body: b"it" };
    verifier.request(NOW, by.chain(), &request, need, &request.sign(by.key()))
}

#[test]
fn a_client_does_what_its_certificate_says_and_where() {
    let everything = alice("read,write,install");
    let little = alice("write:app.");
    for (by, target, need, expected) in [
        (&everything, "/eu", Need::Read, true),
        (&everything, "/eu/ams/h1", Need::Write("x"), true),
        (&everything, "/eu/ams", Need::Install, true),
        (&everything, "/", Need::Read, false),
        (&everything, "/us", Need::Write("x"), false),
        (&everything, "/europe", Need::Install, false),
        (&little, "/eu/ams/h1", Need::Write("app.x"), true),
        (&little, "/eu/ams/h1", Need::Write("apx"), false),
        (&little, "/eu/ams/h1", Need::Write("my.app.x"), false),
        (&little, "/eu", Need::Read, false),
        (&little, "/eu", Need::Install, false),
        (&alice("read"), "/eu", Need::Write("app.x"), false),
        (&alice("install"), "/eu", Need::Read, false),
        (&eu(), "/eu", Need::Read, false),
        (&h1(), "/eu/ams/h1", Need::Write("x"), false),
    ] {
        let outcome = ask(&mut verifier(), by, target, need, 1);
        let refused = outcome.err().map(|refusal| refusal.name());
        assert_eq!(refused, (!expected).then_some("not_allowed"), "{} {target} {need:?}", by.grant());
    }
    let anchor = ask(&mut verifier(), &root(), "/", Need::Read, 1).unwrap_err();
    assert_eq!(anchor.name(), "no_certificate");
}

#[test]
fn every_part_of_a_request_is_signed() {
    let (by, here, there) = (alice("write"), zone("/eu/a"), zone("/eu/b"));
    let right = Request { target: &here, method: "set", at_s: NOW, nonce: 1, body: b"x=1" };
    let signature = right.sign(by.key());
    for wrong in [
        Request { target: &there, ..right },
        Request { method: "get", ..right },
        Request { at_s: NOW + 1, ..right },
        Request { nonce: 2, ..right },
        Request { body: b"x=2", ..right },
        // The same bytes, cut elsewhere.
        Request { method: "se", body: b"tx=1", ..right },
    ] {
        let outcome = verifier().request(NOW, by.chain(), &wrong, Need::Write("x"), &signature);
        assert_eq!(outcome.unwrap_err().name(), "forged", "{wrong:?}");
    }
    assert!(verifier().request(NOW, by.chain(), &right, Need::Write("x"), &signature).is_ok());
}

#[test]
fn a_request_counts_now_and_once() {
    let (by, here) = (alice("read,write"), zone("/eu/a"));
    let mut verifier = verifier();
    let mut make = |at_s, now_s, nonce, need| {
        let request = Request { target: &here, method: "set", at_s, nonce, body: b"" };
        let outcome = verifier.request(now_s, by.chain(), &request, need, &request.sign(by.key()));
        outcome.err().map(|refusal| refusal.name())
    };
    let write = Need::Write("x");
    assert_eq!(make(NOW, NOW + 301, 1, write), Some("stale"));
    assert_eq!(make(NOW + 301, NOW, 1, write), Some("stale"));
    assert_eq!(make(0, u64::MAX, 1, write), Some("stale"));
    assert_eq!(make(NOW, NOW + 300, 1, write), None);
    assert_eq!(make(NOW, NOW + 300, 1, write), Some("replayed"));
    assert_eq!(make(NOW, NOW + 300, 2, write), None);
    // The newest that may come, then the same again at the last moment at which it would count.
    assert_eq!(make(NOW + 600, NOW + 300, 3, write), None);
    assert_eq!(make(NOW + 600, NOW + 900, 3, write), Some("replayed"));
    // Whoever only asks may ask again.
    assert_eq!(make(NOW + 900, NOW + 900, 4, Need::Read), None);
    assert_eq!(make(NOW + 900, NOW + 900, 4, Need::Read), None);
}

#[test]
fn what_was_not_allowed_takes_no_room() {
    let mut verifier = verifier();
    let little = alice("write:app.");
    for nonce in 0..64 {
        let _ = ask(&mut verifier, &little, "/eu", Need::Write("x"), nonce);
    }
    assert_eq!(verifier.counters().refused.get("not_allowed"), Some(&64));
    assert_eq!(verifier.counters().signatures, 0, "what a certificate does not allow costs no signature");
    assert!(ask(&mut verifier, &little, "/eu", Need::Write("app.x"), 5).is_ok());
}
