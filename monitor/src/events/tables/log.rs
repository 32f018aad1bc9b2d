//! The table `log`: lines that were written to files since a query was looked at last.
//!
//! A file is read from where it ended when somebody asked first. One that has become shorter, or is another file under the same name, is read
//! from its beginning: logs are rotated.
//!
//! * **Bounds**: [`FILES`] files; of each [`READ_BYTES`] a time, of what is more only the end; lines of [`LINE_BYTES`]; [`LINES`] a query.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::text;
use crate::{row::Row, value::Value};

/// Files that are read.
const FILES: usize = 32;
/// Bytes of a file that are read at a time.
const READ_BYTES: u64 = 256 << 10;
/// Bytes of a line that are shown.
const LINE_BYTES: usize = 1024;
/// Lines for one query at a time: the newest.
const LINES: usize = 2048;

/// The files, and what each query has still to see.
#[derive(Debug)]
pub(super) struct Log {
    paths: Vec<PathBuf>,
    queries: BTreeMap<Arc<str>, Vec<Tail>>,
}

/// One file, as one query has read it.
#[derive(Debug)]
struct Tail {
    path: Arc<Path>,
    /// Which file it is: device and number.
    file: Option<(u64, u64)>,
    at: u64,
    /// Lines that were read of it.
    nth: i64,
}

impl Log {
    pub(super) fn new(mut paths: Vec<PathBuf>) -> Self {
        paths.truncate(FILES);
        Self { paths, queries: BTreeMap::new() }
    }

    /// One row a line: `file`, `line` (its number since somebody asked), `text`.
    pub(super) fn read(&mut self, query: &Arc<str>) -> Vec<Row> {
        let Some(tails) = self.queries.get_mut(query) else {
            let tails = self.paths.iter().map(|path| Tail::at_end(path.as_path().into())).collect();
            self.queries.insert(query.clone(), tails);
            return Vec::new();
        };
        // A file that cannot be read has no lines; it may be there again the next time.
        let rows = tails.iter_mut().flat_map(|tail| tail.read().unwrap_or_default());
        let mut rows: Vec<Row> = rows.collect();
        rows.drain(..rows.len().saturating_sub(LINES));
        rows
    }

    pub(super) fn keep(&mut self, queries: &[Arc<str>]) {
        self.queries.retain(|query, _| queries.contains(query));
    }
}

fn which(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Tail {
    fn at_end(path: Arc<Path>) -> Self {
        let file = path.metadata().ok();
        Self { path, at: file.as_ref().map_or(0, Metadata::len), file: file.as_ref().map(which), nth: 0 }
    }

    fn read(&mut self) -> io::Result<Vec<Row>> {
        let found = self.path.metadata()?;
        if !found.is_file() {
            return Ok(Vec::new());
        }
        let mut file = File::open(&self.path)?;
        if self.file != Some(which(&found)) || found.len() < self.at {
            (self.file, self.at) = (Some(which(&found)), 0);
        }
        let begin = self.at.max(found.len().saturating_sub(READ_BYTES));
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(READ_BYTES).read_to_end(&mut bytes)?;
        // What comes after the last end of a line is not a whole one yet, unless it is too long for that.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let whole = if whole == 0 && bytes.len() as u64 >= READ_BYTES { bytes.len() } else { whole };
        self.at = begin + whole as u64;
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let name = text(self.path.to_string_lossy());
        let row = |line: &[u8]| {
            self.nth += 1;
            let line = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES)]);
            Row::new([
                ("file", name.clone()),
                ("line", Value::Int(self.nth)),
                ("text", text(line.trim_end())),
            ])
        };
        Ok(lines.map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn texts(rows: &[Row]) -> Vec<&str> {
        rows.iter().filter_map(|row| row.get("text").as_text()).collect()
    }

    #[test]
    fn lines_are_seen_once_by_each_query_and_after_rotation() {
        let path = std::env::temp_dir().join(format!("gcs-monitor-log-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        append(&path, "old\n");
        let mut log = Log::new(vec![path.clone(), "/nowhere/at/all".into(), std::env::temp_dir()]);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!(texts(&log.read(&a)), [""; 0], "what was there before is not news");
        append(&path, "one\ntwo\nhal");
        assert_eq!(texts(&log.read(&a)), ["one", "two"]);
        assert_eq!(texts(&log.read(&b)), [""; 0]);
        append(&path, "f\n\nthree\n");
        assert_eq!(texts(&log.read(&a)), ["half", "three"]);
        assert_eq!(texts(&log.read(&b)), ["f", "three"], "it began in the middle of a line");
        let rotated = path.with_extension("1");
        fs::rename(&path, &rotated).unwrap();
        assert_eq!(texts(&log.read(&a)), [""; 0]);
        append(&path, "new file, of more bytes than were read of the old one\n");
        assert_eq!(texts(&log.read(&a)), ["new file, of more bytes than were read of the old one"]);
        fs::write(&path, "cut\n").unwrap();
        assert_eq!(texts(&log.read(&a)), ["cut"]);
        log.keep(&[b]);
        append(&path, "later\n");
        assert_eq!(texts(&log.read(&a)), [""; 0], "it begins anew");
        fs::remove_file(&path).unwrap();
        fs::remove_file(&rotated).unwrap();
    }

    #[test]
    fn of_much_at_once_the_end_is_read_and_long_lines_are_cut() {
        let path = std::env::temp_dir().join(format!("gcs-monitor-long-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let (mut log, query): (_, Arc<str>) = (Log::new(vec![path.clone()]), "a".into());
        log.read(&query);
        append(&path, &"x".repeat(1 << 20));
        assert_eq!(log.read(&query).len(), 1, "a line without an end is cut");
        append(&path, "\n");
        log.read(&query);
        append(&path, &"y\n".repeat(1 << 18));
        let rows = log.read(&query);
        assert_eq!(rows.len(), LINES);
        fs::remove_file(&path).unwrap();
    }
}
