//! What cannot work is said in one sentence, with exit code 2; groups do not mix; IPv6 works.

mod processes;

use gcs::frame::WIRE_VERSION;
use processes::{Cat, DEADLINE, Start, free_addr, free_addrs, three};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// It gives up, with one line that contains these words.
fn complains(mut cat: Cat, words: &[&str]) {
    let (code, complaint) = cat.ended();
    assert_eq!(code, Some(2), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    for word in words {
        assert!(complaint.contains(word), "`{word}` is not in: {complaint}");
    }
    assert_eq!(cat.view_count(), 0);
}

fn founder(group: &str, name: &str, addr: SocketAddr) -> Cat {
    let cat = Start::new(group, name, addr).with(&["--found"]).spawn();
    cat.wait_view(&[name]);
    cat
}

#[test]
fn another_stack_is_refused() {
    let [at, other] = free_addrs();
    let first = founder("stack", "first", at);
    let start = Start::new("stack", "second", other).contacts(&[at]).with(&["--stack", "fifo"]);
    complains(start.spawn(), &["stack", "uniform/1", "sequencer/1", &at.to_string()]);
    assert_eq!(first.view_count(), 1);
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let [at, other] = free_addrs();
    let first = founder("names", "twin", at);
    complains(Start::new("names", "twin", other).contacts(&[at]).spawn(), &["twin", "taken"]);
    assert_eq!(first.view_count(), 1);
}

#[test]
fn nobody_answers() {
    let [at, nobody] = free_addrs();
    let start = Start::new("nobody", "a", at).contacts(&[nobody]).with(&["--join-timeout", "0.5"]);
    complains(start.spawn(), &["answered"]);
}

#[test]
fn another_version_of_the_protocol_is_named() {
    let [at, contact, member] = free_addrs();
    let newer = UdpSocket::bind(contact).unwrap();
    let start = Start::new("version", "a", at).contacts(&[contact]).with(&["--join-timeout", "0.5"]);
    let joiner = start.spawn();
    let mut buf = [0; 2000];
    newer.set_read_timeout(Some(DEADLINE)).unwrap();
    let (_, from) = newer.recv_from(&mut buf).unwrap();
    // Who looks for a group speaks as the oldest version that it can.
    let (control, version) = (buf[0], buf[1]);
    let unknown = WIRE_VERSION + 1;
    newer.send_to(&[control, unknown, 7, 7, 7], from).unwrap();
    let (said, mine) = (format!("version {unknown}"), format!("process {WIRE_VERSION}"));
    complains(joiner, &["refused", &contact.to_string(), &said, &mine]);
    // The other way round: a member tells a newer joiner which version it speaks.
    let _member = founder("version", "b", member);
    newer.send_to(&[control, unknown, 7, 7, 7], member).unwrap();
    // What the joiner had sent comes first.
    while newer.recv_from(&mut buf).unwrap().1 != member {}
    assert_eq!(buf[..2], [control, version]);
}

#[test]
fn an_address_in_use() {
    let [at, listening] = free_addrs();
    let _first = founder("busy", "first", at);
    complains(Start::new("busy", "second", at).with(&["--found"]).spawn(), &["in use", &at.to_string()]);
    let _tcp = TcpListener::bind(listening).unwrap();
    complains(Start::new("busy", "third", listening).with(&["--found"]).spawn(), &["in use", "TCP"]);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = udp.local_addr().unwrap();
    complains(Start::new("busy", "fourth", at).with(&["--found"]).spawn(), &["in use", "UDP"]);
}

#[test]
fn settings_that_make_no_sense() {
    let [at] = free_addrs();
    let start = |words: &[&str]| Start::new("sense", "a", at).with(words).spawn();
    complains(start(&[]), &["contact"]);
    complains(start(&["--found", "--stack", "best"]), &["best", "total+uniform"]);
    complains(start(&["--contact", "here"]), &["here", "cannot be a contact", "port"]);
    complains(start(&["--expect", "0"]), &["founders"]);
    complains(start(&["--found", "--expect", "3"]), &["--found", "--expect"]);
    complains(start(&["--found", "--frobnicate"]), &["--frobnicate"]);
    complains(start(&["--contact", "127.0.0.1:0"]), &["127.0.0.1:0"]);
    let wildcard = SocketAddr::from(([0, 0, 0, 0], at.port()));
    complains(Start::new("sense", "a", wildcard).with(&["--found"]).spawn(), &["wildcard"]);
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], at.port()));
    complains(Start::new("sense", "a", elsewhere).with(&["--found"]).spawn(), &["192.0.2.1"]);
    let name = "n".repeat(65);
    complains(Start::new("sense", &name, at).with(&["--found"]).spawn(), &["name", "64"]);
}

#[test]
fn groups_with_different_names_do_not_mix() {
    let addrs = free_addrs::<4>();
    let start = |group: &str, i: usize| {
        Start::new(group, &format!("{group}{i}"), addrs[i]).contacts(&addrs).expect(2).spawn()
    };
    let cats = [start("x", 0), start("y", 1), start("x", 2), start("y", 3)];
    for (i, cat) in cats.iter().enumerate() {
        cat.wait_view(if i % 2 == 0 { &["x0", "x2"] } else { &["y1", "y3"] });
    }
    for cat in &cats {
        cat.send_lines(&(0..200).map(|i| format!("{} {i}", cat.name)).collect::<Vec<_>>());
    }
    for (cat, peer) in [(0, 2), (2, 0), (1, 3), (3, 1)] {
        let (cat, peer) = (&cats[cat], &cats[peer]);
        cat.wait_messages(&cat.name, 200);
        cat.wait_messages(&peer.name, 200);
        assert_eq!(cat.messages().len(), 400);
        assert_eq!(cat.view_count(), 1);
    }
}

#[test]
fn over_ipv6() {
    let ip = Ipv6Addr::LOCALHOST.into();
    let cats = three("six", &std::array::from_fn(|_| free_addr(ip)));
    for cat in &cats {
        cat.send_lines(&(0..200).map(|i| i.to_string()).collect::<Vec<_>>());
    }
    for mut cat in cats {
        cat.wait_messages("a", 200);
        cat.wait_messages("b", 200);
        cat.wait_messages("c", 200);
        cat.leaves();
    }
}
