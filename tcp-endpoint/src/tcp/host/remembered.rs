//! Connections that are over (TIME-WAIT, RFC 9293, section 3.6.1): nothing but what it takes to answer a late segment, and
//! to tell an old one from a new connection between the same addresses (RFC 6191).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use super::table::Pair;
use crate::tcp::{Segment, Seq, connection::Remains, sender::timestamp, seq};

/// A connection of ours may follow another one between the same addresses after so long.
const REUSE: Duration = Duration::from_secs(1);

/// What is to be done with a segment for a connection that is over.
pub(super) enum Verdict {
    /// There was none between these addresses.
    Unknown,
    /// It begins a new one, whose numbers have to begin behind this.
    Begins(Seq),
    /// This is the answer, if there is one.
    Over(Option<Box<Segment>>),
}

/// The memory of connections. Bounded: the oldest ones go first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    by_pair: BTreeMap<Pair, (Time, Remains)>,
    by_time: BTreeSet<(Time, Pair)>,
}

impl Memory {
    pub(super) fn len(&self) -> usize {
        self.by_pair.len()
    }

    /// Whether a connection of ours may begin between these addresses: nobody remembers another one, or it ended a second ago and had
    /// timestamps, which tell its segments from the new one's (RFC 6191; the second is a tick of any peer's clock).
    pub(super) fn yields(&self, pair: &Pair, now: Time, linger: Duration) -> bool {
        self.by_pair
            .get(pair)
            .is_none_or(|(until, remains)| remains.recent.is_some() && *until + REUSE <= now + linger)
    }

    /// What must hold; for values that come from elsewhere.
    pub(super) fn holds(&self) -> bool {
        self.by_pair.len() == self.by_time.len()
            && self.by_pair.iter().all(|(pair, (at, _))| self.by_time.contains(&(*at, *pair)))
    }

    /// Remembers a connection until `until`, and at most `most` of them.
    pub(super) fn insert(&mut self, pair: Pair, remains: Remains, until: Time, most: u32) {
        self.remove(&pair);
        self.by_pair.insert(pair, (until, remains));
        self.by_time.insert((until, pair));
        while self.by_pair.len() > most as usize {
            let (_, oldest) = self.by_time.pop_first().expect("as many as pairs");
            self.by_pair.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, pair: &Pair) -> Option<Remains> {
        let (until, remains) = self.by_pair.remove(pair)?;
        self.by_time.remove(&(until, *pair));
        Some(remains)
    }

    /// Forgets what is over for good.
    pub(super) fn forget(&mut self, now: Time) {
        while let Some(&(_, pair)) = self.by_time.first().filter(|(until, _)| *until <= now) {
            self.remove(&pair);
        }
    }

    /// RFC 9293, section 3.10.7.4, for TIME-WAIT; RFC 1337: a reset does not end it.
    pub(super) fn judge(
        &mut self,
        now: Time,
        pair: &Pair,
        segment: &Segment,
        linger: Duration,
        most: u32,
    ) -> Verdict {
        let Some((_, remains)) = self.by_pair.get(pair) else { return Verdict::Unknown };
        let remains = remains.clone();
        if segment.syn && segment.ack.is_none() {
            let newer = match (remains.recent, segment.options.timestamps) {
                (Some(recent), Some((value, _))) if value != recent => seq::earlier(recent, value),
                _ => seq::earlier(remains.ack.0, segment.seq.0),
            };
            if newer {
                self.remove(pair);
                return Verdict::Begins(remains.next);
            }
        }
        // Two who remember each other must not answer each other for ever: what takes no number gets no answer.
        if segment.rst || segment.seq_len() == 0 {
            return Verdict::Over(None);
        }
        let mut answer = Segment::new(segment.to, segment.from, remains.next, Some(remains.ack));
        answer.options.timestamps = remains.recent.map(|recent| (timestamp(now, remains.offset), recent));
        if segment.fin {
            self.insert(*pair, remains, now + linger, most);
        }
        Verdict::Over(Some(Box::new(answer)))
    }
}
