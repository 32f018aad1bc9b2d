//! Light groups in simulated executions, under all kinds of faults: processes join and leave light groups and cast into
//! them, and an oracle checks what their readers see. Then something is broken on purpose, and the oracle says so.

#[path = "light_simulation/oracle.rs"]
mod oracle;

use bytes::Bytes;
use gcs::{
    blocks::{
        Snapshot,
        light::{LightEvent, Memberships, SeatId},
    },
    id::MemberId,
    layer::Watch,
    sim::{App, AppContext, Birth, Fault, MessageId, Plan, Report, Setup, generate, run_app},
    view::ViewChange,
};
use oracle::{Book, Judge};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

/// When processes stop to join, leave and cast: what follows from it is said before the end of the run, at 2.5 s at the
/// earliest, when nothing more is taken.
const UNTIL_MS: u64 = 2_200;
/// Names of light groups.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What a process does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// It does not look at some messages.
    Misses,
    /// It looks at some messages twice.
    Repeats,
    /// It looks at some messages after the next one.
    Swaps,
    /// It does not see that members have gone.
    KeepsTheDead,
    /// It takes the state for a slightly different one.
    Misreads,
    /// It does not join again after it has been excluded.
    StaysAway,
    /// It tells readers of one light group what is said in another.
    Confuses,
}

/// The application of one life of one process.
struct Member {
    memberships: Memberships,
    held: BTreeMap<SeatId, &'static str>,
    book: Rc<RefCell<Book>>,
    process: usize,
    life: u32,
    cast: u32,
    wrong: Option<Wrong>,
    kept: Option<(MemberId, Bytes)>,
    me: Option<MemberId>,
    reborn: bool,
}

impl Member {
    fn new(birth: &Birth, book: &Rc<RefCell<Book>>, wrong: Option<Wrong>) -> Self {
        book.borrow_mut().born(birth.process);
        Self {
            memberships: Memberships::new(),
            held: BTreeMap::new(),
            book: Rc::clone(book),
            process: birth.process,
            life: birth.life,
            cast: 0,
            wrong,
            kept: None,
            me: None,
            reborn: false,
        }
    }

    /// Hands on what is to be cast and what has happened.
    fn flush(&mut self, cx: &mut AppContext<'_>, in_order: bool) {
        while let Some(message) = self.memberships.next_cast() {
            cx.cast(&message);
        }
        while let Some((seat, event)) = self.memberships.next_event() {
            let mut seat = seat;
            if self.wrong == Some(Wrong::Confuses)
                && matches!(event, LightEvent::Message { .. })
                && cx.rng.chance(20)
            {
                seat = self.held.keys().copied().find(|s| *s != seat).unwrap_or(seat);
            }
            if matches!(event, LightEvent::Left(_)) {
                self.held.remove(&seat);
            }
            self.book.borrow_mut().event(self.process, seat, event, in_order);
        }
    }

    fn join_or_leave(&mut self, cx: &mut AppContext<'_>) {
        let name = NAMES[usize::try_from(cx.rng.below(NAMES.len() as u64)).expect("small")];
        match self.memberships.seat_of(name) {
            Some(seat) => {
                self.memberships.leave(seat);
                self.book.borrow_mut().leaves(self.process, seat);
            }
            None => {
                let seat = self.memberships.join(name).expect("it is not in it");
                self.held.insert(seat, name);
                self.book.borrow_mut().joins(self.process, seat, name);
            }
        }
    }

    fn say(&mut self, cx: &mut AppContext<'_>) {
        let at = usize::try_from(cx.rng.below(self.held.len().max(1) as u64)).expect("small");
        let Some((seat, name)) = self.held.iter().nth(at) else { return };
        self.cast += 1;
        let text = format!("{name} {}.{}.{}", self.process, self.life, self.cast);
        if let Some(message) = self.memberships.message(*seat, text.as_bytes())
            && cx.cast(&message).is_some()
        {
            self.book.borrow_mut().casts(self.process, *seat, text.into());
        }
    }

    fn is_wrong(&self, how: Wrong, cx: &mut AppContext<'_>, per_mille: u64) -> bool {
        self.wrong == Some(how) && cx.rng.chance(per_mille)
    }
}

impl App for Member {
    fn started(&mut self, cx: &mut AppContext<'_>) {
        let ms = 1 + cx.rng.below(20);
        cx.wake_after(Duration::from_millis(ms));
    }

    fn view(&mut self, change: &ViewChange, cx: &mut AppContext<'_>) {
        let me = change.view.member(change.rank).map(|m| m.id);
        let reborn = self.me.is_some() && self.me != me;
        self.me = me;
        self.book.borrow_mut().view(self.process, change);
        if self.wrong == Some(Wrong::KeepsTheDead) && change.came_with.len() == change.view.len() {
            return;
        }
        self.memberships.view(change);
        self.reborn |= reborn;
        self.flush(cx, false);
    }

    fn message(&mut self, from: MemberId, _: MessageId, payload: &[u8], cx: &mut AppContext<'_>) {
        let message = Bytes::copy_from_slice(payload);
        if self.is_wrong(Wrong::Misses, cx, 20) {
            return;
        }
        if self.kept.is_none() && self.is_wrong(Wrong::Swaps, cx, 50) {
            self.kept = Some((from, message));
            return;
        }
        let times = if self.is_wrong(Wrong::Repeats, cx, 20) { 2 } else { 1 };
        for _ in 0..times {
            self.memberships.deliver(from, &message);
        }
        if let Some((from, message)) = self.kept.take() {
            self.memberships.deliver(from, &message);
        }
        self.flush(cx, true);
    }

