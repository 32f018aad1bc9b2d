//! What a proxy is told: its listeners, their back ends, checks, limits. All replicas are told the same.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Balance;

/// A listener has at most so many back ends: those that have been tried for a connection are bits of a `u64`.
const MOST_BACK_ENDS: usize = 64;
/// So that what operators are told fits into a connection's buffer.
const MOST_LISTENERS: usize = 256;
/// A virtual address has so many ports for connections to one back end (RFC 6335, section 6).
const PORTS: u32 = 16_384;

/// Settings of a proxy, as [`Config::parse`] reads them:
///
/// ```
/// # use gcs_tcp_endpoint::proxy::Config;
/// let config = Config::parse(r#"
///     connections = 50000                       # sessions in all
///
///     [[listener]]
///     listen = 5432                             # at every virtual address
///     to = [
///         { address = "10.0.0.21:5432", connections = 1000 },
///         { address = "10.0.0.22:5432", drain = true },   # no new sessions
///     ]
///     balance = "least-connections"             # or "round-robin", "source-hash"
///     proxy_protocol = true                     # back ends are told who the client is
///     connect_timeout_ms = 3000                 # then the next back end is tried
///     check = { interval_ms = 2000, timeout_ms = 1000, rise = 2, fall = 3 }
///
///     [control]                                 # `echo status | nc -N 10.0.0.100 9000`
///     listen = 9000
///     from = ["10.0.0.9"]                       # who may say something there
/// "#)?;
/// assert_eq!(config.listeners[0].back_ends.len(), 2);
/// # Ok::<(), gcs_tcp_endpoint::proxy::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Sessions of all listeners together; further clients see a reset.
    #[serde(default = "Config::connections")]
    pub connections: u32,
    /// The listeners.
    #[serde(rename = "listener")]
    pub listeners: Vec<Listener>,
    /// Where operators say what is to be drained; nowhere if there is none.
    #[serde(default)]
    pub control: Option<Control>,
}

/// A port for operators, at every virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The port.
    #[serde(rename = "listen")]
    pub port: u16,
    /// The addresses of operators; others see a reset. What they say is not encrypted.
    pub from: Vec<IpAddr>,
}

/// A port and where its connections go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The port that clients connect to, at every virtual address.
    #[serde(rename = "listen")]
    pub port: u16,
    /// Where connections go; at most 64.
    #[serde(rename = "to")]
    pub back_ends: Vec<BackEnd>,
    /// How one of them is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// Back ends are told who the client is by a PROXY protocol header, version 2, before the client's first byte.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// How long a back end may take to answer, in milliseconds, before the next one is tried.
    #[serde(default = "Listener::connect_timeout_ms")]
    pub connect_timeout_ms: u32,
    /// How back ends are checked.
    #[serde(default)]
    pub check: Check,
}

/// A back end. It must not run on a replica's own host: frames that a host sends to itself do not leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackEnd {
    /// Its address.
    pub address: SocketAddr,
    /// Sessions that it may have; further ones go elsewhere. At most 16,384, which is how many ports there are for them.
    #[serde(default = "BackEnd::connections")]
    pub connections: u32,
    /// It gets no new sessions until an operator says so; those that it has go on.
    #[serde(default)]
    pub drain: bool,
}

/// How back ends are checked: by opening a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// From one check to the next, in milliseconds; 0 for no checks.
    pub interval_ms: u32,
    /// How long a back end may take to answer, in milliseconds.
    pub timeout_ms: u32,
    /// Successes in a row after which a back end that was down is up.
    pub rise: u8,
    /// Failures in a row after which a back end that was up is down.
    pub fall: u8,
}

impl Default for Check {
    fn default() -> Self {
        Self { interval_ms: 2000, timeout_ms: 1000, rise: 2, fall: 3 }
    }
}

