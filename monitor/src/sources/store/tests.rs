//! Life, property, room and reports of attributes.

use proptest::prelude::*;

use super::*;

const LONG: Duration = Duration::from_secs(3600);
const APP: SourceId = SourceId::HTTP;

fn store() -> Store {
    Store::new(Rules::default())
}

fn at(seconds: u64) -> Time {
    Time::from_ms(seconds * 1_000)
}

fn put(store: &mut Store, seconds: u64, name: &str, value: impl Into<Value>) -> Result<(), Refused> {
    store.put(at(seconds), APP, &name.into(), value.into(), LONG)
}

/// What is reported, as text.
fn taken(store: &mut Store, seconds: u64) -> String {
    let updates = store.take(at(seconds));
    updates.iter().map(|u| format!("{}={} ", u.name, u.value)).collect::<String>().trim_end().to_owned()
}

#[test]
fn the_latest_value_is_reported_once() {
    let mut store = store();
    put(&mut store, 1, "queue", 1i64).unwrap();
    put(&mut store, 1, "queue", 2i64).unwrap();
    assert_eq!(taken(&mut store, 1), "queue=2");
    assert_eq!(taken(&mut store, 1), "");
    put(&mut store, 1, "queue", 2i64).unwrap();
    assert_eq!(taken(&mut store, 100), "");
}

#[test]
fn reports_of_one_attribute_are_a_pause_apart() {
    let mut store = store();
    put(&mut store, 1, "queue", 1i64).unwrap();
    assert_eq!(taken(&mut store, 1), "queue=1");
    for n in 2..100i64 {
        put(&mut store, 1, "queue", n).unwrap();
        assert_eq!(taken(&mut store, 1), "");
    }
    assert_eq!(store.next_timer(), at(2));
    assert_eq!(taken(&mut store, 2), "queue=99");
}

#[test]
fn small_changes_wait_and_go_along_with_others() {
    let mut store = store();
    put(&mut store, 0, "a", 1_000i64).unwrap();
    put(&mut store, 0, "b", 1_000i64).unwrap();
    assert_eq!(taken(&mut store, 0), "a=1000 b=1000");
    put(&mut store, 1, "a", 1_001i64).unwrap();
    put(&mut store, 10, "b", 2_000i64).unwrap();
    assert_eq!(taken(&mut store, 10), "b=2000", "too soon for a to go along");
    put(&mut store, 35, "b", 3_000i64).unwrap();
    assert_eq!(taken(&mut store, 35), "a=1001 b=3000");
    put(&mut store, 36, "a", 1_002i64).unwrap();
    assert_eq!(store.next_timer(), at(95));
    assert_eq!(taken(&mut store, 94), "");
    assert_eq!(taken(&mut store, 95), "a=1002");
}

#[test]
fn a_value_that_is_not_said_again_becomes_absent() {
    let mut store = store();
    store.put(at(0), APP, &"queue".into(), 5i64.into(), Duration::from_secs(30)).unwrap();
    assert_eq!(taken(&mut store, 0), "queue=5");
    assert_eq!(store.next_timer(), at(30));
    assert_eq!(taken(&mut store, 29), "");
    assert_eq!(taken(&mut store, 30), "queue=NULL");
    assert_eq!(store.entries().count(), 0, "nothing is remembered of it");
    assert_eq!(store.next_timer(), Time::NEVER);
}

#[test]
fn saying_it_again_keeps_it_alive_without_a_report() {
    let mut store = store();
    for minute in 0..10 {
        let life = Duration::from_secs(90);
        store.put(at(60 * minute), APP, &"queue".into(), 5i64.into(), life).unwrap();
        assert_eq!(taken(&mut store, 60 * minute), if minute == 0 { "queue=5" } else { "" });
    }
}

#[test]
fn a_name_belongs_to_one_source_as_long_as_it_has_a_value() {
    let mut store = store();
    let host = store.add_source("host", [&Name::new("cpu").unwrap()]);
    assert!(matches!(put(&mut store, 0, "cpu", 1i64), Err(Refused::Taken { by, .. }) if by == "host"));
    store.put(at(0), host, &"cpu".into(), 1i64.into(), LONG).unwrap();
    put(&mut store, 0, "queue", 1i64).unwrap();
    let other = SourceId::STATSD;
    let theirs = store.put(at(0), other, &"queue".into(), 2i64.into(), LONG);
    assert!(matches!(theirs, Err(Refused::Taken { by, .. }) if by == "http"));
    assert!(store.remove(at(0), other, "queue").is_err());
    assert_eq!(store.remove(at(0), APP, "queue"), Ok(true));
    assert_eq!(store.remove(at(0), APP, "queue"), Ok(false));
    store.put(at(0), other, &"queue".into(), 2i64.into(), LONG).unwrap();
    assert_eq!(taken(&mut store, 0), "cpu=1 queue=2");
    assert_eq!(store.sources()[SourceId::HTTP.0].refused, 1);
}

