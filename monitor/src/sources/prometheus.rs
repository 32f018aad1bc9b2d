//! Attributes that are metrics of some program, which says them over HTTP: every member of a gcs group that counts, and most servers.
//!
//! One request a reading, plain HTTP/1.1, no redirection. Bound: [`limits::DOCUMENT_BYTES`] of text.

use gcs::time::Time;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, Uri, body::Bytes, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    clock::Clock,
    config::{self, Metric, Of},
    exposition::{Selector, sample},
    limits,
    name::Name,
    poll::{Read, ReadError, Reading, Said},
};
use crate::value::Value;

/// Why a metric has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetricError {
    #[error("there is no series {0}")]
    None(String),
    #[error(
        "there are {1} series {0}; name labels that tell them apart, or say of = \"sum\", \"min\" or \"max\""
    )]
    Several(String, usize),
}

/// Where metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Host and port, to connect to.
    connect: String,
    uri: Uri,
}

/// An address that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no address to ask; write it as \"http://127.0.0.1:9000/metrics\", without TLS")]
pub(super) struct TargetError;

impl Target {
    pub(super) fn new(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError)?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or(TargetError)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(TargetError);
        }
        let connect = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        Ok(Self { connect, uri })
    }

    async fn get(&self) -> Result<String, ReadError> {
        let failed = |error: String| ReadError::Http { url: self.uri.to_string(), error };
        let stream = TcpStream::connect(&self.connect).await.map_err(|e| failed(e.to_string()))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| failed(e.to_string()))?;
        // Ends with this reading, whether it succeeds or is dropped.
        let mut work = JoinSet::new();
        work.spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, &self.connect)
            .header(header::ACCEPT, "text/plain;version=0.0.4")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|e| failed(e.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|e| failed(e.to_string()))?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            return Err(ReadError::Status { url: self.uri.to_string(), status });
        }
        let body = Limited::new(answer.into_body(), limits::DOCUMENT_BYTES);
        let body = body.collect().await.map_err(|e| failed(e.to_string()))?.to_bytes();
        String::from_utf8(body.into()).map_err(|_| ReadError::NotUtf8(self.uri.to_string()))
    }
}

/// An attribute, and the metric that it is.
#[derive(Debug)]
struct Wanted {
    name: Name,
    selector: Selector,
    metric: Metric,
    /// Of a counter: what it was, and when.
    before: Option<(Time, f64)>,
}

/// Metrics at one place.
#[derive(Debug)]
pub(super) struct Source {
    target: Target,
    clock: Clock,
    wanted: Vec<Wanted>,
}

/// What was found of an attribute.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    count: usize,
    sum: f64,
    min: f64,
    max: f64,
}

impl Found {
    fn add(&mut self, number: f64) {
        let first = self.count == 0;
        self.count += 1;
        self.sum += number;
        self.min = if first { number } else { self.min.min(number) };
        self.max = if first { number } else { self.max.max(number) };
    }
}

impl Source {
    /// `None` if the configuration was not checked.
    pub(super) fn new(config: &config::Prometheus) -> Option<Self> {
        let wanted = config.attributes.iter().map(|(name, metric)| {
            let selector = Selector::new(metric.selector()).ok()?;
            Some(Wanted { name: name.clone(), selector, metric: metric.clone(), before: None })
        });
        let target = Target::new(&config.url).ok()?;
        Some(Self { target, clock: Clock::start(), wanted: wanted.collect::<Option<_>>()? })
    }

    /// What a text says, read at `now`. A metric that is not there does not keep others from being.
    fn values(&mut self, now: Time, text: &str) -> (Vec<Said>, Option<ReadError>) {
        let mut found = vec![Found::default(); self.wanted.len()];
        let mut wrong: Option<ReadError> = None;
        for (line, text) in (1..).zip(text.lines()) {
            match sample(text) {
                Ok(None) => {}
                Ok(Some((series, number))) => {
                    let meant = self.wanted.iter().zip(&mut found);
                    meant.filter(|(w, _)| w.selector.selects(&series)).for_each(|(_, f)| f.add(number));
                }
                Err(error) => {
                    let what = self.target.uri.to_string();
                    wrong.get_or_insert(ReadError::Line { what, line, error });
                }
            }
        }
        let mut said = Vec::new();
        for (wanted, found) in self.wanted.iter_mut().zip(found) {
            match wanted.value(now, found) {
                Ok(value) => said.push(Said::new(wanted.name.clone(), value)),
                Err(error) => {
                    wrong.get_or_insert(error.into());
                }
            }
        }
        (said, wrong)
    }
}

