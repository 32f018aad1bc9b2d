//! How long lost messages are late: plain repair, forward and lateral error correction, gossip, side by side. Whole
//! endpoints in the simulator, in virtual time.

use clap::Parser;
use gcs::{
    blocks::Snapshot,
    id::MemberId,
    sim::{
        App, AppContext, Disturbance, Fault, MessageId, Observation, Oracle, Plan, Setup, Violation, What,
        run_app,
    },
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

/// How long lost messages are late, in virtual time. The same arguments print the same figures.
#[derive(Parser)]
struct Args {
    /// Stacks of the catalogue.
    #[arg(long, value_delimiter = ',', default_value = "fifo,fifo+fec,fifo+lateral,bimodal")]
    stacks: Vec<String>,
    /// How many of a thousand datagrams get lost. Several in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 10, 50, 200])]
    loss_per_mille: Vec<u64>,
    /// How many members.
    #[arg(long, default_value_t = 8)]
    members: usize,
    /// How many of them cast.
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Messages a second of each of these, of 200 bytes.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Seconds of virtual time.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Links take 200 µs, and up to 300 more.
const LATENCY_US: (u64, u64) = (200, 200);
/// Nothing is measured before the group is founded, and while the last messages are under way.
const FROM_MS: u64 = 500;

/// Casts at a steady pace.
struct Caster {
    casts: bool,
    every: Duration,
}

struct Nothing;

impl Snapshot for Nothing {
    fn chunks(&self) -> u64 {
        1
    }
    fn chunk(&self, _: u64) -> bytes::Bytes {
        bytes::Bytes::new()
    }
}

impl App for Caster {
    fn started(&mut self, cx: &mut AppContext<'_>) {
        if self.casts {
            // Not all at once.
            let phase = cx.rng.below(u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX));
            cx.wake_after(Duration::from_nanos(phase));
        }
    }
    fn wake(&mut self, cx: &mut AppContext<'_>) {
        if cx.view.is_some() {
            cx.cast(&[7; 200]);
        }
        cx.wake_after(self.every);
    }
    fn message(&mut self, _: MemberId, _: MessageId, _: &[u8], _: &mut AppContext<'_>) {}
    fn snapshot(&mut self) -> Arc<dyn Snapshot> {
        Arc::new(Nothing)
    }
    fn restore(&mut self, _: u64, _: bool, _: &[u8], _: &mut AppContext<'_>) {}
}

/// From cast to delivery at the others, in microseconds.
#[derive(Clone, Default)]
struct Latencies(Rc<RefCell<Seen>>);

#[derive(Default)]
struct Seen {
    cast: BTreeMap<u64, (u64, MemberId)>,
    us: Vec<u64>,
    until: u64,
}

impl Oracle for Latencies {
    fn name(&self) -> &'static str {
        "latency"
    }
    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        let mut seen = self.0.borrow_mut();
        match &o.what {
            What::Sent { id, .. } if o.at >= FROM_MS * 1_000_000 && o.at < seen.until => {
                seen.cast.insert(id.0, (o.at, o.member));
            }
            What::Delivered { id, .. } => {
                if let Some((at, by)) = seen.cast.get(&id.0).copied()
                    && by != o.member
                {
                    seen.us.push((o.at - at) / 1000);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    println!(
        "{} members, {} send {} messages/s each; links take 0.2 to 0.5 ms; `late`: the share of deliveries later than 1 ms \
         after their cast, in a thousand, and how late these are",
        args.members, args.senders, args.rate
    );
    println!(
        "{:14} {:>5} | {:>5} {:>8} {:>8} {:>8} | {:>8} {:>8} {:>8} | {:>9}",
        "stack", "loss", "late", "mean ms", "p50", "p99", "all: p99", "p99.9", "max", "datagrams"
    );
    for loss in &args.loss_per_mille {
        for stack in &args.stacks {
            measure(&args, stack, *loss)?;
        }
    }
    Ok(())
}

fn measure(args: &Args, stack: &str, loss: u64) -> anyhow::Result<()> {
    let mut setup = Setup::new(gcs_stacks::named(stack)?);
    setup.state_transfer = false;
    setup.physics.latency_us = LATENCY_US;
    setup.safety_ms = 1000 * args.seconds + 500;
    let lasts = args.seconds * 1_000_000_000;
    let mut plan = Plan::calm(args.members);
    if loss > 0 {
        plan = plan.at_ms(FROM_MS - 50, Fault::Disturb { what: Disturbance::Loss, value: loss, lasts });
    }
    let latencies = Latencies::default();
    latencies.0.borrow_mut().until = (1000 * args.seconds) * 1_000_000;
    let (senders, every) = (args.senders, Duration::from_nanos(1_000_000_000 / args.rate.max(1)));
    let oracles: Vec<Box<dyn Oracle>> = vec![Box::new(latencies.clone())];
    let report = run_app(args.seed, &setup, &plan, oracles, move |birth| Caster {
        casts: birth.process < senders,
        every,
    });
    anyhow::ensure!(report.is_ok(), "{stack} at {loss}: {report}");
    let mut seen = latencies.0.borrow_mut();
    seen.us.sort_unstable();
    let casts = seen.cast.len().max(1);
    let late: Vec<_> = seen.us.iter().copied().filter(|us| *us > 1000).collect();
    let ms = |sorted: &[u64], per_mille: usize| {
        let at = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(0.0, |us| *us as f64 / 1000.0)
    };
    let mean = late.iter().sum::<u64>() as f64 / late.len().max(1) as f64 / 1000.0;
    println!(
        "{stack:14} {loss:5} | {:5} {mean:8.2} {:8.2} {:8.2} | {:8.2} {:8.2} {:8.2} | {:9.1}",
        late.len() * 1000 / seen.us.len().max(1),
        ms(&late, 500),
        ms(&late, 990),
        ms(&seen.us, 990),
        ms(&seen.us, 999),
        ms(&seen.us, 1000),
        report.datagrams as f64 / casts as f64,
    );
    Ok(())
}
