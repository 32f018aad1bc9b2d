//! ARP for IPv4 over Ethernet (RFC 826).

use super::{counters::Dropped, mac::Mac};
use etherparse::{ArpEthIpv4Packet, ArpOperation, ArpPacketSlice};
use std::net::Ipv4Addr;

/// A question or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    /// An answer otherwise.
    pub(crate) request: bool,
    pub(crate) sender: Ipv4Addr,
    pub(crate) sender_mac: Mac,
    pub(crate) target: Ipv4Addr,
    /// Zero in a question, as a rule.
    pub(crate) target_mac: Mac,
}

impl Arp {
    /// Reads what follows an Ethernet header; padding may follow.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Dropped> {
        let packet = ArpPacketSlice::from_slice(bytes).map_err(|_| Dropped::BadArp)?.to_packet();
        let arp = packet.try_eth_ipv4().map_err(|_| Dropped::BadArp)?;
        let request = match arp.operation {
            ArpOperation::REQUEST => true,
            ArpOperation::REPLY => false,
            _ => return Err(Dropped::BadArp),
        };
        let read = Self {
            request,
            sender: arp.sender_ipv4_addr(),
            sender_mac: Mac(arp.sender_mac),
            target: arp.target_ipv4_addr(),
            target_mac: Mac(arp.target_mac),
        };
        let sender_possible = !read.sender.is_multicast() && !read.sender.is_broadcast();
        if sender_possible && read.sender_mac != Mac::ZERO && read.sender_mac != Mac::BROADCAST {
            Ok(read)
        } else {
            Err(Dropped::BadArp)
        }
    }

    pub(crate) fn write(&self) -> [u8; ArpEthIpv4Packet::LEN] {
        let operation = if self.request { ArpOperation::REQUEST } else { ArpOperation::REPLY };
        ArpEthIpv4Packet {
            operation,
            sender_mac: self.sender_mac.0,
            sender_ipv4: self.sender.octets(),
            target_mac: self.target_mac.0,
            target_ipv4: self.target.octets(),
        }
        .to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for request in [true, false] {
            let arp = Arp {
                request,
                sender: [192, 0, 2, 1].into(),
                sender_mac: Mac([2, 0, 0, 0, 0, 1]),
                target: [192, 0, 2, 2].into(),
                target_mac: Mac::ZERO,
            };
            let mut bytes = arp.write().to_vec();
            bytes.extend([0; 18]);
            assert_eq!(Arp::read(&bytes), Ok(arp), "padded");
            for short in 0..28 {
                assert_eq!(Arp::read(&bytes[..short]), Err(Dropped::BadArp), "{short} bytes");
            }
        }
    }

    #[test]
    fn senders_that_cannot_be() {
        let good = Arp {
            request: true,
            sender: [192, 0, 2, 1].into(),
            sender_mac: Mac([2, 0, 0, 0, 0, 1]),
            target: [192, 0, 2, 2].into(),
            target_mac: Mac::ZERO,
        };
        let bad = [
            Arp { sender: [224, 0, 0, 1].into(), ..good },
            Arp { sender: [255; 4].into(), ..good },
            Arp { sender_mac: Mac::ZERO, ..good },
            Arp { sender_mac: Mac::BROADCAST, ..good },
        ];
        for arp in bad {
            assert_eq!(Arp::read(&arp.write()), Err(Dropped::BadArp), "{arp:?}");
        }
        let mut other = good.write();
        other[7] = 9;
        assert_eq!(Arp::read(&other), Err(Dropped::BadArp), "an operation that is not one");
    }
}
