use super::{Certificates, KeyError, PreShared};
use crate::{
    endpoint::{Bootstrap, Config, ConfigError},
    guard::{Guard, Keys, Opened, Refusal},
    id::{GroupTag, Incarnation, MemberId},
    layer::{Layer, LayerSpec, Protocol, Scope, Wants},
    properties::Properties,
    rng::Rng,
    stack::{Blueprint, REQUIRED},
    time::Time,
    view::ViewId,
};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// The time of day in these tests: 2030-01-01.
const WALL: u64 = 1_893_456_000_000_000_000;
const VIEW: ViewId = ViewId { epoch: 7, number: 3 };

fn tag() -> GroupTag {
    GroupTag::of("group")
}

fn member(n: u8) -> MemberId {
    MemberId { addr: SocketAddr::from(([10, 0, 0, n], 7000)), incarnation: Incarnation(u64::from(n)) }
}

fn shared(key: u8) -> PreShared {
    PreShared::new(&[key; 32]).unwrap()
}

fn guard(keys: &dyn Keys, n: u8) -> Box<dyn Guard> {
    let mut guard = keys.guard(u64::from(n));
    // Whether others accept its proof is for them to say.
    let _ = guard.begin(Time::ZERO, tag(), member(n), WALL);
    guard
}

/// What comes of a datagram, and the reply to it.
fn hand(guard: &mut Box<dyn Guard>, at: u64, from: MemberId, datagram: &[u8]) -> (Opened, Option<Bytes>) {
    let mut reply = None;
    let opened = guard.open(Time(at * 1_000_000), from.addr, datagram, &mut reply);
    (opened, reply)
}

/// Makes two processes known to each other.
fn introduce(a: &mut Box<dyn Guard>, b: &mut Box<dyn Guard>, ids: (MemberId, MemberId)) {
    let hello = a.seal(Time::ZERO, ids.1.addr, b"x");
    assert_eq!(hello.len(), 1, "who is not known gets nothing but an introduction");
    let (opened, reply) = hand(b, 0, ids.0, &hello[0]);
    assert_eq!(opened, Opened::Introduced(ids.0));
    let (opened, reply) = hand(a, 0, ids.1, &reply.expect("it was asked"));
    assert_eq!((opened, reply), (Opened::Introduced(ids.1), None));
}

/// What `a` says to `b`, without the introduction.
fn say(a: &mut Box<dyn Guard>, to: MemberId, what: &[u8]) -> Bytes {
    a.seal(Time::ZERO, to.addr, what).pop().unwrap()
}

#[test]
fn who_has_the_key_is_heard_and_repeats_are_not() {
    let (mut a, mut b) = (guard(&shared(1), 1), guard(&shared(1), 2));
    introduce(&mut a, &mut b, (member(1), member(2)));
    let first = say(&mut a, member(2), b"one");
    let second = say(&mut a, member(2), b"two");
    assert!(!first.windows(3).any(|w| w == b"one"), "it is sealed");
    assert_eq!(a.read_own(member(2).addr, &first).unwrap(), "one");
    let control = |what: &'static [u8]| Opened::Control(member(1), Bytes::from_static(what));
    assert_eq!(hand(&mut b, 0, member(1), &second).0, control(b"two"));
    assert_eq!(hand(&mut b, 0, member(1), &first).0, control(b"one"), "it was overtaken");
    assert_eq!(hand(&mut b, 0, member(1), &first).0, Opened::Refused(Refusal::Replayed));
    // Once b has said something, a knows that b knows it, and introduces itself no more.
    let answer = say(&mut b, member(1), b"three");
    assert!(matches!(hand(&mut a, 0, member(2), &answer).0, Opened::Control(..)));
    assert_eq!(a.seal(Time::ZERO, member(2).addr, b"four").len(), 1);
}

