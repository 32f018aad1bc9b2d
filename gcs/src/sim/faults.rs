//! Carries out faults.

use super::{
    app::App,
    network::corrupt,
    node::Node,
    plan::Fault,
    process::{Status, index_of, life_of},
    trace::What,
    world::{Fate, Happening, WALL_START, World},
};
use crate::{endpoint::Input, id::MemberId};
use bytes::Bytes;
use std::{net::SocketAddr, time::Duration};

/// The stranger's address, which no process has.
const STRANGER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 66, 6, 6)), 666);

impl<N: Node, A: App> World<N, A> {
    /// Makes something go wrong, now. Returns whether it could be done.
    pub fn apply(&mut self, fault: &Fault) -> bool {
        let exists = fault.highest().is_none_or(|p| p < self.processes.len());
        let done = exists && self.try_apply(fault);
        let process = fault.highest().filter(|_| exists).unwrap_or(0);
        let member = self.me(process);
        self.record(process, member, What::Fault(fault.to_string().into(), done));
        done
    }

    fn try_apply(&mut self, fault: &Fault) -> bool {
        match fault {
            Fault::Kill { process, evidence } => return self.kill(*process, *evidence),
            Fault::StopAll => self.stop_all(),
            Fault::Start { process } => {
                let startable = !self.processes[*process].is_alive();
                self.start(*process);
                return startable;
            }
            Fault::Pause { process, lasts } => return self.pause(*process, *lasts),
            Fault::Leave { process } => return self.leave(*process),
            Fault::Force { process } => return self.force(*process),
            Fault::Renew { process } => {
                let up = self.processes[*process].status == Status::Up;
                self.input(*process, Input::Renew);
                return up;
            }
            Fault::Cast { process } => return self.cast(*process),
            Fault::Congest { process, lasts } => {
                let p = &self.processes[*process];
                if p.status != Status::Up {
                    return false;
                }
                self.queue.push(self.now + lasts, Happening::Uncongest(*process, p.life));
                self.input(*process, Input::Congested(true));
            }
            Fault::Cut { from, to, both, lasts } => {
                let until = lasts.map_or(u64::MAX, |l| self.now + l);
                self.network.cut(*from, *to, until);
                if *both {
                    self.network.cut(*to, *from, until);
                }
            }
            Fault::Partition { side, lasts } => {
                let until = lasts.map_or(u64::MAX, |l| self.now + l);
                for a in 0..self.processes.len() {
                    for b in (0..self.processes.len()).filter(|b| side.contains(b) != side.contains(&a)) {
                        self.network.cut(a, b, until);
                    }
                }
            }
            Fault::Heal => self.network.mend(),
            Fault::Disturb { what, value, lasts } => {
                self.network.disturb(*what, *value, self.now + lasts);
            }
            Fault::Stranger { count } => self.stranger(*count),
        }
        true
    }

    fn kill(&mut self, process: usize, evidence: bool) -> bool {
        let guarded = self.physics.keep_quorum && !self.roster.has_quorum(Some(process));
        if !self.processes[process].is_alive() || guarded {
            return false;
        }
        self.record(process, self.me(process), What::Crashed);
        self.processes[process].end(Status::Dead(evidence));
        if evidence {
            self.spread_evidence(process);
        }
        true
    }

    fn stop_all(&mut self) {
        for process in 0..self.processes.len() {
            if self.processes[process].is_alive() {
                self.record(process, self.me(process), What::Crashed);
                self.processes[process].end(Status::Dead(false));
            }
        }
        if self.roster.latest().is_some() {
            self.founding = true;
            // More than two thirds, as `Bootstrap::Expect` asks for.
            self.found_with(self.votes(self.processes.len()) * 2 / 3 + 1, self.processes.len());
        }
    }

    fn pause(&mut self, process: usize, lasts: u64) -> bool {
        let p = &mut self.processes[process];
        if p.status != Status::Up {
            return false;
        }
        let until = self.now + lasts;
        p.status = Status::Paused(until);
        // Ticks that fall into the pause come when it is over.
        p.tick_at = u64::MAX;
        self.queue.push(until, Happening::Resume(process, p.life));
        self.record(process, self.me(process), What::Paused);
        true
    }

