//! Which frames the system hands to a packet socket: a classic BPF program (`packet(7)`, Linux
//! `Documentation/networking/filter`).
//!
//! ARP; IPv4 and IPv6 for the virtual addresses; neighbour discovery. The system has taken VLAN tags out before.

use crate::link::Vip;
use socket2::SockFilter;
use std::net::IpAddr;

const KIND: u32 = 12;
const V4_DESTINATION: u32 = 30;
const V6_NEXT: u32 = 20;
const V6_DESTINATION: u32 = 38;
const ICMP_KIND: u32 = 54;

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const SKIP: u32 = libc::BPF_JMP | libc::BPF_JA;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// One instruction: code, instructions to skip if true and if false, operand.
type Op = (u32, u8, u8, u32);
const ACCEPT: Op = (RETURN, 0, 0, u32::MAX);
const REFUSE: Op = (RETURN, 0, 0, 0);

/// The program for these addresses (at most 64: about 600 instructions of 4,096).
pub(super) fn program(vips: &[Vip]) -> Vec<SockFilter> {
    ops(vips).into_iter().map(|(code, yes, no, k)| SockFilter::new(code as u16, yes, no, k)).collect()
}

fn ops(vips: &[Vip]) -> Vec<Op> {
    let mut v4 = vec![(LOAD_WORD, 0, 0, V4_DESTINATION)];
    let mut v6 = Vec::new();
    for vip in vips {
        match vip.ip {
            IpAddr::V4(ip) => v4.extend([(IF_EQUAL, 0, 1, ip.to_bits()), ACCEPT]),
            IpAddr::V6(ip) => {
                // The address is four words; after each one that differs, to the end of these nine instructions.
                for (at, left) in [(0_u32, 7_u8), (4, 5), (8, 3), (12, 1)] {
                    let word = (ip.to_bits() >> (96 - 8 * at)) as u32;
                    v6.extend([(LOAD_WORD, 0, 0, V6_DESTINATION + at), (IF_EQUAL, 0, left, word)]);
                }
                v6.push(ACCEPT);
            }
        }
    }
    v4.push(REFUSE);
    v6.extend([
        (LOAD_BYTE, 0, 0, V6_NEXT),
        (IF_EQUAL, 0, 4, 58),
        (LOAD_BYTE, 0, 0, ICMP_KIND),
        (IF_EQUAL, 1, 0, 135),
        (IF_EQUAL, 0, 1, 136),
        ACCEPT,
        REFUSE,
    ]);
    let mut all = vec![(LOAD_HALF, 0, 0, KIND), (IF_EQUAL, 0, 1, 0x0806), ACCEPT];
    // Conditional jumps reach 255 instructions, others any number.
    all.extend([(IF_EQUAL, 1, 0, 0x0800), (SKIP, 0, 0, v4.len() as u32)]);
    all.extend(v4);
    all.extend([(IF_EQUAL, 1, 0, 0x86dd), (SKIP, 0, 0, v6.len() as u32)]);
    all.extend(v6);
    all.push(REFUSE);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the system does with the program.
    fn accepts(ops: &[Op], frame: &[u8]) -> bool {
        let (mut at, mut a) = (0, 0);
        loop {
            let (code, yes, no, k) = ops[at];
            at += 1;
            let load = |n: usize| {
                let bytes = frame.get(k as usize..k as usize + n)?;
                Some(bytes.iter().fold(0_u32, |word, b| word << 8 | u32::from(*b)))
            };
            let loaded = match code {
                LOAD_WORD => load(4),
                LOAD_HALF => load(2),
                LOAD_BYTE => load(1),
                IF_EQUAL => {
                    at += usize::from(if a == k { yes } else { no });
                    continue;
                }
                SKIP => {
                    at += k as usize;
                    continue;
                }
                _ => return k != 0,
            };
            // A frame that is too short is refused.
            match loaded {
                Some(word) => a = word,
                None => return false,
            }
        }
    }

    fn frame(kind: u16, at: usize, address: &str, next: u8, icmp: u8) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        match address.parse().unwrap() {
            IpAddr::V4(ip) => frame[at..at + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => frame[at..at + 16].copy_from_slice(&ip.octets()),
        }
        if kind == 0x86dd {
            (frame[20], frame[54]) = (next, icmp);
        }
        frame
    }

    #[test]
    fn what_is_let_through() {
        for many in [0, 60] {
            let mut vips: Vec<Vip> =
                (0..many).map(|n| format!("2001:db8:1::{n:x}/64").parse().unwrap()).collect();
            vips.extend(
                ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64"].map(|v| v.parse::<Vip>().unwrap()),
            );
            let ops = ops(&vips);
            assert!(ops.len() < 4096);
            let v4 = |to| accepts(&ops, &frame(0x0800, 30, to, 0, 0));
            let v6 = |to, next, icmp| accepts(&ops, &frame(0x86dd, 38, to, next, icmp));
            assert!(accepts(&ops, &frame(0x0806, 30, "1.1.1.1", 0, 0)), "ARP");
            assert!(v4("192.0.2.10") && v4("192.0.2.11") && !v4("192.0.2.12"));
            assert!(v6("2001:db8::10", 6, 0) && !v6("2001:db8::11", 6, 0));
            assert!(!v6("2001:db8:0:1::10", 6, 0), "each word counts");
            assert!(v6("ff02::1:ff00:10", 58, 135) && v6("ff02::1", 58, 136));
            assert!(!v6("ff02::1", 58, 134) && !v6("ff02::1", 17, 135));
            assert!(!accepts(&ops, &frame(0x88cc, 30, "192.0.2.10", 0, 0)));
            assert!(!accepts(&ops, &[0; 13]) && !accepts(&ops, &frame(0x0800, 30, "192.0.2.10", 0, 0)[..33]));
        }
    }
}
