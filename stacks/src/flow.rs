//! Flow control: a member has at most a window of its own frames under way, counted until every member has taken them.
//!
//! Credit by cumulative counters (Kung, Blackwell and Chapman, "Credit-based flow control for ATM networks", SIGCOMM
//! 1994, the N23 scheme), for groups: the slowest member counts.
//!
//! ```text
//! sender      sent  ──────────────────────────────────►│ window full: Credit(false)
//! member a    took  ─────────────────────►
//! member b    took  ────────►                            the minimum; a request every 20 ms while there is no credit
//!                            │◄── under way ──────────►│ at most 3/4 of the window: Credit(true)
//! ```
//!
//! * **Needs** reliable, FIFO. **Gives** flow control, bounded. Its place is above everything that holds frames back (order,
//!   uniform), so that what is held there counts as under way.
//! * **Events in**: `Down::Frames`, `Down::Congested`, `Down::Wedge`, `Up::Frames`. **Out**: `Up::Credit`, `Up::Slow`.
//! * **Header**: none. Two unreliable control frames: ADVERT, to all, is the byte 0 and for each rank the bytes of that
//!   member's frames that were passed up here since the view began (`u64`, little-endian); it goes out when a quarter of
//!   the window of some sender is not advertised, or when asked. REQUEST is the byte 1 and its sender's window in bytes
//!   (`u64`, little-endian): answered with an ADVERT. Until a member has asked, its window is taken to be one's own.
//! * **Slow receivers**: [`SlowReceiver`] says what the group does about them, the same at all members. `Up::Slow` names them to the
//!   group, which decides (`gcs::endpoint`); with `Demote`, learners count for nobody's credit.
//! * **Timers**: `ASK`, every 20 ms while there is no credit: asks those who hold this member back. ADVERTs are cumulative;
//!   with REQUEST the loss of any of them costs at most time.
//! * **Congestion**: while the application does not take what is delivered (`Down::Congested(true)`), frames are passed up
//!   as before, but not advertised: everybody runs out of credit, this member too.
//! * **Invariants**, in `check`: (C1) nobody took more than was sent; (C2) without credit the timer of the requests is
//!   what ends a stall, so more than 3/4 of the window is under way; with credit, less than the window.
//! * **Bounds**: frames that come from above without credit are sent all the same; who sends stops at `Credit(false)`
//!   (`pack` then overshoots by an eighth of the window and a frame). So every layer below holds at most
//!   members × (9/8 window + frame), and so does the application's queue above a congested member.
//! * **Leaves** to the application's driver to say when it is congested, and to a view change to drop a slow receiver.

use crate::nonsense::Nonsense;
use gcs::{
    frame::{Dest, Frame, Frames},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Slow, Up, Wants},
    properties::Properties,
    report::Report,
    time::Time,
};
use std::time::Duration;

const NAME: &str = "flow";
const ADVERT: u8 = 0;
const REQUEST: u8 = 1;

/// The timer of the requests.
const ASK: u8 = 0;
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What happens when a member takes frames more slowly than others send them. The time counts from when somebody has no
/// credit because of it, as long as that lasts without a break: who is only slower than the others sets the pace, and is not
/// touched. Nobody is left behind or demoted if the others would be no quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowReceiver {
    /// Everybody waits for it, without limit. It holds at most members × (9/8 window + frame) bytes of frames that its
    /// application did not take; so does every other member below its application. Being slow alone excludes nobody.
    #[default]
    Wait,
    /// Who holds another one up for this long is excluded. It comes back as a new incarnation, and receives the state.
    Exclude {
        /// In milliseconds.
        after_ms: u64,
    },
    /// Who holds another one up for this long goes on as a learner, and stays one until it comes back in another life.
    /// Nobody waits for learners, until one is eight windows behind: that one is excluded.
    Demote {
        /// In milliseconds.
        after_ms: u64,
    },
}

/// So many windows a learner may be behind where nobody waits for it.
const LAG: u64 = 8;

/// Credit by window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// What happens when a member is slow; the same at all members.
    pub slow: SlowReceiver,
}

