//! A limit to the rate at which a member sends: a token bucket, in bytes a second.
//!
//! The token bucket as in Turner, "New directions in communications" (IEEE Communications Magazine 24(10), 1986), kept as
//! a time instead of a level, like the virtual scheduling of the GCRA (ITU-T I.371). Deviation: a frame goes as soon as
//! the bucket is not overdrawn, and may overdraw it; so frames may be larger than the bucket.
//!
//! ```text
//! from flow      f1 f2 f3 f4 f5
//! bucket         ███ ██▒ █▒▒ ▒▒▒    overdrawn: f4 waits until that has flowed in again
//! below          f1 f2 f3      f4    f5
//! ```
//!
//! * **Needs** reliable. **Gives** nothing. Its place is directly below `flow`, or below `compress` if that is there, so
//!   that it counts what travels. Below `flow`, because what waits here then counts as under way and the window bounds
//!   it. Above what orders, because that numbers frames as they pass (`slots`) and sends reliable frames of its own, which
//!   others wait for and which must not be held up, nor overtake.
//! * **Events in**: `Down::Frames`, `Down::Wedge`, `Down::Close`. **Out**: `Down::Frames`. Reliable frames, which at this
//!   place are the application's, go in their order as the bucket allows. All others pass at once, and cost nothing.
//! * **Header**: none. The rate is each member's own; the layer must stand in the stacks of all members.
//! * **Timers**: `NEXT`, when the first frame that waits may go. A late timer costs no throughput as long as the bucket
//!   holds what flows in meanwhile: a burst should be some milliseconds' worth at least.
//! * **The end of a view**: whatever waits is sent at once, before `Wedge` is passed on: it belongs to the view's streams,
//!   and `flow` has counted it. That is a window's worth at most. From then on frames pass. The layers below that see
//!   frames on their way down must see `Wedge` too, or it would overtake them; those of this crate do.
//! * **Invariants**, in `check`: (A1) what waits is counted; (A2) after `Wedge` nothing waits.
//! * **Bounds**: what flow control lets a member have under way waits here at most: 9/8 of the window and a frame. In any
//!   time `t` at most `burst + rate × t` bytes of frames go, and a frame, except at the end of a view. Repairs (repeated
//!   frames), acknowledgements and heartbeats come on top.
//! * **Leaves** to `flow` to stop who sends: it learns of the rate as of slow receivers. While there is no credit it asks
//!   the others for theirs every 20 ms, in vain.

use crate::phase::Phase;
use gcs::{
    frame::{Frame, Frames},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Wants},
    properties::Properties,
    time::Time,
};
use std::{collections::VecDeque, time::Duration};

/// The timer of the first frame that waits.
const NEXT: u8 = 0;

/// At most so many bytes of own frames a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The rate, headers of frames included; those of datagrams are not. 0 is taken for 1.
    pub bytes_per_second: u64,
    /// How much may be sent at once after a pause, in bytes. Some milliseconds' worth at least.
    pub burst_bytes: u64,
}

impl Pace {
    /// This rate, with bursts of 20 milliseconds' worth.
    #[must_use]
    pub const fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, burst_bytes: bytes_per_second / 50 }
    }

    /// How long it takes until so many bytes have flowed in, rounded up.
    fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(self.bytes_per_second.max(1).into());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Protocol for Pace {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "pace",
            version: 1,
            needs: Properties::RELIABLE,
            gives: Properties::NONE,
            wants: Wants::SENT.and(Wants::CONTROL),
        }
    }

    fn build(&self, _scope: &Scope) -> Box<dyn Layer> {
        Box::new(PaceLayer {
            phase: Phase::Open,
            pace: *self,
            burst: self.time_for(self.burst_bytes),
            full_at: Time::ZERO,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        })
    }
}

struct PaceLayer {
    phase: Phase,
    pace: Pace,
    /// How long it takes to fill the bucket.
    burst: Duration,
    /// When the bucket is full again if nothing is sent: it is empty when that is a burst away,
    /// and overdrawn when it is more.
    full_at: Time,
    waiting: VecDeque<Frame>,
    waiting_bytes: usize,
}

