//! A component: its instances, what is thought of them, and its sequence of verdicts.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};

use super::{flap::Flap, limits, rule};
use crate::health::{
    command::{Observation, Refusal, Registration},
    name::{Label, Who},
    verdict::{Cause, Evidence, Finding, Health, Standing, Verdict, Witness},
};

/// The two times: of the state, in milliseconds, and of day, in milliseconds since the Unix epoch, which is for people only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) state_ms: u64,
    pub(super) day_ms: u64,
}

/// What somebody thinks of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opinion {
    finding: Finding,
    evidence: Evidence,
    serial: u64,
    certain: bool,
    /// When it was said, by the state's time.
    heard_ms: u64,
}

/// What everybody thinks of an instance who has looked at it lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinions {
    /// Which one, how it is by agreement.
    pub standing: Standing,
    /// Whether it is held down, because it has gone up and down too often.
    pub held: bool,
    /// Who finds what.
    pub opinions: Vec<Witness>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instance {
    address: Option<SocketAddr>,
    supervisor: Option<Who>,
    health: Health,
    /// Time of day of the verdict.
    since_ms: u64,
    opinions: BTreeMap<Who, Opinion>,
    flap: Flap,
}

/// A component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    witnesses: u8,
    /// The number of the last verdict.
    seq: u64,
    /// The last verdicts, without gaps, up to `seq`.
    log: VecDeque<Verdict>,
    instances: BTreeMap<Label, Instance>,
}

impl Component {
    /// One without instances, whose verdicts count from behind `seq`.
    pub(super) fn new(seq: u64) -> Self {
        Self { witnesses: 2, seq, log: VecDeque::new(), instances: BTreeMap::new() }
    }