impl Protocol for Flow {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: NAME,
            version: 2,
            needs: Properties::RELIABLE | Properties::FIFO,
            gives: Properties::FLOW_CONTROL | Properties::BOUNDED,
            wants: Wants::ALL,
        }
    }

    fn parameters(&self) -> String {
        match self.slow {
            SlowReceiver::Wait => "slow=wait".to_owned(),
            SlowReceiver::Exclude { after_ms } => format!("slow=exclude:{after_ms}"),
            SlowReceiver::Demote { after_ms } => format!("slow=demote:{after_ms}"),
        }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(FlowLayer::new(scope, self.slow))
    }
}

struct FlowLayer {
    me: usize,
    policy: SlowReceiver,
    /// By member: whether others wait until it has taken what they send.
    counts: Vec<bool>,
    /// By member: since when this one has no credit because of it.
    waits_since: Vec<Option<Time>>,
    /// What was said of slow members.
    slow: Slow,
    window: u64,
    /// By sender: its window, as far as it is known.
    windows: Vec<u64>,
    /// Bytes of this member's own data frames.
    sent: u64,
    /// By member: how many of them it says it took.
    taken: Vec<u64>,
    /// By sender: bytes of data frames passed up here.
    passed: Vec<u64>,
    /// By sender: what the others were told of that, or would have been.
    advertised: Vec<u64>,
    credit: bool,
    congested: bool,
    /// Until the view is about to end.
    open: bool,
    nonsense: Nonsense,
}

impl FlowLayer {
    fn new(scope: &Scope, policy: SlowReceiver) -> Self {
        let spares = matches!(policy, SlowReceiver::Demote { .. });
        let counts =
            scope.view.weights().enumerate().map(|(r, w)| !spares || w > 0 || r == usize::from(scope.me));
        let n = scope.members();
        let window = u64::try_from(scope.window_bytes).unwrap_or(u64::MAX).max(1);
        Self {
            me: scope.me.into(),
            policy,
            counts: counts.collect(),
            waits_since: vec![None; n],
            slow: Slow::default(),
            window,
            windows: vec![window; n],
            sent: 0,
            taken: vec![0; n],
            passed: vec![0; n],
            advertised: vec![0; n],
            credit: true,
            congested: false,
            open: true,
            nonsense: Nonsense::default(),
        }
    }
}

impl Layer for FlowLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) => {
                self.sent += data_bytes(&frames);
                cx.down(Down::Frames(frames));
                self.update_credit(cx);
                self.judge(cx);
            }
            Down::Congested(congested) => {
                self.on_congested(congested, cx);
                cx.down(event);
            }
            Down::Wedge => {
                self.open = false;
                cx.cancel_timer(ASK);
                cx.down(event);
            }
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_received(frames, cx),
            other => cx.up(other),
        }
    }

    fn timer(&mut self, timer: u8, cx: &mut Context<'_>) {
        if timer != ASK || self.credit || !self.open {
            return;
        }
        let behind = |member: usize| self.holds_up(member);
        let asked = cx.scope().others().filter(|r| behind(usize::from(*r)));
        let request = [&[REQUEST][..], &self.window.to_le_bytes()].concat();
        let requests: Frames = asked.map(|r| cx.control_frame(Dest::One(r), false, &request)).collect();
        if !requests.is_empty() {
            cx.down(Down::Frames(requests));
        }
        cx.set_timer(ASK, cx.now + ASK_EVERY);
        self.judge(cx);
    }

    fn report(&self, to: &mut Report) {
        to.say("credit", self.credit);
        to.say("window, bytes", self.window);
        to.say("own bytes under way", self.under_way());
        to.say("own bytes sent", self.sent);
        to.say("taken of them, by rank", format_args!("{:?}", self.taken));
        to.say("bytes passed up, by sender", format_args!("{:?}", self.passed));
        to.say("advertised of them", format_args!("{:?}", self.advertised));
        to.say("application keeps up", !self.congested);
        to.say("members that are too slow", format_args!("{:b}", self.slow.all()));
        self.nonsense.report(to);
    }

    fn check(&self) {
        assert!(self.taken.iter().all(|t| *t <= self.sent), "C1: somebody took more than was sent");
        assert!(
            self.advertised.iter().zip(&self.passed).all(|(a, p)| a <= p),
            "C1: advertised, not passed up"
        );
        let bound =
            if self.credit { self.under_way() < self.window } else { self.under_way() > self.resume_at() };
        assert!(bound, "C2: {} bytes are under way, credit: {}", self.under_way(), self.credit);
    }
}

