//! A member that forges: it has all that a member has, changes what others have said, and says that it is what they said. The
//! oracles of the stack see it in a group that encrypts; in one that also signs there is nothing to see.

use gcs::{
    frame::{Dest, Frame},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    rng::Rng,
    sim::{Report, Setup, certified, run},
    stack::Blueprint,
};
use gcs_stacks::{
    Bimodal, Check, Fec, Flow, Heartbeat, Lateral, Pack, PackWithGaps, Reliable, Seal, Sequencer, Sign,
    Slots, Uniform,
};
use std::{ops::Range, sync::Arc};

/// Founders, and those who may join later.
const PROCESSES: usize = 16;

/// Stands above what encrypts. At `p1` it forges.
struct Forger;

struct ForgerLayer {
    forges: bool,
    rng: Rng,
}

impl Protocol for Forger {
    fn spec(&self) -> LayerSpec {
        let (needs, gives) = (Properties::NONE, Properties::NONE);
        LayerSpec { name: "forger", version: 1, needs, gives, wants: Wants::RECEIVED }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let me = scope.view.member(scope.me).map(|m| m.name.clone());
        Box::new(ForgerLayer { forges: me.as_deref() == Some("p1"), rng: scope.rng() })
    }
}

impl Layer for ForgerLayer {
    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        if let (Up::Frames(frames), true) = (&event, self.forges) {
            let others: Vec<_> = cx.scope().others().collect();
            let forged: Vec<_> = frames.iter().filter_map(|f| self.forge(f, &others)).collect();
            cx.down(Down::Frames(forged));
        }
        cx.up(event);
    }
}

impl ForgerLayer {
    /// What its maker has not said like this, for another member. Sometimes it says it sooner than the maker does.
    fn forge(&mut self, frame: &Frame, others: &[u16]) -> Option<Frame> {
        let to = others[self.rng.below(others.len() as u64) as usize];
        if to == frame.from || !self.rng.chance(100) {
            return None;
        }
        let mut forged = frame.clone();
        let header = frame.header().len();
        let bytes = forged.writable();
        // What follows the fixed header and the slots of what encrypts and signs, and is not empty.
        let from = if self.rng.chance(500) { header - 16 } else { header };
        let last = bytes.len().checked_sub(1).filter(|last| *last >= from)?;
        let at = from + self.rng.below((last - from + 1) as u64) as usize;
        bytes[at] ^= 1 << self.rng.below(8);
        forged.to = Dest::One(to);
        Some(forged)
    }
}

/// What repairs losses, from the bottom, and what stands above it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Total,
    Slots,
    Fec,
    Lateral,
    Bimodal,
}

/// A stack with the forger above what encrypts.
fn stack(kind: Kind, signed: bool) -> Blueprint {
    let mut layers: Vec<Arc<dyn Protocol>> = vec![Arc::new(Seal), Arc::new(Forger)];
    match kind {
        Kind::Fec => layers.push(Arc::new(Fec::default())),
        Kind::Lateral => layers.push(Arc::new(Lateral::default())),
        Kind::Total | Kind::Slots | Kind::Bimodal => {}
    }
    if signed {
        layers.push(Arc::new(Sign));
    }
    layers.push(Arc::new(Heartbeat));
    if let Kind::Bimodal = kind {
        layers.push(Arc::new(Bimodal::default()));
        layers.push(Arc::new(PackWithGaps));
    } else {
        layers.push(Arc::new(Reliable { prompt: true }));
        layers.push(Arc::new(Check::stream()));
        match kind {
            Kind::Total => layers.push(Arc::new(Sequencer)),
            Kind::Slots => layers.push(Arc::new(Slots)),
            Kind::Fec | Kind::Lateral | Kind::Bimodal => {}
        }
        layers.push(Arc::new(Uniform));
        layers.push(Arc::new(Flow::default()));
        layers.push(Arc::new(Pack));
    }
    layers.push(Arc::new(Check::messages()));
    Blueprint::new("forged", layers).expect("all needs are met")
}

fn failures(stack: Blueprint, seeds: Range<u64>) -> Vec<Report> {
    let mut setup = Setup::new(stack);
    setup.keys = certified((0..PROCESSES).map(|i| format!("p{i}")));
    setup.workload.casts_per_second = 20;
    seeds.map(|seed| run(seed, &setup)).filter(|r| !r.is_ok()).collect()
}

#[test]
fn members_can_forge_where_nothing_is_signed() {
    assert!(!failures(stack(Kind::Total, false), 1..20).is_empty(), "the forger does nothing");
}

#[test]
fn no_member_gets_anywhere_with_forging_where_all_is_signed() {
    let kinds = [Kind::Total, Kind::Slots, Kind::Fec, Kind::Lateral, Kind::Bimodal];
    for (kind, from) in kinds.into_iter().zip((1..).map(|i| 1_000 * i)) {
        if let Some(report) = failures(stack(kind, true), from..from + 12).first() {
            panic!("{kind:?}: {report}");
        }
    }
}
