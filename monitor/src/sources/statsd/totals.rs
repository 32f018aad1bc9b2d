//! What came since the last time, summed up. A value: datagrams and time in, attributes out.
//!
//! | sent | attributes |
//! |---|---|
//! | `x:1\|c` | `x_per_s`: events in a second |
//! | `x:5\|g`, `x:+1\|g` | `x` |
//! | `x:12\|ms` (`h`, `d`) | `x_per_s`; `x_mean` and `x_p99`, in the unit that is sent; absent if there were none |
//! | `x:ann\|s` | `x_distinct`: how many different texts |
//!
//! A name that is not heard of for its life is forgotten. Bound: [`limits::STATSD_NAMES`] names, each of bounded size.

use std::{collections::BTreeMap, time::Duration};

use gcs::time::Time;

use super::{
    Ignored,
    line::{self, Kind, Line},
};
use crate::{
    sketch::{DistinctSketch, QuantileSketch},
    sources::{limits, name::Name, poll::Said},
    value::Value,
};

/// A finite number.
fn number(text: &str) -> Result<f64, Ignored> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(Ignored::Line)
}

/// What a name has come to.
#[derive(Debug)]
enum Sum {
    Counter(f64),
    Gauge(f64),
    Timer { events: f64, sum: f64, numbers: QuantileSketch },
    Set(DistinctSketch),
}

impl Sum {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(0.0),
            Kind::Gauge => Self::Gauge(0.0),
            Kind::Timer => Self::Timer { events: 0.0, sum: 0.0, numbers: QuantileSketch::default() },
            Kind::Set => Self::Set(DistinctSketch::default()),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Timer { .. } => Kind::Timer,
            Self::Set(_) => Kind::Set,
        }
    }

    fn add(&mut self, text: &str, one_in: f64) -> Result<(), Ignored> {
        if let Self::Set(seen) = self {
            seen.add(&Value::text(text));
            return Ok(());
        }
        let number = number(text)?;
        match self {
            Self::Counter(sum) => *sum += number * one_in,
            Self::Gauge(level) if text.starts_with(['+', '-']) => *level += number,
            Self::Gauge(level) => *level = number,
            Self::Timer { events, sum, numbers } => {
                *events += one_in;
                *sum += number * one_in;
                numbers.add(number);
            }
            Self::Set(_) => {}
        }
        Ok(())
    }

    /// The attributes of a name, by what is put after it. Begins anew, except with gauges.
    fn take(&mut self, seconds: f64) -> Vec<(&'static str, Value)> {
        match self {
            Self::Gauge(level) => vec![("", Value::float(*level))],
            Self::Counter(sum) => {
                let rate = std::mem::take(sum) / seconds;
                vec![("_per_s", Value::float(rate))]
            }
            Self::Timer { events, sum, numbers } => {
                let said = vec![
                    ("_per_s", Value::float(*events / seconds)),
                    // Of none this is not a number, and so it is absent.
                    ("_mean", Value::float(*sum / *events)),
                    ("_p99", numbers.quantile(0.99).map_or(Value::Null, Value::float)),
                ];
                *self = Self::new(Kind::Timer);
                said
            }
            Self::Set(seen) => {
                let count = std::mem::take(seen).count();
                vec![("_distinct", Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))]
            }
        }
    }
}

/// All names.
#[derive(Debug)]
pub(super) struct Totals {
    names: BTreeMap<Name, (Time, Sum)>,
    since: Time,
}

impl Totals {
    pub(super) fn new(now: Time) -> Self {
        Self { names: BTreeMap::new(), since: now }
    }

    /// Adds what a datagram says; `ignored` hears of what does not count.
    pub(super) fn add(&mut self, now: Time, datagram: &str, mut ignored: impl FnMut(Ignored)) {
        for text in datagram.lines().filter(|line| !line.is_empty()) {
            if let Err(why) = line::read(text).and_then(|line| self.add_line(now, &line)) {
                ignored(why);
            }
        }
    }

    fn add_line(&mut self, now: Time, line: &Line<'_>) -> Result<(), Ignored> {
        // A set's text may have colons in it, and be anything.
        let values: Vec<&str> =
            if line.kind == Kind::Set { vec![line.values] } else { line.values.split(':').collect() };
        // First, so that what is no number makes no name.
        if line.kind != Kind::Set {
            values.iter().try_for_each(|value| number(value).map(drop))?;
        }
        let sum = match self.names.get_mut(line.name) {
            // A name that is written as attributes are needs no making.
            Some((heard, sum)) => {
                *heard = now;
                sum
            }
            None => &mut self.entry(now, line)?.1,
        };
        if sum.kind() != line.kind {
            return Err(Ignored::Kind);
        }
        values.iter().try_for_each(|value| sum.add(value, line.one_in))
    }

