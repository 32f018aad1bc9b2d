//! What a configuration must be to be done.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{Config, Report, rules::EVERYTHING};
use crate::sources::{
    exposition::Selector,
    extract::{Extract, ExtractError},
    groups, host, limits,
    name::Name,
    prometheus::Target,
};

/// Readings are at least so far apart.
const OFTENEST: Duration = Duration::from_millis(100);
/// And at most so far.
const RAREST: Duration = Duration::from_secs(24 * 3600);

/// What is wrong with a configuration, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not TOML, or says what is not known.
    #[error("line {line}: {message}; see docs/attributes.md for what there is")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A time that is too short or too long.
    #[error("{table}: {field} is {}, and has to be between {} and {}; change it", humantime::format_duration(*.found), humantime::format_duration(OFTENEST), humantime::format_duration(RAREST))]
    Time {
        /// The table.
        table: String,
        /// Its field.
        field: &'static str,
        /// What it says.
        found: Duration,
    },
    /// Two tables report one attribute.
    #[error("the attribute {name} is reported by {first} and by {second}; rename one of them")]
    Twice {
        /// The attribute.
        name: String,
        /// A table.
        first: String,
        /// Another one.
        second: String,
    },
    /// More attributes than a row has.
    #[error("the configuration has {0} attributes, and an agent reports at most {max}; leave some out, for instance of the host's", max = limits::ATTRIBUTES)]
    TooMany(usize),
    /// The host has no such attribute.
    #[error("[host]: there is no attribute {found:?}; choose among {known}")]
    Host {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// Commands, without the word that they may be run.
    #[error(
        "[[command]] {0}: commands are not run unless [commands] says allowed = true; say so, or remove the table"
    )]
    Commands(String),
    /// A listener that others reach, without the word that they may.
    #[error(
        "[{table}]: others than this host reach {listen}; listen at 127.0.0.1 or [::1], or say anyone_may_write = true"
    )]
    Listener {
        /// The table.
        table: &'static str,
        /// The address.
        listen: SocketAddr,
    },
    /// A rule for no attribute.
    #[error("[report.{0:?}]: {0:?} is neither the name of an attribute nor \"*\"; correct it")]
    Report(String),
    /// A threshold that is no number, or negative; or no digits.
    #[error("[report.{0:?}]: absolute and relative are 0 or more, and digits 1 to 17; correct it")]
    Thresholds(String),
    /// Something else in a table.
    #[error("{table}: {problem}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Whose table it is, and the attributes that it reports.
struct Claims(BTreeMap<String, String>);

impl Claims {
    fn add<'n>(&mut self, table: &str, names: impl IntoIterator<Item = &'n Name>) -> Result<(), ConfigError> {
        for name in names {
            if let Some(first) = self.0.insert(name.to_string(), table.to_owned()) {
                let (name, second) = (name.to_string(), table.to_owned());
                return Err(ConfigError::Twice { name, first, second });
            }
        }
        Ok(())
    }
}

