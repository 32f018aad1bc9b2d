//! `gcs-monitor agent --config FILE.toml`: the file says what the flags say, by the same names.

use std::{ffi::OsString, fmt, fs, path::PathBuf, str::FromStr};

use gcs_monitor::{sources::config, value::Value};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Agent;

/// Bytes of a file.
const FILE_MAX: u64 = 1 << 20;

impl Agent {
    /// These flags, and what the file of `--config` says where they are silent.
    pub(super) fn with_file(self) -> Result<Self, String> {
        let Some(path) = &self.config else { return Ok(self) };
        let named = |e: &dyn fmt::Display| format!("{}: {e}", path.display());
        if fs::metadata(path).map_err(|e| named(&e))?.len() > FILE_MAX {
            return Err(named(&"it has more than 1 MiB, and is no configuration"));
        }
        let text = fs::read_to_string(path).map_err(|e| named(&e))?;
        let mut file = from_toml(&text).map_err(|e| named(&e))?;
        if let (Some(Attributes::At(at)), Some(directory)) = (&mut file.attributes, path.parent()) {
            *at = directory.join(&at);
        }
        Ok(self.over(file))
    }

    fn over(self, file: Self) -> Self {
        let named = |name: &str| self.set.iter().any(|(own, _)| own == name);
        let others = file.set.into_iter().filter(|(name, _)| !named(name)).collect::<Vec<_>>();
        Self {
            config: self.config,
            name: self.name.or(file.name),
            listen: self.listen.or(file.listen),
            contact: self.contact.or(file.contact),
            relay: if self.relay.is_empty() { file.relay } else { self.relay },
            realm: self.realm.or(file.realm),
            relay_for: self.relay_for.or(file.relay_for),
            seed: if self.seed.is_empty() { file.seed } else { self.seed },
            api: self.api.or(file.api),
            api_is_open: self.api_is_open || file.api_is_open,
            api_needs_key: self.api_needs_key || file.api_needs_key,
            identity: self.identity.or(file.identity),
            authority: if self.authority.is_empty() { file.authority } else { self.authority },
            health: if self.health.is_empty() { file.health } else { self.health },
            attributes: self.attributes.or(file.attributes),
            log: if self.log.is_empty() { file.log } else { self.log },
            set: others.into_iter().chain(self.set).collect(),
            attached: self.attached,
        }
    }
}

/// One sentence, with the line, if it cannot be read.
fn from_toml(text: &str) -> Result<Agent, String> {
    let agent: Agent = toml::from_str(text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|c| *c == b'\n').count() + 1;
        format!("line {line}: {}; docs/monitor.md shows what there is", e.message().replace('\n', " "))
    })?;
    if let Some(Attributes::Here(here)) = &agent.attributes {
        here.check().map_err(|e| format!("[attributes]: {e}"))?;
    }
    Ok(agent)
}

/// Which attributes an agent has: a file says it, or the table itself.
#[derive(Clone)]
pub(super) enum Attributes {
    /// In a file; beside the one that names it, unless its path is a whole one.
    At(PathBuf),
    /// Here.
    Here(Box<config::Config>),
}

impl Default for Attributes {
    fn default() -> Self {
        Self::Here(Box::default())
    }
}

impl From<OsString> for Attributes {
    fn from(path: OsString) -> Self {
        Self::At(path.into())
    }
}

