//! Signs every frame with its maker's own key, so that no member can speak in another one's name.
//!
//! ```text
//! frame  | fixed header | … | counter | signature | slots of the layers above | payload |
//!         ──── signed ────   ─ signed ─            ────────────── signed ────────────────
//!
//! A ── CERTIFICATE of A ──▶ all      when the view begins
//! C ◀────── ASK for A ───── B        C brings what A has made, and B does not know A
//! C ── CERTIFICATE of A ──▶ B        as A has sent it
//! ```
//! Ed25519 (RFC 8032) over a BLAKE3 digest, with the key of the certificate that lets the process into the group
//! (`gcs::keys`). What is made of a frame is checked where it comes from: who repairs a loss passes the maker's signature on as
//! it is. So what a member can forge in a group that only encrypts (frames, their numbers and order, acknowledgements,
//! signs of life) is refused here, counted, and named in the log once for each member that has sent it.
//!
//! * **Needs** encrypted: the keys are those of a closed group. **Gives** signed. **Events in**, **out**: frames are
//!   signed on their way down, checked on their way up; its own are consumed, all else is passed on.
//! * **Header**: 72 bytes: a counter of what the sender has signed, from 1, and the signature.
//! * **Frames**: unreliable. CERTIFICATE `| 1 | X.509 certificate, DER |`, which others repeat for its maker, who may be gone;
//!   ASK `| 2 | whose: u16 |`, little-endian.
//! * **Timers**: none. What was made by somebody whose certificate is missing is dropped, and who brings it is asked, at most
//!   every 10 ms; heartbeats and repairs see to it that something comes again.
//! * **Invariants**, in `check`: (G1) this member's key is its own. Nobody's is replaced within a view.
//! * **Bounds**: a certificate of at most 1024 bytes, and a window of 2048 counters, for each member.
//! * **Leaves** to the other layers what members say in their own names: they can lie, and say different things to different
//!   members. Frames of layers below (repairs of `fec` and `lateral`) are not signed; what is restored of them is checked.

use crate::nonsense::Nonsense;
use gcs::{
    frame::{Dest, FIXED_HEADER, Frame, Frames},
    guard::{Digest, PublicKey, Signature, Signer, Window},
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
    time::Time,
};
use std::{ops::Range, sync::Arc, time::Duration};

const COUNTER: usize = 8;
const SIGNATURE: usize = 64;
const CERTIFICATE: u8 = 1;
const ASK: u8 = 2;
/// A member's certificate is asked for at most this often.
const AGAIN: Duration = Duration::from_millis(10);

/// The protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sign;

impl Protocol for Sign {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "sign",
            version: 1,
            needs: Properties::ENCRYPTED,
            gives: Properties::SIGNED,
            wants: Wants::SENT.and(Wants::RECEIVED),
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        COUNTER + SIGNATURE
    }

    /// # Panics
    /// If the process has nothing to sign with: endpoints refuse such settings.
    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let Some(signer) = scope.signer.clone() else {
            panic!("a stack that signs is for groups with certificates")
        };
        let mut peers: Vec<_> = (0..scope.members()).map(|_| Peer::default()).collect();
        peers[usize::from(scope.me)].key = Some(signer.public_key());
        Box::new(SignLayer {
            me: scope.me,
            signer,
            peers,
            signed: 0,
            repeated: 0,
            nonsense: Nonsense::default(),
        })
    }
}

/// What is known of a member.
#[derive(Default)]
struct Peer {
    key: Option<PublicKey>,
    /// The frame that has brought its certificate.
    shown: Option<Frame>,
    /// Counters of what has come from its maker itself.
    window: Window,
    /// When its certificate may be asked for again.
    ask_at: Time,
}

struct SignLayer {
    me: Rank,
    signer: Arc<dyn Signer>,
    /// By rank.
    peers: Vec<Peer>,
    /// The counter of the latest frame.
    signed: u64,
    /// Frames that were refused because they had come before.
    repeated: u64,
    nonsense: Nonsense,
}

impl SignLayer {
    fn sign(&mut self, frame: &mut Frame, slot: &Range<usize>) {
        self.signed += 1;
        frame.slot_mut(&(slot.start..slot.start + COUNTER)).copy_from_slice(&self.signed.to_le_bytes());
        let signature = self.signer.sign(&digest(frame, slot));
        frame.slot_mut(&(slot.start + COUNTER..slot.end)).copy_from_slice(&signature);
    }

    /// Says something to this layer's peers.
    fn say(&mut self, to: Dest, payload: &[u8], cx: &mut Context<'_>) {
        let mut frame = cx.control_frame(to, false, payload);
        self.sign(&mut frame, &cx.slot());
        cx.down(Down::Frames(vec![frame]));
    }

    fn say_certificate(&mut self, to: Dest, cx: &mut Context<'_>) {
        let payload = [&[CERTIFICATE][..], &self.signer.certificate()].concat();
        self.say(to, &payload, cx);
    }

