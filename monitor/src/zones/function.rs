//! [`Function`]: a question to all agents of a zone, spread with the rows, answered level over level ([`Parts`]).
//!
//! After the aggregation function certificates of van Renesse, Birman and Vogels, "Astrolabe" (ACM TOCS 21(2), 2003). There they are attributes,
//! copied down and aggregated up; here they stand beside the rows of the zone that they are for, and come to everybody in it by the same news and
//! exchanges. There a function reads at each level what it has made of the one below; here it says of a zone what its SELECT says of a table of all
//! agents in it, so that nobody has to think of levels. A function that is removed is a newer one that says so, until the old one would have expired.
//!
//! * **Bounds**: [`NAME_MAX`], [`TEXT_MAX`], [`FUNCTIONS_MAX`] in a zone; an evaluation as [`limits`] says.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    kind::{Kind, KindError},
    table::CHILDREN_MAX,
};
use crate::{
    sketch::hash::{FNV, fnv, mix},
    sql::{Limits, Parts, Query, SqlError},
};

/// Bytes of a name.
pub const NAME_MAX: usize = 48;
/// Bytes of a text.
pub const TEXT_MAX: usize = 4096;
/// Functions of one kind for one zone.
pub const FUNCTIONS_MAX: usize = 64;

/// What every row says of itself: no function can change it.
pub const STANDARD: [&str; 7] = ["id", "nmembers", "expected", "depth", "contacts", "oldest", "rep"];

/// The attribute of a zone that tells in how many agents' values the function has.
#[must_use]
pub fn count_name(function: &str) -> String {
    format!("&{function}")
}

fn parts(said: &Said) -> Result<Parts, SqlError> {
    debug_assert_eq!(said.kind, Kind::Aggregation);
    Parts::new(&Query::parse(&said.text, &limits())?, &count_name(&said.name))
}

/// What a function may ask for in a zone.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        text_bytes: TEXT_MAX,
        rows: CHILDREN_MAX,
        outputs: 64,
        output_bytes: 4096,
        work: 2_000_000,
        ..Limits::default()
    }
}

/// A function for a zone and all zones in it.
#[derive(Clone, Debug)]
pub struct Function {
    said: Said,
    /// None if it is removed, or says nothing that is known here.
    parts: Option<Parts>,
    /// None if it is of another kind, is removed, or says nothing that is known here.
    condition: Option<Arc<Query>>,
    hash: u64,
}

/// As it is spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Unique in its zone. In rows of zones an attribute `&name` tells in how many agents' values it has.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// The SELECT, or what is announced; empty if it is removed.
    pub text: String,
    /// Whether it counts before one of the same name for a zone further up, whichever is newer.
    pub strong: bool,
    /// Since when, in seconds since 1970.
    pub issued_s: u64,
    /// Until when.
    pub expires_s: u64,
    /// Who vouches for it ([`FunctionSeal`](crate::trust::FunctionSeal)), and for which zone; empty where everybody may.
    pub seal: Vec<u8>,
}

impl Said {
    /// What takes the place of this one at this second: the same for so many seconds from then on. Not signed.
    #[must_use]
    pub fn renewed(&self, now_s: u64, seconds: u64) -> Self {
        let issued_s = now_s.max(self.issued_s.saturating_add(1));
        let expires_s = issued_s.saturating_add(seconds);
        Self { issued_s, expires_s, seal: Vec::new(), ..self.clone() }
    }

    /// What takes it away again: newer, and valid for as long, lest it come back. Not signed.
    #[must_use]
    pub fn removal(&self, now_s: u64) -> Self {
        let renewed = self.renewed(now_s, 0);
        let expires_s = self.expires_s.max(renewed.issued_s);
        Self { text: String::new(), expires_s, ..renewed }
    }
}

