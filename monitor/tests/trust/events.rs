//! Standing queries in trees of agents with keys, in the simulator: who may ask, and whose events are believed.

use std::{sync::Arc, time::Duration};

use gcs_monitor::{
    row::Row,
    sim::{Agents, Network, Plan, Seeds, World},
    trust::{Grant, Identity, Kind, SecretKey, Validity},
    value::Value,
    zones::{
        agent::{Config, InstallError},
        event::{Event, EventId, Fired, Told},
        function::{Function, Said},
        kind::{Delivery, Kind as Of, Standing, Trigger},
        message::{Body, Message},
        name::ZoneName,
    },
};

use super::fleet::zone;

const NAME: &str = "event-1";
/// Who asks: `/z02/z02`.
const BY: usize = 8;

fn plan(branching: usize, levels: u32) -> Plan {
    Plan {
        agents: Agents { branching, levels },
        config: Config::default(),
        seeds: Seeds::Near,
        functions: Vec::new(),
        network: Network { latency_ms: (5, 20), loss_per_mille: 0 },
        seed: 7,
    }
}

/// Nine agents with keys, in three zones, who know each other.
fn nine() -> World {
    let mut world = World::grown_closed(plan(3, 2));
    world.run(Duration::from_secs(5));
    world
}

fn client(world: &World, may: &str, path: &str) -> Identity {
    let (key, zone) = (SecretKey::from_seed(&[77; 32]).unwrap(), zone(path));
    let kind = Kind::Client { name: "alice".to_owned(), may: may.parse().unwrap() };
    let grant = Grant { kind, zone, key: key.public(), validity: Validity::new(0, 1 << 30) };
    Identity::new(key, world.fleet().unwrap().root().issue(grant).unwrap()).unwrap()
}

fn said(world: &World, name: &str) -> Said {
    let (delivery, trigger) = (Delivery::AtLeastOnce, Trigger::Edge);
    let standing = Standing { to: world.address(BY), trigger, delivery, every_ms: 500 };
    let text = "SELECT id, state FROM attributes WHERE state > 0".to_owned();
    let (name, issued_s) = (name.to_owned(), world.now_ms() / 1000);
    let (kind, expires_s) = (Of::Standing(standing), issued_s + 600);
    Said { name, kind, text, strong: false, issued_s, expires_s, seal: Vec::new() }
}

fn function(said: Said) -> Arc<Function> {
    Arc::new(Function::new(said).unwrap())
}

/// A world in which alice has asked the agents of a zone.
fn asked(path: &str, by: usize) -> World {
    let mut world = nine();
    let signed = client(&world, "subscribe", path).sign_function(&zone(path), said(&world, NAME)).unwrap();
    world.subscribe(by, &zone(path), &function(signed)).unwrap();
    world.run(Duration::from_secs(3));
    world
}

fn refused(world: &World, of: usize, why: &str) -> u64 {
    world.agent(of).verified().unwrap().refused.get(why).copied().unwrap_or(0)
}

fn standing(world: &World) -> usize {
    world.living().filter(|(_, agent)| agent.standing(world.now()).count() == 1).count()
}

fn told(events: &[Event]) -> Vec<(String, i64)> {
    let told = events.iter().filter_map(|event| event.told.as_ref());
    told.map(|told| (told.agent.clone(), told.rows[0].get("state").as_int().unwrap())).collect()
}

#[test]
fn what_is_signed_stands_and_what_fires_is_told() {
    let mut world = asked("/", BY);
    assert_eq!(standing(&world), 9);
    world.set(0, "state", Value::Int(1));
    world.set(BY, "state", Value::Int(2));
    world.run(Duration::from_secs(5));
    let mut came = told(&world.heard(BY, NAME));
    came.sort();
    assert_eq!(came, [("/z00/z00".to_owned(), 1), ("/z02/z02".to_owned(), 2)]);
    for (of, agent) in world.living() {
        let verified = agent.verified().unwrap();
        assert_eq!(verified.refused.values().sum::<u64>(), 0, "{of}: {verified:?}");
    }
}

