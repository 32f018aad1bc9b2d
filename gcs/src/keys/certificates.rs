//! A certificate for each process, and an authority that has signed them.

use super::{
    KeyError,
    credential::{Credential, Identity},
    derive::Entropy,
    sentry::Sentry,
};
use crate::guard::{Guard, Keys, Signer};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _};
use std::{fmt, sync::Arc};
use webpki::EndEntityCert;

/// The longest certificate, in bytes: introductions fit into one datagram of any network.
pub(super) const MAX_CERTIFICATE: usize = 1024;

/// A certificate with an Ed25519 key for this process, and the authority that signs those of all processes of the group.
///
/// The name of a member must be among the DNS names of its certificate (subject alternative names); a certificate that
/// is for other purposes only (extended key usage without client authentication) is not accepted. Whether it has
/// expired is looked at when a process introduces itself: members whose certificates expire stay until they leave.
#[derive(Clone)]
pub struct Certificates {
    identity: Arc<Identity>,
    seeded: bool,
}

impl Certificates {
    /// From PEM: this process's certificate, its private key (PKCS #8), and the authority's certificate (several, while
    /// one is being replaced).
    ///
    /// ```text
    /// openssl req -x509 -newkey ed25519 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=group
    /// openssl req -newkey ed25519 -nodes -keyout alpha.key -out alpha.csr -subj /CN=alpha
    /// printf 'subjectAltName=DNS:alpha' > alpha.ext
    /// openssl x509 -req -in alpha.csr -CA ca.pem -CAkey ca.key -days 365 -extfile alpha.ext -out alpha.pem
    /// ```
    ///
    /// # Errors
    /// [`KeyError`] says which of them cannot be used, and why.
    pub fn from_pem(certificate: &[u8], private_key: &[u8], authority: &[u8]) -> Result<Self, KeyError> {
        let unreadable = |what, why: &dyn fmt::Display| KeyError::Unreadable { what, why: why.to_string() };
        let certificate =
            CertificateDer::from_pem_slice(certificate).map_err(|e| unreadable("certificate", &e))?;
        if certificate.len() > MAX_CERTIFICATE {
            return Err(unreadable("certificate", &format!("it has more than {MAX_CERTIFICATE} bytes")));
        }
        let end = EndEntityCert::try_from(&certificate).map_err(|e| unreadable("certificate", &e))?;
        let key =
            PrivatePkcs8KeyDer::from_pem_slice(private_key).map_err(|e| unreadable("private key", &e))?;
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
            .map_err(|_| unreadable("private key", &"it is no Ed25519 key"))?;
        // The certificate's public key ends its description of the key.
        if !end.subject_public_key_info().ends_with(key.public_key().as_ref()) {
            return Err(KeyError::Mismatch);
        }
        let mut anchors = Vec::new();
        for one in CertificateDer::pem_slice_iter(authority) {
            let der = one.map_err(|e| unreadable("authority's certificate", &e))?;
            let anchor = webpki::anchor_from_trusted_cert(&der);
            anchors.push(anchor.map_err(|e| unreadable("authority's certificate", &e))?.to_owned());
        }
        if anchors.is_empty() {
            return Err(unreadable("authority's certificate", &"there is none in it"));
        }
        Ok(Self { identity: Arc::new(Identity { certificate, key, anchors }), seeded: false })
    }

    /// The same, with secrets that anybody can guess: for simulations, which must be repeatable.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.seeded = true;
        self
    }
}

impl Keys for Certificates {
    fn guard(&self, seed: u64) -> Box<dyn Guard> {
        let entropy = Entropy::new(self.seeded.then_some(seed));
        Box::new(Sentry::new(Credential::Certified(Arc::clone(&self.identity)), entropy))
    }

    fn fits(&self, name: &str) -> bool {
        is_for(&self.identity.certificate, name)
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        Some(Arc::clone(&self.identity) as Arc<dyn Signer>)
    }
}

/// Whether a certificate is for this name.
pub(super) fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let (Ok(end), Ok(name)) = (EndEntityCert::try_from(certificate), ServerName::try_from(name)) else {
        return false;
    };
    end.verify_is_valid_for_subject_name(&name).is_ok()
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}