impl Wanted {
    fn value(&mut self, now: Time, found: Found) -> Result<Value, MetricError> {
        let number = match (found.count, self.metric.of()) {
            (0, _) => return Err(MetricError::None(self.metric.selector().to_owned())),
            (1, _) | (_, Some(Of::Sum)) => found.sum,
            (_, Some(Of::Min)) => found.min,
            (_, Some(Of::Max)) => found.max,
            (count, None) => return Err(MetricError::Several(self.metric.selector().to_owned(), count)),
        };
        if !self.metric.is_rate() {
            return Ok(number_value(number));
        }
        // A counter that goes back has begun again, and what it had counted by then is not known.
        Ok(match self.before.replace((now, number)) {
            Some((then, before)) if number >= before && now > then => {
                Value::float((number - before) / now.since(then).as_secs_f64())
            }
            _ => Value::Null,
        })
    }
}

/// A number of the text form, where all are floating: an integer if it is one.
pub(super) fn number_value(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        Value::Int(number as i64)
    } else {
        Value::float(number)
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let text = self.target.get().await?;
        Ok(self.values(self.clock.now(), &text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(attributes: &str) -> Source {
        let text = format!(
            "[[prometheus]]\nurl = 'http://127.0.0.1:1/metrics'\n[prometheus.attributes]\n{attributes}"
        );
        Source::new(&config::Config::from_toml(&text).unwrap().prometheus[0]).unwrap()
    }

    fn read(source: &mut Source, seconds: u64, text: &str) -> (Vec<Value>, Option<String>) {
        let (said, wrong) = source.values(Time::from_ms(1_000 * seconds), text);
        (said.into_iter().map(|said| said.value).collect(), wrong.map(|e| e.to_string()))
    }

    const TEXT: &str = "# TYPE gcs_members gauge\ngcs_members{group=\"a\"} 3\ngcs_members{group=\"b\"} 5\ncast_total 100\nload 0.5\n";

    #[test]
    fn named_metrics_become_attributes() {
        let mut all = source(
            "a = 'gcs_members{group=\"a\"}'\nb = 'load'\nc = { metric = 'gcs_members', of = 'sum' }\nd = { metric = 'gcs_members', of = 'max' }",
        );
        let values = vec![Value::Int(3), Value::float(0.5), Value::Int(8), Value::Int(5)];
        assert_eq!(read(&mut all, 0, TEXT), (values, None));
    }

    #[test]
    fn what_is_not_clear_is_an_error_and_the_rest_is_not() {
        let (values, wrong) = read(&mut source("a = 'gcs_members'\nb = 'load'"), 0, TEXT);
        assert_eq!(values, [Value::float(0.5)]);
        assert!(wrong.unwrap().contains("2 series gcs_members"));
        let (_, wrong) = read(&mut source("a = 'gone'"), 0, TEXT);
        assert!(wrong.unwrap().contains("no series gone"));
        let (values, wrong) = read(&mut source("b = 'load'"), 0, "load 1\n<html>");
        assert_eq!(values, [Value::Int(1)]);
        assert!(wrong.unwrap().contains("line 2"));
    }

    #[test]
    fn rates_of_counters() {
        let mut source = source("a = { metric = 'cast_total', rate = true }");
        let one = |source: &mut Source, at, text| read(source, at, text).0[0].clone();
        assert_eq!(one(&mut source, 10, "cast_total 100"), Value::Null);
        assert_eq!(one(&mut source, 20, "cast_total 150"), Value::float(5.0));
        assert_eq!(one(&mut source, 30, "cast_total 20"), Value::Null, "it has begun again");
        assert_eq!(one(&mut source, 40, "cast_total 30"), Value::float(1.0));
    }

    #[test]
    fn addresses_are_of_plain_http() {
        assert_eq!(Target::new("http://[::1]:9000/metrics").unwrap().connect, "[::1]:9000");
        assert_eq!(Target::new("http://localhost").unwrap().connect, "localhost:80");
        for bad in ["https://x/", "127.0.0.1:9000", "http://", "http://a@b/", "/metrics", "http://a b/"] {
            assert_eq!(Target::new(bad), Err(TargetError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([a-z]{0,5}[{]?[a-z=\"]{0,6}[}]? [0-9NaIf.e-]{0,6}\n?){0,20}") {
            read(&mut source("a = 'a'\nb = { metric = 'b', of = 'min' }"), 0, &text);
        }
    }
}
