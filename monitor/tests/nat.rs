//! Trees half of whose zones are behind NATs, in the simulator: nobody can dial these agents, and all count, hear and miss each other all the same.

use std::{
    net::{SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use gcs::time::Time;
use gcs_monitor::{
    row::Row,
    sim::{Agents, Network, Plan, Seeds, World, address},
    value::Value,
    zones::{
        agent::{Agent, Config, Reach, Sends},
        contact::{relay_of, relayed},
        function::Function,
        message::{Body, Message},
        name::ZoneName,
        table::{Generator, Issue, Stamp, Table},
    },
};

const LAN: Network = Network { latency_ms: (20, 120), loss_per_mille: 0 };
const LOSSY: Network = Network { loss_per_mille: 100, ..LAN };
const ZONES: usize = 6;
const ALL: usize = ZONES * ZONES;
/// The first of them relay; those from this one on are behind NATs, each zone behind another one.
const BEHIND: usize = ALL / 2;
const RELAYS: usize = 4;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn relay(of: usize) -> SocketAddrV4 {
    match address(of) {
        SocketAddr::V4(at) => at,
        SocketAddr::V6(_) => panic!("the simulator's addresses are of IPv4"),
    }
}

/// The zones behind NATs: in the first agents find out by themselves, in the second they have a realm, too, and in the third they are told of
/// relays, and have a realm.
fn reach(of: usize) -> Reach {
    let expects = vec![(address(0), address(of))];
    let realm = Some(format!("site-{}", of / ZONES).parse().expect("it is a name"));
    match (of - BEHIND) / ZONES {
        0 => Reach { expects, ..Reach::default() },
        1 => Reach { expects, realm, ..Reach::default() },
        _ => Reach { relays: vec![relay(0), relay(1)], realm, ..Reach::default() },
    }
}

fn plan(network: Network, seed: u64) -> Plan {
    let newest = Function::open("newest", "SELECT MAX(newest) AS newest", 0, 100_000).expect("it is right");
    let agents = Agents { branching: ZONES, levels: 2 };
    let functions = vec![Arc::new(newest)];
    Plan { agents, config: Config::default(), seeds: Seeds::First, functions, network, seed }
}

/// A tree in which everybody knows everybody.
fn grown(mut world: World) -> World {
    // The first agent has the functions already.
    (1..RELAYS).for_each(|of| world.relay_for(of, 64));
    for of in BEHIND..ALL {
        world.behind(of, u8::try_from(of / ZONES).expect("few"), reach(of));
    }
    until_all_count(&mut world, ALL, seconds(60));
    world.run(seconds(20));
    let objections: u64 = world.living().map(|(_, agent)| agent.counters().objections).sum();
    println!("{objections} objections while it grew");
    for of in BEHIND..ALL {
        let contact = world.agent(of).contact().to_string();
        assert!(contact.contains('/') && contact.contains(','), "{of} is reached at {contact}");
        assert_eq!(contact.contains('@'), reach(of).realm.is_some(), "{contact}");
    }
    world
}

fn tree(network: Network, seed: u64) -> World {
    grown(World::new(plan(network, seed)))
}

fn counts(agent: &Agent) -> i64 {
    let root = agent.table(0).expect("the root's table");
    root.issues().filter_map(|(_, issue)| issue.row.get("nmembers").as_int()).sum()
}

fn until(world: &mut World, at_most: Duration, what: &str, right: impl Fn(&Agent) -> bool) -> u64 {
    let began = world.now_ms();
    loop {
        let wrong: Vec<usize> = world.living().filter(|(_, a)| !right(a)).map(|(of, _)| of).collect();
        let passed = world.now_ms() - began;
        if wrong.is_empty() {
            world.living().for_each(|(_, agent)| agent.check());
            return passed;
        }
        assert!(Duration::from_millis(passed) < at_most, "{what}: not so at {wrong:?}");
        world.run(Duration::from_millis(50));
    }
}

fn until_all_count(world: &mut World, right: usize, at_most: Duration) -> u64 {
    let right = i64::try_from(right).expect("few");
    until(world, at_most, &format!("{right} agents"), |agent| counts(agent) == right)
}

fn knows(agent: &Agent, newest: i64) -> bool {
    let root = agent.table(0).expect("the root's table");
    root.issues().any(|(_, issue)| issue.row.get("newest").as_int() == Some(newest))
}

fn objections(world: &World) -> u64 {
    world.living().map(|(_, agent)| agent.counters().objections).sum()
}

#[test]
fn news_from_behind_a_nat_and_to_it_arrives_soon() {
    for (network, seed, at_most) in [(LAN, 1, 2), (LOSSY, 2, 12)] {
        let mut world = tree(network, seed);
        for (newest, of) in [(1, 5), (2, BEHIND), (3, ALL - 1), (4, BEHIND + ZONES + 2)] {
            world.set(of, "newest", Value::Int(newest));
            let took = until(&mut world, seconds(at_most), "news", |agent| knows(agent, newest));
            println!("news of {of} is everywhere after {took} ms");
        }
    }
}

#[test]
fn who_dies_behind_a_nat_is_missed_and_counted_again_when_it_is_back() {
    let mut world = tree(LAN, 3);
    for victim in [BEHIND, ALL - 2, 7] {
        world.kill(victim);
        let took = until_all_count(&mut world, ALL - 1, seconds(10));
        println!("{victim} is missed after {took} ms");
        world.restart(victim);
        until_all_count(&mut world, ALL, seconds(40));
        world.run(seconds(5));
    }
}

#[test]
fn a_site_that_dies_disappears() {
    let mut world = tree(LAN, 4);
    (BEHIND..BEHIND + ZONES).for_each(|of| world.kill(of));
    until_all_count(&mut world, ALL - ZONES, seconds(30));
}

#[test]
fn when_a_relay_dies_others_take_its_place_and_nobody_is_taken_for_dead() {
    let mut world = tree(LAN, 5);
    let before = objections(&world);
    world.kill(1);
    let at_dead = relay(1).to_string();
    let moved = |agent: &Agent| !agent.contact().to_string().contains(&at_dead);
    let took = until(&mut world, seconds(30), "another relay", moved);
    println!("all have left the dead relay after {took} ms");
    until_all_count(&mut world, ALL - 1, seconds(20));
    world.run(seconds(30));
    assert_eq!(objections(&world), before, "somebody had to say that it is there");
    for of in BEHIND..ALL {
        let contact = world.agent(of).contact();
        assert!(contact.spare.is_some(), "{of} has found only one: {contact}");
    }
}

#[test]
fn when_nothing_happens_hardly_anything_is_sent() {
    let mut world = tree(LAN, 6);
    world.run(seconds(30));
    let before: Vec<u64> = world.traffic().iter().map(|traffic| traffic.bytes).collect();
    world.run(seconds(60));
    let rates = world.traffic().iter().zip(before).map(|(now, before)| (now.bytes - before) / 60);
    let rates: Vec<u64> = rates.collect();
    let of = |range: std::ops::Range<usize>| {
        let (sum, most) = (rates[range.clone()].iter().sum::<u64>(), rates[range.clone()].iter().max());
        (sum / range.len() as u64, most.copied().unwrap_or_default())
    };
    let (relays, dialled, behind) = (of(1..RELAYS), of(RELAYS..BEHIND), of(BEHIND..ALL));
    println!("bytes a second, mean and most: relays {relays:?}, others {dialled:?}, behind NATs {behind:?}");
    assert!(dialled.1 < 1_000 && behind.1 < 1_500 && relays.1 < 6_000);
    let [alone, in_realm] = [of(BEHIND..BEHIND + ZONES), of(BEHIND + ZONES..BEHIND + 2 * ZONES)];
    assert!(in_realm.0 < alone.0, "who shares a realm needs no relay: {in_realm:?} {alone:?}");
    assert_eq!(
        (objections(&world), until_all_count(&mut world, ALL, seconds(1))),
        (0, 0),
        "all are still reached"
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut world = tree(LAN, seed);
        world.kill(1);
        world.run(seconds(10));
        world.trace()
    };
    assert_eq!(trace(7), trace(7));
}

#[test]
fn keys_change_nothing_about_it() {
    let mut world = grown(World::closed(plan(LAN, 8)));
    world.set(ALL - 1, "newest", Value::Int(1));
    until(&mut world, seconds(3), "news", |agent| knows(agent, 1));
    world.kill(BEHIND + 1);
    until_all_count(&mut world, ALL - 1, seconds(12));
}

#[test]
fn who_can_be_dialled_speaks_before_who_cannot() {
    let mut table = Table::default();
    let own = relayed(relay(1), 1);
    for (child, contact, burden) in [
        ("a", "10.0.0.1:4803/00000001", 0),
        ("b", "10.0.0.9:1", i64::MAX),
        ("c", "10.0.0.8:1", 5),
        ("d", "10.0.0.7:1", 0),
    ] {
        let row = [("contacts", Value::list([Value::text(contact)])), ("burden", Value::Int(burden))];
        let issue = Issue::new(Stamp { generator: Generator(1), version: 1 }, Row::new(row));
        table.offer(Time::ZERO, &child.into(), &Arc::new(issue));
    }
    // Only who is about to leave comes later.
    assert_eq!(table.speakers().as_slice(), [at("10.0.0.7:1"), at("10.0.0.8:1"), own]);
}

const OUTSIDE: &str = "198.51.100.9:1000";
const STRANGER: &str = "203.0.113.1:1";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn said(body: Body) -> Message {
    Message { zone: ZoneName::root(), body }
}

/// An agent that nobody else knows.
fn alone(contact: SocketAddr) -> Agent {
    Agent::new(Arc::new(Config::default()), "/eu/a".parse().expect("a name"), contact, Vec::new(), 1)
}

fn hears(agent: &mut Agent, s: u64, from: SocketAddr, body: Body) -> Sends {
    let mut sends = Sends::new();
    agent.receive(Time::from_ms(s * 1000), from, said(body), &mut sends);
    sends
}

#[test]
fn a_relay_passes_on_once_to_who_has_a_lease_and_never_more_than_it_got() {
    let mut it = alone(address(1)).relay_for(1);
    it.tick(Time::ZERO, &mut Sends::new());
    let granted = hears(&mut it, 0, at(OUTSIDE), Body::Lease(7, 70));
    assert_eq!(granted, [(at(OUTSIDE), said(Body::Leased(7, true)))]);
    assert_eq!(hears(&mut it, 0, at(STRANGER), Body::Lease(7, 71))[0].1.body, Body::Leased(7, false));
    assert_eq!(hears(&mut it, 0, at(STRANGER), Body::Lease(8, 71))[0].1.body, Body::Leased(8, false));
    let ping = said(Body::Ping(1)).encode();
    let victim = at("192.0.2.200:53");
    for bytes in [ping.clone(), Vec::new(), vec![0xff; 9 << 10]] {
        for claimed in [victim, relayed(relay(2), u32::MAX)] {
            let message = Body::Relay(7, claimed, bytes.clone());
            let got = said(message.clone()).encode().len();
            let passed = hears(&mut it, 1, at(STRANGER), message);
            // Nobody makes it send an answer to a third one.
            let origin = if claimed == victim { at(STRANGER) } else { claimed };
            assert_eq!(passed, [(at(OUTSIDE), said(Body::Relayed(origin, bytes.clone())))]);
            assert!(passed[0].1.encode().len() <= got, "{} of {got}", passed[0].1.encode().len());
        }
    }
    for (s, number, from, bytes) in [
        (1, 8, STRANGER, ping.clone()),
        (1, 7, STRANGER, vec![0; (9 << 10) + 1]),
        // It would grow.
        (1, 7, "[2001:db8::1]:1", ping.clone()),
        (60, 7, STRANGER, ping),
    ] {
        let before = it.counters().not_relayed;
        assert_eq!(hears(&mut it, s, at(from), Body::Relay(number, victim, bytes)), []);
        assert_eq!(it.counters().not_relayed, before + 1);
    }
    assert_eq!(it.counters().relayed, 6);
}

#[test]
fn only_its_own_relays_pass_something_on_to_an_agent_and_only_once() {
    let reach = Reach { relays: vec![relay(1), relay(2)], ..Reach::default() };
    let mut agent = alone(at("192.168.0.1:4803")).reached(reach);
    let mut sends = Sends::new();
    agent.tick(Time::ZERO, &mut sends);
    let asked: Vec<(SocketAddr, u32)> = sends
        .iter()
        .filter_map(|(to, message)| match message.body {
            Body::Lease(number, _) => Some((*to, number)),
            _ => None,
        })
        .collect();
    assert_eq!(asked.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [address(1), address(2)]);
    let number = asked[0].1;
    hears(&mut agent, 0, at(STRANGER), Body::Leased(number, true));
    assert!(relay_of(agent.contact().contact).is_none(), "that was nobody it has asked");
    hears(&mut agent, 0, address(1), Body::Leased(number, true));
    let own = agent.contact().contact;
    assert_eq!(relay_of(own), Some((relay(1), number)));
    let ping = said(Body::Ping(5)).encode();
    // It answers whoever can be dialled itself, and others by their relays.
    let passed = hears(&mut agent, 1, address(1), Body::Relayed(at(STRANGER), ping.clone()));
    assert_eq!(passed, [(at(STRANGER), said(Body::By(own, said(Body::Pong(5)).encode())))]);
    let other = relayed(relay(3), 9);
    let passed = hears(&mut agent, 1, address(1), Body::Relayed(other, ping.clone()));
    assert_eq!(passed, [(address(3), said(Body::Relay(9, own, said(Body::Pong(5)).encode())))]);
    // Whoever says who it is is answered where it is.
    let passed = hears(&mut agent, 1, at(OUTSIDE), Body::By(other, ping.clone()));
    assert_eq!(passed, [(at(OUTSIDE), said(Body::By(own, said(Body::Pong(5)).encode())))]);
    let nested = said(Body::Relay(9, at(STRANGER), ping.clone())).encode();
    for (from, body) in [
        (at(STRANGER), Body::Relayed(at(STRANGER), ping.clone())),
        (address(1), Body::Relayed(other, nested.clone())),
        (address(1), Body::Relayed(other, said(Body::See(1)).encode())),
        (address(1), Body::Relayed(other, vec![1, 2, 3])),
        (at(OUTSIDE), Body::By(at(STRANGER), ping)),
        (at(OUTSIDE), Body::By(other, nested)),
    ] {
        let before = agent.counters().strange;
        assert_eq!(hears(&mut agent, 1, from, body.clone()), [], "{body:?}");
        assert_eq!(agent.counters().strange, before + 1, "{body:?}");
    }
}
