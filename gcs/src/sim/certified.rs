//! Keys of closed groups whose processes have certificates: always the same ones, for simulations and measurements.

use crate::{guard::Keys, keys::Certificates};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber};
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::sync::Arc;

/// What comes before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The keys of processes with these names (at most 255), whose certificates one authority has signed. Everybody can have
/// them: the private keys are no secret.
///
/// # Panics
/// If a name cannot be in a certificate.
#[must_use]
pub fn certified(names: impl IntoIterator<Item = String>) -> Vec<Arc<dyn Keys>> {
    let params = |names: Vec<String>, serial: u8| {
        let mut params = CertificateParams::new(names).expect("a name for a certificate");
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        params
    };
    let mut authority = params(Vec::new(), 1);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key_pair("the authority")).expect("an authority");
    let keys = names.into_iter().map(|name| {
        let key = key_pair(&name);
        let certificate = params(vec![name], 2).signed_by(&key, &authority).expect("a certificate");
        let (certificate, key, authority) = (certificate.pem(), key.serialize_pem(), authority.pem());
        let keys = Certificates::from_pem(certificate.as_bytes(), key.as_bytes(), authority.as_bytes());
        Arc::new(keys.expect("what was just made").repeatable()) as Arc<dyn Keys>
    });
    keys.collect()
}

/// The key pair that everybody can make who knows the name.
fn key_pair(name: &str) -> KeyPair {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let der = [&ED25519, digest.as_ref()].concat();
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(der)).expect("every 32 bytes are a key")
}
