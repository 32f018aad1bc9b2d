//! Microprotocols for [`gcs`], stacks with names, and composition by property.
//!
//! A stack is a list of layers, bottom first. Take one by name ([`named()`]), by what it shall promise ([`compose()`]), or
//! list the protocols yourself ([`gcs::stack::Blueprint::new`]), which checks that each layer has below it what it needs.
//!
//! | Layer, from the bottom | Needs | Gives |
//! |---|---|---|
//! | [`Seal`], in groups with keys | | encrypted |
//! | [`Heartbeat`], in stacks that sign above [`Sign`] | | suspicion |
//! | [`Fec`] | | forward correction (`fec`) |
//! | [`Lateral`] | | lateral correction (`lateral`) |
//! | [`Sign`], in groups with certificates | encrypted | signed |
//! | [`Reliable`] | | reliable, FIFO, stability, virtual synchrony, view-end |
//! | [`Bimodal`], instead of it | | in-order, probabilistic, bounded, view-end |
//! | [`BestEffort`], instead of it | | in-order, best-effort, bounded, view-end |
//! | [`Sequencer`] | reliable, FIFO, virtual synchrony | total order |
//! | [`Slots`], instead of it | the same | total order |
//! | [`Adaptive`], instead of it | the same | total order |
//! | [`Uniform`] | reliable, FIFO, stability, virtual synchrony | uniform |
//! | [`Causal`] | reliable, FIFO, virtual synchrony | causal order |
//! | [`Compress`] | reliable | compressed |
//! | [`Flow`] | reliable, FIFO | flow control, bounded |
//! | [`Pack`] | reliable, FIFO | messages |
//! | [`PackWithGaps`], instead of it | in-order | messages |
//! | [`Inject`], at the very bottom: faults for tests | | |
//! | [`Pace`], directly below flow or compress | reliable | |
//! | [`Trace`], anywhere | | |
//! | [`Check`], anywhere | what it checks | |
//! | [`Template`], to copy | | |
//!
//! | Name | Layers |
//! |---|---|
//! | `fifo` | heartbeat, reliable, flow, pack |
//! | `fifo+fec`, `fifo+lateral` | heartbeat, fec or lateral, reliable, flow, pack |
//! | `causal`, `causal+uniform` | heartbeat, reliable, (uniform,) causal, flow, pack |
//! | `total` | heartbeat, reliable, sequencer, flow, pack |
//! | `total+uniform`, `uniform` | heartbeat, reliable, sequencer, uniform, flow, pack |
//! | `total+uniform+compressed` | heartbeat, reliable, sequencer, uniform, compress, flow, pack |
//! | `total-slots`, `total-slots+uniform` | the same with slots for sequencer: for groups in which several members send much |
//! | `total-adaptive`, `total-adaptive+uniform` | with adaptive: by slots or a sequencer that moves, chosen with every view |
//! | `bimodal`, `best-effort` | heartbeat, bimodal or besteffort, pack-gaps |
//! | `total+uniform+encrypted`, and each other with `+encrypted` | seal below them: for groups with keys |
//! | `total+uniform+encrypted+signed`, and each other with `+encrypted+signed` | seal, sign, heartbeat, …: for groups with certificates |
//! | each with `+check` | and oracles that panic when a promise is broken |
//!
//! To write a layer, copy `template.rs`. To have [`compose_with`] use it, put it on the menu as a [`Dish`].

pub mod adaptive;
pub mod besteffort;
pub mod bimodal;
pub mod catalogue;
pub mod causal;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compose;
pub mod compress;
pub mod explain;
pub mod fec;
pub mod flow;
pub mod heartbeat;
pub mod inject;
pub mod lateral;
pub mod pace;
pub mod pack;
pub mod reliable;
#[cfg(feature = "encrypted")]
pub mod seal;
pub mod sequencer;
#[cfg(feature = "encrypted")]
pub mod sign;
pub mod slots;
pub mod template;
pub mod trace;
pub mod uniform;

mod nonsense;
#[cfg(test)]
mod order_tests;
mod phase;
#[cfg(test)]
mod rig;
mod shard;
#[cfg(test)]
mod testkit;

pub use adaptive::Adaptive;
pub use besteffort::BestEffort;
pub use bimodal::Bimodal;
pub use catalogue::{CatalogueError, named, names};
pub use causal::Causal;
pub use check::Check;
pub use compose::{ComposeError, Dish, compose, compose_with};
pub use compress::Compress;
pub use explain::{ExplainError, explain};
pub use fec::Fec;
pub use flow::{Flow, SlowReceiver};
pub use heartbeat::Heartbeat;
pub use inject::Inject;
pub use lateral::Lateral;
pub use pace::Pace;
pub use pack::{Pack, PackWithGaps};
pub use reliable::Reliable;
#[cfg(feature = "encrypted")]
pub use seal::Seal;
pub use sequencer::Sequencer;
#[cfg(feature = "encrypted")]
pub use sign::Sign;
pub use slots::Slots;
pub use template::Template;
pub use trace::Trace;
pub use uniform::Uniform;
