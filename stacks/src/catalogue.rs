//! Stacks with names.

use crate::{
    adaptive::Adaptive,
    besteffort::BestEffort,
    bimodal::Bimodal,
    causal::Causal,
    check::Check,
    compress::Compress,
    fec::Fec,
    flow::Flow,
    heartbeat::Heartbeat,
    lateral::Lateral,
    pack::{Pack, PackWithGaps},
    reliable::Reliable,
    sequencer::Sequencer,
    slots::Slots,
    uniform::Uniform,
};
use gcs::{
    layer::Protocol,
    stack::{Blueprint, StackError},
};
use std::sync::Arc;

/// The names. Their words say what there is.
const STACKS: [&str; 30] = [
    "fifo",
    "fifo+fec",
    "fifo+lateral",
    "causal",
    "causal+uniform",
    "total",
    "total+uniform",
    "total+uniform+compressed",
    "total+uniform+encrypted",
    "total-slots",
    "total-slots+uniform",
    "total-adaptive",
    "total-adaptive+uniform",
    "bimodal",
    "best-effort",
    "fifo+check",
    "fifo+fec+check",
    "fifo+lateral+check",
    "causal+check",
    "causal+uniform+check",
    "total+check",
    "total+uniform+check",
    "total+uniform+compressed+check",
    "total+uniform+encrypted+check",
    "total-slots+check",
    "total-slots+uniform+check",
    "total-adaptive+check",
    "total-adaptive+uniform+check",
    "bimodal+check",
    "best-effort+check",
];

/// What becomes of frames that get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    /// Who lacks one asks for it.
    Asked,
    /// Parity of their sender restores them, otherwise the same.
    Forward,
    /// Combinations of other receivers restore them, otherwise the same.
    Lateral,
    /// Gossip, for a while.
    Gossip,
    /// They stay lost.
    None,
}

/// What orders the frames of all senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    Causal,
    Sequencer,
    Slots,
    Adaptive,
}

/// Why there is no stack of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No such name.
    #[error("there is no stack `{name}`; choose one of: {}", names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The program was built without what it needs.
    #[error(
        "the stack `{name}` needs the feature `encrypted` of gcs-stacks, which this program was built without"
    )]
    Disabled {
        /// What was asked for.
        name: String,
    },
    /// The layers do not hold together: a bug of the catalogue.
    #[error(transparent)]
    Stack(#[from] StackError),
}

/// The stack with this name:
///
/// * `fifo`: reliable, in each sender's order, virtually synchronous.
/// * `fifo+fec`: and frames that get lost are restored from parity, without being asked for. For senders that must not
///   wait for repair, and networks that lose much.
/// * `fifo+lateral`: and frames that get lost are restored from what other receivers send. For several senders of which
///   each sends little.
/// * `causal`, `causal+uniform`: and what answers a message is delivered after it.
/// * `total`: and in one order for all.
/// * `total+uniform`, also called `uniform`: and what one delivers, all survivors deliver.
/// * `total-slots`, `total-slots+uniform`: the same promises, kept by slots instead of a sequencer. For groups in which
///   now this member sends, now that one, or several send much.
/// * `total-adaptive`, `total-adaptive+uniform`: by slots or by a sequencer that moves, as suits who sends; chosen anew with
///   every view.
/// * `total+uniform+compressed`: frames are compressed with LZ4. Not with secrets where others choose what is cast:
///   see [`compress`](crate::compress).
/// * `bimodal`: in each sender's order, repaired by gossip with high probability; slow members slow nobody down, and views
///   end without a cut.
/// * `best-effort`: in each sender's order, not repaired at all.
/// * `total+uniform+encrypted`: everything is sealed, for groups with keys. The other names can have this word, too, at
///   their ends but before `+check`.
/// * `total+uniform+encrypted+signed`: and everything is signed, so that no member can speak in another one's name; for
///   groups with certificates. The other names can have these words, too.
/// * each of them with `+check`: with oracles that panic when a promise is broken.
///
/// # Errors
/// [`CatalogueError::Unknown`] lists the names.
///
/// ```
/// let stack = gcs_stacks::named("total").unwrap();
/// assert!(stack.gives().contains(gcs::properties::Properties::TOTAL_ORDER));
/// ```
pub fn named(name: &str) -> Result<Blueprint, CatalogueError> {
    let wanted = match name {
        "uniform" => "total+uniform",
        other => other,
    };
    let plain = wanted.replacen("+encrypted+signed", "", 1).replacen("+encrypted", "", 1);
    if !STACKS.contains(&wanted) && !STACKS.contains(&&*plain) {
        return Err(CatalogueError::Unknown { name: name.to_owned() });
    }
    let recipe = Recipe::of(wanted);
    if recipe.encrypted && !cfg!(feature = "encrypted") {
        return Err(CatalogueError::Disabled { name: name.to_owned() });
    }
    Ok(Blueprint::new(wanted, recipe.layers())?)
}

