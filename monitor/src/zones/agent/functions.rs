//! Functions: installed at one agent, told to all of the zone that they are for.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gcs::time::Time;
use thiserror::Error;

use super::Agent;
use crate::trust::Refusal;
use crate::zones::{
    function::{FUNCTIONS_MAX, Function, count_name, in_force},
    kind::Kind,
    message::Subject,
    name::ZoneName,
    table::Outcome,
};

/// How far a clock of somebody else may be ahead: a function from further in the future could not be replaced.
const AHEAD_S: u64 = 300;

/// How long a zone of zones waits for all of them to answer a new function: else all rows would change several times.
const HOLD: Duration = Duration::from_millis(1500);

/// Why a function is not installed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InstallError {
    /// Only the agents of a zone can take functions for it.
    #[error("{zone} is no zone that {agent} is in: install it at an agent of that zone")]
    Elsewhere {
        /// Whom it was given to.
        agent: ZoneName,
        /// For which zone.
        zone: ZoneName,
    },
    /// It is not newer than what there is.
    #[error("there is a newer function `{0}` already: is a clock wrong?")]
    Older(String),
    /// There are too many.
    #[error("the zone has {FUNCTIONS_MAX} functions of this kind already: remove one")]
    Full,
    /// Agents have keys, and it is not signed by somebody who may.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its time is not now.
    #[error("the function is over already, or was issued in the future: is a clock wrong?")]
    Time,
}

impl Agent {
    /// Installs a function for a zone that this agent is in, and so for all zones in it. Others hear of it at once.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn install(
        &mut self,
        now: Time,
        zone: &ZoneName,
        function: &Arc<Function>,
    ) -> Result<(), InstallError> {
        self.may_install(now, zone, function)?;
        let Some(level) = self.zones.iter().position(|own| own == zone) else {
            return Err(InstallError::Elsewhere { agent: self.name.clone(), zone: zone.clone() });
        };
        if !self.timely(now, function) {
            return Err(InstallError::Time);
        }
        match self.tables[level].offer_function(function) {
            Outcome::Adopted => {}
            Outcome::Known => return Err(InstallError::Older(function.said().name.clone())),
            Outcome::Full => return Err(InstallError::Full),
        }
        self.function_changed(now, level, function);
        self.pass_on(now, level, &Subject::Function(function.said().name.as_str().into()), None);
        Ok(())
    }

    /// The functions that count in the zone of this level, by name.
    #[must_use]
    pub fn functions(&self, now: Time, level: usize) -> Vec<&Arc<Function>> {
        in_force(self.tables.iter().take(level + 1).map(|table| table.functions()), self.seconds(now))
    }

    /// Takes a function that it has heard of. Whether it is news.
    pub(super) fn take_function(&mut self, now: Time, level: usize, function: &Arc<Function>) -> bool {
        if !self.timely(now, function) {
            self.counters.refused += 1;
            return false;
        }
        match self.tables[level].offer_function(function) {
            Outcome::Adopted => {
                self.function_changed(now, level, function);
                true
            }
            Outcome::Known => false,
            Outcome::Full => {
                self.counters.refused += 1;
                false
            }
        }
    }

    /// Standing queries and announcements for the zone of this level, by name.
    pub(super) fn others(&self, now: Time, level: usize) -> impl Iterator<Item = &Arc<Function>> {
        let now_s = self.seconds(now);
        let counts = move |f: &&Arc<Function>| f.said().kind != Kind::Aggregation && f.is_valid(now_s);
        self.tables[level].functions().filter(counts)
    }

    fn function_changed(&mut self, now: Time, level: usize, function: &Function) {
        match function.said().kind {
            Kind::Aggregation => self.functions_changed(now, level),
            // Rows do not depend on these.
            Kind::Standing(_) | Kind::Announcement => self.others_changed += 1,
        }
    }

    /// Rows of all own zones from this level on may be others now. Those of zones of zones wait for them to answer.
    pub(super) fn functions_changed(&mut self, now: Time, level: usize) {
        for level in level..self.tables.len() {
            if level > 0 && level < self.leaf() {
                self.paces[level - 1].hold(now, now + HOLD);
            }
            self.changed(now, level);
        }
    }

    /// Whether all zones in the table of this level have said something to all functions.
    pub(super) fn all_answer(&self, now: Time, level: usize) -> bool {
        let functions = self.functions(now, level);
        let names: Vec<String> = functions.iter().map(|f| count_name(&f.said().name)).collect();
        self.tables[level].issues().all(|(_, issue)| names.iter().all(|name| !issue.row.get(name).is_null()))
    }

    /// Forgets what is over.
    pub(super) fn forget(&mut self, now: Time) {
        self.forget_at = now + self.config.remember / 4;
        self.others_changed += 1;
        let (now_s, remember) = (self.seconds(now), self.config.remember);
        self.forget_signers(now);
        for level in 0..self.tables.len() {
            let names = |agent: &Self| -> BTreeSet<String> {
                let of_rows = agent.tables[level].functions().filter(|f| f.said().kind == Kind::Aggregation);
                of_rows.map(|f| f.said().name.clone()).collect()
            };
            let before = names(self);
            self.tables[level].forget(now, now_s, remember);
            if names(self) != before {
                self.functions_changed(now, level);
            }
        }
    }

    /// When the next of the functions is over.
    pub(super) fn next_expiry(&self) -> Time {
        let functions = self.tables.iter().flat_map(|table| table.functions());
        let s = functions.map(|function| function.said().expires_s).min();
        s.map_or(Time::NEVER, |s| Time(s.saturating_sub(self.epoch_s).saturating_mul(1_000_000_000)))
    }

    fn timely(&self, now: Time, function: &Function) -> bool {
        let now_s = self.seconds(now);
        function.is_valid(now_s) && function.said().issued_s <= now_s.saturating_add(AHEAD_S)
    }
}
