//! What every layer that gives total order promises: one order at all, across the end of the view, and nothing lost.

use crate::{
    check::Check,
    rig::{Raw, Rig},
    sequencer::Sequencer,
    slots::Slots,
};
use gcs::{layer::Protocol, rng::Rng};
use proptest::prelude::*;
use std::sync::Arc;

fn rig(slots: bool, n: usize, seed: u64) -> Rig {
    let order: Arc<dyn Protocol> = if slots { Arc::new(Slots) } else { Arc::new(Sequencer) };
    let above: Vec<Arc<dyn Protocol>> =
        vec![Arc::new(Check::stream()), order, Arc::new(Check::order()), Arc::new(Raw)];
    Rig::new(above, n, 600, 1 << 20, seed)
}

proptest! {
    #[test]
    fn one_order_at_all(
        seed: u64, n in 1_usize..6, moves in 1_usize..200, slots: bool,
    ) {
        let (mut rig, mut rng) = (rig(slots, n, seed), Rng::new(seed));
        rig.play(&mut rng, moves);
        rig.settle();
        let order = rig.frames(0);
        prop_assert_eq!(order.len(), (0..n).map(|r| rig.data_sent(r)).sum::<usize>());
        for r in 1..n {
            prop_assert_eq!(&rig.frames(r), &order);
        }
        // Nothing is left over without crashes.
        rig.close();
        prop_assert_eq!(&rig.frames(0), &order);
    }

    #[test]
    fn survivors_agree_and_what_they_delivered_stands(
        seed: u64, n in 2_usize..6, moves in 1_usize..200, dead in 0_u64..32, slots: bool,
    ) {
        let (mut rig, mut rng) = (rig(slots, n, seed), Rng::new(seed));
        rig.play(&mut rng, moves);
        rig.dead = dead & ((1 << n) - 1);
        // What the dead have sent may still arrive, here and there.
        rig.play(&mut rng, moves / 4);
        let alive = rig.alive();
        let before: Vec<_> = alive.iter().map(|r| rig.frames(*r)).collect();
        rig.close();
        for (r, before) in alive.iter().zip(before) {
            let after = rig.frames(*r);
            prop_assert_eq!(&after, &rig.frames(alive[0]));
            prop_assert_eq!(&after[..before.len()], &before[..]);
            for sender in &alive {
                let delivered = after.iter().filter(|f| usize::from(f.0) == *sender).count();
                prop_assert_eq!(delivered, rig.data_sent(*sender), "nothing of a survivor is lost");
            }
        }
    }
}
