//! What is reported, by whom, and what went wrong: for people who look.

use gcs::time::Time;
use serde::Serialize;

use super::{limits, scalar, store::Store};

/// All sources and attributes at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Attributes that have a value, or had one that is still reported.
    pub attributes: Vec<AttributeStatus>,
    /// Sources.
    pub sources: Vec<SourceStatus>,
    /// How many attributes there may be.
    pub max_attributes: usize,
}

/// An attribute.
#[derive(Debug, Clone, Serialize)]
pub struct AttributeStatus {
    /// Its name.
    pub name: String,
    /// What was said last.
    pub value: serde_json::Value,
    /// What others were told.
    pub reported: serde_json::Value,
    /// Who says it.
    pub source: String,
    /// Seconds since it was said last.
    pub said_s_ago: u64,
    /// Seconds since others were told; none if they were not yet.
    pub reported_s_ago: Option<u64>,
    /// Seconds until it is gone, if it is not said again.
    pub expires_in_s: u64,
}

/// A source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// What it is.
    pub source: String,
    /// How often reading it failed.
    pub failures: u64,
    /// How much of what it said was not taken.
    pub refused: u64,
    /// Why that was, the last time.
    pub refusal: Option<String>,
    /// What is wrong now.
    pub error: Option<String>,
}

impl Status {
    pub(super) fn of(store: &Store, now: Time) -> Self {
        let attributes = store.entries().map(|(name, entry)| AttributeStatus {
            name: name.to_string(),
            value: scalar::to_json(&entry.value),
            reported: scalar::to_json(&entry.reported),
            source: store.label(entry.source).to_string(),
            said_s_ago: now.since(entry.said_at).as_secs(),
            reported_s_ago: entry.reported_at.map(|at| now.since(at).as_secs()),
            expires_in_s: entry.expires.since(now).as_secs(),
        });
        let sources = store.sources().iter().map(|source| SourceStatus {
            source: source.label.to_string(),
            failures: source.failures,
            refused: source.refused,
            refusal: source.refusal.clone(),
            error: source.error.clone(),
        });
        Self {
            attributes: attributes.collect(),
            sources: sources.collect(),
            max_attributes: limits::ATTRIBUTES,
        }
    }
}
