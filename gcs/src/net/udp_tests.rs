use super::{super::inlet::RETIRED, *};
use bytes::Bytes;
use smallvec::smallvec;
use std::{future::poll_fn, time::Duration};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn receive(udp: &mut Udp, count: usize) -> Vec<Datagram> {
    let mut batch = Vec::new();
    let wait = async {
        while batch.len() < count {
            poll_fn(|cx| udp.poll_recv(cx, &mut batch)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("datagrams arrive");
    batch
}

fn transmit(to: &[SocketAddr], payload: Vec<u8>) -> Transmit {
    Transmit { to: to.iter().copied().collect(), payload: Bytes::from(payload).into() }
}

fn pair(ip: &str) -> (Udp, Udp) {
    let addr = format!("{ip}:0").parse().unwrap();
    let (mut a, mut b) = (Udp::bind(addr).unwrap(), Udp::bind(addr).unwrap());
    a.start().unwrap();
    b.start().unwrap();
    (a, b)
}

#[test]
fn datagrams_of_all_sizes_arrive_over_both_families() {
    for ip in ["127.0.0.1", "[::1]"] {
        runtime().block_on(async {
            let (mut a, mut b) = pair(ip);
            let to = [b.local_addr()];
            let sizes = [1, 2, 100, 1200, 1200, 1200, 700, 9000, LOOPBACK_MTU, 3];
            let mut out: Vec<_> = sizes.iter().map(|n| transmit(&to, vec![*n as u8; *n])).collect();
            a.send(&mut out);
            assert!(out.is_empty());
            let got = receive(&mut b, sizes.len()).await;
            assert_eq!(got.iter().map(|d| d.payload.len()).collect::<Vec<_>>(), sizes);
            for d in &got {
                assert_eq!(d.from, a.local_addr());
                assert!(d.payload.iter().all(|x| *x == d.payload.len() as u8));
            }
        });
    }
}

#[test]
fn equal_datagrams_travel_in_trains() {
    runtime().block_on(async {
        let (mut a, mut b) = pair("127.0.0.1");
        let to = [b.local_addr()];
        let mut out: Vec<_> = (0..200_u8).map(|i| transmit(&to, vec![i; 1200])).collect();
        a.send(&mut out);
        let got = receive(&mut b, 200).await;
        assert!(got.iter().zip(0..).all(|(d, i): (_, u8)| d.payload.len() == 1200 && d.payload[0] == i));
        assert_eq!(a.stats().sent, 200);
        assert_eq!(a.stats().send_calls, 1, "one call for all");
        if a.offload {
            assert!(b.stats().recv_calls <= 6, "{:?}", b.stats());
        }
    });
}

#[test]
fn one_batch_reaches_several_destinations_in_order() {
    runtime().block_on(async {
        let (mut a, mut b) = pair("127.0.0.1");
        let (mut c, _d) = pair("127.0.0.1");
        let both = [b.local_addr(), c.local_addr()];
        let mut out: Vec<_> = (0..50_u8).map(|i| transmit(&both, vec![i; 100 + usize::from(i)])).collect();
        a.send(&mut out);
        for udp in [&mut b, &mut c] {
            let got = receive(udp, 50).await;
            assert!(got.iter().zip(0..).all(|(d, i): (_, u8)| d.payload[0] == i));
        }
    });
}

#[test]
fn buffers_are_used_again_and_never_while_in_use() {
    runtime().block_on(async {
        let (mut a, mut b) = pair("127.0.0.1");
        let to = [b.local_addr()];
        let mut kept: Vec<Datagram> = Vec::new();
        for round in 0..400_u32 {
            let mut out: Vec<_> = (0..4).map(|_| transmit(&to, vec![round as u8; 50_000])).collect();
            a.send(&mut out);
            kept.extend(receive(&mut b, 4).await);
            if round % 50 == 49 {
                for (i, d) in kept.iter().enumerate() {
                    let expected = (round - 49 + i as u32 / 4) as u8;
                    assert!(d.payload.iter().all(|x| *x == expected), "overwritten while in use");
                }
                kept.clear();
            }
        }
        assert!(b.inlet.retired.len() <= RETIRED);
    });
}

#[test]
fn a_wildcard_and_a_busy_address_are_refused() {
    let e = Udp::bind("0.0.0.0:0".parse().unwrap()).err().expect("refused");
    assert!(e.to_string().contains("wildcard"), "{e}");
    let a = Udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let e = Udp::bind(a.local_addr()).err().expect("refused");
    assert!(matches!(e, BindError::Busy { protocol: "UDP", .. }), "{e}");
}

#[test]
fn sending_to_nowhere_is_dropped_and_does_no_harm() {
    runtime().block_on(async {
        let (mut a, mut b) = pair("127.0.0.1");
        let nowhere: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
        let mut out = vec![
            transmit(&[nowhere], vec![1; 10]),
            transmit(&[nowhere], vec![1; 10]),
            transmit(&[b.local_addr()], vec![2; 10]),
        ];
        a.send(&mut out);
        assert_eq!(receive(&mut b, 1).await[0].payload[0], 2);
        assert_eq!(a.stats().send_dropped, 2);
    });
}

#[test]
fn trains_are_bounded_and_keep_each_destinations_order() {
    let (x, y): (SocketAddr, SocketAddr) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
    let sized = |n: usize| Transmit { to: smallvec![x, y], payload: Bytes::from(vec![0; n]).into() };
    let batch: Vec<_> = [1000, 1000, 500, 1000, 2000].map(sized).into();
    let mut trains = Vec::new();
    plan(&batch, 1472, true, &mut trains);
    let of =
        |to| trains.iter().filter(|t| t.to == to).map(|t| (t.range.clone(), t.segment)).collect::<Vec<_>>();
    assert_eq!(of(x), [(0..3, 1000), (3..4, 0), (4..5, 0)]);
    assert_eq!(of(x), of(y));
    let many: Vec<_> = (0..200).map(|_| sized(1000)).collect();
    plan(&many, 1472, true, &mut trains);
    assert!(trains.iter().all(|t| t.range.len() <= TRAIN_COUNT && t.range.len() * 1000 <= TRAIN_BYTES));
}

#[test]
fn datagrams_are_no_larger_than_the_way_to_a_contact_is_known_to_carry() {
    let udp = Udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let here = udp.local_addr();
    // That of the loopback interface, which has 65,536 bytes, of which IPv4 uses all but one.
    assert!(sys::route_mtu(here.ip(), here).is_some_and(|mtu| mtu >= 65_535));
    let same = udp.with_mtu_towards(&[here, "239.1.2.3:4".parse().unwrap(), "[::1]:9".parse().unwrap()]);
    assert_eq!(same.mtu(), LOOPBACK_MTU);
}