impl FlowLayer {
    fn on_congested(&mut self, congested: bool, cx: &mut Context<'_>) {
        self.congested = congested;
        if !congested {
            self.take_over(true, cx);
        }
    }

    fn on_received(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        let kind = cx.kind();
        let mut asking = 0_u64;
        frames.retain(|frame| {
            if frame.kind() == kind {
                asking |= self.on_control(frame);
                return false;
            }
            if let Some(passed) = self.passed.get_mut(usize::from(frame.from)) {
                *passed += data_bytes(std::slice::from_ref(frame));
            }
            true
        });
        if !frames.is_empty() {
            cx.up(Up::Frames(frames));
        }
        if !self.take_over(false, cx) {
            self.answer(asking, cx);
        }
        self.update_credit(cx);
    }

    /// Reads an ADVERT or a REQUEST; the mask of who asks.
    fn on_control(&mut self, frame: &Frame) -> u64 {
        match frame.payload() {
            [REQUEST, window @ ..] if window.len() == 8 => {
                if let (Some(known), Some(bytes)) =
                    (self.windows.get_mut(usize::from(frame.from)), window.first_chunk::<8>())
                {
                    *known = u64::from_le_bytes(*bytes);
                }
                return 1_u64.checked_shl(frame.from.into()).unwrap_or(0);
            }
            [ADVERT, row @ ..] if row.len() == 8 * self.taken.len() => {
                let mine = row.as_chunks::<8>().0.get(self.me).map_or(0, |b| u64::from_le_bytes(*b));
                if let Some(taken) = self.taken.get_mut(usize::from(frame.from))
                    && mine <= self.sent
                {
                    // Frames may overtake each other.
                    *taken = mine.max(*taken);
                    return 0;
                }
            }
            _ => {}
        }
        self.nonsense.note(NAME, frame.from, "neither ADVERT nor REQUEST");
        0
    }

    /// Counts what was passed up as taken unless the application is congested, and tells the others when it is a quarter
    /// of a window, or is anything and `at_once`. Whether it has told them.
    fn take_over(&mut self, at_once: bool, cx: &mut Context<'_>) -> bool {
        if self.congested || !self.open {
            return false;
        }
        self.taken[self.me] = self.passed[self.me];
        self.advertised[self.me] = self.passed[self.me];
        let behind = self.passed.iter().zip(&self.advertised).map(|(p, a)| p - a);
        let mut owed = behind.zip(&self.windows).filter(|(bytes, _)| *bytes > 0);
        let tells = owed.any(|(bytes, window)| at_once || bytes >= window / 4);
        if tells {
            self.advertised.copy_from_slice(&self.passed);
            cx.down(Down::Frames(vec![self.advert(Dest::Others, cx)]));
        }
        self.update_credit(cx);
        tells
    }

    /// Answers the members in the mask.
    fn answer(&mut self, asking: u64, cx: &mut Context<'_>) {
        if asking == 0 || !self.open {
            return;
        }
        if !self.congested {
            self.advertised.copy_from_slice(&self.passed);
        }
        let asked_by = cx.scope().others().filter(|r| asking >> r & 1 == 1);
        let adverts: Frames = asked_by.map(|r| self.advert(Dest::One(r), cx)).collect();
        if !adverts.is_empty() {
            cx.down(Down::Frames(adverts));
        }
    }

    fn advert(&self, to: Dest, cx: &Context<'_>) -> Frame {
        let mut frame = cx.control_frame(to, false, &[ADVERT]);
        let buf = frame.writable();
        self.advertised.iter().for_each(|a| buf.extend_from_slice(&a.to_le_bytes()));
        frame
    }

    /// Bytes of this member's own frames that not everybody took.
    fn under_way(&self) -> u64 {
        let taken = self.taken.iter().zip(&self.counts).filter(|(_, counts)| **counts).map(|(t, _)| *t);
        self.sent - taken.min().unwrap_or(self.sent)
    }

