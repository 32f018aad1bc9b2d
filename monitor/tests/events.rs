//! Standing queries over simulated agents, on virtual time: whoever has asked is told what fires, soon, once, and within bounds.
//!
//! The oracle knows which agents have fired how many times, because it has set their attributes; what arrives is held against it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gcs_monitor::{
    sim::{Agents, Network, Plan, World},
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
    World::grown(Plan { agents, config: Config::default(), functions: Vec::new(), network, seed })
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
            for told in event.told {
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
