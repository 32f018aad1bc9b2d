//! [`Refusal`]: why something does not count.

use thiserror::Error;

use crate::zones::{function::FunctionError, name::ZoneName};

/// Why something does not count. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not what it claims to be.
    #[error("these bytes are not what gcs-monitor signs; they are damaged, or of another version")]
    Malformed,
    /// A chain without an end.
    #[error(
        "the chain has more than {} certificates; let an authority nearer to the root issue",
        super::LINKS_MAX
    )]
    Long,
    /// Somebody speaks who shows no certificate.
    #[error("there is no certificate; have one made with `gcs-monitor ca`")]
    NoCertificate,
    /// Too late.
    #[error("{what} has expired {seconds} s ago; have it issued anew, or look at the clock")]
    Expired {
        /// What has.
        what: String,
        /// How long ago.
        seconds: u64,
    },
    /// Too early.
    #[error("{what} is valid only in {seconds} s; wait, or look at the clock")]
    NotYet {
        /// What is.
        what: String,
        /// In how long.
        seconds: u64,
    },
    /// Outside of the zone that the issuer is the authority of.
    #[error("{issuer} does not reach {subject}; ask the authority of a zone around it")]
    Outside {
        /// Who has issued it.
        issuer: String,
        /// What was issued.
        subject: String,
    },
    /// An agent or a client issues certificates.
    #[error("{issuer} is no authority and cannot issue {subject}; ask the authority of its zone")]
    NoAuthority {
        /// Who has issued it.
        issuer: String,
        /// What was issued.
        subject: String,
    },
    /// Not the signature of whom it should be by.
    #[error("the signature of {what} is not by {by}; it is forged or damaged, or there are two keys")]
    Forged {
        /// What is signed.
        what: String,
        /// By whom it should be.
        by: String,
    },
    /// Called back.
    #[error("{what} was revoked; have another one made, with a new key")]
    Revoked {
        /// What was.
        what: String,
    },
    /// Somebody says what only others may say.
    #[error("{who} may not sign {what}; use a certificate that allows it")]
    NotAllowed {
        /// Who has said it.
        who: String,
        /// What.
        what: String,
    },
    /// A key that is not the one in the certificate.
    #[error("this secret key does not belong to {what}; use the one that was made with it")]
    OtherKey {
        /// The certificate.
        what: String,
    },
    /// A name that cannot be shown, or is too long.
    #[error("`{0}` cannot be a name here: take 1 to {max} bytes without spaces and commas", max = super::LABEL_BYTES)]
    Name(String),
    /// What is no function.
    #[error("function {name}: {why}")]
    Function {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: Box<FunctionError>,
    },
    /// A function that would count longer than who has signed it.
    #[error(
        "{what} would count longer than {by}, which has signed it; choose fewer days, or renew that first"
    )]
    Outlives {
        /// What would.
        what: String,
        /// Whose certificate ends before.
        by: String,
    },
    /// A function that nobody has signed.
    #[error(
        "function {0} is not signed, and this tree has keys: sign it with --sign-with KEY, whose certificate allows it"
    )]
    Unsigned(String),
    /// A function of one kind with a name of another one.
    #[error(
        "function {0} has the name of another kind: standing queries are event-…, announcements are announcement-…, and other functions neither; choose another name"
    )]
    OtherKind(String),
    /// Events go elsewhere.
    #[error(
        "the standing query is signed to tell {to}, and this agent is at {own}; ask it where it is, and sign it anew"
    )]
    OtherContact {
        /// Where what is signed says.
        to: std::net::SocketAddr,
        /// Where the agent is.
        own: std::net::SocketAddr,
    },
    /// A row, or that somebody is gone, that nobody has signed.
    #[error("{0} is not signed: whoever says so runs without keys; start it with --identity and --authority")]
    Open(String),
    /// Made later than it can have been.
    #[error("{what} was made {seconds} s from now; look at the clock of who has made it")]
    Future {
        /// What was.
        what: String,
        /// How far in the future.
        seconds: u64,
    },
    /// So old that nobody would still say it.
    #[error(
        "{what} was made {seconds} s ago, and would have been made anew; look at the clocks of both hosts"
    )]
    Old {
        /// What was.
        what: String,
        /// How long ago.
        seconds: u64,
    },
    /// Too many signatures to be looked at.
    #[error(
        "more is to be verified than may be, so it was not looked at; somebody may be flooding this agent"
    )]
    Busy,
    /// A request of long ago, or from the future.
    #[error("the request was made {seconds} s away from now; look at the clocks of both hosts")]
    Stale {
        /// How far, at least.
        seconds: u64,
    },
    /// A request that was there already.
    #[error("this request has been made before; make a new one")]
    Replayed,
    /// More requests, or revocations, than are remembered.
    #[error("no more {0} can be remembered; try again later")]
    Full(&'static str),
    /// Nobody to begin with.
    #[error("give the key of one to {} authorities that certificates begin with", super::ANCHORS_MAX)]
    Anchors,
}

impl Refusal {
    /// A short name, for counters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Long => "long",
            Self::NoCertificate => "no_certificate",
            Self::Expired { .. } => "expired",
            Self::NotYet { .. } => "not_yet",
            Self::Outside { .. } => "outside",
            Self::NoAuthority { .. } => "no_authority",
            Self::Forged { .. } => "forged",
            Self::Revoked { .. } => "revoked",
            Self::NotAllowed { .. } => "not_allowed",
            Self::OtherKey { .. } => "other_key",
            Self::Name(_) => "name",
            Self::Function { .. } => "function",
            Self::Outlives { .. } => "outlives",
            Self::Unsigned(_) => "unsigned",
            Self::OtherKind(_) => "other_kind",
            Self::OtherContact { .. } => "other_contact",
            Self::Open(_) => "open",
            Self::Future { .. } => "future",
            Self::Old { .. } => "old",
            Self::Busy => "busy",
            Self::Stale { .. } => "stale",
            Self::Replayed => "replayed",
            Self::Full(_) => "full",
            Self::Anchors => "anchors",
        }
    }
}

/// The path of a child of a zone; None if it is no name of a child.
pub(super) fn path(zone: &ZoneName, child: &str) -> Option<ZoneName> {
    // Without a name it would be the zone itself, and of the root anybody would speak.
    if child.is_empty() || child.contains('/') {
        return None;
    }
    format!("{}/{child}", zone.as_str().trim_end_matches('/')).parse().ok()
}