#[test]
fn every_damage_and_every_other_direction_is_noticed() {
    let (mut a, mut b) = (guard(&shared(1), 1), guard(&shared(1), 2));
    introduce(&mut a, &mut b, (member(1), member(2)));
    let sealed = say(&mut a, member(2), b"hello");
    for bit in 0..sealed.len() * 8 {
        let mut damaged = sealed.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (opened, _) = hand(&mut b, 0, member(1), &damaged);
        assert!(matches!(opened, Opened::Refused(_) | Opened::Nothing), "bit {bit}: {opened:?}");
    }
    for len in 0..sealed.len() {
        let (opened, _) = hand(&mut b, 0, member(1), &sealed[..len]);
        assert!(matches!(opened, Opened::Refused(_) | Opened::Nothing), "cut to {len}: {opened:?}");
    }
    // Thrown back at who sealed it.
    let (opened, _) = hand(&mut a, 0, member(2), &sealed);
    assert_eq!(opened, Opened::Nothing, "the key that it names is not b's");
    assert!(matches!(hand(&mut b, 0, member(1), &sealed).0, Opened::Control(..)), "it was not used up");
}

#[test]
fn nobody_comes_in_with_another_key_or_group_or_from_another_address() {
    let (mut a, mut stranger) = (guard(&shared(1), 1), guard(&shared(2), 2));
    let hello = stranger.seal(Time::ZERO, member(1).addr, b"x").remove(0);
    let (opened, reply) = hand(&mut a, 20, member(2), &hello);
    assert_eq!(opened, Opened::Refused(Refusal::OtherKey));
    let (opened, _) = hand(&mut stranger, 20, member(1), &reply.expect("a hint"));
    assert_eq!(opened, Opened::Refused(Refusal::OtherKey), "so it knows why nobody answers");
    let (_, reply) = hand(&mut a, 21, member(2), &hello);
    assert_eq!(reply, None, "hints are few");

    let mut elsewhere = shared(1).guard(0);
    elsewhere.begin(Time::ZERO, GroupTag::of("other"), member(3), WALL).unwrap();
    let hello = elsewhere.seal(Time::ZERO, member(1).addr, b"x").remove(0);
    assert_eq!(hand(&mut a, 40, member(3), &hello).0, Opened::Nothing);

    let mut friend = guard(&shared(1), 4);
    let hello = friend.seal(Time::ZERO, member(1).addr, b"x").remove(0);
    assert_eq!(hand(&mut a, 60, member(5), &hello).0, Opened::Refused(Refusal::Broken));
    assert_eq!(hand(&mut a, 60, member(4), &hello).0, Opened::Introduced(member(4)));
}

#[test]
fn a_process_that_comes_back_is_known_anew_and_its_former_self_no_more() {
    let (mut a, mut b) = (guard(&shared(1), 1), guard(&shared(1), 2));
    introduce(&mut a, &mut b, (member(1), member(2)));
    let old_hello = a.seal(Time::ZERO, member(3).addr, b"x").remove(0);
    let old = say(&mut a, member(2), b"old");
    let again = MemberId { incarnation: Incarnation(9), ..member(1) };
    a.begin(Time::ZERO, tag(), again, WALL).unwrap();
    // b seals for the key that a had; a says who it is now.
    let missed = say(&mut b, member(1), b"hello");
    let (opened, reply) = hand(&mut a, 20, member(2), &missed);
    assert_eq!(opened, Opened::Refused(Refusal::Broken));
    let (opened, reply) = hand(&mut b, 20, again, &reply.expect("it says who it is"));
    assert_eq!(opened, Opened::Introduced(again));
    hand(&mut a, 20, member(2), &reply.expect("it was asked"));
    assert!(matches!(hand(&mut a, 20, member(2), &say(&mut b, again, b"now")).0, Opened::Control(..)));
    // What the former incarnation said is nothing any more, and its introduction brings it not back.
    assert_eq!(hand(&mut b, 40, member(1), &old).0, Opened::Nothing);
    assert_eq!(hand(&mut b, 40, member(1), &old_hello).0, Opened::Nothing);
    assert!(matches!(hand(&mut b, 40, again, &say(&mut a, member(2), b"still")).0, Opened::Control(..)));
}

