//! Keys from secrets, and secrets from the system.

use aws_lc_rs::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    digest, hkdf, hmac,
    rand::{SecureRandom as _, SystemRandom},
};

/// 32 bytes for this purpose (HKDF-SHA-256, RFC 5869).
pub(super) fn derive(salt: &[u8], secret: &[u8], purpose: &[&[u8]]) -> [u8; 32] {
    let mut key = [0; 32];
    let filled = hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(purpose, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key));
    assert!(filled.is_ok(), "32 bytes are what the hash gives");
    key
}

/// An AEAD key.
pub(super) fn aead(key: &[u8; 32]) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM, key) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("the algorithm takes 32 bytes"),
    }
}

/// Where secrets come from.
pub(super) enum Entropy {
    /// The operating system.
    System(SystemRandom),
    /// A seed, so that a simulation can be repeated.
    Seeded { seed: u64, count: u64 },
}

impl Entropy {
    /// From the system, unless there is a seed.
    pub(super) fn new(seed: Option<u64>) -> Self {
        match seed {
            None => Self::System(SystemRandom::new()),
            Some(seed) => Self::Seeded { seed, count: 0 },
        }
    }

    pub(super) fn draw(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        match self {
            Self::System(system) => {
                let filled = system.fill(&mut bytes);
                assert!(filled.is_ok(), "the system gives no randomness: nothing is secret without");
            }
            Self::Seeded { seed, count } => {
                *count += 1;
                let mut from = [0; 16];
                from[..8].copy_from_slice(&seed.to_le_bytes());
                from[8..].copy_from_slice(&count.to_le_bytes());
                bytes.copy_from_slice(digest::digest(&digest::SHA256, &from).as_ref());
            }
        }
        bytes
    }
}

/// A key for proofs, from a pre-shared key.
pub(super) fn proof_key(pre_shared: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive(b"gcs", pre_shared, &[b"introduction"]))
}
