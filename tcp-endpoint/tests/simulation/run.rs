//! One run: a group of replicas, an Ethernet and clients, on one virtual time.

use std::{cell::RefCell, rc::Rc, time::Duration};

use gcs::{
    blocks::Snapshot as _,
    endpoint::Endpoint,
    layer::Watch,
    rng::Rng,
    sim::{Birth, Fault, Physics, Setup, World, oracles},
    time::Time,
};
use gcs_tcp_endpoint::{
    link::{Mac, MacChoice},
    tcp::Config,
};

use crate::{
    Net, Shared, VIP,
    book::{Book, Judge, Seen},
    capture,
    client::Client,
    ether::Ether,
    mac,
    member::{Member, Wrong},
    schedule::{Act, MS, REPLICAS, Schedule, Whom},
};

/// By then everything has ended, after the last fault: clients double their time-outs while nobody answers.
const BOUND: u64 = 30_000 * MS;
/// After that the replicas are compared.
const REST: u64 = 500 * MS;
/// Where the clients are.
const CLIENTS: usize = REPLICAS;

/// What a run has shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) seen: Seen,
    pub(crate) frames: capture::Seen,
    /// Bytes that clients have received.
    pub(crate) bytes: u64,
    /// How long it took after the last fault, in nanoseconds.
    pub(crate) took: u64,
    pub(crate) hash: u64,
}

pub(crate) struct Run {
    world: World<Endpoint, Member>,
    shared: Shared,
    client: Client,
    schedule: Schedule,
    next_act: usize,
    /// When who is dead comes back.
    back: [Option<u64>; REPLICAS],
    rng: Rng,
    mac: Option<Mac>,
}

