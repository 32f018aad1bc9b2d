//! The tables of the configuration.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::duration;
use crate::sources::{groups, host, name::Name};

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const fn a_minute() -> Duration {
    Duration::from_secs(60)
}

const fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

/// `[host]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// How often.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    /// Which of the host's attributes; none turns it off. All, unless said.
    pub attributes: Vec<String>,
    /// The network interfaces that count; unless said, those that are not made of others.
    pub interfaces: Option<Vec<String>>,
}

impl Default for Host {
    fn default() -> Self {
        let attributes = host::names().map(str::to_owned).collect();
        Self { every: ten_seconds(), attributes, interfaces: None }
    }
}

/// `[[file]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The attribute.
    pub name: Name,
    /// The file; it may be replaced, or not be there yet.
    pub path: PathBuf,
    /// Where in a file of JSON the value is (RFC 6901).
    pub pointer: Option<String>,
    /// The regular expression whose last match counts, of that the first group, if it has one.
    pub pattern: Option<String>,
    /// Take what looks like a number as text, as with versions.
    #[serde(default)]
    pub text: bool,
    /// How often.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub every: Duration,
    /// How long a reading may take.
    #[serde(default = "five_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// `[commands]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commands {
    /// Run them. Whoever writes the configuration then runs programs as the user of the agent.
    pub allowed: bool,
}

/// `[[command]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The attribute.
    pub name: Name,
    /// The program and its arguments; no shell looks at them.
    pub run: Vec<String>,
    /// As for files.
    pub pointer: Option<String>,
    /// As for files.
    pub pattern: Option<String>,
    /// As for files.
    #[serde(default)]
    pub text: bool,
    /// How often.
    #[serde(default = "a_minute", deserialize_with = "duration")]
    pub every: Duration,
    /// How long it may take; then it is killed, and whatever it has started.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// `[[sqlite]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sqlite {
    /// The attributes: one for each column of the query.
    pub attributes: Vec<Name>,
    /// The file of the database.
    pub path: PathBuf,
    /// A question; its first row counts.
    pub query: String,
    /// How often.
    #[serde(default = "a_minute", deserialize_with = "duration")]
    pub every: Duration,
    /// How long it may take; then it is interrupted.
    #[serde(default = "five_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// `[[postgres]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// The attributes: one for each column of the query.
    pub attributes: Vec<Name>,
    /// Where the database is: `host=/run/postgresql user=monitor dbname=app`, or a `postgresql://` address.
    pub connect: Secret,
    /// A file that has the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// A question; its first row counts.
    pub query: String,
    /// How often.
    #[serde(default = "a_minute", deserialize_with = "duration")]
    pub every: Duration,
    /// How long it may take, connecting included; then it is cancelled.
    #[serde(default = "five_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// `[[prometheus]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// Where the metrics are: `http://127.0.0.1:9000/metrics`. No TLS.
    pub url: String,
    /// Attributes, and the metrics that they are.
    pub attributes: BTreeMap<Name, Metric>,
    /// How often.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub every: Duration,
    /// How long it may take.
    #[serde(default = "five_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// A metric: its name, as in `"gcs_members"`, with labels if need be, as in `'gcs_members{group="kv"}'`; or a table that says more.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Metric {
    /// One series.
    One(String),
    /// More about it.
    Table(MetricTable),
}

/// A metric, and what becomes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricTable {
    /// Name and labels.
    pub metric: String,
    /// What becomes of several series.
    pub of: Option<Of>,
    /// Increase in a second, for counters.
    #[serde(default)]
    pub rate: bool,
}

/// What becomes of several series that have the name and the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Metric {
    /// Name and labels, as they are written.
    pub fn selector(&self) -> &str {
        match self {
            Self::One(metric) => metric,
            Self::Table(table) => &table.metric,
        }
    }

    /// What becomes of several series; if this is not said, there must be one.
    pub fn of(&self) -> Option<Of> {
        match self {
            Self::One(_) => None,
            Self::Table(table) => table.of,
        }
    }

    /// Whether its increase in a second is meant.
    pub fn is_rate(&self) -> bool {
        matches!(self, Self::Table(table) if table.rate)
    }
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to listen: an address of this host alone, such as `127.0.0.1:9876`.
    pub listen: SocketAddr,
    /// Listen at an address that others reach. Whoever reaches it can say and remove attributes.
    #[serde(default)]
    pub anyone_may_write: bool,
    /// How long an attribute lives that is not said again.
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    pub life: Duration,
}

/// `[statsd]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statsd {
    /// Where to listen: an address of this host alone, such as `127.0.0.1:8125`.
    pub listen: SocketAddr,
    /// Listen at an address that others reach. Whoever reaches it can say attributes.
    #[serde(default)]
    pub anyone_may_write: bool,
    /// Over how long counters and timers are summed up.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub every: Duration,
    /// How long an attribute lives that is not said again.
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    pub life: Duration,
}

/// `[textfile]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Textfile {
    /// The directory; files that end in `.prom` or `.json` are read.
    pub directory: PathBuf,
    /// How often.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub every: Duration,
    /// How long a reading may take.
    #[serde(default = "five_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
    /// How old a file may be.
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    pub life: Duration,
}

/// `[groups]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Groups {
    /// The folder in which members of gcs groups make their control sockets.
    pub folder: PathBuf,
    /// What is said of each group. All, unless said.
    pub attributes: Vec<String>,
    /// How often.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
}

impl Default for Groups {
    fn default() -> Self {
        let attributes = groups::FACTS.map(str::to_owned).into();
        Self { folder: groups::folder(), attributes, every: ten_seconds() }
    }
}

/// A text that is not shown, because passwords may be in it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