fn times(table: &str, times: &[(&'static str, Duration)]) -> Result<(), ConfigError> {
    match times.iter().find(|(_, time)| !(OFTENEST..=RAREST).contains(time)) {
        Some(&(field, found)) => Err(ConfigError::Time { table: table.to_owned(), field, found }),
        None => Ok(()),
    }
}

fn problem(table: &str, problem: impl ToString) -> ConfigError {
    ConfigError::Table { table: table.to_owned(), problem: problem.to_string() }
}

fn extract(table: &str, made: Result<Extract, ExtractError>) -> Result<(), ConfigError> {
    made.map(drop).map_err(|e| problem(table, e))
}

fn columns(table: &str, attributes: &[Name], query: &str) -> Result<(), ConfigError> {
    if attributes.is_empty() {
        return Err(problem(table, "attributes is empty; name one for each column of the query"));
    }
    if query.trim().is_empty() {
        return Err(problem(table, "query is empty; write a SELECT"));
    }
    Ok(())
}

impl Config {
    /// Whether all of it can be done.
    ///
    /// # Errors
    /// What cannot, where it is, and what to do.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut claims = Claims(BTreeMap::new());
        self.check_host(&mut claims)?;
        self.check_readings(&mut claims)?;
        self.check_databases(&mut claims)?;
        self.check_listeners()?;
        if claims.0.len() > limits::ATTRIBUTES {
            return Err(ConfigError::TooMany(claims.0.len()));
        }
        self.report.iter().try_for_each(|(name, report)| check_report(name, report))
    }

    fn check_host(&self, claims: &mut Claims) -> Result<(), ConfigError> {
        times("[host]", &[("every", self.host.every)])?;
        for found in &self.host.attributes {
            if !host::names().any(|name| name == found) {
                let known = host::names().collect::<Vec<_>>().join(", ");
                return Err(ConfigError::Host { found: found.clone(), known });
            }
        }
        let names: Vec<Name> = self.host.attributes.iter().filter_map(|n| Name::new(n).ok()).collect();
        claims.add("[host]", &names)
    }

    fn check_readings(&self, claims: &mut Claims) -> Result<(), ConfigError> {
        for file in &self.file {
            let table = format!("[[file]] {}", file.name);
            times(&table, &[("every", file.every), ("timeout", file.timeout)])?;
            extract(&table, Extract::new(file.pointer.as_deref(), file.pattern.as_deref(), file.text))?;
            claims.add(&table, [&file.name])?;
        }
        for command in &self.command {
            let table = format!("[[command]] {}", command.name);
            if !self.commands.allowed {
                return Err(ConfigError::Commands(command.name.to_string()));
            }
            if command.run.first().is_none_or(String::is_empty) {
                return Err(problem(&table, "run is empty; give a program and its arguments"));
            }
            times(&table, &[("every", command.every), ("timeout", command.timeout)])?;
            extract(
                &table,
                Extract::new(command.pointer.as_deref(), command.pattern.as_deref(), command.text),
            )?;
            claims.add(&table, [&command.name])?;
        }
        for prometheus in &self.prometheus {
            let table = format!("[[prometheus]] {}", prometheus.url);
            times(&table, &[("every", prometheus.every), ("timeout", prometheus.timeout)])?;
            Target::new(&prometheus.url).map_err(|e| problem(&table, e))?;
            for metric in prometheus.attributes.values() {
                Selector::new(metric.selector()).map_err(|e| problem(&table, e))?;
            }
            claims.add(&table, prometheus.attributes.keys())?;
        }
        if let Some(textfile) = &self.textfile {
            let all = [("every", textfile.every), ("timeout", textfile.timeout), ("life", textfile.life)];
            times("[textfile]", &all)?;
        }
        if let Some(own) = &self.groups {
            times("[groups]", &[("every", own.every)])?;
            if let Some(found) = own.attributes.iter().find(|name| !groups::FACTS.contains(&name.as_str())) {
                let known = groups::FACTS.join(", ");
                let what = format!("of a group {found:?} cannot be said; choose among {known}");
                return Err(problem("[groups]", what));
            }
        }
        Ok(())
    }

    fn check_databases(&self, claims: &mut Claims) -> Result<(), ConfigError> {
        for sqlite in &self.sqlite {
            let table = format!("[[sqlite]] {}", sqlite.path.display());
            if cfg!(not(feature = "sqlite")) {
                return Err(problem(
                    &table,
                    "this program was built without the feature sqlite; build it with",
                ));
            }
            columns(&table, &sqlite.attributes, &sqlite.query)?;
            times(&table, &[("every", sqlite.every), ("timeout", sqlite.timeout)])?;
            claims.add(&table, &sqlite.attributes)?;
        }
        for postgres in &self.postgres {
            let first = postgres.attributes.first().map(ToString::to_string).unwrap_or_default();
            let table = format!("[[postgres]] {first}");
            columns(&table, &postgres.attributes, &postgres.query)?;
            #[cfg(feature = "postgres")]
            crate::sources::postgres::check(&postgres.connect.0).map_err(|e| problem(&table, e))?;
            if cfg!(not(feature = "postgres")) {
                return Err(problem(
                    &table,
                    "this program was built without the feature postgres; build it with",
                ));
            }
            times(&table, &[("every", postgres.every), ("timeout", postgres.timeout)])?;
            claims.add(&table, &postgres.attributes)?;
        }
        Ok(())
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        if let Some(http) = &self.http {
            times("[http]", &[("life", http.life)])?;
            listener("http", http.listen, http.anyone_may_write)?;
        }
        if let Some(statsd) = &self.statsd {
            times("[statsd]", &[("every", statsd.every), ("life", statsd.life)])?;
            listener("statsd", statsd.listen, statsd.anyone_may_write)?;
        }
        Ok(())
    }
}

fn listener(table: &'static str, listen: SocketAddr, anyone_may_write: bool) -> Result<(), ConfigError> {
    if listen.ip().is_loopback() || anyone_may_write {
        Ok(())
    } else {
        Err(ConfigError::Listener { table, listen })
    }
}

fn check_report(name: &str, report: &Report) -> Result<(), ConfigError> {
    if name != EVERYTHING && Name::new(name).is_err() {
        return Err(ConfigError::Report(name.to_owned()));
    }
    let share = |threshold: Option<f64>| threshold.is_none_or(|n| n >= 0.0);
    let digits = report.digits.is_none_or(|n| (1..=17).contains(&n));
    if !share(report.absolute) || !share(report.relative) || !digits {
        return Err(ConfigError::Thresholds(name.to_owned()));
    }
    let table = format!("[report.{name:?}]");
    let set = [("refresh", report.refresh), ("pause", report.pause)];
    set.into_iter()
        .filter_map(|(field, time)| Some((field, time?)))
        .try_for_each(|time| times(&table, &[time]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        Config::from_toml(text).expect_err(text).to_string()
    }

    #[test]
    fn nothing_said_is_the_host_alone() {
        let config = Config::from_toml("").unwrap();
        assert_eq!(config.host.attributes.len(), host::names().count());
        assert!(Config::from_toml("[host]\nattributes = []").unwrap().host.attributes.is_empty());
    }

    #[test]
    fn mistakes_are_one_sentence_that_says_where_and_what_to_do() {
        let file = |rest: &str| format!("[[file]]\nname = 'q'\npath = '/x'\n{rest}");
        for (text, words) in [
            ("[host", "line 1:"),
            ("[host]\n\nevery = 5", "line 3:"),
            ("[host]\nevery = 'soon'", "is no time"),
            ("[host]\nevery = '1ms'", "[host]: every is 1ms"),
            ("[host]\nattributes = ['cpus']", "no attribute \"cpus\"; choose among cpu, cores"),
            ("[[file]]\npath = '/x'", "missing field `name`"),
            ("[[file]]\nname = 'Q'\npath = '/x'", "is no name for an attribute"),
            ("[[file]]\nname = 'id'\npath = '/x'", "set by the zones themselves"),
            (&file("pattern = '('"), "[[file]] q: the pattern"),
            (&file("pattern = 'x'\npointer = '/x'"), "[[file]] q: both"),
            (&file("pointer = 'x'"), "[[file]] q: the pointer"),
            (&file("[[file]]\nname = 'q'\npath = '/y'"), "reported by [[file]] q and by [[file]] q"),
            (&file("[[file]]\nname = 'cpu'\npath = '/y'"), "reported by [host] and by [[file]] cpu"),
            ("[[command]]\nname = 'q'\nrun = ['true']", "allowed = true"),
            ("[commands]\nallowed = true\n[[command]]\nname = 'q'\nrun = []", "run is empty"),
            ("[[sqlite]]\nattributes = []\npath = '/x'\nquery = 'SELECT 1'", "attributes is empty"),
            (
                "[[postgres]]\nattributes = ['q']\nconnect = 'x=y'\nquery = 'SELECT 1'",
                "[[postgres]] q: connect",
            ),
            ("[[prometheus]]\nurl = 'https://x/'\nattributes = {}", "[[prometheus]] https://x/: "),
            (
                "[[prometheus]]\nurl = 'http://127.0.0.1:1/'\nattributes = { q = 'a{' }",
                "[[prometheus]] http://127.0.0.1:1/: ",
            ),
            ("[http]\nlisten = '0.0.0.0:80'", "[http]: others than this host reach 0.0.0.0:80"),
            ("[statsd]\nlisten = '10.0.0.1:8125'", "anyone_may_write = true"),
            ("[report.'a b']\nabsolute = 1", "neither the name of an attribute nor"),
            ("[report.q]\nabsolute = -1", "0 or more"),
            ("[report.q]\nabsolute = nan", "0 or more"),
            ("[report.q]\nrefresh = '0s'", "refresh is 0s"),
            (
                "[groups]\nattributes = ['colour']",
                "[groups]: of a group \"colour\" cannot be said; choose among processes",
            ),
            ("[groups]\nevery = '0s'", "[groups]: every is 0s"),
            ("[surprise]", "line 1: unknown field `surprise`"),
        ] {
            let said = mistake(text);
            assert!(said.contains(words), "{text}\n{said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn what_says_so_may_listen_to_anyone() {
        assert!(Config::from_toml("[http]\nlisten = '0.0.0.0:80'\nanyone_may_write = true").is_ok());
    }

    #[test]
    fn passwords_are_not_shown() {
        let text = "[[postgres]]\nattributes = ['q']\nconnect = 'password=geheim'\nquery = 'SELECT 1'";
        assert!(!format!("{:?}", Config::from_toml(text)).contains("geheim"));
    }

    #[test]
    fn there_is_a_limit_to_attributes() {
        let many: String = (0..60).map(|n| format!("[[file]]\nname = 'f{n}'\npath = '/x'\n")).collect();
        assert!(mistake(&many).contains("at most 64"));
    }
}
