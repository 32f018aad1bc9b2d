//! [`RequestSeal`]: who asks for something, and with what right, as one header of a request.
//!
//! ```text
//! Gcs-Signed: hexadecimal of version, second, number, signature, chain
//! ```
//! Bounds: [`REQUEST_SEAL_BYTES`].

use super::{
    chain::{CHAIN_BYTES, Chain},
    identity::Identity,
    key::Signature,
    refusal::Refusal,
    statement::Request,
    wire::{Reader, VERSION, canonical, put},
};
use crate::zones::name::ZoneName;

/// Bytes of a seal, half as many as it has digits.
pub const REQUEST_SEAL_BYTES: usize = CHAIN_BYTES + 128;

/// Who has signed a request, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSeal {
    at_s: u64,
    nonce: u64,
    signature: Signature,
    signer: Chain,
}

impl RequestSeal {
    /// Signs a request at this second since 1970. No other one of the same key may have the same number at that second.
    #[must_use]
    pub fn sign(
        by: &Identity,
        target: &ZoneName,
        (method, body): (&str, &[u8]),
        at_s: u64,
        nonce: u64,
    ) -> Self {
        let signature = Request { target, method, at_s, nonce, body }.sign(by.key());
        Self { at_s, nonce, signature, signer: by.chain().clone() }
    }

    /// What was signed, if this is the seal of such a request.
    pub(super) fn request<'a>(
        &self,
        target: &'a ZoneName,
        (method, body): (&'a str, &'a [u8]),
    ) -> Request<'a> {
        Request { target, method, at_s: self.at_s, nonce: self.nonce, body }
    }

    pub(super) const fn signer(&self) -> &Chain {
        &self.signer
    }

    pub(super) const fn signature(&self) -> &Signature {
        &self.signature
    }

    fn encode(&self) -> Vec<u8> {
        let out = put(put(put(vec![VERSION], &self.at_s), &self.nonce), &self.signature);
        self.signer.append(out)
    }

    /// As the header says it.
    #[must_use]
    pub fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let bytes = self.encode();
        bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // A string takes whatever comes.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// What a header says. No signature is looked at.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Long`].
    pub fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.len() > 2 * REQUEST_SEAL_BYTES || !text.len().is_multiple_of(2) {
            return Err(Refusal::Malformed);
        }
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks_exact(2).map(byte).collect();
        let bytes = bytes.ok_or(Refusal::Malformed)?;
        let mut reader = Reader::versioned(&bytes, REQUEST_SEAL_BYTES)?;
        let (at_s, nonce, signature) = (reader.take()?, reader.take()?, reader.take()?);
        canonical(Self { at_s, nonce, signature, signer: Chain::read(&mut reader)? }, &bytes, Self::encode)
    }
}
