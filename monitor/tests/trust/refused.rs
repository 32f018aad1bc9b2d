//! Rows, chains, and who is gone: what is refused, and for which reason.

use gcs_monitor::trust::{
    Anchor, Chain, Gone, Grant, Identity, Kind, LINKS_MAX, Refusal, Validity, Verifier,
};

use super::fleet::{
    DAY, NOW, alice, anchor, client, eu, grant, h1, issued, key, root, row, says_of_row, smuggled, verifier,
    zone,
};

fn name(outcome: Result<(), Refusal>) -> &'static str {
    let Err(refusal) = outcome else { return "accepted" };
    assert_eq!(refusal.to_string().lines().count(), 1);
    refusal.name()
}

#[test]
fn an_agent_signs_its_row_and_those_of_the_zones_it_is_in() {
    for (path, child, expected) in [
        ("/eu/ams", "h1", "accepted"),
        ("/eu", "ams", "accepted"),
        ("/", "eu", "accepted"),
        ("/eu/ams", "h2", "not_allowed"),
        ("/eu/ams", "h", "not_allowed"),
        ("/eu/ams", "h11", "not_allowed"),
        ("/eu", "fra", "not_allowed"),
        ("/", "us", "not_allowed"),
        ("/us/ams", "h1", "not_allowed"),
        ("/eu/ams/h1", "system", "not_allowed"),
        ("/eu", "ams/h1", "not_allowed"),
        ("/", "eu/ams/h1", "not_allowed"),
        ("/", "", "not_allowed"),
        ("/", ".. ", "not_allowed"),
    ] {
        assert_eq!(name(says_of_row(&h1(), path, child)), expected, "{path} {child}");
    }
    for (who, of) in [(root(), "anchor"), (eu(), "zone"), (alice("read,write,install"), "client")] {
        let refused = name(says_of_row(&who, "/", "eu"));
        assert!(["not_allowed", "no_certificate"].contains(&refused), "{of} is no agent: {refused}");
    }
}

#[test]
fn an_agent_says_who_is_gone_in_the_zones_around_it() {
    for (path, child, expected) in [
        ("/eu/ams", "h2", "accepted"),
        ("/eu", "fra", "accepted"),
        ("/", "us", "accepted"),
        ("/eu/ams/h1", "system", "not_allowed"),
        ("/eu/fra", "h1", "not_allowed"),
        ("/us", "x", "not_allowed"),
        ("/", "us/x", "not_allowed"),
    ] {
        let zone = zone(path);
        let gone = Gone { zone: &zone, child, generator: 1, version: 2 };
        let signature = gone.sign(h1().key());
        assert_eq!(name(verifier().gone(NOW, h1().chain(), &gone, &signature)), expected, "{path} {child}");
        let of_row = row(&zone, child).sign(h1().key());
        assert_ne!(name(verifier().gone(NOW, h1().chain(), &gone, &of_row)), "accepted", "of a row");
        if expected == "accepted" {
            let others = verifier().gone(NOW, alice("write").chain(), &gone, &gone.sign(&key(4)));
            assert_eq!(name(others), "not_allowed");
        }
    }
}

#[test]
fn every_part_of_a_statement_is_signed() {
    let (agent, ams, eu) = (h1(), zone("/eu/ams"), zone("/eu"));
    let right = row(&ams, "h1");
    let signature = right.sign(agent.key());
    let mut verifier = verifier();
    let mut says = |row| name(verifier.row(NOW, agent.chain(), &row, &signature));
    assert_eq!(says(right), "accepted");
    let mut wrong = [right; 5];
    wrong[0].generator += 1;
    wrong[1].version += 1;
    wrong[2].row = b"a raw";
    (wrong[3].zone, wrong[3].child) = (&eu, "ams");
    wrong[4].row = b"";
    for row in wrong {
        assert_eq!(says(row), "forged", "{row:?}");
    }

    let right = Gone { zone: &ams, child: "h2", generator: 1, version: 2 };
    let signature = right.sign(agent.key());
    for (generator, version, child, zone) in
        [(2, 2, "h2", &ams), (1, 3, "h2", &ams), (1, 2, "h3", &ams), (1, 2, "h2", &eu)]
    {
        let wrong = Gone { zone, child, generator, version };
        assert_eq!(name(super::fleet::verifier().gone(NOW, agent.chain(), &wrong, &signature)), "forged");
    }
}

