//! What passes through a proxy arrives whole, and its replicas agree, whoever of them dies or joins meanwhile.

use std::time::Duration;

use bytes::Bytes;
use gcs::{rng::Rng, time::Time};
use gcs_tcp_endpoint::{
    proxy::{Balance, Config as ProxyConfig, Control},
    replica::ThawError,
    service::RestoreError,
    tcp::{Config, Reason},
};
use middle::{Plan, World, back_end, joiner};

mod middle;

const MINUTE: Duration = Duration::from_secs(60);

fn proxy() -> ProxyConfig {
    ProxyConfig::simple(80, &[back_end(0), back_end(1)], Balance::RoundRobin)
}

/// A short question, a short answer.
const SHORT: Plan = Plan { sends: [20, 30], answers: [false, false], reads: [u64::MAX; 2] };
/// Nobody ends before the other one.
const STAYS: Plan = Plan { sends: [20, 30], answers: [true, true], reads: [u64::MAX; 2] };

/// A world drawn from a seed, with sessions that have yet to begin.
fn draw(seed: u64) -> (World, Vec<Plan>) {
    let mut rng = Rng::new(seed);
    let config = Config {
        send_bytes: [3000, 100_000, 4 << 20][rng.below(3) as usize],
        receive_bytes: [2000, 60_000, 4 << 20][rng.below(3) as usize],
        give_up_opening: Duration::from_secs(3000),
        ..Config::default()
    };
    let mut proxy = proxy();
    proxy.listeners[0].balance =
        [Balance::RoundRobin, Balance::LeastConnections, Balance::SourceHash][rng.below(3) as usize];
    // What is lost must not look like a back end that is down.
    proxy.listeners[0].connect_timeout_ms = 180_000;
    proxy.listeners[0].check.timeout_ms = 180_000;
    let mut world = World::new(seed, config, proxy);
    world.delay = Duration::from_micros(rng.below(20_000));
    world.jitter = Duration::from_micros([0, 0, 100, 20_000][rng.below(4) as usize]);
    world.loss = [0, 1, 10, 50][rng.below(4) as usize];
    world.deaths = [0, 10, 100][rng.below(3) as usize];
    let mut plan = || {
        let answers = rng.below(4);
        Plan {
            sends: [
                8 + [0, 1000, 200_000][rng.below(3) as usize],
                [0, 1, 1000, 200_000][rng.below(4) as usize],
            ],
            answers: [answers == 1, answers == 2],
            reads: [0, 1].map(|_| if rng.below(3) == 0 { 1000 + rng.below(3000) } else { u64::MAX }),
        }
    };
    let plans = (0..8).map(|_| plan()).collect();
    (world, plans)
}

/// All sessions have ended, and no check is under way.
fn over(world: &World) -> bool {
    world.ends.values().all(|e| e.gone.is_some()) && world.middle().connections() == 0
}

#[test]
fn whatever_the_paths_do_and_whoever_dies() {
    let (from, count) = match std::env::var("SEED").map(|s| s.parse()) {
        Ok(Ok(seed)) => (seed, 1),
        _ => (1, std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60)),
    };
    for seed in from..from + count {
        let (mut world, plans) = draw(seed);
        let run = std::panic::AssertUnwindSafe(|| {
            for plan in plans {
                world.connect(plan);
                world.pass(Duration::from_millis(7));
            }
            world.until("the end of all sessions", 60 * MINUTE, over);
            world.check();
        });
        if let Err(e) = std::panic::catch_unwind(run) {
            eprintln!("SEED={seed} repeats it");
            std::panic::resume_unwind(e);
        }
    }
}

#[test]
fn back_ends_take_turns() {
    let mut world = World::new(1, Config::default(), proxy());
    for n in 0..4 {
        world.connect(SHORT);
        world.until("an answer", MINUTE, |w| {
            w.session(n).iter().all(|e| e.is_some_and(|(_, e)| e.gone.is_some()))
        });
        let [_, Some((_, back))] = world.session(n) else { unreachable!("awaited") };
        assert_eq!(back.at, back_end((n % 2) as u8));
    }
}

