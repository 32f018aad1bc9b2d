//! The processes that have introduced themselves.

use super::derive::{aead, derive};
use crate::{
    guard::Window,
    id::{GroupTag, MemberId},
    time::Time,
};
use aws_lc_rs::aead::LessSafeKey;
use std::{collections::BTreeMap, net::SocketAddr};
use x25519_dalek::{PublicKey, StaticSecret};

/// So many are remembered; then the one that was not heard for the longest is forgotten. Each has proved that it belongs
/// to the group.
const MAX_PEERS: usize = 1024;

/// A process that has proved who it is.
pub(super) struct Peer {
    pub(super) id: MemberId,
    pub(super) public: [u8; 32],
    pub(super) certificate: Vec<u8>,
    /// It has sealed something with the key that this process has now: so it knows it.
    pub(super) knows_me: bool,
    pub(super) heard_at: Time,
    pub(super) channel: Channel,
}

/// What two processes seal for each other.
pub(super) struct Channel {
    pub(super) sends: LessSafeKey,
    pub(super) receives: LessSafeKey,
    pub(super) sent: u64,
    pub(super) window: Window,
}

impl Channel {
    /// The channel between two key pairs. None: the other's key is none that anybody can have.
    pub(super) fn new(
        group: GroupTag,
        secret: &StaticSecret,
        me: &[u8; 32],
        other: &[u8; 32],
        pepper: &[u8],
    ) -> Option<Self> {
        let shared = agree(secret, other, pepper)?;
        let salt = group.0.to_le_bytes();
        let key = |from: &[u8], to: &[u8]| aead(&derive(&salt, &shared, &[b"control", from, to]));
        Some(Self { sends: key(me, other), receives: key(other, me), sent: 0, window: Window::new() })
    }
}

/// What two key pairs have in common.
pub(super) fn agree(secret: &StaticSecret, other: &[u8; 32], pepper: &[u8]) -> Option<Vec<u8>> {
    let shared = secret.diffie_hellman(&PublicKey::from(*other));
    shared.was_contributory().then(|| [shared.as_bytes(), pepper].concat())
}

/// All of them, by address.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<SocketAddr, Peer>);

impl Peers {
    pub(super) fn get(&self, addr: SocketAddr) -> Option<&Peer> {
        self.0.get(&addr)
    }

    pub(super) fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Peer> {
        self.0.get_mut(&addr)
    }

    pub(super) fn insert(&mut self, peer: Peer) {
        if self.0.len() >= MAX_PEERS
            && !self.0.contains_key(&peer.id.addr)
            && let Some(oldest) = self.0.values().min_by_key(|p| p.heard_at).map(|p| p.id.addr)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(peer.id.addr, peer);
    }

    /// This process has a new key: all channels are new. Peers whose keys do not fit it are forgotten.
    pub(super) fn renew(&mut self, mut channel: impl FnMut(&[u8; 32]) -> Option<Channel>) {
        self.0.retain(|_, peer| {
            peer.knows_me = false;
            channel(&peer.public).map(|c| peer.channel = c).is_some()
        });
    }
}
