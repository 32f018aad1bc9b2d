//! Trees of agents in the simulator, on virtual time: what everybody counts, how soon, and after which faults.

use std::{sync::Arc, time::Duration};

use gcs_monitor::{
    row::Row,
    sim::{Agents, Changing, Network, Plan, Seeds, World},
    sql::{Context, Limits, Query},
    value::Value,
    zones::{
        agent::{Agent, Config, Found, LookupError},
        function::Function,
    },
};

const LAN: Network = Network { latency_ms: (20, 120), loss_per_mille: 0 };

fn world(branching: usize, levels: u32, network: Network, seed: u64) -> World {
    let functions = vec![function("newest", "SELECT MAX(newest) AS newest", 0)];
    World::new(Plan {
        agents: Agents { branching, levels },
        config: Config::default(),
        seeds: Seeds::Near,
        functions,
        network,
        seed,
    })
}

fn function(name: &str, text: &str, issued_s: u64) -> Arc<Function> {
    Arc::new(Function::open(name, text, issued_s, 100_000).expect("it is right"))
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

/// All at once, and the one that all know cannot tell all of them.
#[test]
fn agents_that_all_know_the_same_one_find_all_soon() {
    for (branching, levels, seed, at_most) in
        [(18, 2, 31, 20), (7, 3, 32, 25), (64, 1, 33, 15), (10, 3, 34, 40)]
    {
        let (agents, functions) = (Agents { branching, levels }, Vec::new());
        let (config, seeds) = (Config::default(), Seeds::First);
        let mut world = World::new(Plan { agents, config, seeds, functions, network: LAN, seed });
        until_all_count(&mut world, i64::try_from(agents.count()).expect("few"), seconds(at_most));
        let most = world.traffic().iter().map(|traffic| traffic.bytes).max();
        assert!(most <= Some(800_000), "{most:?} bytes sent by one of {branching}^{levels}");
    }
}

/// The simulator's short cut leads to where a tree grows by itself.
#[test]
fn a_tree_that_is_made_grown_is_one_that_has_grown() {
    let plan = || Plan {
        agents: Agents { branching: 4, levels: 3 },
        config: Config::default(),
        seeds: Seeds::Near,
        functions: vec![function("newest", "SELECT MAX(newest) AS newest", 0)],
        network: LAN,
        seed: 18,
    };
    let shown = |world: &World| -> Vec<String> {
        let tables =
            world.living().flat_map(|(_, agent)| (0..agent.levels()).filter_map(|level| agent.table(level)));
        tables
            .map(|table| {
                let rows = table.issues().map(|(child, issue)| (child, issue.row.set("oldest", Value::Null)));
                format!("{:?}", rows.collect::<Vec<_>>())
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
    let query = Query::parse(text, &Limits::default()).expect("it is right");
    let (agents, functions) = (Agents { branching: 6, levels: 2 }, vec![function("all", text, 0)]);
    let mut world = World::new(Plan {
        agents,
        config: Config::default(),
        seeds: Seeds::Near,
        functions,
        network: LAN,
        seed: 16,
    });
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
    let right = query.summarise(&all, &context).expect("it works").row;
    for (of, agent) in world.living() {
        let rows: Vec<Row> =
            agent.table(0).expect("the root's").issues().map(|(_, issue)| issue.row.clone()).collect();
        let top = query.summarise(&rows, &context).expect("it works").row;
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

/// In how many agents' values the function has, as this agent knows.
fn answered(world: &World, agent: &Agent, name: &str) -> Option<i64> {
    agent.top(world.now()).get(&format!("&{name}")).as_int()
}

#[test]
fn a_new_function_is_answered_everywhere_soon_and_says_of_how_many() {
    let mut world = grown(6, 3, LAN, 19);
    for of in (0..216).filter(|of| of % 3 > 0) {
        world.set(of, "load", Value::Int(1));
    }
    world.run(seconds(3));
    let now_s = world.now_ms() / 1000;
    world.install(100, &function("load", "SELECT SUM(load) AS load", now_s)).expect("it is taken");
    world.run(seconds(5));
    for (of, agent) in world.living() {
        let top = agent.top(world.now());
        assert_eq!((top.get("load"), top.get("&load")), (&Value::Int(144), &Value::Int(144)), "agent {of}");
        assert_eq!((top.get("nmembers"), top.get("expected")), (&Value::Int(216), &Value::Int(216)));
    }
    // Who dies takes its share with it, and is missed.
    world.kill(100);
    until_all_count(&mut world, 215, seconds(15));
    world.run(seconds(3));
    for (of, agent) in world.living() {
        let top = agent.top(world.now());
        assert_eq!((top.get("load"), top.get("&load")), (&Value::Int(143), &Value::Int(143)), "agent {of}");
        assert_eq!((top.get("nmembers"), top.get("expected")), (&Value::Int(215), &Value::Int(216)));
    }
}

#[test]
fn a_function_is_replaced_removed_and_over() {
    let mut world = grown(4, 2, LAN, 20);
    let sums = |n: usize| format!("SELECT COUNT(*) * {n} AS n{n}");
    let shown = |world: &World, name: &str| -> Vec<Value> {
        let mut all: Vec<Value> =
            world.living().map(|(_, agent)| agent.top(world.now()).get(name).clone()).collect();
        all.dedup();
        all
    };
    let issued_s = world.now_ms() / 1000;
    world.install(5, &function("n", &sums(1), issued_s)).expect("it is taken");
    world.run(seconds(4));
    assert_eq!(shown(&world, "n1"), [Value::Int(16)]);
    world.install(9, &function("n", &sums(2), issued_s + 1)).expect("it is taken");
    world.run(seconds(4));
    assert_eq!((shown(&world, "n1"), shown(&world, "n2")), (vec![Value::Null], vec![Value::Int(32)]));
    assert!(world.install(9, &function("n", &sums(3), issued_s)).is_err(), "an older one");
    world.install(2, &function("n", "", issued_s + 2)).expect("it is taken");
    world.run(seconds(4));
    assert_eq!((shown(&world, "n2"), shown(&world, "&n")), (vec![Value::Null], vec![Value::Null]));
    let now_s = world.now_ms() / 1000;
    let short = Function::open("n", &sums(4), now_s, 8).expect("it is right");
    world.install(3, &Arc::new(short)).expect("it is taken");
    world.run(seconds(5));
    assert_eq!(shown(&world, "n4"), [Value::Int(64)]);
    world.run(seconds(8));
    assert_eq!(shown(&world, "n4"), [Value::Null], "it is over");
    assert!(world.living().all(|(_, agent)| agent.table(0).is_some_and(|t| t.function("n").is_none())));
}

#[test]
fn functions_come_to_those_who_were_not_there() {
    let mut world = grown(5, 2, LAN, 21);
    (0..5).for_each(|of| world.part(of, 1));
    world.kill(7);
    world.run(seconds(20));
    let now_s = world.now_ms() / 1000;
    world.install(20, &function("n", "SELECT COUNT(*) AS n", now_s)).expect("it is taken");
    world.run(seconds(5));
    (0..5).for_each(|of| world.part(of, 0));
    world.restart(7);
    until_all_count(&mut world, 25, seconds(60));
    world.run(seconds(5));
    for (of, agent) in world.living() {
        assert_eq!(answered(&world, agent, "n"), Some(25), "agent {of}");
    }
}

fn found(world: &mut World, of: usize, zone: &str) -> Result<Found, LookupError> {
    let lookup = world.look_up(of, &zone.parse().expect("a zone"))?;
    for _ in 0..200 {
        if let Some((_, found)) = world.found(of).into_iter().find(|(other, _)| *other == lookup) {
            return found;
        }
        world.run(Duration::from_millis(50));
    }
    panic!("the lookup of {zone} does not end")
}

#[test]
fn any_table_is_found_from_anywhere() {
    for (loss_per_mille, seed) in [(0, 22), (100, 23)] {
        let mut world = grown(4, 4, Network { loss_per_mille, ..LAN }, seed);
        for zone in ["/", "/z01", "/z03/z02", "/z03/z02/z01", "/z00/z00/z00"] {
            let found = found(&mut world, 7, zone).expect("it is there");
            let members: i64 =
                found.rows.iter().filter_map(|(_, issue)| issue.row.get("nmembers").as_int()).sum();
            let depth = u32::try_from(zone.matches('/').count() - usize::from(zone == "/")).expect("few");
            assert_eq!(members, 4_i64.pow(4 - depth), "{zone}");
            assert!(found.functions.iter().any(|function| function.said().name == "newest"), "{zone}");
        }
        assert!(matches!(found(&mut world, 7, "/z03/nowhere/x"), Err(LookupError::NoSuchZone(_))));
        assert!(matches!(found(&mut world, 7, "/z09"), Err(LookupError::NoSuchZone(_))));
    }
}

#[test]
fn a_lookup_ends_where_nobody_answers() {
    let mut world = grown(3, 2, LAN, 24);
    (3..6).for_each(|of| world.part(of, 1));
    let ended = found(&mut world, 0, "/z01");
    assert!(matches!(ended, Err(LookupError::Silent(_) | LookupError::NoSuchZone(_))), "{ended:?}");
}

/// A tree that was made grown, with functions for what changes.
fn changing(branching: usize, levels: u32, network: Network, seed: u64) -> World {
    let functions = Changing::FUNCTIONS.map(|(name, text)| function(name, text, 0)).to_vec();
    let mut world = World::grown(Plan {
        agents: Agents { branching, levels },
        config: Config::default(),
        seeds: Seeds::Near,
        functions,
        network,
        seed,
    });
    world.run(seconds(5));
    world
}

/// The number below which so many of a hundred are.
fn share(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[test]
fn where_everything_changes_all_the_time_traffic_is_bounded_and_the_top_is_not_forgotten() {
    for (loss_per_mille, seed) in [(0, 25), (150, 26)] {
        let mut world = changing(20, 2, Network { loss_per_mille, ..LAN }, seed);
        let mut changing = Changing::new(&world, seconds(5), seed);
        changing.run(&mut world, seconds(90));
        let seen = changing.run(&mut world, seconds(60));
        assert!(share(&seen.ordinary, 50) <= 2000, "{:?}", share(&seen.ordinary, 50));
        assert!(share(&seen.ordinary, 100) <= 3000, "{:?}", share(&seen.ordinary, 100));
        assert!(share(&seen.speakers, 100) <= 12_000, "{:?}", share(&seen.speakers, 100));
        // The row of an agent, and of its zone, wait for 20 rows of some 200 bytes at 500 a second each.
        assert!(seen.ages.len() > 10_000, "all zones are seen");
        assert!(share(&seen.ages, 50) <= 20_000, "{}", share(&seen.ages, 50));
        assert!(share(&seen.ages, 99) <= 40_000, "{}", share(&seen.ages, 99));
        assert!(share(&seen.ages, 100) <= 80_000, "{}", share(&seen.ages, 100));
        world.living().for_each(|(_, agent)| agent.check());
    }
}

#[test]
fn what_has_changed_all_the_time_is_right_soon_after() {
    let mut world = changing(12, 2, LAN, 27);
    Changing::new(&world, seconds(2), 27).run(&mut world, seconds(60));
    for of in 0..144 {
        world.set(of, "load", Value::Int(1));
    }
    world.run(seconds(60));
    for (of, agent) in world.living() {
        assert_eq!(agent.top(world.now()).get("load"), &Value::Int(144), "agent {of}");
    }
}

#[test]
fn one_who_never_rests_slows_nobody_else_down() {
    let mut world = changing(12, 2, LAN, 28);
    for load in 0..300 {
        world.set(77, "load", Value::Int(load));
        world.run(Duration::from_millis(100));
    }
    world.set(5, "traced", Value::Int(1));
    world.run(Duration::from_millis(1500));
    for (of, agent) in world.living() {
        assert_eq!(agent.top(world.now()).get("traced"), &Value::Int(1), "agent {of}");
    }
}

/// All zones change at once, several times while answers arrive.
#[test]
fn a_function_is_answered_within_seconds_though_all_rows_change_at_once() {
    for (branching, levels, loss_per_mille, at_most) in [(30, 2, 0, 3), (10, 3, 0, 3), (10, 3, 150, 6)] {
        let mut world = changing(branching, levels, Network { loss_per_mille, ..LAN }, 29);
        let now_s = world.now_ms() / 1000;
        world.install(123, &function("count", "SELECT COUNT(*) AS n", now_s)).expect("it is taken");
        world.run(seconds(at_most));
        let right = i64::try_from(world.agents().count()).expect("few");
        let wrong =
            world.living().filter(|(_, agent)| answered(&world, agent, "count") != Some(right)).count();
        assert_eq!(wrong, 0, "of {branching}, {levels}, {loss_per_mille}");
    }
}

#[test]
fn where_every_seventh_message_is_lost_all_hear_within_two_exchanges_and_nobody_is_taken_for_dead() {
    let mut world = changing(12, 3, Network { loss_per_mille: 150, ..LAN }, 30);
    for newest in 1..=5 {
        world.set(1000 + newest, "traced", Value::Int(newest as i64));
        world.run(Duration::from_millis(3500));
        let heard = |agent: &Agent| agent.top(world.now()).get("traced") == &Value::Int(newest as i64);
        let missed = world.living().filter(|(_, agent)| !heard(agent)).count();
        assert_eq!(missed, 0, "have not heard of {newest}");
    }
    world.run(seconds(60));
    let objections: u64 = world.living().map(|(_, agent)| agent.counters().objections).sum();
    assert_eq!(objections, 0, "had to say that they are there");
}
