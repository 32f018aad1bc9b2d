//! How long this member's own frames take from the application to their delivery, here.
//!
//! ```text
//! above ──── frame ────►  slot := now  ────► below: repaired, ordered, held by a majority
//! above ◄─── frame ────  now − slot    ◄────────────────────────────┘
//! ```
//!
//! * **Needs** total order, uniform: the delivery that it times is the one that these promise. **Gives** nothing.
//! * **Events in**: `Down::Frames`, `Up::Frames`; all are passed on, whole batches in their order. **Out**: none of its own.
//! * **Header**: `sent_at: u64`, little-endian: nanoseconds of the sender's own clock. Nobody else reads it.
//! * **Timers**: none.
//! * **Invariants**, in `check`: (W1) no more frames come back than were sent.
//! * **Bounds**: keeps the first [`SAMPLES_MAX`] latencies of all views together; later ones are dropped.
//! * **Leaves** to `reliable` that nobody else can send a frame in this member's name, and so no time either.

use gcs::{
    frame::{Frame, Frames},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    time::Time,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How many latencies are kept.
const SAMPLES_MAX: usize = 1 << 16;

/// What the stopwatches of one process have measured.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Mutex<Vec<Duration>>);

impl Latencies {
    /// All of them so far, shortest first.
    pub(crate) fn sorted(&self) -> Vec<Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_unstable();
        all
    }

    fn record(&self, latencies: impl Iterator<Item = Duration>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SAMPLES_MAX - kept.len();
        kept.extend(latencies.take(room));
    }
}

/// The protocol. A layer lives for one view: what is to outlive it is in the protocol and shared.
#[derive(Debug)]
pub(crate) struct Stopwatch(pub(crate) Arc<Latencies>);

impl Protocol for Stopwatch {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "stopwatch",
            version: 1,
            needs: Properties::TOTAL_ORDER | Properties::UNIFORM,
            gives: Properties::NONE,
            // Frames, and with them all others: `Closed` must not overtake the last frames.
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        size_of::<u64>()
    }

    fn build(&self, _scope: &Scope) -> Box<dyn Layer> {
        Box::new(StopwatchLayer { latencies: Arc::clone(&self.0), sent: 0, back: 0 })
    }
}

/// The layer in one view.
struct StopwatchLayer {
    latencies: Arc<Latencies>,
    /// How many of this member's data frames went down, and how many of them came back.
    sent: u64,
    back: u64,
}

impl Layer for StopwatchLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) => self.on_send(frames, cx),
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        if let Up::Frames(frames) = &event {
            self.on_frames(frames, cx);
        }
        cx.up(event);
    }

    fn check(&self) {
        assert!(self.back <= self.sent, "W1: {} frames came back, {} were sent", self.back, self.sent);
    }
}

impl StopwatchLayer {
    fn on_send(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        let slot = cx.slot();
        for frame in frames.iter_mut().filter(|f| f.kind() == Frame::DATA) {
            frame.slot_mut(&slot).copy_from_slice(&cx.now.0.to_le_bytes());
            self.sent += 1;
        }
        cx.down(Down::Frames(frames));
    }

    fn on_frames(&mut self, frames: &Frames, cx: &Context<'_>) {
        let (me, slot) = (cx.scope().me, cx.slot());
        let own = frames.iter().filter(|f| f.from == me && f.kind() == Frame::DATA);
        self.back += own.clone().count() as u64;
        let sent_at = own.filter_map(|f| f.slot(&slot).first_chunk::<8>());
        self.latencies.record(sent_at.map(|at| cx.now.since(Time(u64::from_le_bytes(*at)))));
    }
}
