//! [`FunctionSeal`]: who vouches for a function ([`Said`]).
//!
//! ```text
//! seal        = version, chain, zone, signature
//! ```
//! What is signed is the zone and all that the function says, with an empty seal: whatever a function comes to say is signed, too. Bounds:
//! [`FUNCTION_BYTES`].

use super::{
    chain::{CHAIN_BYTES, Chain},
    key::{Purpose, SecretKey, Signature},
    refusal::Refusal,
    wire::{Reader, VERSION, canonical, put},
};
use crate::zones::{
    function::{Said, TEXT_MAX},
    kind::{ANNOUNCEMENT, EVENT, Kind},
    name::ZoneName,
};

/// Bytes of a function with all its certificates.
pub const FUNCTION_BYTES: usize = CHAIN_BYTES + TEXT_MAX + 1024;
/// Bytes of a seal.
const SEAL_BYTES: usize = CHAIN_BYTES + 512;

/// Who has signed a function, and for which zone: an authority of it or of a zone around it, or a client of theirs that may install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSeal {
    zone: ZoneName,
    signer: Chain,
    signature: Signature,
}

/// What is signed.
pub(super) fn signed(zone: &ZoneName, said: &Said) -> Vec<u8> {
    let said = Said { seal: Vec::new(), ..said.clone() };
    put(put(Vec::with_capacity(128 + said.text.len()), &zone.as_str()), &said)
}

/// Whether a function has a name of its kind. One takes the place of another one of its name, and who may announce something must not take away
/// what only others may install.
pub(super) fn named(said: &Said) -> Result<(), Refusal> {
    let right = said.kind.prefix().is_some_and(|prefix| said.name.starts_with(prefix));
    let others = [EVENT, ANNOUNCEMENT].iter().any(|prefix| said.name.starts_with(prefix));
    if right || (said.kind == Kind::Aggregation && !others) {
        return Ok(());
    }
    Err(Refusal::OtherKind(said.name.clone()))
}

impl FunctionSeal {
    pub(super) fn sign(zone: &ZoneName, said: &Said, key: &SecretKey, signer: Chain) -> Self {
        let signature = key.sign(Purpose::Function, &signed(zone, said));
        Self { zone: zone.clone(), signer, signature }
    }

    /// For which zone, and those inside.
    #[must_use]
    pub const fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// Who has signed it; empty for an anchor.
    #[must_use]
    pub const fn signer(&self) -> &Chain {
        &self.signer
    }

    pub(super) const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let out = self.signer.append(put(Vec::new(), &VERSION));
        put(put(out, &self.zone.as_str()), &self.signature)
    }

    /// The seal that these bytes are. No signature is looked at.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Long`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::versioned(bytes, SEAL_BYTES)?;
        let signer = Chain::read(&mut reader)?;
        let zone: &str = reader.take()?;
        let zone = zone.parse().map_err(|_| Refusal::Malformed)?;
        canonical(Self { zone, signer, signature: reader.take()? }, bytes, Self::encode)
    }
}