#[test]
fn who_may_not_subscribe_does_not() {
    let mut world = nine();
    let (root, here) = (zone("/"), zone("/z02"));
    let right = client(&world, "subscribe", "/").sign_function(&root, said(&world, NAME)).unwrap();
    let own = |said: Said| {
        // Signed all the same, by an anchor of the same key.
        let key = SecretKey::from_seed(&[77; 32]).unwrap();
        Identity::anchor(key, ZoneName::root()).sign_function(&root, said).unwrap()
    };
    let with = |by: &Identity, said: Said| {
        let seal = [&by.chain().encode(), &own(said.clone()).seal[2..]].concat();
        Said { seal, ..said }
    };
    let installs = client(&world, "read,write,install,announce", "/");
    let inside = client(&world, "subscribe", "/z02");
    let announces = client(&world, "announce", "/");
    let announcement = Said { kind: Of::Announcement, name: "announcement-1".into(), ..said(&world, NAME) };
    let late = said(&world, NAME);
    let late = Said { issued_s: 0, expires_s: 1, ..late };
    let elsewhere = Standing { to: world.address(1), ..standing_of(&right) };
    for (why, scope, said) in [
        ("unsigned", &root, said(&world, NAME)),
        ("not_allowed", &root, with(&installs, said(&world, NAME))),
        ("not_allowed", &root, with(&inside, said(&world, NAME))),
        ("not_allowed", &root, with(&client(&world, "subscribe", "/"), announcement.clone())),
        // Signed for all, and installed in a zone inside.
        ("not_allowed", &here, right.clone()),
        ("forged", &root, Said { text: "SELECT id FROM attributes".into(), ..right.clone() }),
        ("forged", &root, Said { expires_s: right.expires_s + 1, ..right.clone() }),
        // The events would go to somebody else.
        ("forged", &root, Said { kind: Of::Standing(elsewhere), ..right.clone() }),
        // By the name of another kind: it would take its place.
        ("other_kind", &root, Said { name: "load".into(), ..right.clone() }),
        ("other_kind", &root, Said { name: NAME.into(), seal: right.seal.clone(), ..announcement }),
        (
            "other_kind",
            &root,
            Said { kind: Of::Aggregation, text: "SELECT COUNT(*) AS n".into(), ..right.clone() },
        ),
    ] {
        let error = world.subscribe(BY, scope, &function(said)).unwrap_err();
        let InstallError::Refused(refusal) = error else { panic!("{why}: {error}") };
        assert_eq!(refusal.name(), why, "{refusal}");
    }
    for by in [&installs, &announces, &inside] {
        assert_eq!(by.sign_function(&root, said(&world, NAME)).unwrap_err().name(), "not_allowed");
    }
    assert_eq!(
        announces
            .sign_function(&root, Said { name: "load".into(), ..said(&world, NAME) })
            .unwrap_err()
            .name(),
        "not_allowed"
    );
    assert!(world.subscribe(BY, &root, &function(with(&client(&world, "subscribe", "/"), late))).is_err());
    world.run(Duration::from_secs(3));
    assert_eq!(standing(&world), 0);
}

fn standing_of(said: &Said) -> Standing {
    let Of::Standing(standing) = said.kind else { unreachable!() };
    standing
}

#[test]
fn what_stands_does_no_longer_when_its_signer_is_revoked() {
    let mut world = asked("/", BY);
    let alice = client(&world, "subscribe", "/");
    let now_s = world.now_ms() / 1000;
    let revocation = world.fleet().unwrap().root().revoke(alice.chain().subject().unwrap(), now_s).unwrap();
    let before: Vec<u64> = world.living().map(|(_, agent)| agent.others_changed()).collect();
    assert_eq!(world.revoke(0, &Arc::new(revocation)), Ok(true));
    world.run(Duration::from_secs(3));
    assert_eq!(standing(&world), 0);
    for (before, (of, agent)) in before.into_iter().zip(world.living()) {
        assert!(agent.others_changed() > before, "{of}: who looks is not told");
    }
    let renewed = alice.sign_function(&zone("/"), said(&world, NAME)).unwrap();
    let error = world.subscribe(BY, &zone("/"), &function(renewed)).unwrap_err();
    assert!(matches!(error, InstallError::Refused(refusal) if refusal.name() == "revoked"));
}

