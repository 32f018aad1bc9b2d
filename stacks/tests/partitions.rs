//! Partitionable groups: every part goes on, and parts merge.

mod hub;

use bytes::Bytes;
use gcs::{
    blocks::{AgreedTime, Replicated, RestoreError, Snapshot, StateMachine},
    group::{Builder, Group},
    keys::PreShared,
    properties::Properties,
    sim::{Report, Scenario, Setup, run, soak},
    view::{View, ViewChange},
};
use std::{collections::BTreeSet, fmt::Write as _, sync::Arc, time::Duration};

fn setup(stack: &str) -> Setup {
    let mut setup = Setup::new(gcs_stacks::named(stack).expect("a name of the catalogue"));
    setup.members = (3, 7);
    setup.partitionable = true;
    if setup.gives().contains(Properties::ENCRYPTED) {
        setup.keys = vec![Arc::new(PreShared::new(&[7; 32]).expect("long enough").repeatable())];
    }
    setup
}

fn keeps_its_promises(stack: &str, from: u64) {
    for (seeds, state_transfer) in [(from..from + 60, true), (from + 60..from + 120, false)] {
        let soaked = soak(seeds, 1, 1, &Setup { state_transfer, ..setup(stack) });
        if let Some(report) = soaked.failures.first() {
            panic!("{stack}, state transfer {state_transfer}: {report}");
        }
    }
}

#[test]
fn fifo_keeps_its_promises() {
    keeps_its_promises("fifo+check", 21_000_000);
}

#[test]
fn total_uniform_keeps_its_promises() {
    keeps_its_promises("total+uniform+check", 22_000_000);
}

#[test]
fn slots_keep_their_promises() {
    keeps_its_promises("total-slots+uniform+check", 23_000_000);
}

#[test]
fn an_encrypted_stack_keeps_its_promises() {
    keeps_its_promises("total+uniform+encrypted", 24_000_000);
}

/// What earlier versions got wrong.
#[test]
fn regressions() {
    let found = [
        // A joiner whose component had lost the state left the group, and did not look for another component.
        ("fifo", 440, 20),
        // Who waited for a state that nobody in its primary component had any more took itself for better than the others.
        ("fifo", 1235, 6),
    ];
    let report = |stack: &str, seed, casts_per_second| {
        let mut setup = setup(stack);
        setup.workload.casts_per_second = casts_per_second;
        run(seed, &setup).violation.map(|v| format!("{stack} {seed}: {v}"))
    };
    let failed: Vec<_> =
        found.into_iter().filter_map(|(stack, seed, casts)| report(stack, seed, casts)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Eight processes in so many components: when the links come back, they are in one view within 2 s, and before that each
/// component has gone on.
fn merge(components: usize, stack: &str, seed: u64) -> Report {
    let mut text = format!("partitionable\nseed {seed}\nprocesses 8\nexpect all at p0 within 500ms\n");
    let component = |p: usize| p * components / 8;
    let members = |c: usize| (0..8).filter(move |p| component(*p) == c);
    let names = |c: usize| members(c).map(|p| format!("p{p}")).collect::<Vec<_>>().join(" ");
    for c in 1..components {
        let _ = writeln!(text, "at 500ms partition {} for 5s", names(c));
    }
    for (c, p) in (0..components).flat_map(|c| members(c).map(move |p| (c, p))) {
        let _ = writeln!(text, "expect view {} at p{p} within 2s", names(c));
    }
    text.push_str("at 4s heal\n");
    (0..8).for_each(|p| {
        let _ = writeln!(text, "expect all at p{p} within 2s");
    });
    Scenario::parse(&text).expect("well-formed").run(&setup(stack))
}

#[test]
fn two_to_eight_components_merge_within_two_seconds() {
    for components in 2..=8 {
        for seed in 1..=5 {
            let report = merge(components, "total+uniform", seed);
            assert!(report.is_ok(), "{components} components: {report}");
        }
    }
}

/// Words that were said, and those of them that were said since the whole group was last together.
#[derive(Clone, Default)]
struct Words {
    all: BTreeSet<Bytes>,
    since: BTreeSet<Bytes>,
    most: usize,
}

impl StateMachine for Words {
    fn apply(&mut self, command: &[u8], _: AgreedTime) -> Bytes {
        let word = Bytes::copy_from_slice(command);
        self.all.insert(word.clone());
        self.since.insert(word.clone());
        word
    }

    fn query(&self, _: &[u8], _: AgreedTime) -> Bytes {
        self.all.iter().flatten().copied().collect()
    }

    fn view_changed(&mut self, view: &View) {
        if view.len() >= self.most {
            self.since.clear();
            self.most = view.len();
        }
    }

    fn reconcile(&mut self, change: &ViewChange) -> Vec<Bytes> {
        assert_eq!(change.merged.len(), 2, "two parts have met");
        self.since.iter().cloned().collect()
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(Frozen(self.all.iter().cloned().collect()))
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        self.all.insert(Bytes::copy_from_slice(chunk));
        Ok(())
    }
}

struct Frozen(Vec<Bytes>);

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        self.0.len() as u64
    }

    fn chunk(&self, index: u64) -> Bytes {
        self.0[usize::try_from(index).expect("small")].clone()
    }
}

async fn until_view(group: &Group, members: usize, primary: bool) {
    let there = |v: &ViewChange| v.view.len() == members && v.primary == primary;
    hub::until(group, |s| !s.blocked && s.view.as_deref().is_some_and(there)).await;
}

/// Three replicas in one process, one of which is cut off, goes on, and comes back with what it has done alone.
#[tokio::test]
async fn what_a_part_has_done_alone_is_said_again() {
    let (hub, addrs, builders) = hub::three_on_a_hub("total+uniform");
    let start = |b: Builder| tokio::spawn(Replicated::start(b.partitionable(true), Words::default()));
    let replicas = builders.map(start);
    let mut all = Vec::new();
    for r in replicas {
        all.push(r.await.expect("no panic").expect("starts"));
    }
    for r in &all {
        r.wait_ready().await.expect("there");
        until_view(r.group(), 3, true).await;
    }
    let said = |word: &'static [u8]| Bytes::from_static(word);
    all[0].execute(said(b"a")).await.expect("three agree");
    let last = addrs[2];
    hub.isolate(last, true);
    for r in &all[..2] {
        until_view(r.group(), 2, true).await;
    }
    until_view(all[2].group(), 1, false).await;
    all[1].execute(said(b"b")).await.expect("two agree");
    all[2].execute(said(b"c")).await.expect("one goes on alone");
    assert_eq!(all[2].query(Bytes::new()).await.expect("alone"), "ac");
    hub.isolate(last, false);
    for r in &all {
        until_view(r.group(), 3, true).await;
        r.wait_ready().await.expect("there");
    }
    for r in &all {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while r.query(Bytes::new()).await.expect("three agree") != "abc" {
            assert!(tokio::time::Instant::now() < deadline, "what was said alone is not there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
