use super::*;
use crate::{id::MemberId, net::hello::Hello, net::liveness::Liveness};
use bytes::Bytes;
use smallvec::smallvec;
use std::{future::poll_fn, net::Ipv4Addr};
use tokio::io::AsyncReadExt as _;

const GROUP: GroupTag = GroupTag(42);
const PATIENCE: Duration = Duration::from_secs(10);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

struct Process {
    tcp: Tcp,
    _liveness: Liveness,
}

impl Process {
    fn new(incarnation: u64) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), GROUP, incarnation)
    }

    fn at(addr: SocketAddr, group: GroupTag, incarnation: u64) -> Self {
        let (tcp, door) = Tcp::open(addr, group).unwrap();
        door.me.set_incarnation(Incarnation(incarnation));
        Self { tcp, _liveness: Liveness::start(door, mpsc::unbounded_channel().0).unwrap() }
    }

    fn addr(&self) -> SocketAddr {
        self.tcp.local_addr()
    }

    fn send(&mut self, to: SocketAddr, text: &[u8]) {
        let payload = Bytes::copy_from_slice(text).into();
        self.tcp.send(&mut vec![Transmit { to: smallvec![to], payload }]);
    }
}

/// Lets two exchange until `done` of what the second has received holds.
async fn exchange(
    a: &mut Process,
    b: &mut Process,
    mut done: impl FnMut(&mut Process, &mut Process, &[Datagram]) -> bool,
) -> Vec<Datagram> {
    let (mut at_a, mut got) = (Vec::new(), Vec::new());
    let both = async {
        while !done(a, b, &got) {
            let wait = poll_fn(|cx| {
                let at_a = a.tcp.poll_recv(cx, &mut at_a).is_ready();
                let at_b = b.tcp.poll_recv(cx, &mut got).is_ready();
                if at_a || at_b { Poll::Ready(()) } else { Poll::Pending }
            });
            let _ = timeout(Duration::from_millis(5), wait).await;
        }
    };
    timeout(PATIENCE, both).await.expect("in time");
    got
}

#[test]
fn datagrams_of_every_size_arrive_in_order_from_the_address_of_their_sender() {
    runtime().block_on(async {
        let (mut a, mut b) = (Process::new(1), Process::new(2));
        let to = b.addr();
        let sizes = [1, 2, 3, 1000, 60 << 10, 64 << 10, 17, 1472];
        for size in sizes {
            a.send(to, &vec![size as u8; size]);
        }
        let got = exchange(&mut a, &mut b, |_, _, got| got.len() == sizes.len()).await;
        for (d, size) in got.iter().zip(sizes) {
            assert_eq!((d.from, d.payload.len()), (a.addr(), size));
            assert!(d.payload.iter().all(|x| *x == size as u8));
        }
        let (sent, received) = (a.tcp.stats(), b.tcp.stats());
        assert_eq!((sent.sent, sent.send_dropped, received.received), (8, 0, 8));
        assert!(sent.send_calls < 8, "batched: {sent:?}");
        // What is too long for the other side is not sent.
        a.send(to, &vec![0; (64 << 10) + 1]);
        assert_eq!(a.tcp.stats().send_dropped, 1);
    });
}

#[test]
fn a_full_queue_drops_and_the_connection_goes_on() {
    runtime().block_on(async {
        let (mut a, mut b) = (Process::new(1), Process::new(2));
        let to = b.addr();
        let datagram = vec![7; 60 << 10];
        let most = QUEUE / datagram.len();
        for _ in 0..most + 10 {
            a.send(to, &datagram);
        }
        assert_eq!(a.tcp.stats().send_dropped, 10);
        exchange(&mut a, &mut b, |_, _, got| got.len() == most).await;
        a.send(to, b"more");
        let got = exchange(&mut a, &mut b, |_, _, got| !got.is_empty()).await;
        assert_eq!(&got[0].payload[..], b"more");
    });
}

#[test]
fn of_two_connections_made_at_once_both_keep_the_same_one() {
    runtime().block_on(async {
        for _ in 0..20 {
            let (mut a, mut b) = (Process::new(1), Process::new(2));
            let (x, y) = (a.addr(), b.addr());
            // Both begin before either hears of the other.
            a.send(y, b"to b");
            b.send(x, b"to a");
            let maker = |p: &Process, of: SocketAddr| {
                let peer = p.tcp.peers.get(&of)?;
                if peer.attempt.is_some() { None } else { peer.up.as_ref().map(|c| c.mine) }
            };
            let lower = x < y;
            exchange(&mut a, &mut b, |a, b, _| maker(a, y) == Some(lower) && maker(b, x) == Some(!lower))
                .await;
            a.send(y, b"last");
            let got =
                exchange(&mut a, &mut b, |_, _, got| got.iter().any(|d| &d.payload[..] == b"last")).await;
            assert!(got.iter().all(|d| d.from == x));
        }
    });
}