#[test]
fn certificates_count_in_their_time_and_so_does_each_that_they_follow_from() {
    let dated = |from, days| Validity::new(from, days * DAY);
    // When the authority's certificate and the agent's are valid, and when they are looked at.
    for (of_zone, of_agent, at, expected) in [
        (dated(NOW, 10), dated(NOW, 10), NOW, "accepted"),
        (dated(NOW, 10), dated(NOW, 10), NOW - 300, "accepted"),
        (dated(NOW, 10), dated(NOW, 10), NOW - 301, "not_yet"),
        (dated(NOW, 10), dated(NOW, 10), NOW + 10 * DAY + 299, "accepted"),
        (dated(NOW, 10), dated(NOW, 10), NOW + 10 * DAY + 300, "expired"),
        (dated(NOW, 5), dated(NOW, 10), NOW + 6 * DAY, "expired"),
        (dated(NOW, 10), dated(NOW, 5), NOW + 6 * DAY, "expired"),
        (dated(NOW + DAY, 10), dated(NOW, 10), NOW, "not_yet"),
        (dated(0, 1), dated(NOW, 10), NOW, "expired"),
        (Validity::new(0, u64::MAX), dated(u64::MAX - 9, 10), NOW, "not_yet"),
    ] {
        let authority = Grant { validity: of_zone, ..grant(Kind::Zone, "/eu", 2) };
        let authority = Identity::new(key(2), root().issue(authority).unwrap()).unwrap();
        let agent = Grant { validity: of_agent, ..grant(Kind::Agent, "/eu/h1", 3) };
        let chain = authority.issue(agent).unwrap();
        assert_eq!(name(verifier().chain(at, &chain)), expected, "{of_zone:?} {of_agent:?} {at}");
        // Also when it was right before, and is remembered.
        let mut verifier = verifier();
        let _ = verifier.chain(NOW + 1, &chain);
        assert_eq!(name(verifier.chain(at, &chain)), expected, "remembered");
    }
    let strict = verifier().with_skew_s(0).chain(NOW - 1, h1().chain());
    assert_eq!(name(strict), "not_yet");
}

#[test]
fn who_issues_what_they_may_not_is_refused_by_themselves_and_by_others() {
    let us = issued(&root(), Kind::Zone, "/us", 5);
    for (by, what, expected) in [
        (&us, grant(Kind::Agent, "/eu/ams/h1", 6), "outside"),
        (&us, grant(Kind::Zone, "/", 6), "outside"),
        (&us, grant(Kind::Zone, "/usa", 6), "outside"),
        (&us, grant(client("read"), "/", 6), "outside"),
        (&h1(), grant(Kind::Agent, "/eu/ams/h1", 6), "no_authority"),
        (&h1(), grant(Kind::Zone, "/eu/ams/h1/x", 6), "no_authority"),
        (&alice("read,write,install"), grant(client("read"), "/eu", 6), "no_authority"),
    ] {
        assert_eq!(by.issue(what.clone()).unwrap_err().name(), expected, "{what:?}");
        assert_eq!(name(verifier().chain(NOW, &smuggled(by, &what))), expected, "{what:?}");
    }
    let smuggled = smuggled(&us, &grant(Kind::Zone, "/us", 6));
    assert_eq!(name(verifier().chain(NOW, &smuggled)), "accepted", "a way to have it changes nothing");
}

