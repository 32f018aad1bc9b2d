//! Best effort: frames are multicast once; what gets lost stays lost, and nobody waits for it longer than for a frame that
//! was overtaken.
//!
//! ```text
//! A  ──1──▶ ──2──▶ ──3──▶ ──4──▶
//!             ╲x      ╲  ╱
//! B     1              4  3        waits `hold_ms` for what is missing, and delivers 1, 3, 4
//! ```
//!
//! It is [`Bimodal`](crate::Bimodal) without gossip: the same streams, with rounds of a millisecond in which nothing is said.
//!
//! * **Needs** nothing. **Gives** in-order, best effort, bounded, view-end. Stands in place of `reliable`: no layer that needs
//!   reliable frames stands on it. Members agree on views all the same; a view ends without a cut, and members that go on may
//!   have delivered different frames. For what is worthless when it is late, and is soon said again. `fec` below it
//!   restores what gets lost, if `hold_ms` is longer than its delay.
//! * **Events in**, **out**: as for `bimodal`.
//! * **Header**: 8 bytes, the frame's number in its sender's stream (`u64`, from 1); 0 in other frames. It makes no frames.
//! * **Timers**: `ROUND`, every millisecond, for `hold_ms` after a frame.
//! * **Invariants**: (B1), (B3) to (B5) of `bimodal`.
//! * **Bounds**: frames are held for `hold_ms`, and eight windows of bytes at most.
//! * **Leaves** to the sender to keep to a rate that the group can take: there is no flow control. A member whose
//!   application does not take what is delivered drops what arrives meanwhile, and gets no credit itself.

use crate::bimodal::{BimodalLayer, gossip::Settings};
use gcs::{
    layer::{Layer, LayerSpec, Protocol, Scope, Wants},
    properties::Properties,
};
use std::time::Duration;

/// Frames without repair; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestEffort {
    /// A frame that others have overtaken is waited for so long, in milliseconds: at least 1. Each member's own.
    pub hold_ms: u32,
}

impl Default for BestEffort {
    fn default() -> Self {
        Self { hold_ms: 3 }
    }
}

