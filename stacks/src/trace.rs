//! A window into a stack: what passes is logged through `tracing`.
//!
//! ```text
//! TRACE frames down layer="below-flow" me=1 view=1.7 frames=3 data=2 bytes=4180
//! DEBUG event up layer="below-flow" me=1 view=1.7 event=Credit(false)
//! ```
//!
//! * **Needs** nothing. **Gives** nothing. Stands anywhere, and several times if the names differ.
//! * **Events in**: all. **Out**: all, as they came.
//! * **What is logged**: at the level TRACE what comes with traffic or all the time, with counts and bytes: frames,
//!   messages, `Up::Stable`, `Up::Contact`. At the level DEBUG all other events. Contents of messages never are. The
//!   target is `gcs_stacks::trace`.
//! * **Header**, **timers**: none. **The end of a view**: nothing to do.
//! * **Invariants**: what passes is not changed, and keeps its order.
//! * **Bounds**: nothing is held. While nobody listens to the level an event costs a comparison, and nothing is counted or
//!   formatted.
//! * **Leaves** filters and output to the program's subscriber.
//!
//! The layer is in the stack's description: members with and without it do not find together.

use gcs::{
    frame::Frame,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
};
use tracing::{debug, trace};

/// A log of what passes.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    name: &'static str,
}

impl Trace {
    /// With a name of its own, which is in every line and in the stack's description.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self { name }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::named("trace")
    }
}

impl Protocol for Trace {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: self.name,
            version: 1,
            needs: Properties::NONE,
            gives: Properties::NONE,
            wants: Wants::ALL,
        }
    }

    fn build(&self, _scope: &Scope) -> Box<dyn Layer> {
        Box::new(TraceLayer { layer: self.name })
    }
}

struct TraceLayer {
    layer: &'static str,
}

impl Layer for TraceLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        let (layer, me, view) = (self.layer, cx.scope().me, &cx.scope().view.id);
        match &event {
            Down::Frames(f) => {
                trace!(layer, me, %view, frames = f.len(), data = data(f), bytes = bytes(f), "frames down");
            }
            Down::Cast(m) => trace!(layer, me, %view, messages = m.count(), bytes = m.byte_len(), "cast"),
            other => debug!(layer, me, %view, event = ?other, "event down"),
        }
        cx.down(event);
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        let (layer, me, view) = (self.layer, cx.scope().me, &cx.scope().view.id);
        match &event {
            Up::Frames(f) => {
                trace!(layer, me, %view, frames = f.len(), data = data(f), bytes = bytes(f), "frames up");
            }
            Up::Messages(m) => {
                let (from, first, messages) = (m.from, m.first, m.count);
                trace!(layer, me, %view, from, first, messages, bytes = m.byte_len(), "messages up");
            }
            Up::Stable(_) | Up::Contact(_) => trace!(layer, me, %view, ?event, "event up"),
            Up::Unsent(m) => debug!(layer, me, %view, messages = m.count(), bytes = m.byte_len(), "unsent"),
            Up::Suspicions(s) => {
                let silent = s.silent.get(usize::from(me)).copied().unwrap_or(0);
                debug!(layer, me, %view, silent, gone = s.gone, "suspicions up");
            }
            other => debug!(layer, me, %view, event = ?other, "event up"),
        }
        cx.up(event);
    }
}

fn data(frames: &[Frame]) -> usize {
    frames.iter().filter(|f| f.kind() == Frame::DATA).count()
}

fn bytes(frames: &[Frame]) -> usize {
    frames.iter().map(Frame::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::Flow, pack::Pack, rig::Rig};
    use std::{
        fmt::{self, Write},
        sync::{Arc, Mutex},
    };
    use tracing::{
        Event, Level, Metadata, Subscriber,
        field::{Field, Visit},
        span,
        subscriber::with_default,
    };

    /// Keeps the lines of this layer up to a level.
    struct Lines(Level, Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= self.0 && metadata.target() == "gcs_stacks::trace"
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.1.lock().unwrap().push(line.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    /// What is logged at this level while a view lives and ends, and what is delivered.
    fn live(level: Level) -> (Vec<String>, Vec<(u16, Vec<u8>)>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let delivered = with_default(Lines(level, lines.clone()), || {
            let above: Vec<Arc<dyn Protocol>> = vec![
                Arc::new(Trace::default()),
                Arc::new(Flow::default()),
                Arc::new(Pack),
                Arc::new(Trace::named("top")),
            ];
            let mut rig = Rig::new(above, 2, 1000, 4000, 1);
            rig.cast(0, &[b"secret", &[1; 10_000]]);
            rig.settle();
            rig.close();
            rig.cast(1, &[b"secret"]);
            rig.messages(1)
        });
        let lines = lines.lock().unwrap().clone();
        (lines, delivered)
    }

    #[test]
    fn everything_passes_and_is_logged() {
        let (lines, delivered) = live(Level::TRACE);
        assert_eq!(delivered, [(0, b"secret".to_vec()), (0, vec![1; 10_000])]);
        for wanted in [
            "TRACE message=cast layer=\"top\" me=0 view=",
            "messages=2 bytes=10014",
            "TRACE message=frames down layer=\"trace\" me=0",
            "TRACE message=frames up layer=\"trace\" me=1",
            "TRACE message=messages up layer=\"top\" me=1",
            "event=Stable(",
            "DEBUG message=event up layer=\"trace\" me=0",
            "event=Closed",
            "DEBUG message=unsent layer=\"top\" me=1",
        ] {
            assert!(lines.iter().any(|l| l.contains(wanted)), "{wanted}: {lines:#?}");
        }
        let secret = format!("{:?}", b"secret");
        assert!(!lines.iter().any(|l| l.contains("secret") || l.contains(&secret)));
    }

    #[test]
    fn without_traffic_at_debug_and_nothing_above() {
        let (lines, delivered) = live(Level::DEBUG);
        assert_eq!(delivered.len(), 2);
        assert!(!lines.is_empty() && lines.iter().all(|l| l.starts_with("DEBUG")));
        assert_eq!(live(Level::INFO).0, [""; 0]);
    }
}