/// Why there cannot be such a function.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FunctionError {
    /// Its name.
    #[error(
        "`{0}` is no name for a function: 1 to {NAME_MAX} small letters, digits, `_` and `-`, a letter first"
    )]
    Name(String),
    /// Its text.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A column has a name that is taken.
    #[error(
        "`{0}` is what every zone says of itself, or has an & in it: give the column another name with AS"
    )]
    Column(String),
    /// It ends before it begins.
    #[error("the function expires before it was issued: give it a later time to expire")]
    Time,
    /// It cannot be of its kind.
    #[error(transparent)]
    Kind(#[from] KindError),
}

impl Function {
    /// A function that says this.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn new(said: Said) -> Result<Self, FunctionError> {
        said.kind.condition(&said.text)?;
        if !said.text.is_empty() && said.kind == Kind::Aggregation {
            let parts = parts(&said)?;
            let taken = |name: &&Arc<str>| STANDARD.contains(&name.as_ref()) || name.contains('&');
            if let Some(name) = parts.query().outputs().iter().find(taken) {
                return Err(FunctionError::Column(name.to_string()));
            }
        }
        Self::heard(said)
    }

    /// A function that nobody vouches for, for so many seconds.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn open(name: &str, text: &str, issued_s: u64, seconds: u64) -> Result<Self, FunctionError> {
        let (name, text, expires_s) = (name.into(), text.into(), issued_s.saturating_add(seconds));
        let kind = Kind::Aggregation;
        Self::new(Said { name, kind, text, strong: false, issued_s, expires_s, seal: Vec::new() })
    }

    /// What somebody else says. If its text means nothing here (a newer version may know more), it is passed on all the same.
    pub(super) fn heard(said: Said) -> Result<Self, FunctionError> {
        let first = said.name.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
        let shown = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
        if !first || said.name.len() > NAME_MAX || !said.name.bytes().all(shown) {
            return Err(FunctionError::Name(said.name));
        }
        if said.text.len() > TEXT_MAX {
            return Err(KindError::Words(said.text.len()).into());
        }
        if said.expires_s < said.issued_s {
            return Err(FunctionError::Time);
        }
        let parts = if said.kind == Kind::Aggregation { parts(&said).ok() } else { None };
        let condition = said.kind.condition(&said.text).ok().flatten();
        let kind = postcard::to_allocvec(&said.kind).unwrap_or_default();
        let words =
            [said.name.as_bytes(), &[0xff], said.text.as_bytes(), &[0xff], &kind, &[0xff], &said.seal];
        let text = words.into_iter().fold(FNV, fnv);
        let times = mix(said.issued_s.rotate_left(32) ^ said.expires_s ^ u64::from(said.strong) << 63);
        Ok(Self { hash: mix(text ^ times), said, parts, condition })
    }

    /// What it says.
    #[must_use]
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// What it asks, if anything.
    #[must_use]
    pub fn query(&self) -> Option<&Query> {
        self.parts.as_ref().map(Parts::query)
    }

    /// How that is computed.
    #[must_use]
    pub fn parts(&self) -> Option<&Parts> {
        self.parts.as_ref()
    }

    /// What it asks of local tables, if it is a standing query.
    #[must_use]
    pub fn condition(&self) -> Option<&Arc<Query>> {
        self.condition.as_ref()
    }

    /// Whether it takes one of the places that a zone has for functions of this kind.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.said.kind.is_like(&other.said.kind)
    }

    /// Whether it is one of the functions that count at this time.
    #[must_use]
    pub fn is_valid(&self, now_s: u64) -> bool {
        self.said.expires_s > now_s
    }

    /// The newer one of a zone's two functions with one name has the higher one.
    pub(super) fn order(&self) -> (u64, u64) {
        (self.said.issued_s, self.hash)
    }

    /// What it adds to the digest of a table.
    pub(super) fn mark(&self) -> u64 {
        self.hash
    }

    /// About its bytes in a message.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let kind = if self.condition.is_some() { 16 } else { 1 };
        kind + self.said.name.len() + self.said.text.len() + self.said.seal.len() + 18
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