    /// The place of a name that is not written as attributes are, or is new.
    fn entry(&mut self, now: Time, line: &Line<'_>) -> Result<&mut (Time, Sum), Ignored> {
        let name = Name::from_foreign(line.name).map_err(|_| Ignored::Line)?;
        if !self.names.contains_key(&name) {
            if self.names.len() >= limits::STATSD_NAMES {
                return Err(Ignored::Names);
            }
            if line.kind == Kind::Gauge && line.values.starts_with(['+', '-']) {
                return Err(Ignored::Delta);
            }
        }
        let place = self.names.entry(name).or_insert_with(|| (now, Sum::new(line.kind)));
        place.0 = now;
        Ok(place)
    }

    /// The attributes of the time since the last flush. Those of a name live for `life` from when it was heard of last.
    pub(super) fn flush(&mut self, now: Time, life: Duration) -> Vec<Said> {
        let seconds = now.since(self.since).as_secs_f64().max(1e-3);
        self.since = now;
        self.names.retain(|_, (heard, _)| now.since(*heard) < life);
        let mut all = Vec::new();
        for (name, (heard, sum)) in &mut self.names {
            let left = life.saturating_sub(now.since(*heard));
            for (ending, value) in sum.take(seconds) {
                if let Ok(name) = Name::new(&format!("{name}{ending}")) {
                    all.push(Said { name, value, life: Some(left) });
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFE: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Time {
        Time::from_ms(1_000 * seconds)
    }

    fn add(totals: &mut Totals, seconds: u64, text: &str) -> Vec<Ignored> {
        let mut ignored = Vec::new();
        totals.add(at(seconds), text, |why| ignored.push(why));
        ignored
    }

    fn flush(totals: &mut Totals, seconds: u64) -> String {
        let said = totals.flush(at(seconds), LIFE);
        said.iter().map(|s| format!("{}={} ", s.name, s.value)).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn every_kind_is_summed_up_in_its_way() {
        let mut totals = Totals::new(at(0));
        let sent = "Web.hits:3|c\nweb.hits:1|c|@0.1\nq:5|g\nq:+2|g\nt:10|ms\nt:20:30|ms\nu:ann|s\nu:bob|s\nu:ann|s\n";
        assert_eq!(add(&mut totals, 1, sent), []);
        assert_eq!(
            flush(&mut totals, 10),
            "q=7.0 t_per_s=0.3 t_mean=20.0 t_p99=30.0 u_distinct=2 web_hits_per_s=1.3"
        );
        assert_eq!(
            flush(&mut totals, 20),
            "q=7.0 t_per_s=0.0 t_mean=NULL t_p99=NULL u_distinct=0 web_hits_per_s=0.0",
            "no events are none, but no numbers have no mean"
        );
    }

    #[test]
    fn a_name_that_is_not_heard_of_is_forgotten() {
        let mut totals = Totals::new(at(0));
        add(&mut totals, 0, "q:5|g");
        assert_eq!(totals.flush(at(200), LIFE)[0].life, Some(Duration::from_secs(100)));
        assert_eq!(flush(&mut totals, 300), "");
        assert_eq!(add(&mut totals, 301, "q:+1|g"), [Ignored::Delta], "nobody knows what it is now");
    }

    #[test]
    fn what_does_not_count_is_said() {
        let mut totals = Totals::new(at(0));
        assert_eq!(
            add(&mut totals, 0, "a:1|c\na:1|g\nid:1|g\nb:x|c\nb:inf|g\n\nselect:1|c"),
            [Ignored::Kind, Ignored::Line, Ignored::Line, Ignored::Line, Ignored::Line]
        );
        let names: String = (0..100).map(|n| format!("n{n}:1|c\n")).collect();
        let ignored = add(&mut totals, 0, &names);
        assert_eq!(totals.names.len(), limits::STATSD_NAMES);
        assert!(ignored.iter().all(|why| *why == Ignored::Names) && ignored.len() >= 37);
    }

    proptest! {
        #[test]
        fn any_datagrams_are_of_bounded_consequence(
            any in prop::collection::vec(any::<String>(), 0..20),
            near in prop::collection::vec("[a-zA-Z.]{1,3}:[+-]?[0-9.e]{1,5}[|](c|g|ms|s)([|]@0[.][0-9])?", 0..200),
        ) {
            let mut totals = Totals::new(at(0));
            any.iter().chain(&near).for_each(|text| { add(&mut totals, 1, text); });
            prop_assert!(totals.names.len() <= limits::STATSD_NAMES);
            prop_assert!(totals.flush(at(10), LIFE).len() <= 3 * limits::STATSD_NAMES);
        }
    }
}
