//! IP packets to what TCP is told of them, and segments to packets.
//!
//! | file | |
//! |---|---|
//! | `options` | TCP's options (RFC 9293, section 3.2) |
//! | `arrive` | [`read()`]: a packet becomes a segment, or what a router says |
//! | `leave` | [`write()`]: a segment becomes a packet, whose payload is not copied |

mod arrive;
mod leave;
mod options;

pub use arrive::{Arrival, Dropped, read};
pub use leave::write;
