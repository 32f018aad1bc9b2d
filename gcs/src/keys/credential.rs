//! How a process proves that it belongs to the group.

use super::certificates::{MAX_CERTIFICATE, is_for};
use crate::guard::Refusal;
use aws_lc_rs::{hmac, signature::Ed25519KeyPair};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::{sync::Arc, time::Duration};
use webpki::{EndEntityCert, KeyUsage, aws_lc_rs::ED25519};

/// What a process has to prove itself with.
pub(super) enum Credential {
    Shared { proof: Box<hmac::Key>, key: Arc<[u8]> },
    Certified(Arc<Identity>),
}

/// A certificate, its key, and whose signatures count.
pub(super) struct Identity {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: Ed25519KeyPair,
    pub(super) anchors: Vec<TrustAnchor<'static>>,
}

impl Credential {
    /// A proof of this claim, and the certificate that goes with it.
    pub(super) fn prove(&self, claim: &[u8]) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Shared { proof, .. } => (hmac::sign(proof, claim).as_ref().to_vec(), Vec::new()),
            Self::Certified(identity) => {
                (identity.key.sign(claim).as_ref().to_vec(), identity.certificate.to_vec())
            }
        }
    }

    /// Whether somebody proves this claim. `wall` is the time of day.
    pub(super) fn verify(
        &self,
        claim: &[u8],
        proof: &[u8],
        certificate: &[u8],
        wall: Duration,
    ) -> Result<(), Refusal> {
        match self {
            Self::Shared { proof: key, .. } => hmac::verify(key, claim, proof).map_err(|_| Refusal::OtherKey),
            Self::Certified(_) if certificate.is_empty() => Err(Refusal::OtherKey),
            Self::Certified(identity) => {
                let accept = || {
                    let der = CertificateDer::from(certificate);
                    let end = EndEntityCert::try_from(&der)?;
                    end.verify_for_usage(
                        webpki::ALL_VERIFICATION_ALGS,
                        &identity.anchors,
                        &[],
                        UnixTime::since_unix_epoch(wall),
                        KeyUsage::client_auth(),
                        None,
                        None,
                    )?;
                    end.verify_signature(ED25519, claim, proof)
                };
                if certificate.len() > MAX_CERTIFICATE {
                    return Err(Refusal::Certificate("it is too long".to_owned()));
                }
                accept().map_err(|e: webpki::Error| Refusal::Certificate(describe(&e)))
            }
        }
    }

    /// Whether who has shown this certificate may have this name.
    pub(super) fn allows(&self, certificate: &[u8], name: &str) -> bool {
        match self {
            Self::Shared { .. } => true,
            Self::Certified(_) => is_for(&CertificateDer::from(certificate), name),
        }
    }

    /// What goes into every key that two processes agree on.
    pub(super) fn pepper(&self) -> &[u8] {
        match self {
            Self::Shared { key, .. } => key,
            Self::Certified(_) => &[],
        }
    }
}

/// What people want to know first.
pub(super) fn describe(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "it has expired".to_owned(),
        webpki::Error::CertNotValidYet { .. } => "it is not valid yet; do the clocks agree?".to_owned(),
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "another authority has signed it".to_owned()
        }
        other => other.to_string(),
    }
}
