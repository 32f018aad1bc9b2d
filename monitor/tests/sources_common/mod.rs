//! Running sources, and what they have reported.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use gcs_monitor::{
    sources::{Config, Sources},
    value::Value,
};

/// How long to wait for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gcs-sources-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// Replaces a file at once, as programs should.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        self.write("new", text);
        std::fs::rename(self.path("new"), self.path(name)).expect("a file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path as it is written in TOML.
pub(crate) fn toml(path: &Path) -> String {
    format!("{:?}", path.to_str().expect("a path of letters"))
}

/// Sources, and the row that they make.
pub(crate) struct Row {
    pub(crate) sources: Sources,
    pub(crate) attributes: BTreeMap<String, Value>,
}

impl Row {
    /// Starts sources without the host's attributes; reports come soon.
    pub(crate) async fn start(config: &str) -> Self {
        let quick = "[report.'*']\npause = '100ms'\nrelative = 0\n[host]\nattributes = []\n";
        Self::start_all(&format!("{quick}{config}")).await
    }

    pub(crate) async fn start_all(config: &str) -> Self {
        let config = Config::from_toml(config).unwrap_or_else(|e| panic!("{e}"));
        let sources = Sources::start(config).await.unwrap_or_else(|e| panic!("{e}"));
        Self { sources, attributes: BTreeMap::new() }
    }

    /// The next reports.
    pub(crate) async fn more(&mut self) {
        let updates = tokio::time::timeout(PATIENCE, self.sources.next()).await;
        for update in updates.unwrap_or_else(|_| panic!("nothing comes: {:?}", self.attributes)) {
            if update.value.is_null() {
                let there = self.attributes.remove(&*update.name).is_some();
                assert!(there, "{} was not there and is removed", update.name);
            } else {
                self.attributes.insert(update.name.to_string(), update.value);
            }
        }
    }

    /// Waits until the row is as it should be.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&BTreeMap<String, Value>) -> bool) {
        let waits = async {
            while !holds(&self.attributes) {
                self.more().await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, waits).await;
        assert!(done.is_ok(), "{what}: {:?} {:?}", self.attributes, self.sources.handle().status());
    }

    pub(crate) async fn until_is(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        self.until(&format!("{name} is {value}"), |row| row.get(name) == Some(&value)).await;
    }

    pub(crate) async fn until_absent(&mut self, name: &str) {
        self.until(&format!("{name} is absent"), |row| !row.contains_key(name)).await;
    }

    /// Waits until a source says an error with these words, while reports go on.
    pub(crate) async fn until_error(&mut self, source: &str, words: &str) {
        let waits = async {
            loop {
                let status = self.sources.handle().status();
                let found = status.sources.iter().find(|s| s.source == source);
                if found.and_then(|s| s.error.as_ref()).is_some_and(|e| e.contains(words)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, waits).await;
        assert!(done.is_ok(), "{source}: {words}: {:?}", self.sources.handle().status());
    }

    /// How much of what a source said was not taken, and why the last of it was not.
    pub(crate) fn refused(&self, source: &str) -> (u64, String) {
        let status = self.sources.handle().status();
        let found = status.sources.into_iter().find(|s| s.source == source);
        found.map_or_else(Default::default, |s| (s.refused, s.refusal.unwrap_or_default()))
    }
}