    fn leave(&mut self, process: usize) -> bool {
        let p = &mut self.processes[process];
        if p.status != Status::Up || p.leaving {
            return false;
        }
        p.leaving = true;
        self.record(process, self.me(process), What::LeaveAsked);
        self.input(process, Input::Leave);
        true
    }

    /// Done if the process agrees that it has no quorum.
    fn force(&mut self, process: usize) -> bool {
        if self.processes[process].status != Status::Up {
            return false;
        }
        let epoch = |w: &Self| w.processes[process].view.as_ref().map(|v| v.id.epoch);
        let before = epoch(self);
        self.input(process, Input::ForcePrimary { wall_ns: WALL_START + self.now });
        before != epoch(self)
    }

    fn cast(&mut self, process: usize) -> bool {
        let mut done = false;
        if self.processes[process].status == Status::Up {
            self.call_app(process, |_, cx| done = cx.cast(b"cast by the plan").is_some());
        }
        done
    }

    /// Tells those who watch an earlier life of this process that it is over.
    pub(super) fn spread_evidence(&mut self, process: usize) {
        for watcher in 0..self.processes.len() {
            let watched: Vec<MemberId> = self.processes[watcher]
                .watches
                .iter()
                .filter(|m| index_of(m.addr) == Some(process))
                .copied()
                .collect();
            for gone in watched {
                self.probe(watcher, gone);
            }
        }
    }

    /// `watcher` watches a member: it learns at once if that one's life is over and somebody is there to say so.
    pub(super) fn probe(&mut self, watcher: usize, gone: MemberId) {
        let Some(p) = index_of(gone.addr).and_then(|i| self.processes.get(i)) else { return };
        let (life, _) = life_of(gone.incarnation);
        let over = match p.status {
            Status::Dead(evidence) => p.life > life || (p.life == life && evidence),
            Status::Gone => p.life >= life,
            Status::Up | Status::Paused(_) | Status::Out => p.life > life,
        };
        if over {
            let delay = 200_000 + self.rng.below(4_000_000);
            self.queue.push(self.now + delay, Happening::Evidence { watcher, gone });
        }
    }

    fn stranger(&mut self, count: u64) {
        if self.physics.forgers {
            self.forgeries += 5 * count;
        }
        for _ in 0..count {
            let to = usize::try_from(self.rng.below(self.processes.len() as u64)).unwrap_or(0);
            let heard = self.rng.below(self.overheard.len() as u64 + 1);
            let payload = match self.overheard.get(usize::try_from(heard).unwrap_or(0)) {
                Some(p) if self.rng.chance(400) => p.clone(),
                Some(p) => corrupt(p, &mut self.rng),
                None => {
                    let len = self.rng.below(200);
                    (0..len).map(|_| (self.rng.next_u64() & 0xff) as u8).collect::<Vec<_>>().into()
                }
            };
            // Half of the garbage begins like something that is meant for the endpoint.
            let payload: Bytes = if self.rng.chance(500) && payload.len() > 2 {
                let mut bytes = payload.to_vec();
                bytes[0] = if self.rng.chance(500) {
                    crate::frame::MAGIC_FRAME
                } else {
                    crate::frame::MAGIC_CONTROL
                };
                bytes[1] = crate::frame::WIRE_VERSION;
                bytes.into()
            } else {
                payload
            };
            let delay = Duration::from_micros(100 + self.rng.below(5_000));
            self.inject(delay, to, STRANGER, payload);
        }
    }

    /// The end of all faults: links carry, stopped processes go on, slow applications take what waits.
    pub(super) fn heal(&mut self) {
        self.network.heal();
        self.triggers = false;
        self.steps.iter_mut().for_each(|s| s.fate = Fate::Taken);
        for process in 0..self.processes.len() {
            if matches!(self.processes[process].status, Status::Paused(_)) {
                self.resume(process);
            }
            self.input(process, Input::Congested(false));
        }
    }
}
