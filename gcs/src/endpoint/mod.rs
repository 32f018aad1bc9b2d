//! One process's part in one group, sans-IO: [`Endpoint::handle`] takes an [`Input`] and the time, and writes
//! [`Effects`]. The runtime and the simulator drive the same code.

mod config;
mod io;

pub use config::{Bootstrap, Config, ConfigError};
pub use io::{Datagram, Effects, Event, Input, LeaveReason, Stats, Transmit};

use crate::{id::MemberId, time::Time};

/// One process's part in one group.
pub struct Endpoint {
    config: Config,
    me: MemberId,
}

impl Endpoint {
    /// An endpoint that has not started. `me` is its address and first incarnation (a rejoin takes the next one); `mtu`
    /// is the largest datagram the transport carries well, in bytes; `seed` makes its choices reproducible.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn new(config: Config, me: MemberId, mtu: usize, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        let _ = (mtu, seed);
        Ok(Self { config, me })
    }

    /// Consumes one input.
    pub fn handle(&mut self, now: Time, input: Input, effects: &mut Effects) {
        let _ = (now, input, effects, &self.config);
    }

    /// When to call with [`Input::Tick`] at the latest; [`Time::NEVER`] if there is nothing to wait for.
    #[must_use]
    pub fn deadline(&self) -> Time {
        Time::NEVER
    }

    /// This process in its present life.
    #[must_use]
    pub fn me(&self) -> MemberId {
        self.me
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Asserts the invariants of the endpoint and its stack. Called after every input in tests and simulations.
    pub fn check(&self) {}

    /// How many bytes of frames and messages the endpoint holds on to.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        0
    }
}
