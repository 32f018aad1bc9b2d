//! Queries and answers.

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

use super::*;
use crate::health::{
    command::{Command, Observation, Registration},
    state::State,
    verdict::Finding,
};

fn state() -> State {
    let mut state = State::new();
    state.view_changed(1);
    let instances = [
        ("a", "10.0.0.1:80", Finding::Up),
        ("b", "10.0.0.2:81", Finding::Down),
        ("c", "[fd00::3]:82", Finding::Sluggish),
    ];
    for (instance, address, finding) in instances {
        let registration = Registration {
            component: "shop".parse().unwrap(),
            instance: instance.parse().unwrap(),
            address: Some(address.parse().unwrap()),
            supervisor: None,
            witnesses: 1,
        };
        state.apply(Command::Register(registration), 5).unwrap();
        let observation = Observation {
            component: "shop".parse().unwrap(),
            instance: instance.parse().unwrap(),
            observer: "x".parse().unwrap(),
            serial: 1,
            finding,
            certain: false,
            evidence: "".into(),
        };
        state.apply(Command::Observe(observation), 7).unwrap();
    }
    state
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn ask(query: &Message, state: Option<&State>, most: Option<usize>) -> Message {
    let zone = Zone::new("example.org").unwrap();
    let reply = answer(&query.to_vec().unwrap(), &zone, state, most).unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!((reply.metadata.id, reply.metadata.message_type), (query.metadata.id, MessageType::Response));
    reply
}

/// The answers as text, and the code.
fn told(name: &str, kind: RecordType) -> (Vec<String>, ResponseCode) {
    let reply = ask(&query(name, kind), Some(&state()), None);
    let answers = reply.answers.iter().map(|r| r.data.to_string());
    (answers.collect(), reply.metadata.response_code)
}

#[test]
fn what_is_up_is_answered_with() {
    let name = "shop.health.example.org.";
    let ok = ResponseCode::NoError;
    assert_eq!(told(name, RecordType::A), (vec!["10.0.0.1".to_owned()], ok));
    assert_eq!(told("ShOp.HEALTH.example.ORG.", RecordType::AAAA), (vec!["fd00::3".to_owned()], ok));
    let (srv, _) = told(name, RecordType::SRV);
    assert_eq!(srv, ["0 1 80 a.shop.health.example.org.", "0 1 82 c.shop.health.example.org."]);
    let (txt, _) = told(name, RecordType::TXT);
    assert_eq!(txt.len(), 3);
    assert_eq!(txt[1], "instance=b health=down since=7");
    assert_eq!(told("b.shop.health.example.org.", RecordType::A), (vec!["10.0.0.2".to_owned()], ok));
    assert_eq!(told(name, RecordType::MX), (vec![], ok));
}

#[test]
fn what_is_not_there_is_said() {
    let code = |name: &str| told(name, RecordType::A).1;
    for name in ["nobody", "d.shop", "x.y.z", "under_score", "a.b.c.d"] {
        assert_eq!(code(&format!("{name}.health.example.org.")), ResponseCode::NXDomain, "{name}");
    }
    for other in ["example.org.", "shop.example.org.", "com.", "."] {
        assert_eq!(code(other), ResponseCode::Refused, "{other}");
    }
    let negative = ask(&query("nobody.health.example.org.", RecordType::A), Some(&state()), None);
    assert!(matches!(negative.authorities[0].data, RData::SOA(_)) && negative.metadata.authoritative);
    assert_eq!(told("health.example.org.", RecordType::SOA).0.len(), 1);
}

#[test]
fn who_cannot_know_says_so() {
    let reply = ask(&query("shop.health.example.org.", RecordType::A), None, None);
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let mut update = query("shop.health.example.org.", RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(ask(&update, Some(&state()), None).metadata.response_code, ResponseCode::NotImp);
}

#[test]
fn what_is_too_long_is_asked_for_over_tcp() {
    let mut state = state();
    for n in 0..60 {
        let registration = Registration {
            component: "shop".parse().unwrap(),
            instance: format!("instance-{n}").parse().unwrap(),
            address: None,
            supervisor: None,
            witnesses: 1,
        };
        state.apply(Command::Register(registration), 5).unwrap();
    }
    let mut long = query("shop.health.example.org.", RecordType::TXT);
    let cut = ask(&long, Some(&state), Some(UDP_MAX));
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut edns = Edns::new();
    edns.set_max_payload(65_000);
    long.set_edns(edns);
    assert!(ask(&long, Some(&state), Some(UDP_MAX)).metadata.truncation, "whatever the client says");
    let whole = ask(&long, Some(&state), None);
    assert!(!whole.metadata.truncation && whole.answers.len() == 63 && whole.edns.is_some());
}

#[test]
fn nonsense_is_not_answered() {
    let zone = Zone::new("example.org").unwrap();
    let query = query("shop.health.example.org.", RecordType::SRV).to_vec().unwrap();
    let state = state();
    for len in 0..query.len() {
        let _ = answer(&query[..len], &zone, Some(&state), None);
        for bit in 0..8 {
            let mut damaged = query.clone();
            damaged[len] ^= 1 << bit;
            let _ = answer(&damaged, &zone, Some(&state), Some(UDP_MAX));
        }
    }
    assert_eq!(answer(&query[..11], &zone, Some(&state), None), None);
    let mut reply = query.clone();
    reply[2] |= 0x80;
    assert_eq!(answer(&reply, &zone, Some(&state), None), None, "no answers to answers");
    assert!(Zone::new("a..b").is_err() && Zone::new(&"x.".repeat(80)).is_err());
}
