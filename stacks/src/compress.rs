//! Compression of the application's frames: what is below works on fewer bytes.
//!
//! Each frame by itself, with the block format of LZ4 (Collet, 2011) or with Zstandard (Collet and Kucherawy, RFC 8878).
//!
//! ```text
//! from flow    [header 0 | payload, 1,300 bytes]                        what flow counts, on both sides
//! below        [header 1 | 1,300: u32 | block, 420 bytes]               sent, held, repaired
//! to flow      [header 1 | payload, 1,300 bytes]
//! ```
//!
//! * **Needs** reliable. **Gives** compressed. Its place is directly below `flow`. There everything that holds frames,
//!   orders or repairs them works on compressed ones, which are compressed once, however often they are sent; and `flow`
//!   counts uncompressed bytes, the same on both sides. Above `flow` a window would hold compressed bytes, and the queue
//!   above an application that does not take what is delivered up to 255 times as many.
//! * **Events in**: `Down::Frames`, `Up::Frames`. **Out**: the same. All others are passed on, too, so that they keep
//!   their order among the frames. Only reliable data frames are compressed. A member's own frames come back compressed,
//!   and are restored like all others: that takes a third of the time of compressing them, and keeping their payloads
//!   meanwhile would take as much memory again as is under way.
//! * **Header**: one byte. 0: the payload is as it was, because it did not shrink or is shorter than 64 bytes. 1: the
//!   payload is the length that it was made of (`u32`, little-endian) and a block, shorter together.
//! * **Timers**: none. **The end of a view**: nothing to do; a frame that is let go at `Close` is restored as it passes.
//! * **Bounds**: a buffer for the longest frame, and the tables of the algorithm (LZ4: 8 KiB). No length is believed that
//!   is not more than the compressed one, or is more than 64 KiB and more than a frame carries here: it is refused before
//!   there is memory for it. (MTUs may differ between members; no datagram is longer than 64 KiB.) A frame that cannot
//!   be restored is dropped and counted; its sender, who sends nonsense, has less of a window from then on.
//! * **Leaves** to `pack` how full frames are: they are filled before they are compressed, so what is saved is bytes, not
//!   datagrams. Messages that came one at a time have small frames, which shrink little. And compressed frames differ in
//!   length, so few of them leave in one train (GSO): worth it where bytes are scarce, not on a fast network.
//!
//! # With encryption
//! The length of a compressed frame tells of its content, encrypted or not. If an outsider can choose some of what a
//! member casts, and watch the lengths of its datagrams, it can guess at secrets that travel in the same frame (as CRIME
//! and BREACH did, Rizzo and Duong 2012, Gluck, Harris and Prado 2013). It is safe to compress and encrypt
//! a group's messages if nobody outside of it has a say in what they contain, or if nothing in them is secret from those
//! who have. Otherwise leave `compress` out. Frames are compressed one by one, so nothing leaks from one to another; but
//! what shares a frame with what is chance. Encryption belongs below: what is encrypted does not shrink.

use crate::nonsense::Nonsense;
use gcs::{
    frame::{Frame, Frames},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
};
use lz4_flex::block::{self, CompressTable};
use std::ops::Range;

const NAME: &str = "compress";

const COMPRESSED: u8 = 1;

/// The length of the length, in bytes.
const PREFIX: usize = 4;

/// Shorter payloads are left alone.
const SHORTEST: usize = 64;

/// No datagram is longer.
const LONGEST: usize = 64 << 10;

/// How frames are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// LZ4: fast, in both directions.
    #[default]
    Lz4,
    /// Zstandard: smaller and slower.
    #[cfg(feature = "zstd")]
    Zstd {
        /// From 1, the fastest, to 22; 0 stands for 3, negative levels are faster still. May differ between members.
        level: i32,
    },
}

/// Compression of data frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compress {
    /// With what; the same at all members.
    pub algorithm: Algorithm,
}

