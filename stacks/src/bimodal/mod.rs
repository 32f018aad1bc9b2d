//! Bimodal multicast: frames are multicast once, and gossip repairs what got lost, with high probability and steadily.
//!
//! Birman, Hayden, Ozkasap, Xiao, Budiu and Minsky, "Bimodal Multicast" (TOCS 17(2), 1999), §3 and §5. Deviations: a digest
//! lists runs of numbers; each round's work is bounded by counts; and what was asked for in a round is not asked for again in
//! it, from whomever. Of the optimisations there are the soft-failure detection (late requests are not answered), the round
//! retransmission limit and most-recent-first; not the multicast of repairs.
//!
//! ```text
//! A  ── f7 ──▶ everybody        x C                     each member, in each round:
//! B  ── DIGEST: A's f1 to f7, of round 12 ──▶ C         tells two others, by chance, what it holds
//! B  ◀── ASK: A's f7, of round 12 ── C                  asks for what it lacks of what others hold
//! B  ── f7 ──▶ C                                        sends again what it is asked for; forgets what is old
//! ```
//!
//! * **Needs** nothing. **Gives** in-order, probabilistic, bounded, view-end. Stands in place of `reliable`: no layer that
//!   needs reliable frames stands on it. A view ends without a cut: members that go on may have delivered different frames.
//! * **Events in**: `Down::Frames`, `Down::Congested`, `Down::Wedge`, `Down::Fetch`, `Down::Close`, `Up::Frames`. **Out**:
//!   `Up::Frames` in the order of each sender, with gaps where frames were given up; `Up::Credit`; `Up::Wedged` (nothing),
//!   `Up::CutHeld` and `Up::Closed`, at once.
//! * **Header**: 8 bytes, the frame's number in its sender's stream (`u64`, from 1); 0 in other frames. Control frames: see
//!   `codec.rs`. A frame that was asked for is sent as it was.
//! * **Timers**: `ROUND`, every `round_ms`, as long as something is held: an idle group is quiet.
//! * **Slow members** cost the others nothing: nobody waits for them, and what they ask for is bounded. A member whose
//!   application does not take what is delivered drops what arrives meanwhile, and gets no credit itself.
//! * **Invariants**, in `check`: (B1) what is held is counted and within its bounds; (B2) so is what is asked for; (B3) streams
//!   are delivered without overtaking; (B4) nothing is held too far ahead; (B5) nothing is held after `Close`.
//! * **Bounds**: frames are held for `rounds_kept` rounds, and eight windows of bytes at most: then the oldest go first. In a
//!   round a member sends two digests of 40 runs, looks at 4, asks for 64 frames and sends 64 again.
//! * **Leaves** to the sender to keep to a rate that the group can take: there is no flow control.

mod codec;
pub mod gossip;
mod stream;
#[cfg(test)]
mod tests;

use crate::{nonsense::Nonsense, phase::Phase};
use codec::Control;
use gcs::{
    frame::{Dest, Frame, Frames},
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
    rng::Rng,
};
use gossip::{Effect, Gossip, Said, Settings};
use std::time::Duration;

const NAME: &str = "bimodal";

/// The timer of the rounds.
const ROUND: u8 = 0;

/// Bimodal multicast; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bimodal {
    /// A round takes so long, in milliseconds: at least 1. The same at all members.
    pub round_ms: u32,
    /// Frames are held, and asked for, for so many rounds. The same at all members.
    pub rounds_kept: u32,
}

impl Default for Bimodal {
    fn default() -> Self {
        Self { round_ms: 20, rounds_kept: 25 }
    }
}

impl Protocol for Bimodal {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: NAME,
            version: 1,
            needs: Properties::NONE,
            gives: Properties::IN_ORDER
                .and(Properties::PROBABILISTIC)
                .and(Properties::BOUNDED)
                .and(Properties::VIEW_END),
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        8
    }

    fn parameters(&self) -> String {
        format!("round={}ms,kept={}", self.round_ms.max(1), self.rounds_kept)
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let settings = Settings { rounds_kept: self.rounds_kept, ..Settings::default() };
        let round = Duration::from_millis(self.round_ms.max(1).into());
        Box::new(BimodalLayer::new(NAME, round, settings, scope))
    }
}

/// The layer; with settings for silence also that of `besteffort`.
pub(crate) struct BimodalLayer {
    name: &'static str,
    phase: Phase,
    round: Duration,
    gossip: Gossip<Frame>,
    rng: Rng,
    congested: bool,
    /// How many frames were given up, and sent again.
    lost: u64,
    sent_again: u64,
    nonsense: Nonsense,
}

