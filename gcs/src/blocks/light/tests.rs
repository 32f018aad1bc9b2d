use super::*;
use crate::{
    group::tests::loopback_group,
    runtime::{block_on, loopback::Loopback},
};
use std::task::Poll;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn alone(engine: Loopback, queue_bytes: usize, patience: Duration) -> LightGroups {
    let (group, events) = loopback_group(Group::builder("g"), engine).await;
    LightGroups::on(group, events, queue_bytes, patience).unwrap()
}

async fn next(events: &mut LightEvents) -> Option<LightEvent> {
    tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("an event in time")
}

fn view(event: Option<LightEvent>) -> LightView {
    match event {
        Some(LightEvent::View(v)) => v,
        other => panic!("a view, not {other:?}"),
    }
}

#[test]
fn a_group_of_one_has_light_groups() {
    runtime().block_on(async {
        let light = alone(Loopback::new(), QUEUE_BYTES, PATIENCE).await;
        let (room, mut events) = light.join("room").await.unwrap();
        assert_eq!(light.join("room").await.err(), Some(JoinError::Member));
        assert_eq!(light.join("").await.err(), Some(JoinError::Name(0)));
        let first = view(next(&mut events).await);
        assert_eq!((first.number, first.members.len(), first.joined), (1, 1, true));
        room.cast(b"text").await.unwrap();
        let text = LightEvent::Message { from: first.members[0], bytes: Bytes::from_static(b"text") };
        assert_eq!(next(&mut events).await, Some(text));
        let big = vec![0; MAX_MESSAGE - codec::HEADER + 1];
        assert_eq!(room.cast(&big).await, Err(CastError::TooLarge(MAX_MESSAGE + 1)));
        room.leave().await.unwrap();
        assert_eq!(next(&mut events).await, Some(LightEvent::Left(Ending::Asked)));
        assert_eq!(next(&mut events).await, None);
        assert_eq!(room.cast(b"late").await, Err(CastError::Left));
        assert_eq!(room.leave().await, Ok(()), "it has left as asked");

        let (again, mut events) = light.join("room").await.unwrap();
        let second = view(next(&mut events).await);
        assert!(second.group > first.group && second.number == 1);
        light.leave().await.unwrap();
        assert_eq!(next(&mut events).await, Some(LightEvent::Left(Ending::Stopped)));
        assert_eq!(again.leave().await, Err(Ending::Stopped));
        assert_eq!(light.join("room").await.err(), Some(JoinError::Stopped));
    });
}

#[test]
fn handles_live_on_when_the_process_comes_back() {
    runtime().block_on(async {
        let mut engine = Loopback::new();
        // The join is the first message.
        engine.exclude_at = Some(1);
        let light = alone(engine, QUEUE_BYTES, PATIENCE).await;
        let (room, mut events) = light.join("room").await.unwrap();
        let first = view(next(&mut events).await);
        room.cast(b"lost with the incarnation").await.unwrap();
        assert_eq!(next(&mut events).await, Some(LightEvent::Away));
        room.cast(b"text").await.unwrap();
        let second = view(next(&mut events).await);
        assert!(second.joined && second.members[0].incarnation > first.members[0].incarnation);
        let text = LightEvent::Message { from: second.members[0], bytes: Bytes::from_static(b"text") };
        assert_eq!(next(&mut events).await, Some(text));
    });
}

#[test]
fn a_reader_that_does_not_read_loses_its_membership_and_nobody_elses() {
    runtime().block_on(async {
        let light = alone(Loopback::new(), 10_000, Duration::from_millis(20)).await;
        let (read, mut events) = light.join("read").await.unwrap();
        let (stuck, mut unread) = light.join("stuck").await.unwrap();
        view(next(&mut events).await);
        for _ in 0..20 {
            stuck.cast(&[7; 1000]).await.unwrap();
        }
        // Behind what nobody reads.
        read.cast(b"text").await.unwrap();
        assert!(matches!(next(&mut events).await, Some(LightEvent::Message { .. })));
        while stuck.cast(b"more").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let left = Some(LightEvent::Left(Ending::TooSlow));
        assert_eq!(next(&mut unread).await, left, "what was queued is gone");
        assert_eq!(next(&mut unread).await, None);
        assert_eq!(stuck.cast(b"late").await, Err(CastError::Left));
        assert_eq!(stuck.leave().await, Err(Ending::TooSlow));
        light.join("stuck").await.unwrap();
    });
}

#[test]
fn a_reader_that_is_slow_misses_nothing() {
    runtime().block_on(async {
        let light = alone(Loopback::new(), 10_000, Duration::from_secs(600)).await;
        let (room, mut events) = light.join("room").await.unwrap();
        view(next(&mut events).await);
        let caster = tokio::spawn(async move {
            for i in 0..5000_u32 {
                room.cast(&[&i.to_le_bytes()[..], &[0; 996]].concat()).await.unwrap();
            }
            room
        });
        // It takes what is there, and at most what was on its way: 1 MiB waits for the endpoint at a time.
        while light.budget.queued() <= 10_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(light.budget.queued() < 2 << 20, "{}", light.budget.queued());
        for i in 0..5000_u32 {
            let Some(LightEvent::Message { bytes, .. }) = next(&mut events).await else {
                panic!("message {i}")
            };
            assert_eq!(bytes[..4], i.to_le_bytes());
        }
        caster.await.unwrap();
    });
}

#[test]
fn what_is_dropped_is_left() {
    runtime().block_on(async {
        let light = alone(Loopback::new(), QUEUE_BYTES, PATIENCE).await;
        let (room, events) = light.join("room").await.unwrap();
        drop(events);
        for _ in 0..100 {
            room.cast(&[0; 1000]).await.unwrap();
        }
        let (_other, mut other) = light.join("other").await.unwrap();
        view(next(&mut other).await);
        assert_eq!(light.budget.queued(), 0, "nobody reads it");
        drop(room);
        while light.stats().groups > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Nobody waits for this one, wherever it stands when it is given up.
        {
            let mut join = std::pin::pin!(light.join("given up"));
            std::future::poll_fn(|cx| Poll::Ready(join.as_mut().poll(cx).is_ready())).await;
        }
        let (_room, mut events) = light.join("given up").await.unwrap();
        assert!(view(next(&mut events).await).joined);
    });
}

#[test]
fn what_light_groups_cannot_be_on_is_refused() {
    let b = || Group::builder("g").stack(crate::runtime::loopback::blueprint());
    let e = block_on(LightGroups::start(b())).err().expect("refused");
    assert!(e.to_string().contains("light groups need a stack that gives virtual-synchrony, total"), "{e}");
}
