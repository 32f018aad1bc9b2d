//! Microprotocols for [`gcs`], stacks with names, and composition by property.
//!
//! | Layer, from the bottom | Needs | Gives |
//! |---|---|---|
//! | [`Heartbeat`] | | suspicion |
//! | [`Reliable`] | | reliable, FIFO, stability, virtual synchrony |
//! | [`Sequencer`] | reliable, FIFO, virtual synchrony | total order |
//! | [`Uniform`] | reliable, FIFO, stability, virtual synchrony | uniform |
//! | [`Flow`] | reliable, FIFO | flow control |
//! | [`Pack`] | reliable, FIFO | messages |
//! | [`Check`], anywhere | what it checks | |
//! | [`Template`], to copy | | |

pub mod check;
pub mod flow;
pub mod heartbeat;
pub mod pack;
pub mod reliable;
pub mod sequencer;
pub mod template;
pub mod uniform;

mod nonsense;
#[cfg(test)]
mod rig;

pub use check::Check;
pub use flow::{Flow, SlowReceiver};
pub use heartbeat::Heartbeat;
pub use pack::Pack;
pub use reliable::Reliable;
pub use sequencer::Sequencer;
pub use template::Template;
pub use uniform::Uniform;