impl Layer for BimodalLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) => self.on_send(frames, cx),
            Down::Congested(congested) => {
                self.congested = congested;
                cx.up(Up::Credit(!congested));
                cx.down(event);
            }
            Down::Wedge => {
                self.phase.note(&event);
                cx.cancel_timer(ROUND);
                cx.down(event);
                cx.up(Up::Wedged(vec![0; cx.scope().members()]));
            }
            Down::Fetch(cut) => cx.up(Up::CutHeld(cut)),
            Down::Close(_) => {
                if self.phase != Phase::Closed {
                    self.phase = Phase::Closed;
                    let mut effects = Vec::new();
                    self.gossip.finish(&mut effects);
                    self.carry_out(effects, cx);
                    cx.up(Up::Closed);
                }
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

    fn timer(&mut self, _timer: u8, cx: &mut Context<'_>) {
        let mut effects = Vec::new();
        self.gossip.round(&mut self.rng, &mut effects);
        self.carry_out(effects, cx);
        self.set_timer(cx);
    }

    fn check(&self) {
        self.gossip.check();
        assert!(self.phase != Phase::Closed || self.held_bytes() == 0, "B5: frames are held after Close");
    }

    fn held_bytes(&self) -> usize {
        self.gossip.held_bytes()
    }

    fn report(&self, to: &mut Report) {
        to.say("frames given up", self.lost);
        to.say("frames sent again", self.sent_again);
        to.say("application keeps up", !self.congested);
        self.nonsense.report(to);
    }
}

impl BimodalLayer {
    /// The layer with this name. How many bytes it holds follows from the windows.
    pub(crate) fn new(name: &'static str, round: Duration, settings: Settings, scope: &Scope) -> Self {
        let settings = Settings { bytes: scope.window_max.saturating_mul(8), ..settings };
        let members = u32::try_from(scope.members()).unwrap_or(u32::MAX);
        Self {
            name,
            phase: Phase::Open,
            round,
            gossip: Gossip::new(scope.me.into(), members, settings),
            rng: scope.rng(),
            congested: false,
            lost: 0,
            sent_again: 0,
            nonsense: Nonsense::default(),
        }
    }

    fn on_send(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        if self.phase != Phase::Open {
            // The next view is for those.
            frames.retain(|f| !f.is_reliable());
        }
        let mut effects = Vec::new();
        for frame in frames.iter_mut().filter(|f| f.is_reliable()) {
            // The number is known before: streams have no gaps at their sender.
            let seq = self.gossip.next_seq();
            frame.to = Dest::Others;
            frame.slot_mut(&cx.slot()).copy_from_slice(&seq.to_le_bytes());
            frame.seal();
            self.gossip.cast(frame.clone(), frame.len(), &mut effects);
        }
        if !frames.is_empty() {
            cx.down(Down::Frames(frames));
        }
        self.carry_out(effects, cx);
        self.set_timer(cx);
    }

    fn on_received(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let (kind, slot) = (cx.kind(), cx.slot());
        let (mut effects, mut others) = (Vec::new(), Frames::new());
        for frame in frames {
            if frame.kind() == kind {
                self.on_control(&frame, &mut effects);
            } else if !frame.is_reliable() {
                others.push(frame);
            } else if self.phase == Phase::Open && !self.congested {
                let seq = frame.slot(&slot).first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
                let (from, len) = (frame.from.into(), frame.len());
                self.gossip.on_item(from, seq, frame, len, &mut effects);
            }
        }
        if !others.is_empty() {
            cx.up(Up::Frames(others));
        }
        self.carry_out(effects, cx);
        self.set_timer(cx);
    }

    fn on_control(&mut self, frame: &Frame, effects: &mut Vec<Effect<Frame>>) {
        let valid = !frame.is_reliable() && frame.from == frame.via;
        let Some(control) = Control::decode(frame.payload()).filter(|_| valid) else {
            return self.nonsense.note(self.name, frame.via, "neither DIGEST nor ASK");
        };
        if self.phase != Phase::Open {
            return;
        }
        let Control { asks, round, runs } = control;
        if asks {
            self.gossip.on_ask(frame.from.into(), round, &runs, effects);
        } else if !self.congested {
            self.gossip.on_digest(frame.from.into(), round, &runs, effects);
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect<Frame>>, cx: &mut Context<'_>) {
        let (mut up, mut down) = (Frames::new(), Frames::new());
        for effect in effects {
            match effect {
                Effect::Deliver { seq, mut item, .. } => {
                    item.seq = seq;
                    up.push(item);
                }
                Effect::Lost { count, .. } => self.lost += count,
                Effect::Send { to, what } => {
                    let to = Dest::One(Rank::try_from(to).unwrap_or(Rank::MAX));
                    down.push(match what {
                        Said::Item { mut item, .. } => {
                            self.sent_again += 1;
                            item.to = to;
                            item
                        }
                        Said::Digest { round, runs } => {
                            let control = Control { asks: false, round, runs };
                            cx.control_frame(to, false, &control.encode())
                        }
                        Said::Ask { round, runs } => {
                            let control = Control { asks: true, round, runs };
                            cx.control_frame(to, false, &control.encode())
                        }
                    });
                }
            }
        }
        if !up.is_empty() {
            cx.up(Up::Frames(up));
        }
        if !down.is_empty() {
            cx.down(Down::Frames(down));
        }
    }

    fn set_timer(&self, cx: &mut Context<'_>) {
        if self.phase == Phase::Open && !cx.timer_is_set(ROUND) && !self.gossip.is_idle() {
            cx.set_timer(ROUND, cx.now + self.round);
        }
    }
}