/// A configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// It is not what it should be.
    #[error("line {line} of the proxy's configuration: {message}; `gcs-tcp proxy --help` has an example")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What the parser says, in one line.
        message: String,
    },
    /// There is nothing to listen at.
    #[error("the proxy's configuration has no listener: add a [[listener]] with `listen` and `to`")]
    NoListener,
    /// There are too many listeners.
    #[error("the proxy's configuration has {0} listeners: it can have 256")]
    Listeners(usize),
    /// Two listeners have one port, or one of them that of operators.
    #[error(
        "port {0} is there twice in the proxy's configuration: give each listener, and [control], a port of its own"
    )]
    SamePort(u16),
    /// A listener has port 0.
    #[error("a listener, or [control], has port 0: say which port is connected to")]
    NoPort,
    /// Nobody may connect to the port for operators.
    #[error(
        "[control] of the proxy's configuration has no address in `from`: name the hosts of operators, or remove it"
    )]
    Nobody,
    /// A listener has no back end, or too many.
    #[error("the listener at port {0} has {1} back ends: it can have 1 to 64")]
    Count(u16, usize),
    /// A back end is there twice.
    #[error("the listener at port {0} has the back end {1} twice: remove one")]
    Twice(u16, SocketAddr),
    /// A back end's address cannot be connected to.
    #[error(
        "the listener at port {0} has the back end {1}, which is no address of a host with a port: write it like 10.0.0.21:5432"
    )]
    Address(u16, SocketAddr),
    /// A back end is one of our own addresses.
    #[error(
        "the listener at port {0} has the back end {1}, which is the proxy's own address: name the server behind it"
    )]
    Itself(u16, SocketAddr),
    /// No virtual address can reach a back end.
    #[error(
        "the listener at port {0} has the back end {1}, which no virtual address of the same family can reach: add one with --vip"
    )]
    Family(u16, SocketAddr),
    /// A number is out of range.
    #[error("{name} = {value} in the proxy's configuration is out of range: it can be {least} to {most}")]
    Range {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: u32,
        /// What it can be at least.
        least: u32,
        /// What it can be at most.
        most: u32,
    },
}

impl Config {
    /// Sessions if nothing is said.
    const fn connections() -> u32 {
        50_000
    }

