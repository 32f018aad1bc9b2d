use super::*;
use crate::{
    endpoint::Event,
    net::{Transport, memory::Hub},
    runtime::{block_on, loopback::Loopback},
};
use std::time::Duration;

pub(crate) async fn loopback_group(builder: Builder, engine: Loopback) -> (Group, Events) {
    let transport: Box<dyn Transport> = Box::new(Hub::new().bind(([127, 0, 0, 1], 9).into()).unwrap());
    builder.launch(engine, transport, None).await.unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn view(events: &mut Events) -> ViewChange {
    match tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap() {
        Event::View(v) => v,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_cast_is_delivered_in_order_and_leaving_ends_the_stream() {
    for busy in [false, true] {
        runtime().block_on(async {
            let (group, mut events) =
                loopback_group(Group::builder("g").busy_poll(busy), Loopback::new()).await;
            assert_eq!(view(&mut events).await.view.len(), 1);
            assert!(group.lease_valid());
            assert_eq!(group.view().unwrap().view.id.number, 1);
            for i in 0..1000_u32 {
                group.cast(&i.to_le_bytes()).await.unwrap();
            }
            group.cast_batch(&[[1; 4], [2; 4]]).await.unwrap();
            let mut got = 0;
            while got < 1002 {
                let Some(Event::Messages(m)) = events.next().await else { panic!("messages") };
                for (i, message) in m.iter().enumerate() {
                    if got + i < 1000 {
                        assert_eq!(message, (got as u32 + i as u32).to_le_bytes());
                    }
                }
                got += m.count as usize;
            }
            group.leave().await.unwrap();
            assert!(matches!(events.next().await, Some(Event::Left(LeaveReason::Asked))));
            assert!(events.next().await.is_none());
            assert_eq!(group.cast(b"late").await, Err(CastError::Left));
            assert!(!group.lease_valid());
            assert_eq!(group.stats().endpoint.views, 1);
        });
    }
}

#[test]
fn an_idle_driver_sleeps() {
    runtime().block_on(async {
        let engine = Loopback::new();
        let rounds = Arc::clone(&engine.rounds);
        let (_group, mut events) = loopback_group(Group::builder("g"), engine).await;
        view(&mut events).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let rounds = rounds.load(std::sync::atomic::Ordering::Relaxed);
        assert!(rounds < 50, "{rounds} rounds for five deadlines");
    });
}

#[test]
fn a_slow_application_makes_casts_wait_and_loses_nothing() {
    runtime().block_on(async {
        let (group, mut events) =
            loopback_group(Group::builder("g").queue_bytes(256 << 10), Loopback::new()).await;
        view(&mut events).await;
        let message = vec![7; 10_000];
        let mut cast = 0_u64;
        // Fill the queue and the buffer in front of it.
        let full = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                match group.try_cast(&message) {
                    Ok(()) => cast += 1,
                    Err(CastError::WouldBlock) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        if group.try_cast(&message).is_err() {
                            break;
                        }
                        cast += 1;
                    }
                    Err(e) => panic!("{e}"),
                }
            }
        });
        full.await.expect("casts are refused in the end");
        assert!(cast * 10_000 < 8 << 20, "bounded: {cast}");
        let waiting = tokio::spawn({
            let (group, message) = (group.clone(), message.clone());
            async move { group.cast(&message).await }
        });
        let mut got = 0;
        let mut batch = Vec::new();
        while got <= cast {
            let more = tokio::time::timeout(Duration::from_secs(5), events.next_batch(&mut batch)).await;
            assert!(more.expect("events go on"));
            got += batch
                .drain(..)
                .map(|e| if let Event::Messages(m) = e { u64::from(m.count) } else { 0 })
                .sum::<u64>();
        }
        waiting.await.unwrap().unwrap();
        assert_eq!(got, cast + 1);
    });
}

#[test]
fn dropping_everything_stops_the_thread_and_dropping_events_does_not() {
    runtime().block_on(async {
        let (group, events) = loopback_group(Group::builder("g"), Loopback::new()).await;
        let shared = Arc::clone(group.shared());
        drop(events);
        for _ in 0..100 {
            group.cast(&[0; 100_000]).await.unwrap();
        }
        drop(group);
        let mut status = shared.status.subscribe();
        let stopped = status.wait_for(|s| s.stopped);
        tokio::time::timeout(Duration::from_secs(5), stopped).await.expect("stops").unwrap();
    });
}

#[test]
fn a_thread_without_a_runtime_can_use_it() {
    let (group, mut events) = block_on(loopback_group(Group::builder("g"), Loopback::new()));
    assert!(matches!(events.blocking_next(), Some(Event::View(_))));
    block_on(group.cast(b"hello")).unwrap();
    assert!(matches!(events.blocking_next(), Some(Event::Messages(m)) if m.iter().eq([b"hello"])));
}

#[test]
fn wrong_settings_are_refused_in_one_sentence() {
    let addr: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let refused = |b: Builder| block_on(b.start()).err().expect("refused").to_string();
    assert!(refused(Group::builder("g").bind(addr)).contains("`stack`"));
    let b = || Group::builder("g").stack(crate::runtime::loopback::blueprint());
    assert!(refused(b()).contains("`bind`"));
    assert!(refused(b().bind("0.0.0.0:1".parse().unwrap())).contains("wildcard"));
    assert!(refused(b().bind(addr).contact("0.0.0.0:1".parse().unwrap())).contains("contact"));
    assert!(refused(b().bind(addr)).contains("contact"));
    assert!(refused(b().bind(addr).expect(0)).contains("founders"));
    assert!(refused(b().bind(addr).found().own_thread(false)).contains("no tokio runtime"));
    assert!(refused(b().bind(addr).contact_name("db")).contains("`db` cannot be a contact"));
    assert!(refused(b().bind(addr).found().mtu(100)).contains("100 bytes"));
    let (first, _events) = block_on(b().bind(addr).found().start()).unwrap();
    assert!(refused(b().bind(first.local_addr()).found()).contains("in use"));
}
