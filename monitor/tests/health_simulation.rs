//! Component health as a whole, in simulated executions: representatives, and clients that watch, disagree about what they observe and go
//! from one representative to another. Representatives are killed, stopped, parted, come and go. `SEED=n` repeats a run and shows it,
//! `SEEDS` is how many to run, `FROM` the first of them.
//!
//! | file | |
//! |---|---|
//! | `run` | one run, and what goes wrong in it |
//! | `representative`, `client` | who speaks with whom, driven as the product does it |
//! | `net` | connections between them |
//! | `book` | what must not be seen |

use representative::Wrong;
use run::{Run, Shown};

#[path = "health_simulation/book.rs"]
mod book;
#[path = "health_simulation/client.rs"]
mod client;
#[path = "health_simulation/net.rs"]
mod net;
#[path = "health_simulation/representative.rs"]
mod representative;
#[path = "health_simulation/run.rs"]
mod run;

/// What the product has.
const STACK: &str = "total+uniform";

/// What once went wrong: who was made primary by force told what it alone delivered of the old view, as if that had been agreed on.
const FOUND: [u64; 1] = [45];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().expect("a number"))
}

fn execute(seed: u64, stack: &str, wrong: Option<Wrong>) -> Result<Option<Shown>, String> {
    Run::new(seed, stack, wrong, number("SEED").is_some()).finish()
}

#[test]
fn nobody_sees_another_sequence() {
    let (from, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (number("FROM").unwrap_or(1), number("SEEDS").unwrap_or(40)),
    };
    let (mut all, mut lost) = (Shown::default(), 0);
    let found = FOUND.into_iter().filter(|_| number("SEED").is_none());
    for seed in found.chain(from..from + count) {
        match execute(seed, STACK, None).unwrap_or_else(|what| panic!("{what}\nSEED={seed} repeats it")) {
            Some(shown) => all.add(&shown),
            None => lost += 1,
        }
    }
    println!("{count} runs from {from}: {all:?}, {lost} without a quorum");
    if count >= 40 {
        // The executions are about something.
        assert!(all.verdicts > 20 * count && all.failovers > 5 * count && all.partitions >= count, "{all:?}");
        assert!(all.told > 2 * all.verdicts && all.disputes > count && lost * 6 < count, "{all:?} {lost}");
    }
}

#[test]
fn the_same_seed_is_the_same_execution() {
    let one = || execute(7, STACK, None).expect("it ends").expect("it has a quorum");
    let (this, that) = (one(), one());
    assert_eq!((this.hash, this.told), (that.hash, that.told));
}

/// What is broken on purpose is seen, and how.
#[track_caller]
fn is_seen(stack: &str, wrong: Option<Wrong>, by: &[&str]) {
    let said = (1..=100).find_map(|seed| execute(seed, stack, wrong).err()).expect("nobody sees it");
    let last = said.lines().last().unwrap_or_default();
    println!("{stack} {wrong:?}: {last}");
    assert!(by.iter().any(|by| last.starts_with(by)), "{said}");
}

#[test]
fn a_representative_that_decides_alone_is_seen() {
    is_seen(STACK, Some(Wrong::DecidesAlone), &["differs:", "goes on:", "A1:"]);
}

#[test]
fn verdicts_that_are_told_before_a_majority_has_them_are_seen() {
    is_seen("total", None, &["differs:", "goes on:", "standing:"]);
}

#[test]
fn a_verdict_that_gets_lost_at_a_failover_is_seen() {
    is_seen(STACK, Some(Wrong::LeavesOneOut), &["gap:"]);
}

#[test]
fn a_representative_that_tells_what_it_alone_delivers_is_seen() {
    is_seen(STACK, Some(Wrong::TellsOutOfContact), &["differs:"]);
}

#[test]
fn a_joiner_without_the_state_is_seen() {
    is_seen(STACK, Some(Wrong::Forgets), &["A1:", "differs:", "goes on:", "standing:"]);
}
