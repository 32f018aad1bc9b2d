//! Who has an interest in what, until when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits;
use crate::health::{
    command::Refusal,
    name::{Label, Who},
};

/// All interests. Times are the state's, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interests {
    until: BTreeMap<Who, BTreeMap<Label, u64>>,
    count: usize,
}

/// When a lease ends that begins now.
fn ends(now_ms: u64, lease_ms: u32) -> u64 {
    now_ms + u64::from(lease_ms.clamp(limits::LEASE_MS.0, limits::LEASE_MS.1))
}

impl Interests {
    pub(super) fn has(&self, who: &Who, component: &Label) -> bool {
        self.until.get(who).is_some_and(|of| of.contains_key(component))
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn add(
        &mut self,
        who: Who,
        component: Label,
        lease_ms: u32,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let each = self.until.get(&who).map_or(0, BTreeMap::len);
        if !self.has(&who, &component) && (self.count >= limits::INTERESTS || each >= limits::INTERESTS_EACH)
        {
            return Err(Refusal::Interests(u32::try_from(self.count).unwrap_or(u32::MAX)));
        }
        let before = self.until.entry(who).or_default().insert(component, ends(now_ms, lease_ms));
        self.count += usize::from(before.is_none());
        Ok(())
    }

    pub(super) fn renew(&mut self, who: Who, lease_ms: u32, now_ms: u64) -> Result<(), Refusal> {
        let Some(of) = self.until.get_mut(&who) else { return Err(Refusal::NoInterest(who)) };
        of.values_mut().for_each(|until| *until = ends(now_ms, lease_ms));
        Ok(())
    }

    pub(super) fn drop(&mut self, who: &Who, component: &Label) {
        let Some(of) = self.until.get_mut(who) else { return };
        self.count -= usize::from(of.remove(component).is_some());
        if of.is_empty() {
            self.until.remove(who);
        }
    }

    pub(super) fn tick(&mut self, now_ms: u64) {
        self.until.retain(|_, of| {
            of.retain(|_, until| *until > now_ms);
            !of.is_empty()
        });
        self.count = self.until.values().map(BTreeMap::len).sum();
    }
}