    /// Whether there is no credit because of this member.
    fn holds_up(&self, member: usize) -> bool {
        !self.credit && self.counts[member] && self.sent - self.taken[member] > self.resume_at()
    }

    /// Says who is too slow, when that has changed.
    fn judge(&mut self, cx: &mut Context<'_>) {
        let after = match self.policy {
            SlowReceiver::Wait => return,
            SlowReceiver::Exclude { after_ms } | SlowReceiver::Demote { after_ms } => {
                Duration::from_millis(after_ms)
            }
        };
        let mut late = 0_u64;
        let mut lost = 0_u64;
        for r in (0..self.taken.len()).filter(|r| *r != self.me) {
            self.waits_since[r] = self.holds_up(r).then(|| self.waits_since[r].unwrap_or(cx.now));
            late |= u64::from(self.waits_since[r].is_some_and(|since| cx.now.since(since) >= after)) << r;
            lost |= u64::from(!self.counts[r] && self.sent - self.taken[r] > LAG * self.window) << r;
        }
        let slow = match self.policy {
            SlowReceiver::Demote { .. } => Slow { exclude: lost, demote: late },
            _ => Slow { exclude: late, demote: 0 },
        };
        if slow != self.slow && self.open {
            self.slow = slow;
            cx.up(Up::Slow(slow));
        }
    }

    /// Credit is back when no more than this is under way. Adverts come by the quarter: a member that took everything
    /// has at most a quarter that it did not advertise, which leaves enough of a distance.
    fn resume_at(&self) -> u64 {
        self.window / 4 * 3
    }

    fn update_credit(&mut self, cx: &mut Context<'_>) {
        let under_way = self.under_way();
        if self.credit && under_way >= self.window {
            self.credit = false;
            if self.open {
                cx.set_timer(ASK, cx.now + ASK_EVERY);
            }
            cx.up(Up::Credit(false));
        } else if !self.credit && under_way <= self.resume_at() {
            self.credit = true;
            cx.cancel_timer(ASK);
            cx.up(Up::Credit(true));
            self.judge(cx);
        }
    }
}

