//! Heartbeats: silence becomes suspicion, answers become contact with a quorum.
//!
//! Adaptive timeouts after Jacobson (SIGCOMM 1988) and Bertier, Marin and Sens (DSN 2002); self-doubt after Dadgar,
//! Phillips and Currey, "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (DSN-W 2018); leases
//! from echoes after Gray and Cheriton (SOSP 1989). It deviates from Lifeguard in that only late timers raise the score.
//!
//! ```text
//! A ──beat(t1; echoes, suspects, gone)──▶ B        B: answered_at[A] = t2, when its beat is the first to echo t1
//! A ◀──beat(t2; echo A = t1)───────────── B        A: contact with B at t1; quorum_at = t1 once a quorum echoed ≥ t1
//! ```
//!
//! **Needs** nothing. **Gives** `suspicion`. Belongs at the bottom: every frame of a member is a sign of its life.
//!
//! **Events.** Up: `Frames` are noticed; its own are consumed, others pass. `Suspicions` whenever who is silent for whom,
//! or gone, has changed; `Contact` whenever `quorum_at` or `answered_at` has. Down: `Gone` is recorded, spread at once and
//! passed on; `Shun` freezes the echoes of those it names, so that they have no new contact; `Close` silences the layer;
//! `Wedge` does not.
//!
//! **Frames.** Unreliable, to all others: `| 1 | sent_at: u64 | suspects: u64 | gone: u64 | echo: members × u64 |`,
//! little-endian. `sent_at` is of the sender's own clock, `echo[r]` the latest `sent_at` received from `r`, 0 for none.
//!
//! **Timers.** BEAT: every `heartbeat_ms` ± 1/16, or up to a quarter earlier with the arrival of another's beat: an idle
//! process wakes up less often. Beats are also sent at once when own suspicions, or who is gone, change.
//!
//! **Silence.** `r` is suspected when nothing of it is heard for `max(silence, mean + 4 × deviation of the gaps between
//! its beats)`, at most four times `silence`, times 1 to 4 by the score; until it is heard again. A process that was
//! stopped does not accuse when it wakes: when its own timer is late by more than a heartbeat, the lost time does not
//! count as silence, everybody has at least `max(3 heartbeats, silence / 2)` left, and the score rises.
//!
//! **Invariants.** 1. A rank never lists itself. 2. Who is gone stays gone. 3. `quorum_at` and `answered_at` only grow,
//! and `quorum_at` is a time at which this process sent a beat in this view. 4. A member has no more contact with this
//! one than `answered_at` says: it is set to the time of sending whenever a beat of that member is echoed for the first
//! time; later echoes of the same beat give it nothing new.
//!
//! **Bounds.** A few words per member. **Leaves** to the group what follows from suspicion and contact.

use gcs::{
    frame::{Dest, Frame, Frames},
    id::{MAX_MEMBERS, Rank},
    layer::{Contact, Context, Down, Layer, LayerSpec, Protocol, Scope, Suspicions, Up, Wants},
    membership::is_quorum,
    properties::Properties,
    report::Report,
    rng::Rng,
    time::Time,
};
use smallvec::SmallVec;
use std::time::Duration;

const BEAT: u8 = 0;
const TAG: u8 = 1;
const SCORE_MAX: u32 = 3;
/// The score falls by one after so many timers that were on time.
const SCORE_DECAY: u32 = 20;
/// The timeout adapts up to so many times `silence_ms`.
const ADAPT_MAX: u32 = 4;

/// Heartbeats; see the module. Its parameters are those of [`gcs::layer::Watch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat;

impl Protocol for Heartbeat {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "heartbeat",
            version: 1,
            needs: Properties::NONE,
            gives: Properties::SUSPICION,
            wants: Wants::RECEIVED.and(Wants::CONTROL),
        }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(HeartbeatLayer::new(scope))
    }
}

/// What a heartbeat says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Beat {
    sent_at: Time,
    suspects: u64,
    gone: u64,
    echo: SmallVec<[Time; 8]>,
}

