//! Functions: who may install them, and which one of two a zone goes by.

use std::cmp::Ordering;

use gcs_monitor::trust::{Function, FunctionCertificate, Identity, Kind, Strength, Trust, Validity, prefer};
use proptest::{collection::vec, prelude::*};

use super::fleet::{DAY, NOW, alice, eu, function, h1, issued, key, root, verifier, zone};

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
        let signed = by.sign_function(function(scope, "load", SQL));
        let Ok(certificate) = signed else {
            assert_eq!((signed.unwrap_err().name(), "not_allowed"), (expected, "not_allowed"), "{scope}");
            // Signed all the same, by an anchor of the same key, with the chain of whom may not.
            let forged = smuggled(by, function(scope, "load", SQL));
            assert_eq!(verifier().function(NOW, &forged).unwrap_err().name(), expected, "{scope}");
            continue;
        };
        assert_eq!(expected, "accepted");
        let again = FunctionCertificate::decode(&certificate.encode()).unwrap();
        assert_eq!(again, certificate);
        let query = verifier().function(NOW, &again).unwrap();
        assert_eq!(query.unwrap().text(), SQL);
    }
}

/// A function signed by whoever may not.
fn smuggled(by: &Identity, function: Function) -> FunctionCertificate {
    let own = (0..=255).map(key).find(|key| key.public() == by.key().public()).unwrap();
    let certificate = Identity::anchor(own, zone("/")).sign_function(function).unwrap();
    let bytes = certificate.encode();
    FunctionCertificate::decode(&[&by.chain().encode(), &bytes[2..]].concat()).unwrap()
}

#[test]
fn what_is_no_function_is_refused_when_it_is_signed() {
    let long = format!("SELECT MAX(load) AS {}", "x".repeat(4096));
    for (name, sql, expected) in [
        ("load", "SELECT", "function"),
        ("load", "SELECT load", "function"),
        ("load", "SELECT MAX(load) AS load GROUP BY x", "function"),
        ("load", "", "function"),
        ("load", long.as_str(), "function"),
        ("", SQL, "name"),
        ("lo ad", SQL, "name"),
        (&"x".repeat(65), SQL, "name"),
    ] {
        let refused = root().sign_function(function("/", name, sql)).unwrap_err();
        assert_eq!(refused.name(), expected, "{name} {sql}");
        assert_eq!(refused.to_string().lines().count(), 1);
    }
    let removed = Function { removed: true, ..function("/", "load", SQL) };
    assert_eq!(root().sign_function(removed).unwrap_err().name(), "function");
}

#[test]
fn functions_count_in_their_time_and_their_signer_in_its_own() {
    let certificate = root().sign_function(function("/", "load", SQL)).unwrap();
    for (at, expected) in [
        (NOW - 301, Some("not_yet")),
        (NOW - 300, None),
        (NOW + DAY + 299, None),
        (NOW + DAY + 300, Some("expired")),
    ] {
        let outcome = verifier().function(at, &certificate);
        assert_eq!(outcome.err().map(|refusal| refusal.name()), expected);
    }
    let long = Function { validity: Validity::new(NOW, 99 * DAY), ..function("/eu", "load", SQL) };
    let by_client = alice("install").sign_function(long).unwrap();
    assert!(verifier().function(NOW + 9 * DAY, &by_client).is_ok());
    let later = verifier().function(NOW + 11 * DAY, &by_client).unwrap_err();
    assert_eq!(later.to_string().split(' ').take(3).collect::<Vec<_>>(), ["the", "authority", "of"]);
}

#[test]
fn a_function_is_verified_once_and_open_trust_still_reads_it() {
    let certificate = eu().sign_function(function("/eu", "load", SQL)).unwrap();
    let mut verifier = verifier();
    for _ in 0..3 {
        verifier.function(NOW, &certificate).unwrap();
    }
    assert_eq!((verifier.counters().signatures, verifier.counters().cached), (2, 4));
    assert!(Trust::Open.function(NOW, &certificate).is_ok());
}