    fn on_frames(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let (slot, kind) = (cx.slot(), cx.kind());
        let mut up = Frames::with_capacity(frames.len());
        for frame in frames {
            let Some(peer) = self.peers.get(usize::from(frame.from)) else { continue };
            if frame.kind() == kind {
                self.on_control(frame, &slot, cx);
            } else if frame.from != frame.via && !frame.is_reliable() {
                self.nonsense.note("sign", frame.via, "nobody says such things for others");
            } else if let Some(key) = peer.key {
                if self.accepts(&frame, &key, &slot) {
                    up.push(frame);
                }
            } else {
                self.ask(&frame, cx);
            }
        }
        if !up.is_empty() {
            cx.up(Up::Frames(up));
        }
    }

    /// Whether its maker has signed it. What comes from its maker itself does so once.
    fn accepts(&mut self, frame: &Frame, key: &PublicKey, slot: &Range<usize>) -> bool {
        let direct = (frame.from == frame.via).then(|| usize::from(frame.from));
        let Some((counter, signature)) = stamp(frame, slot) else { return false };
        if direct.is_some_and(|from| !self.peers[from].window.is_new(counter)) {
            self.repeated += 1;
            return false;
        }
        if !self.signer.is_signed(key, &digest(frame, slot), &signature) {
            self.nonsense.note("sign", frame.via, "its maker has not signed it");
            return false;
        }
        if let Some(from) = direct {
            self.peers[from].window.note(counter);
        }
        true
    }

    fn on_control(&mut self, frame: Frame, slot: &Range<usize>, cx: &mut Context<'_>) {
        match *frame.payload() {
            [CERTIFICATE, ref certificate @ ..] => self.on_certificate(&frame, certificate, slot, cx),
            // Whoever asks may not be known yet himself.
            [ASK, low, high] if frame.from == frame.via => {
                let whose = Rank::from_le_bytes([low, high]);
                self.tell(frame.from, whose, cx);
            }
            _ => self.nonsense.note("sign", frame.via, "neither CERTIFICATE nor ASK"),
        }
    }

    fn on_certificate(&mut self, frame: &Frame, certificate: &[u8], slot: &Range<usize>, cx: &Context<'_>) {
        let from = usize::from(frame.from);
        if self.peers[from].key.is_some() {
            return;
        }
        let name = cx.scope().view.member(frame.from).map(|m| m.name.clone()).unwrap_or_default();
        match self.signer.key_of(certificate, &name) {
            // Only who has the key as well as the certificate says that it is his.
            Ok(key) if self.accepts(frame, &key, slot) => {
                self.peers[from].key = Some(key);
                self.peers[from].shown = Some(frame.clone());
            }
            Ok(_) => {}
            Err(_) => self.nonsense.note("sign", frame.via, "its certificate is not accepted"),
        }
    }

    /// Tells who asks a certificate.
    fn tell(&mut self, to: Rank, whose: Rank, cx: &mut Context<'_>) {
        if whose == self.me {
            self.say_certificate(Dest::One(to), cx);
        } else if let Some(mut shown) = self.peers.get(usize::from(whose)).and_then(|p| p.shown.clone()) {
            shown.to = Dest::One(to);
            cx.down(Down::Frames(vec![shown]));
        }
    }

    /// Asks who has brought this for its maker's certificate.
    fn ask(&mut self, brought: &Frame, cx: &mut Context<'_>) {
        let peer = &mut self.peers[usize::from(brought.from)];
        if cx.now >= peer.ask_at {
            peer.ask_at = cx.now + AGAIN;
            let [low, high] = brought.from.to_le_bytes();
            self.say(Dest::One(brought.via), &[ASK, low, high], cx);
        }
    }
}

/// Counter and signature. None does not happen.
fn stamp(frame: &Frame, slot: &Range<usize>) -> Option<(u64, Signature)> {
    let (counter, rest) = frame.slot(slot).split_first_chunk::<COUNTER>()?;
    Some((u64::from_le_bytes(*counter), *rest.first_chunk::<SIGNATURE>()?))
}

/// The digest of what is signed.
fn digest(frame: &Frame, slot: &Range<usize>) -> Digest {
    let (mut hasher, header) = (blake3::Hasher::new(), frame.header());
    for part in [&header[..FIXED_HEADER], &header[slot.start..slot.start + COUNTER], &header[slot.end..]] {
        hasher.update(part);
    }
    hasher.update(frame.payload()).finalize().into()
}

impl Layer for SignLayer {
    fn start(&mut self, cx: &mut Context<'_>) {
        if self.peers.len() > 1 {
            self.say_certificate(Dest::Others, cx);
        }
    }

    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(mut frames) => {
                let slot = cx.slot();
                let me = self.me;
                frames.iter_mut().filter(|f| f.from == me).for_each(|f| self.sign(f, &slot));
                cx.down(Down::Frames(frames));
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

    fn check(&self) {
        let own = self.peers[usize::from(self.me)].key;
        assert_eq!(own, Some(self.signer.public_key()), "G1: this member's key is its own");
    }

    fn report(&self, to: &mut Report) {
        let missing = self.peers.iter().filter(|p| p.key.is_none()).count();
        to.say("frames signed", self.signed);
        self.nonsense.report(to);
        to.say("frames repeated", self.repeated);
        to.say("members whose certificate is missing", missing);
    }
}

#[cfg(test)]
mod tests;