    /// One listener, everything else as it is by default.
    #[must_use]
    pub fn simple(port: u16, to: &[SocketAddr], balance: Balance) -> Self {
        let back_end = |&address| BackEnd { address, connections: BackEnd::connections(), drain: false };
        let listener = Listener {
            port,
            back_ends: to.iter().map(back_end).collect(),
            balance,
            proxy_protocol: false,
            connect_timeout_ms: Listener::connect_timeout_ms(),
            check: Check::default(),
        };
        Self { connections: Self::connections(), listeners: vec![listener], control: None }
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`]; whether the values make sense is [`Self::check`]'s business.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|at| text.get(..at.start)).unwrap_or_default();
            let message = e.message().trim().lines().collect::<Vec<_>>().join(", ");
            ConfigError::Syntax { line: before.matches('\n').count() + 1, message }
        })
    }

    /// Whether it can work at these virtual addresses.
    ///
    /// # Errors
    /// [`ConfigError`] says what cannot, and what to do.
    pub fn check(&self, vips: &[IpAddr]) -> Result<(), ConfigError> {
        range("connections", self.connections, 1, 1_000_000)?;
        if self.listeners.is_empty() {
            return Err(ConfigError::NoListener);
        }
        if self.listeners.len() > MOST_LISTENERS {
            return Err(ConfigError::Listeners(self.listeners.len()));
        }
        if self.control.as_ref().is_some_and(|c| c.from.is_empty()) {
            return Err(ConfigError::Nobody);
        }
        let mut ports = BTreeSet::new();
        for port in self.ports() {
            if port == 0 {
                return Err(ConfigError::NoPort);
            }
            if !ports.insert(port) {
                return Err(ConfigError::SamePort(port));
            }
        }
        self.listeners.iter().try_for_each(|listener| listener.check(vips))
    }

    /// The ports that can be connected to, at every virtual address.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.listeners.iter().map(|l| l.port).chain(self.control.iter().map(|c| c.port))
    }

    /// What replicas have to agree on, as a digest.
    pub(super) fn digest(&self, vips: &[IpAddr]) -> [u8; 32] {
        let bytes = postcard::to_stdvec(&(self, vips)).expect("numbers and addresses");
        *blake3::hash(&bytes).as_bytes()
    }
}

impl Listener {
    /// How long a back end may take to answer if nothing is said.
    const fn connect_timeout_ms() -> u32 {
        3000
    }

    fn check(&self, vips: &[IpAddr]) -> Result<(), ConfigError> {
        if self.back_ends.is_empty() || self.back_ends.len() > MOST_BACK_ENDS {
            return Err(ConfigError::Count(self.port, self.back_ends.len()));
        }
        range("connect_timeout_ms", self.connect_timeout_ms, 1, 180_000)?;
        range("check.interval_ms", self.check.interval_ms, 0, 3_600_000)?;
        range("check.timeout_ms", self.check.timeout_ms, 1, 180_000)?;
        range("check.rise", self.check.rise.into(), 1, 255)?;
        range("check.fall", self.check.fall.into(), 1, 255)?;
        let mut seen = BTreeSet::new();
        for BackEnd { address, connections, .. } in &self.back_ends {
            let ip = address.ip();
            range("connections of a back end", *connections, 1, PORTS)?;
            if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || address.port() == 0 {
                return Err(ConfigError::Address(self.port, *address));
            }
            if !seen.insert(*address) {
                return Err(ConfigError::Twice(self.port, *address));
            }
            if vips.contains(&ip) {
                return Err(ConfigError::Itself(self.port, *address));
            }
            if !vips.iter().any(|vip| vip.is_ipv4() == ip.is_ipv4()) {
                return Err(ConfigError::Family(self.port, *address));
            }
        }
        Ok(())
    }
}

impl BackEnd {
    /// Sessions of a back end if nothing is said.
    const fn connections() -> u32 {
        10_000
    }
}

fn range(name: &'static str, value: u32, least: u32, most: u32) -> Result<(), ConfigError> {
    let inside = (least..=most).contains(&value);
    if inside { Ok(()) } else { Err(ConfigError::Range { name, value, least, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let vips = [IpAddr::from([10, 0, 0, 100])];
        let checked = Config::parse(text).and_then(|config| config.check(&vips));
        checked.expect_err("it cannot work").to_string()
    }

    #[test]
    fn what_is_not_said_is_sane() {
        let text = "[[listener]]\nlisten = 80\nto = [{ address = '10.0.0.21:80' }]";
        let config = Config::parse(text).unwrap();
        assert_eq!(config, Config::simple(80, &["10.0.0.21:80".parse().unwrap()], Balance::RoundRobin));
        assert_eq!(config.check(&[[10, 0, 0, 100].into()]), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        let listener = |rest: &str| format!("[[listener]]\nlisten = 80\n{rest}");
        let to = "to = [{ address = '10.0.0.21:80' }]\n";
        let cases = [
            (String::new(), "missing field `listener`"),
            ("listener = []".to_owned(), "no listener"),
            (listener(""), "missing field `to`"),
            (listener("to = []"), "has 0 back ends"),
            (listener("to = [{ address = 'db:80' }]"), "line 3"),
            (listener("to = [{ address = '10.0.0.21:0' }]"), "10.0.0.21:0"),
            (listener("to = [{ address = '10.0.0.100:80' }]"), "the proxy's own address"),
            (listener("to = [{ address = '[2001:db8::1]:80' }]"), "no virtual address of the same family"),
            (listener("to = [{ address = '10.0.0.21:80' }, { address = '10.0.0.21:80' }]"), "twice"),
            (listener("to = [{ address = '10.0.0.21:80', connections = 20000 }]"), "20000"),
            (
                listener(&format!("{to}speed = 3")),
                "line 4 of the proxy's configuration: unknown field `speed`",
            ),
            (listener(&format!("{to}balance = 'best'")), "unknown variant `best`"),
            (listener(&format!("{to}connect_timeout_ms = 0")), "connect_timeout_ms = 0"),
            (listener(&format!("{to}check = {{ rise = 0 }}")), "check.rise = 0"),
            (listener(&format!("{to}[[listener]]\nlisten = 80\n{to}")), "port 80 is there twice"),
            (listener(&format!("{to}[control]\nlisten = 80\nfrom = ['10.0.0.9']")), "port 80 is there twice"),
            (listener(&format!("{to}[control]\nlisten = 90\nfrom = []")), "no address in `from`"),
        ];
        for (text, expected) in cases {
            let said = refused(&text);
            assert!(said.contains(expected) && !said.contains('\n'), "{text}\n{said}");
        }
    }
}
