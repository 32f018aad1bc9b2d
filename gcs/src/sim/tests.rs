//! The world, with a protocol of a few lines in the place of the endpoint: one view of all processes, no repair.

use super::{
    oracles::{D2, D7, M4, O1},
    *,
};
use crate::{
    endpoint::{Datagram, Effects, Event, Input, Transmit},
    id::MemberId,
    message::Messages,
    time::Time,
    view::{Member, View, ViewChange, ViewId},
};
use std::time::Duration;

const MS: u64 = 1_000_000;
const HEARTBEAT: Duration = Duration::from_millis(10);

/// Says hello every ten milliseconds, multicasts what is cast, delivers what arrives.
struct Toy {
    me: MemberId,
    all: Vec<MemberId>,
    hello_at: Time,
    sent: u64,
    gone: Vec<MemberId>,
}

impl Toy {
    fn new(birth: &Birth) -> Self {
        let all = (0..birth.processes).map(|p| member_of(p, 1)).collect();
        Self { me: birth.me, all, hello_at: Time::NEVER, sent: 0, gone: Vec::new() }
    }

    fn rank(&self, of: MemberId) -> u16 {
        self.all.iter().position(|m| m.addr == of.addr).unwrap_or(0) as u16
    }

    fn multicast(&self, payload: bytes::Bytes, fx: &mut Effects) {
        let others = self.all.iter().filter(|m| m.addr != self.me.addr);
        fx.transmits.push(Transmit { to: others.map(|m| m.addr).collect(), payload: payload.into() });
    }

    fn deliver(&mut self, d: &Datagram, fx: &mut Effects) {
        if let (Some(from), [b'm', rest @ ..]) = (index_of(d.from), &d.payload[..])
            && let Some(m) = Messages::packed(from as u16, 0, bytes::Bytes::copy_from_slice(rest))
        {
            fx.events.push(Event::Messages(m));
        }
    }
}