impl Beat {
    fn encode(&self) -> SmallVec<[u8; 96]> {
        let mut out = SmallVec::from_slice(&[TAG]);
        let head = [self.sent_at.0, self.suspects, self.gone];
        for word in head.into_iter().chain(self.echo.iter().map(|t| t.0)) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// None if it is malformed.
    fn decode(payload: &[u8], members: usize) -> Option<Self> {
        let (words, tail) = payload.strip_prefix(&[TAG])?.as_chunks::<8>();
        if !tail.is_empty() || words.len() != 3 + members {
            return None;
        }
        let mut words = words.iter().map(|w| u64::from_le_bytes(*w));
        let (sent_at, suspects, gone) = (Time(words.next()?), words.next()?, words.next()?);
        Some(Self { sent_at, suspects, gone, echo: words.map(Time).collect() })
    }
}

/// What is known of another member.
#[derive(Clone, Debug)]
struct Peer {
    /// The last sign of life.
    heard_at: Time,
    /// When its last beat came, for the gaps; zero if the next gap says nothing.
    beat_at: Time,
    /// Gaps between its beats, smoothed: mean and deviation.
    mean: Duration,
    deviation: Duration,
    /// Its latest `sent_at`.
    latest: Time,
    /// The latest of them that has been echoed.
    echoed: Time,
    /// This member's latest beat that it has echoed.
    answered: Time,
}

impl Peer {
    fn on_beat(&mut self, now: Time, longest: Duration) {
        if self.beat_at != Time::ZERO {
            let gap = now.since(self.beat_at).min(longest);
            let error = gap.abs_diff(self.mean);
            self.mean = (self.mean * 7 + gap) / 8;
            self.deviation = (self.deviation * 3 + error) / 4;
        }
        self.beat_at = now;
    }

    fn timeout(&self, silence: Duration, score: u32) -> Duration {
        (self.mean + self.deviation * 4).clamp(silence, silence * ADAPT_MAX) * (1 + score)
    }
}

#[derive(Debug)]
struct HeartbeatLayer {
    me: usize,
    members: usize,
    /// By rank: the votes of the members.
    weights: SmallVec<[u16; 8]>,
    heartbeat: Duration,
    silence: Duration,
    started_at: Time,
    rng: Rng,
    peers: Vec<Peer>,
    /// The present word on silence and on who is gone; the row of `me` is this member's own.
    word: Suspicions,
    contact: Contact,
    sent_at: Time,
    /// When BEAT should fire.
    due: Time,
    /// Doubt in oneself: 0 to [`SCORE_MAX`].
    score: u32,
    on_time: u32,
    closed: bool,
    /// Members that are answered no more, as a mask.
    shunned: u64,
    dropped: u64,
}

impl HeartbeatLayer {
    fn shuns(&self, rank: usize) -> bool {
        self.shunned >> rank & 1 == 1
    }

    fn new(scope: &Scope) -> Self {
        let members = scope.members();
        let heartbeat = Duration::from_millis(scope.watch.heartbeat_ms.max(1));
        let peer = Peer {
            heard_at: scope.now,
            beat_at: Time::ZERO,
            mean: heartbeat,
            deviation: Duration::ZERO,
            latest: Time::ZERO,
            echoed: Time::ZERO,
            answered: Time::ZERO,
        };
        Self {
            me: usize::from(scope.me),
            members,
            weights: scope.view.weights().collect(),
            heartbeat,
            silence: Duration::from_millis(scope.watch.silence_ms.max(1)),
            started_at: scope.now,
            rng: scope.rng(),
            peers: vec![peer; members],
            word: Suspicions::default(),
            contact: Contact { quorum_at: Time::ZERO, answered_at: vec![scope.now; members] },
            sent_at: Time::ZERO,
            due: Time::NEVER,
            score: 0,
            on_time: 0,
            closed: false,
            shunned: 0,
            dropped: 0,
        }
    }

    /// All members, except `rank`.
    fn mask_without(&self, rank: usize) -> u64 {
        (u64::MAX >> (MAX_MEMBERS - self.members.min(MAX_MEMBERS))) & !(1 << rank)
    }

    // --- sending ---

    fn set_beat_timer(&mut self, cx: &mut Context<'_>) {
        let nanos = u64::try_from(self.heartbeat.as_nanos()).unwrap_or(u64::MAX);
        self.due = cx.now + Duration::from_nanos(nanos - nanos / 16 + self.rng.below(nanos / 8));
        cx.set_timer(BEAT, self.due);
    }

