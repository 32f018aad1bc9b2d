//! The protocol alone: all endpoints of a group in one thread, datagrams handed over in memory, no sockets. Prints the processor
//! time per message and member, the messages per second that one thread could carry for all members together, how many datagrams
//! that took, and how long frames' headers are.

use clap::Parser;
use gcs_benches::{
    engine::{Counts, Engine, Shape},
    report::usage,
};

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
    // Processor time, not a clock's: other work on the machine counts less.
    let before = usage("self").0;
    let Counts { cast, sent, copies } = engine.run(messages);
    let took = usage("self").0 - before;
    let each = took * 1e9 / (cast * u64::from(shape.members)) as f64;
    println!(
        "{} members, {} of them sending, {}, {} B: {cast} messages in {took:.3} s of processor time, {each:.0} ns per message and member, {:.2} M messages/s, {sent} datagrams, {copies} with one for each destination, headers of {} B",
        shape.members,
        engine.senders(),
        shape.stack,
        shape.payload,
        cast as f64 / took / 1e6,
        engine.header_len(),
    );
    Ok(())
}