#[test]
fn a_chain_begins_at_an_anchor_that_reaches_it() {
    let stranger = issued(&Identity::anchor(key(9), zone("/")), Kind::Agent, "/eu/ams/h1", 3);
    assert_eq!(name(says_of_row(&stranger, "/eu/ams", "h1")), "forged");
    let of_us = Anchor { zone: zone("/us"), key: key(1).public() };
    let mut elsewhere = Verifier::new(vec![of_us.clone()]).unwrap();
    assert_eq!(name(elsewhere.chain(NOW, h1().chain())), "outside");
    // While one anchor takes another one's place both count.
    let of_nine = Anchor { zone: zone("/"), key: key(9).public() };
    let mut both = Verifier::new(vec![of_us, of_nine, anchor()]).unwrap();
    assert_eq!(name(both.chain(NOW, h1().chain())), "accepted");
    assert_eq!(name(both.chain(NOW, stranger.chain())), "accepted");
    assert_eq!(name(both.chain(NOW, &Chain::default())), "no_certificate");
    assert_eq!(Verifier::new(vec![]).unwrap_err(), Refusal::Anchors);
    assert_eq!(Verifier::new(vec![anchor(); 5]).unwrap_err(), Refusal::Anchors);
}

#[test]
fn chains_are_bounded() {
    let mut authority = eu();
    for seed in 10..10 + u8::try_from(LINKS_MAX).unwrap() - 1 {
        assert_eq!(name(verifier().chain(NOW, authority.chain())), "accepted");
        authority = issued(&authority, Kind::Zone, "/eu", seed);
    }
    let more = grant(Kind::Agent, "/eu/h1", 3);
    assert_eq!(authority.issue(more.clone()).unwrap_err(), Refusal::Long);
    let bytes = authority.chain().encode();
    let longer = [&[1, bytes[1] + 1], &bytes[2..], &eu().issue(more).unwrap().encode()[2..]].concat();
    assert_eq!(Chain::decode(&longer).unwrap_err(), Refusal::Long);
    for claimed in [0xff, 0x7f] {
        let bytes = [1, claimed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(Chain::decode(&bytes).is_err());
    }
    assert_eq!(Chain::decode(&[0; 9000]).unwrap_err(), Refusal::Malformed);
}

#[test]
fn a_typical_certificate_is_small() {
    let agent = issued(&root(), Kind::Agent, "/eu/ams/h1", 3);
    assert_eq!(agent.chain().encode().len(), 118);
    assert_eq!(h1().chain().encode().len(), 227);
}

#[test]
fn a_key_has_its_own_certificate() {
    let other = Identity::new(key(8), h1().chain().clone()).unwrap_err();
    assert_eq!(other.name(), "other_key");
    assert_eq!(Identity::new(key(8), Chain::default()).unwrap_err().name(), "no_certificate");
    // A row signed by somebody else who shows the certificate.
    let zone = zone("/eu/ams");
    let row = row(&zone, "h1");
    assert_eq!(name(verifier().row(NOW, h1().chain(), &row, &row.sign(&key(8)))), "forged");
    assert_eq!(root().issue(grant(Kind::Agent, "/", 6)).unwrap_err().name(), "name");
    let nobody = Kind::Client { name: "a b".to_owned(), may: "read".parse().unwrap() };
    assert_eq!(root().issue(grant(nobody, "/", 6)).unwrap_err().name(), "name");
}

#[test]
fn each_certificate_is_looked_at_once_and_what_is_forged_does_not_stay() {
    let mut verifier = verifier().with_cache(8);
    let (agent, ams) = (h1(), zone("/eu/ams"));
    let row = row(&ams, "h1");
    let signature = row.sign(agent.key());
    for times in 1..=5 {
        verifier.row(NOW, agent.chain(), &row, &signature).unwrap();
        let counters = verifier.counters();
        assert_eq!((counters.signatures, counters.cached), (3, 3 * (times - 1)));
    }
    let held = verifier.cached();
    for seed in 20..60 {
        let forged = smuggled_by(seed);
        assert_eq!(name(verifier.chain(NOW, &forged)), "forged");
    }
    assert_eq!(verifier.cached(), held, "who has no key puts nothing in");
    for seed in 20..60 {
        let other = issued(&eu(), Kind::Agent, &format!("/eu/h{seed}"), seed);
        verifier.chain(NOW, other.chain()).unwrap();
        assert!(verifier.cached() <= 8);
    }
    let counters = verifier.counters();
    assert_eq!(counters.accepted, 45);
    assert_eq!(counters.refused.get("forged"), Some(&40));
    // Twice the same is the same, also in what is forgotten.
    let first = verifier.counters().signatures;
    verifier.row(NOW, agent.chain(), &row, &signature).unwrap();
    assert_eq!(
        verifier.counters().signatures,
        first + 2,
        "the agent's was forgotten, the authority's was not"
    );
}

/// An agent's certificate that the authority of `/eu` has not signed.
fn smuggled_by(seed: u8) -> Chain {
    let fake = Identity::anchor(key(seed), zone("/eu")).issue(grant(Kind::Agent, "/eu/h1", seed)).unwrap();
    let (own, last) = (eu().chain().encode(), fake.encode());
    Chain::decode(&[&[1, 2], &own[2..], &last[2..]].concat()).unwrap()
}

#[test]
fn what_was_revoked_does_not_count_nor_does_what_follows_from_it() {
    let (agent, authority) = (h1(), eu());
    let other = issued(&authority, Kind::Agent, "/eu/ams/h2", 7);
    let mut verifier = verifier();
    verifier.chain(NOW, agent.chain()).unwrap();
    let of_agent = agent.chain().subject().unwrap();
    let revocation = authority.revoke(of_agent, NOW).unwrap();
    assert_eq!(verifier.revoke(NOW, &revocation), Ok(true));
    assert_eq!(verifier.revoke(NOW, &revocation), Ok(false));
    assert_eq!(name(verifier.chain(NOW, agent.chain())), "revoked", "though it is remembered to be right");
    assert_eq!(name(verifier.chain(NOW, other.chain())), "accepted");
    let of_zone = authority.chain().subject().unwrap();
    assert_eq!(verifier.revoke(NOW, &root().revoke(of_zone, NOW).unwrap()), Ok(true));
    assert_eq!(name(verifier.chain(NOW, other.chain())), "revoked");
    assert_eq!(verifier.revoked(), 2);
    // Who was revoked revokes nothing.
    let late = authority.revoke(other.chain().subject().unwrap(), NOW).unwrap();
    assert_eq!(verifier.revoke(NOW, &late).unwrap_err().name(), "revoked");
}

#[test]
fn only_an_authority_around_it_revokes_a_certificate() {
    let (us, agent) = (issued(&root(), Kind::Zone, "/us", 5), h1());
    let of_agent = agent.chain().subject().unwrap();
    for by in [&us, &agent, &alice("read,write,install")] {
        assert_eq!(by.revoke(of_agent, NOW).unwrap_err().name(), "not_allowed");
    }
    // The authority of /us says that it is one of its own: the same id, another zone.
    let in_us = issued(&us, Kind::Agent, "/us/h1", 6);
    let revocation = us.revoke(in_us.chain().subject().unwrap(), NOW).unwrap();
    let (own, wanted) = (in_us.chain().subject().unwrap().id(), of_agent.id());
    let mut bytes = revocation.encode();
    let at = bytes.windows(32).position(|w| w == own.as_bytes()).unwrap();
    bytes[at..at + 32].copy_from_slice(wanted.as_bytes());
    let forged = gcs_monitor::trust::Revocation::decode(&bytes).unwrap();
    assert_eq!(verifier().revoke(NOW, &forged).unwrap_err().name(), "forged");
    // Nothing that has expired is called back, nor by who is forgotten first.
    assert_eq!(root().revoke(of_agent, NOW + 11 * DAY).unwrap_err().name(), "expired");
    let long = Grant { validity: Validity::new(NOW, 11 * DAY), ..grant(Kind::Agent, "/eu/h1", 3) };
    let long = eu().issue(long).unwrap();
    assert_eq!(eu().revoke(long.subject().unwrap(), NOW).unwrap_err().name(), "expired");
    assert!(root().revoke(long.subject().unwrap(), NOW).is_ok());
}