    fn wake(&mut self, cx: &mut AppContext<'_>) {
        if self.book.borrow().now < UNTIL_MS * 1_000_000 {
            if cx.rng.chance(120) {
                self.join_or_leave(cx);
            } else {
                self.say(cx);
            }
            self.flush(cx, false);
        }
        let ms = 2 + cx.rng.below(25);
        cx.wake_after(Duration::from_millis(ms));
    }

    fn snapshot(&mut self) -> Arc<dyn Snapshot> {
        self.memberships.snapshot()
    }

    fn restore(&mut self, index: u64, last: bool, chunk: &[u8], cx: &mut AppContext<'_>) {
        let mut chunk = chunk.to_vec();
        if self.wrong == Some(Wrong::Misreads) && index == 0 {
            // The id of the next light group is higher.
            chunk[1] = chunk[1].wrapping_add(1);
        }
        if let Err(e) = self.memberships.restore(index, last, &chunk) {
            self.book.borrow_mut().complain(format!("p{} refuses the state: {e}", self.process));
        }
        if last && std::mem::take(&mut self.reborn) && self.wrong == Some(Wrong::StaysAway) {
            while self.memberships.next_cast().is_some() {}
        }
        self.flush(cx, false);
    }
}

fn setup(stack: &str) -> Setup {
    let mut setup = Setup::new(gcs_stacks::named(stack).expect("a name of the catalogue"));
    setup.members = (3, 6);
    setup
}

/// One execution, in which p1 does something wrong or nobody does.
fn execute(stack: &str, seed: u64, plan: Option<&Plan>, wrong: Option<Wrong>) -> (Report, oracle::Seen) {
    let mut setup = setup(stack);
    if seed.is_multiple_of(2) {
        // Processes are excluded sooner, one is for sure, and come back.
        setup.watch = Watch { heartbeat_ms: 20, silence_ms: 150, lease_ms: 100 };
    }
    let mut generated = generate(seed, setup.members, &setup.faults, setup.safety_ms);
    if seed.is_multiple_of(2) {
        let (process, at) = (usize::from(seed.is_multiple_of(4)), 300 + seed % 500);
        generated = generated.at_ms(at, Fault::Partition { side: vec![process], lasts: Some(500_000_000) });
    }
    let book = Rc::new(RefCell::new(Book::new(stack.contains("uniform"))));
    let judge = Judge(Rc::clone(&book));
    let apps = Rc::clone(&book);
    let report =
        run_app(seed, &setup, plan.unwrap_or(&generated), vec![Box::new(judge)], move |birth: &Birth| {
            Member::new(birth, &apps, wrong.filter(|_| birth.process == 1))
        });
    let seen = book.borrow().seen;
    (report, seen)
}

fn keeps_its_promises(stack: &str, from: u64, seeds: u64) {
    let mut all = oracle::Seen::default();
    for seed in from..from + seeds {
        let (report, seen) = execute(stack, seed, None, None);
        report.expect_ok();
        all.views += seen.views;
        all.messages += seen.messages;
        all.away += seen.away;
        all.compared += seen.compared;
    }
    // The executions are about something.
    assert!(all.views > 20 * seeds && all.messages > 50 * seeds && all.compared > 20 * seeds, "{all:?}");
    assert!(all.away > seeds / 4, "nobody came back: {all:?}");
}

#[test]
fn total_uniform_keeps_its_promises() {
    keeps_its_promises("total+uniform+check", 31_000_000, 60);
}

#[test]
fn total_keeps_its_promises() {
    keeps_its_promises("total+check", 32_000_000, 40);
}

#[test]
fn total_slots_uniform_keeps_its_promises() {
    keeps_its_promises("total-slots+uniform+check", 33_000_000, 40);
}

#[test]
fn the_same_seed_is_the_same_execution() {
    let (one, two) = (execute("total+uniform", 7, None, None).0, execute("total+uniform", 7, None, None).0);
    assert_eq!(one.trace_hash, two.trace_hash);
}

/// p2 is killed, and comes back; p1 is cut off, and comes back.
const BACK: &str = "processes 4\nat 300ms kill p2\nat 500ms start p2\nat 600ms partition p1 for 1500ms\n";

#[test]
fn the_oracle_sees_what_it_watches_for() {
    let plan = Plan::parse(BACK).expect("a plan");
    let all = [
        Wrong::Misses,
        Wrong::Repeats,
        Wrong::Swaps,
        Wrong::KeepsTheDead,
        Wrong::Misreads,
        Wrong::StaysAway,
        Wrong::Confuses,
    ];
    for wrong in all {
        let mut others = Vec::new();
        let seen = (1..=20).any(|seed| {
            execute("total+uniform", seed, Some(&plan), None).0.expect_ok();
            match execute("total+uniform", seed, Some(&plan), Some(wrong)).0.violation {
                Some(v) if v.oracle == oracle::NAME => {
                    println!("{wrong:?}: {v}");
                    true
                }
                other => {
                    others.extend(other);
                    false
                }
            }
        });
        assert!(seen, "the oracle says nothing about {wrong:?}; others: {others:?}");
    }
}
