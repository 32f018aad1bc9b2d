//! How datagrams travel: over UDP ([`udp`]), with IP multicast where it gets through ([`multicast`]), over TCP ([`tcp`]), over
//! either ([`both`]), or within one process ([`memory`]); and how the death of a process is noticed at once (`liveness`).

pub mod both;
pub(crate) mod hello;
mod inlet;
pub(crate) mod liveness;
pub mod memory;
pub mod multicast;
mod sys;
pub mod tcp;
pub mod udp;
mod unused;

pub use unused::unused_addr;

use crate::endpoint::{Datagram, Transmit};
use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
    str::FromStr,
    task::{Context, Poll},
};

/// Carries datagrams, in batches, without a promise: what cannot be sent or stored is dropped and counted.
///
/// The methods are called from one thread, inside a tokio current-thread runtime with I/O and time.
pub trait Transport: Send + 'static {
    /// Called once, before the others, on the thread and in the runtime that will use the transport.
    ///
    /// # Errors
    /// The transport cannot work; the endpoint does not start.
    fn start(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Sends and empties the batch. Never waits.
    fn send(&mut self, batch: &mut Vec<Transmit>);

    /// Appends what has arrived. Ready when at least one datagram was appended.
    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()>;

    /// Appends what has arrived, without waiting: for drivers that poll.
    fn try_recv(&mut self, batch: &mut Vec<Datagram>);

    /// Where others reach this process.
    fn local_addr(&self) -> SocketAddr;

    /// The largest datagram that is carried well, in bytes. Larger ones, up to 60 KiB, are possible but dear.
    fn mtu(&self) -> usize;

    /// How many bytes of datagrams wait until they are received; what exceeds them gets lost.
    fn receive_bytes(&self) -> usize {
        usize::MAX
    }

    /// Counters.
    fn stats(&self) -> TransportStats;
}

/// What carries the datagrams of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// UDP.
    #[default]
    Udp,
    /// TCP, for networks that drop UDP. All members must have it or [`Self::Both`].
    Tcp,
    /// UDP, and TCP to those that UDP does not reach. All members should have it: to one that has another carrier there
    /// is only that one.
    Both,
}

impl FromStr for Carrier {
    type Err = UnknownCarrier;

    fn from_str(text: &str) -> Result<Self, UnknownCarrier> {
        match text {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            "both" => Ok(Self::Both),
            _ => Err(UnknownCarrier),
        }
    }
}

/// A word that names no [`Carrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transport is `udp`, `tcp` or `both`")]
pub struct UnknownCarrier;

/// What a transport has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// Datagrams handed to the system.
    pub sent: u64,
    /// Datagrams that the system did not take: queues were full, or there was no route.
    pub send_dropped: u64,
    /// Of the transmissions, those that were multicast, in place of a datagram for each member that is reached.
    pub multicast: u64,
    /// Connections that were refused or closed, because what came over them was not of this group or no frames.
    pub refused: u64,
    /// Addresses that are sent to over TCP now, because UDP does not reach them.
    pub over_tcp: u64,
    /// Datagrams received.
    pub received: u64,
    /// System calls that sent.
    pub send_calls: u64,
    /// System calls that received.
    pub recv_calls: u64,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A wildcard address.
    #[error(
        "cannot bind to {0}: members tell each other their address, so bind to one that the others can reach, \
         not to the wildcard"
    )]
    Wildcard(SocketAddr),
    /// Somebody has it.
    #[error("{addr} ({protocol}) is in use by another process or endpoint: choose another port")]
    Busy {
        /// The address.
        addr: SocketAddr,
        /// "UDP" or "TCP": both are needed, at the same port.
        protocol: &'static str,
    },
    /// Multicast is for IPv4, from an IPv4 address.
    #[error(
        "cannot multicast to {0}: give an IPv4 multicast address with a port, such as 239.192.0.1:7400, and bind to an \
         IPv4 address"
    )]
    Multicast(SocketAddrV4),
    /// Multicast is UDP.
    #[error("multicast to {0} needs UDP alone: leave the other transport or the multicast address away")]
    NotMulticast(SocketAddrV4),
    /// An MTU that no network has.
    #[error(
        "an MTU of {0} bytes is not possible: give that of the network between the members, 1280 to 65536"
    )]
    Mtu(usize),
    /// Anything else.
    #[error("cannot bind to {addr} ({protocol}): {source}")]
    System {
        /// The address.
        addr: SocketAddr,
        /// "UDP" or "TCP".
        protocol: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn new(addr: SocketAddr, protocol: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Busy { addr, protocol },
            _ => Self::System { addr, protocol, source },
        }
    }
}
