//! The modes of `gcs-perf`: each starts member processes, waits for what they measured, and prints it.

pub mod calm;
pub mod failover;
pub mod join;
pub mod latency;
pub mod slow;
pub mod throughput;

use crate::{
    member::{Job, Settings},
    parent::{Process, free_addrs},
};
use std::{net::SocketAddrV4, time::Duration};

/// What all modes can be told.
#[derive(clap::Args, Clone)]
pub struct Common {
    /// Members.
    #[arg(short = 'n', long, default_value_t = 3)]
    pub members: usize,
    /// The stack.
    #[arg(long, default_value = "total")]
    pub stack: String,
    /// Message size in bytes.
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Poll instead of sleeping.
    #[arg(long)]
    pub busy_poll: bool,
    /// The window of a sender, in KiB; the default of the library if not given.
    #[arg(long)]
    pub window: Option<usize>,
    /// An IPv4 multicast address to use, such as 239.192.0.1:7400.
    #[arg(long)]
    pub multicast: Option<SocketAddrV4>,
}

impl Common {
    /// How long to wait for a member's figures.
    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.seconds + 20.0)
    }

    /// The settings of members that found a group together, lowest address first.
    fn settings(&self, job: impl Fn(usize) -> Job) -> anyhow::Result<Vec<Settings>> {
        let mut addrs = free_addrs(self.members)?;
        addrs.sort();
        let settings = addrs.iter().enumerate().map(|(i, bind)| Settings {
            name: format!("p{i}"),
            bind: *bind,
            contacts: addrs.clone(),
            expect: self.members,
            stack: self.stack.clone(),
            job: job(i),
            payload: self.payload.max(8),
            seconds: self.seconds,
            busy_poll: self.busy_poll,
            window: self.window,
            multicast: self.multicast,
        });
        Ok(settings.collect())
    }

    /// Starts the members.
    fn start(&self, job: impl Fn(usize) -> Job) -> anyhow::Result<Vec<Process>> {
        self.settings(job)?.iter().map(Process::start).collect()
    }
}
