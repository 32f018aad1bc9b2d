use std::net::SocketAddr;

use gcs::{
    blocks::Snapshot as _,
    id::{Incarnation, MemberId},
    message::Messages,
    view::{Member, View, ViewChange, ViewId},
};

use super::*;
use crate::{
    link::{self, Mac, MacChoice},
    net::Layer2,
    service::Echo,
    tcp::Config,
};

fn replica() -> Replica<Echo, Layer2> {
    let vips = vec!["10.0.0.100/24".parse().unwrap()];
    let link = Link::new(link::Config::ethernet(Mac([2, 0, 0, 0, 0, 1]), MacChoice::Own, vips)).unwrap();
    let listen = vec!["10.0.0.100:80".parse().unwrap()];
    let endpoint = Endpoint::new(Config::default(), listen, Echo);
    Replica::new(endpoint, link, Layer2, About::default(), [7; 32])
}

/// The first of two, or of itself.
fn view(number: u64, awaits_state: bool) -> Event {
    let addr: SocketAddr = "10.0.0.1:4803".parse().unwrap();
    let me = MemberId { addr, incarnation: Incarnation(1) };
    let view = View { id: ViewId { epoch: 1, number }, members: [Member::new(me, "me")].into() };
    let merged = Vec::new();
    Event::View(ViewChange { view, rank: 0, came_with: vec![me], primary: true, merged, awaits_state })
}

fn delivered(batch: &Batch) -> Event {
    Event::Messages(Messages::single(0, 0, batch.to_bytes()))
}

/// Casts and delivers what there is.
fn turn(replica: &mut Replica<Echo, Layer2>, now: Time) -> bool {
    let Some(batch) = replica.batch(now, AgreedTime(0)) else { return false };
    replica.cast(now);
    replica.on_event(now, delivered(&batch)).unwrap();
    true
}

/// What has become of it, without its views.
fn change(replica: &mut Replica<Echo, Layer2>) -> Option<Change> {
    std::iter::from_fn(|| replica.change()).find(|change| !matches!(change, Change::View { .. }))
}

/// One that has led since its clock showed 100 s.
fn old() -> Replica<Echo, Layer2> {
    let mut old = replica();
    let now = Time::from_ms(100_000);
    old.on_event(now, view(1, false)).unwrap();
    assert_eq!(old.role(), Role::First);
    while turn(&mut old, now) {}
    assert_eq!(change(&mut old), Some(Change::Leads));
    old
}

fn give(from: &Replica<Echo, Layer2>, to: &mut Replica<Echo, Layer2>, now: Time) {
    let state = from.freeze();
    for index in 0..state.chunks() {
        let (last, view) = (index + 1 == state.chunks(), ViewId { epoch: 1, number: 2 });
        to.on_event(now, Event::StateChunk { view, index, last, data: state.chunk(index) }).unwrap();
    }
}

#[test]
fn a_joiner_that_leads_before_anything_happens_goes_on_with_the_time_of_the_group() {
    let mut joiner = replica();
    give(&old(), &mut joiner, Time::from_ms(5));
    assert_eq!(change(&mut joiner), Some(Change::Joined));
    joiner.on_event(Time::from_ms(1_005), view(3, false)).unwrap();
    assert!(turn(&mut joiner, Time::from_ms(1_005)));
    assert_eq!(change(&mut joiner), Some(Change::Leads));
    assert_eq!(joiner.endpoint().last(), Time::from_ms(101_000));
}

#[test]
fn a_joiner_whose_view_has_nobody_else_leads_when_it_has_the_state() {
    let mut joiner = replica();
    joiner.on_event(Time::ZERO, view(2, true)).unwrap();
    assert_eq!(joiner.role(), Role::Follower);
    assert!(joiner.batch(Time::ZERO, AgreedTime(0)).is_none());
    give(&old(), &mut joiner, Time::ZERO);
    assert!(turn(&mut joiner, Time::ZERO));
    assert_eq!(joiner.role(), Role::Leader);
}

#[test]
fn nothing_leaves_without_a_lease() {
    let mut leader = old();
    assert!(leader.emit(Time::from_ms(100_000), || false).is_empty());
    assert!(leader.emit(Time::from_ms(100_040), || true).is_empty(), "what was dropped stays so");
    assert!(!leader.emit(Time::from_ms(100_060), || true).is_empty(), "announced again");
}
