//! Keys and signatures: Ed25519 (RFC 8032).
//!
//! What is signed is a purpose, the key of the signer and the bytes, so that a signature means one thing only and is by one key only.

use std::fmt;

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a public key, and of the seed of a secret one.
const KEY_BYTES: usize = 32;

/// What a signature is for. Each kind of thing has its own beginning of what is signed, with the version of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The key of the authority of a zone.
    Zone,
    /// The key of an agent.
    Agent,
    /// The key of a client.
    Client,
    /// A function that zones are to evaluate.
    Function,
    /// A certificate that counts no longer.
    Revocation,
    /// A row.
    Row,
    /// That somebody is gone.
    Gone,
    /// That somebody is there.
    Alive,
    /// That a standing query has fired.
    Event,
    /// What a client asks for.
    Request,
}

impl Purpose {
    /// What comes first. No one is the beginning of another one.
    pub(super) const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Zone => b"gcs-monitor 1 zone certificate\0",
            Self::Agent => b"gcs-monitor 1 agent certificate\0",
            Self::Client => b"gcs-monitor 1 client certificate\0",
            Self::Function => b"gcs-monitor 1 function\0",
            Self::Revocation => b"gcs-monitor 1 revocation\0",
            Self::Row => b"gcs-monitor 1 row\0",
            Self::Gone => b"gcs-monitor 1 gone\0",
            Self::Alive => b"gcs-monitor 1 alive\0",
            Self::Event => b"gcs-monitor 1 event\0",
            Self::Request => b"gcs-monitor 1 request\0",
        }
    }

    fn message(self, by: &PublicKey, bytes: &[u8]) -> Vec<u8> {
        [self.prefix(), &by.0, bytes].concat()
    }
}

/// What it is, as in a sentence.
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zone => "the certificate of a zone",
            Self::Agent => "the certificate of an agent",
            Self::Client => "the certificate of a client",
            Self::Function => "the function",
            Self::Revocation => "the revocation",
            Self::Row => "the row",
            Self::Gone => "the word that somebody is gone",
            Self::Alive => "the word that somebody is there",
            Self::Event => "the event",
            Self::Request => "the request",
        })
    }
}

/// Who can be recognised by it. Shown as the first 16 of 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Whether the owner of this key has signed these bytes for this purpose.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, bytes: &[u8], signature: &Signature) -> bool {
        let message = purpose.message(self, bytes);
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&message, &signature.0).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(&self.0, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(&self.0, f)
    }
}

/// The first 8 bytes in hexadecimal: enough to tell apart what is not forged.
pub(super) fn short(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// That the owner of a key has said something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(&self.0, f)
    }
}

/// Two halves: serde knows arrays of up to 32 only.
impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        first.copy_from_slice(&self.0[..32]);
        second.copy_from_slice(&self.0[32..]);
        (first, second).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (first, second) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&first);
        bytes[32..].copy_from_slice(&second);
        Ok(Self(bytes))
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The library that makes keys did not.
    #[error("no key can be made: the operating system gives no random numbers")]
    NotMade,
    /// The bytes are no seed of a key.
    #[error("these bytes are not a secret key; make another one with `gcs-monitor ca key`")]
    Malformed,
}

/// What signs. Its memory is overwritten by the library that holds it when it is let go.
pub struct SecretKey(Ed25519KeyPair);

impl SecretKey {
    /// A new one, out of the random numbers of the operating system.
    ///
    /// # Errors
    /// There are none.
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| KeyError::NotMade)
    }

    /// The key of this seed: the same every time. Whoever knows the seed has the key.
    ///
    /// # Errors
    /// The seed does not have 32 bytes.
    pub fn from_seed(seed: &[u8]) -> Result<Self, KeyError> {
        if seed.len() != KEY_BYTES {
            return Err(KeyError::Malformed);
        }
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| KeyError::Malformed)
    }

    /// Its seed, to be stored.
    ///
    /// # Errors
    /// The library does not give it.
    pub(super) fn seed(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let seed = self.0.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| KeyError::Malformed)?;
        Ok(Zeroizing::new(seed.as_ref().to_vec()))
    }

    /// By what its owner is recognised.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    /// Signs bytes for a purpose.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, bytes: &[u8]) -> Signature {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(&purpose.message(&self.public(), bytes)).as_ref());
        Signature(signature)
    }
}

/// Nothing of the secret.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Purpose; 9] = [
        Purpose::Zone,
        Purpose::Agent,
        Purpose::Client,
        Purpose::Function,
        Purpose::Revocation,
        Purpose::Row,
        Purpose::Gone,
        Purpose::Alive,
        Purpose::Request,
    ];

    #[test]
    fn a_signature_is_for_one_purpose_and_by_one_key() {
        let (key, other) = (SecretKey::from_seed(&[1; 32]).unwrap(), SecretKey::from_seed(&[2; 32]).unwrap());
        for purpose in ALL {
            let signature = key.sign(purpose, b"x");
            for for_what in ALL {
                assert_eq!(key.public().verify(for_what, b"x", &signature), purpose == for_what);
                let beginning = for_what.prefix().starts_with(purpose.prefix());
                assert_eq!(beginning, purpose == for_what);
            }
            assert!(!key.public().verify(purpose, b"y", &signature));
            assert!(!other.public().verify(purpose, b"x", &signature));
        }
    }

    #[test]
    fn a_key_comes_back_from_its_seed_and_is_not_shown() {
        let key = SecretKey::generate().unwrap();
        let again = SecretKey::from_seed(&key.seed().unwrap()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_ne!(key.public(), SecretKey::generate().unwrap().public());
        assert_eq!(format!("{key:?}"), format!("SecretKey of {}", key.public()));
        assert_eq!(key.public().to_string().len(), 16);
        for length in [0, 31, 33, 64] {
            assert_eq!(SecretKey::from_seed(&vec![0; length]).unwrap_err(), KeyError::Malformed);
        }
    }

    /// RFC 8032, section 7.1, the second test: that the seed is what the standard calls the secret key.
    #[test]
    fn a_seed_makes_the_key_that_the_standard_says() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key =
            SecretKey::from_seed(&hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.unwrap().public().as_bytes().as_slice(), public);
    }
}
