//! How the virtual addresses are taken and given up.

use crate::link::{Link, Outputs, Vip};
use gcs::time::Time;

/// What is wanted of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It shall lead here.
    Take,
    /// It may lead elsewhere.
    Release,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Which address.
    pub vip: Vip,
    /// What was wanted.
    pub wish: Wish,
    /// Whether it was done.
    pub result: Result<(), AddressError>,
    /// What the command said, the beginning of it.
    pub output: String,
}

/// An address could not be taken or given up.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The command cannot be run.
    #[error("the command `{command}` cannot be run: {source}; configure the path of an executable file")]
    Start {
        /// As configured.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The command says that it failed.
    #[error("the command `{command}` ended with {status}; its output says why")]
    Failed {
        /// As configured.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The command took too long, and was ended with all its children.
    #[error(
        "the command `{command}` was still running after {seconds} s and was ended; configure a longer time-out"
    )]
    TooLong {
        /// As configured.
        command: String,
        /// The time-out.
        seconds: u64,
    },
}

/// Moves the addresses of a [`Link`] here, and away. Neither blocks; what takes time is reported by [`Self::poll`].
pub trait AddressProvider {
    /// This endpoint is the leader: its addresses lead here from now on.
    fn take(&mut self, now: Time, link: &mut Link, out: &mut Outputs);

    /// This endpoint is not the leader any more. To be called before another one takes the addresses, where that is
    /// possible.
    fn release(&mut self, now: Time, link: &mut Link, out: &mut Outputs);

    /// What has ended since the last call. To be called again at [`Self::next_timer`].
    fn poll(&mut self, now: Time) -> Vec<Outcome>;

    /// When [`Self::poll`] is to be called; [`Time::NEVER`] if nothing is under way.
    fn next_timer(&self) -> Time;
}

impl<A: AddressProvider + ?Sized> AddressProvider for Box<A> {
    fn take(&mut self, now: Time, link: &mut Link, out: &mut Outputs) {
        (**self).take(now, link, out);
    }

    fn release(&mut self, now: Time, link: &mut Link, out: &mut Outputs) {
        (**self).release(now, link, out);
    }

    fn poll(&mut self, now: Time) -> Vec<Outcome> {
        (**self).poll(now)
    }

    fn next_timer(&self) -> Time {
        (**self).next_timer()
    }
}

/// By announcements on the link, and answers: the usual way on an Ethernet. Also for a TUN that the addresses are
/// routed to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layer2;

impl AddressProvider for Layer2 {
    fn take(&mut self, now: Time, link: &mut Link, out: &mut Outputs) {
        link.set_active(now, true, out);
    }

    fn release(&mut self, now: Time, link: &mut Link, out: &mut Outputs) {
        link.set_active(now, false, out);
    }

    fn poll(&mut self, _now: Time) -> Vec<Outcome> {
        Vec::new()
    }

    fn next_timer(&self) -> Time {
        Time::NEVER
    }
}
