use super::*;
use crate::id::{GroupTag, Incarnation};
use std::{
    net::Ipv4Addr,
    process::{Command, Stdio},
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const GROUP: GroupTag = GroupTag(42);

struct Process {
    liveness: Liveness,
    id: MemberId,
    gone: mpsc::UnboundedReceiver<MemberId>,
}

fn process_at(addr: SocketAddr, incarnation: u64) -> Process {
    let listener = listen(addr).unwrap();
    let id = MemberId { addr: listener.local_addr().unwrap(), incarnation: Incarnation(incarnation) };
    let (tx, gone) = mpsc::unbounded_channel();
    let me = Arc::new(Me::new(GROUP, id.addr, false));
    me.set_incarnation(id.incarnation);
    Process { liveness: Liveness::start(Door::new(listener, me), tx).unwrap(), id, gone }
}

fn process(incarnation: u64) -> Process {
    process_at((Ipv4Addr::LOCALHOST, 0).into(), incarnation)
}

async fn next(p: &mut Process, ms: u64) -> Option<MemberId> {
    timeout(Duration::from_millis(ms), p.gone.recv()).await.ok().flatten()
}

/// Not a test by itself: the child of the next test. It listens where it is told to until it is killed.
#[test]
fn child_that_gets_killed() {
    let Ok(addr) = std::env::var("GCS_LIVENESS_CHILD") else { return };
    runtime().block_on(async {
        let _p = process_at(addr.parse().unwrap(), 7);
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_killed_process_is_noticed_within_milliseconds() {
    let addr = crate::net::unused_addr(Ipv4Addr::LOCALHOST.into()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "net::liveness::tests::child_that_gets_killed", "--nocapture"])
        .env("GCS_LIVENESS_CHILD", addr.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    runtime().block_on(async {
        // The child is up when it accepts.
        while TcpStream::connect(addr).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        let mut p = process(1);
        let member = MemberId { addr, incarnation: Incarnation(7) };
        p.liveness.watch(member, true);
        assert_eq!(next(&mut p, 300).await, None, "alive");
        let began = tokio::time::Instant::now();
        child.kill().unwrap();
        assert_eq!(next(&mut p, 5000).await, Some(member));
        let took = began.elapsed();
        assert!(took < Duration::from_millis(500), "took {took:?}");
        child.wait().unwrap();
    });
}

#[test]
fn another_incarnation_at_the_address_means_that_the_watched_one_is_gone() {
    runtime().block_on(async {
        let (mut a, b) = (process(1), process(5));
        let old = MemberId { incarnation: Incarnation(4), ..b.id };
        a.liveness.watch(old, true);
        assert_eq!(next(&mut a, 2000).await, Some(old));
        a.liveness.watch(b.id, true);
        assert_eq!(next(&mut a, 100).await, None);
        b.liveness.me().set_incarnation(Incarnation(6));
        let new = MemberId { incarnation: Incarnation(6), ..b.id };
        a.liveness.watch(b.id, false);
        a.liveness.watch(new, true);
        assert_eq!(next(&mut a, 100).await, None);
    });
}

#[test]
fn a_refusal_is_evidence_only_after_a_success() {
    runtime().block_on(async {
        let mut a = process(1);
        let addr = crate::net::unused_addr(Ipv4Addr::LOCALHOST.into()).unwrap();
        let member = MemberId { addr, incarnation: Incarnation(9) };
        a.liveness.watch(member, true);
        assert_eq!(next(&mut a, 200).await, None, "nobody listens, but nobody ever did");
        let b = process_at(addr, 9);
        sleep(Duration::from_millis(600)).await;
        drop(b);
        // Its inbound connections live in tasks of this runtime: end them as a dead process would.
        assert_eq!(a.liveness.watched.len(), 1);
        a.liveness.watch(member, false);
        assert_eq!(next(&mut a, 50).await, None, "no longer watched");
    });
}

#[test]
fn a_connection_that_ends_while_the_process_lives_is_made_again() {
    runtime().block_on(async {
        let mut a = process(1);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let id = MemberId { addr: listener.local_addr().unwrap(), incarnation: Incarnation(3) };
        a.liveness.watch(id, true);
        for _ in 0..5 {
            let (mut s, _) = timeout(Duration::from_secs(2), listener.accept()).await.unwrap().unwrap();
            s.write_all(&Hello { group: GROUP, id, frames: false }.encode()).await.unwrap();
            assert_eq!(read_hello(&mut s).await.unwrap().unwrap().id, a.id);
        }
        // Accepted but without a word: no evidence.
        for _ in 0..3 {
            let (s, _) = timeout(Duration::from_secs(2), listener.accept()).await.unwrap().unwrap();
            drop(s);
        }
        assert_eq!(next(&mut a, 20).await, None);
        drop(listener);
        assert_eq!(next(&mut a, 2000).await, Some(id));
    });
}

#[test]
fn strangers_have_no_effect_and_are_bounded() {
    runtime().block_on(async {
        let (mut a, b) = (process(1), process(2));
        let mut strangers = Vec::new();
        for i in 0..20 {
            let mut s = TcpStream::connect(b.id.addr).await.unwrap();
            s.write_all(if i % 2 == 0 {
                b"GET / HTTP/1.1\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            } else {
                b"g"
            })
            .await
            .unwrap();
            strangers.push(s);
        }
        a.liveness.watch(b.id, true);
        assert_eq!(next(&mut a, 200).await, None);
        for _ in 20..MAX_INBOUND + 50 {
            strangers.push(TcpStream::connect(b.id.addr).await.unwrap());
        }
        assert_eq!(next(&mut a, 300).await, None);
    });
}

#[test]
fn a_busy_port_is_refused() {
    let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let e = listen(first.local_addr().unwrap()).expect_err("refused");
    assert!(matches!(e, BindError::Busy { protocol: "TCP", .. }));
}
