//! Bimodal multicast keeps its pace while a quarter of its members sleep half of the time: on virtual time, so the same at
//! every run.

use gcs_benches::crowd::Crowd;
use gcs_stacks::bimodal::gossip::Settings;

/// 5 % loss, 250 of a thousand members asleep half of the time.
fn crowd(members: u32, seed: u64) -> Crowd {
    Crowd { members, seed, ..Crowd::default() }
}

#[test]
fn the_healthy_keep_the_pace_and_get_everything() {
    for (members, seed) in [(100, 1), (100, 2), (100, 3), (500, 1)] {
        let outcome = crowd(members, seed).run();
        assert!(outcome.rate_per_mille >= 950, "{members} members, seed {seed}: {outcome:?}");
        assert_eq!((outcome.least, outcome.given_up), (outcome.cast, 0), "{members} members, seed {seed}");
        assert_eq!(outcome.cast, 2000);
    }
}

#[test]
fn sleepers_cost_the_healthy_nothing() {
    let (with, without) = (crowd(200, 7).run(), Crowd { sleepers_per_mille: 0, ..crowd(200, 7) }.run());
    assert!(with.rate_per_mille + 20 >= without.rate_per_mille, "{with:?} {without:?}");
    assert!(with.latency_ms[1] <= 2 * without.latency_ms[1], "{with:?} {without:?}");
}

#[test]
fn work_and_memory_are_bounded() {
    let settings = Settings { answers: 8, asks: 8, digests: 2, ..Settings::default() };
    let crowd = Crowd { settings, ..crowd(200, 1) };
    let outcome = crowd.run();
    // Two digests, two requests, eight answers.
    assert!(outcome.busiest[0] <= 12, "{outcome:?}");
    // Who sleeps half of the time has half as many rounds, or a bit less.
    let most = 3 * u64::from(settings.rounds_kept) * crowd.rate / 10;
    assert!(outcome.held as u64 <= most, "{} held, {most} expected", outcome.held);
}

#[test]
fn without_gossip_the_healthy_lack_what_was_lost() {
    let settings = Settings { fanout: 0, ..Settings::default() };
    let outcome = Crowd { settings, ..crowd(100, 1) }.run();
    assert!(outcome.least < 1950 && outcome.given_up > 0, "{outcome:?}");
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let once = crowd(50, 9).run();
    assert_eq!(format!("{once:?}"), format!("{:?}", crowd(50, 9).run()));
    assert_ne!(format!("{once:?}"), format!("{:?}", crowd(50, 10).run()));
}
