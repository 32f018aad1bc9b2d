//! A directory into which programs write files of metrics.
//!
//! `NAME.prom` is in the text form of Prometheus, `NAME.json` an object of values. Of the former those without labels are taken: a metric
//! with labels is many, and an attribute is one. A file counts from when it was written last; what is too old says nothing any
//! more. A file that does not end in a line feed, or is not JSON to its end, is being written: it is read again the next time.
//! Bounds: [`limits::TEXTFILES`], [`limits::TEXTFILE_BYTES`] each, [`limits::DIRECTORY_ENTRIES`] looked at.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    blocking::Worker,
    clock, config,
    exposition::sample,
    extract::ExtractError,
    file, limits,
    name::Name,
    poll::{Read, ReadError, Reading, Said},
    prometheus::number_value,
    scalar,
};
use crate::value::Value;

/// The directory.
#[derive(Debug)]
pub(super) struct Source {
    worker: Worker,
    directory: Arc<Path>,
    life: Duration,
}

impl Source {
    pub(super) fn new(config: &config::Textfile) -> Self {
        Self { worker: Worker::default(), directory: config.directory.as_path().into(), life: config.life }
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let (directory, life) = (self.directory.clone(), self.life);
        self.worker.run(move || read_directory(&directory, life)).await?
    }
}

/// The files that count, in the order of their names.
fn files(directory: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let shown = || directory.display().to_string();
    let entries = std::fs::read_dir(directory).map_err(ReadError::io(shown()))?;
    let mut files = Vec::new();
    for entry in entries.take(limits::DIRECTORY_ENTRIES) {
        let path = entry.map_err(ReadError::io(shown()))?.path();
        let kind = path.extension().and_then(|extension| extension.to_str());
        if matches!(kind, Some("prom" | "json")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_directory(directory: &Path, life: Duration) -> Reading {
    let mut files = files(directory)?;
    let mut wrong: Vec<ReadError> = Vec::new();
    if files.len() > limits::TEXTFILES {
        files.truncate(limits::TEXTFILES);
        wrong.push(ReadError::TooManyFiles(directory.display().to_string()));
    }
    let mut said = Vec::new();
    for path in &files {
        match read_file(path, life, &mut wrong) {
            Ok(mut more) => said.append(&mut more),
            Err(error) => wrong.push(error),
        }
    }
    let count = wrong.len();
    let first = wrong.into_iter().next();
    Ok((said, first.map(|first| ReadError::Files { count, first: Box::new(first) })))
}

/// Names that no attribute can have are wrong, and the others in the file are not.
fn read_file(path: &Path, life: Duration, wrong: &mut Vec<ReadError>) -> Result<Vec<Said>, ReadError> {
    let shown = path.display().to_string();
    let meta = std::fs::metadata(path).map_err(ReadError::io(shown.clone()))?;
    let written = meta.modified().map_err(ReadError::io(shown.clone()))?;
    let left = life.saturating_sub(clock::age(written));
    if left.is_zero() {
        return Ok(Vec::new());
    }
    let text = file::read_all(path, limits::TEXTFILE_BYTES)?;
    let values =
        if path.extension().is_some_and(|e| e == "json") { json(&text)? } else { metrics(&shown, &text)? };
    let mut said = Vec::new();
    for (name, value) in values {
        match Name::from_foreign(&name) {
            Ok(name) => said.push(Said { name, value, life: Some(left) }),
            Err(error) => wrong.push(ReadError::Name { what: shown.clone(), error }),
        }
    }
    Ok(said)
}

fn metrics(what: &str, text: &str) -> Result<Vec<(String, Value)>, ReadError> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(ReadError::HalfWritten(what.to_owned()));
    }
    let mut values = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let found = sample(text).map_err(|error| ReadError::Line { what: what.to_owned(), line, error })?;
        if let Some((series, number)) = found.filter(|(series, _)| series.labels.is_empty()) {
            values.push((series.name.to_owned(), number_value(number)));
        }
        if values.len() == limits::ATTRIBUTES {
            break;
        }
    }
    Ok(values)
}

fn json(text: &str) -> Result<Vec<(String, Value)>, ReadError> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|e| ExtractError::NotJson(e.to_string()))?;
    let values = object.into_iter().take(limits::ATTRIBUTES);
    values.map(|(name, value)| Ok((name, scalar::from_json(&value)?))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metrics_without_labels_are_attributes() {
        let values = metrics("x", "# TYPE a gauge\na 1\nb{l=\"x\"} 2\nApp:Queue 2.5\n").unwrap();
        assert_eq!(values, [("a".to_owned(), Value::Int(1)), ("App:Queue".to_owned(), Value::float(2.5))]);
    }

    #[test]
    fn half_a_file_is_an_error() {
        assert!(matches!(metrics("x", "queue 12"), Err(ReadError::HalfWritten(_))));
        assert!(matches!(metrics("x", "queue\n"), Err(ReadError::Line { line: 1, .. })));
        assert!(json("{\"queue\": 1").is_err());
        assert!(json("{\"queue\": 12}").is_ok());
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(text in any::<String>(), lines in "([a-z_]{1,70} [0-9]{1,4}\n){0,100}") {
            let _ = (metrics("x", &text), json(&text));
            prop_assert!(metrics("x", &lines).is_ok_and(|values| values.len() <= limits::ATTRIBUTES));
        }
    }
}
