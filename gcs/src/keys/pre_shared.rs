//! One key for all processes of a group.

use super::{
    KeyError,
    credential::Credential,
    derive::{Entropy, proof_key},
    sentry::Sentry,
};
use crate::guard::{Guard, Keys};
use std::{fmt, sync::Arc};

/// A key that all processes of the group have, and nobody else.
#[derive(Clone)]
pub struct PreShared {
    key: Arc<[u8]>,
    seeded: bool,
}

impl PreShared {
    /// The key: 32 to 1024 bytes, which nobody can guess. White space at its end does not count, so that a text file
    /// with a newline will do.
    ///
    /// # Errors
    /// It is too short or too long.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        let key = key.trim_ascii_end();
        if !(32..=1024).contains(&key.len()) {
            return Err(KeyError::Length);
        }
        Ok(Self { key: key.into(), seeded: false })
    }

    /// The same, with secrets that anybody can guess: for simulations, which must be repeatable.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.seeded = true;
        self
    }
}

impl Keys for PreShared {
    fn guard(&self, seed: u64) -> Box<dyn Guard> {
        let credential =
            Credential::Shared { proof: Box::new(proof_key(&self.key)), key: Arc::clone(&self.key) };
        Box::new(Sentry::new(credential, Entropy::new(self.seeded.then_some(seed))))
    }

    fn fits(&self, _name: &str) -> bool {
        true
    }
}

impl fmt::Debug for PreShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreShared(…)")
    }
}