/// The bytes of the frames in the batch that carry the application's messages.
fn data_bytes(frames: &[Frame]) -> u64 {
    let data = frames.iter().filter(|f| f.kind() == Frame::DATA && f.is_reliable());
    data.map(|f| u64::try_from(f.len()).unwrap_or(u64::MAX)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::{Raw, Rig};
    use std::sync::Arc;

    /// The index of the layer in the rig's stacks.
    const KIND: u8 = 1;
    const WINDOW: usize = 8000;

    fn rig(n: usize) -> Rig {
        let above: Vec<Arc<dyn Protocol>> = vec![Arc::new(Flow::default()), Arc::new(Raw)];
        Rig::new(above, n, 1000, WINDOW, 1)
    }

    /// Casts until there is no credit; how many.
    fn fill(rig: &mut Rig, r: usize) -> usize {
        (1..)
            .find(|_| {
                rig.cast(r, &[&[7; 950]]);
                !rig.credit(r)
            })
            .unwrap()
    }

    #[test]
    fn the_window_fills_and_empties() {
        let mut rig = rig(3);
        assert_eq!(fill(&mut rig, 1), 9, "8 frames of 982 bytes are less than the window, 9 are more");
        assert_eq!(rig.stacks[1].deadline(), Time::from_ms(20));
        rig.settle();
        assert!(rig.credit(1));
        assert_eq!(rig.stacks[1].deadline(), Time::NEVER);
        assert!(rig.sent[usize::from(KIND)] <= 2 * 4, "an advert for each quarter");
    }

    #[test]
    fn alone_there_is_always_credit() {
        let mut rig = rig(1);
        for _ in 0..100 {
            rig.cast(0, &[&[7; 950]]);
            assert!(rig.credit(0));
        }
    }

    #[test]
    fn lost_adverts_are_asked_for() {
        let mut rig = rig(3);
        fill(&mut rig, 0);
        rig.loss = 1000;
        rig.settle();
        assert!(!rig.credit(0));
        rig.loss = 500;
        rig.pass_ms(400);
        assert!(rig.credit(0));
    }

    #[test]
    fn a_smaller_window_is_served_sooner_once_it_is_known() {
        let mut rig = rig(2);
        rig.cast(1, &[&[7; 950]]);
        rig.settle();
        assert_eq!(rig.sent[usize::from(KIND)], 0, "less than a quarter of 8000");
        let request = [&[REQUEST][..], &2000_u64.to_le_bytes()].concat();
        rig.receive(0, vec![rig.forge(KIND, 1, 0, &request)]);
        assert_eq!(rig.sent[usize::from(KIND)], 1, "the answer");
        rig.cast(1, &[&[7; 950]]);
        rig.settle();
        assert_eq!(rig.sent[usize::from(KIND)], 2, "more than a quarter of 2000");
    }

    #[test]
    fn only_who_is_behind_is_asked() {
        let mut rig = rig(3);
        rig.dead = 0b100;
        fill(&mut rig, 0);
        rig.settle();
        let before = rig.sent[usize::from(KIND)];
        rig.pass_ms(20);
        assert_eq!(rig.sent[usize::from(KIND)], before + 1);
    }

    #[test]
    fn a_congested_member_holds_everybody_back() {
        for congested in [1, 2] {
            let mut rig = rig(3);
            rig.down(congested, Down::Congested(true));
            fill(&mut rig, 1);
            rig.pass_ms(100);
            assert_eq!(rig.frames(congested).len(), 9, "they are passed up all the same");
            assert!(!rig.credit(1));
            rig.down(congested, Down::Congested(false));
            rig.settle();
            assert!(rig.credit(1), "at once, without being asked");
        }
    }

    #[test]
    fn the_end_of_congestion_is_told_at_once() {
        let mut rig = rig(2);
        rig.down(1, Down::Congested(true));
        rig.cast(0, &[b"little"]);
        rig.settle();
        assert_eq!(rig.sent[usize::from(KIND)], 0);
        rig.down(1, Down::Congested(false));
        assert_eq!(rig.sent[usize::from(KIND)], 1);
    }

    #[test]
    fn nonsense_gives_no_credit() {
        let mut rig = rig(2);
        fill(&mut rig, 0);
        let sent = 9 * 982_u64;
        let row = |mine: u64| [&[ADVERT][..], &mine.to_le_bytes(), &[0; 8]].concat();
        for bad in [&b""[..], b"\x02", b"\x01", b"\x00short", &row(sent + 1), &row(u64::MAX)] {
            rig.receive(0, vec![rig.forge(KIND, 1, 0, bad)]);
            assert!(!rig.credit(0));
        }
        // The boundary: three quarters of the window may be under way.
        rig.receive(0, vec![rig.forge(KIND, 1, 0, &row(sent - 6001))]);
        assert!(!rig.credit(0));
        rig.receive(0, vec![rig.forge(KIND, 1, 0, &row(sent - 6000)), rig.forge(KIND, 1, 0, &row(0))]);
        assert!(rig.credit(0));
    }

    #[test]
    fn who_is_slow_for_long_is_named() {
        for (policy, named) in [
            (SlowReceiver::Wait, Slow::default()),
            (SlowReceiver::Exclude { after_ms: 300 }, Slow { exclude: 0b100, demote: 0 }),
            (SlowReceiver::Demote { after_ms: 300 }, Slow { exclude: 0, demote: 0b100 }),
        ] {
            let above: Vec<Arc<dyn Protocol>> = vec![Arc::new(Flow { slow: policy }), Arc::new(Raw)];
            let mut rig = Rig::new(above, 3, 1000, WINDOW, 1);
            let slow = |rig: &Rig| {
                rig.out[0].iter().rev().find_map(|e| if let Up::Slow(s) = e { Some(*s) } else { None })
            };
            rig.down(2, Down::Congested(true));
            fill(&mut rig, 0);
            rig.pass_ms(250);
            assert_eq!(slow(&rig), None);
            rig.pass_ms(100);
            assert_eq!(slow(&rig).unwrap_or_default(), named, "{policy:?}");
            rig.down(2, Down::Congested(false));
            rig.settle();
            assert_eq!(slow(&rig).unwrap_or_default(), Slow::default(), "it has caught up");
        }
    }
}
