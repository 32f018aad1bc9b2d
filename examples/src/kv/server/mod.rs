//! The TCP side: RESP2 in, batches of commands to a [`Backend`], replies out in order.
//!
//! ```text
//!   socket ─► requests (bounds, decoding) ─► connection ─┬─► local: PING, HELLO, COMMAND …
//!                                                        └─► Backend: write(batch) or read(batch)
//! ```
//!
//! - [`Backend`]: what answers commands; the replicated group, or one store in a test.
//! - [`Limits`]: every bound in one place.
//! - [`Server`]: accepts connections.
//! - `connection`: one client; `requests` and `inline`: its bytes into commands; `dispatch`: who answers them; `local`: what a connection
//!   answers itself.

mod backend;
mod connection;
mod dispatch;
mod inline;
mod limits;
mod listener;
mod local;
mod requests;

pub use backend::{Backend, BackendError};
pub(super) use dispatch::{Answer, dispatch};
pub use limits::Limits;
pub use listener::Server;
pub(super) use requests::Requests;
