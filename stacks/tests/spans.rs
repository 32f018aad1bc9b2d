//! The `tracing` spans of view changes, as a program's subscriber sees them.

use gcs::sim::{Fault, Plan, Setup, run_plan};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

type Fields = BTreeMap<&'static str, String>;

/// A span: its fields, and its events with theirs.
#[derive(Clone, Debug, Default)]
struct Recorded {
    name: &'static str,
    fields: Fields,
    events: Vec<Fields>,
    closed: bool,
}

struct Take<'a>(&'a mut Fields);

impl Visit for Take<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Records all spans.
#[derive(Clone, Default)]
struct Recorder {
    spans: Arc<Mutex<BTreeMap<u64, Recorded>>>,
    next: Arc<AtomicU64>,
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("gcs::endpoint::span")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut recorded = Recorded { name: span.metadata().name(), ..Recorded::default() };
        span.record(&mut Take(&mut recorded.fields));
        self.spans.lock().expect("unpoisoned").insert(id, recorded);
        Id::from_u64(id)
    }
    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.spans.lock().expect("unpoisoned");
        values.record(&mut Take(&mut spans.get_mut(&span.into_u64()).expect("known").fields));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let parent = event.parent().expect("events are within a span").into_u64();
        let mut fields = Fields::new();
        event.record(&mut Take(&mut fields));
        self.spans.lock().expect("unpoisoned").get_mut(&parent).expect("known").events.push(fields);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
    fn try_close(&self, span: Id) -> bool {
        self.spans.lock().expect("unpoisoned").get_mut(&span.into_u64()).expect("known").closed = true;
        true
    }
}

#[test]
fn a_view_change_is_a_span_with_its_phases() {
    let setup = Setup::new(gcs_stacks::named("total+uniform").expect("a name of the catalogue"));
    let plan = Plan::calm(3)
        .at_ms(300, Fault::Kill { process: 0, evidence: true })
        .at_ms(900, Fault::Start { process: 0 });
    let recorder = Recorder::default();
    let report = tracing::subscriber::with_default(recorder.clone(), || run_plan(7, &setup, &plan));
    assert_eq!(report.violation, None);
    let spans: Vec<_> = recorder.spans.lock().expect("unpoisoned").values().cloned().collect();
    assert!(spans.iter().all(|s| s.name == "view change" && s.fields["group"] == "simulated"));
    let done = |to: &str| -> Vec<&Recorded> {
        spans.iter().filter(|s| s.fields.get("to").is_some_and(|t| t.ends_with(to))).collect()
    };
    let phases = |s: &Recorded| -> Vec<String> { s.events.iter().map(|e| e["phase"].clone()).collect() };
    let founded = done(".1");
    assert_eq!(founded.len(), 3, "{spans:#?}");
    for s in founded {
        assert_eq!((s.fields["cause"].as_str(), s.fields["members"].as_str()), ("founded", "3"));
        assert_eq!(phases(s), ["installed"]);
    }
    let without = done(".2");
    assert_eq!(without.len(), 2, "{spans:#?}");
    for s in &without {
        assert!(s.fields["from"].ends_with(".1") && s.closed);
        assert_eq!((s.fields["cause"].as_str(), s.fields["members"].as_str()), ("gone", "2"));
        assert_eq!(s.fields["why"], "without p0 (its process is gone)");
        assert!(s.fields["ballot"].ends_with(".1"), "by the one of rank 1: {s:#?}");
        assert!(s.fields["took_us"].parse::<u64>().is_ok_and(|us| us > 0), "{s:#?}");
        let all = phases(s);
        let at = |p: &str| all.iter().position(|q| q == p).unwrap_or_else(|| panic!("no {p}: {all:?}"));
        assert!(at("wedged") <= at("promises") && at("promises") < at("accepts"), "{all:?}");
        assert!(at("accepts") < at("decided") && at("decided") < at("installed"), "{all:?}");
    }
    assert!(without.iter().any(|s| phases(s)[0] == "proposes"), "{without:#?}");
    let with = done(".3");
    assert_eq!(with.len(), 3, "{spans:#?}");
    let causes: Vec<_> = with.iter().map(|s| s.fields["cause"].as_str()).collect();
    assert_eq!(causes.iter().filter(|c| **c == "joined").count(), 2, "{causes:?}");
    assert_eq!(causes.iter().filter(|c| **c == "came").count(), 1, "{causes:?}");
}
