//! TCP's options as bytes. Unknown ones are skipped by their length; behind one whose length is impossible nothing is believed
//! (RFC 9293, section 3.1).

use smallvec::SmallVec;

use crate::tcp::{Options, Seq};

const END: u8 = 0;
const NOTHING: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
/// Blocks that fit into a header.
const BLOCKS: usize = 4;

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// Reads options. What means something in SYNs only is read only from them.
pub(super) fn read(mut bytes: &[u8], syn: bool) -> Options {
    let mut options = Options::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            END => break,
            NOTHING => {
                bytes = rest;
                continue;
            }
            _ => {}
        }
        let Some(len) = rest.first().map(|&l| usize::from(l)).filter(|l| (2..=bytes.len()).contains(l))
        else {
            break;
        };
        let body = &bytes[2..len];
        match (kind, body.len()) {
            (MSS, 2) if syn => options.mss = Some(u16::from_be_bytes([body[0], body[1]])),
            (WINDOW_SCALE, 1) if syn => options.window_scale = Some(body[0]),
            (SACK_PERMITTED, 0) if syn => options.sack_permitted = true,
            (TIMESTAMPS, 8) => options.timestamps = Some((word(&body[..4]), word(&body[4..]))),
            (SACK, n) if n % 8 == 0 => {
                let blocks = body.chunks_exact(8).map(|b| (Seq(word(&b[..4])), Seq(word(&b[4..]))));
                options.sack = blocks.take(BLOCKS).collect();
            }
            _ => {}
        }
        bytes = &bytes[len..];
    }
    options
}

/// Writes options, padded to words.
pub(super) fn write(options: &Options) -> SmallVec<[u8; 64]> {
    let mut bytes = SmallVec::new();
    if let Some(mss) = options.mss {
        bytes.extend_from_slice(&[MSS, 4]);
        bytes.extend_from_slice(&mss.to_be_bytes());
    }
    if options.sack_permitted {
        bytes.extend_from_slice(&[SACK_PERMITTED, 2]);
    }
    if let Some((value, echo)) = options.timestamps {
        bytes.extend_from_slice(&[TIMESTAMPS, 10]);
        bytes.extend_from_slice(&value.to_be_bytes());
        bytes.extend_from_slice(&echo.to_be_bytes());
    }
    if let Some(shift) = options.window_scale {
        bytes.extend_from_slice(&[WINDOW_SCALE, 3, shift]);
    }
    if !options.sack.is_empty() {
        bytes.extend_from_slice(&[
            SACK,
            u8::try_from(2 + 8 * options.sack.len()).expect("at most four blocks"),
        ]);
        for (left, right) in &options.sack {
            bytes.extend_from_slice(&left.0.to_be_bytes());
            bytes.extend_from_slice(&right.0.to_be_bytes());
        }
    }
    bytes.resize(bytes.len().next_multiple_of(4), NOTHING);
    debug_assert_eq!(bytes.len(), options.wire_len());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unknown_options_are_skipped_and_broken_ones_end_the_list() {
        let options = read(&[30, 4, 9, 9, 1, MSS, 4, 5, 180, 77, 1, WINDOW_SCALE, 3, 7], true);
        assert_eq!((options.mss, options.window_scale), (Some(1460), None), "77 has an impossible length");
        assert_eq!(
            read(&[MSS, 4, 5, 180, WINDOW_SCALE, 3, 7], false),
            Options::default(),
            "these are for SYNs"
        );
        assert_eq!(read(&[END, MSS, 4, 5, 180], true), Options::default());
        assert_eq!(read(&[MSS, 4, 5], true), Options::default());
        assert_eq!(read(&[SACK], true), Options::default());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            mss: Option<u16>, window_scale: Option<u8>, sack_permitted: bool, timestamps: Option<(u32, u32)>,
            sack in prop::collection::vec((any::<u32>(), any::<u32>()), 0..=3)
        ) {
            let sack = sack.into_iter().map(|(a, b)| (Seq(a), Seq(b))).collect();
            let options = Options { mss, window_scale, sack_permitted, timestamps, sack };
            prop_assume!(options.wire_len() <= 40);
            prop_assert_eq!(read(&write(&options), true), options);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..=40), syn: bool) {
            prop_assert!(read(&bytes, syn).sack.len() <= BLOCKS);
        }
    }
}
