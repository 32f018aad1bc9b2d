//! [`Look`]: one look at an instance, with a time-out.

use std::{io, net::SocketAddr, process::Stdio, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::{Instant, timeout},
};

use crate::health::verdict::{Evidence, Finding};

/// An answer's head that is longer counts as none, in bytes.
const HEAD_MAX: usize = 8 << 10;
/// Lines of a head.
const HEADERS_MAX: usize = 64;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// A connection is accepted there.
    Tcp(SocketAddr),
    /// A page is there: its status is 200 to 399.
    Http {
        /// At which address.
        address: SocketAddr,
        /// What is asked for, with the host's name in front: `example.org/health`.
        host: String,
        /// The path, from its `/` on.
        path: String,
    },
    /// A command ends with success. It runs with the rights of this process: only for who has asked for it.
    Exec(Vec<String>),
}

/// Not something that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookError {
    /// Not a URL.
    #[error("`{0}` cannot be looked at: give http://ADDRESS:PORT/PATH")]
    Url(String),
}

/// What a look has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What.
    pub finding: Finding,
    /// For people.
    pub evidence: Evidence,
}

impl Look {
    /// A page, by its URL: plain HTTP, an address and no name, so that one instance is meant.
    ///
    /// # Errors
    /// [`LookError::Url`].
    pub fn http(url: &str) -> Result<Self, LookError> {
        let wrong = || LookError::Url(url.chars().take(100).collect::<String>().escape_default().to_string());
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        let address = host.parse().or_else(|_| format!("{host}:80").parse()).map_err(|_| wrong())?;
        if !visible(path) || url.len() > HEAD_MAX / 2 {
            return Err(wrong());
        }
        Ok(Self::Http { address, host: host.to_owned(), path: path.to_owned() })
    }

    /// Looks. What takes longer than `limit` is sluggish, what takes longer than `patience` is down.
    pub async fn look(&self, limit: Duration, patience: Duration) -> Looked {
        let began = Instant::now();
        let outcome = timeout(patience, self.try_look()).await;
        let took = began.elapsed();
        let (finding, evidence) = match outcome {
            Err(_) => (Finding::Down, format!("no answer in {} ms", patience.as_millis())),
            Ok(Err(why)) => (Finding::Down, why),
            Ok(Ok(what)) if took > limit => (
                Finding::Sluggish,
                format!("{what} in {} ms, allowed are {}", took.as_millis(), limit.as_millis()),
            ),
            Ok(Ok(what)) => (Finding::Up, format!("{what} in {} ms", took.as_millis())),
        };
        Looked { finding, evidence: evidence.into() }
    }

    async fn try_look(&self) -> Result<String, String> {
        match self {
            Self::Tcp(address) => {
                let connected = TcpStream::connect(address).await;
                connected.map(|_| "connected".to_owned()).map_err(|e| format!("{address}: {e}"))
            }
            Self::Http { address, host, path } => {
                let status = status(*address, host, path).await.map_err(|e| format!("{address}: {e}"))?;
                let text = format!("status {status}");
                if (200..400).contains(&status) { Ok(text) } else { Err(text) }
            }
            Self::Exec(words) => exec(words).await,
        }
    }
}

async fn exec(words: &[String]) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("no command".to_owned()) };
    let mut command = Command::new(program);
    let null = Stdio::null;
    command.args(arguments).stdin(null()).stdout(null()).stderr(null()).kill_on_drop(true);
    let status = command.status().await.map_err(|e| format!("{program}: {e}"))?;
    if status.success() { Ok("success".to_owned()) } else { Err(status.to_string()) }
}

/// Asks for a page; the status of the answer.
async fn status(address: SocketAddr, host: &str, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let ask = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gcs-monitor\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await?;
    let mut head = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&head);
        if let Some(status) = response.code {
            return Ok(status);
        }
        parsed.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {e}")))?;
        let more = (&mut stream).take((HEAD_MAX - head.len()) as u64).read_buf(&mut head).await?;
        if more == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no status in the answer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_one_instance() {
        let Look::Http { address, host, path } = Look::http("http://127.0.0.1:8080/live?x=1").unwrap() else {
            panic!("a page")
        };
        assert_eq!((address.port(), &*host, &*path), (8080, "127.0.0.1:8080", "/live?x=1"));
        assert!(matches!(Look::http("http://[::1]"), Ok(Look::Http { address, .. }) if address.port() == 80));
        for bad in ["", "https://1.2.3.4", "http://name/", "http://1.2.3.4/a b", "http://1.2.3.4/\r\nX: y"] {
            assert!(Look::http(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn commands_succeed_fail_and_take_too_long() {
        let long = Duration::from_secs(20);
        let sh = |what: &str| Look::Exec(vec!["sh".to_owned(), "-c".to_owned(), what.to_owned()]);
        assert_eq!(sh("true").look(long, long).await.finding, Finding::Up);
        assert_eq!(sh("true").look(Duration::ZERO, long).await.finding, Finding::Sluggish);
        assert_eq!(sh("exit 3").look(long, long).await.evidence.to_string(), "exit status: 3");
        let late = sh("sleep 600").look(long, Duration::from_millis(50)).await;
        assert_eq!(late.evidence.to_string(), "no answer in 50 ms");
    }
}
