//! Trees of agents with keys, in the simulator: who has none, or others, changes nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use gcs_monitor::{
    row::Row,
    sim::{Agents, Fleet, Network, Plan, Seeds, World, address},
    trust::{
        CHECKS_A_SECOND, CHECKS_AT_ONCE, Grant, Identity, Keys, Kind, Place, Seal, SecretKey, Signature,
        Validity,
    },
    value::Value,
    zones::{
        agent::{Agent, Config},
        function::{Function, Said},
        message::{Body, Item, Message},
        name::ZoneName,
        table::{Generator, Issue, Stamp},
    },
};

use super::fleet::zone;

const SQL: &str = "SELECT MAX(newest) AS newest";

fn plan(branching: usize, config: Config) -> Plan {
    Plan {
        agents: Agents { branching, levels: 2 },
        config,
        seeds: Seeds::Near,
        functions: vec![Arc::new(Function::open("newest", SQL, 0, 100_000).unwrap())],
        network: Network { latency_ms: (5, 20), loss_per_mille: 0 },
        seed: 7,
    }
}

fn counts(agent: &Agent) -> i64 {
    let rows = agent.table(0).unwrap().issues().filter_map(|(_, issue)| issue.row.get("nmembers").as_int());
    rows.sum()
}

fn newest(agent: &Agent) -> i64 {
    let rows = agent.table(0).unwrap().issues().filter_map(|(_, issue)| issue.row.get("newest").as_int());
    rows.max().unwrap_or(0)
}

/// Lets time pass until this is so of all living agents but some.
fn until(world: &mut World, but: &[usize], what: &str, right: impl Fn(&Agent) -> bool) {
    let end = world.now_ms() + 60_000;
    while world.living().any(|(of, agent)| !but.contains(&of) && !right(agent)) {
        assert!(
            world.now_ms() < end,
            "{what}: {:?}",
            world.living().map(|(_, a)| counts(a)).collect::<Vec<_>>()
        );
        world.run(Duration::from_millis(50));
    }
    world.living().for_each(|(_, agent)| agent.check());
}

/// Nine agents with keys, in three zones, who know each other.
fn nine() -> World {
    let mut world = World::closed(plan(3, Config::default()));
    until(&mut world, &[], "all are there", |agent| counts(agent) == 9);
    world.run(Duration::from_secs(5));
    world
}

fn fleet(world: &World) -> &Fleet {
    world.fleet().unwrap()
}

fn refused(world: &World, of: usize, why: &str) -> u64 {
    world.agent(of).verified().unwrap().refused.get(why).copied().unwrap_or(0)
}

/// A stamp that would win.
fn stamp(world: &World) -> Stamp {
    Stamp { version: Keys::version(world.now_ms() / 1000 + 60), generator: Generator(9) }
}

fn row(newest: i64, contact: usize) -> Row {
    let contacts = Value::list([Value::text(address(contact).to_string())]);
    Row::new([("newest", Value::Int(newest)), ("nmembers", Value::Int(1)), ("contacts", contacts)])
}

/// A row of a child, as this agent would sign it.
fn signed(world: &World, by: usize, path: &str, child: &str, stamp: Stamp, row: Row) -> Item {
    let zone = zone(path);
    let seal = fleet(world).keys(by).unwrap().seal_row(Place { zone: &zone, child }, stamp, &row);
    Item::Issue(child.into(), Arc::new(Issue::new(stamp, row).sealed(Some(seal))))
}

fn gone(world: &World, by: usize, path: &str, child: &str, stamp: Stamp) -> Item {
    let zone = zone(path);
    let seal = fleet(world).keys(by).unwrap().seal_gone(Place { zone: &zone, child }, stamp);
    Item::Gone(child.into(), stamp, Some(seal))
}

/// Tells agent 0, `/z00/z00`, of something in the table of this level, in whatever way.
fn tell(world: &mut World, level: u8, item: Item) {
    let (from, zone): (SocketAddr, ZoneName) = (address(1), world.agent(0).name().ancestor(1));
    world.inject(0, from, Message { zone, body: Body::News(vec![(level, item.clone())]) });
    let zone = world.agent(0).name().ancestor(level.into());
    world.inject(0, from, Message { zone, body: Body::Rows(vec![item], Vec::new()) });
}

