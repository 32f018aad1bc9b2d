//! Oracles to snap in: layers that watch what passes them and panic when a promise is broken.
//!
//! For simulations and debugging: a violation is a bug of a layer below, and the panic's message begins with the name of
//! the invariant. A check that stands lower names the culprit more closely.
//!
//! ```text
//! start ──► frames ──► Wedged ──► (nothing) ──► Close ──► frames ──► Closed ──► (nothing)
//! ```
//!
//! * **Needs** what it checks: [`Check::stream`] reliable and FIFO, [`Check::order`] total order, [`Check::messages`] that
//!   and messages. **Gives** nothing.
//! * **Events in**: `Up::Frames`, `Up::Messages`, `Up::Wedged`, `Up::Closed`, `Up::Stable`, `Down::Wedge`, `Down::Close`;
//!   all are passed on. **Out**: none of its own.
//! * **Header**, **timers**: none. Frames outside of the reliable streams are not looked at.
//! * **Invariants**, asserted when the event passes: (K1) nothing is delivered between `Wedged` and `Close`, or after
//!   `Closed`; (K2) each sender's frames come once and in order, and directly above `reliable` without gaps (further up,
//!   layers have taken their own frames out); (K3) the places in the total order only advance, and what has none comes
//!   last, after `Close`; (K4) each sender's messages are counted from 0 without gaps; (K5) what is known to be held
//!   by others only grows, and all hold no more than a majority does; (K6) `Wedged` and `Closed` come once, and after
//!   the request.
//! * **Bounds**: a number for each member.

use gcs::{
    frame::Frame,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Stability, Up, Wants},
    message::Messages,
    properties::Properties,
};
use std::sync::Arc;

/// An oracle, see the module's description. Several may stand in one stack.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    name: &'static str,
    needs: Properties,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Stream,
    Order,
    Messages,
}

impl Check {
    /// The oracle that stands directly above the reliable layer.
    #[must_use]
    pub const fn stream() -> Self {
        let needs = Properties::RELIABLE.and(Properties::FIFO);
        Self { name: "check-stream", needs, place: Place::Stream }
    }

    /// The oracle that stands anywhere between the layer that orders and the top.
    #[must_use]
    pub const fn order() -> Self {
        Self { name: "check-order", needs: Properties::TOTAL_ORDER, place: Place::Order }
    }

    /// The oracle that stands at the top.
    #[must_use]
    pub const fn messages() -> Self {
        Self { name: "check-messages", needs: Properties::MESSAGES, place: Place::Messages }
    }
}

impl Protocol for Check {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: self.name,
            version: 1,
            needs: self.needs,
            gives: Properties::NONE,
            wants: Wants::RECEIVED.and(Wants::CONTROL),
        }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(CheckLayer {
            place: self.place,
            state: State::Open,
            seen: vec![0; scope.members()],
            ordered_by: 0,
            unordered: false,
            messages: vec![0; scope.members()],
            stable: Arc::default(),
        })
    }
}

/// Where the layer is in the view's life, as the events that passed tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// `Down::Wedge` has passed.
    Wedging,
    /// `Up::Wedged` has passed.
    Wedged,
    /// `Down::Close` has passed.
    Closing,
    /// `Up::Closed` has passed.
    Closed,
}

struct CheckLayer {
    place: Place,
    state: State,
    /// By sender: the last frame.
    seen: Vec<u64>,
    /// The last place in the total order.
    ordered_by: u64,
    /// Whether there was a frame without a place.
    unordered: bool,
    /// By sender: how many messages.
    messages: Vec<u64>,
    stable: Arc<Stability>,
}

impl Layer for CheckLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Wedge if self.state == State::Open => self.state = State::Wedging,
            Down::Close(_) if self.state != State::Closed => self.state = State::Closing,
            _ => {}
        }
        cx.down(event);
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match &event {
            Up::Frames(frames) => frames.iter().filter(|f| f.seq > 0).for_each(|f| self.on_frame(f)),
            Up::Messages(messages) => self.on_messages(messages),
            Up::Wedged(_) => {
                assert_eq!(self.state, State::Wedging, "K6: Wedged, not asked for or again");
                self.state = State::Wedged;
            }
            Up::Closed => {
                assert_eq!(self.state, State::Closing, "K6: Closed, not asked for or again");
                self.state = State::Closed;
            }
            Up::Stable(stable) => self.on_stable(stable),
            _ => {}
        }
        cx.up(event);
    }
}

impl CheckLayer {
    fn delivers(&self, what: &str) {
        let silent = matches!(self.state, State::Wedged | State::Closed);
        assert!(!silent, "K1: {what} delivered while {:?}", self.state);
    }

    fn on_frame(&mut self, frame: &Frame) {
        let (from, seq) = (frame.from, frame.seq);
        self.delivers("a frame");
        let seen = &mut self.seen[usize::from(from)];
        assert!(seq > *seen, "K2: frame {seq} of {from} comes after {seen}");
        if self.place == Place::Stream {
            assert!(seq == *seen + 1, "K2: frame {seq} of {from} comes directly after {seen}");
        }
        *seen = seq;
        if self.place == Place::Order {
            let by = frame.ordered_by;
            let in_place = if by == 0 { self.state == State::Closing } else { !self.unordered };
            assert!(in_place, "K3: frame {seq} of {from} has place {by} in the order, {:?}", self.state);
            assert!(by == 0 || by >= self.ordered_by, "K3: place {by} comes after {}", self.ordered_by);
            self.unordered |= by == 0;
            self.ordered_by = by.max(self.ordered_by);
        }
    }

    fn on_messages(&mut self, messages: &Messages) {
        self.delivers("messages");
        let count = &mut self.messages[usize::from(messages.from)];
        let from = messages.from;
        assert_eq!(messages.first, *count, "K4: message {} of {from} comes after {count}", messages.first);
        assert_eq!(messages.iter().count() as u64, u64::from(messages.count), "K4: the count is wrong");
        *count += u64::from(messages.count);
    }

    fn on_stable(&mut self, stable: &Arc<Stability>) {
        let grows = |old: &[u64], new: &[u64]| old.iter().zip(new).all(|(old, new)| old <= new);
        assert!(grows(&self.stable.majority, &stable.majority), "K5: a majority's holdings shrink");
        assert!(grows(&self.stable.all, &stable.all), "K5: everybody's holdings shrink");
        assert!(grows(&stable.all, &stable.majority), "K5: all hold what no majority holds");
        self.stable = stable.clone();
    }
}
