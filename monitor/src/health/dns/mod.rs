//! Health as answers of the Domain Name System, under `health.ZONE`. Feature `dns`.
//!
//! | Name | Type | |
//! |---|---|---|
//! | `NAME.health.ZONE` | A, AAAA | addresses of the instances that are up |
//! | `NAME.health.ZONE` | SRV | host and port of each instance that is up |
//! | `NAME.health.ZONE` | TXT | of each instance `instance=a health=up since=1700000000000` (milliseconds since the Unix epoch) |
//! | `INSTANCE.NAME.health.ZONE` | A, AAAA, TXT | of this instance, however it is |
//!
//! What is known lasts a second. A representative that is not in contact with a majority says that it cannot answer, so that resolvers ask
//! the next. `answer.rs` makes answers, `serve.rs` has the sockets.

mod answer;
mod serve;

pub use answer::{Zone, ZoneError, answer};
pub use serve::{Bound, bind};

/// The longest answer over UDP, in bytes: what passes everywhere in one piece. Longer ones are asked for over TCP.
pub const UDP_MAX: usize = 1232;

#[cfg(test)]
mod tests;
