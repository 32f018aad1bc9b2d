//! Light groups over real sockets: three processes' endpoints in one process.

#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod hub;

use gcs::{
    blocks::light::{LightEvent, LightEvents, LightGroup, LightGroups, LightView},
    group::Group,
    id::MemberId,
    view::ViewId,
};
use hub::{addresses, builder, members, soon, three_on_a_hub};
use std::net::SocketAddr;

/// Light groups of all processes.
const ROOMS: usize = 1200;

/// The view of the processes' group, how many there were, and how many messages this process has cast.
async fn counters(p: &LightGroups) -> (ViewId, u64, u64) {
    // Counters are written down at the end of each of the endpoint's rounds: the one of the first report is over.
    for _ in 0..2 {
        p.group().report().await.unwrap();
    }
    let stats = p.group().stats().endpoint;
    (p.group().view().unwrap().view.id, stats.views, stats.cast)
}

struct Room {
    name: String,
    handle: LightGroup,
    events: LightEvents,
}

/// Joins all rooms at once.
async fn join(process: &LightGroups, names: impl Iterator<Item = String>) -> Vec<Room> {
    let joins: Vec<_> = names
        .map(|name| {
            let process = process.clone();
            tokio::spawn(async move {
                let (handle, events) = process.join(&name).await.unwrap();
                Room { name, handle, events }
            })
        })
        .collect();
    let mut rooms = Vec::new();
    for j in joins {
        rooms.push(soon("a join", j).await.unwrap());
    }
    rooms
}

/// Reads views until there is one with these members.
async fn until(room: &mut Room, members: &[MemberId]) -> LightView {
    loop {
        match soon("a light view", room.events.next()).await {
            Some(LightEvent::View(v)) if v.members == members => return v,
            Some(LightEvent::View(_)) => {}
            other => panic!("{}: {other:?}", room.name),
        }
    }
}

async fn message(room: &mut Room) -> (MemberId, String) {
    match soon("a message", room.events.next()).await {
        Some(LightEvent::Message { from, bytes }) => (from, String::from_utf8(bytes.to_vec()).unwrap()),
        other => panic!("{}: {other:?}", room.name),
    }
}

/// One after the other, so that the order of the members is known.
#[tokio::test]
async fn a_thousand_light_groups_cost_a_cast_each_and_no_view_and_outlive_a_member() {
    let addrs = addresses(4);
    let mut processes = Vec::new();
    for a in &addrs[..3] {
        processes.push(LightGroups::start(builder("light", *a, &addrs[..3]).expect(3)).await.unwrap());
    }
    for p in &processes {
        members(p.group(), 3).await;
    }
    let ids: Vec<_> = processes.iter().map(|p| p.group().me().unwrap()).collect();
    let mut before = Vec::new();
    for p in &processes {
        before.push(counters(p).await);
    }
    assert!(before.iter().all(|b| b.2 == 0), "nothing was cast: {before:?}");

    // Every third room is of the first two only.
    let name = |i: usize| format!("room/{i}");
    let in_room = |p: usize, i: usize| p < 2 || !i.is_multiple_of(3);
    let mut rooms = Vec::new();
    for (p, process) in processes.iter().enumerate() {
        rooms.push(join(process, (0..ROOMS).filter(|i| in_room(p, *i)).map(name)).await);
    }
    for (p, process) in processes.iter().enumerate() {
        let joined = rooms[p].len() as u64;
        let (view, views, cast) = counters(process).await;
        assert_eq!((view, views), (before[p].0, before[p].1), "no view change for {ROOMS} rooms");
        assert_eq!(cast, joined, "a cast for each join");
        assert_eq!(process.stats().joined, rooms[p].len());
    }
    for (p, rooms) in rooms.iter_mut().enumerate() {
        for r in rooms.iter_mut() {
            let i: usize = r.name[5..].parse().unwrap();
            let there = if in_room(2, i) { &ids[..] } else { &ids[..2] };
            assert_eq!(until(r, there).await.members, there, "at {p}");
            r.handle.cast(format!("{p} in {i}").as_bytes()).await.unwrap();
        }
    }
    let mut orders = Vec::new();
    for r in rooms.iter_mut().flatten() {
        let i: usize = r.name[5..].parse().unwrap();
        let mut order = Vec::new();
        for _ in 0..if in_room(2, i) { 3 } else { 2 } {
            let (from, text) = message(r).await;
            let p = ids.iter().position(|m| *m == from).unwrap();
            assert_eq!(text, format!("{p} in {i}"));
            order.push(p);
        }
        orders.push((i, order));
    }
    orders.sort();
    orders.dedup();
    assert_eq!(orders.len(), ROOMS, "one order in each room, at all of its members");

    // The second process goes without a word, a new one comes: it gets the directory.
    drop((rooms.remove(1), processes.remove(1)));
    for p in &processes {
        members(p.group(), 2).await;
    }
    let left = [ids[0], ids[2]];
    for r in rooms.iter_mut().flatten() {
        let i: usize = r.name[5..].parse().unwrap();
        until(r, if in_room(2, i) { &left } else { &left[..1] }).await;
    }
    let joiner = LightGroups::start(builder("light", addrs[3], &addrs[..3]).join()).await.unwrap();
    let mut room = join(&joiner, [name(1)].into_iter()).await.remove(0);
    let mut new = left.to_vec();
    new.push(joiner.group().me().unwrap());
    let view = until(&mut room, &new).await;
    assert!(view.joined);
    room.handle.cast(b"hello").await.unwrap();
    assert_eq!(message(&mut room).await, (new[2], "hello".to_owned()));
    for rooms in &mut rooms {
        let r = rooms.iter_mut().find(|r| r.name == "room/1").unwrap();
        assert_eq!(until(r, &new).await.number, view.number);
        assert_eq!(message(r).await, (new[2], "hello".to_owned()));
    }
    soon("leave", room.handle.leave()).await.unwrap();
    soon("leave", joiner.leave()).await.unwrap();
}

