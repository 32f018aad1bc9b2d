//! Standing queries over simulated agents, on virtual time: whoever has asked is told what fires, soon, once, and within bounds.
//!
//! The oracle knows which agents have fired how many times, because it has set their attributes; what arrives is held against it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gcs_monitor::{
    sim::{Agents, Network, Plan, Seeds, World},
    value::Value,
    zones::{
        agent::Config,
        event::{Event, EventId, Fired, Told},
        function::{Function, Said},
        kind::{Delivery, Kind, Standing, Trigger},
        message::{Body, Message},
        name::ZoneName,
    },
};

const LAN: Network = Network { latency_ms: (20, 120), loss_per_mille: 0 };
const LOSSY: Network = Network { loss_per_mille: 150, ..LAN };
const NAME: &str = "event-1";

/// 1,000 agents in 100 zones of ten.
fn thousand(network: Network, seed: u64) -> World {
    let agents = Agents { branching: 10, levels: 3 };
    World::grown(Plan {
        agents,
        config: Config::default(),
        seeds: Seeds::Near,
        functions: Vec::new(),
        network,
        seed,
    })
}

struct Asked {
    by: usize,
    zone: &'static str,
    trigger: Trigger,
    delivery: Delivery,
    for_s: u64,
}

const SURE: Asked =
    Asked { by: 777, zone: "/", trigger: Trigger::Edge, delivery: Delivery::AtLeastOnce, for_s: 600 };

fn standing(world: &World, asked: &Asked) -> Arc<Function> {
    let kind = Kind::Standing(Standing {
        to: world.address(asked.by),
        trigger: asked.trigger,
        delivery: asked.delivery,
        every_ms: 500,
    });
    let text = "SELECT id, state FROM attributes WHERE state > 0".to_owned();
    let issued_s = world.now_ms() / 1000;
    let (name, expires_s) = (NAME.to_owned(), issued_s + asked.for_s);
    let said = Said { name, kind, text, strong: false, issued_s, expires_s, seal: Vec::new() };
    Arc::new(Function::new(said).expect("it is right"))
}

/// A world in which the query stands, and all look.
fn asked(network: Network, seed: u64, asked: &Asked) -> World {
    let mut world = thousand(network, seed);
    world.run(Duration::from_secs(2));
    let zone: ZoneName = asked.zone.parse().expect("a zone");
    let query = standing(&world, asked);
    world.subscribe(asked.by, &zone, &query).expect("it is taken");
    world.run(Duration::from_secs(4));
    assert_eq!(world.heard(asked.by, NAME), []);
    world
}

/// What has come: how many times it fired, and of what is told, which state of which agent how many times.
#[derive(Debug, Default)]
struct Came {
    times: u64,
    lost: u64,
    told: BTreeMap<(String, i64), u64>,
}

impl Came {
    fn add(&mut self, events: Vec<Event>) {
        for event in events {
            self.times += event.times;
            self.lost += event.lost;
            if let Some(told) = &event.told {
                for row in &told.rows {
                    let state = row.get("state").as_int().expect("a state");
                    *self.told.entry((told.agent.clone(), state)).or_default() += 1;
                }
            }
        }
    }

    fn nothing_twice(&self) {
        assert!(self.told.values().all(|times| *times == 1), "{:?}", self.told);
    }
}

/// Lets time pass until so many have come, for at most so long; after how many milliseconds.
fn until(world: &mut World, by: usize, came: &mut Came, times: u64, at_most_ms: u64) -> u64 {
    let began = world.now_ms();
    while came.times < times {
        world.run(Duration::from_millis(5));
        came.add(world.heard(by, NAME));
        assert!(world.now_ms() - began <= at_most_ms, "{} of {times} after {at_most_ms} ms", came.times);
    }
    world.now_ms() - began
}

fn traffic(world: &World) -> Vec<u64> {
    world.traffic().iter().map(|traffic| traffic.bytes).collect()
}

#[test]
fn a_condition_that_becomes_true_on_one_of_a_thousand_is_told_within_a_second() {
    let mut world = asked(LAN, 1, &SURE);
    let (mut came, mut took) = (Came::default(), Vec::new());
    for nth in 0..60_u64 {
        let of = usize::try_from(nth * 263 % 1000).expect("few");
        world.set(of, "state", Value::Int(i64::try_from(nth + 1).expect("few")));
        took.push(until(&mut world, SURE.by, &mut came, nth + 1, 1000));
        world.run(Duration::from_millis(700 + nth * 13 % 500));
        came.add(world.heard(SURE.by, NAME));
    }
    took.sort_unstable();
    println!("until told: median {} ms, worst {} ms", took[30], took[59]);
    assert_eq!(came.times, 60);
    assert_eq!(came.told.len(), 60);
    came.nothing_twice();
}

