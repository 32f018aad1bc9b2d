//! Summaries of bounded size that merge: what a zone knows about values it does not hold.
//!
//! Both are independent of the order in which values are added and sketches merged, to the bit, and compute with `+ - * /` and
//! square roots only, which IEEE 754 defines exactly; logarithms differ from machine to machine.

pub mod distinct;
pub mod hash;
pub mod quantile;
mod varint;

pub use distinct::DistinctSketch;
pub use quantile::QuantileSketch;
