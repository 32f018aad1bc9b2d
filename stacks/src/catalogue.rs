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
    use gcs::properties::Properties;

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
}
