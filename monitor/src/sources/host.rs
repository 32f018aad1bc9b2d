//! The host itself: processors, memory, network, disks.
//!
//! `sysinfo` is asked for what is reported and nothing else, and processes are counted without looking at any. Disks have a thread of
//! their own, because a file system that does not answer holds up whoever asks for its size.

use std::{collections::BTreeSet, ffi::OsStr, path::Path, sync::Arc, time::Duration};

use gcs::time::Time;
use parking_lot::Mutex;
use sysinfo::{CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, Networks, System};

use super::{
    blocking::Worker,
    clock::Clock,
    config,
    name::Name,
    poll::{Read, Reading, Said},
    significance::Significance,
};
use crate::value::Value;

const MIB: u64 = 1 << 20;
const GIB: f64 = (1u64 << 30) as f64;

/// The attributes of a host: their names, how much of a change is noticeable (absolute and relative), and how many digits they have.
const ATTRIBUTES: [(&str, f64, f64, u8); 15] = [
    ("cpu", 5.0, 0.1, 3),
    ("cores", 0.0, 0.0, 3),
    ("load1", 0.3, 0.2, 3),
    ("mem_total", 0.0, 0.0, 3),
    ("mem_used", 16.0, 0.02, 3),
    ("swap_used", 16.0, 0.02, 3),
    ("net_rx", 16.0, 0.25, 2),
    ("net_tx", 16.0, 0.25, 2),
    ("uptime", 60.0, 0.0, 3),
    ("processes", 10.0, 0.1, 3),
    ("hostname", 0.0, 0.0, 3),
    ("os", 0.0, 0.0, 3),
    ("kernel", 0.0, 0.0, 3),
    ("disk_used_percent", 1.0, 0.0, 3),
    ("disk_free", 0.1, 0.02, 3),
];

/// Those that come from file systems.
const DISKS: [&str; 2] = ["disk_used_percent", "disk_free"];

/// Interfaces whose traffic also goes over another one, or stays inside, by the beginnings of their names.
const INNER: [&str; 12] =
    ["lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "cali", "tun", "tap", "wg", "dummy"];

/// The names of all attributes of a host.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ATTRIBUTES.iter().map(|(name, ..)| *name)
}

/// When changes of an attribute of the host are reported, if nothing else is said.
pub(super) fn significance(name: &str) -> Option<Significance> {
    let (_, absolute, relative, digits) = *ATTRIBUTES.iter().find(|(n, ..)| *n == name)?;
    let general = Significance::default();
    // The one that changes all the time, and of itself.
    let refresh = if name == "uptime" { Duration::from_secs(600) } else { general.refresh };
    Some(Significance { absolute, relative, digits, refresh, ..general })
}

/// The attributes that come from file systems, and the others.
pub(super) fn divided(attributes: &[String]) -> (Vec<Name>, Vec<Name>) {
    let names = attributes.iter().filter_map(|name| Name::new(name).ok());
    names.partition(|name| DISKS.contains(&name.as_str()))
}

/// Some of the attributes of a host.
#[derive(Debug, Default)]
struct Wanted(BTreeSet<String>);

impl Wanted {
    fn new(config: &config::Host) -> Self {
        Self(config.attributes.iter().cloned().collect())
    }

    fn has(&self, any: &[&str]) -> bool {
        any.iter().any(|name| self.0.contains(*name))
    }

    fn say<const N: usize>(&self, said: &mut Vec<Said>, all: [(&str, Value); N]) {
        let wanted = all.into_iter().filter(|(name, _)| self.0.contains(*name));
        said.extend(wanted.filter_map(|(name, value)| Some(Said::new(Name::new(name).ok()?, value))));
    }
}

/// What changes with time, and what was before.
#[derive(Debug)]
struct State {
    wanted: Wanted,
    interfaces: Option<Vec<String>>,
    clock: Clock,
    system: System,
    networks: Option<Networks>,
    /// Bytes received and sent, and when.
    traffic: Option<(Time, u64, u64)>,
    /// Use of processors is known from the second sample on.
    sampled: bool,
}

/// Everything but file systems.
#[derive(Debug)]
pub(super) struct Source {
    worker: Worker,
    state: Arc<Mutex<State>>,
}

impl Source {
    pub(super) fn new(config: &config::Host) -> Result<Self, sysinfo::Error> {
        let state = State {
            wanted: Wanted::new(config),
            interfaces: config.interfaces.clone(),
            clock: Clock::start(),
            system: System::new()?,
            networks: None,
            traffic: None,
            sampled: false,
        };
        Ok(Self { worker: Worker::default(), state: Arc::new(Mutex::new(state)) })
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let state = self.state.clone();
        // The worker runs one thing at a time: nobody waits for the lock.
        self.worker.run(move || (state.lock().sample(), None)).await
    }
}

impl State {
    fn sample(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        self.processors(&mut said);
        self.memory(&mut said);
        self.network(&mut said);
        self.rest(&mut said);
        said
    }

    fn processors(&mut self, said: &mut Vec<Said>) {
        if !self.wanted.has(&["cpu", "cores"]) {
            return;
        }
        self.system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        let known = std::mem::replace(&mut self.sampled, true);
        let cpu = if known { Value::float(f64::from(self.system.global_cpu_usage())) } else { Value::Null };
        self.wanted.say(said, [("cpu", cpu), ("cores", int(self.system.cpus().len() as u64))]);
    }

