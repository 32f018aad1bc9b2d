//! What a client and a representative say to each other, over TCP: a line of JSON each, UTF-8, at most [`LINE_MAX`] bytes with its end.
//!
//! ```text
//! {"id":1,"ask":{"watch":{"who":"router","component":"shop","lease_ms":30000,"after":null}}}      ──►
//!                       ◄── {"answer":{"id":1,"outcome":{"Ok":"done"}}}
//!                       ◄── {"told":{"snapshot":{"component":"shop","position":{…},"instances":[…]}}}
//!                       ◄── {"told":{"verdict":{"component":"shop","history":"17…","verdict":{…}}}}
//!                       ◄── {"beat":{"ready":true}}       every second
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    command::{Observation, Refusal, Registration},
    name::{Label, Who},
    state::Opinions,
    verdict::{History, Position, Standing, Verdict},
};

/// The longest line, in bytes.
pub const LINE_MAX: usize = 256 << 10;
/// Components in an answer to [`Ask::List`].
pub const LIST_MAX: usize = 64;

/// A question or a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The answer has the same. Of the client's choice.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// There is an instance.
    Register(Registration),
    /// It is not one any more.
    Deregister {
        /// Of which component.
        component: Label,
        /// Which one.
        instance: Label,
    },
    /// A component without instances is forgotten.
    Forget {
        /// Which one.
        component: Label,
    },
    /// Somebody has looked at an instance.
    Observe(Observation),
    /// Tell me the verdicts of a component; it need not be there yet.
    Watch {
        /// Who.
        who: Who,
        /// Of which.
        component: Label,
        /// The interest ends unless it is renewed in time, here or at another representative.
        lease_ms: u32,
        /// The last verdict that is known. None: begin with how it is.
        after: Option<Position>,
    },
    /// Tell me no more of it.
    Unwatch {
        /// Which one.
        component: Label,
    },
    /// All interests of the one who watches over this connection last so much longer.
    Renew {
        /// In milliseconds.
        lease_ms: u32,
    },
    /// How components are: up to [`LIST_MAX`], in the order of their names, and what each observer finds.
    List {
        /// Those behind this one.
        after: Option<Label>,
    },
    /// The last verdicts of a component, and their witnesses.
    History {
        /// Which one.
        component: Label,
    },
}

/// What a representative says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    /// The answer to a request.
    Answer {
        /// Of which.
        id: u64,
        /// What has become of it.
        outcome: Result<Answer, Failure>,
    },
    /// Of a component that is watched.
    Told(Told),
    /// It is there.
    Beat {
        /// Whether it is in contact with a majority of the representatives. Otherwise others may know more.
        ready: bool,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done, and a majority of the representatives knows it.
    Done,
    /// To [`Ask::List`].
    Components(Vec<Listed>),
    /// To [`Ask::History`]: the oldest first.
    Verdicts(Vec<Verdict>),
}

/// A component in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub component: Label,
    /// Where its sequence is.
    pub position: Position,
    /// Its instances.
    pub instances: Vec<Opinions>,
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The representatives refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing was done.
    #[error("this representative is not in contact with a majority: ask another one")]
    NotReady,
    /// It may have been done. Everything can be said twice.
    #[error("it may or may not have been done: say it again, perhaps to another representative")]
    Unknown,
    /// Too many requests without an answer.
    #[error("too many requests wait for an answer over this connection: wait for some")]
    Busy,
    /// Another one watches over this connection.
    #[error("{0} watches over this connection: who else wants to takes one of his own")]
    SomebodyElse(Who),
    /// Not a request.
    #[error("that is not a request: {0}")]
    Malformed(String),
}

/// What somebody is told of a component that he watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The next verdict.
    Verdict {
        /// Of which component.
        component: Label,
        /// In which history its number counts.
        history: History,
        /// The verdict.
        verdict: Verdict,
    },
    /// How it is: at the beginning, or because the verdicts since the last one that is known are not kept any more.
    Snapshot {
        /// Of which component.
        component: Label,
        /// The next verdict is the one behind this.
        position: Position,
        /// All its instances.
        instances: Vec<Standing>,
    },
    /// The interest was not renewed in time; nothing more is told.
    Lapsed {
        /// In which component.
        component: Label,
    },
}
