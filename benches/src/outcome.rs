//! What a mode found, in one form for all modes, and the one place that prints it: as text or as JSON.

use crate::{
    perf::Common,
    report::{Figures, Percentiles},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// What a mode found. Names end with their units.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// The mode.
    pub mode: &'static str,
    /// What tells it from other parts of the same outcome.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What was asked for.
    pub work: Common,
    /// Single figures, of what was asked for and of what was found.
    pub values: BTreeMap<&'static str, f64>,
    /// Distributions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<&'static str, Percentiles>,
    /// The members' figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// What it was put together from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Outcome>,
    /// What the text shows in place of all this.
    #[serde(skip)]
    pub text: Option<String>,
}

/// One member's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Messages delivered a second.
    pub messages_per_s: f64,
    /// The same in 10⁶ bytes of payload.
    pub mb_per_s: f64,
    /// CPU seconds of the process for a million delivered messages; none if none was delivered.
    pub cpu_s_per_million: Option<f64>,
    /// CPU time in percent of one core.
    pub cpu_percent: f64,
    /// Views after the first.
    pub view_changes: u64,
    /// The longest time between two deliveries.
    pub longest_gap_ms: f64,
    /// The largest resident memory.
    pub peak_mib: f64,
    /// From when a message was due (or cast) to its delivery; where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<Percentiles>,
    /// The same, once a member more is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub later_us: Option<Percentiles>,
}

impl Outcome {
    /// With no figures yet.
    #[must_use]
    pub fn new(mode: &'static str, work: &Common) -> Self {
        Self { mode, work: work.clone(), ..Self::default() }
    }

    /// Adds a single figure.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.values.insert(name, value);
        self
    }

    /// Adds a member's figures.
    pub fn add(&mut self, name: &str, f: &Figures) {
        let messages_per_s = f.delivered as f64 / f.seconds;
        self.members.push(Member {
            name: name.to_owned(),
            messages_per_s,
            mb_per_s: messages_per_s * self.work.payload as f64 / 1e6,
            cpu_s_per_million: (f.delivered > 0).then(|| f.cpu / f.delivered as f64 * 1e6),
            cpu_percent: f.cpu / f.seconds * 100.0,
            view_changes: f.views,
            longest_gap_ms: f.longest_gap_ms,
            peak_mib: f.rss_mib,
            latency_us: f.latency_us,
            later_us: f.later_us,
        });
    }

    /// Adds what the slowest member delivers, and what all processes need for it.
    #[must_use]
    pub fn totalled(self) -> Self {
        let slowest = self.members.iter().map(|m| m.messages_per_s).fold(f64::INFINITY, f64::min);
        let cpu: f64 = self.members.iter().filter_map(|m| m.cpu_s_per_million).sum();
        let mb = slowest * self.work.payload as f64 / 1e6;
        let with = self.with("messages_per_s", slowest).with("mb_per_s", mb);
        if cpu > 0.0 { with.with("cpu_s_per_million", cpu) } else { with }
    }

    /// A single figure, or none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Prints it: as text, or as one JSON object.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{self}");
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        let w = &self.work;
        write!(f, "{}: ", self.mode)?;
        if !self.label.is_empty() {
            write!(f, "{}, ", self.label)?;
        }
        write!(f, "{} members, {}, {} B, {} s", w.members, w.stack.join(" "), w.payload, w.seconds)?;
        for m in &self.members {
            write!(f, "\n  {m}")?;
        }
        for (name, p) in &self.times {
            write!(f, "\n  {name}: {} samples, {p}", p.count)?;
        }
        for (i, (name, value)) in self.values.iter().enumerate() {
            write!(f, "{}{name} {}", if i == 0 { "\n  " } else { ", " }, Short(*value))?;
        }
        for part in &self.parts {
            write!(f, "\n{part}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} messages/s, ", self.name, Short(self.messages_per_s))?;
        write!(f, "{} MB/s, CPU {} %", Short(self.mb_per_s), Short(self.cpu_percent))?;
        if let Some(cpu) = self.cpu_s_per_million {
            write!(f, ", {} s per million", Short(cpu))?;
        }
        if let Some(p) = self.latency_us {
            write!(f, ", latency us {p}")?;
        }
        if let Some(p) = self.later_us {
            write!(f, ", later {p}")?;
        }
        let (gap, views) = (Short(self.longest_gap_ms), self.view_changes);
        write!(f, ", longest gap {gap} ms, {views} view changes, peak {:.0} MiB", self.peak_mib)
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, max] = [self.p50, self.p99, self.p999, self.max].map(Short);
        write!(f, "p50 {p50} p99 {p99} p99.9 {p999} max {max}")
    }
}

/// A number with three or more digits, as many as are needed.
pub struct Short(pub f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        let digits = match x.abs() {
            _ if x == x.trunc() => 0,
            a if a >= 100.0 => 0,
            a if a >= 10.0 => 1,
            a if a >= 1.0 => 2,
            _ => 3,
        };
        write!(f, "{x:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_every_figure_of_every_member() {
        let mut o = Outcome::new("throughput", &Common { payload: 100, ..Common::default() });
        let latency = Percentiles { count: 1, p50: 1.0, p99: 2.0, p999: 3.0, max: 4.0 };
        let f = Figures { delivered: 2_000_000, seconds: 2.0, cpu: 1.0, rss_mib: 7.0, ..Figures::default() };
        o.add("p0", &Figures { latency_us: Some(latency), ..f.clone() });
        o.add("p1", &Figures { delivered: 1_000_000, ..f });
        let o = o.totalled();
        let v: serde_json::Value = serde_json::from_str(&serde_json::to_string(&o).unwrap()).unwrap();
        assert_eq!(v["values"]["messages_per_s"], 500_000.0);
        assert_eq!(v["values"]["cpu_s_per_million"], 1.5);
        assert_eq!(v["members"][0]["mb_per_s"], 100.0);
        assert_eq!(v["members"][0]["latency_us"]["p999"], 3.0);
        assert_eq!(v["members"][1]["peak_mib"], 7.0);
        assert!(v["members"][1].get("latency_us").is_none());
        assert!(o.to_string().contains("latency us p50 1 p99 2 p99.9 3 max 4"), "{o}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.1234, 1.234, 12.34, 123.4, 5.0].map(|x| Short(x).to_string());
        assert_eq!(shown, ["0.123", "1.23", "12.3", "123", "5"]);
    }
}
