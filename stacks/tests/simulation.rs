//! Whole groups in simulated executions: every guarantee of every named stack, under all kinds of faults.

use gcs::{
    id::MAX_MEMBERS,
    keys::PreShared,
    layer::{Protocol, Watch},
    sim::{Fault, Faults, Observation, Plan, Setup, What, index_of, run, run_plan, soak},
    stack::Blueprint,
    view::Role,
};
use gcs_stacks::{
    Adaptive, Check, Compress, Fec, Flow, Heartbeat, Inject, Lateral, Pace, Pack, Reliable, Sequencer,
    SlowReceiver, Trace, Uniform,
};
use std::sync::Arc;

/// Executions of each stack.
const SEEDS: u64 = 200;

fn setup(stack: &str, state_transfer: bool) -> Setup {
    let mut setup = Setup::new(gcs_stacks::named(stack).expect("a name of the catalogue"));
    setup.members = (3, 7);
    setup.state_transfer = state_transfer;
    setup
}

fn keeps_its_promises(stack: &str, from: u64) {
    for (seeds, state_transfer) in
        [(from..from + SEEDS * 2 / 3, true), (from + SEEDS * 2 / 3..from + SEEDS, false)]
    {
        let soaked = soak(seeds, 1, 1, &setup(stack, state_transfer));
        if let Some(report) = soaked.failures.first() {
            panic!("{stack}, state transfer {state_transfer}: {report}");
        }
    }
}

#[test]
fn fifo_keeps_its_promises() {
    keeps_its_promises("fifo+check", 1_000_000);
}

#[test]
fn fifo_fec_keeps_its_promises() {
    keeps_its_promises("fifo+fec+check", 9_000_000);
}

#[test]
fn fifo_lateral_keeps_its_promises() {
    keeps_its_promises("fifo+lateral+check", 10_000_000);
}

#[test]
fn bimodal_keeps_its_promises() {
    keeps_its_promises("bimodal+check", 11_000_000);
}

#[test]
fn best_effort_keeps_its_promises() {
    keeps_its_promises("best-effort+check", 12_000_000);
}

#[test]
fn causal_keeps_its_promises() {
    keeps_its_promises("causal+check", 7_000_000);
}

#[test]
fn causal_uniform_keeps_its_promises() {
    keeps_its_promises("causal+uniform+check", 8_000_000);
}

#[test]
fn total_keeps_its_promises() {
    keeps_its_promises("total+check", 2_000_000);
}

#[test]
fn total_uniform_keeps_its_promises() {
    keeps_its_promises("total+uniform+check", 3_000_000);
}

#[test]
fn total_slots_keeps_its_promises() {
    keeps_its_promises("total-slots+check", 5_000_000);
}

#[test]
fn total_slots_uniform_keeps_its_promises() {
    keeps_its_promises("total-slots+uniform+check", 6_000_000);
}

#[test]
fn total_uniform_compressed_keeps_its_promises() {
    let soaked = soak(7_000_000..7_000_040, 1, 1, &setup("total+uniform+compressed+check", true));
    if let Some(report) = soaked.failures.first() {
        panic!("{report}");
    }
}

/// As many members as a view can have: one dies and comes back while some cast, and at the end all do.
#[test]
fn the_largest_group_goes_on_without_a_member_and_takes_it_back() {
    let mut plan = Plan::calm(MAX_MEMBERS)
        .at_ms(800, Fault::Kill { process: 40, evidence: true })
        .at_ms(1_000, Fault::Start { process: 40 });
    for (ms, process) in [(700, 0), (799, 63), (801, 1), (803, 30), (900, 2), (1_010, 40)] {
        plan = plan.at_ms(ms, Fault::Cast { process });
    }
    let mut setup = setup("total+uniform+check", true);
    (setup.safety_ms, setup.physics.trace_keep, setup.physics.trace_datagrams) = (1_200, usize::MAX, true);
    // Every frame is acknowledged by all to all, and so are heartbeats: many make it slow.
    setup.workload.casts_per_second = 0;
    setup.watch = Watch { heartbeat_ms: 200, silence_ms: 2_400, lease_ms: 1_600 };
    let report = run_plan(1, &setup, &plan);
    report.expect_ok();
    assert!(report.progress);
    let views = report.tail.iter().filter_map(|o| match &o.what {
        What::View(v) if o.process == 0 => Some(v.members.len()),
        _ => None,
    });
    let sizes: Vec<_> = views.skip_while(|n| *n < MAX_MEMBERS).collect();
    assert_eq!(sizes, [MAX_MEMBERS, MAX_MEMBERS - 1, MAX_MEMBERS]);
    let casts = report.tail.iter().filter(|o| matches!(o.what, What::Sent { .. })).count() as u64;
    assert!(casts >= MAX_MEMBERS as u64 + 6 && report.delivered >= casts * (MAX_MEMBERS as u64 - 1));
    // A view change costs each member a few datagrams of the decision's size, not one for each other member.
    let sent = |wanted: &str, ms: std::ops::Range<u64>| {
        let of_kind = |o: &&Observation| matches!(o.what, What::Transmitted { kind, .. } if kind == wanted);
        report.tail.iter().filter(|o| ms.contains(&(o.at / 1_000_000))).filter(of_kind).count()
    };
    let (decisions, lists) = (sent("decide", 800..1_000), sent("member-list", 1_000..1_200));
    assert!(decisions < 8 * MAX_MEMBERS && lists < 8 * MAX_MEMBERS, "{decisions}, {lists}");
}

