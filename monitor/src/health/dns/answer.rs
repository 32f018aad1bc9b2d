//! [`answer`]: a query and the state to an answer.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, SOA, SRV, TXT},
    },
};
use thiserror::Error;

use super::UDP_MAX;
use crate::health::{
    name::Label,
    state::{Component, State},
    verdict::{Health, Standing},
};

/// How long answers may be kept, in seconds.
const TTL: u32 = 1;
/// The label in front of the zone's name.
const HEALTH: &str = "health";

/// Where names are.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Name,
    soa: SOA,
}

/// Not a zone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ZoneError {
    /// Its name.
    #[error("`{0}` cannot be a zone: give a domain name, such as example.org")]
    Name(String),
}

impl Zone {
    /// `health.` in front of a domain name.
    ///
    /// # Errors
    /// [`ZoneError`].
    pub fn new(name: &str) -> Result<Self, ZoneError> {
        let make = || {
            let origin =
                Name::from_labels([HEALTH]).ok()?.append_domain(&Name::from_ascii(name).ok()?).ok()?;
            // So that the names of all instances fit.
            let fits = origin.len() + 2 * 64 <= 255;
            let postmaster = Name::from_labels(["hostmaster"]).ok()?.append_domain(&origin).ok()?;
            let soa = SOA::new(origin.clone(), postmaster, 1, 60, 60, 600, TTL);
            fits.then_some(Self { origin, soa })
        };
        let shown = || name.chars().take(64).flat_map(char::escape_default).collect();
        make().ok_or_else(|| ZoneError::Name(shown()))
    }

    fn soa(&self) -> Record {
        Record::from_rdata(self.origin.clone(), TTL, RData::SOA(self.soa.clone()))
    }
}

/// The answer to a query. `state`: None if this representative cannot know. `most`: how many bytes are carried, whatever the client says.
/// None: there is nothing to be answered to that.
#[must_use]
pub fn answer(query: &[u8], zone: &Zone, state: Option<&State>, most: Option<usize>) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.metadata.response_code = match (&query.queries[..], query.metadata.op_code) {
        (_, op) if op != OpCode::Query => ResponseCode::NotImp,
        ([question], _) => {
            reply.add_query(question.clone());
            fill(&mut reply, question, zone, state)
        }
        _ => ResponseCode::FormErr,
    };
    let room = query.edns.as_ref().map_or(512, |edns| usize::from(edns.max_payload()).clamp(512, UDP_MAX));
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_MAX as u16);
        reply.set_edns(edns);
    }
    let bytes = reply.to_vec().ok()?;
    match most {
        Some(most) if bytes.len() > most.min(room) => reply.truncate().to_vec().ok(),
        _ => Some(bytes),
    }
}

/// Puts records into a reply.
fn fill(reply: &mut Message, question: &Query, zone: &Zone, state: Option<&State>) -> ResponseCode {
    let Some(labels) = below(zone, question.name()) else { return ResponseCode::Refused };
    if !matches!(question.query_class(), DNSClass::IN | DNSClass::ANY) {
        return ResponseCode::Refused;
    }
    let Some(state) = state else { return ResponseCode::ServFail };
    reply.metadata.authoritative = true;
    let found = match &labels[..] {
        [] => {
            if question.query_type() == RecordType::SOA {
                reply.add_answer(zone.soa());
            }
            true
        }
        [component] => match state.component(component) {
            Some(of) => {
                whole(reply, question, zone, component, of);
                true
            }
            None => false,
        },
        [instance, component] => {
            let of = state.component(component);
            match of.and_then(|of| of.standings().find(|s| s.instance == *instance)) {
                Some(standing) => {
                    one(reply, question, &standing);
                    true
                }
                None => false,
            }
        }
        _ => false,
    };
    if reply.answers.is_empty() {
        reply.add_authority(zone.soa());
    }
    if found { ResponseCode::NoError } else { ResponseCode::NXDomain }
}

/// The labels in front of the origin. None: another zone. What is not a label of ours names nothing: an odd number of them.
fn below(zone: &Zone, name: &Name) -> Option<Vec<Label>> {
    if !zone.origin.zone_of(name) {
        return None;
    }
    let count = usize::from(name.num_labels() - zone.origin.num_labels());
    let labels = name.iter().take(count).map(|label| {
        let text = std::str::from_utf8(label).ok()?.to_ascii_lowercase();
        text.parse().ok()
    });
    let labels: Option<Vec<Label>> = labels.collect();
    Some(labels.filter(|labels| labels.len() <= 2).unwrap_or_else(nothing))
}

/// Labels that no name of ours has.
fn nothing() -> Vec<Label> {
    "x".parse().map(|label: Label| vec![label; 3]).unwrap_or_default()
}

fn address(name: &Name, at: SocketAddr) -> Record {
    let data = match at.ip() {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(name.clone(), TTL, data)
}

fn text(name: &Name, standing: &Standing) -> Record {
    let Standing { instance, health, since_ms, .. } = standing;
    let text = format!("instance={instance} health={health} since={since_ms}");
    Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![text])))
}

/// Of a component.
fn whole(reply: &mut Message, question: &Query, zone: &Zone, component: &Label, of: &Component) {
    let name = question.name();
    let up = || of.standings().filter(|s| s.health == Health::Up);
    match question.query_type() {
        kind @ (RecordType::A | RecordType::AAAA) => {
            let records = up().filter_map(|s| s.address).map(|at| address(name, at));
            let mut addresses: Vec<Record> = records.filter(|r| r.record_type() == kind).collect();
            // Instances at several ports of a host are one address.
            addresses.dedup_by(|a, b| a == b);
            reply.add_answers(addresses);
        }
        RecordType::SRV => {
            for standing in up() {
                let Some(at) = standing.address else { continue };
                let labels = [standing.instance.as_str(), component.as_str()];
                let target = Name::from_labels(labels).and_then(|n| n.append_domain(&zone.origin));
                let Ok(target) = target else { continue };
                reply.add_additional(address(&target, at));
                let data = RData::SRV(SRV::new(0, 1, at.port(), target));
                reply.add_answer(Record::from_rdata(name.clone(), TTL, data));
            }
        }
        RecordType::TXT => _ = reply.add_answers(of.standings().map(|s| text(name, &s))),
        _ => {}
    }
}

/// Of an instance.
fn one(reply: &mut Message, question: &Query, standing: &Standing) {
    let name = question.name();
    match question.query_type() {
        kind @ (RecordType::A | RecordType::AAAA) => {
            let record = standing.address.map(|at| address(name, at));
            reply.add_answers(record.filter(|r| r.record_type() == kind));
        }
        RecordType::TXT => _ = reply.add_answer(text(name, standing)),
        _ => {}
    }
}
