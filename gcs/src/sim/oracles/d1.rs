//! D1, integrity: delivered ⇒ sent, unchanged, by whom the delivery names.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::sim::{envelope::MessageId, process::index_of};
use std::collections::BTreeMap;

/// Oracle D1, integrity.
#[derive(Clone, Debug, Default)]
pub struct D1 {
    sent: BTreeMap<MessageId, u64>,
}

impl Oracle for D1 {
    fn name(&self) -> &'static str {
        "D1"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::Sent { id, digest, .. } => {
                self.sent.insert(*id, *digest);
            }
            What::Delivered { id, digest, from, .. } => {
                let sent = self.sent.get(id);
                hold!(self, sent.is_some(), "{} delivers {id}, which nobody sent", o.member);
                hold!(self, sent == Some(digest), "{} delivers {id} with another payload", o.member);
                let by = from.and_then(|f| index_of(f.addr));
                hold!(self, by == Some(id.process()), "{} delivers {id} as a message of {from:?}", o.member);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Script, id},
        *,
    };

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1]).sent(0, 1);
        script.clone().deliver_all(&[0, 1], 0, 1).passes(D1::default());
        script.clone().deliver(1, 0, 2).fails(D1::default());
        let (m, from) = (script.message(0, 1), Some(script.me(0)));
        let changed = What::Delivered { id: m, digest: 8, view: Some(id(1)), from };
        script.clone().push(1, changed).fails(D1::default());
        let other = What::Delivered { id: m, digest: 7, view: Some(id(1)), from: Some(script.me(1)) };
        script.push(1, other).fails(D1::default());
    }
}