#[test]
fn a_back_end_that_refuses_is_passed_over_and_comes_back() {
    let mut proxy = proxy();
    proxy.listeners[0].check.interval_ms = 100;
    let mut world = World::new(1, Config::default(), proxy);
    world.outside.unlisten(back_end(0));
    let ends =
        |n: u64| move |w: &World| w.session(n).iter().all(|e| e.is_some_and(|(_, e)| e.gone.is_some()));
    for n in 0..3 {
        world.connect(SHORT);
        world.until("an answer from the other one", MINUTE, ends(n));
        assert_eq!(world.session(n)[1].expect("awaited").1.at, back_end(1));
    }
    world.pass(Duration::from_secs(1));
    // If it were tried, that would take three seconds.
    world.lost_to = Some(back_end(0));
    world.connect(STAYS);
    world.connect(STAYS);
    world.pass(Duration::from_secs(1));
    assert!([3, 4].iter().all(|n| world.session(*n)[1].is_some()), "one that is down is not even tried");
    world.lost_to = None;
    world.outside.listen(back_end(0));
    world.pass(Duration::from_secs(1));
    for n in 5..7 {
        world.connect(SHORT);
        world.until("an answer", MINUTE, ends(n));
    }
    assert!([5, 6].iter().any(|n| world.session(*n)[1].expect("awaited").1.at == back_end(0)), "it is back");
}

#[test]
fn without_a_back_end_the_client_sees_a_reset() {
    let mut world = World::new(1, Config::default(), proxy());
    for number in 0..2 {
        world.outside.unlisten(back_end(number));
    }
    let client = world.connect(SHORT);
    world.until("a reset", MINUTE, |w| w.ends[&client].gone == Some(Reason::Reset));
    assert_eq!(world.replicas[0].service().sessions(), 0);
}

#[test]
fn a_back_end_that_does_not_answer_is_passed_over_in_time() {
    let mut proxy = proxy();
    proxy.listeners[0].check.interval_ms = 0;
    let mut world = World::new(1, Config::default(), proxy);
    world.lost_to = Some(back_end(0));
    world.connect(SHORT);
    let before = world.now;
    world.until("the other one", MINUTE, |w| w.session(0)[1].is_some());
    let took = world.now.since(before);
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

#[test]
fn a_reset_becomes_a_reset() {
    for side in [0, 1] {
        let mut world = World::new(1, Config::default(), proxy());
        world.connect(STAYS);
        world.until("a session", MINUTE, |w| w.session(0)[1].is_some());
        world.pass(Duration::from_millis(20));
        let [client, back] = world.session(0).map(|e| e.expect("awaited").0);
        let (dies, stays) = if side == 0 { (client, back) } else { (back, client) };
        world.outside(|host| host.abort(dies));
        world.ends.get_mut(&dies).expect("it is there").gone = Some(Reason::Aborted);
        world.until("a reset", MINUTE, |w| w.ends[&stays].gone == Some(Reason::Reset));
        assert_eq!((world.middle().connections(), world.replicas[0].service().sessions()), (0, 0));
    }
}

/// A back end that has answered and closed resets a client's further bytes: what it answered arrives all the same, with its end.
#[test]
fn what_came_before_the_end_arrives_although_a_reset_follows() {
    let config = Config { send_bytes: 50_000, receive_bytes: 20_000, ..Config::default() };
    let mut world = World::new(1, config, proxy());
    world.manual = true;
    let client = world.connect(SHORT);
    world.until("a session", MINUTE, |w| w.ends.len() == 2);
    let back = *world.ends.keys().next_back().expect("two");
    // The client reads nothing: 20,000 bytes wait there, 50,000 towards it, and the rest has not been read by the proxy.
    for len in [50_000, 35_000] {
        let mut answer = Bytes::from(vec![7; len]);
        world.outside(|host| host.write(back, &mut answer));
        assert!(answer.is_empty());
        world.pass(Duration::from_millis(200));
    }
    world.outside(|host| host.shutdown(back));
    world.pass(Duration::from_millis(200));
    world.outside(|host| host.abort(back));
    world.pass(Duration::from_millis(200));
    let mut got = 0;
    while !world.ends[&client].finished {
        got += world.outside(|host| host.read(client, u64::MAX).concat().len());
        world.pass(Duration::from_millis(200));
        assert!(world.now < Time::from_ms(60_000), "only {got} bytes came");
    }
    got += world.outside(|host| host.read(client, u64::MAX).concat().len());
    assert_eq!((got, world.ends[&client].gone), (85_000, None));
}

#[test]
fn who_does_not_read_is_not_sent_more_than_buffers_take() {
    let config = Config { send_bytes: 100_000, receive_bytes: 50_000, ..Config::default() };
    let mut world = World::new(1, config, proxy());
    let plan = Plan { sends: [8, 3_000_000], answers: [true, false], reads: [0, u64::MAX] };
    world.connect(plan);
    world.pass(Duration::from_secs(20));
    let [_, Some((_, back))] = world.session(0) else { panic!("no session") };
    assert!(back.written < 400_000, "{} bytes were taken for a client that reads none", back.written);
    assert!(world.middle().held() <= 150_000, "{} bytes are held", world.middle().held());
    world.plans[0].reads[0] = u64::MAX;
    world.until("the end", MINUTE, over);
    world.check();
}

#[test]
fn back_ends_are_told_who_the_client_is() {
    let mut proxy = proxy();
    proxy.listeners[0].proxy_protocol = true;
    let mut world = World::new(1, Config::default(), proxy);
    world.manual = true;
    let client = world.connect(SHORT);
    world.outside(|host| host.write(client, &mut Bytes::from_static(b"hello")));
    world.until("a session", MINUTE, |w| w.ends.len() == 2);
    world.pass(Duration::from_millis(10));
    let (_, from, _) = world.outside.look(client).expect("it is open");
    let back = *world.ends.keys().next_back().expect("two");
    let got = world.outside(|host| host.read(back, u64::MAX).concat());
    assert_eq!((&got[..12], &got[28..]), (&b"\r\n\r\n\0\r\nQUIT\n"[..], &b"hello"[..]));
    assert_eq!((&got[16..20], &got[24..26]), (&[10, 0, 0, 50][..], &from.port().to_be_bytes()[..]));
}

#[test]
fn limits_hold() {
    let mut proxy = proxy();
    proxy.connections = 3;
    proxy.listeners[0].back_ends[0].connections = 1;
    let mut world = World::new(1, Config::default(), proxy);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let client = world.connect(STAYS);
            world.pass(Duration::from_millis(20));
            client
        })
        .collect();
    let at = |n| world.session(n)[1].map(|(_, e)| e.at);
    assert_eq!([at(0), at(1), at(2)], [Some(back_end(0)), Some(back_end(1)), Some(back_end(1))]);
    assert_eq!((at(3), world.ends[&clients[3]].gone), (None, Some(Reason::Reset)));
}