/// The names that [`named`] knows, without aliases.
pub fn names() -> impl Iterator<Item = &'static str> {
    STACKS.into_iter()
}

/// What a stack of the catalogue has.
#[derive(Clone, Copy, Debug)]
struct Recipe {
    repair: Repair,
    order: Order,
    uniform: bool,
    compressed: bool,
    encrypted: bool,
    signed: bool,
    /// Whether there are oracles.
    check: bool,
}

impl Recipe {
    /// The one with this name.
    fn of(name: &str) -> Self {
        let has = |word| name.split('+').any(|w| w == word);
        let repair = match () {
            () if has("fec") => Repair::Forward,
            () if has("lateral") => Repair::Lateral,
            () if has("bimodal") => Repair::Gossip,
            () if has("best-effort") => Repair::None,
            () => Repair::Asked,
        };
        let order = match () {
            () if has("causal") => Order::Causal,
            () if has("total") => Order::Sequencer,
            () if has("total-slots") => Order::Slots,
            () if has("total-adaptive") => Order::Adaptive,
            () => Order::None,
        };
        Self {
            repair,
            order,
            uniform: has("uniform"),
            compressed: has("compressed"),
            encrypted: has("encrypted"),
            signed: has("signed"),
            check: has("check"),
        }
    }

    fn layers(self) -> Vec<Arc<dyn Protocol>> {
        let mut layers: Vec<Arc<dyn Protocol>> = Vec::new();
        #[cfg(feature = "encrypted")]
        if self.encrypted {
            layers.push(Arc::new(crate::seal::Seal));
        }
        if !self.signed {
            layers.push(Arc::new(Heartbeat));
        }
        match self.repair {
            Repair::Forward => layers.push(Arc::new(Fec::default())),
            Repair::Lateral => layers.push(Arc::new(Lateral::default())),
            Repair::Asked | Repair::Gossip | Repair::None => {}
        }
        #[cfg(feature = "encrypted")]
        if self.signed {
            // Signs of life are signed, too.
            layers.push(Arc::new(crate::sign::Sign));
            layers.push(Arc::new(Heartbeat));
        }
        match self.repair {
            Repair::Gossip => layers.push(Arc::new(Bimodal::default())),
            Repair::None => layers.push(Arc::new(BestEffort::default())),
            Repair::Asked | Repair::Forward | Repair::Lateral => {
                layers.push(Arc::new(Reliable { prompt: self.uniform }));
            }
        }
        match self.repair {
            Repair::Gossip | Repair::None => layers.push(Arc::new(PackWithGaps)),
            Repair::Asked | Repair::Forward | Repair::Lateral => layers.append(&mut self.above_reliable()),
        }
        if self.check {
            layers.push(Arc::new(Check::messages()));
        }
        layers
    }

