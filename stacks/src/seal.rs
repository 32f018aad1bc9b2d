//! Encrypts and authenticates everything that members send each other within a view.
//!
//! ```text
//! frame  | fixed header | counter, tag | slots of the layers above | payload |
//!         ── authenticated ──────────── ────────── encrypted ──────────────
//! ```
//! AES-128-GCM (RFC 5116) with a key for each sender, derived from the view's secret, which only its members have
//! (`gcs::keys`). The counter is the nonce; a new view brings new keys, so none is ever used twice. Who receives lets
//! each counter of a sender through once, so that nothing can be repeated; whoever repairs a loss seals the frame
//! anew under its own key. The layer holds nothing: what gets lost is repaired above. Above, frames must stay as they are,
//! so a frame is encrypted from where it is into a buffer of its own, without being copied first; a received one is
//! decrypted where it is.
//!
//! * **Needs** nothing below it, and a group with keys. **Gives** encrypted. **Events in**, **out**: frames are changed on
//!   their way, all else is passed on.
//! * **Header**: 24 bytes: the sender's counter, from 1, and the tag.
//! * **Timers**: none.
//! * **Invariants**, in `check`: (S1) a key seals fewer than 2^48 frames, far from where counters would repeat.
//! * **Bounds**: one window of 2048 counters for each member; a frame that is further behind counts as lost. At most 32
//!   buffers of the largest frames that they have had; each is used again when its frame is sent.
//! * **Leaves** to the other layers what to compress: below this layer nothing compresses, and above it only where
//!   secrets and what others choose do not meet in one frame (see [`compress`](crate::compress)). It leaves lengths and
//!   times to be seen by anybody, and does not keep members from forging each other's frames: they share the keys
//!   (see [`sign`](crate::sign)).

use crate::nonsense::Nonsense;
use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use bytes::{Bytes, BytesMut};
use gcs::{
    frame::{FIXED_HEADER, Frame, Frames},
    guard::Window,
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
};
use std::{mem, ops::Range};

const COUNTER: usize = 8;
const TAG: usize = 16;
/// The most buffers that are kept to be used again.
const ROOMS: usize = 32;
/// What is authenticated and not encrypted: the fixed header and the counter.
const HEAD: usize = FIXED_HEADER + COUNTER;

/// The protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seal;

impl Protocol for Seal {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "seal",
            version: 1,
            needs: Properties::NONE,
            gives: Properties::ENCRYPTED,
            wants: Wants::SENT.and(Wants::RECEIVED).and(Wants::UNSHARED),
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        COUNTER + TAG
    }

    /// # Panics
    /// If the view has no secret: endpoints refuse such settings.
    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let Some(secret) = scope.secret else { panic!("a stack that encrypts is for groups with keys") };
        let key = |rank| key_of(&secret.0, rank);
        let members = Rank::try_from(scope.members()).unwrap_or(Rank::MAX);
        Box::new(SealLayer {
            own: key(scope.me),
            peers: (0..members).map(|r| Peer { key: key(r), window: Window::new() }).collect(),
            sent: 0,
            rooms: Vec::new(),
            replayed: 0,
            nonsense: Nonsense::default(),
        })
    }
}

/// The key under which a member seals frames in a view with this secret.
fn key_of(secret: &[u8], rank: Rank) -> LessSafeKey {
    let rank = rank.to_le_bytes();
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gcs seal 1");
    match salt.extract(secret).expand(&[&rank], &AES_128_GCM).map(UnboundKey::from) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("the hash gives as many bytes as the cipher takes"),
    }
}

struct Peer {
    key: LessSafeKey,
    window: Window,
}

struct SealLayer {
    own: LessSafeKey,
    /// By rank.
    peers: Vec<Peer>,
    /// The counter of the latest frame.
    sent: u64,
    /// Where frames are sealed; each is used again when its frame is gone.
    rooms: Vec<Bytes>,
    /// Frames that were refused because they had come before.
    replayed: u64,
    nonsense: Nonsense,
}