    /// The number of the last verdict.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The verdicts that are kept, at most [`limits::VERDICTS`], the oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Verdict> + ExactSizeIterator {
        self.log.iter()
    }

    /// The verdicts after a number. None: some of them are not kept any more.
    #[must_use]
    pub fn after(&self, seq: u64) -> Option<impl Iterator<Item = &Verdict>> {
        let missing = self.seq.saturating_sub(seq);
        let skipped = self.log.len().checked_sub(usize::try_from(missing).ok()?)?;
        Some(self.log.iter().skip(skipped))
    }

    /// How all instances are.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        self.instances.iter().map(|(name, i)| i.standing(name))
    }

    /// What is thought of all instances.
    pub fn opinions(&self) -> impl Iterator<Item = Opinions> {
        self.instances.iter().map(|(name, i)| Opinions {
            standing: i.standing(name),
            held: i.flap.is_held(),
            opinions: i.witnesses(usize::MAX),
        })
    }

    /// How many instances it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// `full`: no instance can be added. What changes is told by a verdict.
    pub(super) fn register(&mut self, r: Registration, full: bool, now: Now) -> Result<(), Refusal> {
        let count = self.instances.len();
        let changed = match self.instances.entry(r.instance.clone()) {
            Entry::Vacant(_) if full || count >= limits::INSTANCES => {
                return Err(Refusal::Instances(u32::try_from(count).unwrap_or(u32::MAX)));
            }
            Entry::Vacant(entry) => {
                entry.insert(Instance {
                    address: r.address,
                    supervisor: r.supervisor,
                    health: Health::Unknown,
                    since_ms: now.day_ms,
                    opinions: BTreeMap::new(),
                    flap: Flap::default(),
                });
                true
            }
            Entry::Occupied(mut entry) => {
                let instance = entry.get_mut();
                let changed = instance.address != r.address;
                instance.address = r.address;
                instance.supervisor = r.supervisor;
                changed
            }
        };
        let fewer = self.witnesses != r.witnesses;
        self.witnesses = r.witnesses;
        if changed {
            self.tell(&r.instance, Cause::Registered, now);
        }
        if fewer {
            let all: Vec<Label> = self.instances.keys().cloned().collect();
            all.iter().for_each(|name| self.judge(name, now));
        }
        Ok(())
    }

    /// False if it was not there.
    pub(super) fn deregister(&mut self, name: &Label, now: Now) -> bool {
        let Some(instance) = self.instances.get_mut(name) else { return false };
        instance.health = Health::Gone;
        instance.since_ms = now.day_ms;
        self.tell(name, Cause::Deregistered, now);
        self.instances.remove(name);
        true
    }

    pub(super) fn observe(&mut self, o: Observation, now: Now) -> Result<(), Refusal> {
        let Some(instance) = self.instances.get_mut(&o.instance) else {
            return Err(Refusal::NoInstance(o.component, o.instance));
        };
        let count = instance.opinions.len();
        let certain =
            o.certain && o.finding == Finding::Down && instance.supervisor.as_ref() == Some(&o.observer);
        let opinion = Opinion {
            finding: o.finding,
            evidence: o.evidence,
            serial: o.serial,
            certain,
            heard_ms: now.state_ms,
        };
        match instance.opinions.entry(o.observer) {
            Entry::Occupied(entry) if entry.get().serial > o.serial => {
                return Err(Refusal::Overtaken(entry.key().clone()));
            }
            Entry::Occupied(mut entry) => _ = entry.insert(opinion),
            Entry::Vacant(_) if count >= limits::OBSERVERS => {
                return Err(Refusal::Observers(u32::try_from(count).unwrap_or(u32::MAX)));
            }
            Entry::Vacant(entry) => _ = entry.insert(opinion),
        }
        self.judge(&o.instance, now);
        Ok(())
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Now) {
        let mut touched = Vec::new();
        for (name, instance) in &mut self.instances {
            let count = instance.opinions.len();
            instance.opinions.retain(|_, o| o.heard_ms + limits::OPINION_MS > now.state_ms);
            let released = instance.flap.release(now.state_ms);
            if released || instance.opinions.len() < count {
                touched.push((name.clone(), released));
            }
        }
        for (name, released) in touched {
            self.judge_with(&name, released.then_some(Cause::Released), now);
        }
    }

    fn judge(&mut self, name: &Label, now: Now) {
        self.judge_with(name, None, now);
    }

    /// Gives a verdict, if there is a new one. `cause` is said instead of agreement.
    fn judge_with(&mut self, name: &Label, cause: Option<Cause>, now: Now) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let certain = instance.opinions.values().any(|o| o.certain);
        let findings = instance.opinions.values().map(|o| o.finding);
        let Some((health, why)) = rule::decide(instance.health, self.witnesses, findings, certain) else {
            return;
        };
        if health == Health::Up && instance.flap.is_held() {
            return;
        }
        if health == Health::Down {
            instance.flap.down(now.state_ms);
        }
        instance.health = health;
        instance.since_ms = now.day_ms;
        self.tell(name, cause.filter(|_| health == Health::Up).unwrap_or(why), now);
    }

    /// Writes the next verdict down: how the instance is now.
    fn tell(&mut self, name: &Label, cause: Cause, now: Now) {
        let Some(instance) = self.instances.get(name) else { return };
        self.seq += 1;
        self.log.push_back(Verdict {
            seq: self.seq,
            instance: name.clone(),
            health: instance.health,
            cause,
            address: instance.address,
            at_ms: now.day_ms,
            witnesses: instance.witnesses(limits::WITNESSES),
        });
        if self.log.len() > limits::VERDICTS {
            self.log.pop_front();
        }
    }
}

impl Instance {
    fn standing(&self, name: &Label) -> Standing {
        Standing {
            instance: name.clone(),
            health: self.health,
            since_ms: self.since_ms,
            address: self.address,
        }
    }

    /// At most so many, those first who find what is agreed on.
    fn witnesses(&self, most: usize) -> Vec<Witness> {
        let agrees = |o: &Opinion| (o.finding == Finding::Down) == (self.health == Health::Down);
        let sides = [true, false].into_iter();
        let ordered = sides.flat_map(|side| self.opinions.iter().filter(move |(_, o)| agrees(o) == side));
        ordered
            .take(most)
            .map(|(observer, o)| Witness {
                observer: observer.clone(),
                finding: o.finding,
                evidence: o.evidence.clone(),
            })
            .collect()
    }
}
