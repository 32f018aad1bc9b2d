//! [`Chain`]: certificates from the first one below an anchor to the one that matters.
//!
//! ```text
//! chain       = version, count, count × (grant, signature)          postcard
//! grant       = 0 | 1 | 2 name may, zone, key, issued_s, for_s      0 zone, 1 agent, 2 client
//! ```
//! What is signed is a [`Purpose`](super::Purpose), the issuer's key and the grant. Bounds: [`LINKS_MAX`], [`CHAIN_BYTES`].

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use super::{
    grant::{Grant, WireGrant},
    key::{Purpose, Signature, short},
    refusal::Refusal,
    wire::{Reader, VERSION, canonical, put},
};
use crate::zones::name::DEPTH_MAX;

/// Certificates of a chain: a zone on each level, and who speaks.
pub const LINKS_MAX: usize = DEPTH_MAX;
/// Bytes of a chain.
pub const CHAIN_BYTES: usize = 8192;

/// Which certificate, function or revocation: the SHA-256 of what it is for, what it says and its signature. Shown as the first 16 of 64
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(super) [u8; 32]);

impl Id {
    pub(super) fn of(purpose: Purpose, said: &[u8], signature: &Signature) -> Self {
        let mut context = Context::new(&SHA256);
        // The lengths of the first and of the last are known, so that nothing else makes the same bytes.
        for part in [purpose.prefix(), said, signature.as_bytes()] {
            context.update(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(&self.0, f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(&self.0, f)
    }
}

/// A grant that somebody has signed. Whether that was its issuer, only a [`Verifier`](super::Verifier) knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    grant: Grant,
    signature: Signature,
    id: Id,
}

impl Certificate {
    pub(super) fn new(grant: Grant, signature: Signature) -> Self {
        let id = Id::of(grant.purpose(), &grant.encode(), &signature);
        Self { grant, signature, id }
    }

    /// What it says.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Which one it is.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    pub(super) const fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// Certificates, each issued by the one before, the first by an anchor. Empty for the anchor itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain(Vec<Certificate>);

impl Chain {
    /// The certificates, the one issued by the anchor first.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// The one whose key signs: the last. None for an anchor.
    #[must_use]
    pub fn subject(&self) -> Option<&Certificate> {
        self.0.last()
    }

    /// Refuses what would count longer than one of these certificates.
    pub(super) fn outlives(&self, expires_s: u64, what: impl FnOnce() -> String) -> Result<(), Refusal> {
        match self.0.iter().find(|link| link.grant.validity.expires_s() < expires_s) {
            Some(link) => Err(Refusal::Outlives { what: what(), by: link.grant.to_string() }),
            None => Ok(()),
        }
    }

    /// A longer chain.
    pub(super) fn with(&self, certificate: Certificate) -> Result<Self, Refusal> {
        let chain = Self(self.0.iter().cloned().chain([certificate]).collect());
        if chain.0.len() > LINKS_MAX || chain.encode().len() > CHAIN_BYTES {
            return Err(Refusal::Long);
        }
        Ok(chain)
    }

    /// About how many bytes it has.
    #[must_use]
    pub fn about_bytes(&self) -> usize {
        self.0.iter().map(|link| 112 + link.grant.zone.as_str().len()).sum::<usize>() + 2
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.append(put(Vec::with_capacity(128 * self.0.len() + 2), &VERSION))
    }

    /// Without the version, inside of other things.
    pub(super) fn append(&self, out: Vec<u8>) -> Vec<u8> {
        let out = put(out, &self.0.len());
        self.0.iter().fold(out, |mut out, certificate| {
            out.extend_from_slice(&certificate.grant.encode());
            put(out, &certificate.signature)
        })
    }

    /// The chain that these bytes are. No signature is looked at.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Long`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::versioned(bytes, CHAIN_BYTES)?;
        let chain = Self::read(&mut reader)?;
        canonical(chain, bytes, Self::encode)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let count: usize = reader.take()?;
        if count > LINKS_MAX {
            return Err(Refusal::Long);
        }
        let link = |_| {
            let grant: WireGrant<'_> = reader.take()?;
            Ok(Certificate::new(Grant::read(&grant)?, reader.take()?))
        };
        Ok(Self((0..count).map(link).collect::<Result<_, Refusal>>()?))
    }
}
