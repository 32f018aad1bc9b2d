//! Signatures with the keys of certificates.

use super::{
    certificates::{MAX_CERTIFICATE, is_for},
    credential::{Identity, describe},
};
use crate::guard::{Digest, PublicKey, Refusal, Signature, Signer};
use aws_lc_rs::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
use bytes::Bytes;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::{fmt, time::Duration};
use webpki::{EndEntityCert, Error, KeyUsage};

/// What is signed begins with this: the same key also signs introductions.
const PURPOSE: &[u8; 16] = b"gcs frame digest";
/// What comes before an Ed25519 key in a certificate's description of its key (RFC 8410, section 4).
const ED25519_KEY: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The moment at which everything is valid is looked for so many times: it moves once for each certificate of a chain.
const MOMENTS: usize = 4;

impl Signer for Identity {
    fn certificate(&self) -> Bytes {
        Bytes::copy_from_slice(&self.certificate)
    }

    fn public_key(&self) -> PublicKey {
        let mut key = PublicKey([0; 32]);
        key.0.copy_from_slice(self.key.public_key().as_ref());
        key
    }

    fn sign(&self, digest: &Digest) -> Signature {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.key.sign(&purposeful(digest)).as_ref());
        signature
    }

    fn key_of(&self, certificate: &[u8], name: &str) -> Result<PublicKey, Refusal> {
        let refused = |e: Error| Refusal::Certificate(describe(&e));
        if certificate.len() > MAX_CERTIFICATE {
            return Err(Refusal::Certificate("it is too long".to_owned()));
        }
        let der = CertificateDer::from(certificate);
        let end = EndEntityCert::try_from(&der).map_err(refused)?;
        self.accept(&end).map_err(refused)?;
        if !is_for(&der, name) {
            return Err(Refusal::Name(name.to_owned()));
        }
        let description = end.subject_public_key_info();
        let key = description.strip_prefix(ED25519_KEY).and_then(|key| key.try_into().ok());
        key.map(PublicKey).ok_or_else(|| Refusal::Certificate("its key is no Ed25519 key".to_owned()))
    }

    fn is_signed(&self, by: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, by.0).verify(&purposeful(digest), signature).is_ok()
    }
}

impl Identity {
    /// Whether the authority has signed this certificate, for a moment at which both were valid.
    fn accept(&self, end: &EndEntityCert<'_>) -> Result<(), Error> {
        let mut moment = Duration::ZERO;
        for _ in 0..MOMENTS {
            let (at, usage) = (UnixTime::since_unix_epoch(moment), KeyUsage::client_auth());
            let algorithms = webpki::ALL_VERIFICATION_ALGS;
            match end.verify_for_usage(algorithms, &self.anchors, &[], at, usage, None, None) {
                Err(Error::CertNotValidYet { not_before, .. }) if not_before > at => {
                    moment = Duration::from_secs(not_before.as_secs());
                }
                other => return other.map(|_| ()),
            }
        }
        Err(Error::MaximumPathBuildCallsExceeded)
    }
}

fn purposeful(digest: &Digest) -> [u8; 48] {
    let mut message = [0; 48];
    message[..16].copy_from_slice(PURPOSE);
    message[16..].copy_from_slice(digest);
    message
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}
