//! One work at several values of one parameter: curves as SVG, the data as JSON beside them.

use super::{Common, throughput};
use crate::{
    outcome::{Outcome, Short},
    svg::{Axis, Curve, chart},
};
use anyhow::Context as _;
use std::path::PathBuf;

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// What is different from point to point.
    #[arg(long, value_enum)]
    over: Over,
    /// The drawing; the data is written to the same name with `.json`.
    #[arg(long)]
    out: PathBuf,
}

/// What is different from point to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Over {
    /// Messages a second in open loop, at tenths of what the group takes; latency is drawn.
    Rate,
    /// Message size, 16 B to 4 MiB.
    Payload,
    /// Members, 2 to 16.
    Members,
    /// Senders, 1 to all members.
    Senders,
    /// The window of a sender, 128 KiB to 16 MiB; the largest process is drawn.
    Window,
    /// How many of 100 datagrams every member loses, 0 to 10.
    Loss,
}

/// A point: where it is, and what was measured there.
type Point = (f64, Outcome);

/// Runs it and writes the files.
///
/// # Errors
/// A member did not start, or said nothing in time; a file cannot be written.
pub fn run(Args { common, over, out }: &Args) -> anyhow::Result<Outcome> {
    let mut sweep = Outcome::new("sweep", common);
    let mut curves = Vec::new();
    for stack in &common.stack {
        let c = Common { stack: vec![stack.clone()], ..common.clone() };
        let points = points(&c, *over)?;
        for (name, y) in lines(*over) {
            let points = points.iter().map(|(x, o)| (*x, y(o))).collect();
            curves.push(Curve { name: format!("{stack}{name}"), points });
        }
        sweep.parts.extend(points.into_iter().map(|(_, o)| o));
    }
    let [x, y] = axes(*over);
    let fixed = [
        (over != &Over::Members).then(|| format!("{} members", common.members)),
        (over != &Over::Payload).then(|| format!("{} B", common.payload)),
        Some(format!("{} s each", common.seconds)),
    ];
    let title = fixed.into_iter().flatten().collect::<Vec<_>>().join(", ");
    std::fs::write(out, chart(&title, x, y, &curves))
        .with_context(|| format!("writing {}", out.display()))?;
    let json = out.with_extension("json");
    std::fs::write(&json, serde_json::to_string(&sweep)?)
        .with_context(|| format!("writing {}", json.display()))?;
    Ok(sweep)
}

fn points(c: &Common, over: Over) -> anyhow::Result<Vec<Point>> {
    let most = match over {
        Over::Rate => measured(c, c.members, None)?.value("messages_per_s").context("no rate")?,
        _ => 0.0,
    };
    let point = |x: u32| -> anyhow::Result<Point> {
        let n = x as usize;
        let (at, changed, senders, rate) = match over {
            Over::Rate => {
                let offered = most * f64::from(x) / 100.0;
                (offered, c.clone(), c.members, Some((offered / c.members as f64) as u64))
            }
            Over::Senders => (x.into(), c.clone(), n, None),
            Over::Payload => (x.into(), Common { payload: n, ..c.clone() }, c.members, None),
            Over::Members => (x.into(), Common { members: n, ..c.clone() }, n, None),
            Over::Window => (x.into(), Common { window: Some(n), ..c.clone() }, c.members, None),
            Over::Loss => {
                let percent = f64::from(x) / 10.0;
                (percent, Common { loss: percent, ..c.clone() }, c.members, None)
            }
        };
        Ok((at, measured(&changed, senders, rate)?))
    };
    values(over, c.members).into_iter().map(point).collect()
}

/// One point; says on stderr how far it is.
fn measured(c: &Common, senders: usize, rate: Option<u64>) -> anyhow::Result<Outcome> {
    let o = throughput::measure(c, senders, rate)?;
    let (found, p99) = (o.value("messages_per_s").unwrap_or(0.0), worst(&o, |p| p.p99));
    let offered = o.value("offered_per_s").map_or(String::new(), |r| format!(", {r:.0}/s offered"));
    eprintln!(
        "{} {} members, {senders} senders, {} B, window {} KiB, loss {} %{offered}: {found:.0} messages/s, p99 {} us",
        c.stack.join(" "),
        c.members,
        c.payload,
        c.window.map_or("default".to_owned(), |w| w.to_string()),
        c.loss,
        Short(p99)
    );
    Ok(o)
}

fn values(over: Over, members: usize) -> Vec<u32> {
    match over {
        Over::Rate => (1..=10).map(|tenth| tenth * 10).collect(),
        Over::Payload => (2..=11).map(|e| 4_u32.pow(e)).collect(),
        Over::Members => vec![2, 3, 4, 5, 6, 8, 12, 16],
        Over::Senders => (1..=u32::try_from(members).unwrap_or(1)).collect(),
        Over::Window => (7..=14).map(|e| 2_u32.pow(e)).collect(),
        Over::Loss => vec![0, 1, 3, 10, 20, 50, 100],
    }
}

fn axes(over: Over) -> [Axis; 2] {
    let rate = Axis { label: "messages/s at the slowest member", log: false };
    match over {
        Over::Rate => [
            Axis { label: "offered messages/s, all senders together", log: false },
            Axis { label: "from due to delivered at the slowest member, µs", log: true },
        ],
        Over::Payload => [
            Axis { label: "message size, bytes", log: true },
            Axis { label: "MB/s at the slowest member", log: false },
        ],
        Over::Members => [Axis { label: "members", log: false }, rate],
        Over::Senders => [Axis { label: "senders", log: false }, rate],
        Over::Window => [
            Axis { label: "window of a sender, KiB", log: true },
            Axis { label: "peak memory of the largest process, MiB", log: false },
        ],
        Over::Loss => [Axis { label: "datagrams lost at each member, %", log: false }, rate],
    }
}

/// A curve of a stack: the end of its name, and its value at a point.
type Line = (&'static str, fn(&Outcome) -> f64);

fn lines(over: Over) -> Vec<Line> {
    match over {
        Over::Rate => vec![(" p50", |o| worst(o, |p| p.p50)), (" p99", |o| worst(o, |p| p.p99))],
        Over::Payload => vec![("", |o| o.value("mb_per_s").unwrap_or(0.0))],
        Over::Window => vec![("", |o| o.members.iter().map(|m| m.peak_mib).fold(0.0, f64::max))],
        _ => vec![("", |o| o.value("messages_per_s").unwrap_or(0.0))],
    }
}

/// The largest of the members' latencies.
fn worst(o: &Outcome, of: fn(&crate::report::Percentiles) -> f64) -> f64 {
    o.members.iter().filter_map(|m| m.latency_us.as_ref().map(of)).fold(0.0, f64::max)
}
