//! [`Revocation`]: a certificate that counts no longer, and the bounded set of them that a verifier remembers.
//!
//! ```text
//! revocation  = version, chain, zone, id, issued_s, for_s, signature
//! ```
//! It names the zone of the certificate, and its issuer has to be an authority there. It is forgotten when the certificate would have expired.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    chain::{CHAIN_BYTES, Certificate, Chain, Id},
    key::{Purpose, SecretKey, Signature},
    refusal::Refusal,
    validity::Validity,
    wire::{Reader, VERSION, canonical, put},
};
use crate::zones::name::ZoneName;

/// Revocations that are remembered.
pub const REVOCATIONS_MAX: usize = 1024;
/// Bytes of a revocation with all its certificates.
pub const REVOCATION_BYTES: usize = CHAIN_BYTES + 512;

/// That a certificate counts no longer, and none that was issued with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    zone: ZoneName,
    id: Id,
    validity: Validity,
    signer: Chain,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
struct WireRevocation<'a> {
    zone: &'a str,
    id: [u8; 32],
    issued_s: u64,
    for_s: u64,
}

impl Revocation {
    pub(super) fn sign(certificate: &Certificate, now_s: u64, key: &SecretKey, signer: Chain) -> Self {
        let grant = certificate.grant();
        let validity = Validity::new(now_s, grant.validity.expires_s().saturating_sub(now_s));
        let mut revocation = Self {
            zone: grant.zone.clone(),
            id: certificate.id(),
            validity,
            signer,
            signature: Signature::from_bytes([0; 64]),
        };
        revocation.signature = key.sign(Purpose::Revocation, &revocation.said());
        revocation
    }

    /// The zone of the certificate.
    #[must_use]
    pub const fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// Which certificate.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// From when on, and until it is forgotten.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Who says so; empty for an anchor.
    #[must_use]
    pub const fn signer(&self) -> &Chain {
        &self.signer
    }

    fn said(&self) -> Vec<u8> {
        let (issued_s, for_s) = (self.validity.issued_s(), self.validity.seconds());
        put(Vec::new(), &WireRevocation { zone: self.zone.as_str(), id: self.id.0, issued_s, for_s })
    }

    pub(super) fn signed(&self) -> (Vec<u8>, &Signature) {
        (self.said(), &self.signature)
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signer.append(put(Vec::new(), &VERSION));
        out.extend_from_slice(&self.said());
        put(out, &self.signature)
    }

    /// The revocation that these bytes are. No signature is looked at.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Long`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::versioned(bytes, REVOCATION_BYTES)?;
        let signer = Chain::read(&mut reader)?;
        let wire: WireRevocation<'_> = reader.take()?;
        let zone = wire.zone.parse().map_err(|_| Refusal::Malformed)?;
        let validity = Validity::read(wire.issued_s, wire.for_s).ok_or(Refusal::Malformed)?;
        let revocation = Self { zone, id: Id(wire.id), validity, signer, signature: reader.take()? };
        canonical(revocation, bytes, Self::encode)
    }
}

/// What is remembered of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    expires_s: u64,
    /// How many certificates are between its issuer and an anchor.
    links: usize,
}

/// Those that are remembered. When there are too many, one by an authority with a shorter chain takes the place of one with a longer one: who
/// was given little cannot crowd out those who have given it. By id and zone: an authority elsewhere that names the same id takes nothing away.
#[derive(Debug, Default)]
pub(super) struct Revoked(BTreeMap<(Id, ZoneName), Entry>);