impl Node for Toy {
    fn handle(&mut self, now: Time, input: Input, fx: &mut Effects) {
        match input {
            Input::Start { .. } => {
                let members = self.all.iter().map(|m| Member::new(*m, "toy")).collect();
                let view = View { id: ViewId { epoch: 1, number: 1 }, members };
                let (rank, came_with) = (self.rank(self.me), vec![self.me]);
                fx.events.push(Event::View(ViewChange {
                    view,
                    rank,
                    came_with,
                    primary: true,
                    merged: Vec::new(),
                    awaits_state: false,
                }));
                fx.events.push(Event::Writable(true));
                fx.events.extend(self.all.iter().map(|m| Event::Watch(*m, true)));
                self.hello_at = now;
            }
            Input::Cast(out) => {
                let mut payload = vec![b'm'];
                payload.extend_from_slice(&out.into_bytes());
                let payload = bytes::Bytes::from(payload);
                self.sent += 1;
                self.multicast(payload.clone(), fx);
                self.deliver(&Datagram { from: self.me.addr, payload: payload.into() }, fx);
            }
            Input::Datagrams(batch) => batch.iter().for_each(|d| self.deliver(d, fx)),
            Input::Gone(m) => self.gone.push(m),
            Input::Tick if self.hello_at <= now => {
                self.multicast(bytes::Bytes::from_static(b"hello"), fx);
                self.hello_at = now + HEARTBEAT;
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Time {
        self.hello_at
    }

    fn check(&self) {}

    fn me(&self) -> MemberId {
        self.me
    }

    fn held_bytes(&self) -> usize {
        0
    }
}

fn world(seed: u64, processes: usize, oracles: Vec<Box<dyn Oracle>>) -> World<Toy, Workload> {
    let physics = Physics { keep_quorum: false, classify: |d| kind(d), ..Physics::default() };
    let options = WorkloadOptions { large_per_mille: 0, ..WorkloadOptions::default() };
    let mut world =
        World::new(seed, processes, physics, oracles, move |birth| (Toy::new(birth), Workload::new(options)));
    (0..processes).for_each(|p| world.start_at(0, p));
    world
}

fn kind(datagram: &[u8]) -> &'static str {
    if datagram.first() == Some(&b'm') { "message" } else { "hello" }
}

fn observed(world: &World<Toy, Workload>, of: impl Fn(&What) -> bool) -> usize {
    world.trace().tail().filter(|o| of(&o.what)).count()
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let hash = |seed| {
        let plan = generate(seed, (5, 5), &Faults { churn: false, triggers: false, ..Faults::all() }, 800);
        let mut world = world(seed, 5, Vec::new());
        world.schedule(&plan.steps);
        world.run_until(1_000 * MS);
        (world.trace().hash(), world.trace().count())
    };
    for seed in 0..20 {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
        assert_ne!(hash(seed), hash(seed + 1));
    }
}

#[test]
fn a_calm_network_delivers_everything() {
    let mut world = world(3, 3, vec![Box::<M4>::default(), Box::<D2>::default()]);
    world.run_until(500 * MS);
    world.quiet = true;
    world.run_until(600 * MS);
    assert_eq!(world.violation(), None);
    let logs: Vec<_> = (0..3).map(|p| world.app(p).expect("alive").log_len()).collect();
    assert!(logs[0] > 50 && logs.iter().all(|l| *l == logs[0]), "{logs:?}");
}

#[test]
fn oracles_see_what_a_bad_network_does_to_a_bad_protocol() {
    let bad = |what: Disturbance| {
        let fault = Fault::Disturb { what, value: 300, lasts: 400 * MS };
        let mut world = world(3, 3, vec![Box::<D2>::default(), Box::<O1>::default(), Box::<D7>::default()]);
        world.schedule(&Plan::calm(3).at_ms(50, fault).steps);
        world.run_until(500 * MS);
        world.violation().map(|v| v.oracle.clone())
    };
    assert_eq!(bad(Disturbance::Loss).as_deref(), Some("O1"));
    assert_eq!(bad(Disturbance::Duplicate).as_deref(), Some("D2"));
    assert_eq!(bad(Disturbance::Reorder).as_deref(), Some("O1"));
}

#[test]
fn evidence_reaches_those_who_watch_unless_the_host_is_dead() {
    for (evidence, expected) in [(true, 2), (false, 0)] {
        let mut world = world(4, 3, Vec::new());
        world.schedule(&Plan::calm(3).at_ms(20, Fault::Kill { process: 1, evidence }).steps);
        world.run_until(100 * MS);
        let told = |w: &World<Toy, Workload>| -> usize {
            w.processes.iter().flat_map(|p| &p.node).map(|n| n.gone.len()).sum()
        };
        assert_eq!(told(&world), expected);
        // When the host is back, its kernel tells.
        world.apply(&Fault::Start { process: 1 });
        world.run_until(200 * MS);
        assert!(world.processes[0].node.as_ref().is_some_and(|n| n.gone.contains(&member_of(1, 1))));
    }
}

#[test]
fn a_cut_delays_evidence() {
    let mut world = world(5, 2, Vec::new());
    let plan = Plan::calm(2)
        .at_ms(10, Fault::Cut { from: 0, to: 1, both: true, lasts: Some(300 * MS) })
        .at_ms(20, Fault::Kill { process: 1, evidence: true });
    world.schedule(&plan.steps);
    let gone = |w: &World<Toy, Workload>| w.processes[0].node.as_ref().map_or(0, |n| n.gone.len());
    world.run_until(300 * MS);
    assert_eq!(gone(&world), 0);
    world.run_until(500 * MS);
    assert_eq!(gone(&world), 1);
}

#[test]
fn a_stopped_process_gets_what_waited() {
    let mut world = world(6, 2, Vec::new());
    world.run_until(100 * MS);
    world.apply(&Fault::Pause { process: 1, lasts: 200 * MS });
    let before = world.app(1).map(Workload::log_len);
    world.run_until(250 * MS);
    assert_eq!(world.app(1).map(Workload::log_len), before);
    world.run_until(400 * MS);
    world.quiet = true;
    world.run_until(500 * MS);
    assert_eq!(world.app(1).map(Workload::log_len), world.app(0).map(Workload::log_len));
    assert_eq!(observed(&world, |w| matches!(w, What::Paused | What::Woke)), 2);
}

#[test]
fn a_trigger_kills_in_the_middle_of_a_multicast() {
    let mut world = world(7, 4, Vec::new());
    let kill = Fault::Kill { process: 0, evidence: false };
    world.schedule(&Plan::calm(4).when_sends(0, "message", 2, kill).steps);
    world.run_until(300 * MS);
    let got: Vec<_> = (1..4).map(|p| world.app(p).expect("alive").log_len()).collect();
    // Two of the three got the dead process's first message, the third did not.
    assert!(got.iter().max() > got.iter().min(), "{got:?}");
}

#[test]
fn clocks_drift_and_start_near_zero() {
    let mut world = world(8, 3, Vec::new());
    world.run_until(1_000 * MS);
    let times: Vec<_> = (0..3).map(|p| world.local(p)).collect();
    assert!(times.iter().all(|t| (999 * MS..1_006 * MS).contains(&t.0)), "{times:?}");
    assert!(times[0] != times[1] && times[1] != times[2]);
}
