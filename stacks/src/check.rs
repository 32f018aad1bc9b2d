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
            placed: 0,
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
    placed: u64,
    /// Whether there was a frame without a place.
    unordered: bool,
    /// By sender: how many messages.
    messages: Vec<u64>,
    stable: Arc<Stability>,
}

impl Layer for CheckLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Wedge if matches!(self.state, State::Open | State::Wedged) => self.state = State::Wedging,
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
                assert!(self.state == State::Wedging, "K6: Wedged, not asked for");
                self.state = State::Wedged;
            }
            Up::Closed => {
                assert!(self.state == State::Closing, "K6: Closed, not asked for or again");
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
            let place = frame.place;
            let in_place = if place == 0 { self.state == State::Closing } else { !self.unordered };
            assert!(in_place, "K3: frame {seq} of {from} has place {place} in the order, {:?}", self.state);
            assert!(place == 0 || place >= self.placed, "K3: place {place} comes after {}", self.placed);
            self.unordered |= place == 0;
            self.placed = place.max(self.placed);
        }
    }

    fn on_messages(&mut self, messages: &Messages) {
        self.delivers("messages");
        let count = &mut self.messages[usize::from(messages.from)];
        let from = messages.from;
        assert!(messages.first == *count, "K4: message {} of {from} comes after {count}", messages.first);
        assert!(messages.iter().count() as u64 == u64::from(messages.count), "K4: the count is wrong");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;
    use bytes::Bytes;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// A layer that says what it is told to say at every cast.
    struct Liar(fn(&Context<'_>) -> Vec<Up>);

    impl Protocol for Liar {
        fn spec(&self) -> LayerSpec {
            let (needs, gives) = (Properties::NONE, Properties::TOTAL_ORDER);
            LayerSpec { name: "liar", version: 1, needs, gives, wants: Wants::ALL }
        }
        fn build(&self, _: &Scope) -> Box<dyn Layer> {
            Box::new(Self(self.0))
        }
    }

    impl Layer for Liar {
        fn down(&mut self, event: Down, cx: &mut Context<'_>) {
            match event {
                Down::Cast(_) => (self.0)(cx).into_iter().for_each(|lie| cx.up(lie)),
                other => cx.down(other),
            }
        }
    }

    fn frame(cx: &Context<'_>, from: u16, seq: u64, place: u64) -> Up {
        let mut f = cx.data_frame(0);
        (f.from, f.seq, f.place) = (from, seq, place);
        Up::Frames(vec![f])
    }

    fn stable(majority: u64, all: u64) -> Up {
        Up::Stable(Arc::new(Stability { majority: vec![majority; 2], all: vec![all; 2] }))
    }

    fn messages(first: u64) -> Up {
        Up::Messages(Messages::single(1, first, Bytes::new()))
    }

    /// What a check says when the layer below it says that, in the open view or between its wedge and its end.
    fn verdict(check: Check, wedged: bool, lie: fn(&Context<'_>) -> Vec<Up>) -> String {
        let mut rig = Rig::new(vec![Arc::new(Liar(lie)), Arc::new(check)], 2, 600, 1000, 1);
        let run = AssertUnwindSafe(|| {
            if wedged {
                rig.wedge(0);
            }
            rig.cast(0, &[b""]);
        });
        // A panic's payload is one or the other, as the compiler likes.
        let text = |e: Box<dyn std::any::Any + Send>| match e.downcast::<String>() {
            Ok(s) => *s,
            Err(e) => e.downcast::<&str>().map_or_else(|_| "another panic".to_owned(), |s| (*s).to_owned()),
        };
        catch_unwind(run).err().map_or_else(|| "fine".to_owned(), |e| text(e)[..2].to_owned())
    }

    #[test]
    fn each_invariant_is_watched() {
        let (stream, order, top) = (Check::stream(), Check::order(), Check::messages());
        assert_eq!(verdict(stream, true, |cx| vec![frame(cx, 1, 1, 0)]), "K1");
        assert_eq!(verdict(top, true, |_| vec![messages(0)]), "K1");
        assert_eq!(verdict(stream, false, |cx| vec![frame(cx, 1, 2, 0)]), "K2");
        assert_eq!(verdict(stream, false, |cx| vec![frame(cx, 1, 1, 0), frame(cx, 1, 1, 0)]), "K2");
        assert_eq!(verdict(order, false, |cx| vec![frame(cx, 1, 2, 1), frame(cx, 1, 1, 1)]), "K2");
        assert_eq!(verdict(order, false, |cx| vec![frame(cx, 1, 1, 2), frame(cx, 0, 1, 1)]), "K3");
        assert_eq!(verdict(order, false, |cx| vec![frame(cx, 1, 1, 0)]), "K3");
        assert_eq!(verdict(top, false, |_| vec![messages(1)]), "K4");
        assert_eq!(verdict(top, false, |_| vec![messages(0), messages(0)]), "K4");
        assert_eq!(verdict(stream, false, |_| vec![stable(3, 1), stable(2, 1)]), "K5");
        assert_eq!(verdict(stream, false, |_| vec![stable(3, 2), stable(3, 1)]), "K5");
        assert_eq!(verdict(stream, false, |_| vec![stable(2, 3)]), "K5");
        assert_eq!(verdict(stream, false, |_| vec![Up::Closed]), "K6");
        assert_eq!(verdict(stream, true, |_| vec![Up::Wedged(vec![0; 2])]), "K6");
    }

    #[test]
    fn what_is_right_passes() {
        let right =
            |cx: &Context<'_>| vec![frame(cx, 1, 1, 0), frame(cx, 0, 1, 0), stable(1, 1), stable(1, 1)];
        assert_eq!(verdict(Check::stream(), false, right), "fine");
        let right = |cx: &Context<'_>| vec![frame(cx, 1, 1, 2), frame(cx, 1, 3, 2), frame(cx, 0, 4, 4)];
        assert_eq!(verdict(Check::order(), false, right), "fine");
        assert_eq!(verdict(Check::messages(), false, |_| vec![messages(0), messages(1)]), "fine");
        // Frames outside of the streams come at any time.
        assert_eq!(verdict(Check::stream(), true, |cx| vec![frame(cx, 1, 0, 0)]), "fine");
    }
}
