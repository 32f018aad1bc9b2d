//! The same work for this toolkit, for Corosync's process groups, and for what bounds both: rounds in turn, medians.

use super::{
    Common, latency, median,
    site::{self, Corosync, Site},
    throughput,
};
use crate::{
    outcome::{Outcome, Short},
    report::wall_ns,
};
use gcs_tcp_endpoint::playground;
use std::fmt::Write as _;

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Message sizes in bytes; repeat it.
    #[arg(long, default_values_t = [64, 1024, 16_384])]
    size: Vec<usize>,
    /// Only systems with this in their names.
    #[arg(long, default_value = "")]
    only: String,
    /// This is the process in the namespaces.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Datagrams as large as the toolkit's over loopback.
const LARGE: usize = 60 << 10;
/// Larger than caches are.
const COPIED: usize = 256 << 20;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum System {
    Gcs { stack: String, bridge: bool },
    Corosync { realtime: bool },
    Udp { packed: bool },
    Copy,
}

impl System {
    fn name(&self) -> String {
        match self {
            Self::Gcs { stack, bridge: false } => format!("gcs {stack}, loopback"),
            Self::Gcs { stack, bridge: true } => format!("gcs {stack}, bridge"),
            Self::Corosync { realtime: true } => "Corosync CPG, bridge".to_owned(),
            Self::Corosync { realtime: false } => {
                "Corosync CPG without real-time priority, bridge".to_owned()
            }
            Self::Udp { packed: false } => "UDP, a message each, loopback".to_owned(),
            Self::Udp { packed: true } => "UDP, 60 KiB each, loopback".to_owned(),
            Self::Copy => "memcpy, one thread".to_owned(),
        }
    }

    /// How fast it carries messages of this size.
    fn throughput(&self, c: &Common) -> anyhow::Result<Outcome> {
        match self {
            Self::Udp { packed } => {
                let messages = if *packed { (LARGE / c.payload).max(1) } else { 1 };
                let site = Site::Udp(messages * c.payload);
                throughput::measure(&Common { site, ..c.clone() }, 1, None)
            }
            Self::Copy => Ok(copy(c)),
            _ => self.placed(c, |c| throughput::measure(c, c.members, None)),
        }
    }

    /// How long one message takes, with nothing else under way; none where that says nothing.
    fn latency(&self, c: &Common) -> anyhow::Result<Option<Outcome>> {
        match self {
            Self::Udp { packed: false } => {
                latency::measure(&Common { site: Site::Udp(c.payload), ..c.clone() }, 0).map(Some)
            }
            Self::Udp { packed: true } | Self::Copy => Ok(None),
            _ => self.placed(c, |c| latency::measure(c, 1)).map(Some),
        }
    }

    fn placed(
        &self,
        c: &Common,
        work: impl FnOnce(&Common) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Outcome> {
        match self {
            Self::Gcs { stack, bridge } => {
                let site = if *bridge { Site::Bridge } else { Site::Here };
                work(&Common { site, stack: vec![stack.clone()], ..c.clone() })
            }
            other => {
                let realtime = *other == Self::Corosync { realtime: true };
                let daemons = Corosync::start(c.members, realtime)?;
                work(&Common { site: daemons.site(), ..c.clone() })
            }
        }
    }
}

/// Runs it; none: the process in the namespaces has printed the outcome.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(args: &Args) -> anyhow::Result<Option<Outcome>> {
    let possible = playground::is_possible();
    if possible && !args.inside {
        playground::again_inside("--inside")?;
        return Ok(None);
    }
    let mut notes = Vec::new();
    let mut bridge = args.inside;
    if args.inside {
        playground::end_with_parent();
        if let Err(e) = site::build(args.common.members, site::MTU) {
            notes.push(format!("No bridge: {e}."));
            bridge = false;
        }
    } else {
        notes.push("No bridge: that needs root, `ip` and `unshare`.".to_owned());
    }
    let mut systems = Vec::new();
    for bridge in [false, true].into_iter().filter(|b| !*b || bridge) {
        systems.extend(stacks(&args.common).into_iter().map(|stack| System::Gcs { stack, bridge }));
    }
    match Corosync::missing() {
        Some(what) => notes.push(format!("{what}.")),
        None if bridge => systems.extend([true, false].map(|realtime| System::Corosync { realtime })),
        None => notes.push("Corosync needs the bridge.".to_owned()),
    }
    systems.extend([System::Udp { packed: false }, System::Udp { packed: true }, System::Copy]);
    systems.retain(|s| s.name().contains(&args.only));
    measure(args, &systems, notes).map(Some)
}

/// Those that were asked for; with the default, also its uniform sister.
fn stacks(c: &Common) -> Vec<String> {
    match &c.stack[..] {
        [one] if one == "total" => vec![one.clone(), "total+uniform".to_owned()],
        several => several.to_vec(),
    }
}