#[test]
fn a_process_that_comes_back_is_connected_to_again() {
    runtime().block_on(async {
        let mut a = Process::new(1);
        let addr = crate::net::unused_addr(Ipv4Addr::LOCALHOST.into()).unwrap();
        // Nobody is there yet: dropped, counted, tried again.
        a.send(addr, b"early");
        for incarnation in 1..4 {
            let mut b = Process::at(addr, GROUP, incarnation);
            let text = [incarnation as u8];
            let got = exchange(&mut a, &mut b, |a, _, got| {
                a.send(addr, &text);
                got.iter().any(|d| d.payload[..] == text)
            })
            .await;
            assert!(got.iter().all(|d| d.from == a.addr()));
            drop(b);
            // Its acceptor ends when the runtime next looks at it.
            tokio::task::yield_now().await;
        }
        assert!(a.tcp.stats().send_dropped > 0);
    });
}

async fn stranger(to: SocketAddr, hello: &[u8]) -> TcpStream {
    let mut s = TcpStream::connect(to).await.unwrap();
    s.write_all(hello).await.unwrap();
    s
}

#[test]
fn garbage_is_refused_and_counted_and_disturbs_nobody() {
    runtime().block_on(async {
        let (mut a, mut b) = (Process::new(1), Process::new(2));
        let to = b.addr();
        a.send(to, b"first");
        exchange(&mut a, &mut b, |_, _, got| got.len() == 1).await;
        let id = |addr: &str| MemberId { addr: addr.parse().unwrap(), incarnation: Incarnation(9) };
        let hello = |group, addr| Hello { group, id: id(addr), frames: true }.encode().to_vec();
        let with = |mut bytes: Vec<u8>, more: &[u8]| {
            bytes.extend_from_slice(more);
            bytes
        };
        let all = [
            b"GET / HTTP/1.1\r\nHost: a.b.c.example.org\r\n\r\n\r\n".to_vec(),
            // Another group; an address that is not the sender's.
            hello(GroupTag(1), "127.0.0.1:9"),
            hello(GROUP, "192.0.2.1:9"),
            // Lengths that no datagram has.
            with(hello(GROUP, "127.0.0.1:9"), &[0; 4]),
            with(hello(GROUP, "127.0.0.1:10"), &[0xff; 4]),
            with(hello(GROUP, "127.0.0.1:11"), &(64 * 1024 + 1_u32).to_le_bytes()),
        ];
        let count = all.len() as u64;
        let mut streams = Vec::new();
        for bytes in &all {
            streams.push(stranger(to, bytes).await);
        }
        let got = exchange(&mut a, &mut b, |_, b, _| b.tcp.stats().refused == count).await;
        assert!(got.is_empty());
        for s in &mut streams {
            // Closed by the other side, after its hello.
            let mut rest = Vec::new();
            let _ = timeout(PATIENCE, s.read_to_end(&mut rest)).await.expect("it is closed");
        }
        a.send(to, b"second");
        let got = exchange(&mut a, &mut b, |_, _, got| !got.is_empty()).await;
        assert_eq!((&got[0].payload[..], got[0].from), (&b"second"[..], a.addr()));
    });
}

#[test]
fn a_process_without_tcp_for_frames_is_not_taken_for_one_that_has_it() {
    runtime().block_on(async {
        let mut a = Process::new(1);
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let addr = listener.local_addr().unwrap();
        let door = Door::new(listener, Arc::new(Me::new(GROUP, addr, false)));
        let _udp_only = Liveness::start(door, mpsc::unbounded_channel().0).unwrap();
        a.send(addr, b"lost");
        let mut other = Process::new(3);
        exchange(&mut a, &mut other, |a, _, _| a.tcp.stats().send_dropped > 0).await;
        assert!(!a.tcp.is_up(addr));
    });
}

#[test]
fn strangers_do_not_push_members_out() {
    runtime().block_on(async {
        let (mut a, mut b) = (Process::new(1), Process::new(2));
        let (x, y) = (a.addr(), b.addr());
        a.send(y, b"member");
        exchange(&mut a, &mut b, |_, _, got| got.len() == 1).await;
        b.send(x, b"member, too");
        for port in 1..=PEERS as u16 + 50 {
            let addr = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
            b.tcp.peer(addr);
        }
        assert_eq!(b.tcp.peers.len(), PEERS);
        assert!(b.tcp.is_up(x));
    });
}
