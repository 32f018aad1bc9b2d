//! What to simulate.

use super::{generate::Faults, physics::Physics, workload::WorkloadOptions};
use crate::{endpoint::Config, layer::Watch, properties::Properties, stack::Blueprint};

/// What to simulate. Start from [`Setup::new`] and change fields.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The stack.
    pub blueprint: Blueprint,
    /// At least and at most so many processes found the group.
    pub members: (usize, usize),
    /// What goes wrong.
    pub faults: Faults,
    /// How long things go wrong, in milliseconds of virtual time.
    pub safety_ms: u64,
    /// How long, after that, the group may take to be whole again, in milliseconds of virtual time.
    pub liveness_ms: u64,
    /// Whether joiners receive the state.
    pub state_transfer: bool,
    /// What clients do.
    pub workload: WorkloadOptions,
    /// How members watch each other.
    pub watch: Watch,
    /// The largest datagram, in bytes.
    pub mtu: usize,
    /// How many bytes of its own frames a member may have under way.
    pub window_bytes: usize,
    /// The world.
    pub physics: Physics,
}

impl Setup {
    /// Every kind of fault for 3 to 5 founders with this stack, for a second and a half.
    #[must_use]
    pub fn new(blueprint: Blueprint) -> Self {
        Self {
            blueprint,
            members: (3, 5),
            faults: Faults::all(),
            safety_ms: 1_500,
            liveness_ms: 20_000,
            state_transfer: true,
            workload: WorkloadOptions::default(),
            watch: Watch::default(),
            mtu: 1_400,
            window_bytes: 256 << 10,
            physics: Physics::default(),
        }
    }

    /// What the stack promises.
    #[must_use]
    pub fn gives(&self) -> Properties {
        self.blueprint.gives()
    }

    /// The settings of an endpoint, except its name, its contacts and how the group comes into being.
    pub(super) fn config(&self, name: &str) -> Config {
        Config {
            state_transfer: self.state_transfer,
            watch: self.watch,
            window_bytes: self.window_bytes,
            ..Config::new("simulated", name, self.blueprint.clone())
        }
    }
}
