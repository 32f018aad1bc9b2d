//! [`FunctionCertificate`]: a function that zones are to evaluate, and who says so.
//!
//! ```text
//! function    = version, chain, scope, name, sql, issued_s, for_s, flags, signature       flags: 1 strong, 2 removed
//! ```
//! Bounds: [`SQL_BYTES`], [`FUNCTION_BYTES`]; its text is looked at only after its signature.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{
    chain::{CHAIN_BYTES, Chain, Id},
    key::{Purpose, SecretKey, Signature},
    refusal::{FunctionError, Refusal},
    validity::Validity,
    wire::{Reader, VERSION, canonical, is_label, put},
};
use crate::{
    sql::{Limits, Query},
    zones::name::ZoneName,
};

/// Bytes of the text of a function: it goes to everybody.
pub const SQL_BYTES: usize = 4096;
/// Bytes of a function with all its certificates.
pub const FUNCTION_BYTES: usize = CHAIN_BYTES + SQL_BYTES + 512;

/// Whether zones inside may have it their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Gives way to a strong one.
    Weak,
    /// Gives way to a strong one of a zone further down only.
    Strong,
}

/// What zones are to evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// For this zone and those inside.
    pub scope: ZoneName,
    /// Instead of the one that had this name; at most [`LABEL_BYTES`](super::LABEL_BYTES).
    pub name: String,
    /// One row out of those of children; empty if it is removed.
    pub sql: String,
    /// So long.
    pub validity: Validity,
    /// Before which others it goes.
    pub strength: Strength,
    /// Whether there is no such function any more.
    pub removed: bool,
}

#[derive(Serialize, Deserialize)]
struct WireFunction<'a> {
    scope: &'a str,
    name: &'a str,
    sql: &'a str,
    issued_s: u64,
    for_s: u64,
    flags: u8,
}

const STRONG: u8 = 1;
const REMOVED: u8 = 2;

impl Function {
    /// What takes it away again: newer, of the same scope, name and strength, and valid for as long, lest the function come back.
    #[must_use]
    pub fn removal(&self, now_s: u64) -> Self {
        let issued_s = now_s.max(self.validity.issued_s().saturating_add(1));
        let for_s = self.validity.expires_s().saturating_sub(issued_s);
        let validity = Validity::new(issued_s, for_s);
        Self { sql: String::new(), validity, removed: true, ..self.clone() }
    }

    /// What it asks, checked; None if it is removed.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::Function`].
    pub fn check(&self) -> Result<Option<Query>, Refusal> {
        if !is_label(&self.name) {
            return Err(Refusal::Name(self.name.clone()));
        }
        let wrong = |why| Refusal::Function { name: self.name.clone(), why };
        if self.removed {
            return if self.sql.is_empty() { Ok(None) } else { Err(wrong(FunctionError::Removed)) };
        }
        let limits = Limits { text_bytes: SQL_BYTES, ..Limits::default() };
        let query = Query::parse(&self.sql, &limits).map_err(|e| wrong(FunctionError::Sql(Box::new(e))))?;
        if query.is_aggregation() { Ok(Some(query)) } else { Err(wrong(FunctionError::NoAggregation)) }
    }

    fn encode(&self) -> Vec<u8> {
        let strong = if self.strength == Strength::Strong { STRONG } else { 0 };
        let flags = strong | if self.removed { REMOVED } else { 0 };
        let (issued_s, for_s) = (self.validity.issued_s(), self.validity.seconds());
        let (scope, name, sql) = (self.scope.as_str(), self.name.as_str(), self.sql.as_str());
        put(Vec::with_capacity(128 + sql.len()), &WireFunction { scope, name, sql, issued_s, for_s, flags })
    }

    fn read(wire: &WireFunction<'_>) -> Result<Self, Refusal> {
        if wire.flags > STRONG | REMOVED || wire.sql.len() > SQL_BYTES || !is_label(wire.name) {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            scope: wire.scope.parse().map_err(|_| Refusal::Malformed)?,
            name: wire.name.to_owned(),
            sql: wire.sql.to_owned(),
            validity: Validity::read(wire.issued_s, wire.for_s).ok_or(Refusal::Malformed)?,
            strength: if wire.flags & STRONG == 0 { Strength::Weak } else { Strength::Strong },
            removed: wire.flags & REMOVED != 0,
        })
    }
}

/// A function that somebody has signed: an authority of its scope or of a zone around it, or a client of theirs that may install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCertificate {
    function: Function,
    signer: Chain,
    signature: Signature,
    id: Id,
}

impl FunctionCertificate {
    pub(super) fn sign(function: Function, key: &SecretKey, signer: Chain) -> Self {
        let signature = key.sign(Purpose::Function, &function.encode());
        Self::new(function, signer, signature)
    }

    fn new(function: Function, signer: Chain, signature: Signature) -> Self {
        let id = Id::of(Purpose::Function, &function.encode(), &signature);
        Self { function, signer, signature, id }
    }

    /// The function.
    #[must_use]
    pub const fn function(&self) -> &Function {
        &self.function
    }

    /// Who has signed it; empty for an anchor.
    #[must_use]
    pub const fn signer(&self) -> &Chain {
        &self.signer
    }

    /// Which one it is.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    pub(super) fn signed(&self) -> (Vec<u8>, &Signature) {
        (self.function.encode(), &self.signature)
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signer.append(put(Vec::new(), &VERSION));
        out.extend_from_slice(&self.function.encode());
        put(out, &self.signature)
    }

    /// The function that these bytes are. Neither signature nor text is looked at.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Long`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::versioned(bytes, FUNCTION_BYTES)?;
        let signer = Chain::read(&mut reader)?;
        let function = Function::read(&reader.take()?)?;
        canonical(Self::new(function, signer, reader.take()?), bytes, Self::encode)
    }
}

/// Which of two functions with one name a zone goes by: the greater one. Each comes with whether it is valid now. Valid before invalid; of
/// strong ones that of the zone further down; otherwise strong before weak, then the newer. A total order, so that it does not matter which
/// one came first.
#[must_use]
pub fn prefer(a: (&FunctionCertificate, bool), b: (&FunctionCertificate, bool)) -> Ordering {
    let rank = |(certificate, valid): (&FunctionCertificate, bool)| {
        let function = &certificate.function;
        let depth = if function.strength == Strength::Strong { function.scope.depth() } else { 0 };
        (valid, function.strength, depth, function.validity.issued_s())
    };
    rank(a).cmp(&rank(b)).then_with(|| a.0.encode().cmp(&b.0.encode()))
}
