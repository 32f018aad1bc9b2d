//! [`EventSeal`]: which agent says that a standing query has fired there.
//!
//! It has the agent's chain with it: whoever has asked may be in another part of the tree, and know nobody who has seen it. What is signed is the
//! name of the query, which no other one has, which of its events this is, so that none counts twice or elsewhere, and all that it tells. Where many
//! fire at once most are only counted on the way; those have no seal any more, as it would be twenty times as large as the number.
//!
//! Bounds: [`CHAIN_BYTES`](super::CHAIN_BYTES).

use serde::{Deserialize, Serialize};

use super::{
    chain::{CHAIN_BYTES, Chain},
    key::{Purpose, SecretKey, Signature},
    refusal::Refusal,
    wire::put,
};
use crate::zones::event::Fired;

/// Who says that a standing query has fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSeal {
    chain: Vec<u8>,
    signature: Signature,
}

/// What is signed.
fn signed(query: &str, fired: &Fired) -> Vec<u8> {
    put(Vec::with_capacity(256), &(query, fired.id, fired.rows, fired.lost, &fired.told))
}

impl EventSeal {
    /// Seals an event with what it tells.
    pub(super) fn sign(query: &str, fired: &Fired, key: &SecretKey, chain: &Chain) -> Self {
        Self { chain: chain.encode(), signature: key.sign(Purpose::Event, &signed(query, fired)) }
    }

    /// What was signed, if this is the seal of such an event; by whom, as they say, and the signature.
    pub(super) fn read(&self, query: &str, fired: &Fired) -> Result<(Vec<u8>, Chain, &Signature), Refusal> {
        Ok((signed(query, fired), Chain::decode(&self.chain)?, &self.signature))
    }

    /// About its bytes in a message.
    pub(crate) fn bytes(&self) -> usize {
        67 + self.chain.len()
    }

    /// Whether it may be one.
    pub(crate) fn is_sound(&self) -> bool {
        self.chain.len() <= CHAIN_BYTES
    }
}
