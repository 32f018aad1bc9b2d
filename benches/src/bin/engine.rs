//! The protocol alone: three endpoints in one thread, datagrams handed over in memory, no sockets. Prints the time per
//! message and member, the messages per second that one thread could carry for all members together, and how many
//! datagrams that took.

use clap::Parser;
use gcs::{
    endpoint::{Bootstrap, Config, Datagram, Effects, Endpoint, Event, Input},
    id::{Incarnation, MemberId},
    message::Outgoing,
    time::Time,
};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};

/// The protocol alone, in one thread.
#[derive(Parser)]
struct Args {
    /// A stack's name.
    #[arg(long, default_value = "total+uniform")]
    stack: String,
    /// Members.
    #[arg(long, default_value_t = 3)]
    members: u16,
    /// How many of them send: the ones of the highest ranks.
    #[arg(long, default_value_t = u16::MAX, hide_default_value = true)]
    senders: u16,
    /// Message size in bytes.
    #[arg(long, default_value_t = 64)]
    payload: usize,
    /// Messages that each member casts at a time.
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Messages in all.
    #[arg(long, default_value_t = 3_000_000)]
    messages: u64,
    /// Datagram size in bytes.
    #[arg(long, default_value_t = 60 << 10)]
    mtu: usize,
}

struct World {
    endpoints: Vec<Endpoint>,
    inboxes: Vec<VecDeque<Datagram>>,
    delivered: Vec<u64>,
    /// How many datagrams were sent; one to several members is one.
    sent: u64,
    writable: Vec<bool>,
    now: Time,
    effects: Effects,
}

fn addr(i: u16) -> SocketAddr {
    ([127, 0, 0, 1], 7000 + i).into()
}

impl World {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let mut endpoints = Vec::new();
        for i in 0..args.members {
            let mut c = Config::new("bench", &format!("p{i}"), gcs_stacks::named(&args.stack)?);
            c.contacts = (0..args.members).map(addr).collect();
            c.bootstrap = Bootstrap::Expect(args.members.into());
            let me = MemberId { addr: addr(i), incarnation: Incarnation(1) };
            endpoints.push(Endpoint::new(c, me, args.mtu, u64::from(i))?);
        }
        let n = endpoints.len();
        Ok(Self {
            endpoints,
            inboxes: vec![VecDeque::new(); n],
            delivered: vec![0; n],
            sent: 0,
            writable: vec![false; n],
            now: Time::from_ms(1),
            effects: Effects::default(),
        })
    }

    fn handle(&mut self, i: usize, input: Input) {
        self.endpoints[i].handle(self.now, input, &mut self.effects);
        while self.endpoints[i].deadline() <= self.now {
            self.endpoints[i].handle(self.now, Input::Tick, &mut self.effects);
        }
        let from = self.endpoints[i].me().addr;
        for t in self.effects.transmits.drain(..) {
            self.sent += 1;
            for to in t.to {
                self.inboxes[usize::from(to.port() - 7000)]
                    .push_back(Datagram { from, payload: t.payload.clone() });
            }
        }
        for e in self.effects.events.drain(..) {
            match e {
                Event::Messages(m) => self.delivered[i] += m.iter().count() as u64,
                Event::Writable(w) => self.writable[i] = w,
                _ => {}
            }
        }
    }

    /// Hands over what is under way and calls the timers; time goes on by `step`.
    fn round(&mut self, step: Duration) {
        self.now = self.now + step;
        for i in 0..self.endpoints.len() {
            if !self.inboxes[i].is_empty() {
                let datagrams = self.inboxes[i].drain(..).collect();
                self.handle(i, Input::Datagrams(datagrams));
            }
            if self.endpoints[i].deadline() <= self.now {
                self.handle(i, Input::Tick);
            }
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut world = World::new(&args)?;
    for i in 0..world.endpoints.len() {
        world.handle(i, Input::Start { wall_ns: 1 });
    }
    while world.endpoints.iter().any(|e| e.view().is_none_or(|v| v.len() < args.members.into())) {
        world.round(Duration::from_millis(1));
    }
    let quiet = usize::from(args.members.saturating_sub(args.senders));
    let message = vec![7_u8; args.payload];
    let started = elapsed();
    let mut cast = 0;
    world.sent = 0;
    while cast < args.messages {
        for i in quiet..world.endpoints.len() {
            if world.writable[i] {
                let mut batch = Outgoing::new();
                (0..args.batch).for_each(|_| batch.push(&message));
                cast += args.batch as u64;
                world.handle(i, Input::Cast(batch));
            }
        }
        world.round(Duration::from_micros(50));
    }
    while world.delivered.iter().any(|d| *d < cast) {
        world.round(Duration::from_micros(50));
    }
    let took = elapsed() - started;
    let each = took.as_nanos() as f64 / (cast * u64::from(args.members)) as f64;
    println!(
        "{} members, {} of them sending, {}, {} B: {cast} messages in {took:?}, {each:.0} ns per message and member, {:.2} M messages/s, {} datagrams",
        args.members,
        usize::from(args.members) - quiet,
        args.stack,
        args.payload,
        cast as f64 / took.as_secs_f64() / 1e6,
        world.sent
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
