//! [`May`]: what a client may do, as text: `read,write:app.,install`.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::wire::is_label;

/// Prefixes of names of attributes that a certificate has.
pub const PREFIXES_MAX: usize = 16;

/// Which attributes a client may write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Write {
    /// None.
    #[default]
    Nothing,
    /// All.
    Anything,
    /// Those whose names begin with one of these: in order, each once, at most [`PREFIXES_MAX`].
    Beginning(Vec<String>),
}

/// What a client may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct May {
    /// Ask what there is.
    pub read: bool,
    /// Set attributes.
    pub write: Write,
    /// Install functions, and remove them.
    pub install: bool,
    /// Have standing queries asked: agents tell what is in their processes, connections, logs.
    pub subscribe: bool,
    /// Announce something to everybody.
    pub announce: bool,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// To read.
    Read,
    /// To set this attribute.
    Write(&'a str),
    /// To install functions.
    Install,
    /// To have standing queries asked.
    Subscribe,
    /// To announce something.
    Announce,
}

impl May {
    /// Whether this is enough.
    #[must_use]
    pub fn allows(&self, need: Need<'_>) -> bool {
        match (need, &self.write) {
            (Need::Read, _) => self.read,
            (Need::Install, _) => self.install,
            (Need::Subscribe, _) => self.subscribe,
            (Need::Announce, _) => self.announce,
            (Need::Write(_), Write::Nothing) => false,
            (Need::Write(_), Write::Anything) => true,
            (Need::Write(name), Write::Beginning(with)) => {
                with.iter().any(|prefix| name.starts_with(prefix.as_str()))
            }
        }
    }
}

impl fmt::Display for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if self.read {
            parts.push("read".to_owned());
        }
        match &self.write {
            Write::Nothing => {}
            Write::Anything => parts.push("write".to_owned()),
            Write::Beginning(with) => parts.extend(with.iter().map(|prefix| format!("write:{prefix}"))),
        }
        let others = [(self.install, "install"), (self.subscribe, "subscribe"), (self.announce, "announce")];
        parts.extend(others.into_iter().filter(|(may, _)| *may).map(|(_, word)| word.to_owned()));
        f.write_str(&parts.join(","))
    }
}

/// Why a text says nothing that a client may do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MayError {
    /// An unknown word.
    #[error(
        "`{0}` is nothing that a client may do: write some of read, write, write:PREFIX, install, subscribe, announce, with commas"
    )]
    Word(String),
    /// Too many prefixes.
    #[error("a client may write attributes that begin with one of at most {PREFIXES_MAX} prefixes")]
    Prefixes,
}

impl FromStr for May {
    type Err = MayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut may, mut any, mut with) = (Self::default(), false, Vec::new());
        for word in text.split(',').map(str::trim) {
            match (word, word.strip_prefix("write:")) {
                ("read", _) => may.read = true,
                ("install", _) => may.install = true,
                ("subscribe", _) => may.subscribe = true,
                ("announce", _) => may.announce = true,
                ("write", _) => any = true,
                (_, Some(prefix)) if is_label(prefix) => with.push(prefix.to_owned()),
                _ => return Err(MayError::Word(word.to_owned())),
            }
            if with.len() > PREFIXES_MAX {
                return Err(MayError::Prefixes);
            }
        }
        with.sort_unstable();
        with.dedup();
        may.write = match (any, with.is_empty()) {
            (true, _) => Write::Anything,
            (false, true) => Write::Nothing,
            (false, false) => Write::Beginning(with),
        };
        Ok(may)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_allowed() {
        for (text, shown, allowed) in [
            ("read", "read", [true, false, false, false]),
            ("install, read", "read,install", [true, false, false, true]),
            ("write", "write", [false, true, true, false]),
            ("write:web.,write:app.,write:app.", "write:app.,write:web.", [false, true, false, false]),
            ("write:app.,write", "write", [false, true, true, false]),
        ] {
            let may: May = text.parse().unwrap();
            assert_eq!(may.to_string(), shown);
            assert_eq!(shown.parse::<May>().unwrap(), may);
            let needs = [Need::Read, Need::Write("app.load"), Need::Write("apple"), Need::Install];
            assert_eq!(needs.map(|need| may.allows(need)), allowed, "{text}");
        }
    }

    #[test]
    fn standing_queries_and_announcements_have_rights_of_their_own() {
        let all = ["read", "write", "install", "subscribe", "announce"];
        let needs = [Need::Read, Need::Write("x"), Need::Install, Need::Subscribe, Need::Announce];
        for (nth, word) in all.into_iter().enumerate() {
            let may: May = word.parse().unwrap();
            let allowed = needs.map(|need| may.allows(need));
            assert_eq!(allowed, [0, 1, 2, 3, 4].map(|of| of == nth), "{word}");
        }
        assert_eq!("announce,subscribe".parse::<May>().unwrap().to_string(), "subscribe,announce");
    }

    #[test]
    fn what_nobody_may_is_refused() {
        let many = (0..17).map(|n| format!("write:p{n}.")).collect::<Vec<_>>().join(",");
        for wrong in ["", "READ", "read,,write", "write:", "write:a b", "everything", &many] {
            assert!(wrong.parse::<May>().is_err(), "{wrong}");
        }
    }
}
