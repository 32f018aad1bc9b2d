//! Real TCP connections: servers on the kernel's TCP and on a replicated endpoint, and the clients that measure them. The first byte on a
//! connection says what is wanted: to be sent as much as possible (`d`), to be listened to (`u`), or an echo (`e`).

mod client;
mod kernel;
pub mod relay;
mod replica;

use serde::{Deserialize, Serialize};
use std::{io, net::SocketAddr, os::fd::AsFd};

pub use client::Measure;

/// The port of the servers.
pub const PORT: u16 = 80;
/// Bytes of a request, and of its echo.
const REQUEST: usize = 64;

/// The kernel's TCP sends with the endpoint's congestion control, whatever the machine's default is.
fn use_cubic(socket: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_congestion(socket, "cubic")?)
}

/// A process of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// A server on the kernel's TCP.
    Kernel(SocketAddr),
    /// A replica of a server.
    Replica {
        /// Its own address, and those of all.
        bind: SocketAddr,
        /// All replicas.
        all: Vec<SocketAddr>,
        /// The virtual address.
        vip: String,
    },
    /// Clients.
    Client {
        /// The server.
        server: SocketAddr,
        /// What is measured.
        measure: Measure,
        /// How long.
        seconds: f64,
    },
}

/// Runs a part; a client prints its figures as JSON.
///
/// # Errors
/// The network fails.
pub fn main(part: &Part) -> anyhow::Result<()> {
    match part {
        Part::Kernel(at) => kernel::serve(*at),
        Part::Replica { bind, all, vip } => replica::serve(*bind, all, vip),
        Part::Client { server, measure, seconds } => {
            println!("{}", serde_json::to_string(&client::run(*server, *measure, *seconds)?)?);
            Ok(())
        }
    }
}
