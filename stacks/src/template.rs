//! A layer that does nothing, to copy. (First line: what the layer does.)
//!
//! Here: the paper and its section, and where the layer deviates from it. Then a drawing: who sends what when, or the
//! states.
//!
//! ```text
//! above ──── down() ───►  Template  ─── cx.down() ───► below
//! above ◄─── cx.up() ───  Template  ◄─── up() ──────── below
//! ```
//!
//! * **Needs** nothing. **Gives** nothing. **Events in**, **out**: all are passed on.
//! * **Header**: a byte, which counts the sender's frames modulo 256 and which nobody needs.
//! * **Timers**: `TICK`, every second: for show.
//! * **Invariants**, in `check`: (T1) every invariant has a number, which is in the message of its assertion.
//! * **Bounds**: everything a layer holds has a bound; it is said here. This one holds nothing.
//! * **Leaves** everything to the other layers.
//!
//! What to know before writing one:
//! * A layer lives for one view; [`Protocol::build`] makes it anew. It needs no way back to the beginning.
//! * It reads no clock, draws no randomness but `scope.rng()`, does no input or output; its maps have a defined order. Time
//!   is `cx.now`. The same events give the same effects.
//! * What it does not consume it passes on, in the order in which it came: one that holds frames back lets go of everything
//!   before it passes on `Up::Closed`. Events of kinds that it does not want ([`Wants`]) go past it, and overtake those that
//!   pass through it.
//! * Handlers get batches and should emit batches: collect a `Frames` and call `cx.up` once.
//! * What comes from the network may be anything. Drop it, count it, never panic, never allocate by a length that it names.
//! * Frames that it makes for its peers come from `cx.control_frame`, and arrive at them with `kind() == cx.kind()`. The
//!   peers consume them.
//! * From `Down::Wedge` on it starts no frames; between `Up::Wedged` and `Down::Close` nothing is delivered.

use gcs::{
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
};
use std::time::Duration;

/// A layer has up to four timers, by number.
const TICK: u8 = 0;

/// A time-out has its unit in its name or its type.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// The protocol: parameters, if there are any. Those that must be the same at all members go into
/// [`Protocol::parameters`], and so into the stack's fingerprint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Template;

impl Protocol for Template {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            // Unique in a stack.
            name: "template",
            // To be raised when the header or the behaviour towards peers changes.
            version: 1,
            needs: Properties::NONE,
            gives: Properties::NONE,
            // The fewer, the faster: other events do not even cost a call.
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        1
    }

    fn build(&self, _scope: &Scope) -> Box<dyn Layer> {
        Box::new(TemplateLayer { frames: 0, state: State::Open })
    }
}

/// States are an enum, not a handful of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Wedged,
}

/// The layer in one view.
struct TemplateLayer {
    /// How many frames came from above.
    frames: u64,
    state: State,
}

/// Flat dispatch: one line for an event that is passed on, a method `on_<event>` for one that is handled.
impl Layer for TemplateLayer {
    fn start(&mut self, cx: &mut Context<'_>) {
        cx.set_timer(TICK, cx.now + TICK_EVERY);
    }

    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(mut frames) => {
                for frame in &mut frames {
                    // The layer's own part of the header.
                    frame.slot_mut(&cx.slot())[0] = self.frames.to_le_bytes()[0];
                    self.frames += 1;
                }
                cx.down(Down::Frames(frames));
            }
            Down::Wedge => {
                self.state = State::Wedged;
                cx.cancel_timer(TICK);
                cx.down(event);
            }
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(mut frames) => {
                // Frames for this layer are consumed, those of others are passed on.
                frames.retain(|frame| frame.kind() != cx.kind());
                if !frames.is_empty() {
                    cx.up(Up::Frames(frames));
                }
            }
            other => cx.up(other),
        }
    }

    fn timer(&mut self, timer: u8, cx: &mut Context<'_>) {
        if timer == TICK && self.state == State::Open {
            cx.set_timer(TICK, cx.now + TICK_EVERY);
        }
    }

    fn check(&self) {
        assert!(self.frames < u64::MAX, "T1: no view has that many frames");
    }

    fn held_bytes(&self) -> usize {
        0
    }
}
