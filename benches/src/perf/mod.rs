//! The modes of `gcs-perf`: each starts member processes, waits for what they measured, and puts it together.

pub mod calm;
pub mod compare;
pub mod failover;
pub mod idle;
pub mod join;
pub mod latency;
pub mod rpc;
mod site;
pub mod slow;
pub mod stores;
pub mod sweep;
pub mod tcp;
pub mod tcp_idle;
pub mod throughput;

use crate::{
    member::{Job, Settings, System},
    outcome::Outcome,
    parent::{Process, free_addrs},
};
use anyhow::bail;
use serde::Serialize;
pub use site::Site;
use std::{net::SocketAddrV4, time::Duration};

/// What all modes can be told.
#[derive(clap::Args, Clone, Debug, Default, Serialize)]
pub struct Common {
    /// Members.
    #[arg(short = 'n', long, default_value_t = 3)]
    pub members: usize,
    /// The stack. `sweep` and `compare` take several: repeat it.
    #[arg(long, default_value = "total")]
    #[serde(rename = "stacks")]
    pub stack: Vec<String>,
    /// Message size in bytes.
    #[arg(long, default_value_t = 64)]
    #[serde(rename = "payload_bytes")]
    pub payload: usize,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Poll instead of sleeping.
    #[arg(long)]
    pub busy_poll: bool,
    /// Run each endpoint in its application's thread instead of one of its own.
    #[arg(long)]
    pub one_thread: bool,
    /// The window of a sender, in KiB; the default of the library if not given.
    #[arg(long)]
    #[serde(rename = "window_kib")]
    pub window: Option<usize>,
    /// What carries the datagrams.
    #[arg(long, default_value = "udp", value_parser = ["udp", "tcp", "both"])]
    pub transport: String,
    /// An IPv4 multicast address to use, such as 239.192.0.1:7400.
    #[arg(long)]
    pub multicast: Option<SocketAddrV4>,
    /// How many of 100 datagrams every member loses.
    #[arg(long, default_value_t = 0.0)]
    pub loss: f64,
    /// Where members run.
    #[arg(skip)]
    #[serde(skip)]
    pub site: Site,
}

impl Common {
    /// How long to wait for a member's figures.
    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.seconds + 20.0)
    }

    /// The settings of members that found a group together, lowest address first.
    fn settings(&self, job: impl Fn(usize) -> Job) -> anyhow::Result<Vec<Settings>> {
        let [stack] = &self.stack[..] else { bail!("one --stack at a time, except for sweep and compare") };
        let mut addrs = free_addrs(self.members)?;
        addrs.sort();
        let settings = addrs.iter().enumerate().map(|(i, bind)| Settings {
            name: format!("p{i}"),
            system: System::Gcs,
            enter: Vec::new(),
            bind: *bind,
            contacts: addrs.clone(),
            expect: self.members,
            stack: stack.clone(),
            job: job(i),
            payload: self.payload.max(8),
            seconds: self.seconds,
            busy_poll: self.busy_poll,
            own_thread: !self.one_thread,
            window: self.window,
            transport: self.transport.clone(),
            multicast: self.multicast,
            mtu: None,
            loss: self.loss,
        });
        let mut settings: Vec<_> = settings.collect();
        self.site.adapt(&mut settings);
        Ok(settings)
    }

    /// Starts the members.
    fn start(&self, job: impl Fn(usize) -> Job) -> anyhow::Result<Vec<Process>> {
        self.settings(job)?.iter().map(Process::start).collect()
    }

    /// Waits for the members' figures.
    fn collect(&self, mode: &'static str, processes: &[Process]) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::new(mode, self);
        for p in processes {
            outcome.add(&p.name, &p.figures(self.patience())?);
        }
        Ok(outcome)
    }
}

/// The middle one of these, or the greater of two; None if there are none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
