//! [`Document`]: keys and certificates as files of text.
//!
//! ```text
//! -----BEGIN GCS CERTIFICATE-----      or SECRET KEY, PUBLIC KEY, AUTHORITY, FUNCTION, REVOCATION
//! AQEBCi9ldS9hbXMvaDEkF…               base64 (RFC 7468 has the form)
//! -----END GCS CERTIFICATE-----
//! ```
//! A secret key is written for its owner only, and not read where others may read it. Bounds: [`FILE_BYTES`].

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use pem::{EncodeConfig, LineEnding, Pem};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    chain::Chain,
    function::FUNCTION_BYTES,
    grant::Anchor,
    key::{KeyError, PublicKey, SecretKey},
    refusal::Refusal,
    revocation::Revocation,
    wire::{Reader, VERSION, canonical, put},
};
use crate::zones::{function::Said, name::ZoneName};

/// Bytes of a file.
pub const FILE_BYTES: u64 = 64 << 10;
/// Bytes of the smaller documents.
const SMALL: usize = 512;
/// Bits of a file's mode that let others than its owner in.
const OTHERS: u32 = 0o077;

/// What a file has.
#[derive(Debug)]
pub enum Document {
    /// What signs. To be kept where it is.
    SecretKey(SecretKey),
    /// A key that is to get a certificate.
    PublicKey(PublicKey),
    /// An authority to be trusted.
    Anchor(Anchor),
    /// A certificate with those that it follows from.
    Chain(Chain),
    /// A function, signed.
    Function(Said),
    /// A revocation.
    Revocation(Revocation),
}

/// Why there is no document.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Read(PathBuf, io::Error),
    /// The file cannot be written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
    /// It would be lost.
    #[error("{} is there already; move it away, or choose another name with --out", .0.display())]
    Exists(PathBuf),
    /// Others may read a secret.
    #[error("{} is a secret key that others may read (mode {mode:03o}); run `chmod 600` on it", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not a document.
    #[error("{} has no key or certificate of gcs-monitor; make one with `gcs-monitor ca`", .0.display())]
    Malformed(PathBuf),
}

