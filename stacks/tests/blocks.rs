//! The building blocks over real sockets: three members in one process, each with its own endpoint.

mod hub;

use gcs::blocks::{
    barrier::Barriers,
    counter::Counters,
    election::Election,
    lock::Locks,
    map::Map,
    rpc::{Replies, Rpc},
};
use hub::{PATIENCE, addresses, builder, founders, members, soon, three_on_a_hub};
use std::time::Duration;

#[tokio::test]
async fn a_map_survives_the_death_of_a_replica_and_a_new_one_gets_its_state() {
    let mut maps = Vec::new();
    for b in founders("map", 3) {
        maps.push(Map::start(b).await.unwrap());
    }
    for m in &maps {
        soon("ready", m.replica().wait_ready()).await.unwrap();
    }
    for i in 0..100_u32 {
        let m = &maps[i as usize % 3];
        assert_eq!(soon("put", m.put(&i.to_le_bytes(), b"v")).await, Ok(None));
        let other = &maps[(i as usize + 1) % 3];
        assert_eq!(soon("get", other.get(&i.to_le_bytes())).await.unwrap().as_deref(), Some(&b"v"[..]));
    }
    let contact = maps[1].replica().group().local_addr();
    // The oldest member goes without a word.
    drop(maps.remove(0));
    for m in &maps {
        members(m.replica().group(), 2).await;
    }
    assert_eq!(soon("put", maps[0].put(b"after", b"v")).await, Ok(None));
    let joined = Map::start(builder("map", addresses(1)[0], &[contact])).await.unwrap();
    soon("ready", joined.replica().wait_ready()).await.unwrap();
    assert_eq!(soon("len", joined.len()).await, Ok(101));
    assert!(soon("swap", joined.compare_and_swap(b"after", Some(b"v"), None)).await.unwrap().swapped);
    assert_eq!(soon("get", maps[1].get(b"after")).await, Ok(None));
    for m in maps.iter().chain([&joined]) {
        soon("leave", m.replica().leave()).await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_passes_on_when_its_holder_dies() {
    let mut locks = Vec::new();
    for b in founders("lock", 3) {
        locks.push(Locks::start(b).await.unwrap());
    }
    let held = soon("lock", locks[0].lock("x")).await.unwrap();
    let mut election = Election::new(locks[2].replica().group());
    let leader = soon("leader", election.changed()).await.unwrap().expect("a leader");
    let waiting = tokio::spawn({
        let locks = locks[2].clone();
        async move { locks.lock("x").await.unwrap() }
    });
    assert!(held.is_held());
    let token = held.token();
    // The guard would release the lock: it goes with its replica instead.
    std::mem::forget(held);
    let first = locks.remove(0);
    let leads = first.replica().group().me() == Some(leader.member.id);
    soon("leave", first.replica().leave()).await.unwrap();
    let passed = soon("lock", waiting).await.unwrap();
    assert!(passed.token() > token);
    soon("a lease", async {
        while !passed.is_held() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    if leads {
        let next = soon("leader", election.changed()).await.unwrap().expect("a leader");
        assert!(next.token > leader.token);
    }
}

#[tokio::test]
async fn counters_barriers_and_calls_work_across_members() {
    let mut counters = Vec::new();
    for b in founders("counter", 3) {
        counters.push(Counters::start(b).await.unwrap());
    }
    let adders = counters.iter().cloned().map(|c| {
        tokio::spawn(async move {
            for _ in 0..50 {
                c.add("n", 1).await.unwrap();
            }
        })
    });
    for a in adders.collect::<Vec<_>>() {
        soon("add", a).await.unwrap();
    }
    assert_eq!(soon("get", counters[1].get("n")).await, Ok(150));

    let mut barriers = Vec::new();
    for b in founders("barrier", 3) {
        barriers.push(Barriers::start(b).await.unwrap());
    }
    let (a, b, c) = soon("barrier", async {
        tokio::join!(barriers[0].arrive("b", 3), barriers[1].arrive("b", 3), barriers[2].arrive("b", 3))
    })
    .await;
    assert_eq!((a, b, c), (Ok(()), Ok(()), Ok(())));

    let mut rpcs = Vec::new();
    for (i, b) in founders("rpc", 3).into_iter().enumerate() {
        let name = format!("member {i}");
        rpcs.push(Rpc::start(b, move |_| name.clone().into()).await.unwrap());
    }
    for r in &rpcs {
        members(r.group(), 3).await;
    }
    for (replies, at_least) in [(Replies::First, 1), (Replies::Majority, 2), (Replies::All, 3)] {
        let got = rpcs[0].call(b"who", replies, PATIENCE).await.unwrap();
        assert!(got.len() >= at_least, "{replies:?}: {got:?}");
    }
    drop(rpcs.remove(2));
    let got = rpcs[0].call(b"who", Replies::All, PATIENCE).await.unwrap();
    assert!(got.len() == 2 || got.len() == 3);
}

#[tokio::test]
async fn additions_around_a_partition_count_once() {
    let (hub, addrs, builders) = three_on_a_hub("total+uniform");
    let mut counters = Vec::new();
    for b in builders {
        counters.push(Counters::start(b).await.unwrap());
    }
    for c in &counters {
        soon("ready", c.replica().wait_ready()).await.unwrap();
    }
    let end = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let adders: Vec<_> = counters
        .iter()
        .cloned()
        .map(|c| {
            let end = std::sync::Arc::clone(&end);
            tokio::spawn(async move {
                let (mut done, mut unknown) = (0, 0);
                while !end.load(std::sync::atomic::Ordering::Relaxed) {
                    match c.add("n", 1).await {
                        Ok(_) => done += 1,
                        Err(gcs::blocks::ExecuteError::Unknown) => unknown += 1,
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
                (done, unknown)
            })
        })
        .collect();
    for cut_off in [addrs[0], addrs[2], addrs[1]] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        hub.isolate(cut_off, true);
        let others = counters.iter().filter(|c| c.replica().group().local_addr() != cut_off);
        for c in others {
            members(c.replica().group(), 2).await;
        }
        hub.isolate(cut_off, false);
        for c in &counters {
            members(c.replica().group(), 3).await;
            soon("ready", c.replica().wait_ready()).await.unwrap();
        }
    }
    end.store(true, std::sync::atomic::Ordering::Relaxed);
    let (mut done, mut unknown) = (0, 0);
    for a in adders {
        let (d, u) = soon("an adder", a).await.unwrap();
        (done, unknown) = (done + d, unknown + u);
    }
    for c in &counters {
        let value = soon("get", c.get("n")).await.unwrap();
        assert!(done <= value && value <= done + unknown, "{done} done, {unknown} unknown: {value}");
    }
    assert!(done > 0, "{done} done, {unknown} unknown");
}