impl Attributes {
    pub(super) fn load(self) -> Result<config::Config, String> {
        let file = match self {
            Self::Here(config) => return Ok(*config),
            Self::At(file) => file,
        };
        let text = fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        config::Config::from_toml(&text).map_err(|e| format!("{}: {e}", file.display()))
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a file, or a table as docs/attributes.md has it")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<Attributes, E> {
                Ok(Attributes::At(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Attributes, A::Error> {
                let config = config::Config::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Attributes::Here(Box::new(config)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A value that text says.
pub(super) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// Attributes that do not change: a table of numbers, text and truth.
pub(super) fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Value)>, D::Error> {
    let table = toml::Table::deserialize(deserializer)?;
    let pairs = table.into_iter().map(|(name, value)| {
        let value = match value {
            toml::Value::String(text) => Value::text(text),
            toml::Value::Integer(int) => Value::Int(int),
            toml::Value::Float(float) => Value::float(float),
            toml::Value::Boolean(holds) => Value::truth(holds),
            other => {
                let found = other.type_str();
                return Err(D::Error::custom(format!(
                    "set.{name} is of the type {found}; an attribute is a number, a text, or true or false"
                )));
            }
        };
        Ok((name, value))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        agent: Agent,
    }

    const FILE: &str = r#"
name = "/eu/ams/a"
listen = "10.0.0.1:4804"
contact = "192.0.2.1:4804"
relay = ["192.0.2.7:4804"]
realm = "office"
relay_for = 8
seed = ["10.0.0.2:4804", "10.0.0.3:4804"]
api = "127.0.0.1:4900"
api_is_open = true
set = { role = "db", rack = 7, share = 0.5, spare = false }

[attributes.host]
every = "5s"
"#;

    fn flags(words: &[&str]) -> Agent {
        Flags::try_parse_from(["agent"].iter().chain(words)).unwrap_or_else(|e| panic!("{e}")).agent
    }

    #[test]
    fn a_file_says_what_flags_say_and_flags_win() {
        let file = flags(&["--config", "x"]).over(from_toml(FILE).unwrap());
        assert_eq!(file.name.as_ref().map(|name| name.as_str()), Some("/eu/ams/a"));
        assert_eq!(file.listen, "10.0.0.1:4804".parse().ok());
        assert_eq!(file.contact, "192.0.2.1:4804".parse().ok());
        assert_eq!(file.api, "127.0.0.1:4900".parse().ok());
        assert!(file.seed.len() == 2 && file.api_is_open);
        assert_eq!(file.relay, ["192.0.2.7:4804".parse().unwrap()]);
        assert_eq!((file.realm.clone(), file.relay_for), ("office".parse().ok(), Some(8)));
        let set = |agent: &Agent, name: &str| {
            agent.set.iter().filter(|(n, _)| n == name).map(|(_, v)| v.to_string()).collect::<Vec<_>>()
        };
        assert_eq!([set(&file, "rack"), set(&file, "share"), set(&file, "spare")], [["7"], ["0.5"], ["0"]]);
        match file.attributes {
            Some(Attributes::Here(here)) => assert_eq!(here.host.every.as_secs(), 5),
            _ => panic!("the table is in the file"),
        }
        let words = ["--name", "/us/b", "--seed", "10.9.9.9:1", "--set", "rack=8", "--attributes", "o.toml"];
        let both = flags(&words).over(from_toml(FILE).unwrap());
        assert_eq!(both.name.as_ref().map(|name| name.as_str()), Some("/us/b"));
        assert_eq!(both.seed, ["10.9.9.9:1".parse().unwrap()]);
        assert_eq!([set(&both, "rack"), set(&both, "role")], [["8"], ["db"]]);
        assert!(matches!(both.attributes, Some(Attributes::At(at)) if at.as_os_str() == "o.toml"));
    }

    #[test]
    fn what_is_wrong_is_one_sentence_with_its_line() {
        for (text, says) in [
            ("name = '/a/b'\nseeds = []", "line 2: unknown field `seeds`, expected one of `name`"),
            ("\nname = 'a'", "line 2: `a` is not the path of a zone"),
            ("listen = 'here'", "line 1: "),
            ("\n\n[attributes.host]\nevrey = '5s'", "line 4: unknown field `evrey`"),
            ("[attributes.host]\nattributes = ['colour']", "[attributes]: [host]: there is no attribute"),
            ("[set]\nrole = [1]", "line 1: set.role is of the type array"),
            ("config = 'x'", "line 1: unknown field `config`"),
            ("name = ", "line 1: "),
        ] {
            let e = from_toml(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(e.starts_with(says) && e.lines().count() == 1, "{text}: {e}");
        }
    }
}
