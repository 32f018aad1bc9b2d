use super::*;
use crate::{
    blocks::map::MapMachine,
    group::tests::loopback_group,
    runtime::{block_on, loopback::Loopback},
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn replica(engine: Loopback, deadline: Duration) -> Replicated<MapMachine> {
    let (group, events) = loopback_group(Group::builder("g"), engine).await;
    let r = Replicated::on(group, events, MapMachine::default(), deadline).unwrap();
    r.wait_ready().await.unwrap();
    r
}

#[test]
fn commands_and_queries_are_answered() {
    runtime().block_on(async {
        let r = replica(Loopback::new(), DEADLINE).await;
        let map = crate::blocks::map::Map::on(r.clone());
        let mut tasks = Vec::new();
        for i in 0..200_u32 {
            let map = map.clone();
            tasks.push(tokio::spawn(async move {
                let key = i.to_le_bytes();
                assert_eq!(map.put(&key, b"a").await.unwrap(), None);
                assert_eq!(map.get(&key).await.unwrap().as_deref(), Some(&b"a"[..]));
            }));
        }
        for t in tasks {
            t.await.unwrap();
        }
        assert_eq!(map.len().await.unwrap(), 200);
        r.leave().await.unwrap();
        assert_eq!(map.put(b"k", b"v").await, Err(ExecuteError::Stopped));
    });
}

#[test]
fn an_operation_lost_with_an_incarnation_is_submitted_again() {
    runtime().block_on(async {
        let mut engine = Loopback::new();
        engine.exclude_at = Some(0);
        let r = replica(engine, DEADLINE).await;
        let map = crate::blocks::map::Map::on(r.clone());
        assert_eq!(map.put(b"k", b"v").await.unwrap(), None);
        assert_eq!(map.get(b"k").await.unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(r.view().unwrap().view.id.number, 2, "it has been excluded once");
    });
}

/// What the replica's thread has read of the group may be older than what its user has seen.
#[test]
fn a_quorum_is_in_reach_when_the_group_says_so() {
    runtime().block_on(async {
        let r = replica(Loopback::new(), DEADLINE).await;
        let map = crate::blocks::map::Map::on(r.clone());
        let status = &r.group().shared().status;
        status.send_modify(|s| s.blocked = true);
        assert_eq!(map.put(b"k", b"v").await, Err(ExecuteError::NoQuorum));
        assert_eq!(map.get(b"k").await, Err(ExecuteError::NoQuorum));
        status.send_modify(|s| s.blocked = false);
        assert_eq!(map.put(b"k", b"v").await, Ok(None));
    });
}

#[test]
fn what_is_too_large_is_refused_without_harm() {
    runtime().block_on(async {
        let r = replica(Loopback::new(), DEADLINE).await;
        let big = Bytes::from(vec![0; crate::message::MAX_MESSAGE]);
        assert_eq!(r.execute(big).await, Err(ExecuteError::TooLarge));
    });
}

#[test]
fn a_stack_without_order_is_refused() {
    let b = Group::builder("g").stack(crate::runtime::loopback::blueprint());
    let e = block_on(Replicated::start(b, MapMachine::default())).err().expect("refused");
    assert!(e.to_string().contains("total, uniform"), "{e}");
}