#[test]
fn only_those_for_whom_a_secret_is_meant_learn_it() {
    let ids = [member(1), member(2), member(3)];
    let mut guards: Vec<_> = (1..=3).map(|n| guard(&shared(1), n)).collect();
    assert_eq!(guards[0].envelopes(VIEW, &ids), None, "keys are missing");
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let (left, right) = guards.split_at_mut(b);
        introduce(&mut left[a], &mut right[0], (ids[a], ids[b]));
    }
    let envelopes = guards[0].envelopes(VIEW, &ids[..2]).unwrap();
    let secret = guards[0].secret(VIEW, 0, &envelopes).unwrap();
    assert_eq!(guards[1].secret(VIEW, 1, &envelopes), Some(secret));
    for place in 0..2 {
        assert_eq!(guards[2].secret(VIEW, place, &envelopes), None, "it is in no envelope of its own");
    }
    assert_eq!(guards[1].secret(VIEW, 0, &envelopes), None, "another's envelope");
    let next = ViewId { number: 4, ..VIEW };
    assert_eq!(guards[1].secret(next, 1, &envelopes), None, "another view");
    let other = guards[0].envelopes(VIEW, &ids[..2]).unwrap();
    assert_ne!(guards[0].secret(VIEW, 0, &other), Some(secret), "every secret is new");
    let renewed = MemberId { incarnation: Incarnation(8), ..ids[1] };
    assert_eq!(
        guards[0].envelopes(VIEW, &[ids[0], renewed]),
        None,
        "the key of that incarnation is not known"
    );
}

#[test]
fn garbage_is_refused_without_panic() {
    let (mut a, mut b) = (guard(&shared(1), 1), guard(&shared(1), 2));
    introduce(&mut a, &mut b, (member(1), member(2)));
    let hello = a.seal(Time::ZERO, member(3).addr, b"x").remove(0);
    let mut rng = Rng::new(5);
    for round in 0..20_000 {
        let mut garbage: Vec<u8> = if rng.chance(500) {
            (0..rng.below(120)).map(|_| (rng.next_u64() & 0xff) as u8).collect()
        } else {
            hello.to_vec()
        };
        for _ in 0..rng.below(4) {
            let at = rng.below(garbage.len().max(1) as u64) as usize;
            if let Some(byte) = garbage.get_mut(at) {
                *byte = (rng.next_u64() & 0xff) as u8;
            }
        }
        if garbage.len() > 4 && rng.chance(700) {
            garbage[..4].copy_from_slice(&[0xC8, 1, 1 + (round % 2) as u8, 0]);
        }
        let from = member(1 + rng.below(4) as u8);
        let (opened, _) = hand(&mut b, round, from, &garbage);
        let harmless = garbage == hello;
        assert!(harmless || !matches!(opened, Opened::Control(..) | Opened::Introduced(_)), "{garbage:?}");
    }
}

#[test]
fn short_keys_are_refused() {
    assert_eq!(PreShared::new(b"secret").unwrap_err(), KeyError::Length);
    assert_eq!(PreShared::new(&[7; 1025]).unwrap_err(), KeyError::Length);
    let spaced = [&[1; 32][..], b"\n"].concat();
    let (mut a, mut b) = (guard(&PreShared::new(&spaced).unwrap(), 1), guard(&shared(1), 2));
    introduce(&mut a, &mut b, (member(1), member(2)));
}

/// An authority for tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

fn key_pair() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key_pair()).unwrap())
    }

    /// A certificate for this name, and its key, both in PEM.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = key_pair();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn keys(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certificates {
        let (certificate, key) = self.issue(name, change);
        Certificates::from_pem(certificate.as_bytes(), key.as_bytes(), self.0.pem().as_bytes()).unwrap()
    }
}

fn unchanged(_: &mut CertificateParams) {}

