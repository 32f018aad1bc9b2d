//! Counters, gauges and histograms of this process as text for Prometheus, over HTTP: a small recorder, because what
//! `gcs-cat` needs of an exporter is less than the crates that one brings.
//!
//! Any request gets the text, and the connection is closed. Bounds: `SERIES` time series, `REQUEST` bytes and
//! `PATIENCE` for a request, `ASKERS` of them at a time.

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

const SERIES: usize = 4096;
const REQUEST: usize = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(5);
const ASKERS: usize = 8;
/// Upper bounds of a histogram's buckets, in the unit of what it records.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Default)]
struct Buckets {
    /// By bucket, and for all that is beyond the last one.
    counts: Mutex<([u64; BUCKETS.len() + 1], f64)>,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = BUCKETS.iter().position(|b| value <= *b).unwrap_or(BUCKETS.len());
        all.0[at] += 1;
        all.1 += value;
    }
}

#[derive(Clone)]
enum Series {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

#[derive(Default)]
struct Registry {
    help: BTreeMap<String, String>,
    /// By name, then by labels as they are printed.
    series: BTreeMap<String, BTreeMap<String, Series>>,
    count: usize,
}

/// What this process records.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// Makes this the recorder of the program, and serves at `addr` from the current runtime.
    ///
    /// # Errors
    /// The address cannot be used, or the program has a recorder.
    pub async fn install(addr: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(addr).await?;
        let this = Self::default();
        metrics::set_global_recorder(this.clone()).map_err(|e| io::Error::other(e.to_string()))?;
        tokio::spawn(this.serve(listener));
        Ok(())
    }

    async fn serve(self, listener: TcpListener) {
        let askers = Arc::new(Semaphore::new(ASKERS));
        loop {
            let Ok(permit) = Arc::clone(&askers).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let text = self.clone();
                    tokio::spawn(async move {
                        let _ = timeout(PATIENCE, text.answer(stream)).await;
                        drop(permit);
                    });
                }
                // No descriptors are left, or the like: that may pass.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut request = Vec::new();
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            if request.len() > REQUEST || stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let body = self.text();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.help.len() < SERIES {
            all.help.insert(name.as_str().to_owned(), help.replace(['\n', '\\'], " "));
        }
    }

    /// The series of this name and these labels; None if there are too many.
    fn series(&self, key: &Key, new: impl FnOnce() -> Series) -> Option<Series> {
        let mut labels = String::new();
        for l in key.labels() {
            let value = l.value().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(labels, "{}{}=\"{value}\"", if labels.is_empty() { "" } else { "," }, l.key());
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.series.get(key.name()).and_then(|s| s.get(&labels)).cloned();
        if known.is_none() && all.count >= SERIES {
            return None;
        }
        Some(known.unwrap_or_else(|| {
            let series = new();
            all.count += 1;
            all.series.entry(key.name().to_owned()).or_default().insert(labels, series.clone());
            series
        }))
    }

    /// Everything, as Prometheus reads it.
    fn text(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for (name, series) in &all.series {
            if let Some(help) = all.help.get(name) {
                let _ = writeln!(out, "# HELP {name} {help}");
            }
            let kind = match series.values().next() {
                Some(Series::Counter(_)) => "counter",
                Some(Series::Gauge(_)) => "gauge",
                _ => "histogram",
            };
            let _ = writeln!(out, "# TYPE {name} {kind}");
            for (labels, s) in series {
                match s {
                    Series::Counter(n) => {
                        let _ = writeln!(out, "{name}{{{labels}}} {}", n.load(Ordering::Relaxed));
                    }
                    Series::Gauge(bits) => {
                        let value = f64::from_bits(bits.load(Ordering::Relaxed));
                        let _ = writeln!(out, "{name}{{{labels}}} {value}");
                    }
                    Series::Histogram(buckets) => histogram(&mut out, name, labels, buckets),
                }
            }
        }
        out
    }
}

fn histogram(out: &mut String, name: &str, labels: &str, buckets: &Buckets) {
    let (counts, sum) = *buckets.counts.lock().unwrap_or_else(PoisonError::into_inner);
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    let bounds = BUCKETS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(counts) {
        total += count;
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}");
    let _ = writeln!(out, "{name}_count{{{labels}}} {total}");
}

impl Recorder for Metrics {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.series(key, || Series::Counter(Arc::default())) {
            Some(Series::Counter(n)) => Counter::from_arc(n),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.series(key, || Series::Gauge(Arc::default())) {
            Some(Series::Gauge(bits)) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.series(key, || Series::Histogram(Arc::default())) {
            Some(Series::Histogram(b)) => Histogram::from_arc(b),
            _ => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_prometheus_reads_it() {
        let m = Metrics::default();
        metrics::with_local_recorder(&m, || {
            metrics::describe_counter!("a_total", "Counts\nthings.");
            metrics::counter!("a_total", "who" => "x\"\\").increment(3);
            metrics::gauge!("b").set(1.5);
            metrics::histogram!("c_seconds").record(0.002);
            metrics::histogram!("c_seconds").record(100.0);
        });
        let text = m.text();
        assert!(text.starts_with(
            "# HELP a_total Counts things.\n# TYPE a_total counter\na_total{who=\"x\\\"\\\\\"} 3\n# TYPE b gauge\nb{} 1.5\n"
        ));
        assert!(
            text.contains("c_seconds_bucket{le=\"0.001\"} 0\nc_seconds_bucket{le=\"0.0025\"} 1\n"),
            "{text}"
        );
        assert!(
            text.ends_with("c_seconds_bucket{le=\"+Inf\"} 2\nc_seconds_sum{} 100.002\nc_seconds_count{} 2\n"),
            "{text}"
        );
    }
}
