//! The protocol itself, for any number of participants: a value without I/O that consumes what a participant hears and says
//! what it does. The layer drives it for a view's members; tests drive it for a thousand.
//!
//! Participants have numbers from 0. The caller multicasts what it casts, unreliably, calls [`Gossip::round`] at regular
//! intervals as long as the value is not [idle](Gossip::is_idle), and carries out the effects.

use super::stream::{Put, Stream};
use gcs::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// The most runs in a digest, or in a request.
pub const RUNS_MAX: usize = 40;

/// Consecutive items of one participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Who cast them.
    pub from: u32,
    /// The first one's number, from 1.
    pub first: u64,
    /// How many, at least 1.
    pub count: u16,
}

impl Run {
    /// Puts an item at the end of runs that go downwards. False if there would be more than `most`.
    pub(super) fn extend(runs: &mut Vec<Self>, from: u32, seq: u64, most: usize) -> bool {
        let len = runs.len();
        match runs.last_mut() {
            Some(r) if r.from == from && r.first == seq + 1 && r.count < u16::MAX => {
                (r.first, r.count) = (seq, r.count + 1);
            }
            _ if len == most => return false,
            _ => runs.push(Self { from, first: seq, count: 1 }),
        }
        true
    }
}

/// What a participant says to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// What it holds, in its round of this number. Later runs of a participant come first.
    Digest {
        /// The round.
        round: u32,
        /// What it holds.
        runs: Vec<Run>,
    },
    /// What it lacks of a digest.
    Ask {
        /// The digest's round.
        round: u32,
        /// What it lacks.
        runs: Vec<Run>,
    },
    /// What was asked for.
    Item {
        /// Who cast it.
        from: u32,
        /// Its number.
        seq: u64,
        /// The item.
        item: T,
    },
}

/// What a participant does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<T> {
    /// Delivers an item; those of one participant in the order in which they were cast.
    Deliver {
        /// Who cast it.
        from: u32,
        /// Its number.
        seq: u64,
        /// The item.
        item: T,
    },
    /// Gives up items that it knows of: nobody has sent them in time.
    Lost {
        /// Who cast them.
        from: u32,
        /// The first one's number.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Sends something, unreliably.
    Send {
        /// To whom.
        to: u32,
        /// What.
        what: Said<T>,
    },
}

/// The parameters. Those of work are for one round of one participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// An item is held, and asked for, until so many rounds after this participant has first seen it or a later one.
    pub rounds_kept: u32,
    /// To so many others a digest is sent.
    pub fanout: u32,
    /// So many digests are looked at.
    pub digests: u32,
    /// So many items are asked for.
    pub asks: u32,
    /// So many items are sent again.
    pub answers: u32,
    /// So many items of one participant are held, from the first that was not delivered on.
    pub ahead: u32,
    /// So many bytes of items are held.
    pub bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rounds_kept: 25, fanout: 2, digests: 4, asks: 64, answers: 64, ahead: 4096, bytes: 8 << 20 }
    }
}

/// One participant.
#[derive(Debug)]
pub struct Gossip<T> {
    me: u32,
    count: u32,
    settings: Settings,
    round: u32,
    /// By participant: those that have cast something.
    streams: BTreeMap<u32, Stream<T>>,
    held_bytes: usize,
    /// What is left for this round.
    digests_left: u32,
    answers_left: u32,
    /// What was asked for in this round.
    asked: BTreeSet<(u32, u64)>,
}

impl<T: Clone> Gossip<T> {
    /// Participant `me` of `count`.
    #[must_use]
    pub fn new(me: u32, count: u32, settings: Settings) -> Self {
        Self {
            me,
            count,
            settings,
            round: 0,
            streams: BTreeMap::new(),
            held_bytes: 0,
            digests_left: settings.digests,
            answers_left: settings.answers,
            asked: BTreeSet::new(),
        }
    }

