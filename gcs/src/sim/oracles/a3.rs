//! A3, linearizable replicated operations: the history of every register passes a linearizability checker.
//!
//! An operation whose client was never answered may have taken effect at any time after its invocation, or never. When
//! the group is founded anew after a total stop, or forced to go on, its state may be gone, and the history ends there.

use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::trace::{Observation, What};
use crate::sim::{
    envelope::MessageId,
    kv::Op,
    linear::{Call, Verdict, check},
    oracles::Summary,
};
use std::collections::BTreeMap;

/// Steps of the checker after which a history counts as undecided.
const EFFORT: u64 = 200_000;

/// Oracle A3, linearizability.
#[derive(Clone, Debug, Default)]
pub struct A3 {
    calls: BTreeMap<MessageId, Call>,
    epoch: Option<u64>,
    refounded: bool,
    /// Logical time: observations are in true-time order.
    now: u64,
}

impl A3 {
    fn judge(&self) -> Result<(), Violation> {
        let mut by_key: BTreeMap<u8, Vec<Call>> = BTreeMap::new();
        for call in self.calls.values() {
            by_key.entry(call.op.key()).or_default().push(*call);
        }
        for (key, calls) in by_key {
            let verdict = check(&calls, EFFORT);
            let n = calls.len();
            hold!(
                self,
                verdict != Verdict::Broken,
                "the {n} operations on register {key} have no order: {calls:?}"
            );
        }
        Ok(())
    }
}

impl Oracle for A3 {
    fn name(&self) -> &'static str {
        "A3"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        self.now += 1;
        match &o.what {
            What::View(v) => {
                self.refounded |= self.epoch.is_some_and(|e| e != v.id.epoch);
                self.epoch.get_or_insert(v.id.epoch);
            }
            // By the operator's word, what only others have delivered may be lost.
            What::Forced => self.refounded = true,
            What::Invoked { id, op } => self.invoked(*id, *op),
            What::Returned { id, value } if !self.refounded => {
                let call = self.calls.get_mut(id);
                let known = call.is_some();
                if let Some(call) = call {
                    call.returned = Some((self.now, *value));
                }
                hold!(self, known, "{} answers {id}, which nobody invoked", Short(o.member));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &Summary) -> Result<(), Violation> {
        self.judge()
    }
}

impl A3 {
    fn invoked(&mut self, id: MessageId, op: Op) {
        if !self.refounded {
            self.calls.insert(id, Call { op, invoked: self.now, returned: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    fn write(script: Script, p: usize, count: u32, value: u64) -> Script {
        let id = script.message(p, count);
        script.push(p, What::Invoked { id, op: Op::Write { key: 0, value } })
    }

    fn read(script: Script, p: usize, count: u32) -> Script {
        let id = script.message(p, count);
        script.push(p, What::Invoked { id, op: Op::Read { key: 0 } })
    }

    fn answer(script: Script, p: usize, count: u32, value: u64) -> Script {
        let id = script.message(p, count);
        script.push(p, What::Returned { id, value })
    }

    #[test]
    fn verdicts() {
        let written = answer(write(Script::new().install(1, &[0, 1]), 0, 1, 7), 0, 1, 0);
        answer(read(written.clone(), 1, 1), 1, 1, 7).passes(A3::default());
        // A read that begins after the write has ended must see it.
        answer(read(written, 1, 1), 1, 1, 0).fails(A3::default());
    }

    #[test]
    fn an_unanswered_write_may_or_may_not_count() {
        let open = write(Script::new().install(1, &[0, 1]), 0, 1, 7);
        for value in [0, 7] {
            answer(read(open.clone(), 1, 1), 1, 1, value).passes(A3::default());
        }
        answer(read(open, 1, 1), 1, 1, 8).fails(A3::default());
    }
}