fn issue(world: &World, level: usize, child: &str) -> Arc<Issue> {
    world.agent(0).table(level).unwrap().issue(child).unwrap().clone()
}

#[test]
fn a_tree_with_keys_lives_as_one_without() {
    let mut world = nine();
    world.set(4, "newest", Value::Int(3));
    until(&mut world, &[], "news", |agent| newest(agent) == 3);
    world.kill(3);
    until(&mut world, &[], "a death", |agent| counts(agent) == 8);
    world.restart(3);
    until(&mut world, &[], "another life", |agent| counts(agent) == 9);
    for (of, agent) in world.living() {
        let verified = agent.verified().unwrap();
        assert_eq!(verified.refused.values().sum::<u64>(), 0, "{of}: {verified:?}");
    }
    // A zone that it is not in.
    let lookup = world.look_up(0, &zone("/z01")).unwrap();
    world.run(Duration::from_secs(2));
    let (found, table) = world.found(0).pop().unwrap();
    assert_eq!((found, table.unwrap().rows.len()), (lookup, 3));
}

#[test]
fn the_same_seed_is_the_same_run_with_keys_too() {
    let trace = || {
        let mut world = World::closed(plan(3, Config::default()));
        world.run(Duration::from_secs(20));
        world.trace()
    };
    assert_eq!(trace(), trace());
}

#[test]
fn rows_that_are_forged_or_of_others_change_nothing() {
    let mut world = nine();
    let stamp = stamp(&world);
    let unsigned = Item::Issue("z01".into(), Arc::new(Issue::new(stamp, row(99, 1))));
    let Item::Issue(_, right) = signed(&world, 1, "/z00", "z01", stamp, row(99, 1)) else { unreachable!() };
    let other = |row: Row| Item::Issue("z01".into(), Arc::new(Issue::new(stamp, row).sealed(right.seal)));
    let mut bytes = *right.seal.unwrap().signature.as_bytes();
    bytes[40] ^= 1;
    let flipped = Seal { signature: Signature::from_bytes(bytes), ..right.seal.unwrap() };
    let flipped = Item::Issue("z01".into(), Arc::new(Issue::new(stamp, row(99, 1)).sealed(Some(flipped))));
    for (why, level, item) in [
        ("open", 1, unsigned),
        ("forged", 1, flipped),
        ("forged", 1, other(row(98, 1))),
        // That of another name, by an agent of the same zone; that of a zone, by an agent of another one; in another zone's table.
        ("not_allowed", 1, signed(&world, 2, "/z00", "z01", stamp, row(99, 2))),
        ("not_allowed", 0, signed(&world, 3, "/", "z00", stamp, row(99, 3))),
        ("forged", 1, signed(&world, 1, "/", "z01", stamp, row(99, 1))),
    ] {
        let (before, child) = (refused(&world, 0, why), item.subject());
        tell(&mut world, level, item);
        assert_eq!(refused(&world, 0, why), before + 2, "{child:?} {why}");
        assert!(world.agent(0).verified().unwrap().refused.keys().all(|why| *why != "busy"));
        world.run(Duration::from_secs(3));
        assert!(world.living().all(|(_, agent)| newest(agent) < 90 && counts(agent) == 9), "{child:?} {why}");
    }
    // Each reason is told once, in one sentence.
    let reasons = world.reasons(0);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.lines().count() == 1));
    // What is right is taken.
    tell(&mut world, 1, Item::Issue("z01".into(), right));
    assert_eq!(issue(&world, 1, "z01").row.get("newest"), &Value::Int(99));
}

#[test]
fn old_rows_do_not_come_back() {
    let remember = Duration::from_secs(400);
    let mut world = World::closed(plan(3, Config { remember, ..Config::default() }));
    until(&mut world, &[], "all are there", |agent| counts(agent) == 9);
    world.set(1, "newest", Value::Int(5));
    until(&mut world, &[], "5", |agent| newest(agent) == 5);
    let old = Item::Issue("z01".into(), issue(&world, 1, "z01"));
    world.set(1, "newest", Value::Int(4));
    until(&mut world, &[], "4", |agent| newest(agent) == 4);
    tell(&mut world, 1, old.clone());
    assert_eq!(issue(&world, 1, "z01").row.get("newest"), &Value::Int(4), "while it is there");
    world.kill(1);
    until(&mut world, &[], "a death", |agent| counts(agent) == 8);
    tell(&mut world, 1, old.clone());
    assert!(world.agent(0).table(1).unwrap().issue("z01").is_none(), "while it is remembered");
    world.run(Duration::from_secs(600));
    assert!(world.agent(0).table(1).unwrap().slot("z01").is_none(), "it is forgotten");
    tell(&mut world, 1, old);
    assert!(world.agent(0).table(1).unwrap().slot("z01").is_none(), "and it does not come back");
    assert_eq!(refused(&world, 0, "old"), 2);
}

