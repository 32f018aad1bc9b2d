//! `gcs-monitor sim`.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use gcs_monitor::{
    sim::{Agents, Changing, Network, Plan, Seeds, World},
    value::Value,
    zones::{
        agent::{Agent, Config},
        function::{Function, count_name},
    },
};

/// Agents that a tree may have here.
const AGENTS_MAX: usize = 1_000_000;
/// Between two looks.
const YEARS_S: u64 = 1 << 30;
const STEP: Duration = Duration::from_millis(20);

#[derive(Args)]
pub(crate) struct Sim {
    /// Children of each zone.
    #[arg(long, default_value_t = 47, value_parser = clap::value_parser!(u32).range(1..=256))]
    branching: u32,
    /// Levels; the last one is of agents.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    levels: u32,
    /// How many of a thousand messages get lost.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=900))]
    loss_per_mille: u64,
    /// The least and the most that a message takes, in milliseconds.
    #[arg(long, value_delimiter = ',', num_args = 1, default_values_t = [20, 120])]
    latency_ms: Vec<u64>,
    /// How many times something changes, and how many agents die, one after the other.
    #[arg(long, default_value_t = 5)]
    times: u64,
    /// An aggregation function to be evaluated in every zone besides.
    #[arg(long, value_name = "SQL")]
    function: Vec<String>,
    /// Only this: every agent changes an attribute each so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    changing: Option<u32>,
    /// With keys: everything is signed and verified.
    #[arg(long)]
    keys: bool,
    /// The same arguments show the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Says on a terminal how far it is.
fn progress(what: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{what}");
    }
}

pub(crate) fn run(sim: &Sim) -> Result<(), Box<dyn std::error::Error>> {
    let agents = Agents { branching: sim.branching as usize, levels: sim.levels };
    let count = u128::from(sim.branching).pow(sim.levels);
    if count > AGENTS_MAX as u128 {
        return Err(format!(
            "{count} agents are more than {AGENTS_MAX}: choose less with --branching or --levels"
        )
        .into());
    }
    let [least, most] = sim.latency_ms[..] else {
        return Err("--latency-ms needs the least and the most, such as 20,120".into());
    };
    if least > most {
        return Err(format!("--latency-ms {least},{most}: the least comes first").into());
    }
    let open = |name: &str, text: &str| Function::open(name, text, 0, YEARS_S).map(Arc::new);
    let mut functions = vec![open("newest", "SELECT MAX(newest) AS newest")?];
    for (nth, function) in sim.function.iter().enumerate() {
        functions.push(open(&format!("function{nth}"), function).map_err(|e| format!("--function: {e}"))?);
    }
    if sim.changing.is_some() {
        for (name, text) in Changing::FUNCTIONS {
            functions.push(open(name, text)?);
        }
    }
    let network = Network { latency_ms: (least, most), loss_per_mille: sim.loss_per_mille };
    let config = Config::default();
    progress("everybody meets everybody");
    let plan = Plan { agents, config, seeds: Seeds::Near, functions, network, seed: sim.seed };
    let mut world = if sim.keys { World::grown_closed(plan) } else { World::grown(plan) };
    world.run(Duration::from_secs(5));
    println!(
        "{count} agents, {} in a zone, {} levels; messages take {least} to {most} ms, {} of 1000 get lost",
        agents.branching, agents.levels, sim.loss_per_mille
    );
    rows(&world);
    idle(&mut world);
    if let Some(seconds) = sim.changing {
        changing(&mut world, sim, Duration::from_secs(seconds.into()));
    } else {
        news(&mut world, sim);
        questions(&mut world, sim)?;
        deaths(&mut world, sim);
    }
    let objections: u64 = world.living().map(|(_, agent)| agent.counters().objections).sum();
    progress("");
    verified(&world);
    println!("agents that had to say that they are there: {objections}");
    println!("trace {:016x}", world.trace());
    Ok(())
}

fn sorted(of: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut all: Vec<u64> = of.collect();
    all.sort_unstable();
    all
}