impl Protocol for Compress {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: NAME,
            version: 1,
            needs: Properties::RELIABLE,
            gives: Properties::COMPRESSED,
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        1
    }

    fn parameters(&self) -> String {
        let name = match self.algorithm {
            Algorithm::Lz4 => "lz4",
            #[cfg(feature = "zstd")]
            Algorithm::Zstd { .. } => "zstd",
        };
        name.to_owned()
    }

    fn build(&self, _scope: &Scope) -> Box<dyn Layer> {
        Box::new(CompressLayer {
            coder: Coder::new(self.algorithm),
            scratch: Vec::new(),
            nonsense: Nonsense::default(),
        })
    }
}

struct CompressLayer {
    coder: Coder,
    /// Where frames are compressed into; as long as the longest so far needed.
    scratch: Vec<u8>,
    nonsense: Nonsense,
}

impl Layer for CompressLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(mut frames) => {
                let slot = cx.slot();
                frames.iter_mut().filter(|f| is_data(f)).for_each(|f| self.compress(f, &slot));
                cx.down(Down::Frames(frames));
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

    fn report(&self, to: &mut Report) {
        self.nonsense.report(to);
    }
}

impl CompressLayer {
    fn on_received(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        let (slot, longest) = (cx.slot(), cx.payload_max().max(LONGEST));
        frames.retain_mut(|frame| {
            let restored = match frame.slot(&slot) {
                _ if !is_data(frame) => Ok(()),
                [0] => Ok(()),
                [COMPRESSED] => self.restore(frame, longest),
                _ => Err("compressed in a way that there is not"),
            };
            restored.inspect_err(|what| self.nonsense.note(NAME, frame.from, what)).is_ok()
        });
        if !frames.is_empty() {
            cx.up(Up::Frames(frames));
        }
    }

    /// Compresses the payload if that makes the frame shorter.
    fn compress(&mut self, frame: &mut Frame, slot: &Range<usize>) {
        let payload = frame.payload();
        let Ok(len) = u32::try_from(payload.len()) else { return };
        if payload.len() < SHORTEST {
            return;
        }
        let room = PREFIX + block::get_maximum_output_size(payload.len());
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let (head, body) = self.scratch.split_at_mut(PREFIX);
        head.copy_from_slice(&len.to_le_bytes());
        let Some(compressed) = self.coder.compress(payload, body).map(|n| PREFIX + n) else { return };
        if compressed < payload.len() {
            frame.replace_payload(&self.scratch[..compressed]);
            frame.slot_mut(slot)[0] = COMPRESSED;
        }
    }

    /// Restores the payload, of at most `longest` bytes.
    fn restore(&mut self, frame: &mut Frame, longest: usize) -> Result<(), &'static str> {
        let Some((len, block)) = frame.payload().split_first_chunk::<PREFIX>() else {
            return Err("a compressed payload without its length");
        };
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        if len > longest || len <= frame.payload().len() {
            return Err("a compressed payload of an impossible length");
        }
        let mut payload = vec![0; len];
        if self.coder.restore(block, &mut payload) != Some(len) {
            return Err("a compressed payload that cannot be restored");
        }
        frame.replace_payload(&[]);
        frame.share_payload(payload.into());
        Ok(())
    }
}

/// Whether the frame carries the application's messages.
fn is_data(frame: &Frame) -> bool {
    frame.kind() == Frame::DATA && frame.is_reliable()
}

/// An algorithm with its tables.
enum Coder {
    Lz4(CompressTable),
    #[cfg(feature = "zstd")]
    Zstd(Box<Zstd>),
}

