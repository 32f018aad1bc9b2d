//! Keys for groups that are only measured.

use gcs::{
    guard::Keys,
    keys::{Certificates, PreShared},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::Arc;

/// The key of the authority of every group that signs: everybody can read it here.
const AUTHORITY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIDmLMRDMEsm49vNiMMIPV1o2umugiRDgiM8/s9mIwzHJ
-----END PRIVATE KEY-----";

/// The keys of a member whose group encrypts, or also signs.
pub(super) fn keys_for(stack: &str, name: &str) -> anyhow::Result<Option<Arc<dyn Keys>>> {
    if !stack.contains("encrypted") {
        return Ok(None);
    }
    if !stack.contains("signed") {
        return Ok(Some(Arc::new(PreShared::new(b"a key that everybody can read here")?)));
    }
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::from_pem(AUTHORITY)?)?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &authority)?;
    let (certificate, key, authority) = (certificate.pem(), key.serialize_pem(), authority.pem());
    let keys = Certificates::from_pem(certificate.as_bytes(), key.as_bytes(), authority.as_bytes())?;
    Ok(Some(Arc::new(keys)))
}