#[test]
fn the_row_stays_small_and_the_configuration_keeps_its_places() {
    let mut store = store();
    let names: Vec<Name> = (0..10).map(|n| Name::new(&format!("own{n}")).unwrap()).collect();
    let own = store.add_source("file", &names);
    let fit = (0..100).filter(|n| put(&mut store, 0, &format!("app{n}"), 1i64).is_ok()).count();
    assert_eq!(fit, limits::ATTRIBUTES - 10);
    for name in &names {
        store.put(at(0), own, name.shared(), 1i64.into(), LONG).unwrap();
    }
    assert_eq!(store.take(at(0)).len(), limits::ATTRIBUTES);
}

#[test]
fn what_is_too_large_is_refused_and_what_was_there_is_not_true_any_more() {
    let mut store = store();
    put(&mut store, 0, "text", "short").unwrap();
    assert_eq!(taken(&mut store, 0), "text=short");
    let long = "x".repeat(limits::VALUE_BYTES);
    assert!(matches!(put(&mut store, 1, "text", &*long), Err(Refused::TooLarge { room: 512, .. })));
    assert_eq!(taken(&mut store, 1), "text=NULL");
    let list = Value::list((0..33).map(Value::Int));
    assert!(matches!(put(&mut store, 2, "list", list), Err(Refused::TooLong { elements: 33, .. })));
    let medium = "x".repeat(limits::VALUE_BYTES - 3);
    let fit = (0..64).filter(|n| put(&mut store, 3, &format!("t{n}"), &*medium).is_ok()).count();
    assert_eq!(fit, limits::ROW_BYTES / (limits::VALUE_BYTES + 3));
}

#[test]
fn failures_are_new_until_it_works_again() {
    let mut store = store();
    assert!(store.fail(APP, "no".to_owned()));
    assert!(!store.fail(APP, "no".to_owned()));
    assert!(store.works(APP));
    assert!(!store.works(APP));
    assert!(store.fail(APP, "no".to_owned()));
    assert_eq!(store.sources()[APP.0].failures, 3);
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::float),
        "[a-z]{0,600}".prop_map(Value::from),
        prop::collection::vec(any::<i64>().prop_map(Value::Int), 0..40).prop_map(Value::list),
    ]
}

proptest! {
    /// Whatever is said, what has been reported fits into a row, and is what was said last once everything has settled.
    #[test]
    fn what_is_reported_is_small_and_true(
        says in prop::collection::vec((0..80usize, values(), 0..3usize, 1..400u64, 0..3_000u64), 0..300),
    ) {
        let mut store = store();
        let (mut now, mut row) = (Time::ZERO, BTreeMap::new());
        let apply = |row: &mut BTreeMap<Arc<str>, Value>, updates: Vec<Update>| {
            for update in updates {
                if update.value.is_null() {
                    assert!(row.remove(&update.name).is_some(), "only what is there is removed");
                } else {
                    row.insert(update.name, update.value);
                }
            }
        };
        for (name, value, source, life, pause) in says {
            now = now + Duration::from_millis(pause);
            let name = format!("attribute_{name}").into();
            let _ = store.put(now, SourceId(source), &name, value, Duration::from_secs(life));
            apply(&mut row, store.take(now));
            prop_assert!(store.take(now).is_empty());
            prop_assert!(row.len() <= limits::ATTRIBUTES);
            let whole = crate::row::Row::new(row.clone());
            prop_assert!(whole.encoded_len() <= limits::ROW_BYTES + 2, "{}", whole.encoded_len());
        }
        while store.next_timer() != Time::NEVER {
            prop_assert!(store.next_timer() > now);
            now = store.next_timer();
            let said: BTreeMap<_, _> = store.entries().map(|(n, e)| (n.clone(), e.value.clone())).collect();
            apply(&mut row, store.take(now));
            for (name, value) in &row {
                prop_assert!(said.contains_key(name), "{name} {value}");
            }
        }
        prop_assert!(row.is_empty(), "everything has expired: {row:?}");
    }
}