impl SealLayer {
    fn on_frames_sent(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let slot = cx.slot();
        let sealed: Frames = frames.into_iter().filter_map(|f| self.seal(f, &slot, cx)).collect();
        cx.down(Down::Frames(sealed));
    }

    /// The frame as it travels. None does not happen.
    fn seal(&mut self, frame: Frame, slot: &Range<usize>, cx: &Context<'_>) -> Option<Frame> {
        self.sent += 1;
        let to = frame.to;
        let packet = frame.into_packet();
        let len = packet.len();
        let mut parts = packet.parts();
        let (first, second) = (parts.next()?, parts.next().unwrap_or_default());
        let free = self.rooms.iter().position(Bytes::is_unique);
        let mut room = match free.and_then(|i| mem::take(&mut self.rooms[i]).try_into_mut().ok()) {
            Some(room) if room.len() >= len + TAG => room,
            _ => BytesMut::zeroed(len + TAG),
        };
        let (header, sealed) = room.split_at_mut(slot.end);
        header.copy_from_slice(&first[..slot.end]);
        let counter = self.sent.to_le_bytes();
        header[slot.start..][..COUNTER].copy_from_slice(&counter);
        let aad = Aad::from(head(header, counter));
        // The tag comes out behind the frame.
        let (one, two) = sealed[..len + TAG - slot.end].split_at_mut(first.len() - slot.end);
        let plain = &first[slot.end..];
        self.own.seal_out_of_place_scatter(nonce(self.sent), aad, plain, one, second, two).ok()?;
        header[slot.start + COUNTER..].copy_from_slice(&two[second.len()..]);
        let room = room.freeze();
        let mut sealed = cx.parse_frame(room.slice(..len)).ok()?;
        sealed.to = to;
        match free {
            Some(i) => self.rooms[i] = room,
            None if self.rooms.len() < ROOMS => self.rooms.push(room),
            None => {}
        }
        Some(sealed)
    }

    fn on_frames_received(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let slot = cx.slot();
        let opened: Frames = frames.into_iter().filter_map(|f| self.open(f, &slot)).collect();
        if !opened.is_empty() {
            cx.up(Up::Frames(opened));
        }
    }

    /// Opens a frame where it is.
    fn open(&mut self, mut frame: Frame, slot: &Range<usize>) -> Option<Frame> {
        let via = frame.via;
        let peer = self.peers.get_mut(usize::from(via))?;
        let bytes = frame.writable();
        let counter = bytes[slot.start..].first_chunk::<COUNTER>().copied()?;
        let number = u64::from_le_bytes(counter);
        if !peer.window.is_new(number) {
            self.replayed += 1;
            return None;
        }
        let aad = head(bytes, counter);
        let (header, sealed) = bytes.split_at_mut(slot.end);
        let (tag, aad) = (&header[slot.start + COUNTER..], Aad::from(aad));
        if peer.key.open_in_place_separate_tag(nonce(number), aad, tag, sealed).is_err() {
            self.nonsense.note("seal", via, "its sender has not sealed it");
            return None;
        }
        peer.window.note(number);
        bytes[slot.clone()].fill(0);
        frame.seal();
        Some(frame)
    }
}

/// The fixed header and the counter, whatever stands between them.
fn head(bytes: &[u8], counter: [u8; COUNTER]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..FIXED_HEADER].copy_from_slice(&bytes[..FIXED_HEADER]);
    head[FIXED_HEADER..].copy_from_slice(&counter);
    head
}