#[test]
fn nobody_is_gone_because_somebody_elsewhere_says_so() {
    let mut world = nine();
    // Nobody who could object hears it.
    (0..9).filter(|of| *of != 0).for_each(|of| world.part(of, 1));
    let (of_agent, of_zone) = (issue(&world, 1, "z01").stamp, issue(&world, 0, "z01").stamp);
    let Item::Gone(_, _, seal) = gone(&world, 1, "/z00", "z02", of_agent) else { unreachable!() };
    for (why, level, item) in [
        ("open", 1, Item::Gone("z01".into(), of_agent, None)),
        ("open", 0, Item::Gone("z01".into(), of_zone, None)),
        ("forged", 1, Item::Gone("z01".into(), of_agent, seal)),
        ("not_allowed", 1, gone(&world, 3, "/z00", "z01", of_agent)),
        ("future", 1, gone(&world, 1, "/z00", "z01", Stamp { version: u64::MAX, ..of_agent })),
    ] {
        let before = refused(&world, 0, why);
        // Who has signed is not known in another zone until it is asked for.
        let chains = Body::Chains(vec![Arc::new(fleet(&world).agent(3).chain().clone())]);
        world.inject(0, address(1), Message { zone: ZoneName::root(), body: chains });
        tell(&mut world, level, item);
        assert_eq!(refused(&world, 0, why), before + 2, "{why}");
        let table = world.agent(0).table(level.into()).unwrap();
        assert!(table.issue("z01").is_some(), "{why}");
    }
    let right = gone(&world, 1, "/z00", "z01", of_agent);
    tell(&mut world, 1, right);
    assert!(world.agent(0).table(1).unwrap().issue("z01").is_none());
    // It objects when it hears it.
    (0..9).for_each(|of| world.part(of, 0));
    until(&mut world, &[], "they are all there again", |agent| counts(agent) == 9);
}

fn client(world: &World, may: &str, of: usize) -> Identity {
    let (by, key) = (fleet(world).zone(of), SecretKey::from_seed(&[77; 32]).unwrap());
    let kind = Kind::Client { name: "alice".into(), may: may.parse().unwrap() };
    let zone = by.grant().zone.clone();
    let grant = Grant { kind, zone, key: key.public(), validity: Validity::new(0, 1 << 30) };
    let chain = by.issue(grant).unwrap();
    Identity::new(key, chain).unwrap()
}

fn function(world: &World, name: &str, later_s: u64) -> Said {
    let sql = format!("SELECT COUNT(*) AS {name}");
    Function::open(name, &sql, world.now_ms() / 1000 + later_s, 5000).unwrap().said().clone()
}

fn item(said: Said) -> Item {
    Item::Function(Arc::new(Function::new(said).unwrap()))
}

