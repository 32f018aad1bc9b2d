//! What a route keeps, says again, passes on, and gives up.

use super::*;

const OWN: u64 = 7;

fn told() -> Told {
    let rows = vec![crate::row::Row::new([("text", "x".repeat(100).as_str().into())])];
    Told { agent: "/a/b".into(), at_ms: 0, rows }
}

fn other(nth: u32) -> Fired {
    Fired { id: EventId { origin: 8, nth }, rows: 1, lost: 0, told: Some(told()), seal: None }
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn sent(route: &mut Route, now: Time, to: SocketAddr) -> Vec<Fired> {
    let (_, fired) = route.batch().unwrap();
    route.sent(now, &fired, &[to]);
    fired
}

#[test]
fn what_is_not_confirmed_is_said_again_and_what_is_given_up_is_counted() {
    let mut route = Route::new(OWN);
    for _ in 0..KEPT {
        assert!(route.fire(Time::ZERO, 2, (told(), 1), Delivery::AtLeastOnce, |_| {}));
    }
    assert!(!route.fire(Time::ZERO, 2, (told(), 1), Delivery::AtLeastOnce, |_| {}));
    let mut first = Vec::new();
    while route.is_due(Time::from_ms(900)) {
        first.extend(sent(&mut route, Time::ZERO, at(1)).iter().map(|fired| fired.id));
    }
    assert_eq!(first.len(), KEPT);
    assert!(route.confirmed(at(2), &first).is_empty() && route.kept.len() == KEPT, "who is that?");
    route.confirmed(at(1), &first[1..]);
    route.retry(Time::from_ms(1001), 2, Duration::default);
    let again = sent(&mut route, Time::from_ms(1001), at(3));
    assert_eq!(again.iter().map(|fired| fired.id).collect::<Vec<_>>(), first[..1]);
    route.confirmed(at(3), &first[..1]);
    assert_eq!(route.next_timer(), Time::NEVER);
    assert!(route.fire(Time::ZERO, 2, (told(), 1), Delivery::AtLeastOnce, |_| {}));
    assert_eq!(sent(&mut route, Time::from_ms(2000), at(1))[0].lost, 1);
}

#[test]
fn copies_end_here_and_confirmations_go_to_all_who_have_sent_one() {
    let mut route = Route::new(OWN);
    for port in [1, 2, 1] {
        route.pass(Time::ZERO, 1, at(port), other(1), Delivery::AtLeastOnce);
    }
    assert_eq!(sent(&mut route, Time::ZERO, at(9)).len(), 1);
    route.pass(Time::from_ms(399), 1, at(1), other(1), Delivery::AtLeastOnce);
    assert!(route.batch().is_none(), "a copy");
    route.pass(Time::from_ms(400), 1, at(3), other(1), Delivery::AtLeastOnce);
    assert_eq!(route.batch().map(|(lane, fired)| (lane.tries, fired.len())), Some((1, 1)));
    let id = other(1).id;
    assert!(route.confirmed(at(8), &[id]).is_empty());
    let back = route.confirmed(at(9), &[id]);
    assert_eq!(back.into_keys().collect::<Vec<_>>(), [at(1), at(2), at(3)]);
}

#[test]
fn a_full_queue_counts_what_is_said_once_and_takes_no_more_of_what_comes_again() {
    for (delivery, lost) in [(Delivery::AtMostOnce, 10), (Delivery::AtLeastOnce, 0)] {
        let mut route = Route::new(OWN);
        for nth in 1..=QUEUE as u32 + 10 {
            route.pass(Time::ZERO, 1, at(1), other(nth), delivery);
        }
        assert_eq!((route.queue.len(), route.told), (QUEUE, TOLD));
        let (mut all, mut bytes) = (Vec::new(), 0);
        while let Some((_, fired)) = route.batch() {
            bytes = bytes.max(fired.iter().map(Fired::bytes).sum());
            all.extend(fired);
        }
        assert_eq!(all.len(), QUEUE);
        assert_eq!(all.iter().map(|fired| fired.lost).sum::<u32>(), lost, "{delivery:?}");
        assert!(bytes <= message::ROWS_MAX && route.told == 0, "{bytes}");
    }
}

#[test]
fn a_stranger_who_makes_up_events_fills_no_memory() {
    let mut route = Route::new(OWN);
    for nth in 1..10_000 {
        route.pass(Time::ZERO, 1, at(1), other(nth), Delivery::AtLeastOnce);
        sent(&mut route, Time::ZERO, at(9));
    }
    assert!(route.passed.len() == PASSED && route.came.len() == PASSED);
    route.forget(Time::from_ms(20_001));
    assert!(route.passed.is_empty() && route.came.is_empty());
}