impl Document {
    /// What it is, as in a sentence.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SecretKey(_) => "secret key",
            Self::PublicKey(_) => "public key",
            Self::Anchor(_) => "authority",
            Self::Chain(_) => "certificate",
            Self::Function(_) => "function",
            Self::Revocation(_) => "revocation",
        }
    }

    fn tag(&self) -> String {
        format!("GCS {}", self.kind().to_uppercase())
    }

    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Ok(Zeroizing::new(match self {
            Self::SecretKey(key) => [&[VERSION], key.seed()?.as_slice()].concat(),
            Self::PublicKey(key) => put(vec![VERSION], key),
            Self::Anchor(anchor) => anchor_bytes(anchor),
            Self::Chain(chain) => chain.encode(),
            Self::Function(function) => put(vec![VERSION], function),
            Self::Revocation(revocation) => revocation.encode(),
        }))
    }

    /// As text. What it is made from is overwritten afterwards, as far as it is ours.
    ///
    /// # Errors
    /// The library does not give the secret key.
    pub fn to_text(&self) -> Result<Zeroizing<String>, KeyError> {
        let pem = Pem::new(self.tag(), self.bytes()?.as_slice());
        let text = pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF));
        let _overwritten = Zeroizing::new(pem.into_contents());
        Ok(Zeroizing::new(text))
    }

    /// The first document in this text.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Long`].
    pub fn from_text(text: &str) -> Result<Self, Refusal> {
        let pem = pem::parse(text).map_err(|_| Refusal::Malformed)?;
        let tag = pem.tag().to_owned();
        let bytes = Zeroizing::new(pem.into_contents());
        Ok(match tag.as_str() {
            "GCS SECRET KEY" => {
                let seed = bytes.strip_prefix(&[VERSION]).ok_or(Refusal::Malformed)?;
                Self::SecretKey(SecretKey::from_seed(seed).map_err(|_| Refusal::Malformed)?)
            }
            "GCS PUBLIC KEY" => {
                let key = Reader::versioned(&bytes, SMALL)?.take()?;
                Self::PublicKey(canonical(key, &bytes, |key| put(vec![VERSION], key))?)
            }
            "GCS AUTHORITY" => {
                let (zone, key): (&str, _) = Reader::versioned(&bytes, SMALL)?.take()?;
                let zone: ZoneName = zone.parse().map_err(|_| Refusal::Malformed)?;
                Self::Anchor(canonical(Anchor { zone, key }, &bytes, anchor_bytes)?)
            }
            "GCS CERTIFICATE" => Self::Chain(Chain::decode(&bytes)?),
            "GCS FUNCTION" => {
                let said: Said = Reader::versioned(&bytes, FUNCTION_BYTES)?.take()?;
                Self::Function(canonical(said, &bytes, |said| put(vec![VERSION], said))?)
            }
            "GCS REVOCATION" => Self::Revocation(Revocation::decode(&bytes)?),
            _ => return Err(Refusal::Malformed),
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// One sentence, with its name.
    pub fn load(path: &Path) -> Result<Self, DocumentError> {
        let wrong = |e| DocumentError::Read(path.to_owned(), e);
        let file = File::open(path).map_err(wrong)?;
        let mode = file.metadata().map_err(wrong)?.permissions().mode() & 0o777;
        let mut text = Zeroizing::new(String::new());
        let malformed = || DocumentError::Malformed(path.to_owned());
        match file.take(FILE_BYTES).read_to_string(&mut text) {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(malformed()),
            other => other.map_err(wrong)?,
        };
        let document = Self::from_text(&text).map_err(|_| malformed())?;
        if matches!(document, Self::SecretKey(_)) && mode & OTHERS != 0 {
            return Err(DocumentError::Exposed { path: path.to_owned(), mode });
        }
        Ok(document)
    }

    /// Writes a file that is not there yet; that of a secret key for its owner only.
    ///
    /// # Errors
    /// One sentence, with its name.
    pub fn save(&self, path: &Path) -> Result<(), DocumentError> {
        let wrong = |e: io::Error| match e.kind() {
            io::ErrorKind::AlreadyExists => DocumentError::Exists(path.to_owned()),
            _ => DocumentError::Write(path.to_owned(), e),
        };
        let text = self.to_text().map_err(|e| wrong(io::Error::other(e)))?;
        let mode = if matches!(self, Self::SecretKey(_)) { 0o600 } else { 0o644 };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)
    }
}

fn anchor_bytes(anchor: &Anchor) -> Vec<u8> {
    put(vec![VERSION], &(anchor.zone.as_str(), anchor.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_back_and_damaged_ones_do_not() {
        let key = SecretKey::from_seed(&[9; 32]).unwrap();
        let anchor = Anchor { zone: "/eu".parse().unwrap(), key: key.public() };
        for document in [
            Document::PublicKey(key.public()),
            Document::Anchor(anchor),
            Document::Chain(Chain::default()),
            Document::SecretKey(key),
        ] {
            let text = document.to_text().unwrap();
            assert!(text.starts_with(&format!("-----BEGIN {}-----\n", document.tag())), "{}", *text);
            let again = Document::from_text(&text).unwrap();
            assert_eq!(format!("{document:?}"), format!("{again:?}"));
            assert!(Document::from_text(&text.replace("GCS", "XYZ")).is_err());
            let mut pem = pem::parse(text.as_bytes()).unwrap();
            pem = Pem::new(pem.tag(), [pem.contents(), &[0]].concat());
            assert!(Document::from_text(&pem::encode(&pem)).is_err(), "one byte more");
        }
        for text in [
            "",
            "-----BEGIN GCS CERTIFICATE-----",
            "-----BEGIN GCS PUBLIC KEY-----\n-----END GCS PUBLIC KEY-----",
        ] {
            assert_eq!(Document::from_text(text).unwrap_err(), Refusal::Malformed);
        }
    }
}
