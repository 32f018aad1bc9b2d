//! Both streams of a connection arrive whole, whatever the path does.

use std::time::Duration;

use gcs::{rng::Rng, time::Time};
use gcs_tcp_endpoint::tcp::{Config, KeepAlive, Reason};
use wire::{Path, Plan, World};

mod wire;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn whole(world: &World, plans: &[Plan; 2]) {
    for i in 0..2 {
        assert_eq!(world.sides[i].gone, Some(Reason::Ended), "side {i}");
        assert_eq!(world.sides[i].read, plans[1 - i].sends, "side {i}");
        assert_eq!(world.sides[i].host.held(), 0, "side {i}");
        assert_eq!(world.sides[i].host.connections(), 0, "side {i}");
    }
}

/// A world drawn from a seed.
fn draw(seed: u64) -> (World, [Plan; 2]) {
    let mut rng = Rng::new(seed);
    let path = Path {
        delay: Duration::from_micros(rng.below(50_000)),
        jitter: Duration::from_micros([0, 0, 100, 20_000][rng.below(4) as usize]),
        loss: [0, 1, 10, 50, 200][rng.below(5) as usize],
        duplication: [0, 0, 20, 200][rng.below(4) as usize],
        rate: [None, Some((1_000_000, 30_000)), Some((100_000_000, 3_000_000))][rng.below(3) as usize],
    };
    let mut config = || Config {
        super_segment_bytes: [0, 65_000][rng.below(2) as usize],
        send_bytes: [3000, 100_000, 4 << 20][rng.below(3) as usize],
        receive_bytes: [2000, 60_000, 4 << 20][rng.below(3) as usize],
        mtu: [576, 1500, 9000][rng.below(3) as usize],
        nagle: rng.below(2) == 0,
        keep_alive: (rng.below(3) == 0).then_some(KeepAlive {
            idle: ms(100),
            interval: ms(1000),
            probes: 200,
        }),
        // With one packet of five lost, seven in a row are lost sooner or later.
        give_up_opening: Duration::from_secs(3000),
        ..Config::default()
    };
    let configs = [config(), config()];
    let sends = |rng: &mut Rng| [0, 1, 5000, 300_000][rng.below(4) as usize];
    let plan = |rng: &mut Rng| Plan {
        sends: sends(rng),
        answers: rng.below(4) == 0,
        reads: if rng.below(4) == 0 { 100 + rng.below(3000) } else { u64::MAX },
        piece: 1 + rng.below(100_000) / (1 + rng.below(100)),
    };
    let mut plans = [plan(&mut rng), plan(&mut rng)];
    plans[1].answers &= !plans[0].answers;
    (World::new(seed, path, configs, plans.clone()), plans)
}

#[test]
fn whatever_the_path_does() {
    let (from, count) = match std::env::var("SEED").map(|s| s.parse()) {
        Ok(Ok(seed)) => (seed, 1),
        _ => (1, std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(400)),
    };
    for seed in from..from + count {
        let (mut world, plans) = draw(seed);
        let run = std::panic::AssertUnwindSafe(|| {
            world.run(Duration::from_secs(3600));
            whole(&world, &plans);
        });
        if let Err(e) = std::panic::catch_unwind(run) {
            eprintln!("SEED={seed} repeats it");
            std::panic::resume_unwind(e);
        }
    }
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let config = Config { give_up: Duration::from_secs(60), ..Config::default() };
    let plans =
        [Plan { sends: 10_000_000, ..Plan::default() }, Plan { sends: 0, answers: true, ..Plan::default() }];
    let mut world = World::new(1, Path::default(), [config.clone(), config], plans);
    while world.now < Time::from_ms(100) {
        world.step();
    }
    world.path.loss = 1000;
    while world.sides[0].gone.is_none() {
        assert!(world.now < Time::from_ms(200_000) && world.step());
    }
    assert_eq!(world.sides[0].gone, Some(Reason::TimedOut));
    assert_eq!(world.sides[0].host.held(), 0);
}

/// Packets that are under way on average, over a path of 20 ms that loses `loss` of a thousand in each direction. Virtual time.
fn packets_under_way(seed: u64, loss: u64) -> f64 {
    let sends = 30_000_000;
    let config = Config { send_bytes: 400_000, ..Config::default() };
    let plans = [Plan { sends, ..Plan::default() }, Plan { sends: 0, answers: true, ..Plan::default() }];
    let mut world = World::new(seed, Path { loss, ..Path::default() }, [config.clone(), config], plans);
    while world.sides[1].read < sends {
        assert!(world.now < Time::from_ms(1_000_000) && world.step());
    }
    let round_trips = world.now.0 as f64 / 20e6;
    sends as f64 / 1448.0 / round_trips
}

/// Where windows are small CUBIC is to be like Reno, whose average window is 1.22 / sqrt(loss) packets (RFC 9438, sections 4.3 and 5.1): not
/// much less, and not much more, which others would pay for.
#[test]
fn losses_leave_as_much_of_the_rate_as_they_should() {
    for loss in [10, 30] {
        let mean = (1..=4).map(|seed| packets_under_way(seed, loss)).sum::<f64>() / 4.0;
        let reno = 1.22 / (loss as f64 / 1000.0).sqrt();
        assert!((0.9..1.2).contains(&(mean / reno)), "{loss} of a thousand: {mean}, not {reno}");
    }
}
