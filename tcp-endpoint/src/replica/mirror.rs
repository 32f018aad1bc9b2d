//! What a follower hears of clients where the addresses have a multicast MAC: when the leader is gone, it has what the leader may not have cast.

use std::{collections::VecDeque, time::Duration};

use gcs::time::Time;

use crate::link::Ingress;

/// What is older the client has sent again by now.
const LASTS: Duration = Duration::from_secs(1);
const BYTES: usize = 4 << 20;

/// The latest packets for the addresses, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    packets: VecDeque<(Time, Ingress)>,
    bytes: usize,
}

impl Mirror {
    pub(super) fn push(&mut self, now: Time, ingress: Ingress) {
        self.bytes += ingress.packet.len();
        self.packets.push_back((now, ingress));
        while self.bytes > BYTES || self.packets.front().is_some_and(|(at, _)| now.since(*at) > LASTS) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, ingress)) = self.packets.pop_front() {
            self.bytes -= ingress.packet.len();
        }
    }

    /// All of them, the oldest first; none is left.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Ingress> + use<> {
        std::mem::take(self).packets.into_iter().map(|(_, ingress)| ingress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Checksum, Meta};

    fn packet(len: usize, tag: u8) -> Ingress {
        let meta = Meta { segment: 0, checksum: Checksum::Good };
        Ingress { packet: vec![tag; len].into(), meta }
    }

    #[test]
    fn the_oldest_go_for_their_age_and_for_want_of_room() {
        let mut mirror = Mirror::default();
        mirror.push(Time::from_ms(1), packet(10, 1));
        mirror.push(Time::from_ms(900), packet(10, 2));
        mirror.push(Time::from_ms(1002), packet(10, 3));
        assert_eq!(mirror.packets.len(), 2);
        mirror.push(Time::from_ms(1002), packet(BYTES - 10, 4));
        assert_eq!((mirror.packets.len(), mirror.bytes), (2, BYTES));
        assert_eq!(mirror.take().map(|p| p.packet[0]).collect::<Vec<_>>(), [3, 4]);
        assert_eq!((mirror.take().count(), mirror.bytes), (0, 0));
    }
}