#[test]
fn where_every_seventh_message_is_lost_nothing_is_and_nothing_comes_twice() {
    let mut world = asked(LOSSY, 2, &SURE);
    let (mut came, mut took) = (Came::default(), Vec::new());
    for nth in 0..60_u64 {
        let of = usize::try_from(nth * 263 % 1000).expect("few");
        world.set(of, "state", Value::Int(i64::try_from(nth + 1).expect("few")));
        took.push(until(&mut world, SURE.by, &mut came, nth + 1, 30_000));
        world.run(Duration::from_millis(700 + nth * 13 % 500));
        came.add(world.heard(SURE.by, NAME));
    }
    took.sort_unstable();
    println!(
        "until told, 15 % lost: median {} ms, of 60 the 57th {} ms, worst {} ms",
        took[30], took[56], took[59]
    );
    world.run(Duration::from_secs(30));
    came.add(world.heard(SURE.by, NAME));
    assert_eq!((came.times, came.told.len(), came.lost), (60, 60, 0));
    came.nothing_twice();
}

#[test]
fn an_event_in_the_hands_of_who_dies_is_said_again_by_others() {
    let mut world = asked(LAN, 3, &SURE);
    let mut came = Came::default();
    for round in 0..10_usize {
        // Those who speak for the zone of the agent, and in some rounds those who speak for more.
        let (zone, of) = (round * 10 + 200, round * 10 + 205);
        world.set(of, "state", Value::Int(1));
        let fired = |world: &World| world.agent(of).counters().fired;
        let before = fired(&world);
        while fired(&world) == before {
            world.run(Duration::from_millis(1));
        }
        world.run(Duration::from_millis(20 * round as u64));
        world.kill(zone);
        world.kill(zone + 1);
        if round % 3 == 2 {
            world.kill(round / 3 * 100);
        }
        until(&mut world, SURE.by, &mut came, round as u64 + 1, 30_000);
    }
    world.run(Duration::from_secs(30));
    came.add(world.heard(SURE.by, NAME));
    assert_eq!((came.times, came.told.len(), came.lost), (10, 10, 0));
    came.nothing_twice();
}

fn storm(network: Network, seed: u64, delivery: Delivery, right: impl Fn(&Came) -> bool) -> Vec<u64> {
    let mut world = asked(network, seed, &Asked { delivery, ..SURE });
    let before = traffic(&world);
    (0..1000).for_each(|of| world.set(of, "state", Value::Int(1)));
    let (began, mut came) = (world.now_ms(), Came::default());
    while !right(&came) {
        world.run(Duration::from_millis(50));
        came.add(world.heard(SURE.by, NAME));
        assert!(world.now_ms() - began < 180_000, "{} of 1000, {} lost", came.times, came.lost);
    }
    let mut sent: Vec<u64> = traffic(&world).iter().zip(before).map(|(now, before)| now - before).collect();
    println!(
        "{delivery:?}: {} in {} ms, {} of them told, {} lost; who has asked has sent {} bytes",
        came.times,
        world.now_ms() - began,
        came.told.len(),
        came.lost,
        sent[SURE.by]
    );
    world.run(Duration::from_secs(40));
    came.add(world.heard(SURE.by, NAME));
    assert_eq!(came.times + came.lost, 1000, "and nothing more");
    came.nothing_twice();
    sent.sort_unstable();
    println!("bytes sent: median {}, most {}", sent[500], sent[999]);
    sent
}

#[test]
fn when_all_fire_at_once_all_are_counted_and_nobody_sends_much() {
    let sent = storm(LAN, 4, Delivery::AtLeastOnce, |came| came.times == 1000);
    assert!(sent[999] < 150_000, "{}", sent[999]);
    let sent = storm(LOSSY, 5, Delivery::AtLeastOnce, |came| came.times == 1000);
    assert!(sent[999] < 250_000, "{}", sent[999]);
    let sent = storm(LAN, 6, Delivery::AtMostOnce, |came| came.times + came.lost == 1000);
    assert!(sent[999] < 150_000, "{}", sent[999]);
}

fn fired(world: &World) -> u64 {
    world.living().map(|(_, agent)| agent.counters().fired).sum()
}

#[test]
fn at_a_level_it_is_told_as_long_as_it_holds_and_only_by_the_zone_that_is_asked() {
    let mut world = asked(LAN, 7, &Asked { trigger: Trigger::Level, zone: "/z07", ..SURE });
    world.set(701, "state", Value::Int(1));
    world.set(301, "state", Value::Int(1));
    world.run(Duration::from_secs(10));
    let mut came = Came::default();
    came.add(world.heard(SURE.by, NAME));
    assert!((17..=20).contains(&came.times), "{}", came.times);
    assert_eq!(came.told.len(), 1, "{:?}", came.told);
    world.set(701, "state", Value::Int(0));
    world.run(Duration::from_secs(3));
    world.heard(SURE.by, NAME);
    world.run(Duration::from_secs(5));
    assert_eq!(world.heard(SURE.by, NAME), []);
}

