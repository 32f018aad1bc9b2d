//! Trees of agents in the simulator, on virtual time: what everybody counts, how soon, and after which faults.

use std::time::Duration;

use gcs_monitor::{
    row::Row,
    sim::{Agents, Network, Plan, World},
    sql::{Context, Limits, Query},
    value::Value,
    zones::agent::{Agent, Config},
};

const LAN: Network = Network { latency_ms: (20, 120), loss_per_mille: 0 };

fn world(branching: usize, levels: u32, network: Network, seed: u64) -> World {
    let newest = Query::parse("SELECT MAX(newest) AS newest", &Limits::default()).expect("it is right");
    let config = Config { functions: vec![newest], ..Config::default() };
    World::new(Plan { agents: Agents { branching, levels }, config, network, seed })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How many agents there are, as this one counts them: the sum of the root's table.
fn counts(agent: &Agent) -> i64 {
    let root = agent.table(0).expect("the root's table");
    root.issues().filter_map(|(_, issue)| issue.row.get("nmembers").as_int()).sum()
}

/// Whether this agent knows of something new that a zone at the top says.
fn knows(agent: &Agent, newest: i64) -> bool {
    let root = agent.table(0).expect("the root's table");
    root.issues().any(|(_, issue)| issue.row.get("newest").as_int() == Some(newest))
}

/// Lets time pass until all living agents count so many, for at most so long. After how long, in milliseconds.
fn until_all_count(world: &mut World, right: i64, at_most: Duration) -> u64 {
    let (began, step) = (world.now_ms(), Duration::from_millis(50));
    while world.living().any(|(_, agent)| counts(agent) != right) {
        world.run(step);
        let wrong: Vec<_> = world.living().map(|(_, agent)| counts(agent)).filter(|c| *c != right).collect();
        let passed = Duration::from_millis(world.now_ms() - began);
        assert!(
            passed < at_most,
            "{} of {} agents count something else than {right}: {wrong:?}",
            wrong.len(),
            world.living().count()
        );
    }
    world.living().for_each(|(_, agent)| agent.check());
    world.now_ms() - began
}

/// A tree in which everybody knows everybody.
fn grown(branching: usize, levels: u32, network: Network, seed: u64) -> World {
    let mut world = world(branching, levels, network, seed);
    let right = i64::try_from(Agents { branching, levels }.count()).expect("few");
    until_all_count(&mut world, right, seconds(60));
    world.run(seconds(5));
    world
}

#[test]
fn agents_that_know_one_or_two_others_find_all() {
    for (branching, levels, seed) in
        [(2, 1, 1), (5, 1, 2), (5, 2, 3), (3, 3, 4), (5, 3, 5), (16, 2, 6), (2, 6, 7)]
    {
        grown(branching, levels, LAN, seed);
    }
}

/// The simulator's short cut leads to where a tree grows by itself.
#[test]
fn a_tree_that_is_made_grown_is_one_that_has_grown() {
    let plan = || Plan {
        agents: Agents { branching: 4, levels: 3 },
        config: Config::default(),
        network: LAN,
        seed: 18,
    };
    let shown = |world: &World| -> Vec<String> {
        let tables =
            world.living().flat_map(|(_, agent)| (0..agent.levels()).filter_map(|level| agent.table(level)));
        tables
            .map(|table| {
                format!("{:?}", table.issues().map(|(child, issue)| (child, &issue.row)).collect::<Vec<_>>())
            })
            .collect()
    };
    let mut made = World::grown(plan());
    let before = shown(&made);
    made.run(seconds(10));
    assert_eq!(shown(&made), before, "nothing changes");
    let mut own = World::new(plan());
    until_all_count(&mut own, 64, seconds(60));
    own.run(seconds(5));
    assert_eq!(shown(&own), before);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut world = world(6, 2, LAN, seed);
        world.run(seconds(20));
        world.kill(7);
        world.run(seconds(10));
        world.trace()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn news_of_one_agent_is_everywhere_at_once_and_costs_everybody_little() {
    let mut world = grown(12, 2, LAN, 8);
    let sent = |world: &World| world.living().map(|(_, agent)| agent.counters().news_sent).sum::<u64>();
    let before = sent(&world);
    world.set(77, "newest", Value::Int(5));
    world.run(Duration::from_millis(1500));
    assert!(world.living().all(|(_, agent)| knows(agent, 5)));
    let messages = sent(&world) - before;
    assert!(messages <= 6 * 144, "{messages} for 144 agents");
}

#[test]
fn news_gets_through_where_every_seventh_message_is_lost() {
    let mut world = grown(12, 2, Network { loss_per_mille: 150, ..LAN }, 9);
    world.set(77, "newest", Value::Int(5));
    world.run(Duration::from_millis(1500));
    let told = world.living().filter(|(_, agent)| knows(agent, 5)).count();
    assert!(told * 100 >= 144 * 99, "{told} of 144");
    world.run(seconds(10));
    assert!(world.living().all(|(_, agent)| knows(agent, 5)), "the exchange repairs");
}

#[test]
fn who_dies_is_missing_from_the_numbers_soon() {
    let mut world = grown(12, 2, LAN, 10);
    let mut took = Vec::new();
    // The last one speaks for its zone.
    for (nth, victim) in [5, 77, 143, 0].into_iter().enumerate() {
        world.kill(victim);
        took.push(until_all_count(&mut world, 143 - i64::try_from(nth).expect("few"), seconds(15)));
    }
    took.sort_unstable();
    assert!(took[2] <= 4000, "{took:?}");
}

#[test]
fn a_zone_whose_agents_are_all_dead_disappears() {
    let mut world = grown(5, 2, LAN, 11);
    (5..10).for_each(|victim| world.kill(victim));
    until_all_count(&mut world, 20, seconds(30));
    assert!(world.living().all(|(_, agent)| agent.table(0).is_some_and(|root| root.issue("z01").is_none())));
}

#[test]
fn who_comes_back_is_counted_again_and_its_old_row_is_not() {
    let mut world = grown(5, 2, LAN, 12);
    world.set(7, "newest", Value::Int(9));
    world.run(seconds(2));
    world.kill(7);
    world.run(Duration::from_millis(500));
    // Before anybody has noticed.
    world.restart(7);
    until_all_count(&mut world, 25, seconds(20));
    world.run(seconds(10));
    assert_eq!(until_all_count(&mut world, 25, seconds(1)), 0, "it stays");
    assert!(!world.living().any(|(_, agent)| knows(agent, 9)), "the new life says nothing of that");
    world.kill(7);
    until_all_count(&mut world, 24, seconds(15));
    world.restart(7);
    until_all_count(&mut world, 25, seconds(20));
}

#[test]
fn a_partition_heals() {
    let mut world = grown(5, 2, LAN, 13);
    // A zone and a half.
    (0..8).for_each(|of| world.part(of, 1));
    world.run(seconds(30));
    for (of, agent) in world.living() {
        assert_eq!(counts(agent), if of < 8 { 8 } else { 17 }, "agent {of}");
    }
    (0..8).for_each(|of| world.part(of, 0));
    until_all_count(&mut world, 25, seconds(60));
}

#[test]
fn agents_that_are_overloaded_take_nobody_else_for_dead() {
    let mut world = grown(25, 2, LAN, 14);
    let slow: Vec<usize> = (0..625).filter(|of| of % 12 == 3).collect();
    slow.iter().for_each(|of| world.slow(*of, Duration::from_millis(1500)));
    world.run(seconds(120));
    let others = world.living().filter(|(of, _)| !slow.contains(of));
    let gone: Vec<_> =
        others.filter(|(_, agent)| agent.counters().objections > 0).map(|(of, _)| of).collect();
    assert!(gone.is_empty(), "{gone:?} had to say that they are there");
}

#[test]
fn when_nothing_happens_hardly_anything_is_sent() {
    let mut world = grown(25, 2, LAN, 15);
    world.run(seconds(30));
    let before: Vec<u64> = world.traffic().iter().map(|traffic| traffic.bytes).collect();
    world.run(seconds(20));
    let rates = world.traffic().iter().zip(before).map(|(now, before)| (now.bytes - before) / 20);
    assert!(rates.max() < Some(1000));
}

/// What a function says at the top is what it says of all agents at once, if it is of that kind.
#[test]
fn functions_say_at_the_top_what_they_say_of_all_agents() {
    let text = "SELECT SUM(load) AS load, MIN(free) AS free, SKETCH(took) AS took, FIRST(3, name) AS name, AVG(mean, nmembers) AS mean";
    let function = Query::parse(text, &Limits::default()).expect("it is right");
    let config = Config { functions: vec![function.clone()], ..Config::default() };
    let mut world =
        World::new(Plan { agents: Agents { branching: 6, levels: 2 }, config, network: LAN, seed: 16 });
    let mut all = Vec::new();
    for of in 0..36_usize {
        let number = i64::try_from(of * of % 101).expect("small");
        let attributes = [
            ("load", Value::Int(number)),
            ("free", Value::float(1.0 / (1.0 + of as f64))),
            ("took", Value::Int(number + 1)),
            ("name", Value::text(format!("agent {of:02}"))),
            ("mean", Value::Int(number)),
            ("nmembers", Value::Int(1)),
        ];
        all.push(Row::new([("id", Value::text(format!("{of:02}")))].into_iter().chain(attributes.clone())));
        for (name, value) in attributes {
            world.set(of, name, value);
        }
    }
    until_all_count(&mut world, 36, seconds(60));
    world.run(seconds(10));
    let context = Context::default();
    let right = function.summarise(&all, &context).expect("it works").row;
    for (of, agent) in world.living() {
        let rows: Vec<Row> =
            agent.table(0).expect("the root's").issues().map(|(_, issue)| issue.row.clone()).collect();
        let top = function.summarise(&rows, &context).expect("it works").row;
        for name in ["load", "free", "took", "name"] {
            assert_eq!(top.get(name), right.get(name), "{name} at agent {of}");
        }
        let (mean, wanted) = (top.get("mean").as_f64(), right.get("mean").as_f64());
        assert!(mean.zip(wanted).is_some_and(|(a, b)| (a - b).abs() < 1e-9), "{mean:?} {wanted:?}");
    }
}

#[test]
fn of_two_agents_with_one_name_both_are_told() {
    let mut world = grown(3, 2, LAN, 17);
    world.impostor(4, 5);
    world.run(seconds(20));
    for of in [4, 5] {
        assert!(world.agent(of).counters().contradicted > 0, "agent {of}");
    }
    let contested = world.agent(4).counters().contradicted;
    assert!(contested < 100, "{contested} times: they take their time");
}