#[test]
fn certificates_of_the_same_authority_let_processes_in_under_their_names() {
    let authority = Authority::new();
    let (alpha, beta) = (authority.keys("alpha", unchanged), authority.keys("beta", unchanged));
    assert!(alpha.fits("alpha") && !alpha.fits("beta") && !alpha.fits(""));
    let (mut a, mut b) = (guard(&alpha, 1), guard(&beta, 2));
    introduce(&mut a, &mut b, (member(1), member(2)));
    let said = say(&mut a, member(2), b"hello");
    assert!(matches!(hand(&mut b, 0, member(1), &said).0, Opened::Control(..)));
    assert!(b.allows(member(1), "alpha") && !b.allows(member(1), "beta") && !b.allows(member(3), "alpha"));
    let envelopes = a.envelopes(VIEW, &[member(1), member(2)]).unwrap();
    assert_eq!(a.secret(VIEW, 0, &envelopes), b.secret(VIEW, 1, &envelopes));
    assert!(b.secret(VIEW, 1, &envelopes).is_some());
}

#[test]
fn foreign_expired_and_misused_certificates_are_refused_and_named() {
    let authority = Authority::new();
    let day = |n: i32| rcgen::date_time_ymd(n, 1, 1);
    let cases: [(Certificates, &str); 4] = [
        (Authority::new().keys("x", unchanged), "another authority has signed it"),
        (authority.keys("x", |p| p.not_after = day(2029)), "it has expired"),
        (authority.keys("x", |p| p.not_before = day(2031)), "it is not valid yet; do the clocks agree?"),
        (
            authority.keys("x", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            "certificate is not valid for its name",
        ),
    ];
    let mut a = guard(&authority.keys("alpha", unchanged), 1);
    for (i, (keys, why)) in cases.iter().enumerate() {
        let hello = guard(keys, 2).seal(Time::ZERO, member(1).addr, b"x").remove(0);
        match hand(&mut a, i as u64, member(2), &hello).0 {
            Opened::Refused(Refusal::Certificate(said)) if i < 3 => assert_eq!(said, *why),
            Opened::Refused(Refusal::Certificate(_)) => {}
            other => panic!("{why}: {other:?}"),
        }
    }
    let begun = cases[1].0.guard(0).begin(Time::ZERO, tag(), member(2), WALL);
    assert_eq!(begun.unwrap_err().to_string(), "its certificate is not accepted: it has expired");
    // Somebody else's certificate, with an own key.
    let (certificate, _) = authority.issue("x", unchanged);
    let (_, key) = authority.issue("x", unchanged);
    let pem = authority.0.pem();
    let error = Certificates::from_pem(certificate.as_bytes(), key.as_bytes(), pem.as_bytes()).unwrap_err();
    assert_eq!(error, KeyError::Mismatch);
    // A pre-shared key is no certificate, and the other way round.
    let hello = guard(&shared(1), 2).seal(Time::ZERO, member(1).addr, b"x").remove(0);
    assert_eq!(hand(&mut a, 9, member(2), &hello).0, Opened::Refused(Refusal::OtherKey));
    let hello = a.seal(Time::ZERO, member(2).addr, b"x").remove(0);
    assert_eq!(hand(&mut guard(&shared(1), 2), 9, member(1), &hello).0, Opened::Refused(Refusal::OtherKey));
}

#[test]
fn signatures_are_known_by_certificates() {
    let authority = Authority::new();
    let (alpha, beta) = (authority.keys("alpha", unchanged), authority.keys("beta", unchanged));
    let (alpha, beta) = (alpha.signer().unwrap(), beta.signer().unwrap());
    let key = beta.key_of(&alpha.certificate(), "alpha").unwrap();
    assert_eq!(key, alpha.public_key());
    let signature = alpha.sign(&[1; 32]);
    assert!(beta.is_signed(&key, &[1; 32], &signature));
    assert!(
        !beta.is_signed(&key, &[2; 32], &signature)
            && !beta.is_signed(&beta.public_key(), &[1; 32], &signature)
    );
    // Who has been let in stays in when its certificate expires; its signatures count like before.
    let old = authority.keys("old", |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1)).signer().unwrap();
    assert_eq!(beta.key_of(&old.certificate(), "old"), Ok(old.public_key()));
    let why = |certificate: &[u8], name| beta.key_of(certificate, name).unwrap_err().to_string();
    assert_eq!(why(&alpha.certificate(), "beta"), "its certificate is not for the name `beta`");
    let foreign = Authority::new().keys("alpha", unchanged).signer().unwrap();
    let expected = "its certificate is not accepted: another authority has signed it";
    assert_eq!(why(&foreign.certificate(), "alpha"), expected);
    for cut in 0..alpha.certificate().len() {
        assert!(beta.key_of(&alpha.certificate()[..cut], "alpha").is_err(), "cut to {cut}");
    }
    assert!(shared(1).signer().is_none(), "a key that all share signs for nobody");
}