#[test]
fn only_functions_of_those_who_may_are_taken_and_what_was_removed_stays_so() {
    let mut world = nine();
    let has = |world: &World, name: &str| {
        world
            .living()
            .filter(|(_, a)| a.functions(world.now(), 1).iter().any(|f| f.said().name == name))
            .count()
    };
    let alice = client(&world, "read,install", 0);
    let said = function(&world, "load", 0);
    let reader = client(&world, "read", 0);
    let by_reader = Identity::anchor(SecretKey::from_seed(&[77; 32]).unwrap(), ZoneName::root());
    let by_reader = by_reader.sign_function(&zone("/z00"), said.clone()).unwrap();
    let by_reader = Said { seal: [&reader.chain().encode(), &by_reader.seal[2..]].concat(), ..by_reader };
    let right = alice.sign_function(&zone("/z00"), said.clone()).unwrap();
    for (why, level, said) in [
        ("unsigned", 1, said),
        ("not_allowed", 1, by_reader),
        // For her zone, but told to all; for a zone inside, told to all of hers; by another zone's authority.
        ("not_allowed", 0, right.clone()),
        ("not_allowed", 1, alice.sign_function(&zone("/z00/z00"), function(&world, "load", 0)).unwrap()),
        ("forged", 1, Said { text: "SELECT COUNT(*) AS m".into(), ..right.clone() }),
    ] {
        let before = refused(&world, 0, why);
        tell(&mut world, level, item(said));
        assert_eq!(refused(&world, 0, why), before + 2, "{why}");
    }
    assert!(alice.sign_function(&zone("/z01"), function(&world, "load", 0)).is_err());
    world.run(Duration::from_secs(3));
    assert_eq!(has(&world, "load"), 0);
    tell(&mut world, 1, item(right.clone()));
    world.run(Duration::from_secs(3));
    assert_eq!(has(&world, "load"), 3, "her zone");
    let removal = alice.sign_function(&zone("/z00"), right.removal(world.now_ms() / 1000)).unwrap();
    let unsigned = Item::Function(Arc::new(Function::new(right.removal(world.now_ms() / 1000)).unwrap()));
    tell(&mut world, 1, unsigned);
    assert_eq!(has(&world, "load"), 3, "nobody has signed that");
    tell(&mut world, 1, item(removal));
    world.run(Duration::from_secs(3));
    assert_eq!(has(&world, "load"), 0);
    tell(&mut world, 1, item(right));
    world.run(Duration::from_secs(3));
    assert_eq!(has(&world, "load"), 0, "it was removed");
    // The agent itself takes nothing else from who is near.
    let plain = Arc::new(Function::new(function(&world, "plain", 1)).unwrap());
    let error = world.install(0, &plain).unwrap_err().to_string();
    assert!(error.contains("is not signed") && error.contains("--sign-with"), "{error}");
}

#[test]
fn a_revocation_travels_and_counts_at_once() {
    let mut world = nine();
    // Who speaks for a zone, and somebody who has installed a function.
    let alice = client(&world, "install", 0);
    let said = alice.sign_function(&zone("/z00"), function(&world, "load", 0)).unwrap();
    tell(&mut world, 1, item(said.clone()));
    world.run(Duration::from_secs(3));
    assert!(world.agent(2).table(1).unwrap().function("load").is_some());
    assert_eq!(issue(&world, 0, "z01").row.get("rep"), &Value::text("/z01/z00"));
    for (authority, chain) in [(3, fleet(&world).agent(3).chain().clone()), (0, alice.chain().clone())] {
        let now_s = world.now_ms() / 1000;
        let revocation = fleet(&world).zone(authority).revoke(chain.subject().unwrap(), now_s).unwrap();
        // Not by whoever has the wrong key.
        let other = if authority == 0 { 3 } else { 0 };
        assert!(fleet(&world).zone(other).revoke(chain.subject().unwrap(), now_s).is_err());
        assert_eq!(world.revoke(8, &Arc::new(revocation)), Ok(true));
    }
    until(&mut world, &[3], "it is out", |agent| counts(agent) == 8);
    assert_eq!(issue(&world, 0, "z01").row.get("rep"), &Value::text("/z01/z01"), "another one speaks");
    // Those of its zone are not reached by news before they have a row again, and find it in an exchange.
    until(&mut world, &[3], "it is told", |agent| agent.table(0).unwrap().revocations().count() == 2);
    for (of, agent) in world.living().filter(|(of, _)| *of != 3) {
        assert!(agent.table(agent.levels() - 1).unwrap().function("load").is_none(), "{of}");
    }
    // It goes on saying that it is there, and its old function is told again.
    world.set(3, "newest", Value::Int(99));
    tell(&mut world, 1, item(said));
    world.run(Duration::from_secs(10));
    assert!(world.living().filter(|(of, _)| *of != 3).all(|(_, a)| counts(a) == 8 && newest(a) != 99));
    assert!(refused(&world, 4, "revoked") > 0 && refused(&world, 0, "revoked") > 0);
    // Who comes later hears of it.
    world.kill(5);
    until(&mut world, &[3], "a death", |agent| counts(agent) == 7);
    world.restart(5);
    until(&mut world, &[3], "another life", |agent| counts(agent) == 8);
    until(&mut world, &[3], "it is told", |agent| agent.table(0).unwrap().revocations().count() == 2);
}

