//! D4, sending-view delivery: m is delivered in the view in which it was sent.
//!
//! What is cast while a view ends is sent in the next one, so the application's view at the cast is a lower bound; the
//! view of sending is the one in which the sender delivers its own message.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{sim::envelope::MessageId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle D4, sending-view delivery.
#[derive(Clone, Debug, Default)]
pub struct D4 {
    /// The sender's view at the cast.
    cast: BTreeMap<MessageId, Option<ViewId>>,
    /// The view in which the sender delivered it.
    own: BTreeMap<MessageId, ViewId>,
    /// A view in which somebody else delivered it, before the sender did.
    others: BTreeMap<MessageId, ViewId>,
}

impl Oracle for D4 {
    fn name(&self) -> &'static str {
        "D4"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::Sent { id, view, .. } => {
                self.cast.insert(*id, *view);
            }
            What::Delivered { id, view: Some(view), .. } => {
                let cast = self.cast.get(id).copied().flatten();
                let early = cast.is_some_and(|c| c.epoch == view.epoch && *view < c);
                hold!(
                    self,
                    !early,
                    "{} delivers {id} in view {view}, before that of its cast {cast:?}",
                    o.member
                );
                let own = if o.process == id.process() {
                    self.own.insert(*id, *view);
                    self.others.get(id)
                } else {
                    self.others.insert(*id, *view);
                    self.own.get(id)
                };
                let differs = own.is_some_and(|v| v != view);
                hold!(self, !differs, "{} delivers {id} in view {view}; sender and others differ", o.member);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let sent = Script::new().install(1, &[0, 1]).sent(0, 1);
        sent.clone().deliver_all(&[1, 0], 0, 1).passes(D4::default());
        // Cast while the view ended: sent in the next one.
        let next = sent.clone().install(2, &[0, 1]);
        next.deliver_all(&[0, 1], 0, 1).passes(D4::default());
        sent.deliver(1, 0, 1).view(0, 2, &[0, 1]).deliver(0, 0, 1).fails(D4::default());
        let early = Script::new().install(1, &[0, 1]).view(0, 2, &[0, 1]).sent(0, 1);
        early.deliver(1, 0, 1).fails(D4::default());
    }
}