#[test]
fn when_the_lease_ends_nobody_looks_any_more() {
    let mut world = asked(LAN, 8, &Asked { for_s: 10, ..SURE });
    world.set(1, "state", Value::Int(1));
    world.run(Duration::from_secs(2));
    assert_eq!(fired(&world), 1);
    world.run(Duration::from_secs(8));
    assert!(world.living().all(|(_, agent)| agent.standing(world.now()).count() == 0));
    (0..1000).for_each(|of| world.set(of, "state", Value::Int(2)));
    world.run(Duration::from_secs(5));
    assert_eq!(fired(&world), 1);
}

#[test]
fn events_for_an_agent_that_has_died_end_with_the_lease() {
    let mut world = asked(LAN, 9, &Asked { for_s: 20, ..SURE });
    let mut other = thousand(LAN, 9);
    other.run(Duration::from_secs(6));
    // What all send in the last 20 s of 50, when nothing happens any more but that one is dead.
    let sent = |world: &mut World| {
        world.kill(SURE.by);
        let others = (0..1000).step_by(7).filter(|of| *of != SURE.by);
        others.for_each(|of| world.set(of, "state", Value::Int(1)));
        world.run(Duration::from_secs(30));
        let before: u64 = traffic(world).iter().sum();
        world.run(Duration::from_secs(20));
        traffic(world).iter().sum::<u64>() - before
    };
    let (with, without) = (sent(&mut world), sent(&mut other));
    assert_eq!((fired(&world), fired(&other)), (143 - 1, 0));
    assert!(with * 100 <= without * 105, "nothing of it is left: {with} {without}");
}

/// What nobody would send, to those who speak for others and to who has asked.
#[test]
fn forged_messages_do_no_harm() {
    let mut world = asked(LAN, 10, &SURE);
    let told = |agent: &str| Some(Told { agent: agent.into(), at_ms: u64::MAX, rows: Vec::new() });
    let fired = |origin, nth, told| Fired {
        id: EventId { origin, nth },
        rows: u32::MAX,
        lost: u32::MAX,
        told,
        seal: None,
    };
    let zones = ["/", "/z00", "/z00/z00", "/z07/z07", "/nowhere"];
    for nth in 0..2000_u64 {
        let zone: ZoneName = zones[(nth % 5) as usize].parse().expect("a zone");
        let name = if nth % 3 == 0 { NAME } else { "event-2" };
        let nths = [1, u32::MAX, (nth as u32).wrapping_mul(77), 2];
        let many = nths.map(|n| fired(nth % 17, n.max(1), (n % 2 == 1).then(|| told("/x/y")).flatten()));
        let ids = many.iter().map(|fired| fired.id).collect();
        // Not to whoever has asked: that one has to believe what it is told, as long as nobody signs it.
        for to in [0, 1, 100, 770] {
            let fired = Message { zone: zone.clone(), body: Body::Fired(name.into(), many.to_vec()) };
            assert_eq!(Message::decode(&fired.encode()).as_ref(), Ok(&fired));
            world.deliver(to, 999, fired);
            let confirmed = Body::Confirmed(name.into(), Vec::clone(&ids));
            world.deliver(to, 998, Message { zone: zone.clone(), body: confirmed });
        }
    }
    let before = traffic(&world);
    world.run(Duration::from_secs(30));
    let most = traffic(&world).iter().zip(before).map(|(now, before)| now - before).max();
    assert!(most < Some(48_000 + 30 * 4000), "{most:?}");
    world.heard(SURE.by, NAME);
    // What is true still arrives; and whoever confirms without having been told is not believed.
    world.set(555, "state", Value::Int(9));
    let ids: Vec<EventId> = (1..100).map(|nth| EventId { origin: 1, nth }).collect();
    world.deliver(555, 3, Message { zone: ZoneName::root(), body: Body::Confirmed(NAME.into(), ids) });
    let mut came = Came::default();
    for _ in 0..600 {
        world.run(Duration::from_millis(50));
        let events = world.heard(SURE.by, NAME).into_iter();
        came.add(events.filter(|e| e.told.as_ref().is_some_and(|told| told.agent != "/x/y")).collect());
    }
    assert_eq!(came.told.into_iter().collect::<Vec<_>>(), [(("/z05/z05/z05".to_owned(), 9), 1)]);
}

/// Its events are counted from 1 again, and are not taken for those of before.
#[test]
fn a_query_that_lapses_and_stands_again_is_answered_again() {
    let asked_for = Asked { for_s: 10, ..SURE };
    let mut world = asked(LAN, 11, &asked_for);
    world.set(1, "state", Value::Int(1));
    world.run(Duration::from_secs(12));
    assert_eq!(world.heard(SURE.by, NAME).len(), 1);
    let again = standing(&world, &asked_for);
    world.install(SURE.by, &again).expect("it is taken");
    let mut came = Came::default();
    until(&mut world, SURE.by, &mut came, 1, 5000);
    world.run(Duration::from_secs(5));
    came.add(world.heard(SURE.by, NAME));
    assert_eq!((came.times, came.lost), (1, 0));
}