    fn send(&mut self, cx: &mut Context<'_>) {
        let beat = Beat {
            sent_at: cx.now,
            suspects: self.word.silent[self.me],
            gone: self.word.gone,
            echo: self
                .peers
                .iter()
                .enumerate()
                .map(|(r, p)| if self.shuns(r) { p.echoed } else { p.latest })
                .collect(),
        };
        if self.members > 1 {
            cx.down(Down::Frames(vec![cx.control_frame(Dest::Others, false, &beat.encode())]));
        }
        // The first time the initial values are news.
        let mut news = self.sent_at == Time::ZERO;
        self.sent_at = cx.now;
        let shunned = self.shunned;
        for (r, (peer, answered_at)) in self.peers.iter_mut().zip(&mut self.contact.answered_at).enumerate() {
            if shunned >> r & 1 == 0 && peer.latest > peer.echoed {
                peer.echoed = peer.latest;
                *answered_at = cx.now;
                news = true;
            }
        }
        self.contact.answered_at[self.me] = cx.now;
        self.report_contact(news, cx);
    }

    /// Reports contact, if it is news or a quorum is known to have been in contact later than before.
    fn report_contact(&mut self, news: bool, cx: &mut Context<'_>) {
        let quorum_at = self.quorum_at();
        if quorum_at > self.contact.quorum_at || news {
            self.contact.quorum_at = quorum_at.max(self.contact.quorum_at);
            cx.up(Up::Contact(self.contact.clone()));
        }
    }

    /// The latest own beat that a quorum has answered.
    fn quorum_at(&self) -> Time {
        let answered = |r: usize| if r == self.me { self.sent_at } else { self.peers[r].answered };
        let reached = |at: &Time| {
            let set = (0..self.members).filter(|r| answered(*r) >= *at).fold(0_u64, |s, r| s | 1 << r);
            is_quorum(set, self.weights.iter().copied())
        };
        (0..self.members).map(answered).filter(reached).max().unwrap_or(Time::ZERO)
    }

    // --- receiving ---

    fn on_frames(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        if self.closed {
            frames.retain(|f| f.kind() != cx.kind());
        } else {
            self.notice(&mut frames, cx);
        }
        if !frames.is_empty() {
            cx.up(Up::Frames(frames));
        }
    }

    /// Takes frames for signs of life, and the beats among them for what they say.
    fn notice(&mut self, frames: &mut Frames, cx: &mut Context<'_>) {
        let (mut heard, mut beats) = (0_u64, false);
        for frame in frames.iter() {
            heard |= 1_u64.checked_shl(frame.via.into()).unwrap_or(0);
            beats |= frame.kind() == cx.kind();
        }
        heard &= self.mask_without(self.me);
        for (r, peer) in self.peers.iter_mut().enumerate() {
            if heard >> r & 1 == 1 {
                peer.heard_at = cx.now;
            }
        }
        let before = self.word;
        self.word.silent[self.me] &= !heard;
        if beats {
            frames.retain(|f| {
                let mine = f.kind() == cx.kind();
                if mine {
                    self.on_beat(f, cx.now);
                }
                !mine
            });
            self.report_contact(false, cx);
        }
        self.spread(&before, cx);
        // One's own beat, if it is due soon, goes out while this process is awake.
        if beats && cx.now + self.heartbeat / 4 >= self.due {
            self.on_beat_due(cx);
        }
    }

    fn on_beat(&mut self, frame: &Frame, now: Time) {
        let from = usize::from(frame.from);
        let known = from < self.members && from != self.me && frame.via == frame.from && !frame.is_reliable();
        let beat = Beat::decode(frame.payload(), self.members).filter(|_| known);
        let Some(beat) = beat else {
            self.dropped += 1;
            return tracing::debug!(via = frame.via, dropped = self.dropped, "dropped a malformed heartbeat");
        };
        let (others, not_me) = (self.mask_without(from), self.mask_without(self.me));
        let peer = &mut self.peers[from];
        peer.on_beat(now, self.silence * ADAPT_MAX);
        let answered = beat.echo[self.me];
        if answered > self.sent_at || answered != Time::ZERO && answered < self.started_at {
            // It answers what was never sent.
            self.dropped += 1;
        } else {
            peer.answered = peer.answered.max(answered);
        }
        // A beat that was overtaken has nothing to say.
        if beat.sent_at >= peer.latest {
            peer.latest = beat.sent_at;
            self.word.silent[from] = beat.suspects & others;
        }
        self.word.gone |= beat.gone & others & not_me;
    }

