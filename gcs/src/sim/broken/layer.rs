//! Layers that are broken on purpose: [`Broken`] wraps a protocol and tampers with what its layers hand upwards, or with
//! what they are told.

use crate::{
    frame::Frame,
    id::Rank,
    layer::{Contact, Context, Down, Emitted, Layer, LayerSpec, Protocol, Scope, Up},
    message::{Messages, Outgoing},
    rng::Rng,
};
use std::sync::Arc;

/// What a broken layer does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Something that goes up is lost.
    Drop,
    /// Something goes up twice.
    Duplicate,
    /// Something goes up after what follows it.
    Swap,
    /// A payload that goes up is changed.
    Corrupt,
    /// Something is kept back until the view is wedged, and goes up then.
    DeliverWedged,
    /// Of what goes up because the view is closed, the last part is lost.
    SkipCutTail,
    /// What comes from below goes up at once, whatever the layer would have waited for.
    Eager,
    /// The layer always says that a quorum was in contact just now.
    EternalLease,
}

/// A protocol whose layers misbehave.
///
/// ```
/// use gcs::sim::broken::{Broken, How};
/// # use gcs::layer::Protocol;
/// # fn wrap(reliable: std::sync::Arc<dyn Protocol>) -> Broken {
/// Broken::new(reliable, How::Drop).per_mille(20).only_at(1)
/// # }
/// ```
#[derive(Clone)]
pub struct Broken {
    inner: Arc<dyn Protocol>,
    how: How,
    per_mille: u64,
    only_at: Option<Rank>,
}

impl Broken {
    /// `inner`, made to misbehave in one of five hundred cases.
    #[must_use]
    pub fn new(inner: Arc<dyn Protocol>, how: How) -> Self {
        Self { inner, how, per_mille: 2, only_at: None }
    }

    /// Misbehaves in so many of a thousand cases.
    #[must_use]
    pub fn per_mille(mut self, per_mille: u64) -> Self {
        self.per_mille = per_mille;
        self
    }

    /// Misbehaves at the member with this rank only.
    #[must_use]
    pub fn only_at(mut self, rank: Rank) -> Self {
        self.only_at = Some(rank);
        self
    }
}

impl Protocol for Broken {
    fn spec(&self) -> LayerSpec {
        self.inner.spec()
    }

    fn header_len(&self, members: usize) -> usize {
        self.inner.header_len(members)
    }

    fn parameters(&self) -> String {
        self.inner.parameters()
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let inner = self.inner.build(scope);
        if self.only_at.is_some_and(|r| r != scope.me) {
            return inner;
        }
        let rng = Rng::new(scope.seed ^ 0xb40c);
        Box::new(BrokenLayer {
            inner,
            how: self.how,
            per_mille: self.per_mille,
            rng,
            kept: None,
            closing: false,
            contact: None,
        })
    }
}

struct BrokenLayer {
    inner: Box<dyn Layer>,
    how: How,
    per_mille: u64,
    rng: Rng,
    /// Something that goes up later.
    kept: Option<Up>,
    closing: bool,
    /// The last contact that it told of.
    contact: Option<Contact>,
}

impl BrokenLayer {
    /// Lets the layer work, and tampers with what it emits.
    fn work(&mut self, cx: &mut Context<'_>, f: impl FnOnce(&mut dyn Layer, &mut Context<'_>)) {
        let before = cx.queue.len();
        f(&mut *self.inner, cx);
        let emitted: Vec<_> = cx.queue.drain(before..).collect();
        let last = emitted.iter().rposition(|e| matches!(e, Emitted::Up(_, up) if is_delivery(up)));
        for (i, e) in emitted.into_iter().enumerate() {
            match e {
                Emitted::Up(_, up) if is_delivery(&up) => self.delivery(up, Some(i) == last, cx),
                Emitted::Up(_, Up::Wedged(frontier)) => {
                    cx.up(Up::Wedged(frontier));
                    if self.how == How::DeliverWedged {
                        self.kept.take().into_iter().for_each(|up| cx.up(up));
                    }
                }
                Emitted::Up(_, Up::Contact(mut contact)) if self.how == How::EternalLease => {
                    contact.quorum_at = cx.now;
                    self.contact = Some(contact.clone());
                    cx.up(Up::Contact(contact));
                }
                other => cx.queue.push_back(other),
            }
        }
    }

    fn delivery(&mut self, up: Up, last: bool, cx: &mut Context<'_>) {
        let happens = self.rng.chance(self.per_mille);
        match self.how {
            How::Drop if happens => {}
            How::Duplicate if happens => {
                cx.up(up.clone());
                cx.up(up);
            }
            How::Swap if self.kept.is_some() => {
                cx.up(up);
                self.kept.take().into_iter().for_each(|kept| cx.up(kept));
            }
            How::Swap | How::DeliverWedged if happens && self.kept.is_none() => self.kept = Some(up),
            How::Corrupt if happens => cx.up(corrupted(up)),
            How::SkipCutTail if self.closing && last => {}
            How::Eager => {}
            _ => cx.up(up),
        }
    }
}

impl Layer for BrokenLayer {
    fn start(&mut self, cx: &mut Context<'_>) {
        self.work(cx, |layer, cx| layer.start(cx));
    }

    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        self.closing |= matches!(event, Down::Close(_));
        self.work(cx, |layer, cx| layer.down(event, cx));
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        if self.how == How::Eager && is_delivery(&event) {
            cx.up(event.clone());
        }
        self.work(cx, |layer, cx| layer.up(event, cx));
    }

    fn timer(&mut self, timer: u8, cx: &mut Context<'_>) {
        self.work(cx, |layer, cx| layer.timer(timer, cx));
        if let Some(contact) = &mut self.contact {
            contact.quorum_at = cx.now;
            cx.up(Up::Contact(contact.clone()));
        }
    }

    fn check(&self) {
        self.inner.check();
    }

    fn held_bytes(&self) -> usize {
        self.inner.held_bytes()
    }
}

/// Whether it carries something for the application.
fn is_delivery(up: &Up) -> bool {
    match up {
        Up::Frames(frames) => frames.iter().any(|f| f.kind() == Frame::DATA && f.seq > 0),
        Up::Messages(_) => true,
        _ => false,
    }
}

/// With the last byte of the last payload changed.
fn corrupted(up: Up) -> Up {
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 0x55;
        }
        bytes
    };
    match up {
        Up::Frames(mut frames) => {
            if let Some(frame) = frames.iter_mut().rfind(|f| f.kind() == Frame::DATA) {
                let payload = flip(frame.payload());
                frame.replace_payload(&payload);
            }
            Up::Frames(frames)
        }
        Up::Messages(m) => {
            let mut out = Outgoing::new();
            m.iter().for_each(|payload| out.push(&flip(payload)));
            let changed = Messages::packed(m.from, m.first, out.into_bytes().freeze());
            Up::Messages(changed.unwrap_or(m))
        }
        other => other,
    }
}
