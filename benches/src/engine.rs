//! The protocol alone: all endpoints of a group in one thread, datagrams handed over in memory, no sockets, no clock.

use gcs::{
    endpoint::{Bootstrap, Config, Datagram, Effects, Endpoint, Event, Input},
    frame::MAGIC_FRAME,
    id::{Incarnation, MemberId},
    layer::{Layer, LayerSpec, Protocol, Scope},
    message::Outgoing,
    time::Time,
};
use gcs_stacks::Template;
use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Shape {
    /// A stack's name.
    #[arg(long, default_value = "total+uniform")]
    pub stack: String,
    /// So many layers more, at the bottom, each of which writes a byte of every frame's header, and looks at every received frame.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=10))]
    pub extra: u8,
    /// Members.
    #[arg(long, default_value_t = 3)]
    pub members: u16,
    /// How many of them send: the ones of the highest ranks.
    #[arg(long, default_value_t = u16::MAX, hide_default_value = true)]
    pub senders: u16,
    /// Message size in bytes.
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
    /// Messages that each member casts at a time.
    #[arg(long, default_value_t = 500)]
    pub batch: usize,
    /// Datagram size in bytes.
    #[arg(long, default_value_t = 60 << 10)]
    pub mtu: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            stack: "total+uniform".to_owned(),
            extra: 0,
            members: 3,
            senders: u16::MAX,
            payload: 64,
            batch: 500,
            mtu: 60 << 10,
        }
    }
}

const EXTRA: [&str; 10] = [
    "extra-0", "extra-1", "extra-2", "extra-3", "extra-4", "extra-5", "extra-6", "extra-7", "extra-8",
    "extra-9",
];

/// The template of layers under another name, so that several of them make a stack.
struct Extra(&'static str);

impl Protocol for Extra {
    fn spec(&self) -> LayerSpec {
        LayerSpec { name: self.0, ..Template.spec() }
    }

    fn header_len(&self, members: usize) -> usize {
        Template.header_len(members)
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Template.build(scope)
    }
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages that were cast.
    pub cast: u64,
    /// Datagrams; one to several members is one.
    pub sent: u64,
    /// The same, and one to several members is several.
    pub copies: u64,
}

/// A group whose members are in its first view.
pub struct Engine {
    endpoints: Vec<Endpoint>,
    inboxes: Vec<VecDeque<Datagram>>,
    delivered: Vec<u64>,
    writable: Vec<bool>,
    quiet: usize,
    message: Vec<u8>,
    batch: usize,
    header: usize,
    counts: Counts,
    now: Time,
    effects: Effects,
}

fn addr(i: u16) -> SocketAddr {
    ([127, 0, 0, 1], 7000 + i).into()
}

impl Engine {
    /// Founds the group.
    ///
    /// # Errors
    /// There is no such stack, or a setting makes no sense.
    pub fn new(shape: &Shape) -> anyhow::Result<Self> {
        let mut endpoints = Vec::new();
        for i in 0..shape.members {
            let extra =
                EXTRA.iter().take(shape.extra.into()).map(|name| Arc::new(Extra(name)) as Arc<dyn Protocol>);
            let stack = gcs_stacks::named(&shape.stack)?.upon(extra.collect())?;
            let mut c = Config::new("bench", &format!("p{i}"), stack);
            c.contacts = (0..shape.members).map(addr).collect();
            c.bootstrap = Bootstrap::Expect(shape.members.into());
            let me = MemberId { addr: addr(i), incarnation: Incarnation(1) };
            endpoints.push(Endpoint::new(c, me, shape.mtu, u64::from(i))?);
        }
        let n = endpoints.len();
        let mut engine = Self {
            endpoints,
            inboxes: vec![VecDeque::new(); n],
            delivered: vec![0; n],
            writable: vec![false; n],
            quiet: shape.members.saturating_sub(shape.senders).into(),
            message: vec![7; shape.payload],
            batch: shape.batch.max(1),
            header: 0,
            counts: Counts::default(),
            now: Time::from_ms(1),
            effects: Effects::default(),
        };
        for i in 0..n {
            engine.handle(i, Input::Start { wall_ns: 1 });
        }
        while engine.endpoints.iter().any(|e| e.view().is_none_or(|v| v.len() < n)) {
            engine.round(Duration::from_millis(1));
        }
        Ok(engine)
    }

    /// How many members send.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.endpoints.len() - self.quiet
    }

    /// How long a frame's header is, in bytes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header
    }

    /// Casts at least so many messages, until all members have delivered all of them.
    pub fn run(&mut self, messages: u64) -> Counts {
        let before = self.counts;
        while self.counts.cast < before.cast + messages {
            for i in self.quiet..self.endpoints.len() {
                if self.writable[i] {
                    let mut batch = Outgoing::with_capacity(self.batch * (self.message.len() + 4));
                    (0..self.batch).for_each(|_| batch.push(&self.message));
                    self.counts.cast += self.batch as u64;
                    self.handle(i, Input::Cast(batch));
                }
            }
            self.round(Duration::from_micros(50));
        }
        while self.delivered.iter().any(|d| *d < self.counts.cast) {
            self.round(Duration::from_micros(50));
        }
        let Counts { cast, sent, copies } = self.counts;
        Counts { cast: cast - before.cast, sent: sent - before.sent, copies: copies - before.copies }
    }

    fn handle(&mut self, i: usize, input: Input) {
        self.endpoints[i].handle(self.now, input, &mut self.effects);
        while self.endpoints[i].deadline() <= self.now {
            self.endpoints[i].handle(self.now, Input::Tick, &mut self.effects);
        }
        let from = self.endpoints[i].me().addr;
        for t in self.effects.transmits.drain(..) {
            let payload = t.payload.into_bytes();
            self.counts.sent += 1;
            self.counts.copies += t.to.len() as u64;
            if payload[0] == MAGIC_FRAME {
                self.header = usize::from(u16::from_le_bytes([payload[6], payload[7]]));
            }
            for to in t.to {
                self.inboxes[usize::from(to.port() - 7000)]
                    .push_back(Datagram { from, payload: payload.clone().into() });
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
