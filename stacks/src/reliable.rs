//! Placeholder.

use gcs::{
    layer::{Layer, LayerSpec, Protocol, Scope, Wants},
    properties::Properties,
};

/// Placeholder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reliable {
    /// Acknowledges at once, for stacks whose delivery waits for acknowledgements.
    pub prompt: bool,
}

impl Protocol for Reliable {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "reliable",
            version: 1,
            needs: Properties::NONE,
            gives: Properties::RELIABLE
                .and(Properties::FIFO)
                .and(Properties::STABILITY)
                .and(Properties::VIRTUAL_SYNCHRONY),
            wants: Wants::ALL,
        }
    }

    fn parameters(&self) -> String {
        if self.prompt { "prompt".to_owned() } else { String::new() }
    }

    fn build(&self, _: &Scope) -> Box<dyn Layer> {
        Box::new(Placeholder)
    }
}

struct Placeholder;

impl Layer for Placeholder {}