impl Run {
    /// A run with this stack, in which all replicas do something wrong or none does.
    pub(crate) fn new(seed: u64, stack: &str, wrong: Option<Wrong>, trace: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x7c9_0e4d_9014_2026);
        let watch = match rng.below(3) {
            0 => Watch::default(),
            1 => Watch { heartbeat_ms: 20, silence_ms: 150, lease_ms: 100 },
            _ => Watch { heartbeat_ms: 8, silence_ms: 60, lease_ms: 40 },
        };
        let blueprint = gcs_stacks::named(stack).expect("a name of the catalogue");
        let setup = Setup { watch, mixed_versions: false, ..Setup::new(blueprint) };
        let choice = [MacChoice::Own, MacChoice::Mirror, MacChoice::Virtual(None)][rng.below(3) as usize];
        let config = Config {
            send_bytes: [8_000, 100_000, 4 << 20][rng.below(3) as usize],
            receive_bytes: [8_000, 100_000, 4 << 20][rng.below(3) as usize],
            super_segment_bytes: [0, 65_000][rng.below(2) as usize],
            ..Config::default()
        };
        let lag = Duration::from_micros([0, 50, 2_000][rng.below(3) as usize]);
        let until = 4_000 * MS;
        let schedule = Schedule::draw(&mut rng, until);
        if trace {
            eprintln!("{watch:?} {choice:?} lag {lag:?} {schedule:#?}");
        }
        let ether = Ether::new(rng.fork(), REPLICAS + 1);
        let book = Book::new(watch.lease_ms * MS);
        let shared: Shared = Rc::new(RefCell::new(Net { now: 0, ether, book }));
        let client = Client::new(rng.fork(), mac(CLIENTS), Duration::from_nanos(until));
        let mut all = oracles::for_stack(setup.gives(), true, false);
        all.push(Box::new(Judge(shared.clone())));
        let physics = Physics { trace_keep: if trace { 400 } else { 60 }, ..Physics::default() };
        let net = shared.clone();
        let make = move |birth: &Birth| {
            let member = Member::new(birth, choice, &config, lag, &net);
            (setup.endpoint(birth), member.wrong(wrong))
        };
        let mut world = World::new(seed, REPLICAS, physics, all, make);
        world.found_with(2 + rng.below(2) as usize, REPLICAS);
        for process in 0..REPLICAS {
            world.start_at(rng.below(40 * MS), process);
        }
        let virtual_mac = Mac::virtual_for(VIP.into());
        let mac = (choice == MacChoice::Virtual(None)).then_some(virtual_mac);
        Self { world, shared, client, schedule, next_act: 0, back: [None; REPLICAS], rng, mac }
    }

    /// Until all is over. None: the group has lost its quorum.
    pub(crate) fn finish(mut self) -> Result<Option<Shown>, String> {
        let end = self.schedule.ends + BOUND;
        while !(self.client.is_done() && self.now() > self.schedule.ends && self.open().is_empty()) {
            self.step()?;
            if self.now() > end && !self.world.can_progress() {
                // Who was killed took the quorum with him: he knew of a view that nobody else did.
                return Ok(None);
            }
            if self.now() > end {
                let leader = self.shared.borrow().book.leader;
                let tail = Self::tail(&self.world);
                return Err(format!(
                    "{tail}no end: {leader:?} leads; {:?} {:#?}",
                    self.open(),
                    self.client.open()
                ));
            }
        }
        let took = self.now() - self.schedule.ends;
        let rest = self.now() + REST;
        while self.now() < rest {
            self.step()?;
        }
        self.same()?;
        let (hash, bytes, mac) = (self.world.trace().hash(), self.client.read(), self.mac);
        drop(self.world);
        let net = Rc::into_inner(self.shared).expect("nobody else has it").into_inner();
        let seen = net.book.seen;
        let frames = net.book.end(mac);
        if frames.violations > 0 {
            return Err(format!("capture: {:#?}", frames.told));
        }
        Ok(Some(Shown { seen, frames, bytes, took, hash }))
    }

    /// What was seen last, for whoever looks for the cause of something.
    pub(crate) fn tail(world: &World<Endpoint, Member>) -> String {
        world.trace().tail().map(|o| format!("{o}\n")).collect()
    }

    /// Replicas that are not there, or do not know yet that connections are over.
    fn open(&self) -> Vec<String> {
        let open = |p: usize| {
            let host = self.world.app(p).and_then(|member| member.replica().endpoint().host());
            let looks = host.map(|host| host.ids().into_iter().map(|id| host.look(id)).collect::<Vec<_>>());
            (looks != Some(Vec::new())).then(|| format!("p{p}: {looks:?}"))
        };
        (0..REPLICAS).filter_map(open).collect()
    }

    fn now(&self) -> u64 {
        self.shared.borrow().now
    }

    /// The next instant at which something happens.
    fn step(&mut self) -> Result<(), String> {
        let act = self.schedule.acts.get(self.next_act).map(|(at, _)| *at);
        let ether = self.shared.borrow().ether.next_at();
        let client = Some(self.client.next_at().0);
        let all = [self.world.next_at(), ether, client, act];
        let now = all.into_iter().flatten().min().expect("something").max(self.now());
        self.shared.borrow_mut().now = now;
        self.world.run_until(now);
        let arrived = self.shared.borrow_mut().ether.arrive(now);
        for port in arrived {
            if port != CLIENTS {
                self.world.wake_at(now, port);
            }
        }
        self.clients(now);
        while let Some((_, act)) = self.schedule.acts.get(self.next_act).filter(|(at, _)| *at <= now) {
            self.next_act += 1;
            let act = act.clone();
            self.act(now, &act);
        }
        self.restart(now);
        let Net { ether, book, .. } = &mut *self.shared.borrow_mut();
        book.tick(now, ether);
        let violation = book.violation.take().or_else(|| self.client.complaint.take());
        let violation = violation.or_else(|| self.world.violation().map(ToString::to_string));
        violation.map_or(Ok(()), |v| Err(format!("{}{v} at {now}", Self::tail(&self.world))))
    }

    fn clients(&mut self, now: u64) {
        let Net { ether, book, .. } = &mut *self.shared.borrow_mut();
        if self.client.next_at().0 > now && !ether.waits(CLIENTS) {
            return;
        }
        let received = ether.receive(CLIENTS, usize::MAX);
        for frame in self.client.run(Time(now), &received) {
            book.frame(now, &frame);
            ether.send(now, CLIENTS, &frame);
        }
    }

    /// Who is dead comes back.
    fn restart(&mut self, now: u64) {
        for process in 0..REPLICAS {
            if self.world.app(process).is_some() {
                self.back[process] = None;
            } else if now > 50 * MS && self.back[process].is_none_or(|at| at < now) {
                let at = now + 20 * MS + self.rng.below(900) * MS;
                self.back[process] = Some(at);
                self.world.start_at(at, process);
            }
        }
    }

    fn find(&self, whom: Whom) -> usize {
        match whom {
            Whom::Leader => self.shared.borrow().book.leader.unwrap_or(0),
            Whom::Replica(process) => process,
        }
    }

    fn act(&mut self, now: u64, act: &Act) {
        match act {
            Act::Kill { whom, evidence } => {
                let process = self.find(*whom);
                self.world.apply(&Fault::Kill { process, evidence: *evidence });
            }
            Act::Pause { whom, lasts } => {
                let process = self.find(*whom);
                self.world.apply(&Fault::Pause { process, lasts: *lasts });
            }
            Act::Leave { whom } => {
                let process = self.find(*whom);
                self.world.apply(&Fault::Leave { process });
            }
            Act::Part { whom, lasts, cable } => {
                let process = self.find(*whom);
                self.world.apply(&Fault::Partition { side: vec![process], lasts: Some(*lasts) });
                let net = &mut *self.shared.borrow_mut();
                net.book.alone.insert(process, (now, now + lasts));
                if *cable {
                    net.ether.cut(process, now + lasts);
                }
            }
            Act::Group(fault) => _ = self.world.apply(fault),
            Act::Cable { port, lasts } => self.shared.borrow_mut().ether.cut(*port, now + lasts),
            Act::Loss { per_mille, lasts } => self.shared.borrow_mut().ether.lose(*per_mille, now + lasts),
            Act::Delay { most, lasts } => self.shared.borrow_mut().ether.delay(*most, now + lasts),
        }
    }

    /// Replicas that have come as far have the same state.
    fn same(&self) -> Result<(), String> {
        let mut states = Vec::new();
        for process in 0..REPLICAS {
            // It may have been asked to leave, and has done so at last.
            let Some(member) = self.world.app(process) else { continue };
            let endpoint = member.replica().endpoint();
            let (frozen, mark) = (endpoint.freeze(), endpoint.mark());
            let state: Vec<_> = (0..frozen.chunks()).map(|i| frozen.chunk(i)).collect();
            if let Some((_, other)) = states.iter().find(|(of, _)| *of == mark)
                && *other != state
            {
                return Err(format!("digest: p{process} has another state after {mark:?}"));
            }
            states.push((mark, state));
        }
        Ok(())
    }
}
