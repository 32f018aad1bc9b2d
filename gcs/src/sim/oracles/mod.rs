//! One oracle per guarantee. Each sees every observation, in true-time order, and says when a promise is broken.
//!
//! Which of them apply follows from what the stack promises: [`for_stack`].

mod a1;
mod a2;
mod a3;
mod d1;
mod d2;
mod d3;
mod d4;
mod d5;
mod d6;
mod d7;
mod l1;
mod l2;
mod l3;
mod m1;
mod m2;
mod m3;
mod m4;
mod m5;
mod m6;
mod m7;
mod o1;
mod o2;
mod o3;
mod o4;
mod o5;
mod sets;
mod summary;
#[cfg(test)]
pub(crate) mod testing;

pub use a1::A1;
pub use a2::A2;
pub use a3::A3;
pub use d1::D1;
pub use d2::D2;
pub use d3::D3;
pub use d4::D4;
pub use d5::D5;
pub use d6::D6;
pub use d7::D7;
pub use l1::L1;
pub use l2::L2;
pub use l3::L3;
pub use m1::M1;
pub use m2::M2;
pub use m3::M3;
pub use m4::M4;
pub use m5::M5;
pub use m6::M6;
pub use m7::M7;
pub use o1::O1;
pub use o2::O2;
pub use o3::O3;
pub use o4::O4;
pub use o5::O5;
pub use summary::{ProcessSummary, Summary};

use super::trace::Observation;
use crate::properties::Properties;
use std::fmt;

/// Watches one promise.
pub trait Oracle {
    /// The promise's name, as in the table of guarantees: `D5`.
    fn name(&self) -> &'static str;

    /// Takes note of an observation.
    ///
    /// # Errors
    /// The promise is broken.
    fn observe(&mut self, observation: &Observation) -> Result<(), Violation>;

    /// The final word, when the run is over.
    ///
    /// # Errors
    /// The promise is broken.
    fn finish(&mut self, summary: &Summary) -> Result<(), Violation> {
        let _ = summary;
        Ok(())
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which: an oracle's name, or `panic`.
    pub oracle: String,
    /// What happened.
    pub message: String,
}

impl Violation {
    /// The oracle called `oracle` says this.
    #[must_use]
    pub fn new(oracle: &str, message: impl fmt::Display) -> Self {
        Self { oracle: oracle.to_owned(), message: message.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.message)
    }
}

/// `Err(Violation)` with a formatted message unless the condition holds.
macro_rules! hold {
    ($oracle:expr, $condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::sim::oracles::Violation::new($oracle.name(), format!($($message)+)));
        }
    };
}
use hold;

/// The oracles for a stack that promises `gives`, in a group that transfers state or not, whose parts go on or not.
#[must_use]
pub fn for_stack(gives: Properties, state_transfer: bool, partitionable: bool) -> Vec<Box<dyn Oracle>> {
    let mut all: Vec<Box<dyn Oracle>> = vec![
        // At the end of a run, a group that is not whole explains what else is missing.
        Box::new(L1),
        Box::new(L3),
        Box::<D7>::default(),
        Box::<L2>::default(),
        Box::new(M1),
        Box::<M2>::default(),
        Box::<M3>::default(),
        Box::<M4>::default(),
        Box::new(M5::new(partitionable)),
        Box::<M6>::default(),
        Box::<M7>::default(),
        Box::<D1>::default(),
        Box::<D2>::default(),
        Box::<D3>::default(),
        Box::<D4>::default(),
        Box::<D6>::default(),
        Box::new(O1::new(!gives.contains(Properties::FIFO))),
        Box::<A2>::default(),
    ];
    let same = gives.contains(Properties::VIRTUAL_SYNCHRONY);
    if same {
        all.push(Box::<D5>::default());
    }
    let (total, uniform) = (gives.contains(Properties::TOTAL_ORDER), gives.contains(Properties::UNIFORM));
    if gives.contains(Properties::CAUSAL_ORDER) {
        all.push(Box::<O2>::default());
    }
    if total {
        all.push(Box::new(O3::new(uniform)));
    }
    if uniform {
        all.push(Box::<O4>::default());
        if !partitionable {
            // There it is all members that hold what is delivered: O4 sees it, because each of them goes on somewhere.
            all.push(Box::new(O5::new(total)));
        }
    }
    // Members that deliver different messages have different states.
    if state_transfer && same {
        all.push(Box::<A1>::default());
    }
    // Where every part goes on, what clients are told is not one history.
    if total && uniform && state_transfer && !partitionable {
        all.push(Box::<A3>::default());
    }
    all
}