impl Layer for PaceLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) if self.phase == Phase::Open => self.on_send(frames, cx),
            Down::Wedge | Down::Close(_) => {
                self.phase = Phase::Wedged;
                self.let_go(cx);
                cx.down(event);
            }
            other => cx.down(other),
        }
    }

    fn timer(&mut self, _timer: u8, cx: &mut Context<'_>) {
        self.send(Frames::new(), cx);
    }

    fn check(&self) {
        let bytes: usize = self.waiting.iter().map(Frame::len).sum();
        assert_eq!(self.waiting_bytes, bytes, "A1: the bytes that wait are counted");
        assert!(self.phase == Phase::Open || bytes == 0, "A2: frames wait after the view was wedged");
    }

    fn held_bytes(&self) -> usize {
        self.waiting_bytes
    }
}

impl PaceLayer {
    fn on_send(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let (paced, at_once): (Frames, Frames) = frames.into_iter().partition(Frame::is_reliable);
        self.waiting_bytes += paced.iter().map(Frame::len).sum::<usize>();
        self.waiting.extend(paced);
        self.send(at_once, cx);
    }

    /// Sends `frames`, and those that wait as far as the bucket goes.
    fn send(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        while self.full_at <= cx.now + self.burst {
            let Some(frame) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= frame.len();
            let len = u64::try_from(frame.len()).unwrap_or(u64::MAX);
            self.full_at = self.full_at.max(cx.now) + self.pace.time_for(len);
            frames.push(frame);
        }
        if !self.waiting.is_empty() {
            cx.set_timer(NEXT, self.full_at - self.burst);
        }
        if !frames.is_empty() {
            cx.down(Down::Frames(frames));
        }
    }