/// The value below which so many of a thousand are.
fn share(sorted: &[u64], per_mille: usize) -> u64 {
    sorted.get((sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// How large rows are in the tables of the first agent.
fn rows(world: &World) {
    let agent = world.agent(0);
    let tables = (0..agent.levels()).filter_map(|level| agent.table(level));
    let sizes = tables.map(|table| {
        let sizes = sorted(table.issues().map(|(_, issue)| issue.bytes as u64));
        format!("{} ({})", share(&sizes, 500), share(&sizes, 1000))
    });
    let sizes: Vec<String> = sizes.collect();
    println!("bytes of a row, median and most, in the tables from the root's on: {}", sizes.join(", "));
}

/// What keys have cost since the beginning.
fn verified(world: &World) {
    let verified: Vec<_> = world.living().filter_map(|(_, agent)| agent.verified()).collect();
    if verified.is_empty() {
        return;
    }
    let signatures = sorted(verified.iter().map(|counters| counters.signatures));
    let refused: u64 = verified.iter().flat_map(|counters| counters.refused.values()).sum();
    let seconds = (world.now_ms() as f64 / 1000.0).max(1.0);
    let a_second = |per_mille| share(&signatures, per_mille) as f64 / seconds;
    println!(
        "in {seconds:.0} s an agent looked at {:.2} signatures a second (median), {:.2} (99 %), {:.2} (most); {refused} refused by all",
        a_second(500),
        a_second(990),
        a_second(1000)
    );
}

fn idle(world: &mut World) {
    const SECONDS: u64 = 10;
    progress("nothing happens");
    let before: Vec<u64> = world.traffic().iter().map(|t| t.bytes).collect();
    world.run(Duration::from_secs(SECONDS));
    let rates =
        sorted(world.traffic().iter().zip(before).map(|(now, before)| (now.bytes - before) / SECONDS));
    println!(
        "when nothing happens an agent sends {} B/s (median), {} (99 %), {} (most)",
        share(&rates, 500),
        share(&rates, 990),
        share(&rates, 1000)
    );
    verified(world);
}

/// Everybody changes all the time, for two minutes: in the second one, what does that cost, and how old is what is seen?
fn changing(world: &mut World, sim: &Sim, period: Duration) {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut changing = Changing::new(world, period, sim.seed);
    for (minute, when) in ["first", "second"].into_iter().enumerate() {
        progress(&format!("everybody changes, minute {} of 2", minute + 1));
        let seen = changing.run(world, MINUTE);
        progress("");
        let of = |numbers: &[u64]| [500, 990, 1000].map(|per_mille| share(numbers, per_mille));
        let (ages, ordinary, speakers) = (of(&seen.ages), of(&seen.ordinary), of(&seen.speakers));
        println!(
            "everybody changes every {} s, in the {when} minute: an agent sends {} B/s (median), {} (99 %), {} (most), one that speaks for zones {}, {}, {}; what is seen at the top of an agent was set {} ms ago (median), {} (99 %), {} (longest)",
            period.as_secs(),
            ordinary[0],
            ordinary[1],
            ordinary[2],
            speakers[0],
            speakers[1],
            speakers[2],
            ages[0],
            ages[1],
            ages[2]
        );
    }
}

/// An agent changes an attribute: when do others see it at the top?
fn news(world: &mut World, sim: &Sim) {
    let (mut all, mut messages, mut missed) = (Vec::new(), Vec::new(), 0);
    for nth in 0..sim.times {
        progress(&format!("news, {} of {}", nth + 1, sim.times));
        let count = world.traffic().len();
        let of = usize::try_from((nth + 1) * 7919 % count as u64).unwrap_or(0);
        let newest = i64::try_from(nth + 1).unwrap_or(0);
        let sent = |world: &World| world.living().map(|(_, agent)| agent.counters().news_sent).sum::<u64>();
        let (began, before) = (world.now_ms(), sent(world));
        world.set(of, "newest", Value::Int(newest));
        let mut waiting: Vec<usize> = (0..count).collect();
        while !waiting.is_empty() && world.now_ms() < began + 10_000 {
            world.run(STEP);
            let now = world.now_ms() - began;
            let heard = waiting.extract_if(.., |of| knows(world.agent(*of), newest)).count();
            all.extend(std::iter::repeat_n(now, heard));
        }
        missed += waiting.len();
        messages.push((sent(world) - before) as f64 / count as f64);
        world.run(Duration::from_secs(2));
    }
    let all = sorted(all.into_iter());
    let most = messages.iter().copied().fold(0.0, f64::max);
    println!(
        "news of one agent is seen at the top by half of all after {} ms, by 99 % after {} ms, by the last after {} ms ({missed} not within 10 s); {most:.1} messages an agent",
        share(&all, 500),
        share(&all, 990),
        share(&all, 1000)
    );
}

/// A function is installed at an agent: when does everybody have its answer, from all?
fn questions(world: &mut World, sim: &Sim) -> Result<(), Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    for nth in 0..sim.times.min(3) {
        progress(&format!("functions, {} of {}", nth + 1, sim.times.min(3)));
        let count = world.traffic().len();
        let of = usize::try_from((nth + 5) * 7919 % count as u64).unwrap_or(0);
        let (name, began) = (format!("question{nth}"), world.now_ms());
        let function = Function::open(&name, &format!("SELECT COUNT(*) AS n{nth}"), began / 1000, YEARS_S)?;
        let function = match world.fleet() {
            Some(fleet) => fleet.signed(&function)?,
            None => Arc::new(function),
        };
        world.install(of, &function)?;
        let mut waiting: Vec<usize> = (0..count).collect();
        while !waiting.is_empty() && world.now_ms() < began + 10_000 {
            world.run(2 * STEP);
            let right = i64::try_from(count).unwrap_or(i64::MAX);
            // What the answer says of how many agents it is, without computing the answer itself.
            let counts = count_name(&name);
            let answered = |of: &mut usize| {
                let root = world.agent(*of).table(0).filter(|root| root.function(&name).is_some());
                let rows = root.into_iter().flat_map(|root| root.issues());
                rows.filter_map(|(_, issue)| issue.row.get(&counts).as_int()).sum::<i64>() == right
            };
            let done = waiting.extract_if(.., answered).count();
            all.extend(std::iter::repeat_n(world.now_ms() - began, done));
        }
        // Until there may be as much news at once as before.
        world.run(Duration::from_secs(20));
    }
    let all = sorted(all.into_iter());
    println!(
        "a new function is answered for all agents at half of them after {} ms, at the last after {} ms ({} not within 10 s)",
        share(&all, 500),
        share(&all, 1000),
        sim.times.min(3) * world.traffic().len() as u64 - all.len() as u64
    );
    Ok(())
}

fn knows(agent: &Agent, newest: i64) -> bool {
    let root = agent.table(0);
    root.is_some_and(|root| root.issues().any(|(_, issue)| issue.row.get("newest").as_int() == Some(newest)))
}

fn counts(agent: &Agent) -> i64 {
    let root = agent.table(0);
    root.map_or(0, |root| root.issues().filter_map(|(_, issue)| issue.row.get("nmembers").as_int()).sum())
}

/// An agent dies: when do others count one less?
fn deaths(world: &mut World, sim: &Sim) {
    let (mut half, mut last) = (Vec::new(), Vec::new());
    for nth in 0..sim.times {
        progress(&format!("deaths, {} of {}", nth + 1, sim.times));
        let living: Vec<usize> = world.living().map(|(of, _)| of).collect();
        let victim = living[usize::try_from((nth + 3) * 104_729 % living.len() as u64).unwrap_or(0)];
        let right = i64::try_from(living.len()).unwrap_or(i64::MAX) - 1;
        let began = world.now_ms();
        world.kill(victim);
        let mut waiting: Vec<usize> = living.into_iter().filter(|of| *of != victim).collect();
        let most = waiting.len();
        while !waiting.is_empty() && world.now_ms() < began + 20_000 {
            world.run(STEP);
            waiting.retain(|of| counts(world.agent(*of)) > right);
            if waiting.len() * 2 <= most && half.len() as u64 == nth {
                half.push(world.now_ms() - began);
            }
        }
        last.push(world.now_ms() - began);
    }
    let (half, last) = (sorted(half.into_iter()), sorted(last.into_iter()));
    println!(
        "who dies is missing from the count at half of all after {} ms (median of {}), {} (longest); at all after {} ms, {} (longest)",
        share(&half, 500),
        half.len(),
        share(&half, 1000),
        share(&last, 500),
        share(&last, 1000)
    );
}
