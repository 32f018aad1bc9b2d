//! What it costs to sign, and to look whether something counts. Sizes are printed first.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gcs_monitor::{
    row::Row,
    trust::{Anchor, Grant, Identity, Keys, Kind, RowIssue, SecretKey, Validity, Verifier},
    value::Value,
    zones::{
        event::{EventId, Fired, Told},
        function::Function,
        message::{Body, Message},
        name::ZoneName,
    },
};

const NOW_S: u64 = 1_790_000_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32]).expect("32 bytes")
}

fn zone(path: &str) -> ZoneName {
    path.parse().expect("a path")
}

fn issued(by: &Identity, kind: Kind, path: &str, seed: u8) -> Identity {
    let validity = Validity::new(NOW_S, 365 * 86_400);
    let grant = Grant { kind, zone: zone(path), key: key(seed).public(), validity };
    Identity::new(key(seed), by.issue(grant).expect("it may")).expect("its key")
}

fn verifier() -> Verifier {
    let anchor = Anchor { zone: zone("/"), key: key(1).public() };
    Verifier::new(vec![anchor]).expect("one anchor")
}

fn trust(c: &mut Criterion) {
    let root = Identity::anchor(key(1), zone("/"));
    let eu = issued(&root, Kind::Zone, "/eu", 2);
    let (near, far) =
        (issued(&root, Kind::Agent, "/eu/ams/h1", 3), issued(&eu, Kind::Agent, "/eu/ams/h1", 3));
    let may = "read,write,install".parse().expect("words");
    let client = issued(&eu, Kind::Client { name: "alice".to_owned(), may }, "/eu", 4);
    let sql = "SELECT AVG(load) AS load, MAX(load) AS worst";
    let function = Function::open("load", sql, NOW_S, 86_400).expect("it is right").said().clone();
    let function = client.sign_function(&zone("/eu"), function).expect("it may");
    for (what, bytes) in [
        ("an agent's certificate by the anchor", near.chain().encode()),
        ("by the authority of a zone", far.chain().encode()),
        ("a client's", client.chain().encode()),
        ("the seal of a function by that client", function.seal.clone()),
    ] {
        println!("{what}: {} bytes", bytes.len());
    }

    let (ams, row) = (zone("/eu/ams"), [7; 300]);
    let row = RowIssue { zone: &ams, child: "h1", generator: 1, version: 2, row: &row };
    let signature = row.sign(near.key());
    c.bench_function("sign a row of 300 bytes", |b| b.iter(|| black_box(&row).sign(near.key())));
    for (what, by) in [("one certificate", &near), ("two certificates", &far)] {
        let mut warm = verifier();
        c.bench_function(&format!("verify a row, {what}, known"), |b| {
            // Another one each time: the same is not looked at twice.
            let rows: Vec<RowIssue<'_>> = (0..50_000).map(|version| RowIssue { version, ..row }).collect();
            let signed: Vec<_> = rows.iter().map(|row| row.sign(by.key())).collect();
            let mut all = rows.iter().zip(&signed).cycle();
            b.iter(|| {
                let (row, signature) = all.next().expect("it is a cycle");
                warm.row(NOW_S, by.chain(), black_box(row), signature).expect("right");
            });
        });
        c.bench_function(&format!("verify a row, {what}, unknown"), |b| {
            b.iter(|| verifier().row(NOW_S, by.chain(), black_box(&row), &signature).expect("right"));
        });
    }
    let mut warm = verifier();
    c.bench_function("look at a chain of two certificates, known", |b| {
        b.iter(|| warm.chain(NOW_S, black_box(far.chain())).expect("right"));
    });
    let bytes = far.chain().encode();
    c.bench_function("read a chain of two certificates", |b| {
        b.iter(|| gcs_monitor::trust::Chain::decode(black_box(&bytes)).expect("a chain"));
    });
    c.bench_function("verify a function, known", |b| {
        b.iter(|| warm.function(NOW_S, black_box(&function)).expect("right"));
    });
    events(c, far);
}

/// An event of one row, as it fires and as whoever has asked looks at it.
fn events(c: &mut Criterion, by: Identity) {
    let rows = vec![Row::new([("pid", Value::Int(4711)), ("name", Value::text("db"))])];
    let told = Told { agent: "/eu/ams/h1".to_owned(), at_ms: NOW_S * 1000, rows };
    let id = EventId { origin: u64::MAX, nth: 1 };
    let open = Fired { id, rows: 1, lost: 0, told: Some(told), seal: None };
    let anchor = Anchor { zone: zone("/"), key: key(1).public() };
    let keys = Keys::new(by, vec![anchor]).expect("an agent's");
    let sealed = |nth: u32| {
        let fired = Fired { id: EventId { nth, ..id }, ..open.clone() };
        let seal = Some(Box::new(keys.seal_event("event-0123456789abcdef", &fired)));
        Fired { seal, ..fired }
    };
    let bytes = |fired: &Fired| {
        let body = Body::Fired("event-0123456789abcdef".into(), vec![fired.clone()]);
        Message { zone: zone("/"), body }.encode().len()
    };
    println!("a message with an event: {} bytes, sealed {}", bytes(&open), bytes(&sealed(1)));
    c.bench_function("seal an event", |b| b.iter(|| sealed(black_box(1))));
    let mut warm = verifier();
    c.bench_function("verify an event, two certificates, known", |b| {
        let all: Vec<Fired> = (1..50_000).map(sealed).collect();
        let (mut all, eu) = (all.iter().cycle(), zone("/eu"));
        b.iter(|| {
            let fired = all.next().expect("it is a cycle");
            warm.event(NOW_S, "event-0123456789abcdef", &eu, black_box(fired)).expect("right")
        });
    });
}

criterion_group!(benches, trust);
criterion_main!(benches);
