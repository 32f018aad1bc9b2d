//! The protocol alone: all endpoints of a group in one thread, datagrams handed over in memory, no sockets. Prints the time
//! per message and member, the messages per second that one thread could carry for all members together, and how many
//! datagrams that took.

use clap::Parser;
use gcs_benches::engine::{Engine, Shape};
use std::time::Duration;

/// The protocol alone, in one thread.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shape: Shape,
    /// Messages in all.
    #[arg(long, default_value_t = 3_000_000)]
    messages: u64,
}

fn main() -> anyhow::Result<()> {
    let Args { shape, messages } = Args::parse();
    let mut engine = Engine::new(&shape)?;
    let started = elapsed();
    let (cast, sent) = engine.run(messages);
    let took = elapsed() - started;
    let each = took.as_nanos() as f64 / (cast * u64::from(shape.members)) as f64;
    println!(
        "{} members, {} of them sending, {}, {} B: {cast} messages in {took:?}, {each:.0} ns per message and member, {:.2} M messages/s, {sent} datagrams",
        shape.members,
        engine.senders(),
        shape.stack,
        shape.payload,
        cast as f64 / took.as_secs_f64() / 1e6,
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn elapsed() -> Duration {
    thread_local! {
        static START: std::time::Instant = std::time::Instant::now();
    }
    START.with(std::time::Instant::elapsed)
}
