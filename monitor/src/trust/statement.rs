//! What is said all the time: rows, who is gone, requests. Plain parts, so that whoever says it keeps its own types.

use super::{
    key::{Purpose, SecretKey, Signature},
    wire::put,
};
use crate::zones::name::ZoneName;

/// An issue of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowIssue<'a> {
    /// In whose table it is.
    pub zone: &'a ZoneName,
    /// Of which child.
    pub child: &'a str,
    /// Which life of which agent has made it.
    pub generator: u64,
    /// Which issue.
    pub version: u64,
    /// The row, encoded.
    pub row: &'a [u8],
}

/// That a child of a zone was gone after an issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone<'a> {
    /// In whose table it was.
    pub zone: &'a ZoneName,
    /// Who.
    pub child: &'a str,
    /// Who has made the last issue.
    pub generator: u64,
    /// Which one that was.
    pub version: u64,
}

/// That a child of a zone is there, to whoever asks under this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alive<'a> {
    /// In whose table it is.
    pub zone: &'a ZoneName,
    /// Who.
    pub child: &'a str,
    /// Of the question.
    pub number: u32,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Where: an agent, or a zone. Who is somebody else must not do it.
    pub target: &'a ZoneName,
    /// What is to be done.
    pub method: &'a str,
    /// When it was asked for, in seconds since 1970.
    pub at_s: u64,
    /// Different for all requests of a key within the time in which they count.
    pub nonce: u64,
    /// All else.
    pub body: &'a [u8],
}

impl RowIssue<'_> {
    /// What is signed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let parts = (self.zone.as_str(), self.child, self.generator, self.version, self.row);
        put(Vec::with_capacity(64 + self.row.len()), &parts)
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Signature {
        key.sign(Purpose::Row, &self.bytes())
    }
}

impl Gone<'_> {
    /// What is signed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        put(Vec::new(), &(self.zone.as_str(), self.child, self.generator, self.version))
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Signature {
        key.sign(Purpose::Gone, &self.bytes())
    }
}

impl Alive<'_> {
    /// What is signed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        put(Vec::new(), &(self.zone.as_str(), self.child, self.number))
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Signature {
        key.sign(Purpose::Alive, &self.bytes())
    }
}

impl Request<'_> {
    /// What is signed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let parts = (self.target.as_str(), self.method, self.at_s, self.nonce, self.body);
        put(Vec::with_capacity(64 + self.body.len()), &parts)
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Signature {
        key.sign(Purpose::Request, &self.bytes())
    }
}
