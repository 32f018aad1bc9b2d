//! Protocol code that is broken on purpose: it shows that the oracles see what they watch for.
//!
//! | File | What is wrong |
//! |---|---|
//! | `layer.rs` | what a layer of the stack hands upwards, or is told |
//! | `node.rs` | what an endpoint tells its application, sends, and takes itself for |

mod layer;
mod node;

pub use layer::{Broken, How};
pub use node::{BrokenNode, Misbehaviour};