impl Revoked {
    /// Remembers one that was verified. Whether it is new.
    pub(super) fn insert(
        &mut self,
        now_s: u64,
        skew_s: u64,
        revocation: &Revocation,
    ) -> Result<bool, Refusal> {
        let (links, expires_s) = (revocation.signer.certificates().len(), revocation.validity.expires_s());
        let key = (revocation.id, revocation.zone.clone());
        if let Some(entry) = self.0.get_mut(&key) {
            let before = *entry;
            entry.expires_s = expires_s.max(entry.expires_s);
            entry.links = links.min(entry.links);
            return Ok(*entry != before);
        }
        if self.0.len() >= REVOCATIONS_MAX {
            self.0.retain(|_, entry| entry.expires_s.saturating_add(skew_s) > now_s);
        }
        if self.0.len() >= REVOCATIONS_MAX {
            let weakest = self.0.iter().max_by_key(|(_, entry)| entry.links);
            let weakest = weakest.filter(|(_, entry)| entry.links > links).map(|(key, _)| key.clone());
            self.0.remove(&weakest.ok_or(Refusal::Full("revocations"))?);
        }
        self.0.insert(key, Entry { expires_s, links });
        Ok(true)
    }

    /// Whether this certificate counts no longer.
    pub(super) fn has(&self, certificate: &Certificate) -> bool {
        !self.0.is_empty() && self.0.contains_key(&(certificate.id(), certificate.grant().zone.clone()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_elsewhere_does_not_take_a_revocation_back() {
        let (mut revoked, right) = (Revoked::default(), revocation(7, 1, 500));
        let key = SecretKey::from_seed(&[1; 32]).unwrap();
        let grant = crate::trust::Grant {
            kind: crate::trust::Kind::Agent,
            zone: "/eu/h1".parse().unwrap(),
            key: key.public(),
            validity: Validity::new(0, 1500),
        };
        let certificate = Certificate::new(grant, Signature::from_bytes([0; 64]));
        let of = |zone: &str| {
            let zone = zone.parse().unwrap();
            Revocation { zone, id: certificate.id(), ..right.clone() }
        };
        assert_eq!(revoked.insert(1000, 0, &of("/us/h1")), Ok(true));
        assert!(!revoked.has(&certificate), "it is in /eu");
        assert_eq!(revoked.insert(1000, 0, &of("/eu/h1")), Ok(true));
        assert_eq!(revoked.insert(1000, 0, &of("/us/h1")), Ok(false));
        assert!(revoked.has(&certificate));
    }

    fn revocation(n: u16, links: usize, for_s: u64) -> Revocation {
        let (key, zone) = (SecretKey::from_seed(&[1; 32]).unwrap(), ZoneName::root());
        let grant = crate::trust::Grant {
            kind: crate::trust::Kind::Zone,
            zone: zone.clone(),
            key: key.public(),
            validity: Validity::new(0, 1),
        };
        let certificate = Certificate::new(grant, Signature::from_bytes([0; 64]));
        let chain = (0..links).fold(Chain::default(), |chain, _| chain.with(certificate.clone()).unwrap());
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let signature = Signature::from_bytes([0; 64]);
        Revocation { zone, id: Id(id), validity: Validity::new(1000, for_s), signer: chain, signature }
    }

    #[test]
    fn who_was_given_little_does_not_crowd_out_others() {
        let mut revoked = Revoked::default();
        for n in 0..u16::try_from(REVOCATIONS_MAX).unwrap() {
            assert_eq!(revoked.insert(1000, 0, &revocation(n, 2, 500)), Ok(true));
        }
        assert_eq!(revoked.insert(1000, 0, &revocation(7, 2, 500)), Ok(false), "it is known");
        let full = Err(Refusal::Full("revocations"));
        assert_eq!(revoked.insert(1000, 0, &revocation(5000, 2, 500)), full);
        assert_eq!(revoked.insert(1000, 0, &revocation(5000, 3, 500)), full);
        assert_eq!(revoked.insert(1000, 0, &revocation(5000, 1, 500)), Ok(true));
        assert_eq!(revoked.len(), REVOCATIONS_MAX);
        assert_eq!(revoked.insert(1499, 0, &revocation(5001, 3, 900)), full, "they still matter");
        assert_eq!(revoked.insert(1500, 60, &revocation(5001, 3, 900)), full, "by some clocks");
        assert_eq!(revoked.insert(1500, 0, &revocation(5001, 3, 900)), Ok(true));
        assert_eq!(revoked.len(), 1);
    }
}
