//! Fault injection: received frames get lost, come twice, come late, or are overtaken, by chance from a seed.
//!
//! For tests of applications in real processes, where there is no simulator (`gcs::sim`) that disturbs the network.
//!
//! ```text
//! from the network    f1 f2 f3 f4 f5 f6 f7
//! to the layer above  f1    f3 f3 f4    f6 f5 f7 f2        f2 late, f3 twice, f5 overtaken; and some never
//! ```
//!
//! * **Needs** nothing. **Gives** nothing. Its place is at the bottom, below `heartbeat`: what gets lost here is no sign of
//!   life either. Higher up it breaks what the layers below it have promised.
//! * **Events in**: `Up::Frames`. **Out**: `Up::Frames`. What is sent is left alone: the others have a layer like this one.
//! * **Header**: none. The probabilities are each member's own, but the layer must stand in the stacks of all members, as
//!   they compare stacks: [`Inject::default`] does nothing.
//! * **Chance**: from `scope.rng()`, so the same frames at the same times suffer the same. Builders take a seed.
//! * **Timers**: `DUE`, when the next frame that is held has waited long enough.
//! * **The end of a view**: nothing to do: what is held comes late, or never, as on a network.
//! * **Invariants**, in `check`: (I1) what is held is counted, and within its bounds.
//! * **Bounds**: at most 512 frames and 1 MiB are held; what finds no room passes at once.
//! * **Leaves** to the layers above to cope. The messages of the membership protocol (joins, view changes, state transfer)
//!   are no frames and do not pass through stacks: they suffer nothing.

use gcs::{
    frame::{Frame, Frames},
    layer::{Context, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    rng::Rng,
    time::Time,
};
use std::time::Duration;

/// The timer of the frame that is due next.
const DUE: u8 = 0;

const HELD_FRAMES: usize = 512;
const HELD_BYTES: usize = 1 << 20;

/// A frame that is overtaken is overtaken by so many at most, and those that come in one batch with the last of them.
const OVERTAKEN_BY: u64 = 8;

/// What befalls received frames, in this order. Probabilities in a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inject {
    /// So many get lost.
    pub drop_per_mille: u64,
    /// So many come twice; the copy may be late or overtaken itself.
    pub duplicate_per_mille: u64,
    /// So many come late: by up to `delay_ms`, each time being equally likely.
    pub delay_per_mille: u64,
    /// So many are overtaken by one to eight later frames, unless these take longer than `delay_ms` to come.
    pub reorder_per_mille: u64,
    /// The longest that a frame is held, in milliseconds.
    pub delay_ms: u64,
}

impl Protocol for Inject {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "inject",
            version: 1,
            needs: Properties::NONE,
            gives: Properties::NONE,
            // No event comes from below that could overtake frames.
            wants: Wants::RECEIVED,
        }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(InjectLayer { faults: *self, rng: scope.rng(), arrived: 0, held: Vec::new(), held_bytes: 0 })
    }
}

struct InjectLayer {
    faults: Inject,
    rng: Rng,
    /// How many frames came from below.
    arrived: u64,
    /// In the order in which they came.
    held: Vec<Held>,
    held_bytes: usize,
}

/// A frame that is passed on when it is time, or when enough others have arrived.
struct Held {
    until: Time,
    arrived: u64,
    frame: Frame,
}