#[cfg(feature = "zstd")]
struct Zstd {
    /// None if there is no memory for one: frames go as they are.
    compressor: Option<zstd::bulk::Compressor<'static>>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Coder {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Lz4 => Self::Lz4(CompressTable::small()),
            #[cfg(feature = "zstd")]
            Algorithm::Zstd { level } => Self::Zstd(Box::new(Zstd {
                compressor: zstd::bulk::Compressor::new(level).ok(),
                decompressor: zstd::bulk::Decompressor::default(),
            })),
        }
    }

    /// Writes a block into `to`; its length. None if there is no room for it.
    fn compress(&mut self, payload: &[u8], to: &mut [u8]) -> Option<usize> {
        match self {
            Self::Lz4(table) => block::compress_into_with_table(payload, to, table).ok(),
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.compressor.as_mut()?.compress_to_buffer(payload, to).ok(),
        }
    }

    /// Writes what the block was made of into `to`; its length. None if it is malformed, or there is no room.
    fn restore(&mut self, block: &[u8], to: &mut [u8]) -> Option<usize> {
        match self {
            Self::Lz4(_) => block::decompress_into(block, to).ok(),
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.decompressor.decompress_to_buffer(block, to).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Check,
        flow::Flow,
        pack::Pack,
        rig::{Raw, Rig},
    };
    use gcs::rng::Rng;
    use proptest::prelude::*;
    use std::sync::Arc;

    const MTU: usize = 1000;

    fn algorithms() -> Vec<Algorithm> {
        vec![
            Algorithm::Lz4,
            #[cfg(feature = "zstd")]
            Algorithm::Zstd { level: 3 },
            #[cfg(feature = "zstd")]
            Algorithm::Zstd { level: 19 },
        ]
    }

    /// A frame for each message; the slot is the header's last byte.
    fn raw(algorithm: Algorithm) -> Rig {
        let above: Vec<Arc<dyn Protocol>> = vec![Arc::new(Compress { algorithm }), Arc::new(Raw)];
        Rig::new(above, 2, MTU, 1 << 20, 1)
    }

    fn text(len: usize) -> Vec<u8> {
        b"the quick brown fox jumps over the lazy dog; ".iter().copied().cycle().take(len).collect()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut rng = Rng::new(7);
        (0..len).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
    }

    /// A data frame of member 1, as it travels.
    fn forge(rig: &Rig, seq: u64, how: u8, payload: &[u8]) -> bytes::Bytes {
        let mut bytes = rig.forge(Frame::DATA, 1, seq, payload).to_vec();
        let slot = bytes.len() - payload.len() - 1;
        bytes[slot] = how;
        bytes.into()
    }

    fn with_length(len: usize, block: &[u8]) -> Vec<u8> {
        [&u32::try_from(len).unwrap().to_le_bytes()[..], block].concat()
    }

    #[test]
    fn what_shrinks_is_sent_compressed_and_restored_everywhere() {
        for algorithm in algorithms() {
            let mut rig = raw(algorithm);
            let messages = [text(MTU), noise(MTU), vec![], text(SHORTEST - 1), vec![0; MTU], noise(SHORTEST)];
            rig.cast(0, &messages.each_ref().map(Vec::as_slice));
            let overhead = rig.forge(Frame::DATA, 0, 1, b"").len();
            let sent: Vec<_> = rig.lengths(0).map(|len| len - overhead).collect();
            assert!(sent[0] < MTU / 4 && sent[4] < 64, "{sent:?}");
            assert_eq!([sent[1], sent[2], sent[3], sent[5]], [MTU, 0, SHORTEST - 1, SHORTEST], "as they are");
            rig.settle();
            for r in 0..2 {
                assert_eq!(rig.frames(r), messages.clone().map(|m| (0, m)), "at {r}");
            }
        }
    }

    #[test]
    fn garbage_is_dropped() {
        for algorithm in algorithms() {
            let mut rig = raw(algorithm);
            let payload = text(MTU);
            let mut block = vec![0; 2 * MTU];
            let len = Coder::new(algorithm).compress(&payload, &mut block).unwrap();
            let block = &block[..len];
            let good = with_length(MTU, block);
            let bad = [
                (COMPRESSED, vec![]),
                (COMPRESSED, b"\x09\0\0".to_vec()),
                (COMPRESSED, with_length(0, b"")),
                (COMPRESSED, with_length(PREFIX, b"")),
                (COMPRESSED, with_length(good.len(), block)),
                (COMPRESSED, with_length(MTU - 1, block)),
                (COMPRESSED, with_length(MTU + 1, block)),
                (COMPRESSED, with_length(LONGEST, block)),
                (COMPRESSED, with_length(LONGEST + 1, block)),
                (COMPRESSED, with_length(u32::MAX as usize, block)),
                (COMPRESSED, good[..good.len() - 1].to_vec()),
                (COMPRESSED, with_length(MTU, &noise(100))),
                (2, good.clone()),
                (0xff, good.clone()),
            ];
            let all = (1..).zip(bad);
            for (seq, (how, payload)) in all {
                rig.receive(0, vec![forge(&rig, seq, how, &payload)]);
                assert_eq!(rig.frames(0), [], "frame {seq} is nonsense");
            }
            rig.receive(0, vec![forge(&rig, 15, COMPRESSED, &good)]);
            assert_eq!(rig.frames(0), [(1, payload)]);
        }
    }

    #[test]
    fn a_longer_frame_of_a_member_with_another_mtu_is_restored() {
        let mut rig = raw(Algorithm::Lz4);
        let payload = text(LONGEST);
        rig.receive(0, vec![forge(&rig, 1, COMPRESSED, &with_length(LONGEST, &block::compress(&payload)))]);
        assert_eq!(rig.frames(0), [(1, payload)]);
    }

    #[test]
    fn other_frames_pass() {
        let mut rig = raw(Algorithm::Lz4);
        // Of a kind of its own, and data outside of the stream: whatever the slot says.
        rig.receive(0, vec![rig.forge(2, 1, 1, &text(200)), forge(&rig, 0, 9, b"x")]);
        let passed: usize = rig.out[0].iter().map(|e| if let Up::Frames(f) = e { f.len() } else { 0 }).sum();
        assert_eq!(passed, 2);
    }

    #[test]
    fn flow_counts_the_same_on_both_sides() {
        let above: Vec<Arc<dyn Protocol>> =
            vec![Arc::new(Compress::default()), Arc::new(Flow::default()), Arc::new(Pack)];
        let mut rig = Rig::new(above, 3, MTU, 16_000, 1);
        rig.dead = 0b100;
        let message = text(2000);
        rig.cast(0, &[message.as_slice(); 20]);
        rig.settle();
        assert!(!rig.credit(0), "uncompressed bytes fill the window");
        assert!(rig.lengths(0).sum::<usize>() < 8000, "though few are sent");
        rig.dead = 0;
        rig.settle();
        assert!(rig.credit(0), "and uncompressed bytes empty it");
        assert_eq!(rig.messages(2), vec![(0, message); 20]);
    }

    proptest! {
        #[test]
        fn messages_come_back(seed: u64, mtu in 512_usize..3000, which in 0_usize..3, close: bool) {
            let algorithm = algorithms()[which % algorithms().len()];
            let above: Vec<Arc<dyn Protocol>> = vec![
                Arc::new(Compress { algorithm }),
                Arc::new(Check::stream()),
                Arc::new(Flow::default()),
                Arc::new(Pack),
                Arc::new(Check::messages()),
            ];
            let (mut rig, mut rng) = (Rig::new(above, 2, mtu, 20_000, seed), Rng::new(seed));
            let mut cast = Vec::new();
            for _ in 0..20 {
                let len = rng.below(5000) as usize;
                let message: Vec<_> = (0..len).map(|_| rng.below(1 + seed % 200) as u8).collect();
                rig.cast(0, &[&message]);
                cast.push((0, message));
                rig.step(&mut rng);
            }
            if close { rig.close() } else { rig.settle() }
            let unsent = rig.unsent(0).into_iter().map(|m| (0, m));
            for r in 0..2 {
                let all: Vec<_> = rig.messages(r).into_iter().chain(unsent.clone()).collect();
                prop_assert_eq!(&all, &cast);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(payload: Vec<u8>, len in 0_usize..2000, which in 0_usize..3) {
            let mut rig = raw(algorithms()[which % algorithms().len()]);
            rig.receive(0, vec![forge(&rig, 1, COMPRESSED, &payload)]);
            rig.receive(0, vec![forge(&rig, 2, COMPRESSED, &with_length(len, &payload))]);
            prop_assert!(rig.frames(0).iter().all(|f| f.1.len() <= LONGEST));
        }
    }
}
