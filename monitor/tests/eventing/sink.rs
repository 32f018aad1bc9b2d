//! [`Sink`]: where events are posted to. It answers each request as it is told to, and keeps them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
};

/// Nothing takes as long.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What was posted.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    /// In small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    status: Arc<AtomicU16>,
    posted: mpsc::Receiver<Posted>,
}

impl Sink {
    /// It answers with 200 at first.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is an address");
        let address = listener.local_addr().expect("it is bound");
        let (to, posted) = mpsc::channel();
        let status = Arc::new(AtomicU16::new(200));
        let answers = status.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who breaks off has posted nothing.
                let Some(post) = answer(stream, answers.load(Ordering::SeqCst)) else { continue };
                if to.send(post).is_err() {
                    return;
                }
            }
        });
        Self { address, status, posted }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on.
    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The next that is posted.
    pub(crate) fn next(&self) -> Posted {
        self.posted.recv_timeout(PATIENCE).expect("something is posted")
    }

    /// The next that is right; others are passed over.
    pub(crate) fn until(&self, right: impl Fn(&Posted) -> bool) -> Posted {
        std::iter::repeat_with(|| self.next()).find(right).expect("there is always a next one")
    }

    /// What has come already.
    pub(crate) fn rest(&self) -> Vec<Posted> {
        self.posted.try_iter().collect()
    }
}

fn answer(stream: TcpStream, status: u16) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.strip_prefix("POST ")?.split(' ').next()?.to_owned();
    let header = |line: &String| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<(String, String)> = lines.iter().skip(1).filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let location = if status == 302 { "Location: http://127.0.0.1:9/\r\n" } else { "" };
    let answer =
        format!("HTTP/1.1 {status} Said\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    Some(Posted { path, headers, body: String::from_utf8(body).ok()? })
}
