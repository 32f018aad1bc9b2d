//! What an endpoint allows, and how it behaves. All replicas have the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of an endpoint. The defaults suit a server on Ethernet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// Segments are up to this many bytes long, and cut into packets behind the machine (GSO), at most 65,000; 0: one packet each.
    pub super_segment_bytes: u16,
    /// Bytes that a connection takes from the application before they are acknowledged.
    pub send_bytes: u32,
    /// Bytes that a connection takes from its peer before the application reads them: the largest window that it announces.
    pub receive_bytes: u32,
    /// Bytes that all connections may hold together. At half of it, windows stop to open beyond 64 KiB; at all of it they stay closed.
    pub total_bytes: u64,
    /// Wait for a full packet, or for everything before to be acknowledged, before sending a small one (Nagle, RFC 9293,
    /// section 3.7.4). Off: a server writes whole answers.
    pub nagle: bool,
    /// How long an acknowledgement may wait for company (RFC 9293, section 3.8.6.3: below 500 ms).
    pub delayed_ack: Duration,
    /// Ask a silent peer whether it is still there (RFC 9293, section 3.8.4).
    pub keep_alive: Option<KeepAlive>,
    /// How long data may stay unacknowledged before the connection is given up (RFC 9293, section 3.8.3: at least 100 s).
    pub give_up: Duration,
    /// The same for the opening.
    pub give_up_opening: Duration,
    /// How long a connection is remembered after its end (twice the maximum segment lifetime), and how long one that is closed on our
    /// side only waits for the peer.
    pub linger: Duration,
    /// Connections, without those that are being opened or are only remembered.
    pub connections: u32,
    /// Connections that clients are opening. Beyond that, they are answered without being remembered (SYN cookies).
    pub opening: u32,
    /// Connections that are remembered after their end. Beyond that, the oldest are forgotten.
    pub remembered: u32,
}

/// When to ask, how often, and how many unanswered times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection is given up.
    pub probes: u8,
}

impl Default for KeepAlive {
    /// For clients that come and go: one that has vanished is given up after less than eight minutes.
    fn default() -> Self {
        Self { idle: Duration::from_secs(300), interval: Duration::from_secs(30), probes: 5 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mtu: 1500,
            super_segment_bytes: 65_000,
            send_bytes: 4 << 20,
            receive_bytes: 4 << 20,
            total_bytes: 1 << 30,
            nagle: false,
            delayed_ack: Duration::from_millis(40),
            keep_alive: None,
            give_up: Duration::from_secs(15 * 60),
            give_up_opening: Duration::from_secs(3 * 60),
            linger: Duration::from_secs(60),
            connections: 200_000,
            opening: 8_192,
            remembered: 65_536,
        }
    }
}

impl Config {
    /// The segment size to announce to a peer with an IPv6 or IPv4 address: what an IP packet carries besides 20 bytes of TCP
    /// header (RFC 9293, section 3.7.1).
    #[must_use]
    pub fn mss(&self, ipv6: bool) -> u16 {
        self.mtu.saturating_sub(if ipv6 { 60 } else { 40 }).max(MIN_MSS)
    }
}

/// Segments are not made smaller than this, whatever the peer asks for.
pub const MIN_MSS: u16 = 128;
