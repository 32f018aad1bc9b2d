//! Endpoints without threads of their own: three members as tasks of one current-thread runtime, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

use gcs::{
    endpoint::Event,
    group::{Events, Group},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

const MEMBERS: usize = 3;
const CASTS: usize = 50;

async fn start(group: &str, busy_poll: bool) -> Vec<(Group, Events)> {
    let addr = |_| gcs::net::unused_addr(Ipv4Addr::LOCALHOST.into()).unwrap();
    let addrs: Vec<SocketAddr> = (0..MEMBERS).map(addr).collect();
    let mut members = Vec::new();
    for addr in &addrs {
        let builder = Group::builder(group)
            .bind(*addr)
            .contacts(addrs.iter().copied())
            .expect(MEMBERS)
            .stack(gcs_stacks::named("total+uniform").unwrap())
            .own_thread(false)
            .busy_poll(busy_poll);
        members.push(builder.start().await.unwrap());
    }
    members
}

/// The messages delivered until there are `MEMBERS * CASTS`.
async fn delivered(events: &mut Events) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    while all.len() < MEMBERS * CASTS {
        if let Event::Messages(m) = events.next().await.unwrap() {
            all.extend(m.iter().map(<[u8]>::to_vec));
        }
    }
    all
}

async fn everybody_delivers_the_same(group: &str, busy_poll: bool) {
    let mut members = start(group, busy_poll).await;
    for (i, (group, _)) in members.iter().enumerate() {
        for k in 0..CASTS {
            group.cast(format!("{k} of {i}").as_bytes()).await.unwrap();
        }
    }
    let mut orders = Vec::new();
    for (_, events) in &mut members {
        orders.push(delivered(events).await);
    }
    assert!(orders.iter().all(|o| *o == orders[0]), "one order");
    for (group, _) in &members {
        group.leave().await.unwrap();
    }
}

#[tokio::test]
async fn members_of_one_thread() {
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, everybody_delivers_the_same("tasks", false)).await.unwrap();
    tokio::time::timeout(patience, everybody_delivers_the_same("spinning tasks", true)).await.unwrap();
}
