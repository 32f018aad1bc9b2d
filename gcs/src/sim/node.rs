//! What the simulator asks of a process's protocol code: the sans-IO surface of an endpoint.

use crate::{
    endpoint::{Effects, Endpoint, Input},
    id::MemberId,
    time::Time,
};
use bytes::Bytes;
use std::net::SocketAddr;

/// Protocol code that the simulator can run. [`Endpoint`] is one; tests of the simulator itself use smaller ones.
pub trait Node {
    /// Consumes one input at the local time `now`.
    fn handle(&mut self, now: Time, input: Input, effects: &mut Effects);

    /// When to call with [`Input::Tick`] at the latest; [`Time::NEVER`] if there is nothing to wait for.
    fn deadline(&self) -> Time;

    /// Asserts the invariants; called after every input.
    fn check(&self);

    /// The process in its present life.
    fn me(&self) -> MemberId;

    /// How many bytes of frames and messages it holds on to.
    fn held_bytes(&self) -> usize;

    /// What it says in a datagram that it has sealed for `to`. None: it is not sealed.
    fn read_own(&self, to: SocketAddr, datagram: &[u8]) -> Option<Bytes> {
        let _ = (to, datagram);
        None
    }
}

impl Node for Endpoint {
    fn handle(&mut self, now: Time, input: Input, effects: &mut Effects) {
        Self::handle(self, now, input, effects);
    }

    fn deadline(&self) -> Time {
        Self::deadline(self)
    }

    fn check(&self) {
        Self::check(self);
    }

    fn me(&self) -> MemberId {
        Self::me(self)
    }

    fn held_bytes(&self) -> usize {
        Self::held_bytes(self)
    }

    fn read_own(&self, to: SocketAddr, datagram: &[u8]) -> Option<Bytes> {
        Self::read_own(self, to, datagram)
    }
}
