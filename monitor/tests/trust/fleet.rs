//! A fleet with keys that are the same every time.

use gcs_monitor::{
    trust::{Anchor, Chain, Grant, Identity, Kind, Refusal, RowIssue, SecretKey, Validity, Verifier},
    zones::{
        function::{Function, Said},
        name::ZoneName,
    },
};

/// Some second in 2026.
pub(crate) const NOW: u64 = 1_790_000_000;
pub(crate) const DAY: u64 = 86_400;

pub(crate) fn zone(path: &str) -> ZoneName {
    path.parse().unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32]).unwrap()
}

pub(crate) fn root() -> Identity {
    Identity::anchor(key(1), ZoneName::root())
}

pub(crate) fn anchor() -> Anchor {
    Anchor { zone: ZoneName::root(), key: key(1).public() }
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(vec![anchor()]).unwrap()
}

pub(crate) fn grant(kind: Kind, path: &str, seed: u8) -> Grant {
    Grant { kind, zone: zone(path), key: key(seed).public(), validity: Validity::new(NOW, 10 * DAY) }
}

pub(crate) fn client(may: &str) -> Kind {
    Kind::Client { name: "alice".to_owned(), may: may.parse().unwrap() }
}

/// Somebody whom `by` certifies.
pub(crate) fn issued(by: &Identity, kind: Kind, path: &str, seed: u8) -> Identity {
    Identity::new(key(seed), by.issue(grant(kind, path, seed)).unwrap()).unwrap()
}

/// The authority of `/eu`.
pub(crate) fn eu() -> Identity {
    issued(&root(), Kind::Zone, "/eu", 2)
}

/// The agent `/eu/ams/h1`, certified by the authority of `/eu`.
pub(crate) fn h1() -> Identity {
    issued(&eu(), Kind::Agent, "/eu/ams/h1", 3)
}

/// Alice in `/eu`.
pub(crate) fn alice(may: &str) -> Identity {
    issued(&eu(), client(may), "/eu", 4)
}

pub(crate) fn row<'a>(zone: &'a ZoneName, child: &'a str) -> RowIssue<'a> {
    RowIssue { zone, child, generator: 77, version: 3, row: b"a row" }
}

/// What a verifier that is asked for the first time says of a row.
pub(crate) fn says_of_row(by: &Identity, path: &str, child: &str) -> Result<(), Refusal> {
    let zone = zone(path);
    let row = row(&zone, child);
    verifier().row(NOW, by.chain(), &row, &row.sign(by.key()))
}

/// What a function says that is right; from now on for a day, not signed.
pub(crate) fn function(name: &str, sql: &str) -> Said {
    Function::open(name, sql, NOW, DAY).unwrap().said().clone()
}

/// The chain with another one's last certificate signed by this key, whatever it may: what an attacker would send. Made of bytes, as there is no
/// other way to make it.
pub(crate) fn smuggled(by: &Identity, grant: &Grant) -> Chain {
    // An anchor of the same key certifies it: what is signed is the same, and only the chain differs.
    let forged = Identity::anchor(by_key(by), grant.zone.clone()).issue(grant.clone()).unwrap();
    let (own, last) = (by.chain().encode(), forged.encode());
    let count = u8::try_from(by.chain().certificates().len()).unwrap();
    let bytes = [&[1, count + 1], &own[2..], &last[2..]].concat();
    Chain::decode(&bytes).unwrap()
}

/// The key of somebody here again: it cannot be copied.
fn by_key(of: &Identity) -> SecretKey {
    (0..=255).map(key).find(|key| key.public() == of.key().public()).unwrap()
}