/// What becomes of p2 of three, whose application takes nothing for a second and a half, under load.
#[test]
fn a_slow_receiver_is_treated_as_the_policy_says() {
    let plan = Plan::calm(3).at_ms(400, Fault::Congest { process: 2, lasts: 1_500_000_000 });
    for (slow, excluded, demoted) in [
        (SlowReceiver::Wait, false, false),
        (SlowReceiver::Exclude { after_ms: 300 }, true, false),
        (SlowReceiver::Demote { after_ms: 300 }, false, true),
    ] {
        let mut setup = setup("total+uniform+check", true);
        setup.blueprint = setup.blueprint.with(Arc::new(Flow { slow })).expect("there is a layer `flow`");
        (setup.window_bytes, setup.workload.casts_per_second) = (96 << 10, 150);
        (setup.workload.large_per_mille, setup.physics.trace_keep) = (300, usize::MAX);
        let report = run_plan(1, &setup, &plan);
        report.expect_ok();
        let views =
            || report.tail.iter().filter_map(|o| if let What::View(v) = &o.what { Some(v) } else { None });
        let whole = views().skip_while(|v| v.members.len() < 3);
        let (mut without, mut learner) = (false, false);
        for view in whole {
            let rank = view.members.iter().position(|m| index_of(m.addr) == Some(2));
            without |= rank.is_none();
            learner |= rank.is_some_and(|r| view.roles[r] == Role::LEARNER);
        }
        assert_eq!((without, learner), (excluded, demoted), "{slow:?}");
    }
}

/// Applications that take nothing for long are excluded, or become learners.
#[test]
fn slow_receivers_are_dealt_with_and_the_promises_kept() {
    let policies = [SlowReceiver::Exclude { after_ms: 250 }, SlowReceiver::Demote { after_ms: 250 }];
    for (from, slow) in (9_030_000..).step_by(10_000).zip(policies) {
        keep_their_promises(from, |setup| {
            setup.blueprint = setup.blueprint.with(Arc::new(Flow { slow })).expect("there is a layer `flow`");
            (setup.window_bytes, setup.workload.casts_per_second) = (96 << 10, 150);
            setup.workload.large_per_mille = 300;
            setup.faults = Faults { most: 8, kills: true, cuts: true, congestion: true, ..Faults::none() };
            setup.faults.roles = true;
        });
    }
}

/// The stacks of executions with more than faults in them, each with seeds of its own.
const MORE: [&str; 4] =
    ["total+uniform+check", "total-slots+uniform+check", "fifo+check", "causal+uniform+check"];

fn keep_their_promises(from: u64, change: impl Fn(&mut Setup)) {
    for (from, stack) in (from..).step_by(1_000).zip(MORE) {
        // Among the latter are those that once failed.
        for (seeds, state_transfer) in
            [(from..from + 20, true), (from + 76..from + 80, true), (from + 80..from + 88, false)]
        {
            let mut setup = setup(stack, state_transfer);
            change(&mut setup);
            let soaked = soak(seeds, 1, 1, &setup);
            if let Some(report) = soaked.failures.first() {
                panic!("{stack}, state transfer {state_transfer}: {report}");
            }
        }
    }
}

/// Members with several votes, witnesses and learners among them.
#[test]
fn members_of_all_kinds_keep_the_promises() {
    keep_their_promises(9_000_000, |setup| setup.faults.roles = true);
}

/// The quorum is lost or cut off, and the operator forces somebody to go on.
#[test]
fn forced_primaries_keep_the_promises() {
    keep_their_promises(9_010_000, |setup| setup.faults.forces = true);
}

/// All of that together.
#[test]
fn forced_members_of_all_kinds_keep_the_promises() {
    keep_their_promises(9_020_000, |setup| (setup.faults.roles, setup.faults.forces) = (true, true));
}

/// A stack with everything that can be snapped in, and faults below it besides those of the simulator.
#[test]
fn all_promises_are_kept_with_every_layer_at_once() {
    let inject = Inject {
        drop_per_mille: 20,
        duplicate_per_mille: 20,
        delay_per_mille: 50,
        reorder_per_mille: 50,
        delay_ms: 10,
    };
    let layers: Vec<Arc<dyn Protocol>> = vec![
        Arc::new(inject),
        Arc::new(Heartbeat),
        Arc::new(Fec::default()),
        Arc::new(Lateral::default()),
        Arc::new(Reliable { prompt: true }),
        Arc::new(Check::stream()),
        Arc::new(Trace::default()),
        Arc::new(Sequencer),
        Arc::new(Uniform),
        Arc::new(Check::order()),
        Arc::new(Pace::new(200_000)),
        Arc::new(Compress::default()),
        Arc::new(Flow::default()),
        Arc::new(Pack),
        Arc::new(Check::messages()),
    ];
    let mut setup = Setup::new(Blueprint::new("everything", layers).expect("layers that fit"));
    setup.members = (3, 7);
    let soaked = soak(8_000_000..8_000_040, 1, 1, &setup);
    if let Some(report) = soaked.failures.first() {
        panic!("{report}");
    }
}