impl Protocol for BestEffort {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "besteffort",
            version: 1,
            needs: Properties::NONE,
            gives: Properties::IN_ORDER
                .and(Properties::BEST_EFFORT)
                .and(Properties::BOUNDED)
                .and(Properties::VIEW_END),
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        8
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let silent = Settings { fanout: 0, digests: 0, asks: 0, answers: 0, ..Settings::default() };
        let settings = Settings { rounds_kept: self.hold_ms.max(1), ..silent };
        Box::new(BimodalLayer::new(self.spec().name, Duration::from_millis(1), settings, scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Check,
        heartbeat::Heartbeat,
        pack::PackWithGaps,
        testkit::{Faults, Net, scope},
    };
    use gcs::layer::{Down, Up};
    use gcs::{
        frame::{FIXED_HEADER, Frame},
        view::Cut,
    };
    use proptest::prelude::*;
    use std::{sync::Arc, time::Duration};

    fn layers() -> Vec<Arc<dyn Protocol>> {
        vec![
            Arc::new(Heartbeat),
            Arc::new(BestEffort::default()),
            Arc::new(PackWithGaps),
            Arc::new(Check::messages()),
        ]
    }

    fn message(i: u32, from: usize, len: usize) -> Vec<u8> {
        let mut m = vec![i.to_le_bytes()[0] ^ from.to_le_bytes()[0]; len];
        m.splice(0..0, i.to_le_bytes());
        m
    }

    /// Whether each of `got` is a message that was sent, as it was, and they are in order.
    fn in_order(got: &[bytes::Bytes], sent: &[Vec<u8>]) -> bool {
        let mut rest = sent.iter();
        got.iter().all(|m| rest.any(|s| s[..] == m[..]))
    }

    #[test]
    fn without_loss_everything_arrives() {
        let mut net = Net::new(1, 3, Faults::default(), layers());
        for i in 0..20 {
            for from in 0..3 {
                net.cast(from, &[&message(i, from, 3000)]);
            }
            net.run_ms(1);
        }
        net.run_ms(10);
        for node in &net.nodes {
            assert!(node.delivered.iter().all(|d| d.len() == 20));
        }
    }

    #[test]
    fn nobody_waits_for_what_is_lost() {
        let mut net = Net::new(1, 2, Faults::default(), layers());
        let mut n = 0;
        net.passes = Box::new(move |_, to, f| {
            n += u32::from(to == 1 && f.kind() == Frame::DATA);
            f.kind() != Frame::DATA || n % 3 != 0
        });
        for i in 0..9 {
            net.cast(0, &[&message(i, 0, 10)]);
            net.run_ms(6);
            let last = net.nodes[1].delivered[0].last().map(|m| u32::from(m[0]));
            assert_eq!(last, Some(if i % 3 == 2 { i - 1 } else { i }));
        }
        assert_eq!(net.nodes[1].delivered[0].len(), 6);
    }

    #[test]
    fn a_view_ends_at_once_whatever_was_lost() {
        let mut net = Net::new(1, 2, Faults::default(), layers());
        net.passes = Box::new(|_, _, f| f.kind() != Frame::DATA);
        net.cast(0, &[b"lost"]);
        net.run_ms(5);
        for m in 0..2 {
            net.down(m, Down::Wedge);
            assert_eq!(
                net.nodes[m].last(|e| if let Up::Wedged(w) = e { Some(w.clone()) } else { None }),
                Some(vec![0; 2])
            );
            let cut = Arc::new(Cut { frontier: vec![0; 2], holder: vec![0; 2] });
            net.down(m, Down::Fetch(cut.clone()));
            assert_eq!(net.nodes[m].count(|e| matches!(e, Up::CutHeld(_))), 1);
            net.down(m, Down::Close(cut));
            assert_eq!(net.nodes[m].count(|e| matches!(e, Up::Closed)), 1);
        }
        assert_eq!((net.nodes[0].delivered[0].len(), net.nodes[1].delivered[0].len()), (1, 0));
    }

    #[test]
    fn a_congested_member_drops_and_gets_no_credit() {
        let mut net = Net::new(1, 2, Faults::default(), layers());
        net.down(1, Down::Congested(true));
        assert_eq!(net.nodes[1].last(|e| if let Up::Credit(c) = e { Some(*c) } else { None }), Some(false));
        net.cast(0, &[b"dropped"]);
        net.run_ms(2);
        net.down(1, Down::Congested(false));
        assert_eq!(net.nodes[1].last(|e| if let Up::Credit(c) = e { Some(*c) } else { None }), Some(true));
        net.cast(0, &[b"taken"]);
        net.run_ms(6);
        assert_eq!(net.nodes[1].delivered[0], ["taken"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// Also of messages that are split, and of which parts get lost.
        #[test]
        fn what_arrives_is_what_was_sent_in_order(seed: u64, n in 2_usize..5, loss in 0_u64..500) {
            let delay = (Duration::from_micros(50), Duration::from_micros(2000));
            let faults = Faults { loss_per_mille: loss, dup_per_mille: 100, delay };
            let mut net = Net::new(seed, n, faults, layers());
            let mut sent = vec![Vec::new(); n];
            for i in 0..60 {
                for (from, sent) in sent.iter_mut().enumerate() {
                    let m = message(i, from, 1300 * (i as usize % 4));
                    net.cast(from, &[&m]);
                    sent.push(m);
                }
                net.run_ms(1);
            }
            net.run_ms(10);
            for (at, node) in net.nodes.iter().enumerate() {
                for (from, sent) in sent.iter().enumerate() {
                    prop_assert!(in_order(&node.delivered[from], sent));
                    prop_assert!(at != from || node.delivered[from].len() == sent.len());
                }
            }
        }

        #[test]
        fn nothing_that_arrives_panics(
            frames in prop::collection::vec(
                (
                    any::<u8>(), any::<bool>(), prop_oneof![0..5_u64, any::<u64>()], 0..5_u8,
                    prop::collection::vec(any::<u8>(), 0..40), prop_oneof![0..4_u16, any::<u16>()],
                    prop_oneof![0..4_u16, any::<u16>()],
                ),
                1..40,
            )
        ) {
            let mut net = Net::new(1, 3, Faults::default(), layers());
            let s = scope(0, 3);
            for (kind, unreliable, seq, content, payload, from, via) in frames {
                // A layer above checks ranks of what is its own.
                let from = if unreliable && kind != 0 { 1 } else { from };
                let mut f = Frame::new(kind, !unreliable, from, s.group, s.view.id, FIXED_HEADER + 9, 40);
                f.slot_mut(&(FIXED_HEADER..FIXED_HEADER + 8)).copy_from_slice(&seq.to_le_bytes());
                f.slot_mut(&(FIXED_HEADER + 8..FIXED_HEADER + 9))[0] = content;
                f.writable().extend_from_slice(&payload);
                f.via = via;
                net.inject(0, f);
            }
        }
    }
}