/// An event as this agent would seal it.
fn sealed(world: &World, by: usize, query: &str, nth: u32, agent: &str, state: i64) -> Fired {
    let rows = vec![Row::new([("state", Value::Int(state))])];
    let told = Told { agent: agent.to_owned(), at_ms: 0, rows };
    let fired = Fired { id: EventId { origin: 5, nth }, rows: 1, lost: 0, told: Some(told), seal: None };
    let seal = world.fleet().unwrap().keys(by).unwrap().seal_event(query, &fired);
    Fired { seal: Some(Box::new(seal)), ..fired }
}

fn deliver(world: &mut World, to: usize, query: &str, fired: Fired) {
    let message = Message { zone: zone("/z00"), body: Body::Fired(query.into(), vec![fired]) };
    let message = Message::decode(&message.encode()).unwrap();
    world.deliver(to, 1, message);
}

#[test]
fn events_that_are_forged_or_of_others_are_not_shown() {
    let mut world = asked("/z00", 0);
    let right = sealed(&world, 1, NAME, 1, "/z00/z01", 7);
    let other = |change: &dyn Fn(&mut Fired)| {
        let mut fired = right.clone();
        change(&mut fired);
        fired
    };
    for (why, fired) in [
        ("open", other(&|fired| fired.seal = None)),
        (
            "forged",
            other(&|fired| fired.told.as_mut().unwrap().rows[0] = Row::new([("state", Value::Int(8))])),
        ),
        ("forged", other(&|fired| fired.told.as_mut().unwrap().at_ms = 1)),
        ("forged", other(&|fired| fired.id.nth = 2)),
        ("forged", other(&|fired| fired.id.origin = 6)),
        ("forged", other(&|fired| fired.rows = 2)),
        ("forged", other(&|fired| fired.lost = 1)),
        ("forged", other(&|fired| fired.told = None)),
        // Of another query, by another agent of the zone, by one that was not asked.
        ("forged", sealed(&world, 1, "event-2", 1, "/z00/z01", 7)),
        ("not_allowed", sealed(&world, 2, NAME, 1, "/z00/z01", 7)),
        ("not_allowed", sealed(&world, 3, NAME, 1, "/z01/z00", 7)),
        ("not_allowed", sealed(&world, 3, NAME, 1, "/z00/z01", 7)),
    ] {
        let before = refused(&world, 0, why);
        deliver(&mut world, 0, NAME, fired);
        assert_eq!(refused(&world, 0, why), before + 1, "{why}");
        assert_eq!(world.heard(0, NAME), [], "{why}");
    }
    // What was refused does not keep out what is right; that comes once, however often it is said.
    for _ in 0..3 {
        deliver(&mut world, 0, NAME, right.clone());
    }
    assert_eq!(told(&world.heard(0, NAME)), [("/z00/z01".to_owned(), 7)]);
    // Who takes another one's number speaks for itself only.
    let (taken, own) = (sealed(&world, 2, NAME, 2, "/z00/z02", 9), sealed(&world, 1, NAME, 2, "/z00/z01", 8));
    deliver(&mut world, 0, NAME, taken);
    deliver(&mut world, 0, NAME, own);
    assert_eq!(told(&world.heard(0, NAME)), [("/z00/z02".to_owned(), 9), ("/z00/z01".to_owned(), 8)]);
    // Its agent is revoked.
    let fleet = world.fleet().unwrap();
    let chain = fleet.agent(1).chain().clone();
    let revocation = fleet.root().revoke(chain.subject().unwrap(), world.now_ms() / 1000).unwrap();
    world.revoke(0, &Arc::new(revocation)).unwrap();
    let late = sealed(&world, 1, NAME, 3, "/z00/z01", 9);
    deliver(&mut world, 0, NAME, late);
    assert_eq!((refused(&world, 0, "revoked"), world.heard(0, NAME).len()), (1, 0));
}