/// A process is cut off, excluded, and comes back: its handles live on.
#[tokio::test]
async fn an_excluded_process_is_back_in_its_light_groups() {
    let (hub, addrs, builders) = three_on_a_hub("total");
    let mut processes = Vec::new();
    for b in builders {
        processes.push(LightGroups::start(b).await.unwrap());
    }
    let mut rooms = Vec::new();
    for p in &processes {
        rooms.push(join(p, ["room".to_owned()].into_iter()).await.remove(0));
    }
    let ids: Vec<_> = processes.iter().map(|p| p.group().me().unwrap()).collect();
    for r in &mut rooms {
        until(r, &ids).await;
    }
    hub.isolate(addrs[2], true);
    for r in &mut rooms[..2] {
        until(r, &ids[..2]).await;
    }
    rooms[0].handle.cast(b"missed").await.unwrap();
    for r in &mut rooms[..2] {
        message(r).await;
    }
    hub.isolate(addrs[2], false);
    assert_eq!(soon("exclusion", rooms[2].events.next()).await, Some(LightEvent::Away));
    let Some(LightEvent::View(back)) = soon("the return", rooms[2].events.next()).await else {
        panic!("a view")
    };
    assert!(back.joined && back.members[..2] == ids[..2] && back.members[2].addr == addrs[2]);
    for r in &mut rooms[..2] {
        assert_eq!(until(r, &back.members).await.number, back.number);
    }
    rooms[2].handle.cast(b"text").await.unwrap();
    for r in &mut rooms {
        assert_eq!(message(r).await, (back.members[2], "text".to_owned()));
    }
}

#[tokio::test]
async fn what_light_groups_cannot_be_on_is_refused_in_one_sentence() {
    let b = |stack: &str| {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Group::builder("light").bind(addr).found().stack(gcs_stacks::named(stack).unwrap())
    };
    let say = |r: Result<LightGroups, gcs::blocks::light::LightError>| r.err().expect("refused").to_string();
    assert_eq!(say(LightGroups::start(b("fifo")).await), "light groups need a stack that gives total");
    let parts = [b("total").partitionable(true), b("total").tune(|c| c.partitionable = true)];
    for b in parts {
        let said = say(LightGroups::start(b).await);
        assert!(said.starts_with("light groups cannot be in a partitionable group"), "{said}");
    }
}
