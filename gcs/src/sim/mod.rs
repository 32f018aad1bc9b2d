//! A deterministic simulator: whole groups in one thread, on virtual time, from one seed.
//!
//! The same protocol code that the runtime drives over sockets runs here over a simulated network, with everything that
//! goes wrong in one: latency, loss, duplication, reordering, little bandwidth, one-way cuts, partitions, processes that
//! are killed, restarted, stopped and wake up, clocks that drift, slow applications, strangers, joins and leaves in
//! storms, and faults in the very middle of a view change. A run has a *safety phase*, in which things go wrong, and,
//! after healing, a *liveness phase*, in which the group must become whole and deliver. Throughout, an [oracle](oracles)
//! for each guarantee watches what applications see.
//!
//! The same seed and set-up give the same run, bit for bit: a failure is repeated from its seed, and [`reduce`] makes it
//! smaller.
//!
//! # Testing a stack
//! ```no_run
//! # fn stack() -> gcs::stack::Blueprint { unimplemented!() }
//! use gcs::sim::{Setup, reduce, soak};
//!
//! let setup = Setup::new(stack()); // gcs_stacks::named("total+uniform")?
//! let soaked = soak(0..1_000, 2, 1, &setup);
//! if let Some(failure) = soaked.failures.first() {
//!     let small = reduce(failure, &setup, 500);
//!     panic!("{}", small.report); // seed, plan as text, the last observations
//! }
//! ```
//!
//! # Testing a service of your own
//! Implement [`App`] for the service, and [`Oracle`] for what it promises; [`AppContext::note`] tells your oracle what
//! only the service knows. Its [`App::digest`] is compared between replicas at every view (A1).
//! ```no_run
//! # fn stack() -> gcs::stack::Blueprint { unimplemented!() }
//! use gcs::{blocks::Snapshot, id::MemberId, sim::{self, App, AppContext, Fault, MessageId, Plan, Setup}};
//! use std::{sync::Arc, time::Duration};
//!
//! /// Counts what it delivers.
//! struct Counter(u64);
//! struct Count(u64);
//!
//! impl Snapshot for Count {
//!     fn chunks(&self) -> u64 { 1 }
//!     fn chunk(&self, _: u64) -> bytes::Bytes { self.0.to_le_bytes().to_vec().into() }
//! }
//!
//! impl App for Counter {
//!     fn started(&mut self, cx: &mut AppContext<'_>) { cx.wake_after(Duration::from_millis(20)) }
//!     fn wake(&mut self, cx: &mut AppContext<'_>) {
//!         if cx.writable { cx.cast(b"one more"); }
//!         cx.wake_after(Duration::from_millis(20));
//!     }
//!     fn message(&mut self, _: MemberId, _: MessageId, _: &[u8], _: &mut AppContext<'_>) { self.0 += 1 }
//!     fn snapshot(&mut self) -> Arc<dyn Snapshot> { Arc::new(Count(self.0)) }
//!     fn restore(&mut self, _: u64, _: bool, chunk: &[u8], _: &mut AppContext<'_>) {
//!         self.0 = u64::from_le_bytes(chunk.try_into().expect("8 bytes"));
//!     }
//! }
//!
//! let plan = Plan::calm(3)
//!     .at_ms(300, Fault::Kill { process: 1, evidence: false })
//!     .at_ms(900, Fault::Start { process: 1 });
//! sim::run_app(7, &Setup::new(stack()), &plan, Vec::new(), |_| Counter(0)).expect_ok();
//! ```
//!
//! # Scenarios as text
//! [`Scenario`] reads plans with expectations from files; a failing seed prints its plan in the same format.
//!
//! | File | What it is |
//! |---|---|
//! | `world.rs`, `drive.rs`, `events.rs`, `faults.rs` | the world: time, processes, effects, observations, faults |
//! | `network.rs`, `clock.rs`, `queue.rs`, `process.rs` | its parts |
//! | `app.rs`, `workload.rs`, `kv.rs` | applications: the trait, and the simulator's own |
//! | `plan.rs`, `plan_text.rs`, `generate.rs`, `scenario.rs` | what goes wrong: as values, as text, from a seed |
//! | `run.rs`, `soak.rs`, `reduce.rs`, `report.rs` | running one, many, a smaller one |
//! | `trace.rs`, `roster.rs`, `oracles/`, `linear.rs` | what was seen, and whether it was right |
//! | `broken/` | layers and nodes that are wrong on purpose, for tests of the oracles |

mod app;
pub mod broken;
#[cfg(feature = "keys")]
mod certified;
mod clock;
mod drive;
mod envelope;
mod events;
mod faults;
mod generate;
mod kv;
pub mod linear;
mod network;
mod node;
pub mod oracles;
mod physics;
mod plan;
mod plan_text;
mod process;
mod queue;
mod reduce;
mod report;
mod roster;
mod run;
mod scenario;
mod setup;
mod soak;
#[cfg(test)]
mod tests;
mod trace;
mod workload;
mod world;

pub use app::{App, AppContext};
#[cfg(feature = "keys")]
pub use certified::certified;
pub use clock::LocalClock;
pub use envelope::MessageId;
pub use generate::{Faults, generate};
pub use kv::Op;
pub use network::Disturbance;
pub use node::Node;
pub use oracles::{Oracle, Violation};
pub use physics::{Decided, Physics};
pub use plan::{Fault, Plan, Step, When};
pub use plan_text::PlanError;
pub use process::{addr_of, index_of, life_of, member_of};
pub use reduce::{Reduced, reduce};
pub use report::Report;
pub use run::{run, run_app, run_nodes, run_plan};
pub use scenario::{Expectation, Expected, Scenario};
pub use setup::Setup;
pub use soak::{Soaked, soak};
pub use trace::{Installed, Observation, Short, Trace, What};
pub use workload::{Workload, WorkloadOptions};
pub use world::{Birth, World};
