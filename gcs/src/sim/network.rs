//! The simulated network: what becomes of a datagram between two processes.

use crate::rng::Rng;
use bytes::Bytes;
use smallvec::SmallVec;

/// Something that holds until a time (true nanoseconds).
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    value: u64,
    until: u64,
}

impl Condition {
    fn at(self, now: u64) -> u64 {
        if now < self.until { self.value } else { 0 }
    }
}

/// Disturbances of the whole network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    /// So many of a thousand datagrams are lost.
    Loss,
    /// So many of a thousand arrive twice.
    Duplicate,
    /// So many of a thousand are held up, and overtaken.
    Reorder,
    /// So many of a thousand arrive with flipped bits or cut short.
    Corrupt,
    /// Everything takes up to so many microseconds longer.
    Delay,
    /// A link carries so many kilobytes a second.
    Bandwidth,
}

const DISTURBANCES: usize = 6;
/// A datagram that would wait longer than this (nanoseconds) for a slow link is dropped.
const LINK_QUEUE: u64 = 200_000_000;

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    latency: u64,
    jitter: u64,
    cut_until: u64,
    /// When the link has sent what is queued on it.
    free_at: u64,
}

/// Links between all processes, and what disturbs them.
#[derive(Debug)]
pub(super) struct Network {
    links: Vec<Link>,
    size: usize,
    conditions: [Condition; DISTURBANCES],
    rng: Rng,
    pub(super) sent: u64,
    pub(super) lost: u64,
}

/// A copy of a datagram on its way: when it arrives, and what it says.
pub(super) type Copies = SmallVec<[(u64, Bytes); 2]>;

impl Network {
    /// A network for `size` processes with latencies up to `latency_us` microseconds.
    pub(super) fn new(size: usize, latency_us: (u64, u64), mut rng: Rng) -> Self {
        let links = (0..size * size)
            .map(|_| {
                let spread = latency_us.1.saturating_sub(latency_us.0) + 1;
                let latency = (latency_us.0 + rng.below(spread)) * 1_000;
                Link { latency, jitter: latency / 2 + rng.below(latency + 1), ..Link::default() }
            })
            .collect();
        Self { links, size, conditions: [Condition::default(); DISTURBANCES], rng, sent: 0, lost: 0 }
    }

    pub(super) fn cut(&mut self, from: usize, to: usize, until: u64) {
        if let Some(link) = self.links.get_mut(from * self.size + to) {
            link.cut_until = until;
        }
    }

    pub(super) fn is_cut(&self, now: u64, from: usize, to: usize) -> bool {
        from != to && self.links.get(from * self.size + to).is_some_and(|l| now < l.cut_until)
    }

    pub(super) fn disturb(&mut self, what: Disturbance, value: u64, until: u64) {
        self.conditions[what as usize] = Condition { value, until };
    }

    /// Ends all cuts and disturbances.
    pub(super) fn heal(&mut self) {
        self.conditions = [Condition::default(); DISTURBANCES];
        for link in &mut self.links {
            link.cut_until = 0;
            link.free_at = 0;
        }
    }

    /// Ends cuts only.
    pub(super) fn mend(&mut self) {
        self.links.iter_mut().for_each(|l| l.cut_until = 0);
    }

    /// What becomes of a datagram.
    pub(super) fn carry(&mut self, now: u64, from: usize, to: usize, payload: &Bytes) -> Copies {
        let value = |c: [Condition; DISTURBANCES], what: Disturbance| c[what as usize].at(now);
        let c = self.conditions;
        let mut copies = Copies::new();
        self.sent += 1;
        let at = from * self.size + to;
        let Some(link) = self.links.get_mut(at) else { return copies };
        if now < link.cut_until || self.rng.chance(value(c, Disturbance::Loss)) {
            self.lost += 1;
            return copies;
        }
        let mut start = now;
        let rate = value(c, Disturbance::Bandwidth);
        if let Some(takes) = (payload.len() as u64 * 1_000_000).checked_div(rate) {
            start = now.max(link.free_at);
            if start - now > LINK_QUEUE {
                self.lost += 1;
                return copies;
            }
            start += takes;
            link.free_at = start;
        }
        let duplicated = self.rng.chance(value(c, Disturbance::Duplicate));
        for _ in 0..=u8::from(duplicated) {
            let mut delay = link.latency + self.rng.below(link.jitter + 1);
            delay += self.rng.below(value(c, Disturbance::Delay) * 1_000 + 1);
            if self.rng.chance(value(c, Disturbance::Reorder)) {
                delay += self.rng.below(20_000_000);
            }
            let copy = if self.rng.chance(value(c, Disturbance::Corrupt)) {
                corrupt(payload, &mut self.rng)
            } else {
                payload.clone()
            };
            copies.push((start + delay, copy));
        }
        copies
    }
}

/// The datagram with a few bits flipped, cut short, or with something appended.
pub(super) fn corrupt(payload: &Bytes, rng: &mut Rng) -> Bytes {
    let mut bytes = payload.to_vec();
    let len = bytes.len() as u64;
    match rng.below(4) {
        0 => bytes.truncate(usize::try_from(rng.below(len + 1)).unwrap_or(0)),
        1 => bytes.extend((0..rng.below(40)).map(|_| (rng.next_u64() & 0xff) as u8)),
        _ => {
            for _ in 0..=rng.below(4) {
                if let Some(b) = bytes.get_mut(usize::try_from(rng.below(len)).unwrap_or(0)) {
                    *b ^= 1 << rng.below(8);
                }
            }
        }
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net() -> Network {
        Network::new(3, (100, 500), Rng::new(1))
    }

    fn arrivals(net: &mut Network, now: u64, count: usize) -> Vec<u64> {
        let payload = Bytes::from_static(&[0; 1000]);
        (0..count).flat_map(|_| net.carry(now, 0, 1, &payload).into_iter().map(|(at, _)| at)).collect()
    }

    #[test]
    fn undisturbed_everything_arrives_once_and_soon() {
        let mut net = net();
        let at = arrivals(&mut net, 1_000, 1_000);
        assert_eq!(at.len(), 1_000);
        assert!(at.iter().all(|a| (101_000..2_001_000).contains(a)));
    }

    #[test]
    fn a_cut_is_one_way_and_ends() {
        let mut net = net();
        net.cut(0, 1, 500);
        assert!(net.is_cut(499, 0, 1) && !net.is_cut(499, 1, 0) && !net.is_cut(500, 0, 1));
        assert_eq!(arrivals(&mut net, 400, 10).len(), 0);
        assert_eq!(arrivals(&mut net, 500, 10).len(), 10);
        net.cut(0, 1, u64::MAX);
        net.heal();
        assert_eq!(arrivals(&mut net, 600, 10).len(), 10);
    }

    #[test]
    fn disturbances_do_what_they_say() {
        let mut net = net();
        net.disturb(Disturbance::Loss, 500, 1_000);
        assert!((300..700).contains(&arrivals(&mut net, 0, 1_000).len()));
        net.disturb(Disturbance::Loss, 0, 0);
        net.disturb(Disturbance::Duplicate, 500, 1_000);
        assert!((1_300..1_700).contains(&arrivals(&mut net, 0, 1_000).len()));
        net.heal();
        net.disturb(Disturbance::Bandwidth, 1_000, u64::MAX);
        let at = arrivals(&mut net, 0, 100);
        assert!(*at.last().unwrap() > 90_000_000, "100 kB at 1000 kB/s take 100 ms");
        assert!(arrivals(&mut net, 0, 1_000).len() < 200, "a full queue drops");
    }
}
