//! Version 1 of the protocol as it was released, written by hand from `docs/wire.md`: never to be changed, and without a
//! call to the product's codecs. It encodes every control message, the head of a frame and the hello of a connection, and
//! says what a process of that version understands.

use std::net::SocketAddr;

/// A protocol buffer that is being written.
#[derive(Clone, Default)]
pub(crate) struct Buf(pub(crate) Vec<u8>);

impl Buf {
    fn varint(mut self, mut n: u64) -> Self {
        while n >= 0x80 {
            self.0.push((n as u8) | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
        self
    }

    pub(crate) fn uint(self, tag: u64, n: u64) -> Self {
        if n == 0 { self } else { self.varint(tag << 3).varint(n) }
    }

    pub(crate) fn fixed(self, tag: u64, n: u64) -> Self {
        if n == 0 {
            return self;
        }
        let mut this = self.varint(tag << 3 | 1);
        this.0.extend_from_slice(&n.to_le_bytes());
        this
    }

    pub(crate) fn bytes(self, tag: u64, b: &[u8]) -> Self {
        if b.is_empty() { self } else { self.always(tag, b) }
    }

    fn always(self, tag: u64, b: &[u8]) -> Self {
        let mut this = self.varint(tag << 3 | 2).varint(b.len() as u64);
        this.0.extend_from_slice(b);
        this
    }

    /// A part, which travels even if it is empty.
    pub(crate) fn part(self, tag: u64, part: Buf) -> Self {
        self.always(tag, &part.0)
    }

    pub(crate) fn packed(self, tag: u64, all: &[u64]) -> Self {
        let packed = all.iter().fold(Buf::default(), |b, n| b.varint(*n));
        self.bytes(tag, &packed.0)
    }
}

pub(crate) fn id(addr: &str, incarnation: u64) -> Buf {
    let addr: SocketAddr = addr.parse().expect("an address");
    let ip = match addr.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    Buf::default().bytes(1, &ip).uint(2, addr.port().into()).fixed(3, incarnation)
}

pub(crate) fn vid(epoch: u64, number: u64) -> Buf {
    Buf::default().fixed(1, epoch).uint(2, number)
}

pub(crate) fn ballot(round: u64, rank: u64) -> Buf {
    Buf::default().uint(1, round).uint(2, rank)
}

pub(crate) fn entry(id: Buf, name: &str, complete: bool) -> Buf {
    Buf::default().part(1, id).bytes(2, name.as_bytes()).uint(3, complete.into())
}

pub(crate) fn value(next: &[Buf], frontier: &[u64], holder: &[u64]) -> Buf {
    next.iter().fold(Buf::default(), |b, e| b.part(1, e.clone())).packed(2, frontier).packed(3, holder)
}

/// A control message with one body.
pub(crate) fn control(group: u64, from: Buf, tag: u64, body: Buf) -> Vec<u8> {
    let message = Buf::default().fixed(1, group).part(2, from).part(tag, body);
    [&[0xC6, 1][..], &message.0].concat()
}

/// The fixed part of a frame's header.
pub(crate) fn frame(kind: u8, flags: u8, sender: u16, tag: u64, view: u64) -> Vec<u8> {
    let mut b = vec![0xC5, 1, kind, flags];
    b.extend_from_slice(&sender.to_le_bytes());
    b.extend_from_slice(&[0, 0]);
    b.extend_from_slice(&tag.to_le_bytes());
    b.extend_from_slice(&view.to_le_bytes());
    b
}

/// What version 1 reads of a frame: sender, tag and view. None: garbage.
pub(crate) fn read_frame(b: &[u8]) -> Option<(u16, u64, u64)> {
    if b.len() < 24 || b[..2] != [0xC5, 1] {
        return None;
    }
    let word = |at: usize| u64::from_le_bytes(b[at..at + 8].try_into().expect("8 bytes"));
    Some((u16::from_le_bytes([b[4], b[5]]), word(8), word(16)))
}

/// What a field is.
enum Field {
    Uint,
    Fixed,
    Bytes,
    Text,
    Packed,
    Part(&'static [(u64, Field)]),
}
use Field::{Bytes, Fixed, Packed, Part, Text, Uint};

const ID: &[(u64, Field)] = &[(1, Bytes), (2, Uint), (3, Fixed)];
const VID: &[(u64, Field)] = &[(1, Fixed), (2, Uint)];
const BALLOT: &[(u64, Field)] = &[(1, Uint), (2, Uint)];
const ENTRY: &[(u64, Field)] = &[(1, Part(ID)), (2, Text), (3, Uint)];
const VALUE: &[(u64, Field)] = &[(1, Part(ENTRY)), (2, Packed), (3, Packed)];
const CONSENSUS: &[(u64, Field)] = &[(1, Part(VID)), (2, Part(BALLOT))];
const PROMISE: &[(u64, Field)] =
    &[(1, Part(VID)), (2, Part(BALLOT)), (3, Part(BALLOT)), (4, Part(VALUE)), (5, Packed), (6, Uint)];
const JOIN: &[(u64, Field)] = &[
    (1, Text),
    (2, Text),
    (3, Uint),
    (4, Part(ID)),
    (5, Uint),
    (6, Part(ID)),
    (7, Part(ID)),
    (8, Packed),
    (9, Uint),
];
const PIECE: &[(u64, Field)] = &[(1, Part(VID)), (2, Uint), (3, Uint), (4, Uint), (5, Uint), (6, Bytes)];
const CONTROL: &[(u64, Field)] = &[
    (1, Fixed),
    (2, Part(ID)),
    (10, Part(JOIN)),
    (11, Part(&[(1, Part(VID)), (2, Part(ID))])),
    (12, Part(&[(1, Part(ID))])),
    (13, Part(&[(1, Text)])),
    (14, Part(&[])),
    (20, Part(CONSENSUS)),
    (21, Part(PROMISE)),
    (22, Part(CONSENSUS)),
    (23, Part(&[(1, Part(VID)), (2, Part(BALLOT)), (3, Part(VALUE))])),
    (24, Part(CONSENSUS)),
    (25, Part(&[(1, Part(VID)), (2, Part(VALUE))])),
    (26, Part(&[(1, Part(VID))])),
    (30, Part(&[(1, Part(VID)), (2, Uint), (3, Uint), (4, Uint), (5, Uint)])),
    (31, Part(PIECE)),
    (32, Part(&[(1, Part(VID))])),
];

/// The tag of the body of a control message that version 1 understands; None of others.
pub(crate) fn understand(datagram: &[u8]) -> Option<u64> {
    let message = datagram.strip_prefix(&[0xC6, 1])?;
    let tags = walk(message, CONTROL)?;
    let bodies: Vec<_> =
        tags.into_iter().filter(|t| *t >= 10 && CONTROL.iter().any(|(k, _)| k == t)).collect();
    (bodies.len() == 1).then(|| bodies[0])
}

fn read_varint(b: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = b.split_first()?;
        *b = rest;
        n |= u64::from(first & 0x7f).checked_shl(shift)?;
        if *first < 0x80 {
            return Some(n);
        }
    }
    None
}

/// The tags of a part, if all that are known are what they should be. Unknown ones are skipped.
fn walk(mut b: &[u8], fields: &[(u64, Field)]) -> Option<Vec<u64>> {
    let mut tags = Vec::new();
    while !b.is_empty() {
        let key = read_varint(&mut b)?;
        let (tag, wire) = (key >> 3, key & 7);
        tags.push(tag);
        let field = fields.iter().find(|(t, _)| *t == tag).map(|(_, f)| f);
        match wire {
            0 => {
                read_varint(&mut b)?;
                if !matches!(field, None | Some(Uint)) {
                    return None;
                }
            }
            1 => {
                b = b.get(8..)?;
                if !matches!(field, None | Some(Fixed)) {
                    return None;
                }
            }
            2 => {
                let length = usize::try_from(read_varint(&mut b)?).ok()?;
                let mut part = b.get(..length)?;
                b = &b[length..];
                match field {
                    None | Some(Bytes) => {}
                    Some(Text) => drop(std::str::from_utf8(part).ok()?),
                    Some(Packed) => {
                        while !part.is_empty() {
                            read_varint(&mut part)?;
                        }
                    }
                    Some(Part(fields)) => drop(walk(part, fields)?),
                    Some(Uint | Fixed) => return None,
                }
            }
            _ => return None,
        }
    }
    Some(tags)
}
