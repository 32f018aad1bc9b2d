//! The link below IP: who answers for the virtual addresses, and where packets go. Sans-IO: frames, packets and time
//! in; frames, packets and events out.
//!
//! | file | |
//! |---|---|
//! | `station`, `outgoing` | [`Link`]: what it does with what comes in, and what it sends |
//! | `config` | [`Config`]: addresses, medium, which MAC, gateways, intervals |
//! | `frame` | [`Packet`], [`Frame`], [`Received`]: what passes between here, the interface and TCP |
//! | `mac` | [`Mac`], and the virtual ones |
//! | `neighbours` | who is at which MAC (RFC 826, RFC 4861 section 7.3) |
//! | `announce` | when the addresses are announced, and defended (RFC 5227) |
//! | `ethernet`, `arp`, `ndp`, `mld`, `ip`, `echo` | codecs: bytes to values and back |
//! | `rate` | how often something is answered |
//! | `counters` | what was dropped, by kind |
//!
//! ```
//! use gcs::time::Time;
//! use gcs_tcp_endpoint::link::{Config, Link, Mac, MacChoice, Outputs, Vip};
//!
//! let vip: Vip = "192.0.2.10/24".parse()?;
//! let own = Mac([2, 0, 0, 0, 0, 1]);
//! let mut link = Link::new(Config::ethernet(own, MacChoice::Own, vec![vip]))?;
//! let mut out = Outputs::default();
//! link.set_active(Time::ZERO, true, &mut out);
//! assert_eq!(out.frames.len(), 2, "a gratuitous request and a gratuitous reply");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod announce;
mod arp;
mod config;
mod counters;
mod echo;
mod ethernet;
mod frame;
pub(crate) mod ip;
mod mac;
mod mld;
mod ndp;
mod neighbours;
mod outgoing;
mod rate;
mod station;
#[cfg(test)]
mod station_tests;

pub use config::{Config, ConfigError, MacChoice, Medium, Vip, VipError};
pub use counters::{Counters, Dropped};
pub use frame::{Checksum, Frame, Ingress, Meta, Packet, Received};
pub use mac::Mac;
#[cfg(target_os = "linux")]
pub(crate) use mac::solicited_node;
pub use neighbours::State;
pub use station::{Event, Link, Outputs};
