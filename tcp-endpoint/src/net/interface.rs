//! What all interfaces can do.

use super::error::Error;
use crate::link::{Frame, Mac, Received};
use std::os::fd::BorrowedFd;

/// An interface: frames in and out, without blocking. Which are frames and which are packets alone, [`Self::mac`]
/// says.
pub trait Interface {
    /// Readable when there is something to receive: for `poll`, `epoll` or an asynchronous runtime.
    fn poll_fd(&self) -> BorrowedFd<'_>;

    /// The MAC of this station, for [`Config::ethernet`](crate::link::Config::ethernet); none where packets have no
    /// link header ([`Config::ip`](crate::link::Config::ip)).
    fn mac(&self) -> Option<Mac>;

    /// The longest IP packet in bytes. Super-packets may be longer.
    fn mtu(&self) -> usize;

    /// Whether super-packets are cut below: by the system or the network card. Otherwise [`Self::send`] cuts them.
    fn offload(&self) -> bool;

    /// Appends what has been received, a bounded number of frames; true if there may be more.
    ///
    /// # Errors
    /// The interface fails. It may be tried again: one that is down may come up.
    fn recv(&mut self, into: &mut Vec<Received>) -> Result<bool, Error>;

    /// Sends the frames in order, and empties `frames`. What the interface does not take, for its queue is full, is
    /// dropped and counted: TCP sends it again. `may` is asked immediately before each system call; once it says no, what
    /// is left is dropped: a process can be stopped anywhere, and goes on when its right to speak is over.
    ///
    /// # Errors
    /// The interface fails; nothing more of `frames` was sent.
    fn send(&mut self, frames: &mut Vec<Frame>, may: &dyn Fn() -> bool) -> Result<(), Error>;

    /// Counts since it was opened.
    fn traffic(&mut self) -> Traffic;
}

/// What passed through an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames received; joined segments are one.
    pub received: u64,
    /// Frames sent; a super-packet is one.
    pub sent: u64,
    /// System calls that received, and those that sent.
    pub calls: (u64, u64),
    /// Received frames that were longer than a buffer: dropped.
    pub truncated: u64,
    /// Received frames that found the socket's buffer full: dropped by the system.
    pub overrun: u64,
    /// Frames that found the queue full on their way out: dropped.
    pub full: u64,
    /// Frames that were not sent because the right to speak was over.
    pub fenced: u64,
    /// Frames that the system refuses, or that are not what their [`Packet`](crate::link::Packet) says: dropped.
    pub refused: u64,
}
