//! The server on a replicated endpoint.

use anyhow::Context as _;
use bytes::Bytes;
use gcs::group::Group;
use gcs_tcp_endpoint::{
    ReplicatedListener,
    link::MacChoice,
    service::{Echo, Io, RestoreError, Service},
    tcp::{Config, Id, Reason},
};
use std::{collections::BTreeMap, net::SocketAddr};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What the clients want.
#[derive(Default)]
struct Wishes(BTreeMap<Id, u8>);

impl Wishes {
    fn serve(&mut self, id: Id, io: &mut Io<'_>) {
        if let std::collections::btree_map::Entry::Vacant(new) = self.0.entry(id) {
            let Some(first) = io.read(id, 1).concat().first().copied() else { return };
            new.insert(first);
        }
        match self.0[&id] {
            b'd' => {
                while io.room(id) > 0 {
                    let most = ZEROS.len().min(usize::try_from(io.room(id)).unwrap_or(usize::MAX));
                    io.write(id, &mut Bytes::from_static(&ZEROS[..most]));
                }
                io.wait_for_room(id);
            }
            b'u' => drop(io.read(id, u64::MAX)),
            _ => Echo.on_data(id, io),
        }
    }
}

impl Service for Wishes {
    fn on_data(&mut self, id: Id, io: &mut Io<'_>) {
        self.serve(id, io);
    }

    fn on_finished(&mut self, id: Id, io: &mut Io<'_>) {
        self.0.remove(&id);
        io.close(id);
    }

    fn on_close(&mut self, id: Id, _reason: Reason, _io: &mut Io<'_>) {
        self.0.remove(&id);
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0.iter().collect::<Vec<_>>()).expect("numbers")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let wishes: Vec<(Id, u8)> = serde_json::from_slice(snapshot).map_err(|_| RestoreError::Malformed)?;
        self.0 = wishes.into_iter().collect();
        Ok(())
    }
}

pub(super) fn serve(bind: SocketAddr, all: &[SocketAddr], vip: &str) -> anyhow::Result<()> {
    let listener = ReplicatedListener {
        interface: "eth0".to_owned(),
        vips: vec![vip.parse().context("the virtual address")?],
        ports: vec![super::PORT],
        mac: MacChoice::Own,
        command: Vec::new(),
        gateway: None,
        tcp: Config::default(),
    };
    let stack = gcs_stacks::named("total+uniform")?;
    let group = || {
        let group = Group::builder("perf").bind(bind).contacts(all.iter().copied());
        group.expect(all.len()).stack(stack.clone())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(listener.serve(group, Wishes::default, |_| ()))? {}
}
