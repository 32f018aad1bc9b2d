//! What there is on the menu, and what a composition is made of, as text for people.

use crate::{
    adaptive::Adaptive,
    catalogue::{named, names},
    check::Check,
    compose::{ComposeError, compose, protocols},
    inject::Inject,
    pace::Pace,
    slots::Slots,
    trace::Trace,
};
use gcs::{
    layer::{LayerSpec, Protocol},
    properties::Properties,
    stack::Blueprint,
};
use std::fmt::Write as _;

/// Why a wish cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// No property has this name.
    #[error("there is no property `{name}`; choose from: {}", Properties::all())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// There is no such stack.
    #[error(transparent)]
    Compose(#[from] ComposeError),
}

/// The properties with these names, separated by commas.
///
/// # Errors
/// [`ExplainError::Unknown`] lists the names.
pub fn properties(names: &str) -> Result<Properties, ExplainError> {
    let words = names.split(',').map(str::trim).filter(|w| !w.is_empty());
    words.into_iter().try_fold(Properties::NONE, |sum, name| {
        let one = Properties::named(name);
        one.map(|p| sum | p).ok_or_else(|| ExplainError::Unknown { name: name.to_owned() })
    })
}

/// The stack that [`compose()`] takes for properties with these names, separated by commas, with each layer's needs and gives.
///
/// # Errors
/// [`ExplainError`]: there is no such property, or no such stack.
///
/// ```
/// let text = gcs_stacks::explain("total,uniform").unwrap();
/// assert!(text.starts_with("total, uniform: like `total+uniform`"));
/// ```
pub fn explain(wanted: &str) -> Result<String, ExplainError> {
    let wanted = properties(wanted)?;
    let stack = compose(wanted)?;
    let like = names().find(|n| named(n).is_ok_and(|s| s.fingerprint() == stack.fingerprint()));
    let like = like.map_or_else(|| "not in the catalogue".to_owned(), |name| format!("like `{name}`"));
    Ok(format!("{wanted}: {like}\n\n{}\nIt gives {}.\n", table(stack.layers()), stack.gives()))
}

/// All layers: those that the composer takes, from the bottom of a stack to its top, and those that one asks for.
#[must_use]
pub fn list_layers() -> String {
    let mut layers: Vec<LayerSpec> = protocols().iter().map(|p| p.spec()).collect();
    let on_demand: [&dyn Protocol; 6] = [
        &Slots,
        &Adaptive::default(),
        &Inject::default(),
        &Pace::new(1),
        &Trace::default(),
        &Check::stream(),
    ];
    layers.extend(on_demand.map(Protocol::spec));
    table(layers.into_iter())
}

/// All stacks with names, with their layers from the bottom.
#[must_use]
pub fn list_stacks() -> String {
    let mut text = String::new();
    for stack in names().filter_map(|n| named(n).ok()) {
        let _ = writeln!(text, "{:<28}{}", stack.name(), layer_names(&stack));
    }
    text
}

fn layer_names(stack: &Blueprint) -> String {
    stack.layers().map(|l| l.name).collect::<Vec<_>>().join(", ")
}

/// Name, needs and gives of each, aligned.
fn table(layers: impl Iterator<Item = LayerSpec>) -> String {
    let mut text = format!("{:<14}{:<46}gives\n", "layer", "needs");
    for l in layers {
        let _ = writeln!(text, "{:<14}{:<46}{}", l.name, l.needs.to_string(), l.gives);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composition_is_shown_layer_by_layer() {
        let text = explain(" causal,fifo").unwrap();
        assert!(text.starts_with("fifo, causal: like `causal`\n"), "{text}");
        let lines: Vec<_> = text.lines().filter(|l| l.starts_with("causal")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(
            lines[0].contains("reliable, fifo, virtual-synchrony") && lines[0].ends_with("causal"),
            "{text}"
        );
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let error = explain("total,fast").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no property `fast`; choose from: suspicion, reliable,"),
            "{error}"
        );
        let text = explain("total,uniform,encrypted").unwrap();
        assert!(text.contains("like `total+uniform+encrypted`\n"), "{text}");
    }

    #[test]
    fn lists_have_a_line_for_each() {
        assert_eq!(list_stacks().lines().count(), names().count());
        for name in ["heartbeat", "slots", "check", "causal"] {
            assert_eq!(list_layers().lines().filter(|l| l.starts_with(name)).count(), 1, "{name}");
        }
    }
}