    fn memory(&mut self, said: &mut Vec<Said>) {
        let (ram, swap) = (self.wanted.has(&["mem_total", "mem_used"]), self.wanted.has(&["swap_used"]));
        let kind = MemoryRefreshKind::nothing();
        let kind = if ram { kind.with_ram() } else { kind };
        self.system.refresh_memory_specifics(if swap { kind.with_swap() } else { kind });
        let total = self.system.total_memory();
        let used = total.saturating_sub(self.system.available_memory());
        let all = [
            ("mem_total", int(total / MIB)),
            ("mem_used", int(used / MIB)),
            ("swap_used", int(self.system.used_swap() / MIB)),
        ];
        self.wanted.say(said, all);
    }

    fn network(&mut self, said: &mut Vec<Said>) {
        if !self.wanted.has(&["net_rx", "net_tx"]) {
            return;
        }
        let known = self.networks.is_some();
        if !known {
            self.networks = Networks::new().ok();
        }
        let Some(networks) = &mut self.networks else { return };
        networks.refresh(true);
        let interfaces = self.interfaces.as_deref();
        let counted = networks
            .iter()
            .filter(|(name, _)| name.to_str().is_some_and(|name| counts(interfaces, name)))
            .map(|(_, data)| data);
        let (rx, tx) = counted.fold((0u64, 0u64), |(rx, tx), data| {
            (rx.saturating_add(data.total_received()), tx.saturating_add(data.total_transmitted()))
        });
        let now = self.clock.now();
        let Some((then, rx_then, tx_then)) = self.traffic.replace((now, rx, tx)) else { return };
        // An interface that is gone takes its bytes with it: then nothing is known of this time.
        let rate = |bytes: u64, before: u64| match bytes.checked_sub(before) {
            Some(bytes) => Value::float(bytes as f64 / 1024.0 / now.since(then).as_secs_f64()),
            None => Value::Null,
        };
        self.wanted.say(said, [("net_rx", rate(rx, rx_then)), ("net_tx", rate(tx, tx_then))]);
    }

    fn rest(&self, said: &mut Vec<Said>) {
        let text = |text: Result<String, _>| text.map_or(Value::Null, |t: String| Value::from(t));
        let load = System::load_average().map_or(Value::Null, |load| Value::float(load.one));
        let uptime = System::uptime().map_or(Value::Null, |seconds| int(seconds / 60));
        self.wanted.say(said, [("load1", load), ("uptime", uptime), ("processes", processes())]);
        let host = if self.wanted.has(&["hostname"]) { text(System::host_name()) } else { Value::Null };
        let os = if self.wanted.has(&["os"]) { text(System::long_os_version()) } else { Value::Null };
        let kernel = if self.wanted.has(&["kernel"]) { text(System::kernel_version()) } else { Value::Null };
        self.wanted.say(said, [("hostname", host), ("os", os), ("kernel", kernel)]);
    }
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Whether the traffic of an interface is that of the host.
fn counts(interfaces: Option<&[String]>, name: &str) -> bool {
    match interfaces {
        Some(interfaces) => interfaces.iter().any(|i| i == name),
        None => !INNER.iter().any(|inner| name.starts_with(inner)),
    }
}

/// How many processes there are: the directories of /proc that are numbers.
fn processes() -> Value {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Value::Null };
    let number = |name: &OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    int(entries.flatten().filter(|entry| number(&entry.file_name())).count() as u64)
}

/// File systems of disks.
#[derive(Debug)]
pub(super) struct DiskSource {
    worker: Worker,
    wanted: Arc<Wanted>,
}

impl DiskSource {
    pub(super) fn new(config: &config::Host) -> Self {
        Self { worker: Worker::default(), wanted: Arc::new(Wanted::new(config)) }
    }
}

impl Read for DiskSource {
    async fn read(&mut self) -> Reading {
        let wanted = self.wanted.clone();
        self.worker.run(move || (disks(&wanted), None)).await
    }
}

/// Those of networks and of memory are not asked, and those that cannot be written to are full by intention.
fn disks(wanted: &Wanted) -> Vec<Said> {
    let kind = DiskRefreshKind::nothing().with_storage();
    let Ok(disks) = Disks::new_with_refreshed_list_specifics(kind) else { return Vec::new() };
    let real = || disks.iter().filter(|disk| disk.total_space() > 0 && !disk.is_read_only());
    let used = real().map(|disk| 1.0 - disk.available_space() as f64 / disk.total_space() as f64);
    let fullest = used.max_by(f64::total_cmp).map_or(Value::Null, |share| Value::float(100.0 * share));
    let root = real().find(|disk| disk.mount_point() == Path::new("/"));
    let free = root.map_or(Value::Null, |disk| Value::float(disk.available_space() as f64 / GIB));
    let mut said = Vec::new();
    wanted.say(&mut said, [("disk_used_percent", fullest), ("disk_free", free)]);
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_counted_once() {
        assert!(counts(None, "eth0") && counts(None, "enp3s0") && counts(None, "wlan0"));
        assert!(!counts(None, "lo") && !counts(None, "veth12ab") && !counts(None, "docker0"));
        let named = ["lo".to_owned()];
        assert!(counts(Some(&named), "lo") && !counts(Some(&named), "eth0"));
    }

    #[test]
    fn every_attribute_has_a_name_and_a_rule() {
        for name in names() {
            assert!(Name::new(name).is_ok() && significance(name).is_some(), "{name}");
        }
        assert!(DISKS.iter().all(|disk| names().any(|name| name == *disk)));
        assert_eq!(significance("queue"), None);
    }
}