/// Those that count in a zone, out of those for the zones around it, from the root's to its own: of one name the strong one nearest to
/// the zone, otherwise the newest. By name.
pub(crate) fn in_force<'a>(
    scopes: impl Iterator<Item = impl Iterator<Item = &'a Arc<Function>>>,
    now_s: u64,
) -> Vec<&'a Arc<Function>> {
    let mut best: BTreeMap<&str, (usize, &Arc<Function>)> = BTreeMap::new();
    let valid = scopes.enumerate().flat_map(|(depth, of)| of.map(move |function| (depth, function)));
    let counts = |function: &Function| function.said.kind == Kind::Aggregation && function.is_valid(now_s);
    for (depth, function) in valid.filter(|(_, function)| counts(function)) {
        let rank =
            |depth: usize, f: &Function| (f.said.strong, if f.said.strong { depth } else { 0 }, f.order());
        let held = best.entry(&function.said.name).or_insert((depth, function));
        if rank(depth, function) > rank(held.0, held.1) {
            *held = (depth, function);
        }
    }
    best.into_values().map(|(_, function)| function).filter(|function| function.parts.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str, issued_s: u64, strong: bool) -> Said {
        Said {
            name: name.into(),
            kind: Kind::Aggregation,
            text: text.into(),
            strong,
            issued_s,
            expires_s: issued_s + 100,
            seal: Vec::new(),
        }
    }

    fn function(text: &str, issued_s: u64, strong: bool) -> Arc<Function> {
        Arc::new(Function::new(said("f", text, issued_s, strong)).unwrap())
    }

    #[test]
    fn what_cannot_be_a_function_is_refused() {
        let sum = "SELECT SUM(a) AS a";
        let error = |name: &str, text: &str| Function::new(said(name, text, 1, false)).err();
        assert_eq!(error("load", sum), None);
        for name in ["", "1a", "A", "a b", "&a", &"x".repeat(49)] {
            assert_eq!(error(name, sum), Some(FunctionError::Name(name.into())));
        }
        assert!(matches!(error("a", "SELECT id, load"), Some(FunctionError::Sql(_))));
        assert_eq!(error("a", "SELECT COUNT(*) AS nmembers"), Some(FunctionError::Column("nmembers".into())));
        assert_eq!(error("a", "SELECT COUNT(*) AS \"&b\""), Some(FunctionError::Column("&b".into())));
        assert!(matches!(error("a", "SELECT SUN(a)"), Some(FunctionError::Sql(_))));
        assert!(matches!(error("a", &format!("{sum}{}", " ".repeat(5000))), Some(FunctionError::Sql(_))));
        let late = Said { expires_s: 0, ..said("a", sum, 1, false) };
        assert_eq!(Function::new(late).err(), Some(FunctionError::Time));
    }

    #[test]
    fn the_newer_counts_unless_a_strong_one_is_nearer_and_none_that_is_over() {
        let sum = |n: u64| format!("SELECT SUM(a{n}) AS a");
        let of = |scopes: [&[Arc<Function>]; 3], now_s| {
            let force = in_force(scopes.iter().map(|of| of.iter()), now_s);
            force.first().map(|f| f.said.text.to_string())
        };
        let (old, new) = ([function(&sum(1), 1, false)], [function(&sum(2), 2, false)]);
        let (strong, nearer) = ([function(&sum(3), 1, true)], [function(&sum(4), 0, true)]);
        assert_eq!(of([&old, &new, &[]], 50), Some(sum(2)));
        assert_eq!(of([&new, &[], &old], 50), Some(sum(2)));
        assert_eq!(of([&strong, &new, &[]], 50), Some(sum(3)), "weak ones do not count beside strong ones");
        assert_eq!(of([&strong, &nearer, &new], 50), Some(sum(4)));
        assert_eq!(of([&old, &[], &[]], 101), None, "it is over");
        let removed = [Arc::new(Function::new(said("f", "", 3, false)).unwrap())];
        assert_eq!(of([&new, &removed, &[]], 50), None);
        assert_eq!(of([&strong, &removed, &[]], 50), Some(sum(3)));
    }
}