fn measure(args: &Args, systems: &[System], mut notes: Vec<String>) -> anyhow::Result<Outcome> {
    let mut all = Outcome::new("compare", &args.common).with("rounds", args.rounds as f64);
    let mut failed = Vec::new();
    // Systems that have no stacks ignore it.
    let common = Common { stack: stacks(&args.common)[..1].to_vec(), ..args.common.clone() };
    for round in 1..=args.rounds {
        for system in systems {
            eprintln!("round {round}: {}", system.name());
            let mut measured = Vec::new();
            for payload in &args.size {
                let c = Common { payload: (*payload).max(8), ..common.clone() };
                measured.push(system.throughput(&c).map(Some));
            }
            measured.push(system.latency(&common));
            for outcome in measured {
                match outcome {
                    Ok(Some(o)) => all.parts.push(Outcome { label: system.name(), ..o }),
                    Ok(None) => {}
                    Err(e) => failed.push(format!("{} failed in round {round}: {e:#}.", system.name())),
                }
            }
        }
    }
    notes.extend(failed);
    all.text = Some(table(args, systems, &all.parts, &notes));
    Ok(all)
}

/// How fast one thread copies.
fn copy(c: &Common) -> Outcome {
    let (from, mut to) = (vec![7_u8; COPIED], vec![0_u8; COPIED]);
    let start = wall_ns();
    let mut bytes = 0;
    while (wall_ns() - start) as f64 / 1e9 < c.seconds {
        for (a, b) in from.chunks_exact(c.payload).zip(to.chunks_exact_mut(c.payload)) {
            b.copy_from_slice(a);
            bytes += a.len();
        }
        std::hint::black_box(&mut to);
    }
    let rate = bytes as f64 / ((wall_ns() - start) as f64 / 1e9);
    let outcome = Outcome::new("throughput", c).with("mb_per_s", rate / 1e6);
    outcome.with("messages_per_s", rate / c.payload as f64)
}

/// A table in Markdown: medians over the rounds, and in brackets how much that is of the first system on the same network.
fn table(args: &Args, systems: &[System], parts: &[Outcome], notes: &[String]) -> String {
    let c = &args.common;
    let rate = |system: &System, payload: usize| {
        let of = |o: &&Outcome| o.label == system.name() && o.work.payload == payload;
        let rates = parts.iter().filter(|o| o.mode == "throughput").filter(of);
        median(rates.filter_map(|o| o.value("messages_per_s")).collect())
    };
    let mut text = format!(
        "{} members, all sending (UDP: one); messages/s at the slowest, medians of {} rounds of {} s; in brackets: of \
         {} on the same network. One {} B message in flight: µs.\n\n| |",
        c.members,
        args.rounds,
        c.seconds,
        systems.first().map(System::name).unwrap_or_default(),
        c.payload
    );
    for payload in &args.size {
        let _ = write!(text, " {payload} B |");
    }
    let _ = write!(text, " p50 | p99 |\n|---|{}---|---|\n", "---|".repeat(args.size.len()));
    for system in systems {
        let on_bridge = matches!(system, System::Gcs { bridge: true, .. } | System::Corosync { .. });
        let base = systems.iter().find(|s| matches!(s, System::Gcs { bridge, .. } if *bridge == on_bridge));
        let _ = write!(text, "| {} |", system.name());
        for payload in &args.size {
            let of = base.and_then(|b| rate(b, *payload));
            let _ = match (rate(system, *payload), of) {
                (Some(r), Some(of)) => write!(text, " {r:.0} ({}) |", Short(r / of)),
                (Some(r), None) => write!(text, " {r:.0} |"),
                (None, _) => write!(text, " – |"),
            };
        }
        let trips = parts.iter().filter(|o| o.mode == "latency" && o.label == system.name());
        let trips: Vec<_> = trips.filter_map(|o| o.times.get("round_trip_us")).collect();
        for of in [|p: &crate::report::Percentiles| p.p50, |p: &crate::report::Percentiles| p.p99] {
            let _ = match median(trips.iter().map(|p| of(p)).collect()) {
                Some(us) => write!(text, " {} |", Short(us)),
                None => write!(text, " – |"),
            };
        }
        text.push('\n');
    }
    for note in notes {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_medians_and_ratios_and_says_what_is_missing() {
        let common = Common { members: 3, payload: 64, seconds: 1.0, ..Common::default() };
        let args = Args { common, rounds: 3, size: vec![64], only: String::new(), inside: false };
        let gcs = System::Gcs { stack: "total".to_owned(), bridge: false };
        let part = |system: &System, rate| {
            let o = Outcome::new("throughput", &args.common).with("messages_per_s", rate);
            Outcome { label: system.name(), ..o }
        };
        let systems = [gcs.clone(), System::Copy];
        let parts = [part(&gcs, 100.0), part(&gcs, 900.0), part(&gcs, 200.0), part(&System::Copy, 500.0)];
        let text = table(&args, &systems, &parts, &["Nothing else.".to_owned()]);
        assert!(text.contains("| gcs total, loopback | 200 (1) | – | – |"), "{text}");
        assert!(text.contains("| memcpy, one thread | 500 (2.50) | – | – |"), "{text}");
        assert!(text.contains("Nothing else."), "{text}");
    }
}