/// Nobody signs a number: it may be made larger, and keeps nothing from being told.
#[test]
fn what_is_only_counted_keeps_nothing_from_being_told_and_counts_once() {
    let mut world = asked("/z00", 0);
    let right = sealed(&world, 1, NAME, 1, "/z00/z01", 7);
    let counted = Fired { told: None, seal: None, ..right.clone() };
    let mut times = Vec::new();
    for fired in [&counted, &counted, &right, &counted, &right] {
        deliver(&mut world, 0, NAME, fired.clone());
        times.extend(world.heard(0, NAME).into_iter().map(|event| (event.times, event.told.is_some())));
    }
    assert_eq!(times, [(1, false), (0, true)]);
    let next = sealed(&world, 1, NAME, 2, "/z00/z01", 8);
    let counted = Fired { told: None, seal: None, ..next.clone() };
    for fired in [next, counted] {
        deliver(&mut world, 0, NAME, fired);
    }
    assert_eq!(world.heard(0, NAME).iter().map(|event| event.times).sum::<u64>(), 1);
}

#[test]
fn a_flood_of_forged_events_costs_so_much_and_what_is_true_arrives() {
    let mut world = asked("/", BY);
    let before = world.agent(BY).verified().unwrap().signatures;
    let right = sealed(&world, 1, NAME, 1, "/z00/z01", 7);
    let began = world.now_ms();
    for nth in 0..10_000 {
        let mut fired = right.clone();
        fired.id.nth = nth + 2;
        deliver(&mut world, BY, NAME, fired);
    }
    let looked = world.agent(BY).verified().unwrap().signatures - before;
    let most = 2000 + 500 * ((world.now_ms() - began) / 1000 + 1) + 10;
    assert!(looked <= most && refused(&world, BY, "busy") > 5000, "{looked}");
    // Rows are still looked at.
    world.set(0, "state", Value::Int(1));
    let mut came = Vec::new();
    for _ in 0..200 {
        world.run(Duration::from_millis(50));
        came.extend(told(&world.heard(BY, NAME)));
    }
    assert_eq!(came, [("/z00/z00".to_owned(), 1)]);
}

/// A thousand at once: most are only counted, and the seals of others do not keep them waiting.
#[test]
fn when_a_thousand_fire_at_once_all_are_counted() {
    let mut world = World::grown_closed(plan(10, 3));
    world.run(Duration::from_secs(2));
    let signed = client(&world, "subscribe", "/").sign_function(&zone("/"), said(&world, NAME)).unwrap();
    world.subscribe(BY, &zone("/"), &function(signed)).unwrap();
    world.run(Duration::from_secs(4));
    (0..1000).for_each(|of| world.set(of, "state", Value::Int(1)));
    let (began, mut times, mut half) = (world.now_ms(), 0, None);
    while times < 1000 {
        world.run(Duration::from_millis(50));
        times += world.heard(BY, NAME).iter().map(|event| event.times).sum::<u64>();
        half = half.or((times >= 500).then(|| world.now_ms() - began));
        assert!(world.now_ms() - began < 300_000, "{times}");
    }
    println!("a thousand at once: half after {half:?} ms, all after {} ms", world.now_ms() - began);
    world.run(Duration::from_secs(10));
    // What was counted may be told all the same, and does not count again.
    let later = world.heard(BY, NAME);
    assert!(later.iter().all(|event| event.times == 0 && event.told.is_some()), "{later:?}");
    assert_eq!(times, 1000);
    let verified = world.agent(BY).verified().unwrap();
    assert_eq!(verified.refused.get("forged"), None, "{verified:?}");
}
