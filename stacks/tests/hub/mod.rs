//! Members of a group that are all in this process: over real sockets, or on a hub that can cut them off.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use gcs::{
    group::{Builder, Group},
    net::memory::Hub,
    runtime::Status,
};
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Nothing in a test that passes takes longer, not even on a machine that is busy with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Free ones of this machine.
pub(crate) fn addresses(n: usize) -> Vec<SocketAddr> {
    (0..n).map(|_| gcs::net::unused_addr(Ipv4Addr::LOCALHOST.into()).unwrap()).collect()
}

/// A member over real sockets.
pub(crate) fn builder(group: &str, addr: SocketAddr, contacts: &[SocketAddr]) -> Builder {
    let stack = gcs_stacks::named("total+uniform").unwrap();
    Group::builder(group).bind(addr).contacts(contacts.iter().copied()).stack(stack)
}

/// The founders of a group over real sockets.
pub(crate) fn founders(group: &str, n: usize) -> Vec<Builder> {
    let addrs = addresses(n);
    addrs.iter().map(|a| builder(group, *a, &addrs).expect(n)).collect()
}

/// The three founders of a group on a hub, and their addresses.
pub(crate) fn three_on_a_hub(stack: &str) -> (Hub, [SocketAddr; 3], [Builder; 3]) {
    let hub = Hub::new();
    let addrs = [1, 2, 3].map(|host| SocketAddr::from(([10, 1, 1, host], 7000)));
    let builders = addrs.map(|a| {
        let builder = Group::builder("three").transport(hub.bind(a).unwrap()).contacts(addrs);
        builder.expect(3).stack(gcs_stacks::named(stack).unwrap())
    });
    (hub, addrs, builders)
}

pub(crate) async fn soon<T>(what: &str, f: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, f).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits for a view of so many.
pub(crate) async fn members(group: &Group, n: usize) {
    until(group, |s| s.view.as_ref().is_some_and(|v| v.view.len() == n)).await;
}

/// Waits until the group stands like this.
pub(crate) async fn until(group: &Group, stands: impl FnMut(&Status) -> bool) {
    let mut status = group.status();
    soon("the view", status.wait_for(stands)).await.unwrap();
}
