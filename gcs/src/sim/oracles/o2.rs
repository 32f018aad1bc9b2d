//! O2, causal order without gaps: who delivers a message has delivered before it everything that its sender had delivered when
//! it cast it, as far as that was in the same view. What was before that view, all who came into it have delivered (D5);
//! what the sender itself cast before is a matter of O1.

use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::{
    envelope::MessageId,
    trace::{Observation, What},
};
use crate::view::ViewId;
use std::collections::BTreeMap;

/// A process in one of its lives, as a sender.
type Sender = (usize, u32);

/// By sender: how many of its messages.
type Seen = BTreeMap<Sender, u32>;

/// Oracle O2, causal order.
#[derive(Clone, Debug, Default)]
pub struct O2 {
    /// By process: the view it is in, and what it has delivered there.
    now: BTreeMap<usize, (ViewId, Seen)>,
    /// By message: the view in which it was cast, and what its sender had delivered there.
    causes: BTreeMap<MessageId, (ViewId, Seen)>,
}

fn sender(id: MessageId) -> Sender {
    (id.process(), id.life())
}

impl Oracle for O2 {
    fn name(&self) -> &'static str {
        "O2"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::View(v) => {
                self.now.insert(o.process, (v.id, Seen::new()));
            }
            // Who is forced to go on delivers what it holds: another history until its next view.
            What::Crashed | What::Started | What::Left(_) | What::Forced => {
                self.now.remove(&o.process);
            }
            What::Sent { id, .. } => {
                if let Some(now) = self.now.get(&o.process) {
                    self.causes.insert(*id, now.clone());
                }
            }
            What::Delivered { id, .. } => {
                let Some((view, seen)) = self.now.get_mut(&o.process) else { return Ok(()) };
                let causes = self.causes.get(id).filter(|(cast_in, _)| cast_in == view);
                let missing = causes.and_then(|(_, causes)| {
                    causes.iter().find(|(s, count)| seen.get(s).is_none_or(|have| have < count))
                });
                let missing = missing.map(|((process, life), count)| MessageId::new(*process, *life, *count));
                let latest = seen.entry(sender(*id)).or_default();
                *latest = id.count().max(*latest);
                if let Some(cause) = missing {
                    hold!(self, false, "{} delivers {id} without {cause}, which caused it", Short(o.member));
                }
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
    fn answers_come_after_questions() {
        let asked = Script::new().install(1, &[0, 1, 2]).sent(0, 1).deliver(1, 0, 1).sent(1, 1);
        asked.clone().deliver(2, 1, 1).fails(O2::default());
        asked.clone().deliver(2, 0, 1).deliver(2, 1, 1).passes(O2::default());
        // Cast before the question came.
        let crossed = Script::new().install(1, &[0, 1, 2]).sent(0, 1).sent(1, 1).deliver(1, 0, 1);
        crossed.deliver(2, 1, 1).passes(O2::default());
    }

    #[test]
    fn the_view_before_is_a_matter_of_virtual_synchrony() {
        let script = Script::new().install(1, &[0, 1]).sent(0, 1).deliver_all(&[0, 1], 0, 1).sent(1, 1);
        script.install(2, &[0, 1, 2]).deliver(2, 1, 1).passes(O2::default());
    }
}