    /// The number of the next item that is cast here.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.streams.get(&self.me).map_or(0, Stream::highest) + 1
    }

    /// Casts an item of `len` bytes: its number. It is delivered here at once; the caller sends it to all others.
    pub fn cast(&mut self, item: T, len: usize, out: &mut Vec<Effect<T>>) -> u64 {
        self.make_room(len);
        let seq = self.next_seq();
        let stream = self.streams.entry(self.me).or_default();
        // An own item that finds no room is delivered, too, but not repaired.
        if self.held_bytes + len <= self.settings.bytes {
            self.held_bytes += len;
            stream.put(seq, item, len, u64::MAX);
            stream.deliver(self.me, out);
        } else {
            self.held_bytes -= stream.skip_to(seq);
            out.push(Effect::Deliver { from: self.me, seq, item });
        }
        seq
    }

    /// An item has arrived, from whoever cast it or from somebody else.
    pub fn on_item(&mut self, from: u32, seq: u64, item: T, len: usize, out: &mut Vec<Effect<T>>) {
        if from >= self.count || from == self.me || seq == 0 {
            return;
        }
        self.make_room(len);
        if self.held_bytes + len > self.settings.bytes {
            return;
        }
        let stream = self.streams.entry(from).or_default();
        if stream.put(seq, item, len, self.settings.ahead.into()) == Put::New {
            self.held_bytes += len;
            stream.deliver(from, out);
        }
    }

    /// `peer` says what it holds.
    pub fn on_digest(&mut self, peer: u32, round: u32, runs: &[Run], out: &mut Vec<Effect<T>>) {
        if self.digests_left == 0 || peer >= self.count || peer == self.me {
            return;
        }
        self.digests_left -= 1;
        let mut wanted: Vec<Run> = Vec::new();
        for run in runs.iter().take(RUNS_MAX).filter(|r| r.from < self.count && r.from != self.me) {
            let stream = self.streams.entry(run.from).or_default();
            let last = run.first.saturating_add(u64::from(run.count)).saturating_sub(1);
            let (first, last) = stream.askable(run.first, last, self.settings.ahead.into());
            for seq in (first..=last).rev() {
                if self.asked.len() as u64 >= u64::from(self.settings.asks) {
                    break;
                }
                if stream.holds(seq) || !self.asked.insert((run.from, seq)) {
                    continue;
                }
                if !Run::extend(&mut wanted, run.from, seq, RUNS_MAX) {
                    break;
                }
            }
        }
        if !wanted.is_empty() {
            out.push(Effect::Send { to: peer, what: Said::Ask { round, runs: wanted } });
        }
    }

    /// `peer` asks for items. Who comes late is not answered: it has been asleep, or this participant has.
    pub fn on_ask(&mut self, peer: u32, round: u32, runs: &[Run], out: &mut Vec<Effect<T>>) {
        if peer >= self.count || peer == self.me || self.round.wrapping_sub(round) > 1 {
            return;
        }
        for run in runs.iter().take(RUNS_MAX) {
            let Some(stream) = self.streams.get(&run.from) else { continue };
            for (seq, item) in stream.items(run.first, run.count) {
                if self.answers_left == 0 {
                    return;
                }
                self.answers_left -= 1;
                let what = Said::Item { from: run.from, seq, item: item.clone() };
                out.push(Effect::Send { to: peer, what });
            }
        }
    }

    /// A round begins: what is old is given up and forgotten, and somebody is told what is held.
    pub fn round(&mut self, rng: &mut Rng, out: &mut Vec<Effect<T>>) {
        self.round = self.round.wrapping_add(1);
        (self.digests_left, self.answers_left) = (self.settings.digests, self.settings.answers);
        self.asked.clear();
        for (from, stream) in &mut self.streams {
            self.held_bytes -= stream.expire(*from, self.round, self.settings.rounds_kept, out);
        }
        let runs = self.digest();
        if runs.is_empty() || self.count < 2 {
            return;
        }
        for _ in 0..self.settings.fanout {
            let other = u32::try_from(rng.below(u64::from(self.count) - 1)).unwrap_or(0);
            let to = other + u32::from(other >= self.me);
            let what = Said::Digest { round: self.round, runs: runs.clone() };
            out.push(Effect::Send { to, what });
        }
    }

    /// Delivers what is held, and gives up what is missing before it; from then on nothing is held.
    pub fn finish(&mut self, out: &mut Vec<Effect<T>>) {
        for (from, stream) in &mut self.streams {
            self.held_bytes -= stream.give_up(*from, u64::MAX, out);
        }
    }

    /// Whether rounds have nothing to do until something is cast or received.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.streams.values().all(Stream::is_empty)
    }

    /// How many bytes of items are held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// What is held, at most [`RUNS_MAX`] runs: of each participant the latest. With more participants than runs,
    /// they take turns.
    fn digest(&self) -> Vec<Run> {
        let active: Vec<_> = self.streams.iter().filter(|(_, s)| !s.is_empty()).collect();
        if active.is_empty() {
            return Vec::new();
        }
        let each = (RUNS_MAX / active.len()).max(1);
        let start = (self.round as usize).wrapping_mul(RUNS_MAX) % active.len();
        let turn = active.iter().cycle().skip(start).take(active.len().min(RUNS_MAX));
        turn.flat_map(|(from, stream)| stream.runs(**from, each)).collect()
    }

    /// Forgets delivered items, of whom most is held first, if there is no room for `len` bytes.
    fn make_room(&mut self, len: usize) {
        while self.held_bytes + len > self.settings.bytes {
            let largest = self.streams.values_mut().max_by_key(|s| s.delivered_bytes());
            let Some(freed) = largest.map(Stream::forget_first).filter(|freed| *freed > 0) else { return };
            self.held_bytes -= freed;
        }
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        let bytes: usize = self.streams.values().map(Stream::held_bytes).sum();
        assert_eq!(self.held_bytes, bytes, "B1: held bytes are counted");
        assert!(bytes <= self.settings.bytes, "B1: {bytes} bytes are held");
        assert!(self.asked.len() as u64 <= u64::from(self.settings.asks), "B2: too much is asked for");
        self.streams.values().for_each(|s| s.check(self.settings.ahead.into()));
    }
}
