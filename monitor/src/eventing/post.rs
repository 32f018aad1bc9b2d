//! [`Target`]: where something is posted over HTTP, once, with bounds on time and on what is listened to.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// How long one attempt may take, from the connection to the status of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the head of an answer. Its body is not read at all.
const HEAD_MAX: usize = 16 << 10;
/// Bytes of a URL.
const URL_MAX: usize = 1024;

/// A URL that can be posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
    /// Host and port, to connect to.
    connect: String,
}

/// Not a URL that can be posted to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` cannot be posted to: give http://HOST[:PORT]/PATH, without TLS, without a user, of at most {URL_MAX} bytes"
)]
pub struct TargetError(String);

/// What is posted.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

/// Why it has not arrived, as far as is known.
#[derive(Debug, Error)]
pub(super) enum PostError {
    /// Nobody answers.
    #[error("no answer in {} s", PATIENCE.as_secs())]
    Silent,
    /// Something is wrong on the way.
    #[error("{0}")]
    Failed(String),
    /// It is not taken. A redirection is not followed.
    #[error("it answers {0}")]
    Status(StatusCode),
}

impl PostError {
    /// Whether who was there says that there is nobody any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Status(StatusCode::GONE))
    }
}

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(url.chars().take(100).collect::<String>().escape_default().to_string());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
        if authority.as_str().contains('@') || authority.host().is_empty() || url.len() > URL_MAX {
            return Err(wrong());
        }
        // What is no port at all, the parser would leave away.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 80,
            Some(port) => {
                let port = port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
                port.filter(|port| *port > 0).ok_or_else(wrong)?
            }
            None => return Err(wrong()),
        };
        Ok(Self { connect: format!("{}:{port}", authority.host()), uri })
    }
}

impl Target {
    /// The URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.uri.to_string()
    }

    /// Posts it, once. It has arrived if the status is 200 to 299.
    pub(super) async fn post(&self, message: Message) -> Result<(), PostError> {
        let status = timeout(PATIENCE, self.status(message)).await.map_err(|_| PostError::Silent)??;
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
    }

    async fn status(&self, message: Message) -> Result<StatusCode, PostError> {
        let failed = |e: &dyn std::error::Error| PostError::Failed(e.to_string().chars().take(200).collect());
        let stream = TcpStream::connect(&self.connect).await.map_err(|e| failed(&e))?;
        let mut http = hyper::client::conn::http1::Builder::new();
        let handshake = http.max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| failed(&e))?;
        // Ends with this attempt, whether it succeeds or is dropped.
        let mut work = JoinSet::new();
        work.spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path)
            .header(header::HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(header::USER_AGENT, concat!("gcs-monitor/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close");
        if let Some(headers) = request.headers_mut() {
            headers.extend(message.headers);
        }
        let request = request.body(Full::new(message.body)).map_err(|e| failed(&e))?;
        Ok(sender.send_request(request).await.map_err(|e| failed(&e))?.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where() {
        for (url, connect) in [
            ("http://127.0.0.1:8080/a?b=c", "127.0.0.1:8080"),
            ("http://example.org", "example.org:80"),
            ("http://[::1]/", "[::1]:80"),
        ] {
            assert_eq!(url.parse::<Target>().unwrap().connect, connect);
        }
        let long = format!("http://a/{}", "x".repeat(URL_MAX));
        for url in [
            "",
            "/",
            "a",
            "https://a/",
            "ftp://a/",
            "http://u:p@a/",
            "http://",
            "http://a:0/",
            "http://a:99999/",
            "http://a:x/",
            "http://a b/",
            "http://a/\r\nX: y",
            &long,
        ] {
            let said = url.parse::<Target>().unwrap_err().to_string();
            assert!(said.contains("give http://HOST") && said.len() < 500, "{said}");
        }
    }
}
