//! Numbers that strangers cannot guess and all replicas agree on: initial sequence numbers (RFC 6528), offsets of timestamps
//! (RFC 7323, section 7.1), ports (RFC 6056, algorithm 3) and SYN cookies (RFC 4987, section 3.6).

use std::net::SocketAddr;

use gcs::time::Time;

use crate::tcp::{Options, Segment, Seq, sender::timestamp};

/// Segment sizes that a cookie can carry.
const SIZES: [u16; 8] = [536, 1200, 1220, 1300, 1400, 1440, 1460, 8960];
/// A cookie's clock ticks this often, in nanoseconds; a cookie is good for one tick and the rest of its own.
const TICK: u64 = 64_000_000_000;
/// Bits of a timestamp that carry the options of a cookie: 4 of the window scale, 1 for SACK.
const BITS: u32 = 32 - 1;

/// What an answer to a cookie tells about the SYN that it does not remember.
pub(super) struct Remembered {
    pub(super) isn: Seq,
    pub(super) offset: u32,
    pub(super) options: Options,
}

fn hash(secret: &[u8; 32], purpose: u8, local: SocketAddr, remote: SocketAddr, salt: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&[purpose]);
    for address in [local, remote] {
        match address.ip() {
            std::net::IpAddr::V4(ip) => hasher.update(&ip.octets()),
            std::net::IpAddr::V6(ip) => hasher.update(&ip.octets()),
        };
        hasher.update(&address.port().to_le_bytes());
    }
    hasher.update(&salt.to_le_bytes());
    let bytes = *hasher.finalize().as_bytes();
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash")]
const fn low(hash: u64) -> u32 {
    hash as u32
}

/// The initial sequence number (its clock ticks every 4 us) and the timestamps' offset of a connection.
pub(super) fn of_connection(
    secret: &[u8; 32],
    local: SocketAddr,
    remote: SocketAddr,
    now: Time,
) -> (Seq, u32) {
    let hash = hash(secret, 1, local, remote, 0);
    (Seq(low(hash).wrapping_add(low(now.0 / 4_000))), low(hash >> 32))
}

/// An initial sequence number such that segments of an old connection, which ended at `end`, do not fit into the new one (RFC 6191).
pub(super) fn behind(isn: Seq, end: Option<Seq>) -> Seq {
    let least = end.map(|end| end.0.wrapping_add(64_000));
    least.filter(|least| crate::tcp::seq::earlier(isn.0, *least)).map_or(isn, Seq)
}

/// Where to begin to look for a free port towards `remote`.
pub(super) fn first_port(secret: &[u8; 32], local: SocketAddr, remote: SocketAddr) -> u32 {
    low(hash(secret, 2, local, remote, 0))
}

fn cookie(secret: &[u8; 32], syn: (SocketAddr, SocketAddr, Seq), tick: u64, size: u32) -> Seq {
    let (local, remote, isn) = syn;
    let mac = low(hash(
        secret,
        3,
        local,
        remote,
        u64::from(isn.0) << 32 | tick << 3 & 0xffff_fff8 | u64::from(size),
    ));
    Seq(low(tick % 32) << 27 | size << 24 | mac & 0x00ff_ffff)
}

/// The answer to `syn` that nothing has to be remembered for. `mss`: the segment size that we announce; `shift`: of our windows.
pub(super) fn answer(secret: &[u8; 32], syn: &Segment, now: Time, mss: u16, shift: u8) -> Segment {
    let theirs = syn.options.mss.unwrap_or(SIZES[0]);
    let size = SIZES.iter().rposition(|s| *s <= theirs).unwrap_or(0);
    let isn =
        cookie(secret, (syn.to, syn.from, syn.seq), now.0 / TICK, u32::try_from(size).expect("below 8"));
    let mut answer = Segment::new(syn.to, syn.from, isn, Some(syn.seq.of(1)));
    answer.syn = true;
    answer.window = u16::MAX;
    answer.options.mss = Some(mss);
    if let Some((theirs, _)) = syn.options.timestamps {
        // Only an echo of these bits brings the other options back.
        let bits = u32::from(syn.options.window_scale.map_or(15, |s| s.min(14))) << 1
            | u32::from(syn.options.sack_permitted);
        let (_, offset) = of_connection(secret, syn.to, syn.from, now);
        // Never ahead of the clock: later timestamps must not look old.
        let stamp = timestamp(now, offset).wrapping_sub(BITS) & !BITS | bits;
        answer.options.timestamps = Some((stamp, theirs));
        answer.options.window_scale = syn.options.window_scale.map(|_| shift);
        answer.options.sack_permitted = syn.options.sack_permitted;
    }
    answer
}

/// What `ack` says about the SYN, if it acknowledges a cookie that is still good.
pub(super) fn check(secret: &[u8; 32], ack: &Segment, now: Time) -> Option<Remembered> {
    let isn = Seq(ack.ack?.0.wrapping_sub(1));
    let theirs = Seq(ack.seq.0.wrapping_sub(1));
    let tick = now.0 / TICK;
    let size = isn.0 >> 24 & 7;
    let good = |tick| cookie(secret, (ack.to, ack.from, theirs), tick, size) == isn;
    if !(good(tick) || tick > 0 && good(tick - 1)) {
        return None;
    }
    let mut options = Options { mss: Some(SIZES[size as usize]), ..Options::default() };
    if let Some((value, echo)) = ack.options.timestamps {
        options.timestamps = Some((value, echo));
        options.sack_permitted = echo & 1 == 1;
        options.window_scale = u8::try_from(echo >> 1 & 15).ok().filter(|s| *s < 15);
    }
    let (_, offset) = of_connection(secret, ack.to, ack.from, now);
    Some(Remembered { isn, offset, options })
}
