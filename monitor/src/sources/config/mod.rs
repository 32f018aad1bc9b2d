//! What an agent reports, as TOML says it. `docs/attributes.md` has all of it with examples.

mod check;
mod rules;
mod tables;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

pub use check::ConfigError;
pub(super) use rules::Rules;
pub use rules::{EVERYTHING, Report};
pub use tables::{
    Command, Commands, File, Groups, Host, Http, Metric, MetricTable, Of, Postgres, Prometheus, Secret,
    Sqlite, Statsd, Textfile,
};

/// All sources of an agent. The default is the host alone.
///
/// ```
/// use gcs_monitor::sources::Config;
/// let config = Config::from_toml(r#"
///     [[file]]
///     name = "queue"
///     path = "/run/app/stats.json"
///     pointer = "/queue/length"
/// "#);
/// assert_eq!(config.map(|c| c.file.len()), Ok(1));
/// let mistake = Config::from_toml("[host]\nevrey = '5s'").unwrap_err();
/// assert!(mistake.to_string().starts_with("line 2: unknown field `evrey`"));
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The host itself.
    pub host: Host,
    /// Files, each read for one attribute.
    pub file: Vec<File>,
    /// Whether commands are run.
    pub commands: Commands,
    /// Commands, each run for one attribute.
    pub command: Vec<Command>,
    /// Queries of SQLite files.
    pub sqlite: Vec<Sqlite>,
    /// Queries of PostgreSQL.
    pub postgres: Vec<Postgres>,
    /// Metrics in the text form of Prometheus, over HTTP.
    pub prometheus: Vec<Prometheus>,
    /// Groups that have members on this host.
    pub groups: Option<Groups>,
    /// Applications say attributes over HTTP.
    pub http: Option<Http>,
    /// Applications say attributes by statsd datagrams.
    pub statsd: Option<Statsd>,
    /// A directory with files of metrics.
    pub textfile: Option<Textfile>,
    /// When changes are reported, by attribute; [`EVERYTHING`] for those that have no table of their own.
    pub report: BTreeMap<String, Report>,
}

impl Config {
    /// The configuration that a text says.
    ///
    /// # Errors
    /// It is not TOML, says what is not known, or cannot be done; the error says where, and what to do.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.bytes().filter(|c| *c == b'\n').count() + 1;
            ConfigError::Syntax { line, message: e.message().replace('\n', " ") }
        })?;
        config.check()?;
        Ok(config)
    }
}

/// A time such as `10s`, `500ms` or `5m`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|e| D::Error::custom(format!("{text:?} is no time ({e}); write it as \"10s\" or \"5m\"")))
}

/// As [`duration`], where none need be given.
fn duration_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}
