use super::*;
use std::future::poll_fn;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn port() -> u16 {
    crate::net::unused_addr([127, 0, 0, 1].into()).unwrap().port()
}

fn probe(reach: &mut Reach, times: u32, at: &mut Time, to: &Addrs) {
    for _ in 0..times {
        *at = *at + PROBE_EVERY;
        reach.route(to, addr(9));
        assert!(reach.probe_due(*at));
        assert!(!reach.probe_due(*at), "one at a time");
    }
}

#[test]
fn who_answers_is_reached_until_it_falls_silent() {
    let (mut reach, mut now) = (Reach::default(), Time::ZERO);
    let to: Addrs = smallvec![addr(1), addr(2), addr(3)];
    let group = addr(9);
    assert_eq!(reach.route(&to, group), to, "nobody is known to be reached");
    probe(&mut reach, 1, &mut now, &to);
    reach.on_answer(addr(1));
    assert_eq!(reach.route(&to, group), to, "multicast to one would save nothing");
    reach.on_answer(addr(3));
    let split: Addrs = smallvec![addr(2), group];
    assert_eq!(reach.route(&to, group), split);
    probe(&mut reach, LOST, &mut now, &to);
    reach.on_answer(addr(2));
    assert_eq!(reach.route(&to, group)[..], [group]);
    probe(&mut reach, 1, &mut now, &to);
    assert_eq!(reach.route(&to, group), to, "two of the three are silent");
}

#[test]
fn who_is_not_sent_to_is_forgotten_and_strangers_are_not_learned() {
    let (mut reach, mut now) = (Reach::default(), Time::ZERO);
    reach.on_answer(addr(1));
    assert!(reach.peers.is_empty());
    let to: Addrs = smallvec![addr(1), addr(2)];
    probe(&mut reach, 1, &mut now, &to);
    assert_eq!(reach.peers.len(), 2);
    assert!(reach.probe_due(now + PROBE_EVERY));
    assert!(reach.peers.is_empty());
    for port in 1..=2 * PEERS as u16 {
        reach.route(&smallvec![addr(port), addr(port)], addr(9));
    }
    assert_eq!(reach.peers.len(), PEERS);
}

fn bind(group: SocketAddrV4) -> Multicast {
    let mut m = Multicast::new(Udp::bind(addr(0)).unwrap(), group).unwrap();
    m.start().unwrap();
    m
}

/// Sends numbered datagrams from the first to the others until `done` says so of what has been received.
async fn talk(
    all: &mut [&mut dyn Transport],
    done: impl Fn(u64, &[Vec<Datagram>]) -> bool,
) -> Vec<Vec<Datagram>> {
    let to: Addrs = all[1..].iter().map(|t| t.local_addr()).collect();
    let mut got = vec![Vec::new(); all.len()];
    for n in 0_u32..500 {
        let mut payload = vec![1; WORTH];
        payload[1..5].copy_from_slice(&n.to_le_bytes());
        all[0].send(&mut vec![Transmit { to: to.clone(), payload: Bytes::from(payload).into() }]);
        for (t, got) in all.iter_mut().zip(&mut got) {
            let _ = tokio::time::timeout(Duration::from_millis(4), poll_fn(|cx| t.poll_recv(cx, got))).await;
        }
        if done(all[0].stats().multicast, &got) {
            return got;
        }
    }
    panic!("multicast on the loopback interface does not work here");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn one_datagram_reaches_several_once_and_not_its_sender() {
    runtime().block_on(async {
        let group = SocketAddrV4::new([239, 192, 71, 1].into(), port());
        let (mut a, mut b, mut c) = (bind(group), bind(group), bind(group));
        let sender = a.local_addr();
        let got =
            talk(&mut [&mut a, &mut b, &mut c], |multicast, got| multicast > 20 && got[1].len() > 25).await;
        assert!(got[0].is_empty(), "the sender does not hear itself");
        for got in &got[1..] {
            let numbers: Vec<_> = got.iter().map(|d| d.payload[1..5].to_vec()).collect();
            let mut once = numbers.clone();
            once.dedup();
            assert_eq!(numbers, once);
            assert!(got.iter().all(|d| d.from == sender && d.payload.len() == WORTH));
        }
    });
}

#[test]
fn who_has_not_joined_gets_unicast() {
    runtime().block_on(async {
        let group = SocketAddrV4::new([239, 192, 71, 2].into(), port());
        let (mut a, mut b, mut c) = (bind(group), bind(group), bind(group));
        let mut deaf = Udp::bind(addr(0)).unwrap();
        deaf.start().unwrap();
        let done = |multicast, got: &[Vec<Datagram>]| multicast > 20 && got[3].len() > 25;
        talk(&mut [&mut a, &mut b, &mut c, &mut deaf], done).await;
    });
}

#[test]
fn what_cannot_multicast_is_refused() {
    let group = |s: &str| s.parse::<SocketAddrV4>().unwrap();
    for (bind, to) in
        [("127.0.0.1:0", "10.0.0.1:7400"), ("127.0.0.1:0", "239.1.1.1:0"), ("[::1]:0", "239.1.1.1:7")]
    {
        let e = Multicast::new(Udp::bind(bind.parse().unwrap()).unwrap(), group(to)).err().expect("refused");
        assert!(e.to_string().contains("239.192.0.1:7400"), "{e}");
    }
}
