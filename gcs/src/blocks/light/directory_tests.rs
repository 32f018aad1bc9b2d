use super::*;
use crate::{
    blocks::{
        Snapshot,
        light::codec::{self, Frozen, Said, decode_state, encode_state},
    },
    id::Incarnation,
};
use proptest::prelude::*;

fn member(n: u16, life: u64) -> MemberId {
    MemberId { addr: ([10, 0, 0, 1], n).into(), incarnation: Incarnation(life) }
}

fn members(ns: &[u16]) -> Vec<MemberId> {
    ns.iter().map(|n| member(*n, 1)).collect()
}

fn of(d: &Directory, name: &str) -> Option<(u64, u64, Vec<u16>)> {
    let id = *d.ids.get(name)?;
    let group = d.get(id)?;
    Some((id, group.view, d.members(group).map(|m| m.addr.port()).collect()))
}

#[test]
fn a_group_that_comes_again_has_another_id() {
    let mut d = Directory::default();
    d.view_changed(&members(&[1, 2, 3]));
    assert_eq!(d.join(0, "a"), Join::Joined(1));
    assert_eq!(d.join(2, "a"), Join::Joined(1));
    assert_eq!(d.join(2, "a"), Join::Already);
    assert_eq!(d.join(1, "b"), Join::Joined(2));
    assert_eq!(of(&d, "a"), Some((1, 2, vec![1, 3])));
    assert!(d.leave(0, 1) && !d.leave(0, 1) && d.leave(2, 1));
    assert_eq!(of(&d, "a"), None);
    assert!(!d.leave(2, 1));
    assert_eq!(d.join(2, "a"), Join::Joined(3));
    assert!(!d.is_member(2, 1));
    d.check();
}

#[test]
fn who_is_gone_leaves_everything_in_one_step_and_its_slot_is_free() {
    let mut d = Directory::default();
    d.view_changed(&members(&[1, 2, 3, 4]));
    for (slot, name) in [(1, "a"), (0, "a"), (3, "a"), (1, "b"), (0, "c")] {
        assert!(matches!(d.join(slot, name), Join::Joined(_)));
    }
    assert_eq!(d.view_changed(&members(&[1, 3, 5])), [1]);
    assert_eq!(of(&d, "a"), Some((1, 4, vec![1])));
    assert_eq!((of(&d, "b"), of(&d, "c")), (None, Some((3, 1, vec![1]))));
    assert_eq!(d.slot_of(member(5, 1)), Some(1), "the first slot that is free");
    // Another life is another member.
    assert_eq!(d.view_changed(&[member(1, 2), member(3, 1), member(5, 1)]), []);
    assert!(d.groups.is_empty());
    d.check();
}

#[test]
fn there_is_a_most() {
    let mut d = Directory::default();
    d.view_changed(&members(&[1, 2]));
    for i in 0..MAX_GROUPS {
        assert!(matches!(d.join(0, &i.to_string()), Join::Joined(_)));
    }
    assert_eq!(d.join(0, "one more"), Join::Full);
    assert_eq!(d.join(1, "7"), Join::Joined(8));
    let state = Frozen(encode_state(&d).into());
    assert!(state.0.len() <= codec::MAX_STATE && state.chunks() > 1);
    let whole: Vec<u8> = (0..state.chunks()).flat_map(|i| state.chunk(i)).collect();
    assert_eq!(decode_state(&whole), Some(d));
}

#[test]
fn messages_come_back_and_nonsense_is_refused() {
    let mut m = codec::message(b"hello");
    codec::address(&mut m, 7);
    assert_eq!(codec::decode(&m), Some(Said::Message(7, b"hello")));
    assert_eq!(codec::decode(&codec::join("x")), Some(Said::Join("x")));
    assert_eq!(codec::decode(&codec::leave(9)), Some(Said::Leave(9)));
    assert!(codec::decode(&codec::join(&"n".repeat(MAX_NAME))).is_some());
    for bad in
        [&[][..], &m[..8], &codec::join(""), &codec::join(&"n".repeat(MAX_NAME + 1)), b"\x11\xff", b"\x13"]
    {
        assert_eq!(codec::decode(bad), None, "{bad:?}");
    }
    assert_eq!(codec::decode(&[codec::leave(9), vec![0]].concat()), None);
}

#[test]
fn a_state_that_does_not_hold_together_is_refused() {
    let mut good = Directory::default();
    good.view_changed(&members(&[1, 2, 3]));
    for (slot, name) in [(0, "a"), (1, "a"), (2, "b")] {
        good.join(slot, name);
    }
    let refused = |spoil: fn(&mut Directory)| {
        let mut d = good.clone();
        spoil(&mut d);
        decode_state(&encode_state(&d)).is_none()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|d| d.next = 2), "an id that is still to be given");
    assert!(refused(|d| d.slots[1] = None), "a member that is not in the view");
    assert!(refused(|d| d.slots[1] = d.slots[0]), "a process twice");
    assert!(refused(|d| d.groups.get_mut(&1).unwrap().members.clear()), "an empty group");
    assert!(refused(|d| d.groups.get_mut(&1).unwrap().members.push(0)), "a member twice");
    assert!(refused(|d| d.groups.get_mut(&1).unwrap().members.push(64)), "a slot that cannot be");
    assert!(refused(|d| d.groups.get_mut(&1).unwrap().view = 0), "no view");
    assert!(refused(|d| d.groups.get_mut(&1).unwrap().name = "b".into()), "a name twice");
    assert!(refused(|d| d.groups.get_mut(&1).unwrap().name = "".into()), "no name");
    let bytes = encode_state(&good);
    assert!((0..bytes.len()).all(|n| decode_state(&bytes[..n]).is_none()));
    assert!(decode_state(&[bytes, vec![0]].concat()).is_none());
}

