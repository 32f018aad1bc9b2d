//! What standing queries tell, posted over HTTP to whoever has asked for it: webhooks, and WS-Eventing.
//!
//! ```text
//!   POST /v1/webhooks ────┐                    ┌─► one event at a time ─► POST ─► 2xx: the next one
//!                         ├─► deliver ─► Subscription                      └────► again, and again; given up
//!   POST /v1/ws-eventing ─┘    (its lease is renewed while somebody takes what it tells)
//! ```
//! [`deliver`] is what both share: one subscription, one place to post to, attempts with bounds. [`webhook`] writes events as JSON and signs them,
//! [`wse`] as SOAP messages, and answers those who subscribe with SOAP. [`post`] is the HTTP client. What XML there is comes from outside.

mod asked;
pub mod deliver;
pub mod post;
mod retry;
mod soap;
mod time;
pub mod webhook;
pub mod wse;
mod xml;

pub(crate) use asked::{Asked, How, Mode};