#[test]
fn who_has_no_keys_or_those_of_others_stays_outside_and_it_is_said_once() {
    let name = |world: &World| world.agent(4).name().clone();
    let open = |world: &World| Agent::new(Arc::default(), name(world), address(4), vec![address(3)], 99);
    let foreign = |world: &World| {
        let root = Identity::anchor(SecretKey::from_seed(&[9; 32]).unwrap(), ZoneName::root());
        let key = SecretKey::from_seed(&[8; 32]).unwrap();
        let grant = Grant {
            kind: Kind::Agent,
            zone: name(world),
            key: key.public(),
            validity: Validity::new(0, 1 << 30),
        };
        let chain = root.issue(grant).unwrap();
        let anchor = gcs_monitor::trust::Anchor { zone: ZoneName::root(), key: root.key().public() };
        let keys = Keys::new(Identity::new(key, chain).unwrap(), vec![anchor]).unwrap();
        open(world).with_keys(keys).unwrap()
    };
    for (why, is_open) in [("open", true), ("forged", false)] {
        let mut world = nine();
        world.kill(4);
        until(&mut world, &[], "a death", |agent| counts(agent) == 8);
        let stranger = if is_open { open(&world) } else { foreign(&world) };
        world.replace(4, stranger);
        world.run(Duration::from_secs(30));
        assert!(world.living().filter(|(of, _)| *of != 4).all(|(_, agent)| counts(agent) == 8), "{why}");
        assert!(refused(&world, 3, why) > 0, "{:?}", world.agent(3).verified());
        let reasons = world.reasons(3);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(world.reasons(3).is_empty());
        // With its own keys it is let in.
        world.restart(4);
        until(&mut world, &[], "let in", |agent| counts(agent) == 9);
    }
}

#[test]
fn nobody_answers_in_the_place_of_somebody_else_for_long() {
    let mut world = nine();
    // At its address and under its name, but without its key; nobody has noticed that it is gone.
    let stranger =
        Agent::new(Arc::default(), world.agent(4).name().clone(), address(4), vec![address(3)], 99);
    world.replace(4, stranger);
    until(&mut world, &[4], "it is found out", |agent| counts(agent) == 8);
    world.run(Duration::from_secs(60));
    assert!(world.living().filter(|(of, _)| *of != 4).all(|(_, agent)| counts(agent) == 8), "it stays so");
}

#[test]
fn a_clock_that_is_set_takes_nobody_away_and_comes_right_again() {
    let mut world = nine();
    // One that speaks for no zone, a year ahead.
    world.set_epoch(5, 365 * 86_400);
    world.set(5, "newest", Value::Int(7));
    world.set(0, "newest", Value::Int(6));
    world.run(Duration::from_secs(30));
    for (of, agent) in world.living() {
        assert_eq!(counts(agent), 9, "{of} sees all");
        assert_eq!(newest(agent), if of == 5 { 0 } else { 6 }, "{of}");
    }
    assert!(refused(&world, 3, "future") > 0 && refused(&world, 5, "old") > 0);
    world.set_epoch(5, 0);
    until(&mut world, &[], "it is believed again, and believes", |agent| newest(agent) == 7);
    // Nor does a row come from further ahead than clocks may be.
    let version = Keys::version(world.now_ms() / 1000 + 400);
    let ahead = signed(&world, 1, "/z00", "z01", Stamp { version, generator: Generator(1) }, row(99, 1));
    tell(&mut world, 1, ahead);
    assert_eq!((refused(&world, 0, "future"), newest(world.agent(0))), (2, 7));
}

