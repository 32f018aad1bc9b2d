//! The endpoint as a whole, in simulated executions: three replicas, the Ethernet that clients are on, and clients; processes are
//! killed, stopped and parted, both networks lose, delay and reorder. `SEED=n` repeats a run and says what goes wrong in it, `SEEDS` is
//! how many to run, `FROM` the first of them.
//!
//! | file | |
//! |---|---|
//! | `run` | one run |
//! | `schedule` | what goes wrong |
//! | `member` | a replica, driven as the product does it |
//! | `book` | what must not be seen, with `capture` for frames |
//! | `client`, `service`, `station`, `ether` | who transfers what with whom, over what |

use std::{cell::RefCell, rc::Rc};

use book::Book;
use ether::Ether;
use gcs_tcp_endpoint::link::Mac;
use member::Wrong;
use run::{Run, Shown};

#[path = "simulation/book.rs"]
mod book;
mod capture;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/ether.rs"]
mod ether;
#[path = "simulation/member.rs"]
mod member;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/schedule.rs"]
mod schedule;
#[path = "simulation/service.rs"]
mod service;
#[path = "simulation/station.rs"]
mod station;

pub(crate) const VIP: [u8; 4] = [10, 0, 0, 100];
/// What once went wrong: a joiner led before any batch came, and its time stood still.
const FOUND: [u64; 1] = [358];
/// What the product has.
const STACK: &str = "total+uniform";

/// What all parts of a run share. `now` is true time, in nanoseconds.
pub(crate) struct Net {
    pub(crate) now: u64,
    pub(crate) ether: Ether,
    pub(crate) book: Book,
}

pub(crate) type Shared = Rc<RefCell<Net>>;

/// The MAC of a station.
pub(crate) fn mac(port: usize) -> Mac {
    Mac([2, 0x67, 0x63, 0x73, 0, u8::try_from(port).expect("few ports")])
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().expect("a number"))
}

fn execute(seed: u64, stack: &str, wrong: Option<Wrong>) -> Result<Option<Shown>, String> {
    Run::new(seed, stack, wrong, number("SEED").is_some()).finish()
}

#[test]
fn clients_do_not_notice() {
    let (from, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (number("FROM").unwrap_or(1), number("SEEDS").unwrap_or(30)),
    };
    let (mut all, mut bytes, mut longest, mut again) = (book::Seen::default(), 0, (0, 0), 0);
    let mut lost = 0;
    let found = FOUND.into_iter().filter(|_| number("SEED").is_none());
    for seed in found.chain(from..from + count) {
        let shown =
            execute(seed, STACK, None).unwrap_or_else(|what| panic!("{what}\nSEED={seed} repeats it"));
        let Some(shown) = shown else {
            lost += 1;
            continue;
        };
        all.takeovers += shown.seen.takeovers;
        all.kicked += shown.seen.kicked;
        all.batches += shown.seen.batches;
        all.joins += shown.seen.joins;
        all.muted += shown.seen.muted;
        bytes += shown.bytes;
        again += shown.frames.again;
        longest = longest.max((shown.took, seed));
    }
    println!(
        "{count} runs from {from}: {all:?}, {bytes} bytes, {again} said again, {lost} without a quorum; longest {longest:?}"
    );
    if count >= 30 {
        // The executions are about something.
        assert!(
            all.takeovers > 2 * count && all.joins > count && all.kicked > count && lost * 20 < count,
            "{all:?}"
        );
    }
}

#[test]
fn the_same_seed_is_the_same_execution() {
    let one = || execute(7, STACK, None).expect("it ends").expect("it has a quorum");
    let (this, that) = (one(), one());
    assert_eq!((this.hash, this.frames), (that.hash, that.frames));
}

/// What is broken on purpose is seen by somebody, and by whom.
#[track_caller]
fn is_seen(stack: &str, wrong: Option<Wrong>, by: &[&str]) {
    let said = (1..=60).find_map(|seed| execute(seed, stack, wrong).err()).expect("nobody sees it");
    let last = said.lines().last().unwrap_or_default();
    println!("{stack} {wrong:?}: {last}");
    assert!(by.iter().any(|by| last.starts_with(by)), "{said}");
}

#[test]
fn who_emits_without_a_lease_is_seen() {
    is_seen(STACK, Some(Wrong::NeedsNoLease), &["lease:"]);
}

#[test]
fn batches_that_are_let_out_before_they_are_stable_are_seen() {
    is_seen("total", None, &["stable:", "digest:", "p0 cannot", "p1 cannot", "p2 cannot"]);
}

#[test]
fn a_joiner_without_the_state_is_seen() {
    is_seen(STACK, Some(Wrong::Forgets), &["digest:"]);
}
