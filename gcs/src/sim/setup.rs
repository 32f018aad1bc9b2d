//! What to simulate.

use super::{generate::Faults, physics::Physics, process::addr_of, workload::WorkloadOptions, world::Birth};
use crate::{
    endpoint::{Bootstrap, Config, Endpoint},
    frame::{OLDEST_VERSION, WIRE_VERSION},
    guard::Keys,
    layer::Watch,
    properties::Properties,
    rng::Rng,
    stack::Blueprint,
};
use std::sync::Arc;

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
    /// Whether some processes speak the oldest version of the protocol only: in half of all runs, about a third of their
    /// lives do. Drawn from a generator of its own.
    pub mixed_versions: bool,
    /// The world.
    pub physics: Physics,
    /// Whether every part of the group goes on. Such a group speaks the latest version only, and all its members vote.
    pub partitionable: bool,
    /// Keys, for stacks that encrypt: one for all processes, or one for each.
    pub keys: Vec<Arc<dyn Keys>>,
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
            mixed_versions: true,
            physics: Physics::default(),
            partitionable: false,
            keys: Vec::new(),
        }
    }

    /// What the stack promises.
    #[must_use]
    pub fn gives(&self) -> Properties {
        self.blueprint.gives()
    }

    /// The best version of the protocol that a process speaks in one of its lives.
    #[must_use]
    pub fn protocol_max(&self, birth: &Birth) -> u8 {
        let mut run = Rng::new(birth.run ^ 0x914a_0f5e_ed00_0009);
        let old = run.chance(500) && Rng::new(birth.seed ^ 0x914a_0f5e_ed00_000a).chance(350);
        if old && self.mixed_versions && !self.partitionable { OLDEST_VERSION } else { WIRE_VERSION }
    }

    /// The protocol code of a process in one of its lives.
    ///
    /// # Panics
    /// If the set-up makes no sense.
    #[must_use]
    pub fn endpoint(&self, birth: &Birth) -> Endpoint {
        self.endpoint_that_speaks(birth, self.protocol_max(birth))
    }

    /// The same for a process that speaks no later version of the protocol than this.
    ///
    /// # Panics
    /// If the set-up makes no sense.
    #[must_use]
    pub fn endpoint_that_speaks(&self, birth: &Birth, protocol_max: u8) -> Endpoint {
        let config = Config {
            state_transfer: self.state_transfer,
            keys: self.keys.get(birth.process).or_else(|| self.keys.first()).cloned(),
            watch: self.watch,
            partitionable: self.partitionable,
            window_bytes: self.window_bytes,
            contacts: (0..birth.processes).map(addr_of).collect(),
            protocol_max,
            bootstrap: birth.expect.map_or(Bootstrap::Join, Bootstrap::Expect),
            role: birth.role,
            ..Config::new("simulated", &format!("p{}", birth.process), self.blueprint.clone())
        };
        match Endpoint::new(config, birth.me, self.mtu, birth.seed) {
            Ok(endpoint) => endpoint,
            Err(e) => panic!("the set-up makes no sense: {e}"),
        }
    }

    /// The options of the simulator's own application, as far as they follow from the rest.
    pub(super) fn workload_options(&self) -> WorkloadOptions {
        let ordered = self.gives().contains(Properties::TOTAL_ORDER);
        WorkloadOptions { ordered, state_transfer: self.state_transfer, ..self.workload }
    }
}