    fn let_go(&mut self, cx: &mut Context<'_>) {
        cx.cancel_timer(NEXT);
        self.waiting_bytes = 0;
        let frames: Frames = self.waiting.drain(..).collect();
        if !frames.is_empty() {
            cx.down(Down::Frames(frames));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Check,
        compress::Compress,
        flow::Flow,
        pack::Pack,
        rig::{Raw, Rig},
        slots::Slots,
    };
    use gcs::rng::Rng;
    use proptest::prelude::*;
    use std::sync::Arc;

    const MTU: usize = 1000;

    /// The index of `flow` in the stacks of [`whole`].
    const FLOW: usize = 4;

    fn raw(pace: Pace, seed: u64) -> Rig {
        Rig::new(vec![Arc::new(pace), Arc::new(Raw)], 2, MTU, 1 << 20, seed)
    }

    /// With messages, above a total order.
    fn whole(pace: Pace, window: usize, seed: u64) -> Rig {
        let above: Vec<Arc<dyn Protocol>> = vec![
            Arc::new(Slots),
            Arc::new(pace),
            Arc::new(Compress::default()),
            Arc::new(Flow::default()),
            Arc::new(Pack),
            Arc::new(Check::messages()),
        ];
        Rig::new(above, 2, MTU, window, seed)
    }

    fn bytes_sent(rig: &Rig) -> u64 {
        rig.lengths(0).sum::<usize>() as u64
    }

    fn noise(len: u64, rng: &mut Rng) -> Vec<u8> {
        (0..len).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_in_time() {
        let mut rig = raw(Pace { bytes_per_second: 100_000, burst_bytes: 3000 }, 1);
        let frame = rig.forge(Frame::DATA, 0, 1, &[7; MTU]).len();
        rig.now = Time::from_ms(1000);
        rig.cast(0, &[&[7; MTU][..]; 10]);
        assert_eq!(rig.data_sent(0), 3, "two do not empty the bucket, three overdraw it");
        let overdrawn = 3 * frame as u64 - 3000;
        assert_eq!(rig.stacks[0].deadline(), Time::from_ms(1000) + Duration::from_micros(10 * overdrawn));
        rig.pass_ms(200);
        assert_eq!(rig.data_sent(0), 10);
        assert_eq!(rig.frames(1), vec![(0, vec![7; MTU]); 10]);
        assert_eq!(rig.stacks[0].deadline(), Time::NEVER);
    }

    #[test]
    fn extreme_rates() {
        let mut rig = raw(Pace::new(u64::MAX), 1);
        rig.cast(0, &[&[7; MTU][..]; 1000]);
        assert_eq!(rig.data_sent(0), 1000);
        let mut rig = raw(Pace::new(0), 1);
        rig.cast(0, &[b"x", b"y"]);
        assert_eq!(rig.data_sent(0), 1, "the first always goes");
        rig.pass_ms(100_000);
        assert_eq!(rig.data_sent(0), 2);
    }

    #[test]
    fn what_waits_is_bounded_by_the_window() {
        let mut rng = Rng::new(1);
        let mut rig = whole(Pace::new(50_000), 16_000, 1);
        let message = noise(40_000, &mut rng);
        rig.cast(0, &[&message]);
        rig.settle();
        assert!(!rig.credit(0));
        // `pack` has the message twice: to be sent, and to be delivered.
        let held = rig.stacks[0].held_bytes() - 2 * message.len();
        assert!((10_000..19_100).contains(&held), "{held} bytes wait");
        assert_eq!(rig.sent[FLOW], 0);
        rig.pass_ms(20);
        assert_eq!(rig.sent[FLOW], 2, "a REQUEST and its answer: what is not reliable does not wait");
        rig.pass_ms(2000);
        assert!(rig.credit(0));
        assert!(rig.messages(1).contains(&(0, message)));
    }

    #[test]
    fn what_waits_at_the_end_of_a_view_is_sent() {
        let mut rng = Rng::new(1);
        let mut rig = raw(Pace::new(1000), 1);
        let messages: Vec<_> = (0..20).map(|_| noise(500, &mut rng)).collect();
        rig.cast(0, &messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(rig.data_sent(0), 1);
        let held = rig.wedge(0);
        assert_eq!((rig.data_sent(0), held[0]), (20, 20));
        rig.settle();
        rig.close();
        assert_eq!(rig.frames(1), messages.into_iter().map(|m| (0, m)).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn the_rate_is_kept(seed: u64, rate in 1000_u64..1_000_000, burst in 0_u64..10_000) {
            let (mut rig, mut rng) = (raw(Pace { bytes_per_second: rate, burst_bytes: burst }, seed), Rng::new(seed));
            let (mut cast, mut bytes, mut sent) = (Vec::new(), 0, vec![0]);
            for _ in 0..200 {
                for _ in 0..rng.below(3) {
                    let len = 1 + rng.below(MTU as u64);
                    let message = noise(len, &mut rng);
                    rig.cast(0, &[&message]);
                    bytes += message.len() as u64 + 32;
                    cast.push((0, message));
                }
                // Timers are late by up to a millisecond.
                rig.pass_ms(1);
                sent.push(bytes_sent(&rig));
            }
            for (i, before) in sent.iter().enumerate() {
                for (ms, after) in (0..).zip(&sent[i..]) {
                    // At the beginning of the first millisecond something may be sent, too.
                    let most = burst + rate * (ms + 1) / 1000 + MTU as u64 + 32 + 1;
                    prop_assert!(after - before <= most, "{before} to {after} in {ms} ms");
                }
            }
            // As fast as that, if the bucket holds what flows in while a timer is late. It may be overdrawn by a frame.
            let worst = (bytes - bytes_sent(&rig) + MTU as u64 + 32) * 1000 / rate.min(1000 * burst.max(1)) + 2 * cast.len() as u64 + 2;
            rig.pass_ms(worst.min(2_000_000));
            prop_assert_eq!(&rig.frames(1), &cast);
        }

        #[test]
        fn delivered_and_unsent_are_everything(seed: u64, window in 2000_usize..20_000, rate in 1000_u64..1_000_000) {
            let (mut rig, mut rng) = (whole(Pace::new(rate), window, seed), Rng::new(seed));
            let mut cast = vec![Vec::new(); 2];
            for _ in 0..20 {
                let (r, len) = (rng.below(2) as usize, rng.below(3000));
                let message = noise(len, &mut rng);
                rig.cast(r, &[&message]);
                cast[r].push(message);
                rig.step(&mut rng);
                rig.now = rig.now + Duration::from_micros(rng.below(3000));
                rig.tick();
            }
            rig.close();
            prop_assert_eq!(rig.messages(0), rig.messages(1));
            for (from, cast) in (0..).zip(&cast) {
                let of = |m: (u16, Vec<u8>)| (m.0 == from).then_some(m.1);
                let delivered = rig.messages(0).into_iter().filter_map(of);
                let all: Vec<_> = delivered.chain(rig.unsent(usize::from(from))).collect();
                prop_assert_eq!(&all, cast);
            }
        }
    }
}
