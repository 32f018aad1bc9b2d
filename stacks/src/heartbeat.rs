//! Placeholder.

use gcs::{
    layer::{Layer, LayerSpec, Protocol, Scope, Wants},
    properties::Properties,
};

/// Placeholder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heartbeat;

impl Protocol for Heartbeat {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "heartbeat",
            version: 1,
            needs: Properties::NONE,
            gives: Properties::SUSPICION,
            wants: Wants::ALL,
        }
    }

    fn build(&self, _: &Scope) -> Box<dyn Layer> {
        Box::new(Placeholder)
    }
}

struct Placeholder;

impl Layer for Placeholder {}
