//! Total order that suits who sends: by a sequencer that moves to the busiest sender, or by slots when several send much.
//!
//! Moving sequencers that follow the load are the "migrating" variant of fixed ones (Défago, Schiper and Urbán, "Total order
//! broadcast and multicast algorithms", ACM Computing Surveys 36(4), 2004, §4.2); changing the protocol at a view boundary is
//! Horus's (van Renesse, Birman, Maffeis, "Horus: a flexible group communication system", CACM 39(4), 1996). Here both are one
//! number that is decided together with the next view, so all members build the same layer, and nothing can be lost or
//! reordered: one order ends with the old view, the other begins with the new one.
//!
//! ```text
//! view 1: sequencer at rank 0     rank 2 sends nearly everything
//! ── view change ──               the proposer has counted; "rank 2 orders" is part of the decision
//! view 2: sequencer at rank 2     its own frames need no order from elsewhere
//! ```
//!
//! * **Needs** reliable, FIFO, virtual synchrony. **Gives** total order (O3), as [`Sequencer`](crate::Sequencer) and
//!   [`Slots`] do.
//! * **Events in**, **out**, **timers**: those of the one that is at work.
//! * **Header**: that of slots, in all views. The payload of control frames is that of the one at work.
//! * **When**: with every change of the view, and when the application asks for one (`Group::renew`).
//! * **What**: slots, if in the view that ends at least two members sent a quarter of what the busiest did or more, all
//!   together at least 5,000 frames a second (`much`); else the sequencer is the busiest one, if 64 frames were seen at all;
//!   else that of rank 0.
//! * **Invariants**: those of the one at work.
//! * **Bounds**: a counter for each member.
//! * **Leaves** the rest to `reliable` and `uniform`.

use crate::{sequencer::SequencerLayer, slots::Slots};
use gcs::{
    frame::Frame,
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up},
    report::Report,
    time::Time,
};

/// The arrangement that stands for slots; a lower one is the sequencer's rank plus one.
const SLOTS: u32 = 1 << 16;
/// So few frames say nothing of who sends much.
const FEW: u64 = 64;
/// So many frames a second are much.
const MUCH: u64 = 5_000;

/// Total order that adapts with every view.
#[derive(Clone, Copy, Debug)]
pub struct Adaptive {
    /// So many frames a second, of several members, are for slots. Each member's own: the proposer's counts.
    pub much: u64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { much: MUCH }
    }
}

impl Protocol for Adaptive {
    fn spec(&self) -> LayerSpec {
        LayerSpec { name: "adaptive", version: 1, ..Slots.spec() }
    }

    fn header_len(&self, members: usize) -> usize {
        Slots.header_len(members)
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let members = scope.members();
        // What comes from the network may be anything: who does not exist does not order.
        let sequencer = Rank::try_from(scope.arrangement.saturating_sub(1)).unwrap_or(0);
        let sequencer = if usize::from(sequencer) < members { sequencer } else { 0 };
        let slots = scope.arrangement == SLOTS;
        let at_work: Box<dyn Layer> = if slots {
            Slots.build(scope)
        } else {
            Box::new(SequencerLayer::new(members, scope.me, sequencer))
        };
        let how = if slots { "slots".to_owned() } else { format!("the sequencer at rank {sequencer}") };
        let sent = vec![0; members];
        Box::new(AdaptiveLayer { at_work, how, sent, much: self.much, since: scope.now, latest: scope.now })
    }
}

struct AdaptiveLayer {
    at_work: Box<dyn Layer>,
    how: String,
    /// Frames with messages, by sender.
    sent: Vec<u64>,
    much: u64,
    since: Time,
    latest: Time,
}

impl Layer for AdaptiveLayer {
    fn start(&mut self, cx: &mut Context<'_>) {
        self.at_work.start(cx);
    }

    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        self.at_work.down(event, cx);
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        if let Up::Frames(frames) = &event {
            self.latest = cx.now;
            for frame in frames.iter().filter(|f| f.kind() == Frame::DATA) {
                if let Some(sent) = self.sent.get_mut(usize::from(frame.from)) {
                    *sent += 1;
                }
            }
        }
        self.at_work.up(event, cx);
    }

    fn timer(&mut self, timer: u8, cx: &mut Context<'_>) {
        self.at_work.timer(timer, cx);
    }

    fn check(&self) {
        self.at_work.check();
    }

    fn held_bytes(&self) -> usize {
        self.at_work.held_bytes()
    }

    fn arrange(&self, next: &[Option<Rank>]) -> u32 {
        let sent = |r: &Option<Rank>| r.and_then(|r| self.sent.get(usize::from(r))).copied().unwrap_or(0);
        let counts: Vec<u64> = next.iter().map(sent).collect();
        let (total, most) = (counts.iter().sum::<u64>(), counts.iter().max().copied().unwrap_or(0));
        let micros = u64::try_from(self.latest.since(self.since).as_micros()).unwrap_or(u64::MAX).max(1);
        let busy = counts.iter().filter(|c| **c * 4 >= most).count();
        let busiest = counts.iter().position(|c| *c == most).unwrap_or(0);
        match u32::try_from(busiest) {
            _ if total < FEW => 0,
            _ if busy > 1 && total.saturating_mul(1_000_000) / micros >= self.much => SLOTS,
            Ok(rank) => rank + 1,
            Err(_) => 0,
        }
    }

    fn report(&self, to: &mut Report) {
        to.say("ordered by", &self.how);
        to.say("frames with messages, by sender", format_args!("{:?}", self.sent));
        self.at_work.report(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A layer that has seen so many frames of each member within that time.
    fn seen(sent: &[u64], within: Duration) -> AdaptiveLayer {
        let at_work = Box::new(SequencerLayer::new(sent.len(), 0, 0));
        let (since, latest) = (Time::ZERO, Time::ZERO + within);
        AdaptiveLayer { at_work, how: String::new(), sent: sent.to_vec(), much: MUCH, since, latest }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const ALL: [Option<Rank>; 3] = [Some(0), Some(1), Some(2)];

    #[test]
    fn the_busiest_orders() {
        assert_eq!(seen(&[10, 0, 9_000], SECOND).arrange(&ALL), 3);
        // Ranks are those of the next view: the first has left, somebody joins.
        assert_eq!(seen(&[10, 0, 9_000], SECOND).arrange(&[Some(1), Some(2), None]), 2);
        // The busiest has left.
        assert_eq!(seen(&[100, 0, 9_000], SECOND).arrange(&[Some(0), Some(1)]), 1);
    }

    #[test]
    fn several_that_send_much_take_turns() {
        assert_eq!(seen(&[3_000, 10, 2_500], SECOND).arrange(&ALL), SLOTS);
        assert_eq!(seen(&[3_000, 10, 2_500], 2 * SECOND).arrange(&ALL), 1, "that is not much");
        assert_eq!(seen(&[9_000, 10, 2_000], SECOND).arrange(&ALL), 1, "one sends nearly all");
    }

    #[test]
    fn little_says_nothing() {
        assert_eq!(seen(&[0, 0, 63], SECOND).arrange(&ALL), 0);
        assert_eq!(seen(&[0, 0, 0], Duration::ZERO).arrange(&[None]), 0);
    }
}