#[test]
fn a_removal_takes_the_place_of_what_it_removes_and_stays_as_long() {
    let of = |certificate: &FunctionCertificate| certificate.function().clone();
    let old = eu().sign_function(function("/eu", "load", SQL)).unwrap();
    for now_s in [NOW - 100, NOW, NOW + 100] {
        let removal = eu().sign_function(of(&old).removal(now_s)).unwrap();
        assert_eq!(prefer((&removal, true), (&old, true)), Ordering::Greater, "{now_s}");
        let ends = |certificate: &FunctionCertificate| of(certificate).validity.expires_s();
        assert!(ends(&removal) >= ends(&old));
        assert!(verifier().function(NOW, &removal).unwrap().is_none());
    }
}

#[test]
fn of_two_functions_the_better_counts() {
    let signed = |scope: &str, strength, issued_s, sql: &str| {
        let validity = Validity::new(issued_s, DAY);
        root().sign_function(Function { validity, strength, ..function(scope, "load", sql) }).unwrap()
    };
    let (weak, strong) = (Strength::Weak, Strength::Strong);
    // The better one, then the other one, with whether they are valid.
    for (why, better, worse) in [
        ("valid", (signed("/", weak, 1, SQL), true), (signed("/eu", strong, 9, SQL), false)),
        ("strong, further down", (signed("/eu", strong, 1, SQL), true), (signed("/", strong, 9, SQL), true)),
        ("strong", (signed("/", strong, 1, SQL), true), (signed("/eu", weak, 9, SQL), true)),
        ("newer, strong", (signed("/", strong, 2, SQL), true), (signed("/", strong, 1, SQL), true)),
        ("newer, weak", (signed("/", weak, 2, SQL), true), (signed("/eu", weak, 1, SQL), true)),
        ("of the invalid, too", (signed("/", weak, 2, SQL), false), (signed("/", weak, 1, SQL), false)),
    ] {
        let (better, worse) = ((&better.0, better.1), (&worse.0, worse.1));
        assert_eq!(prefer(better, worse), Ordering::Greater, "{why}");
        assert_eq!(prefer(worse, better), Ordering::Less, "{why}");
    }
    let (a, b) = (signed("/", weak, 1, SQL), signed("/", weak, 1, "SELECT MIN(load) AS load"));
    assert_ne!(prefer((&a, true), (&b, true)), Ordering::Equal, "all else being equal, their bytes");
    assert_eq!(prefer((&a, true), (&a, true)), Ordering::Equal);
}

fn any_function() -> impl Strategy<Value = (FunctionCertificate, bool)> {
    let scope = prop::sample::select(vec!["/", "/eu", "/eu/ams"]);
    (scope, any::<bool>(), 0..3_u64, any::<bool>(), 0..2_u8, any::<bool>()).prop_map(
        |(scope, strong, issued_s, removed, by, valid)| {
            let strength = if strong { Strength::Strong } else { Strength::Weak };
            let sql = if removed { "" } else { SQL };
            let validity = Validity::new(issued_s, DAY);
            let function = Function { validity, strength, removed, ..function(scope, "load", sql) };
            let by = if by == 0 { root() } else { issued(&root(), Kind::Zone, "/", 2) };
            (by.sign_function(function).unwrap(), valid)
        },
    )
}

/// The one that is left when they come one after the other, as bytes.
fn best(all: &[(FunctionCertificate, bool)]) -> Vec<u8> {
    let all = all.iter().map(|(certificate, valid)| (certificate, *valid));
    all.reduce(|best, other| if prefer(other, best).is_gt() { other } else { best }).unwrap().0.encode()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn preference_is_a_total_order(all in vec(any_function(), 3)) {
        let [a, b, c] = [&all[0], &all[1], &all[2]].map(|(certificate, valid)| (certificate, *valid));
        prop_assert_eq!(prefer(a, b), prefer(b, a).reverse());
        prop_assert_eq!(prefer(a, b).is_eq(), a == b);
        if prefer(a, b).is_le() && prefer(b, c).is_le() {
            prop_assert!(prefer(a, c).is_le());
        }
    }

    #[test]
    fn it_does_not_matter_which_came_first(mut all in vec(any_function(), 1..8), by in any::<prop::sample::Index>()) {
        // One certificate is valid or is not.
        all.sort_by_key(|(certificate, _)| certificate.encode());
        all.dedup_by_key(|(certificate, _)| certificate.encode());
        let first = best(&all);
        let length = all.len();
        all.rotate_left(by.index(length));
        prop_assert_eq!(best(&all), first.clone());
        all.reverse();
        prop_assert_eq!(best(&all), first);
    }
}
