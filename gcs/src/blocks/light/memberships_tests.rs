use super::*;
use crate::{
    id::Incarnation,
    view::{Member, View, ViewId},
};

fn member(port: u16, life: u64) -> MemberId {
    MemberId { addr: ([10, 0, 0, 1], port).into(), incarnation: Incarnation(life) }
}

fn change(members: &[MemberId], rank: Rank, awaits_state: bool) -> ViewChange {
    ViewChange {
        view: View { id: ViewId::default(), members: members.iter().map(|m| Member::new(*m, "m")).collect() },
        rank,
        came_with: Vec::new(),
        primary: true,
        merged: Vec::new(),
        awaits_state,
    }
}

/// What is to be cast, in order.
fn said(m: &mut Memberships) -> Vec<Bytes> {
    std::iter::from_fn(|| m.next_cast()).map(Bytes::from).collect()
}

fn happened(m: &mut Memberships) -> Vec<(SeatId, LightEvent)> {
    std::iter::from_fn(|| m.next_event()).collect()
}

/// Delivers what it wants cast, and whatever follows from that. Returns how many messages that took.
fn deliver_own(m: &mut Memberships, me: MemberId) -> usize {
    let mut count = 0;
    while let Some(message) = m.next_cast() {
        m.deliver(me, &message.into());
        count += 1;
    }
    count
}

#[test]
fn a_join_is_one_message_and_so_is_a_leave() {
    let (one, two) = (member(1, 1), member(2, 1));
    let mut m = Memberships::new();
    let seat = m.join("room").unwrap();
    assert_eq!(m.join("room"), Err(JoinError::Member));
    assert_eq!((m.join(""), m.join(&"n".repeat(256))), (Err(JoinError::Name(0)), Err(JoinError::Name(256))));
    assert_eq!(m.casts(), 0, "nothing is said before there is a view");
    m.view(&change(&[one, two], 0, false));
    assert_eq!(deliver_own(&mut m, one), 1);
    m.deliver(two, &codec::join("room").into());
    m.deliver(two, &codec::join("other").into());
    let text = m.message(seat, b"text").unwrap();
    m.deliver(two, &text.clone().into());
    m.leave(seat);
    assert_eq!(m.message(seat, b"text"), None, "it would come behind the next join");
    assert_eq!(deliver_own(&mut m, one), 1);
    m.deliver(two, &text.into());
    let view = |number, members: &[MemberId], joined| {
        LightEvent::View(LightView { group: 1, number, members: members.to_vec(), joined })
    };
    let message = LightEvent::Message { from: two, bytes: Bytes::from_static(b"text") };
    let expected =
        [view(1, &[one], true), view(2, &[one, two], false), message, LightEvent::Left(Ending::Asked)];
    assert_eq!(happened(&mut m), expected.map(|e| (seat, e)));
    let stats = m.stats();
    assert_eq!((stats.groups, stats.joined, stats.delivered, stats.discarded), (2, 0, 1, 1));
}

#[test]
fn only_members_are_heard() {
    let (one, two) = (member(1, 1), member(2, 1));
    let mut m = Memberships::new();
    m.view(&change(&[one, two], 0, false));
    let seat = m.join("room").unwrap();
    deliver_own(&mut m, one);
    happened(&mut m);
    let text: Bytes = m.message(seat, b"text").unwrap().into();
    m.deliver(two, &text);
    m.deliver(member(3, 1), &text);
    m.deliver(two, &Bytes::from_static(b"nonsense"));
    assert_eq!(happened(&mut m), []);
    assert_eq!((m.stats().discarded, m.stats().malformed), (1, 1));
}

/// The message of an earlier incarnation that is still in the queue names a light group that this one is not in yet.
#[test]
fn a_new_incarnation_joins_again_behind_what_is_left_of_the_last() {
    let (old, two, new) = (member(1, 1), member(2, 1), member(1, 2));
    let mut m = Memberships::new();
    m.view(&change(&[old, two], 0, false));
    let (stays, leaves, joins) =
        (m.join("stays").unwrap(), m.join("leaves").unwrap(), m.join("joins").unwrap());
    for message in said(&mut m).into_iter().take(2) {
        m.deliver(old, &message);
    }
    m.deliver(two, &codec::join("stays").into());
    let state = m.snapshot();
    happened(&mut m);
    let stale: Bytes = m.message(stays, b"stale").unwrap().into();
    m.leave(leaves);
    let left = said(&mut m);

    m.view(&change(&[two, new], 1, true));
    assert_eq!(happened(&mut m), [(stays, LightEvent::Away), (leaves, LightEvent::Left(Ending::Asked))]);
    assert_eq!((m.message(stays, b""), said(&mut m)), (None, vec![]));
    // The state at the beginning of that view: the old incarnation is not in it.
    let mut donor = Memberships::new();
    donor.view(&change(&[old, two], 1, true));
    donor.restore(0, true, &state.chunk(0)).unwrap();
    donor.view(&change(&[two, new], 0, false));
    assert_eq!(donor.stats().groups, 1);
    m.restore(0, true, &donor.snapshot().chunk(0)).unwrap();
    let again = said(&mut m);
    assert_eq!(again, [codec::join("stays"), codec::join("joins")]);
    // First what was left in the queue of the old incarnation, its own join among it.
    for message in [vec![stale, codec::join("joins").into()], left, again].concat() {
        m.deliver(new, &message);
        donor.deliver(new, &message);
    }
    let got = happened(&mut m);
    let view = |group, number, members: &[MemberId]| {
        LightEvent::View(LightView { group, number, members: members.to_vec(), joined: true })
    };
    assert_eq!(got, [(joins, view(3, 1, &[new])), (stays, view(1, 4, &[two, new]))]);
    assert_eq!(m.directory, donor.directory);
}

#[test]
fn a_membership_that_nobody_wants_any_more_is_left_at_once() {
    let one = member(1, 1);
    let mut m = Memberships::new();
    m.view(&change(&[one], 0, false));
    let seat = m.join("room").unwrap();
    m.leave(seat);
    assert_eq!(happened(&mut m), [(seat, LightEvent::Left(Ending::Asked))]);
    assert_eq!(deliver_own(&mut m, one), 2, "a join and a leave");
    assert_eq!(m.stats().groups, 0);
    // Somebody else wants it before the first join is delivered.
    let first = m.join("room").unwrap();
    m.leave(first);
    let second = m.join("room").unwrap();
    assert_eq!(deliver_own(&mut m, one), 2, "two joins, of which the second does nothing");
    assert_eq!((m.seat_of("room"), m.stats().joined), (Some(second), 1));
    // And again while a leave is under way.
    m.leave(second);
    let third = m.join("room").unwrap();
    assert_eq!(deliver_own(&mut m, one), 2, "a leave and a join");
    assert_eq!((m.seat_of("room"), m.stats().joined), (Some(third), 1));
}

#[test]
fn a_state_that_is_not_of_this_view_is_refused() {
    let (one, two) = (member(1, 1), member(2, 1));
    let mut donor = Memberships::new();
    donor.view(&change(&[one], 0, false));
    let mut m = Memberships::new();
    m.view(&change(&[one, two], 1, true));
    assert!(m.restore(0, true, &donor.snapshot().chunk(0)).is_err());
    assert!(m.restore(0, true, b"nonsense").is_err());
    assert!(m.restore(0, false, &vec![0; MAX_STATE]).is_ok());
    assert!(m.restore(1, false, &[0]).is_err(), "more than any state has");
    donor.view(&change(&[one, two], 0, false));
    assert!(m.restore(0, true, &donor.snapshot().chunk(0)).is_ok());
}
