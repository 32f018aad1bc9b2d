//! A proxy at layer 4, both of whose connections are replicated: client to virtual address, virtual address to back end.
//!
//! ```text
//!   client ──SYN──► accepted ──► choose a back end ──SYN──► open: bytes, ends and room pass both ways
//!                                  ▲        │ refused, or no answer in time
//!                                  └────────┘ the next one; when there is none the client sees a reset
//! ```
//!
//! The proxy holds no bytes: it reads from one connection what the other takes. A back end is chosen only while its checks succeed, it is not
//! being drained, and it is not full; sessions that it has go on whatever becomes of that.
//!
//! | file | |
//! |---|---|
//! | `config` | [`Config`]: listeners, back ends, checks, limits; TOML |
//! | `service` | [`Proxy`]: what it does with connections |
//! | `state` | what replicas have in common |
//! | `session` | a client, its back end, and what passes between them |
//! | `balance` | which back end |
//! | `health` | what checks say of a back end |
//! | `control` | what operators say: drain a back end, tell how things are |
//! | `header` | the PROXY protocol's header |
//!
//! Bounds: [`connections`](field@Config::connections) sessions, 64 back ends a listener, 256 listeners, a check at a time for each back end, 16 operators.

mod balance;
mod config;
mod control;
mod header;
mod health;
mod service;
mod session;
mod state;

pub use balance::Balance;
pub use config::{BackEnd, Check, Config, ConfigError, Control, Listener};
pub use service::{Proxy, Verdict};
