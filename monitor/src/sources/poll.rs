//! Sources that are read every so often.

use std::{io, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    extract::ExtractError,
    handle::Handle,
    limits,
    name::{Name, NameError},
    scalar::JsonError,
    store::SourceId,
};
use crate::value::Value;

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{what} cannot be read: {error}")]
    Io { what: String, error: io::Error },
    #[error("{0} is not a regular file")]
    NotAFile(String),
    #[error("{what} has more than {limit} bytes")]
    TooLarge { what: String, limit: usize },
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    #[error(transparent)]
    Extract(#[from] ExtractError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("there was no answer within {}", humantime::format_duration(*.0))]
    Late(Duration),
    #[error("the reading before this one hangs")]
    Hangs,
    #[error("no thread can be begun: {0}")]
    Thread(io::Error),
    #[error("reading it has failed inside; please report this as a mistake in gcs-monitor")]
    Panicked,
    #[error("{program} cannot be run: {error}")]
    Start { program: String, error: io::Error },
    #[error("{program} has ended with {status}")]
    Failed { program: String, status: std::process::ExitStatus },
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    #[error("the query has {found} columns, and {wanted} attributes are named for them")]
    Columns { found: usize, wanted: usize },
    #[cfg(feature = "sqlite")]
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[cfg(feature = "postgres")]
    #[error("{0}")]
    Postgres(String),
    #[error("{url} answers {status}")]
    Status { url: String, status: u16 },
    #[error("{url} cannot be asked: {error}")]
    Http { url: String, error: String },
    #[error(transparent)]
    Metric(#[from] super::prometheus::MetricError),
    #[error("{what}, line {line}: {error}")]
    Line { what: String, line: usize, error: super::exposition::LineError },
    #[error("{0} does not end in a line feed: it is written at this moment, or was not written to its end")]
    HalfWritten(String),
    #[error("{what}: {error}")]
    Name { what: String, error: NameError },
    #[error("{count} things are wrong with the files, for instance: {first}")]
    Files { count: usize, first: Box<ReadError> },
    #[error("{count} members of groups cannot be asked, for instance: {first}")]
    Sockets { count: usize, first: Box<ReadError> },
    #[error(
        "the attributes of the group {0:?} would have the names of those of {1:?}, and are left out; rename it"
    )]
    SameName(String, String),
    #[error("there are more than {max} groups here, and those from {0:?} on have no attributes; the table groups has all", max = super::groups::GROUPS)]
    TooManyGroups(String),
    #[error("{0} has more than {max} files; the others are not read", max = limits::TEXTFILES)]
    TooManyFiles(String),
}

impl ReadError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// An attribute that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) name: Name,
    pub(super) value: Value,
    /// How long it lives; unless said, until about the second reading from now is over.
    pub(super) life: Option<Duration>,
}

impl Said {
    pub(super) fn new(name: Name, value: Value) -> Self {
        Self { name, value, life: None }
    }
}

/// What was read, and what was wrong with the rest.
pub(super) type Reading = Result<(Vec<Said>, Option<ReadError>), ReadError>;

/// A source that is read every so often.
pub(super) trait Read: Send + 'static {
    /// Reads it once. May be dropped when it takes too long.
    fn read(&mut self) -> impl Future<Output = Reading> + Send;
}

/// Reads `source` for ever. One reading may fail without consequence; after two, its attributes are gone.
pub(super) async fn poll(
    mut source: impl Read,
    id: SourceId,
    handle: Handle,
    every: Duration,
    patience: Duration,
) {
    let life = 2 * every + patience;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reading = timeout(patience, source.read()).await.unwrap_or(Err(ReadError::Late(patience)));
        match reading {
            Ok((all, wrong)) => {
                for said in all {
                    // What is refused is counted and said by the handle.
                    let _ = handle.put(id, said.name.as_str(), said.value, said.life.unwrap_or(life));
                }
                match wrong {
                    Some(wrong) => handle.fail(id, &wrong),
                    None => handle.works(id),
                }
            }
            Err(wrong) => handle.fail(id, &wrong),
        }
    }
}