#[test]
fn a_back_end_that_is_drained_gets_no_new_sessions() {
    let mut proxy = proxy();
    proxy.listeners[0].back_ends[0].drain = true;
    let mut world = World::new(1, Config::default(), proxy);
    for n in 0..3 {
        world.connect(STAYS);
        world.until("a session", MINUTE, |w| w.session(n)[1].is_some());
        assert_eq!(world.session(n)[1].expect("awaited").1.at, back_end(1));
    }
}

#[test]
fn a_replica_that_is_configured_differently_cannot_join() {
    let world = World::new(1, Config::default(), proxy());
    let mut other = proxy();
    other.listeners[0].balance = Balance::SourceHash;
    let refused = joiner(&world.replicas[0], &Config::default(), &other).err();
    assert_eq!(refused, Some(ThawError::Service(RestoreError::Settings)));
}

#[test]
fn an_operator_drains_a_back_end() {
    let mut proxy = proxy();
    proxy.control = Some(Control { port: 9000, from: vec![[10, 0, 0, 9].into()] });
    let mut world = World::new(1, Config::default(), proxy);
    let stranger = world.dial([10, 0, 0, 8], 9000);
    world.until("a reset", MINUTE, |w| w.ends[&stranger].gone == Some(Reason::Reset));
    let operator = world.dial([10, 0, 0, 9], 9000);
    world.pass(Duration::from_millis(20));
    let ask = |world: &mut World, line: &'static str| {
        for part in [&line[..3], &line[3..]] {
            world.outside(|host| host.write(operator, &mut Bytes::from_static(part.as_bytes())));
            world.pass(Duration::from_millis(20));
        }
        String::from_utf8(world.outside(|host| host.read(operator, u64::MAX).concat())).expect("words")
    };
    assert_eq!(ask(&mut world, "drain 10.0.0.21:5432\n"), "ok\n");
    for _ in 0..3 {
        world.connect(STAYS);
        world.pass(Duration::from_millis(20));
    }
    let status = "80 10.0.0.21:5432 up drained 0\n80 10.0.0.22:5432 up open 3\nok\n";
    assert_eq!(ask(&mut world, "status\n"), status);
    assert_eq!(
        ask(&mut world, "resume 10.0.0.21:5432\nstatus\n"),
        format!("ok\n{}", status.replace("drained", "open"))
    );
    assert!(
        ask(&mut world, "drain 10.0.0.23:5432\n").contains("no listener has the back end 10.0.0.23:5432")
    );
    world.connect(STAYS);
    world.pass(Duration::from_millis(20));
    assert!(ask(&mut world, "status\n").starts_with("80 10.0.0.21:5432 up open 1\n"));
    world.outside(|host| host.shutdown(operator));
    world.until("the end", MINUTE, |w| w.ends[&operator].gone == Some(Reason::Ended));
}
