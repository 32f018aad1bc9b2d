//! Stacks with names.

use crate::{
    check::Check, flow::Flow, heartbeat::Heartbeat, pack::Pack, reliable::Reliable, sequencer::Sequencer,
    uniform::Uniform,
};
use gcs::{
    layer::Protocol,
    stack::{Blueprint, StackError},
};
use std::sync::Arc;

/// The names, and which orders the stacks keep: total, uniform; and whether they carry oracles.
const STACKS: [(&str, bool, bool, bool); 6] = [
    ("fifo", false, false, false),
    ("total", true, false, false),
    ("total+uniform", true, true, false),
    ("fifo+check", false, false, true),
    ("total+check", true, false, true),
    ("total+uniform+check", true, true, true),
];

/// Why there is no stack of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No such name.
    #[error("there is no stack `{name}`; choose one of: {}", names().collect::<Vec<_>>().join(", "))]
    Unknown {
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
/// * `total`: and in one order for all.
/// * `total+uniform`, also called `uniform`: and what one delivers, all survivors deliver.
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
    let Some((name, total, uniform, check)) = STACKS.iter().copied().find(|s| s.0 == wanted) else {
        return Err(CatalogueError::Unknown { name: name.to_owned() });
    };
    Ok(Blueprint::new(name, layers(total, uniform, check))?)
}

/// The names that [`named`] knows, without aliases.
pub fn names() -> impl Iterator<Item = &'static str> {
    STACKS.iter().map(|s| s.0)
}

fn layers(total: bool, uniform: bool, check: bool) -> Vec<Arc<dyn Protocol>> {
    let mut layers: Vec<Arc<dyn Protocol>> =
        vec![Arc::new(Heartbeat), Arc::new(Reliable { prompt: uniform })];
    if check {
        layers.push(Arc::new(Check::stream()));
    }
    if total {
        layers.push(Arc::new(Sequencer));
    }
    if uniform {
        layers.push(Arc::new(Uniform));
    }
    if check && total {
        layers.push(Arc::new(Check::order()));
    }
    layers.push(Arc::new(Flow::default()));
    layers.push(Arc::new(Pack));
    if check {
        layers.push(Arc::new(Check::messages()));
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;
    use gcs::{properties::Properties, rng::Rng};
    use proptest::prelude::*;

    #[test]
    fn every_name_gives_what_it_says() {
        for name in names() {
            let stack = named(name).unwrap();
            assert_eq!(stack.name(), name);
            for (word, property) in [("total", Properties::TOTAL_ORDER), ("uniform", Properties::UNIFORM)] {
                assert_eq!(stack.gives().contains(property), name.contains(word), "{name}: {word}");
            }
            assert_eq!(stack.description().contains("check"), name.contains("check"));
            assert_eq!(stack.description().contains("prompt"), name.contains("uniform"), "{stack:?}");
        }
        assert_eq!(named("uniform").unwrap().fingerprint(), named("total+uniform").unwrap().fingerprint());
        assert_ne!(named("fifo").unwrap().fingerprint(), named("total").unwrap().fingerprint());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_list() {
        let error = named("totl").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no stack `totl`; choose one of: fifo, total, total+uniform, fifo+check, total+check, \
             total+uniform+check"
        );
    }

    proptest! {
        /// The layers above the transport together, with oracles, in one view that ends with the death of a minority.
        #[test]
        fn the_layers_work_together(seed: u64, n in 1_usize..6, total: bool, uniform: bool, dead in 0_usize..3) {
            let above = layers(total, uniform, true).split_off(2);
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
            let alive: Vec<_> = (0..n).filter(|r| rig.dead >> r & 1 == 0).collect();
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