    /// The layers that need reliable frames.
    fn above_reliable(self) -> Vec<Arc<dyn Protocol>> {
        let Self { order, uniform, compressed, check, .. } = self;
        let mut layers: Vec<Arc<dyn Protocol>> = Vec::new();
        if check {
            layers.push(Arc::new(Check::stream()));
        }
        match order {
            Order::None | Order::Causal => {}
            Order::Sequencer => layers.push(Arc::new(Sequencer)),
            Order::Slots => layers.push(Arc::new(Slots)),
            Order::Adaptive => layers.push(Arc::new(Adaptive::default())),
        }
        if uniform {
            layers.push(Arc::new(Uniform));
        }
        if check && !matches!(order, Order::None | Order::Causal) {
            layers.push(Arc::new(Check::order()));
        }
        if order == Order::Causal {
            layers.push(Arc::new(Causal));
        }
        if compressed {
            layers.push(Arc::new(Compress::default()));
        }
        layers.push(Arc::new(Flow::default()));
        layers.push(Arc::new(Pack));
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;
    use gcs::{properties::Properties, rng::Rng};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_gives_what_it_says() {
        for name in names() {
            let stack = named(name).unwrap();
            assert_eq!(stack.name(), name);
            for (word, property) in [
                ("total", Properties::TOTAL_ORDER),
                ("uniform", Properties::UNIFORM),
                ("compressed", Properties::COMPRESSED),
                ("encrypted", Properties::ENCRYPTED),
                ("fec", Properties::FORWARD_CORRECTION),
                ("lateral", Properties::LATERAL_CORRECTION),
                ("bimodal", Properties::PROBABILISTIC),
                ("best-effort", Properties::BEST_EFFORT),
            ] {
                assert_eq!(stack.gives().contains(property), name.contains(word), "{name}: {word}");
            }
            assert_eq!(stack.description().contains("check"), name.contains("check"));
            assert_eq!(stack.description().contains("prompt"), name.contains("uniform"), "{stack:?}");
        }
        assert_eq!(named("uniform").unwrap().fingerprint(), named("total+uniform").unwrap().fingerprint());
        for (name, layers) in [
            ("fifo+encrypted", 5),
            ("total-slots+uniform+encrypted+check", 10),
            ("fifo+lateral+encrypted+signed", 7),
        ] {
            let stack = named(name).unwrap();
            assert!(stack.name() == name && stack.gives().contains(Properties::ENCRYPTED));
            assert_eq!(stack.gives().contains(Properties::SIGNED), name.contains("signed"));
            assert_eq!((stack.layers().count(), stack.layers().next().unwrap().name), (layers, "seal"));
        }
        let all: BTreeSet<_> = names().map(|n| named(n).unwrap().fingerprint()).collect();
        assert_eq!(all.len(), names().count());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_list() {
        let error = named("totl").unwrap_err().to_string();
        assert_eq!(error, format!("there is no stack `totl`; choose one of: {}", STACKS.join(", ")));
    }

    proptest! {
        /// The layers above the transport together, with oracles, in one view that ends with the death of a minority.
        #[test]
        fn the_layers_work_together(
            seed: u64, n in 1_usize..6, order in 0_usize..5, uniform: bool, compressed: bool, dead in 0_usize..3,
        ) {
            let order =
                [Order::None, Order::Causal, Order::Sequencer, Order::Slots, Order::Adaptive][order];
            let total = !matches!(order, Order::None | Order::Causal);
            let repair = Repair::Asked;
            let recipe = Recipe { repair, order, uniform, compressed, encrypted: false, signed: false, check: true };
            let above = recipe.layers().split_off(2);
            let (mut rig, mut rng) = (Rig::new(above, n, 600, 10_000, seed), Rng::new(seed));
            let mut cast: Vec<Vec<Vec<u8>>> = vec![Vec::new(); n];
            for i in 0..200_u8 {
                let r = rng.below(n as u64) as usize;
                if rng.chance(300) && rig.credit(r) {
                    let message = vec![i; rng.below(3000) as usize];
                    rig.cast(r, &[&message]);
                    cast[r].push(message);
                }
                rig.step(&mut rng);
                rig.tick();
            }
            let before: Vec<_> = (0..n).map(|r| rig.messages(r)).collect();
            rig.dead = (1 << dead.min((n - 1) / 2)) - 1;
            rig.close();
            let alive = rig.alive();
            for r in &alive {
                let after = rig.messages(*r);
                for other in if uniform { 0..n } else { *r..*r + 1 } {
                    let kept = if total {
                        after.starts_with(&before[other])
                    } else {
                        before[other].iter().all(|m| after.contains(m))
                    };
                    prop_assert!(kept, "what {other} delivered, {r} delivers");
                }
                for sender in &alive {
                    let of = |m: &(u16, Vec<u8>)| (usize::from(m.0) == *sender).then(|| m.1.clone());
                    let got: Vec<_> = after.iter().filter_map(of).chain(rig.unsent(*sender)).collect();
                    prop_assert_eq!(&got, &cast[*sender], "everything is delivered or handed back");
                }
                prop_assert!(!total || after == rig.messages(alive[0]), "in one order");
            }
        }
    }
}
