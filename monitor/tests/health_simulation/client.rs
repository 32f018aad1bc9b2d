//! A client: watches all components, observes their instances as it sees fit, and goes to another representative when its own is silent,
//! has no majority, or for no reason at all.

use gcs::rng::Rng;
use gcs_monitor::health::{
    command::{Observation, Registration},
    name::Label,
    subscriber::{Heard, Subscriber},
    verdict::Finding,
    wire::{Ask, Failure, Request, Say},
};

use crate::net::{MS, Net};

pub(crate) const COMPONENTS: [&str; 3] = ["shop", "bank", "mail"];
pub(crate) const INSTANCES: [&str; 2] = ["a", "b"];
const PATIENCE: u64 = 400 * MS;
const LEASE_MS: u32 = 3_000;

pub(crate) struct Client {
    number: usize,
    processes: u64,
    subscriber: Subscriber,
    wire: Option<u64>,
    /// When it last heard of a representative that has a majority.
    heard: u64,
    renewed: u64,
    observes: u64,
    serial: u64,
    next: u64,
    rng: Rng,
    /// It observes nothing new.
    pub(crate) quiet: bool,
    pub(crate) failovers: u64,
}

fn label(text: &str) -> Label {
    text.parse().expect("a label")
}

impl Client {
    pub(crate) fn new(number: usize, processes: usize, rng: Rng) -> Self {
        let who = format!("client{number}").parse().expect("a name");
        let mut subscriber = Subscriber::new(who, LEASE_MS);
        COMPONENTS.iter().for_each(|component| subscriber.watch(label(component), None));
        Self {
            number,
            processes: processes as u64,
            subscriber,
            wire: None,
            heard: 0,
            renewed: 0,
            observes: 0,
            serial: 0,
            next: 0,
            rng,
            quiet: false,
            failovers: 0,
        }
    }

    fn request(&mut self, net: &mut Net, ask: Ask) {
        self.next += 1;
        if let Some(wire) = self.wire {
            net.request(wire, Request { id: self.next, ask });
        }
    }

    fn connect(&mut self, net: &mut Net) {
        if let Some(old) = self.wire.take() {
            net.close(old);
        }
        self.failovers += 1;
        self.wire = Some(net.connect(self.rng.below(self.processes) as usize));
        (self.heard, self.renewed) = (net.now, net.now);
        for (component, instance) in COMPONENTS.iter().flat_map(|c| INSTANCES.iter().map(move |i| (c, i))) {
            // Where the group began anew nobody knows them.
            self.register(net, component, instance, 1);
        }
        let asks: Vec<_> = self.subscriber.asks().collect();
        asks.into_iter().for_each(|ask| self.request(net, ask));
    }

    fn register(&mut self, net: &mut Net, component: &str, instance: &str, port: u16) {
        let registration = Registration {
            component: label(component),
            instance: label(instance),
            address: Some(([10, 0, 0, 1], port).into()),
            supervisor: Some("client0".parse().expect("a name")),
            witnesses: 2,
        };
        self.request(net, Ask::Register(registration));
    }

    /// Looks at something, or moves it: then there are verdicts even of what is held down.
    fn observe(&mut self, net: &mut Net) {
        if self.rng.chance(400) {
            let port = 1 + self.rng.below(3) as u16;
            return self.register(net, COMPONENTS[0], INSTANCES[0], port);
        }
        self.serial += 1;
        let finding =
            [Finding::Up, Finding::Up, Finding::Sluggish, Finding::Down][self.rng.below(4) as usize];
        let observation = Observation {
            component: label(COMPONENTS[self.rng.below(COMPONENTS.len() as u64) as usize]),
            instance: label(INSTANCES[self.rng.below(INSTANCES.len() as u64) as usize]),
            observer: format!("client{}", self.number).parse().expect("a name"),
            serial: self.serial,
            finding,
            certain: self.rng.chance(200),
            evidence: format!("look {}", self.serial).into(),
        };
        self.request(net, Ask::Observe(observation));
    }

    /// One step, every millisecond.
    pub(crate) fn step(&mut self, net: &mut Net) {
        let broken = self.wire.is_none_or(|wire| !net.wires.contains_key(&wire));
        let silent = net.now - self.heard > PATIENCE;
        let whim = !self.quiet && self.rng.below(1_500) == 0;
        if broken && self.rng.chance(100) || silent || whim {
            self.connect(net);
        }
        let Some(wire) = self.wire else { return };
        // Sometimes it does not look for a while.
        if self.rng.chance(300) {
            while let Some(say) = net.said(wire) {
                self.hear(net, &say);
            }
        }
        if !self.quiet && net.now >= self.observes {
            self.observes = net.now + self.rng.below(60 * MS);
            self.observe(net);
        }
        if net.now - self.renewed > u64::from(LEASE_MS) / 3 * MS {
            self.renewed = net.now;
            self.request(net, Ask::Renew { lease_ms: LEASE_MS });
        }
    }

    fn hear(&mut self, net: &mut Net, say: &Say) {
        match say {
            Say::Beat { ready: true } => self.heard = net.now,
            Say::Beat { ready: false } => {}
            Say::Answer { outcome: Err(Failure::Malformed(_) | Failure::SomebodyElse(_)), .. } => {
                net.book.violates(format!("client {} is misunderstood: {say:?}", self.number));
            }
            Say::Answer { .. } => {}
            Say::Told(told) => match self.subscriber.hear(told) {
                Heard::News => net.book.told(self.number, told),
                Heard::Old => {}
                Heard::Gap => net.book.violates(format!("gap: client {} is told {told:?}", self.number)),
                Heard::Lapsed => {
                    let asks: Vec<_> = self.subscriber.asks().collect();
                    asks.into_iter().for_each(|ask| self.request(net, ask));
                }
            },
        }
    }
}
