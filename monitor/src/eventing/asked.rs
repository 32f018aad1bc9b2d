//! [`Asked`]: a standing query as requests ask for it, whatever they are written in.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    daemon::events::{LEASE_S, Wanted},
    zones::{
        kind::{Delivery, Trigger},
        name::{ZoneName, ZoneNameError},
    },
};

/// How often agents look if nothing else is said.
const EVERY_MS: u64 = 500;

/// What is to be told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) sql: String,
    #[serde(default)]
    pub(crate) zone: String,
    #[serde(default)]
    pub(crate) mode: Mode,
    #[serde(default)]
    pub(crate) delivery: How,
    pub(crate) every_ms: Option<u64>,
}

/// When.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    #[default]
    Edge,
    Level,
}

/// How sure it is that it arrives.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    #[default]
    AtLeastOnce,
    AtMostOnce,
}

impl Asked {
    /// As a subscription wants it.
    pub(crate) fn wanted(self) -> Result<Wanted, ZoneNameError> {
        Ok(Wanted {
            zone: if self.zone.is_empty() { ZoneName::root() } else { self.zone.parse()? },
            sql: self.sql,
            trigger: match self.mode {
                Mode::Edge => Trigger::Edge,
                Mode::Level => Trigger::Level,
            },
            delivery: match self.delivery {
                How::AtLeastOnce => Delivery::AtLeastOnce,
                How::AtMostOnce => Delivery::AtMostOnce,
            },
            every: Duration::from_millis(self.every_ms.unwrap_or(EVERY_MS)),
            lease: Duration::from_secs(LEASE_S),
        })
    }
}