#[test]
fn a_flood_of_forged_rows_is_looked_at_only_so_much() {
    const SECONDS: u64 = 4;
    let mut world = nine();
    let right = issue(&world, 1, "z01");
    let before = world.agent(0).verified().unwrap().signatures;
    let mut told = 0;
    for nth in 0..SECONDS * 50 {
        for part in 0..100 {
            let version = stamp(&world).version + nth * 100 + part;
            let forged =
                Issue::new(Stamp { version, generator: Generator(9) }, row(99, 1)).sealed(right.seal);
            let body = Body::News(vec![(1, Item::Issue("z01".into(), Arc::new(forged)))]);
            world.inject(0, address(1), Message { zone: zone("/z00"), body });
            told += 1;
        }
        world.run(Duration::from_millis(20));
    }
    world.agent(0).check();
    let looked = world.agent(0).verified().unwrap().signatures - before;
    assert!(looked <= CHECKS_AT_ONCE + SECONDS * CHECKS_A_SECOND + 100, "{looked} of {told}");
    assert!(looked >= CHECKS_AT_ONCE, "{looked}: they were looked at at all");
    assert!(refused(&world, 0, "busy") > told / 2);
    assert!(world.living().all(|(_, agent)| newest(agent) != 99));
    // It hears again what is right.
    world.set(8, "newest", Value::Int(3));
    until(&mut world, &[], "news after the flood", |agent| newest(agent) == 3);
}

#[test]
fn what_nobody_known_has_signed_does_not_fill_the_memory() {
    let mut world = nine();
    let before = world.traffic()[0];
    let agents = Agents { branching: 30, levels: 2 };
    let (others, stamp) = (Fleet::new(agents), stamp(&world));
    // Agents of other zones of a larger tree; each says something newer.
    for of in 30..900 {
        let stamp = Stamp { version: stamp.version + of as u64, ..stamp };
        let (zone, keys) = (zone("/z00"), others.keys(of).unwrap());
        for child in ["z01", "z02"] {
            let seal = keys.seal_row(Place { zone: &zone, child }, stamp, &row(99, 1));
            let issue = Issue::new(stamp, row(99, 1)).sealed(Some(seal));
            tell(&mut world, 1, Item::Issue(child.into(), Arc::new(issue)));
        }
        world.agent(0).check();
    }
    // It asks who that is, of which there are so many bytes; and nothing else.
    let sent = world.traffic()[0].bytes - before.bytes;
    assert!(sent < 256 * 80 + 20_000, "{sent} bytes");
    // They are shown, and are no agents of this tree; nor do their rows count.
    for of in 30..900 {
        let body = Body::Chains(vec![Arc::new(others.agent(of).chain().clone())]);
        world.inject(0, address(1), Message { zone: ZoneName::root(), body });
    }
    world.run(Duration::from_secs(3));
    assert!(world.living().all(|(_, agent)| newest(agent) != 99 && counts(agent) == 9));
}

#[test]
fn an_answer_to_a_lookup_is_verified_too() {
    let mut world = nine();
    // The whole zone lies, as its agents were replaced by open ones: nobody believes them, whoever asks.
    for of in 3..6 {
        let agent = Agent::new(
            Arc::default(),
            world.agent(of).name().clone(),
            address(of),
            vec![address(3)],
            of as u64,
        );
        world.replace(of, agent);
    }
    world.look_up(0, &zone("/z01")).unwrap();
    world.run(Duration::from_secs(10));
    let answer = world.found(0).pop().unwrap().1;
    assert!(answer.is_err() || answer.as_ref().is_ok_and(|found| found.rows.is_empty()), "{answer:?}");
    assert!(refused(&world, 0, "open") > 0);
}

#[test]
fn an_agent_whose_certificate_ends_lets_others_speak_before() {
    let agents = Agents { branching: 3, levels: 1 };
    let mut world = World::closed(Plan { agents, ..plan(3, Config::default()) });
    let key = SecretKey::from_seed(&[5; 32]).unwrap();
    let grant = Grant {
        kind: Kind::Agent,
        zone: world.agent(0).name().clone(),
        key: key.public(),
        validity: Validity::new(0, 7200),
    };
    let chain = fleet(&world).root().issue(grant).unwrap();
    let keys = Keys::new(Identity::new(key, chain).unwrap(), vec![fleet(&world).anchor()]).unwrap();
    let agent = Agent::new(Arc::default(), world.agent(0).name().clone(), address(0), vec![address(1)], 4);
    world.replace(0, agent.with_keys(keys).unwrap());
    let first = |agent: &Agent| agent.table(0).unwrap().speakers().first().copied();
    until(&mut world, &[], "it speaks", |agent| first(agent) == Some(address(0)));
    world.run(Duration::from_secs(4500));
    assert!(world.living().all(|(_, agent)| first(agent) == Some(address(1))), "before it expires");
    world.run(Duration::from_secs(3000));
    until(&mut world, &[0], "nobody believes that it is there", |agent| counts(agent) == 2);
}
