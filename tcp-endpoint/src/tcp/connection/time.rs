//! What time alone changes.

use gcs::time::Time;

use super::{Acknowledge, Connection, Outcome, Reason, State};
use crate::tcp::{Config, sender::Impatience};

impl Connection {
    /// When something will have to be done, if nothing happens before.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Time> {
        if self.state == State::Over {
            return None;
        }
        let acknowledge = match self.acknowledge {
            Acknowledge::Later(at) => Some(at),
            Acknowledge::No | Acknowledge::Now => None,
        };
        let sender = self.sender.deadline().map(|(at, _)| at);
        [acknowledge, sender, self.next_probe(config), self.until].into_iter().flatten().min()
    }

    /// When to ask a silent peer whether it is there.
    fn next_probe(&self, config: &Config) -> Option<Time> {
        let keep_alive = config.keep_alive.as_ref()?;
        let idle = self.sender.unanswered_since().is_none() && !self.is_opening();
        idle.then(|| self.heard + keep_alive.idle + keep_alive.interval * self.probes.into())
    }

    /// Does what is due at `now`.
    pub(crate) fn on_time(&mut self, now: Time, config: &Config) -> Outcome {
        if self.until.is_some_and(|at| at <= now) {
            return Outcome::Gone(Reason::Ended);
        }
        if matches!(self.acknowledge, Acknowledge::Later(at) if at <= now) {
            self.acknowledge = Acknowledge::Now;
        }
        if self.next_probe(config).is_some_and(|at| at <= now) {
            if config.keep_alive.as_ref().is_some_and(|k| self.probes >= k.probes) {
                return Outcome::Gone(Reason::TimedOut);
            }
            self.probes += 1;
            self.asks = true;
        }
        let Some((_, about)) = self.sender.deadline().filter(|(at, _)| *at <= now) else {
            return Outcome::Stays;
        };
        if self.hopeless(now, about, config) {
            return Outcome::Gone(Reason::TimedOut);
        }
        self.sender.impatient(now, about, self.offset);
        if about == Impatience::Window {
            self.asks = true;
        }
        Outcome::Stays
    }

    /// RFC 9293, section 3.8.3 (R2), and 3.8.6.1: a peer that answers with a closed window is alive.
    fn hopeless(&self, now: Time, about: Impatience, config: &Config) -> bool {
        let patience = if self.sender.una() == 0 { config.give_up_opening } else { config.give_up };
        let since = match about {
            Impatience::Window => Some(self.heard),
            _ if self.sender.closed_window() => self.sender.unanswered_since().map(|at| at.max(self.heard)),
            _ => self.sender.unanswered_since(),
        };
        since.is_some_and(|at| now.since(at) >= patience)
    }
}
