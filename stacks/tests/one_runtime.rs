//! Endpoints without threads of their own: three members as tasks of one current-thread runtime, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod hub;

use gcs::{
    endpoint::Event,
    group::{Events, Group},
};

const MEMBERS: usize = 3;
const CASTS: usize = 50;

async fn start(group: &str, busy_poll: bool) -> Vec<(Group, Events)> {
    let mut members = Vec::new();
    for builder in hub::founders(group, MEMBERS) {
        members.push(builder.own_thread(false).busy_poll(busy_poll).start().await.unwrap());
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
    hub::soon("tasks", everybody_delivers_the_same("tasks", false)).await;
    hub::soon("spinning tasks", everybody_delivers_the_same("spinning tasks", true)).await;
}