#[test]
fn a_flood_of_proofs_is_checked_slowly_and_the_group_goes_on() {
    let authority = Authority::new();
    let (mut a, mut b) =
        (guard(&authority.keys("alpha", unchanged), 1), guard(&authority.keys("beta", unchanged), 2));
    introduce(&mut a, &mut b, (member(1), member(2)));
    let hello =
        guard(&Authority::new().keys("x", unchanged), 3).seal(Time::ZERO, member(1).addr, b"x").remove(0);
    let refused =
        (0..1_000).filter(|_| matches!(hand(&mut a, 1, member(3), &hello).0, Opened::Refused(_))).count();
    assert!((1..=64).contains(&refused), "{refused} proofs were checked");
    let said = say(&mut b, member(1), b"hello");
    assert!(matches!(hand(&mut a, 1, member(2), &said).0, Opened::Control(..)));
    let mut late = guard(&authority.keys("late", unchanged), 4);
    let hello = late.seal(Time::ZERO, member(1).addr, b"x").remove(0);
    let after = 1 + Duration::from_millis(100).as_millis() as u64;
    assert_eq!(hand(&mut a, after, member(4), &hello).0, Opened::Introduced(member(4)));
}

#[test]
fn broken_files_are_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("x", unchanged);
    let pem = authority.0.pem();
    let why = |c: &str, k: &str, a: &str| {
        Certificates::from_pem(c.as_bytes(), k.as_bytes(), a.as_bytes()).unwrap_err().to_string()
    };
    assert!(why("", &key, &pem).starts_with("the certificate cannot be read: "));
    assert!(why(&certificate, "nonsense", &pem).starts_with("the private key cannot be read: "));
    assert_eq!(
        why(&certificate, &key, ""),
        "the authority's certificate cannot be read: there is none in it"
    );
}

/// Claims what it is told to, and does nothing.
struct Gives(Properties);

impl Layer for Gives {}

impl Protocol for Gives {
    fn spec(&self) -> LayerSpec {
        let gives = self.0.and(REQUIRED);
        LayerSpec { name: "gives", version: 1, needs: Properties::NONE, gives, wants: Wants::ALL }
    }

    fn build(&self, _: &Scope) -> Box<dyn Layer> {
        Box::new(Self(self.0))
    }
}

#[test]
fn keys_that_do_not_fit_the_stack_are_refused() {
    let said = |gives: Properties, keys: Option<Arc<dyn Keys>>| {
        let stack = Blueprint::new("stack", vec![Arc::new(Gives(gives))]).unwrap();
        let bootstrap = Bootstrap::Found;
        Config { keys, bootstrap, ..Config::new("group", "alpha", stack) }.validate()
    };
    let authority = Authority::new();
    let certificate = |name| Some(Arc::new(authority.keys(name, unchanged)) as Arc<dyn Keys>);
    let key = || Some(Arc::new(shared(1)) as Arc<dyn Keys>);
    let encrypted = Properties::ENCRYPTED;
    let signed = encrypted | Properties::SIGNED;
    for (gives, keys) in [
        (Properties::NONE, None),
        (encrypted, key()),
        (encrypted, certificate("alpha")),
        (signed, certificate("alpha")),
    ] {
        assert_eq!(said(gives, keys), Ok(()));
    }
    assert_eq!(said(encrypted, None), Err(ConfigError::NoKeys));
    assert_eq!(said(Properties::NONE, key()), Err(ConfigError::Unsealed));
    assert_eq!(said(signed, certificate("beta")), Err(ConfigError::NotForName));
    assert_eq!(said(signed, key()), Err(ConfigError::NoSigner));
}
