//! [`Identity`]: somebody who signs, and what they may.

use super::{
    chain::{Certificate, Chain},
    function::{self, FunctionSeal},
    grant::{Anchor, Grant},
    key::SecretKey,
    refusal::Refusal,
    revocation::Revocation,
};
use crate::zones::{
    function::{Function, Said},
    name::ZoneName,
};

/// A secret key with the certificates that say whose it is. It signs nothing that a [`Verifier`](super::Verifier) would refuse for what
/// it is; times are looked at by whoever verifies.
#[derive(Debug)]
pub struct Identity {
    key: SecretKey,
    chain: Chain,
    grant: Grant,
}

impl Identity {
    /// An authority that others are told to trust.
    #[must_use]
    pub fn anchor(key: SecretKey, zone: ZoneName) -> Self {
        let grant = Grant::anchor(Anchor { zone, key: key.public() });
        Self { key, chain: Chain::default(), grant }
    }

    /// Who is at the end of this chain.
    ///
    /// # Errors
    /// [`Refusal::NoCertificate`]; [`Refusal::OtherKey`].
    pub fn new(key: SecretKey, chain: Chain) -> Result<Self, Refusal> {
        let grant = chain.subject().ok_or(Refusal::NoCertificate)?.grant().clone();
        if grant.key != key.public() {
            return Err(Refusal::OtherKey { what: grant.to_string() });
        }
        Ok(Self { key, chain, grant })
    }

    /// What signs.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// What others have to see in order to believe it.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Who it is.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Says what a key may do.
    ///
    /// # Errors
    /// [`Refusal::NoAuthority`], [`Refusal::Outside`], [`Refusal::Long`], [`Refusal::Name`].
    pub fn issue(&self, grant: Grant) -> Result<Chain, Refusal> {
        grant.check()?;
        self.grant.may_issue(&grant)?;
        let signature = self.key.sign(grant.purpose(), &grant.encode());
        self.chain.with(Certificate::new(grant, signature))
    }

    /// Says that a zone and all inside are to evaluate a function, or no longer.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`], [`Refusal::Function`], [`Refusal::OtherKind`]; [`Refusal::Outlives`]: nothing counts longer than who has signed it.
    pub fn sign_function(&self, zone: &ZoneName, said: Said) -> Result<Said, Refusal> {
        self.grant.may_sign_function(zone, &said.kind)?;
        function::named(&said)?;
        let wrong = |why| Refusal::Function { name: said.name.clone(), why: Box::new(why) };
        Function::new(said.clone()).map_err(wrong)?;
        self.chain.outlives(said.expires_s, || format!("function {}", said.name))?;
        let seal = FunctionSeal::sign(zone, &said, &self.key, self.chain.clone()).encode();
        Ok(Said { seal, ..said })
    }

    /// Calls a certificate back from `now_s` on, in seconds since 1970, for as long as it would be valid.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`]: it is not in the zone of this authority. [`Refusal::Expired`]: there is nothing to call back, or this
    /// authority ends before it, so that others would forget what it says too soon.
    pub fn revoke(&self, certificate: &Certificate, now_s: u64) -> Result<Revocation, Refusal> {
        let grant = certificate.grant();
        self.grant.may_revoke(&grant.zone)?;
        grant.validity.check(now_s.max(grant.validity.issued_s()), 0, || grant.to_string())?;
        let until = grant.validity.expires_s();
        for own in self.chain.certificates() {
            own.grant().validity.check(until - 1, 0, || own.grant().to_string())?;
        }
        Ok(Revocation::sign(certificate, now_s, &self.key, self.chain.clone()))
    }
}
