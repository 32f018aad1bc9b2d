//! Bimodal multicast among hundreds, of whom some fall asleep again and again: rates, losses, latencies and work, in
//! virtual time.

use clap::Parser;
use gcs_benches::crowd::Crowd;
use std::time::Duration;

/// Bimodal multicast among hundreds, in virtual time. The same arguments print the same figures.
#[derive(Parser)]
struct Args {
    /// How many members; the first one casts. Several in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500, 1000])]
    members: Vec<u32>,
    /// So many of a thousand datagrams are lost.
    #[arg(long, default_value_t = 50)]
    loss_per_mille: u64,
    /// So many of a thousand members sleep half of the time. Several in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 250])]
    sleepers_per_mille: Vec<u64>,
    /// They sleep so long at a time, on average, in milliseconds.
    #[arg(long, default_value_t = 500)]
    nap_ms: u64,
    /// Messages a second.
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// Seconds of virtual time.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How long a round takes, in milliseconds.
    #[arg(long, default_value_t = 100)]
    round_ms: u64,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() {
    let args = Args::parse();
    println!("rates and shares in a thousand; latency from cast to delivery at members that never sleep");
    println!(
        "members sleepers |  cast  least given-up |  rate second | sleepers' | p50 p99 max ms | sent/round received held"
    );
    for members in &args.members {
        for sleepers_per_mille in &args.sleepers_per_mille {
            let crowd = Crowd {
                members: *members,
                loss_per_mille: args.loss_per_mille,
                sleepers_per_mille: *sleepers_per_mille,
                nap: Duration::from_millis(args.nap_ms),
                rate: args.rate,
                seconds: args.seconds,
                round: Duration::from_millis(args.round_ms),
                seed: args.seed,
                ..Crowd::default()
            };
            let o = crowd.run();
            println!(
                "{members:7} {sleepers_per_mille:8} | {:5} {:6} {:8} | {:5} {:6} | {:9} | {:3} {:3} {:6} | {:10} {:8} {:4}",
                o.cast,
                o.least,
                o.given_up,
                o.rate_per_mille,
                o.second_per_mille,
                o.sleepers_per_mille,
                o.latency_ms[0],
                o.latency_ms[1],
                o.latency_ms[2],
                o.busiest[0],
                o.busiest[1],
                o.held
            );
        }
    }
}
