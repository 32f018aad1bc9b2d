//! What touches the world: network interfaces, and how an address is taken. Linux.
//!
//! | file | |
//! |---|---|
//! | `interface` | [`Interface`]: what all of them can do |
//! | `af_packet` | [`AfPacket`]: an Ethernet that the host is on |
//! | `tun` | [`Tun`] and [`Tap`]: the host's own network |
//! | `address` | [`AddressProvider`]: announcing an address, or moving it by a command |
//! | `segment` | cutting super-packets where no interface does |
//! | `error` | [`Error`]: what to do about it |
//! | `vnet`, `filter`, `pool` | offload headers; what the system lets through; receive buffers |
//! | `sys` | system calls |
//!
//! ```no_run
//! use gcs::time::Time;
//! use gcs_tcp_endpoint::{
//!     link::{Config, Link, MacChoice, Outputs},
//!     net::{AddressProvider, AfPacket, Interface, Layer2, Options, mac_of},
//! };
//!
//! let own = mac_of("eth0")?;
//! let vips = vec!["192.0.2.10/24".parse()?];
//! let config = Config { gateway_v4: Some([192, 0, 2, 1].into()), ..Config::ethernet(own, MacChoice::Own, vips) };
//! let mut nic = AfPacket::open("eth0", &config, Options::default())?;
//! let mut link = Link::new(config)?;
//! let (mut received, mut out) = (Vec::new(), Outputs::default());
//!
//! // This endpoint has become the leader.
//! let now = Time::ZERO; // Clocks are the caller's.
//! Layer2.take(now, &mut link, &mut out);
//! // Whenever `nic.poll_fd()` is readable, or `link.next_timer()` has come:
//! nic.recv(&mut received)?;
//! for frame in received.drain(..) {
//!     link.receive(now, frame, &mut out);
//! }
//! link.tick(now, &mut out);
//! for ingress in out.packets.drain(..) {
//!     // TCP; what it has to say goes to `link.send(now, packet, &mut out)`.
//! }
//! nic.send(&mut out.frames, &|| true)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
#[cfg(target_os = "linux")]
mod af_packet;
#[cfg(target_os = "linux")]
mod command;
mod error;
#[cfg(target_os = "linux")]
mod filter;
mod interface;
#[cfg(target_os = "linux")]
mod pool;
pub mod segment;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod tun;
#[cfg(target_os = "linux")]
mod vnet;

pub use address::{AddressError, AddressProvider, Layer2, Outcome, Wish};
#[cfg(target_os = "linux")]
pub use af_packet::{AfPacket, Options, mac_of};
#[cfg(target_os = "linux")]
pub use command::CommandHook;
pub use error::Error;
pub use interface::{Interface, Traffic};
#[cfg(target_os = "linux")]
pub use tun::{Tap, Tun};
