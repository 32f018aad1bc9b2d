//! Functions: who may install them.

use gcs_monitor::{
    trust::{Document, FunctionSeal, Identity},
    zones::{
        function::{Function, Said},
        name::ZoneName,
    },
};

use super::fleet::{DAY, NOW, alice, eu, function, h1, key, root, verifier, zone};

const SQL: &str = "SELECT MAX(load) AS load";

#[test]
fn who_may_install_does_and_others_do_not() {
    for (by, scope, expected) in [
        (&root(), "/", "accepted"),
        (&root(), "/eu/ams", "accepted"),
        (&eu(), "/eu", "accepted"),
        (&eu(), "/", "not_allowed"),
        (&eu(), "/us", "not_allowed"),
        (&alice("read,install"), "/eu", "accepted"),
        (&alice("read,install"), "/eu/ams", "accepted"),
        (&alice("read,install"), "/", "not_allowed"),
        (&alice("read,write"), "/eu", "not_allowed"),
        (&h1(), "/eu/ams/h1", "not_allowed"),
    ] {
        let scope = zone(scope);
        let signed = by.sign_function(&scope, function("load", SQL));
        let Ok(signed) = signed else {
            assert_eq!((signed.unwrap_err().name(), "not_allowed"), (expected, "not_allowed"), "{scope}");
            // Signed all the same, by an anchor of the same key, with the chain of whom may not.
            let forged = smuggled(by, &scope);
            assert_eq!(verifier().function(NOW, &forged).unwrap_err().name(), expected, "{scope}");
            continue;
        };
        assert_eq!(expected, "accepted");
        let text = Document::Function(signed.clone()).to_text().unwrap();
        let Document::Function(again) = Document::from_text(&text).unwrap() else { panic!("{}", *text) };
        assert_eq!(again, signed);
        assert_eq!(verifier().function(NOW, &again), Ok(scope));
    }
}

/// A function signed by whoever may not.
fn smuggled(by: &Identity, scope: &ZoneName) -> Said {
    let own = (0..=255).map(key).find(|key| key.public() == by.key().public()).unwrap();
    let said = Identity::anchor(own, zone("/")).sign_function(scope, function("load", SQL)).unwrap();
    let seal = [&by.chain().encode(), &said.seal[2..]].concat();
    assert!(FunctionSeal::decode(&seal).is_ok());
    Said { seal, ..said }
}

#[test]
fn what_is_no_function_is_refused_when_it_is_signed() {
    let long = format!("SELECT MAX(load) AS {}", "x".repeat(4096));
    for (name, sql) in [
        ("load", "SELECT"),
        ("load", "SELECT load"),
        ("load", "SELECT MAX(load) AS load GROUP BY x"),
        ("load", "SELECT MAX(load) AS nmembers"),
        ("load", long.as_str()),
        ("", SQL),
        ("lo ad", SQL),
        (&"x".repeat(65), SQL),
    ] {
        let said = Said { name: name.into(), text: sql.into(), ..function("load", SQL) };
        let refused = root().sign_function(&zone("/"), said).unwrap_err();
        assert_eq!(refused.name(), "function", "{name} {sql}");
        assert_eq!(refused.to_string().lines().count(), 1);
    }
}

#[test]
fn functions_count_in_their_time_and_no_longer_than_their_signer() {
    let signed = root().sign_function(&zone("/"), function("load", SQL)).unwrap();
    for (at, expected) in [
        (NOW - 301, Some("not_yet")),
        (NOW - 300, None),
        (NOW + DAY + 299, None),
        (NOW + DAY + 300, Some("expired")),
    ] {
        let outcome = verifier().function(at, &signed);
        assert_eq!(outcome.err().map(|refusal| refusal.name()), expected);
    }
    let long = Said { expires_s: NOW + 10 * DAY + 1, ..function("load", SQL) };
    let refused = alice("install").sign_function(&zone("/eu"), long.clone()).unwrap_err();
    assert_eq!(refused.name(), "outlives");
    // Signed all the same.
    let own = Identity::anchor(key(4), zone("/")).sign_function(&zone("/eu"), long).unwrap();
    let seal = [&alice("install").chain().encode(), &own.seal[2..]].concat();
    let refused = verifier().function(NOW, &Said { seal, ..own }).unwrap_err();
    assert_eq!(refused.name(), "outlives");
}

#[test]
fn all_that_a_function_says_is_signed() {
    let signed = alice("install").sign_function(&zone("/eu"), function("load", SQL)).unwrap();
    assert!(verifier().function(NOW, &signed).is_ok());
    for wrong in [
        Said { name: "lood".into(), ..signed.clone() },
        Said { text: "SELECT MIN(load) AS load".into(), ..signed.clone() },
        Said { text: String::new(), ..signed.clone() },
        Said { strong: true, ..signed.clone() },
        Said { issued_s: signed.issued_s + 1, ..signed.clone() },
        Said { expires_s: signed.expires_s + 1, ..signed.clone() },
    ] {
        assert_eq!(verifier().function(NOW, &wrong).unwrap_err().name(), "forged", "{wrong:?}");
    }
    let unsigned = verifier().function(NOW, &function("load", SQL)).unwrap_err();
    assert!(unsigned.to_string().contains("--sign-with"), "{unsigned}");
}

#[test]
fn a_function_is_verified_once() {
    let signed = eu().sign_function(&zone("/eu"), function("load", SQL)).unwrap();
    let mut verifier = verifier();
    for _ in 0..3 {
        verifier.function(NOW, &signed).unwrap();
    }
    assert_eq!((verifier.counters().signatures, verifier.counters().cached), (2, 4));
}

#[test]
fn a_removal_is_newer_than_what_it_removes_and_stays_as_long() {
    let old = eu().sign_function(&zone("/eu"), function("load", SQL)).unwrap();
    for now_s in [NOW - 100, NOW, NOW + 100] {
        let removal = eu().sign_function(&zone("/eu"), old.removal(now_s)).unwrap();
        assert!(removal.issued_s > old.issued_s && removal.expires_s >= old.expires_s);
        assert!(verifier().function(NOW, &removal).is_ok());
        assert!(Function::new(removal).unwrap().query().is_none());
    }
}