impl Layer for InjectLayer {
    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_received(frames, cx),
            other => cx.up(other),
        }
    }

    fn timer(&mut self, _timer: u8, cx: &mut Context<'_>) {
        let due = self.take_due(cx.now);
        self.pass_on(due, cx);
    }

    fn check(&self) {
        let bytes: usize = self.held.iter().map(|h| h.frame.len()).sum();
        assert_eq!(self.held_bytes, bytes, "I1: held bytes are counted");
        assert!(bytes <= HELD_BYTES && self.held.len() <= HELD_FRAMES, "I1: {bytes} bytes are held");
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

impl InjectLayer {
    fn on_received(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let mut up = self.take_due(cx.now);
        for frame in frames {
            self.arrived += 1;
            if self.rng.chance(self.faults.drop_per_mille) {
                continue;
            }
            if self.rng.chance(self.faults.duplicate_per_mille) {
                self.pass_or_hold(frame.clone(), cx.now, &mut up);
            }
            self.pass_or_hold(frame, cx.now, &mut up);
        }
        let arrived = self.arrived;
        up.extend(self.take(|held| held.arrived <= arrived).into_iter().map(|held| held.frame));
        self.pass_on(up, cx);
    }

    fn pass_or_hold(&mut self, frame: Frame, now: Time, up: &mut Frames) {
        let longest = Duration::from_millis(self.faults.delay_ms);
        let (until, arrived) = if self.rng.chance(self.faults.delay_per_mille) {
            let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
            (now + Duration::from_nanos(self.rng.below(nanos)), u64::MAX)
        } else if self.rng.chance(self.faults.reorder_per_mille) {
            (now + longest, self.arrived + 1 + self.rng.below(OVERTAKEN_BY))
        } else {
            up.push(frame);
            return;
        };
        if self.held.len() == HELD_FRAMES || self.held_bytes + frame.len() > HELD_BYTES {
            up.push(frame);
            return;
        }
        self.held_bytes += frame.len();
        self.held.push(Held { until, arrived, frame });
    }

    /// The frames that have waited long enough, in the order of their times.
    fn take_due(&mut self, now: Time) -> Frames {
        let mut due = self.take(|held| held.until <= now);
        due.sort_by_key(|held| held.until);
        due.into_iter().map(|held| held.frame).collect()
    }

    fn take(&mut self, which: impl Fn(&Held) -> bool) -> Vec<Held> {
        let taken: Vec<_> = self.held.extract_if(.., |held| which(held)).collect();
        self.held_bytes -= taken.iter().map(|held| held.frame.len()).sum::<usize>();
        taken
    }

    fn pass_on(&self, frames: Frames, cx: &mut Context<'_>) {
        if !frames.is_empty() {
            cx.up(Up::Frames(frames));
        }
        let next = self.held.iter().map(|held| held.until).min();
        cx.set_timer(DUE, next.unwrap_or(Time::NEVER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        heartbeat::Heartbeat,
        reliable::Reliable,
        rig::{Raw, Rig},
        testkit::{Faults, Net, Plain},
    };
    use gcs::layer::Down;
    use proptest::prelude::*;
    use std::sync::Arc;

    const COUNT: u32 = 10_000;

    /// Member 0's layer between the rig's transport and a top that shows every frame.
    fn rig(faults: Inject, seed: u64) -> Rig {
        Rig::new(vec![Arc::new(faults), Arc::new(Raw)], 2, 2000, 1 << 20, seed)
    }

    /// Frames with numbers, `batch` at a time, one batch in a millisecond.
    fn receive(rig: &mut Rig, numbers: std::ops::Range<u32>, batch: usize) {
        let numbers: Vec<_> = numbers.collect();
        for some in numbers.chunks(batch) {
            let frames = some.iter().map(|i| rig.forge(Frame::DATA, 1, 0, &i.to_le_bytes())).collect();
            rig.receive(0, frames);
            rig.pass_ms(1);
        }
    }

    fn arrived(rig: &Rig) -> Vec<u32> {
        let frames = rig.out[0].iter().filter_map(|e| if let Up::Frames(f) = e { Some(f) } else { None });
        frames.flatten().map(|f| u32::from_le_bytes(f.payload().try_into().unwrap())).collect()
    }

    fn count(faults: Inject) -> usize {
        let mut rig = rig(faults, 3);
        receive(&mut rig, 0..COUNT, 5);
        rig.pass_ms(100);
        assert_eq!(rig.stacks[0].held_bytes(), 0, "nothing is held for longer than it may");
        arrived(&rig).len()
    }

    #[test]
    fn without_faults_everything_passes() {
        let mut rig = rig(Inject::default(), 1);
        receive(&mut rig, 0..COUNT, 7);
        assert_eq!(arrived(&rig), (0..COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn as_many_suffer_as_are_to() {
        assert_eq!(count(Inject { drop_per_mille: 1000, ..Inject::default() }), 0);
        assert_eq!(count(Inject { duplicate_per_mille: 1000, ..Inject::default() }), 2 * COUNT as usize);
        let dropped = count(Inject { drop_per_mille: 100, delay_per_mille: 300, ..Inject::default() });
        assert!((8_900..9_100).contains(&dropped), "{dropped}");
        let twice = count(Inject {
            duplicate_per_mille: 100,
            reorder_per_mille: 300,
            delay_ms: 100,
            ..Inject::default()
        });
        assert!((10_900..11_100).contains(&twice), "{twice}");
    }

    #[test]
    fn frames_are_late_by_no_more_than_the_bound() {
        let mut rig = rig(Inject { delay_per_mille: 500, delay_ms: 10, ..Inject::default() }, 1);
        receive(&mut rig, 0..1, 1);
        receive(&mut rig, 1..COUNT, 1);
        rig.pass_ms(10);
        let order = arrived(&rig);
        assert_eq!(order.len(), COUNT as usize);
        assert!(!order.is_sorted());
        // One comes in each millisecond.
        assert!((0..).zip(&order).all(|(at, i): (u32, _)| at.abs_diff(*i) <= 11));
    }

    #[test]
    fn who_is_overtaken_waits_for_few() {
        let mut rig = rig(Inject { reorder_per_mille: 200, delay_ms: 10_000, ..Inject::default() }, 1);
        receive(&mut rig, 0..COUNT, 1);
        let before = arrived(&rig).len();
        assert!(before >= COUNT as usize - 8);
        let order = arrived(&rig);
        let by = order.iter().enumerate().map(|(at, i)| order[..at].iter().filter(|j| *j > i).count());
        let most = by.max();
        assert_eq!(most, Some(8));
        rig.pass_ms(10_000);
        assert_eq!(arrived(&rig).len(), COUNT as usize, "the last ones do not wait for ever");
    }

    #[test]
    fn what_finds_no_room_passes() {
        let mut rig = rig(Inject { delay_per_mille: 1000, delay_ms: 50, ..Inject::default() }, 1);
        for payload in [vec![7; 2000], vec![7; 4]] {
            for _ in 0..1000 {
                rig.receive(0, vec![rig.forge(Frame::DATA, 1, 0, &payload)]);
            }
            assert!(rig.stacks[0].held_bytes() > 0);
            rig.pass_ms(50);
            assert_eq!(rig.stacks[0].held_bytes(), 0);
        }
        let all: usize = rig.out[0].iter().map(|e| if let Up::Frames(f) = e { f.len() } else { 0 }).sum();
        assert_eq!(all, 2000);
    }

    fn group(seed: u64) -> Net {
        let faults = Inject {
            drop_per_mille: 150,
            duplicate_per_mille: 100,
            delay_per_mille: 200,
            reorder_per_mille: 200,
            delay_ms: 20,
        };
        let layers: Vec<Arc<dyn Protocol>> =
            vec![Arc::new(faults), Arc::new(Heartbeat), Arc::new(Reliable::default()), Arc::new(Plain)];
        let mut net = Net::new(seed, 3, Faults::default(), layers);
        for i in 0..60_u8 {
            net.cast(usize::from(i % 3), &[&[i]]);
            net.run_ms(1);
        }
        net.run_ms(1000);
        net
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let (once, twice) = (group(1), group(1));
        for (a, b) in once.nodes.iter().zip(&twice.nodes) {
            assert_eq!(a.sent, b.sent);
        }
        assert_ne!(once.nodes[0].sent, group(2).nodes[0].sent);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn reliable_copes(seed: u64) {
            let mut net = group(seed);
            for node in &net.nodes {
                for (r, from) in (0..3_u8).zip(&node.delivered) {
                    let expected: Vec<_> = (0..20).map(|i| vec![3 * i + r]).collect();
                    prop_assert_eq!(&from.iter().map(|m| m.to_vec()).collect::<Vec<_>>(), &expected);
                }
            }
            net.down(0, Down::Wedge);
        }
    }
}
