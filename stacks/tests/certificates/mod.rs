//! Keys of a closed group whose processes have certificates.

use gcs::{guard::Keys, keys::Certificates};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::Arc;

/// The keys of processes with these names, whose certificates one authority has signed.
pub(crate) fn certified(names: impl IntoIterator<Item = String>) -> Vec<Arc<dyn Keys>> {
    let key_pair = || KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key pair");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key_pair()).expect("an authority");
    let keys = names.into_iter().map(|name| {
        let (params, key) = (CertificateParams::new(vec![name]).expect("a name"), key_pair());
        let (certificate, key, authority) = (
            params.signed_by(&key, &authority).expect("a certificate").pem(),
            key.serialize_pem(),
            authority.pem(),
        );
        let keys = Certificates::from_pem(certificate.as_bytes(), key.as_bytes(), authority.as_bytes());
        Arc::new(keys.expect("keys").repeatable()) as Arc<dyn Keys>
    });
    keys.collect()
}