/// Counters are used once with a key.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Layer for SealLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) => self.on_frames_sent(frames, cx),
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_frames_received(frames, cx),
            other => cx.up(other),
        }
    }

    fn check(&self) {
        assert!(self.sent < 1 << 48, "S1: a key seals fewer than 2^48 frames");
    }

    fn report(&self, to: &mut Report) {
        to.say("frames sealed", self.sent);
        self.nonsense.report(to);
        to.say("frames repeated", self.replayed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue::named, testkit::scope};
    use bytes::Bytes;
    use gcs::{
        guard::Secret,
        message::Outgoing,
        rng::Rng,
        stack::{Output, Stack},
        time::Time,
    };

    const NOW: Time = Time::from_ms(1001);
    const TEXT: &[u8] = b"what nobody else shall read";

    fn stack(me: usize, secret: u8) -> Stack {
        let mut scope = scope(me, 3);
        scope.secret = Some(Secret([secret; 32]));
        named("fifo+encrypted").unwrap().build(scope)
    }

    /// What a member sends when it casts.
    fn cast(stack: &mut Stack) -> Vec<Bytes> {
        let (mut out, mut messages) = (Output::default(), Outgoing::new());
        messages.push(TEXT);
        stack.start(NOW, &mut out);
        stack.down(NOW, Down::Cast(messages), &mut out);
        out.frames.into_iter().map(|f| f.into_packet().into_bytes()).collect()
    }

    /// What another one delivers of it when it comes from the address of `via`.
    fn deliver(stack: &mut Stack, via: Rank, datagrams: &[Bytes]) -> Vec<Vec<u8>> {
        let mut out = Output::default();
        for datagram in datagrams {
            let Ok(mut frame) = stack.parse(datagram.clone()) else { continue };
            frame.via = via;
            stack.receive(NOW, vec![frame], &mut out);
        }
        let messages = out.events.iter().filter_map(|e| match e {
            Up::Messages(m) => Some(m.iter().map(|m| m.to_vec()).collect::<Vec<_>>()),
            _ => None,
        });
        messages.flatten().collect()
    }

    #[test]
    fn members_read_what_others_cannot() {
        let sent = cast(&mut stack(0, 7));
        assert!(sent.iter().all(|d| !d.windows(TEXT.len()).any(|w| w == TEXT)), "it is encrypted");
        assert_eq!(deliver(&mut stack(1, 7), 0, &sent), [TEXT]);
        assert!(deliver(&mut stack(1, 8), 0, &sent).is_empty(), "with the secret of another view");
        assert!(deliver(&mut stack(1, 7), 2, &sent).is_empty(), "as if another member had sealed it");
    }

    #[test]
    fn the_same_frame_counts_once_and_every_seal_is_new() {
        let sent = cast(&mut stack(0, 7));
        let again: Vec<_> = sent.iter().chain(&sent).cloned().collect();
        assert_eq!(deliver(&mut stack(1, 7), 0, &again), [TEXT]);
        // The same frames sealed twice by one member share no bytes beyond the fixed header.
        let mut sender = stack(0, 7);
        let (one, two) = (cast(&mut sender), cast(&mut sender));
        let differs = |a: &Bytes, b: &Bytes| a[FIXED_HEADER..] != b[FIXED_HEADER..];
        assert!(one.iter().all(|a| two.iter().all(|b| differs(a, b))));
    }

    #[test]
    fn no_damage_gets_through_and_nothing_panics() {
        let sent = cast(&mut stack(0, 7));
        let mut receiver = stack(1, 7);
        let mut rng = Rng::new(3);
        for datagram in &sent {
            for bit in 0..datagram.len() * 8 {
                let mut damaged = datagram.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(deliver(&mut receiver, 0, &[damaged.into()]).is_empty(), "bit {bit}");
            }
            for _ in 0..500 {
                let cut = rng.below(datagram.len() as u64) as usize;
                assert!(deliver(&mut receiver, 0, &[datagram.slice(..cut)]).is_empty(), "cut to {cut}");
            }
        }
        receiver.check();
        assert_eq!(deliver(&mut receiver, 0, &sent), [TEXT], "none of it was taken for the real one");
    }
}
