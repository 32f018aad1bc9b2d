//! Deliveries by process and view, shared by the oracles that compare them between members.

use crate::{
    id::MemberId,
    sim::{
        envelope::MessageId,
        trace::{Observation, What},
    },
    view::ViewId,
};
use std::collections::BTreeMap;

/// What each process has delivered in the view it is in.
#[derive(Debug, Default)]
pub(super) struct Current {
    by_process: BTreeMap<usize, Deliveries>,
}

/// Deliveries of one process in one view, in order.
#[derive(Clone, Debug)]
pub(super) struct Deliveries {
    pub(super) member: MemberId,
    pub(super) view: ViewId,
    pub(super) messages: Vec<MessageId>,
    /// The view ends, and those who go on together deliver what is left.
    pub(super) transitional: bool,
}

/// A process went from one view to the next: what it delivered in the old one.
pub(super) struct Passage {
    pub(super) to: ViewId,
    pub(super) old: Deliveries,
}

impl Current {
    /// Follows an observation. A passage is returned when a process goes from a view to the next one.
    pub(super) fn observe(&mut self, o: &Observation) -> Option<Passage> {
        match &o.what {
            // A witness has nothing delivered to it.
            What::View(v) if v.at_witness() => {
                self.by_process.remove(&o.process);
                None
            }
            What::View(v) => {
                let new =
                    Deliveries { member: o.member, view: v.id, messages: Vec::new(), transitional: false };
                let old = self.by_process.insert(o.process, new)?;
                (v.previous == Some(old.view) && old.member == o.member).then_some(Passage { to: v.id, old })
            }
            What::Delivered { id, .. } => {
                if let Some(d) = self.by_process.get_mut(&o.process) {
                    d.messages.push(*id);
                }
                None
            }
            // Who is forced to go on ends the view's history for itself: the others' is not compared with it.
            What::Transitional => {
                if let Some(d) = self.by_process.get_mut(&o.process) {
                    d.transitional = true;
                }
                None
            }
            What::Crashed | What::Started | What::Left(_) | What::Forced => {
                self.by_process.remove(&o.process);
                None
            }
            _ => None,
        }
    }

    /// The processes that are in a view now.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Deliveries> {
        self.by_process.values()
    }

    pub(super) fn of(&self, process: usize) -> Option<&Deliveries> {
        self.by_process.get(&process)
    }
}

/// The first message that is in one of two sorted lists only.
pub(super) fn difference(a: &[MessageId], b: &[MessageId]) -> Option<MessageId> {
    let only = |x: &[MessageId], y: &[MessageId]| x.iter().find(|m| y.binary_search(m).is_err()).copied();
    only(a, b).or_else(|| only(b, a))
}