/// What simulation has found, kept.
#[test]
fn seeds_that_once_failed() {
    for (seed, stack, state_transfer) in [
        // Everybody leaves at once: nobody was left to decide.
        (8, "total+uniform", true),
        // A member that only some hear kept its lease for ever, so the view never changed.
        (16, "total+check", true),
        // A process that only joins was taken for a founder; all waited for it.
        (93, "fifo+check", true),
        // After a split in halves, a view change that was accepted before healing.
        (244, "total+check", true),
        // A member took part in replacing itself, with a lease that others had just renewed.
        (6097, "total", true),
        // The silent half of four members was kept, and the half that was alive excluded itself.
        (14592, "fifo", true),
        // The candidate that all were pledged to left while it was cut off.
        (717, "fifo+check", false),
        // A member that was leaving when it was excluded delivered what nobody else had.
        (50_000_954, "total+uniform", true),
        (10144, "total+uniform", false),
        (10144, "total-slots+uniform", false),
        // Who had decided, and waited for frames, let its timer run on.
        (50_001_377, "fifo+check", false),
        // The only holder of a frame that counted left before the others had it.
        (3_002_412, "fifo", false),
        // The only member with the state left while a joiner was receiving it.
        (3_002_412, "fifo", true),
    ] {
        run(seed, &setup(stack, state_transfer)).expect_ok();
    }
    // Who gave way to a forced epoch kept its lease, and nobody waited for it.
    let mut forced = setup("causal+uniform+check", true);
    (forced.faults.roles, forced.faults.forces) = (true, true);
    run(9_023_077, &forced).expect_ok();
    // A witness with most votes went on with a joiner, while who had the state was cut off.
    let mut witnessed = setup("causal+check", true);
    (witnessed.faults.roles, witnessed.faults.forces) = (true, true);
    run(32_000_633, &witnessed).expect_ok();
    // The one whose turn it was to propose came back after the last word of the one that had begun.
    let mut idle = setup("total+uniform+check", true);
    idle.workload.casts_per_second = 6;
    run(5_018_177, &idle).expect_ok();
}

#[test]
fn the_same_seed_gives_the_same_execution() {
    for seed in 1..20 {
        let once = run(seed, &setup("total+uniform", true));
        let twice = run(seed, &setup("total+uniform", true));
        assert_eq!(once.trace_hash, twice.trace_hash, "seed {seed}");
    }
}

/// The order changes from a sequencer to slots and back, and from one sequencer to another, with view changes that come for
/// all reasons and for none.
#[test]
fn total_adaptive_keeps_its_promises() {
    for (stack, from) in [("total-adaptive+check", 11_000_000), ("total-adaptive+uniform+check", 12_000_000)]
    {
        let mut setup = setup(stack, true);
        // Slots are for many more frames than a simulation sends.
        let adaptive = Arc::new(Adaptive { much: 30 });
        setup.blueprint = setup.blueprint.with(adaptive).expect("there is a layer `adaptive`");
        setup.faults.renewals = true;
        let soaked = soak(from..from + SEEDS / 2, 1, 1, &setup);
        if let Some(report) = soaked.failures.first() {
            panic!("{stack}: {report}");
        }
    }
}

/// Sealed, no damage counts, and nobody gets anywhere with what he has overheard: all oracles hold, although datagrams are
/// damaged, and a stranger repeats them, whole and changed, from the addresses of members.
#[test]
fn encrypted_keeps_its_promises_among_forgers() {
    let mut setup = setup("total+uniform+encrypted+check", true);
    setup.keys = vec![Arc::new(PreShared::new(&[7; 32]).expect("a key").repeatable())];
    setup.faults.corruption = true;
    let soaked = soak(10_000_000..10_000_120, 1, 1, &setup);
    if let Some(report) = soaked.failures.first() {
        panic!("{report}");
    }
}

/// The same forgers take an open group apart: the oracles see it.
#[test]
fn open_groups_do_not_stand_forgers() {
    let mut setup = setup("total+uniform", true);
    setup.physics.forgers = true;
    let soaked = soak(10_000_000..10_000_060, 1, 1, &setup);
    assert!(!soaked.failures.is_empty(), "forgers do nothing");
}

#[test]
fn damaged_datagrams_never_panic() {
    for (stack, seeds) in
        [("total+uniform", 150), ("fifo+fec", 40), ("fifo+lateral", 40), ("bimodal", 40), ("best-effort", 20)]
    {
        let mut setup = setup(stack, true);
        setup.faults.corruption = true;
        let soaked = soak(4_000_000..4_000_000 + seeds, 2, 1, &setup);
        if let Some(report) = soaked.failures.first() {
            panic!("{stack}: {report}");
        }
    }
}