/// Something that can happen.
#[derive(Clone, Debug)]
enum Step {
    Join(u16, u8),
    Leave(u16, u8),
    /// The processes of the next view.
    View(Vec<u16>),
    /// A replica is replaced by what its state says.
    Transfer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u16, 0..5_u8).prop_map(|(p, n)| Step::Join(p, n)),
        3 => (0..6_u16, 0..5_u8).prop_map(|(p, n)| Step::Leave(p, n)),
        2 => proptest::collection::btree_set(0..6_u16, 1..6).prop_map(|s| Step::View(s.into_iter().collect())),
        1 => Just(Step::Transfer),
    ]
}

proptest! {
    /// Against lists of names: the same members in the same order, and a replica that has received the state goes on as
    /// one that has seen everything.
    #[test]
    fn it_does_what_lists_do(steps in proptest::collection::vec(step(), 0..120)) {
        let mut d = Directory::default();
        let mut replica = d.clone();
        let mut lists: BTreeMap<u8, (u64, Vec<u16>)> = BTreeMap::new();
        let mut view = vec![0, 1, 2];
        let mut given = 0;
        for dir in [&mut d, &mut replica] {
            dir.view_changed(&members(&view));
        }
        for s in steps {
            match s {
                Step::Join(p, n) if view.contains(&p) => {
                    let list = lists.entry(n).or_default();
                    let new = !list.1.contains(&p);
                    if new {
                        list.0 += 1;
                        list.1.push(p);
                    }
                    for dir in [&mut d, &mut replica] {
                        let slot = dir.slot_of(member(p, 1)).unwrap();
                        let before = dir.next;
                        let joined = dir.join(slot, &n.to_string());
                        prop_assert_eq!(matches!(joined, Join::Joined(_)), new);
                        prop_assert!(!matches!(joined, Join::Joined(id) if id <= given && dir.next != before));
                    }
                    given = d.next - 1;
                }
                Step::Leave(p, n) if view.contains(&p) => {
                    let list = lists.entry(n).or_default();
                    let was = list.1.contains(&p);
                    if was {
                        list.0 += 1;
                        list.1.retain(|m| *m != p);
                    }
                    let id = d.ids.get(n.to_string().as_str()).copied().unwrap_or(0);
                    for dir in [&mut d, &mut replica] {
                        let slot = dir.slot_of(member(p, 1)).unwrap();
                        prop_assert_eq!(dir.leave(slot, id), was);
                    }
                }
                Step::View(next) => {
                    view = next;
                    for (number, list) in lists.values_mut() {
                        let before = list.len();
                        list.retain(|m| view.contains(m));
                        *number += u64::from(list.len() != before);
                    }
                    let changed = d.view_changed(&members(&view));
                    prop_assert_eq!(changed, replica.view_changed(&members(&view)));
                }
                Step::Transfer => replica = decode_state(&encode_state(&d)).unwrap(),
                Step::Join(..) | Step::Leave(..) => {}
            }
            lists.retain(|_, (_, l)| !l.is_empty());
            d.check();
            prop_assert!(d.is_of(&members(&view)));
            prop_assert_eq!(&d, &replica);
            let there: Vec<_> = lists.iter().map(|(n, (v, l))| (n.to_string(), *v, l.clone())).collect();
            let mut found: Vec<_> = d.groups.values()
                .map(|g| (g.name.to_string(), g.view, d.members(g).map(|m| m.addr.port()).collect::<Vec<_>>()))
                .collect();
            found.sort();
            prop_assert_eq!(there, found);
        }
    }

    /// Bytes that nobody has encoded are refused or make a state that holds together.
    #[test]
    fn hostile_bytes_do_no_harm(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<proptest::sample::Index>(),
        value in any::<u8>(),
    ) {
        let _ = codec::decode(&noise);
        if let Some(d) = decode_state(&noise) {
            d.check();
        }
        let mut d = Directory::default();
        d.view_changed(&members(&[1, 2, 3]));
        for (slot, name) in [(0, "a"), (1, "a"), (2, "b"), (1, "c")] {
            d.join(slot, name);
        }
        let mut bytes = encode_state(&d);
        let i = at.index(bytes.len());
        bytes[i] = value;
        if let Some(d) = decode_state(&bytes) {
            d.check();
        }
    }
}