    /// Reports a change of suspicions, and tells the others when it is one of their concern.
    fn spread(&mut self, before: &Suspicions, cx: &mut Context<'_>) {
        if self.word == *before {
            return;
        }
        cx.up(Up::Suspicions(Box::new(self.word)));
        if self.word.silent[self.me] != before.silent[self.me] || self.word.gone != before.gone {
            self.send(cx);
        }
    }

    fn on_gone(&mut self, member: Rank, cx: &mut Context<'_>) {
        let before = self.word;
        self.word.gone |= 1_u64.checked_shl(member.into()).unwrap_or(0) & self.mask_without(self.me);
        if !self.closed {
            self.spread(&before, cx);
        }
        cx.down(Down::Gone(member));
    }

    // --- time ---

    fn on_beat_due(&mut self, cx: &mut Context<'_>) {
        let late = cx.now.since(self.due);
        if late > self.heartbeat {
            self.doubt(late, cx.now);
        } else {
            self.on_time += 1;
            if self.on_time >= SCORE_DECAY {
                (self.score, self.on_time) = (self.score.saturating_sub(1), 0);
            }
        }
        let before = self.word;
        for r in (0..self.members).filter(|r| *r != self.me) {
            let peer = &self.peers[r];
            if cx.now.since(peer.heard_at) > peer.timeout(self.silence, self.score) {
                self.word.silent[self.me] |= 1 << r;
            }
        }
        self.spread(&before, cx);
        if self.sent_at != cx.now {
            self.send(cx);
        }
        self.set_beat_timer(cx);
    }

    /// This process was stopped, or starved: what it did not hear is its own fault.
    fn doubt(&mut self, late: Duration, now: Time) {
        (self.score, self.on_time) = ((self.score + 1).min(SCORE_MAX), 0);
        let grace = (self.heartbeat * 3).max(self.silence / 2);
        for peer in &mut self.peers {
            let least = now + grace - peer.timeout(self.silence, self.score);
            peer.heard_at = (peer.heard_at + late).max(least).min(now);
            peer.beat_at = Time::ZERO;
        }
    }
}

impl Layer for HeartbeatLayer {
    fn start(&mut self, cx: &mut Context<'_>) {
        self.send(cx);
        self.set_beat_timer(cx);
    }

    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Gone(member) => self.on_gone(member, cx),
            Down::Shun(members) => {
                self.shunned = members;
                cx.down(event);
            }
            Down::Close(_) => {
                self.closed = true;
                cx.cancel_timer(BEAT);
                cx.down(event);
            }
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_frames(frames, cx),
            other => cx.up(other),
        }
    }

    fn timer(&mut self, timer: u8, cx: &mut Context<'_>) {
        if timer == BEAT && !self.closed {
            self.on_beat_due(cx);
        }
    }

    fn report(&self, to: &mut Report) {
        let view = |mask: u64| (0..self.members).filter(move |r| mask >> r & 1 == 1).collect::<Vec<_>>();
        to.say("doubts itself, of 3", self.score);
        to.say("ranks whose process is gone", format_args!("{:?}", view(self.word.gone)));
        for (r, silent) in self.word.silent.iter().take(self.members).enumerate().filter(|(_, s)| **s != 0) {
            to.say(&format!("ranks that rank {r} hears nothing from"), format_args!("{:?}", view(*silent)));
        }
        let ms = |p: &Peer| p.timeout(self.silence, self.score).as_millis();
        to.say(
            "silence tolerated, ms, by rank",
            format_args!("{:?}", self.peers.iter().map(ms).collect::<Vec<_>>()),
        );
    }

    fn check(&self) {
        let word = &self.word;
        for (r, silent) in word.silent.iter().enumerate() {
            assert_eq!(silent >> r & 1, 0, "H1: a rank never lists itself");
        }
        assert_eq!(word.gone >> self.me & 1, 0, "H1: a rank never lists itself");
        assert!(self.contact.quorum_at <= self.sent_at, "H3: contact is with what was sent");
        assert!(self.peers.iter().all(|p| p.answered <= self.sent_at), "H3: only what was sent is answered");
        assert!(self.peers.iter().all(|p| p.echoed <= p.latest), "H4: only what was received is echoed");
    }
}

#[cfg(test)]
#[path = "heartbeat_tests.rs"]
mod tests;
