//! [`EventSeal`]: which agent says that a standing query has fired there.
//!
//! It has the agent's chain with it: whoever has asked may be in another part of the tree, and know nobody who has seen it. What is signed is the
//! name of the query, which no other one has, and which of its events this is, so that none counts twice or elsewhere. On the way many that fire
//! at once are only counted; then the digest of what was told stays, and the signature is the same.
//!
//! Bounds: [`CHAIN_BYTES`](super::CHAIN_BYTES).

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{
    chain::{CHAIN_BYTES, Chain},
    key::{Purpose, SecretKey, Signature},
    refusal::Refusal,
    wire::put,
};
use crate::zones::event::{Fired, Told};

/// Bytes of a digest of what is told: only who has signed it could look for two that are alike.
const DIGEST: usize = 16;

/// Who says that a standing query has fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSeal {
    chain: Vec<u8>,
    /// Of what is not told any more.
    digest: Option<[u8; DIGEST]>,
    signature: Signature,
}

fn digest_of(told: &Told) -> [u8; DIGEST] {
    let mut first = [0; DIGEST];
    first.copy_from_slice(&digest(&SHA256, &put(Vec::new(), told)).as_ref()[..DIGEST]);
    first
}

/// What is signed.
fn signed(query: &str, fired: &Fired, digest: &[u8; DIGEST]) -> Vec<u8> {
    put(Vec::with_capacity(96), &(query, fired.id, fired.rows, fired.lost, digest))
}

impl EventSeal {
    /// Seals an event with what it tells.
    pub(super) fn sign(query: &str, fired: &Fired, key: &SecretKey, chain: &Chain) -> Option<Self> {
        let digest = digest_of(fired.told.as_ref()?);
        let signature = key.sign(Purpose::Event, &signed(query, fired, &digest));
        Some(Self { chain: chain.encode(), digest: None, signature })
    }

    /// What was signed, if this is the seal of such an event; by whom, as they say, and the signature.
    pub(super) fn read(&self, query: &str, fired: &Fired) -> Result<(Vec<u8>, Chain, &Signature), Refusal> {
        let digest = match (&fired.told, &self.digest) {
            (Some(told), None) => digest_of(told),
            (None, Some(digest)) => *digest,
            _ => return Err(Refusal::Malformed),
        };
        Ok((signed(query, fired, &digest), Chain::decode(&self.chain)?, &self.signature))
    }

    /// The event is only counted from now on.
    pub(crate) fn untell(&mut self, told: &Told) {
        self.digest = Some(digest_of(told));
    }

    /// About its bytes in a message.
    pub(crate) fn bytes(&self) -> usize {
        68 + self.chain.len() + self.digest.map_or(0, |digest| digest.len())
    }

    /// Whether it may be one.
    pub(crate) fn is_sound(&self) -> bool {
        self.chain.len() <= CHAIN_BYTES
    }
}
