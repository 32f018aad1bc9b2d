//! [`Message`]: what agents say to each other.
//!
//! ```text
//! News      an issue, or that a generator is gone, passed on at once                              ──► some
//! Compare   digests of the tables that both have ──►   ◄── Marks of a table that differs
//!           Rows that the other lacks, marks of those lacked ──►   ◄── Rows
//!                                             ◄── or Busy: who may do so instead
//! Ask for a table of any zone ──►   ◄── Part of it, or Nearer: who may know
//! Fired: standing queries have fired ──►   ◄── Confirmed
//! Whose    who has signed this? ──►   ◄── Chains of certificates
//! See ──► ◄── Seen: at which address somebody is seen;  Lease of a number at a relay ──► ◄── Leased
//! Relay a datagram to a number ──► (relay)  Relayed ──►;  By: from an agent that is reached at a relay
//! Ping ──► ◄── Pong;  PingFor ──► (asks another one to ping)  ◄── Pong, or Silent: it does not hear it, either
//! ```

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    event::{EventId, Fired},
    function::{Function, NAME_MAX, Said},
    name::ZoneName,
    table::{Generator, Issue, Stamp},
};
use crate::{
    codec::RowLimits,
    row::Row,
    trust::{Chain, Id, Revocation, SEAL, Seal, Signer},
};

/// Bytes of rows in a message, so that it is one datagram on Ethernet; one row may be longer.
pub(super) const ROWS_MAX: usize = 1200;
/// What a datagram costs besides, over IPv4.
pub const DATAGRAM: usize = 28;

/// One datagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The zone that both agents are in whose table this is about, and all above.
    pub zone: ZoneName,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Of children of the zone, and of those around it: how many levels below the root these are.
    News(Vec<(u8, Item)>),
    /// Digests of the tables from the root's to the zone's. Answered with [`Body::Marks`] of one that differs.
    Compare(Vec<u64>),
    /// The marks of the rows of the zone's table. Answered with [`Body::Rows`].
    Marks(Vec<u32>),
    /// Rows of the zone's children, and marks of those that are wanted.
    Rows(Vec<Item>, Vec<u32>),
    /// Too many strangers compare their tables with it now: this one knows as much.
    Busy(SocketAddr),
    /// For the table of the message's zone. Answered with [`Body::Part`] or [`Body::Nearer`] of the same number.
    Ask(u32),
    /// Some of the items of the table: of so many, with so many agents that were there.
    Part(u32, (u32, i64), Vec<Item>),
    /// Agents that are nearer to the zone; none if there is no such zone.
    Nearer(u32, Vec<SocketAddr>),
    /// A standing query of this name has fired. On its way to whoever has asked, who confirms it if that was asked for.
    Fired(Arc<str>, Vec<Fired>),
    /// Who has asked has these events of the query.
    Confirmed(Arc<str>, Vec<EventId>),
    /// Answered with the same number.
    Ping(u32),
    /// The answer.
    Pong(u32),
    /// The answer to some questions, where agents have keys: that the child of the message's zone that was asked about is there.
    Proof(u32, Seal),
    /// Ping the agent there and pass its answer on.
    PingFor(u32, SocketAddr),
    /// There was none.
    Silent(u32),
    /// For the certificates of those who have signed something. Answered with [`Body::Chains`].
    Whose(Vec<Signer>),
    /// Certificates of some who sign.
    Chains(Vec<Arc<Chain>>),
    /// At which address is whoever asks seen? Answered with [`Body::Seen`] of the same number.
    See(u32),
    /// At this one.
    Seen(u32, SocketAddr),
    /// For the lease of a number at a relay, or for more time, by whoever knows the token of the lease. Answered with [`Body::Leased`].
    Lease(u32, u64),
    /// Whether the lease of this number is granted.
    Leased(u32, bool),
    /// The message in this datagram to whoever has the lease of this number, from the agent that is reached there.
    Relay(u32, SocketAddr, Vec<u8>),
    /// A relay passes on the message in this datagram, from the agent that is reached there.
    Relayed(SocketAddr, Vec<u8>),
    /// The message in this datagram is from the agent that is reached there, at a relay.
    By(SocketAddr, Vec<u8>),
}

/// What an item is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A child of the zone.
    Child(Arc<str>),
    /// A function for the zone, by its name.
    Function(Arc<str>),
    /// A certificate that was revoked.
    Revocation(Id),
}

/// Something about a child of a zone, or a function for the zone.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Its row.
    Issue(Arc<str>, Arc<Issue>),
    /// After this issue it was gone, as somebody says.
    Gone(Arc<str>, Stamp, Option<Seal>),
    /// A function for the zone.
    Function(Arc<Function>),
    /// A revocation: of the root's table only.
    Revocation(Arc<Revocation>),
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("these bytes are not a message of gcs-monitor, or of another version")]
pub struct MessageError;

const VERSION: u8 = 3;

#[derive(Serialize, Deserialize)]
struct Frame<'a> {
    version: u8,
    zone: &'a str,
    #[serde(borrow)]
    body: Wire<'a>,
}

#[derive(Serialize, Deserialize)]
enum Wire<'a> {
    #[serde(borrow)]
    News(Vec<(u8, WireItem<'a>)>),
    Compare(Vec<u64>),
    Marks(Vec<u32>),
    Rows(#[serde(borrow)] Vec<WireItem<'a>>, Vec<u32>),
    Ping(u32),
    Pong(u32),
    PingFor(u32, SocketAddr),
    Silent(u32),
    Ask(u32),
    Part(u32, (u32, i64), #[serde(borrow)] Vec<WireItem<'a>>),
    Nearer(u32, Vec<SocketAddr>),
    Busy(SocketAddr),
    Fired(&'a str, Vec<Fired>),
    Confirmed(&'a str, Vec<EventId>),
    Whose(Vec<Signer>),
    Chains(#[serde(borrow)] Vec<Cow<'a, [u8]>>),
    Proof(u32, Seal),
    See(u32),
    Seen(u32, SocketAddr),
    Lease(u32, u64),
    Leased(u32, bool),
    // Of four bytes, whatever it is: what a relay passes on is not longer than what it got.
    Relay([u8; 4], SocketAddr, &'a [u8]),
    Relayed(SocketAddr, &'a [u8]),
    By(SocketAddr, &'a [u8]),
}

#[derive(Serialize, Deserialize)]
enum WireItem<'a> {
    Issue(&'a str, u64, u64, Row, Option<Seal>),
    Gone(&'a str, u64, u64, Option<Seal>),
    Function(Said),
    Revocation(#[serde(borrow)] Cow<'a, [u8]>),
}

impl<'a> WireItem<'a> {
    fn of(item: &'a Item) -> Self {
        match item {
            Item::Issue(child, issue) => {
                let (stamp, row) = (issue.stamp, issue.row.clone());
                Self::Issue(child, stamp.generator.0, stamp.version, row, issue.seal)
            }
            Item::Gone(child, stamp, seal) => Self::Gone(child, stamp.generator.0, stamp.version, *seal),
            Item::Function(function) => Self::Function(function.said().clone()),
            Item::Revocation(revocation) => Self::Revocation(revocation.encode().into()),
        }
    }

    fn read(self) -> Result<Item, MessageError> {
        let stamp = |generator, version| Stamp { generator: Generator(generator), version };
        Ok(match self {
            Self::Issue(child, generator, version, row, seal) => {
                row.check(&RowLimits::default()).map_err(|_| MessageError)?;
                let issue = Issue::new(stamp(generator, version), row).sealed(seal);
                Item::Issue(child.into(), Arc::new(issue))
            }
            Self::Gone(child, generator, version, seal) => {
                Item::Gone(child.into(), stamp(generator, version), seal)
            }
            Self::Revocation(bytes) => {
                Item::Revocation(Arc::new(Revocation::decode(&bytes).map_err(|_| MessageError)?))
            }
            Self::Function(said) => {
                Item::Function(Arc::new(Function::heard(said).map_err(|_| MessageError)?))
            }
        })
    }
}

impl Body {
    /// Whether it is between relays and those who use them, and so in no other message.
    pub(super) fn is_between(&self) -> bool {
        let of_leases = matches!(self, Self::See(_) | Self::Seen(..) | Self::Lease(..) | Self::Leased(..));
        of_leases || matches!(self, Self::Relay(..) | Self::Relayed(..) | Self::By(..))
    }
}

/// Bytes of an address.
fn address(address: SocketAddr) -> usize {
    if address.is_ipv4() { 8 } else { 20 }
}

fn named(query: &str) -> bool {
    (1..=NAME_MAX).contains(&query.len())
}

fn written(items: &[Item]) -> Vec<WireItem<'_>> {
    items.iter().map(WireItem::of).collect()
}

fn read(items: Vec<WireItem<'_>>) -> Result<Vec<Item>, MessageError> {
    items.into_iter().map(WireItem::read).collect()
}

impl Item {
    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Issue(child, _) | Self::Gone(child, ..) => Subject::Child(child.clone()),
            Self::Revocation(revocation) => Subject::Revocation(revocation.id()),
            Self::Function(function) => Subject::Function(function.said().name.as_str().into()),
        }
    }

    /// About its bytes in a message.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Issue(child, issue) => 16 + child.len() + issue.bytes,
            Self::Gone(child, _, seal) => 16 + child.len() + if seal.is_some() { SEAL } else { 0 },
            Self::Function(function) => function.bytes(),
            // As many as it has certificates, about.
            Self::Revocation(revocation) => 140 + revocation.signer().about_bytes(),
        }
    }
}

impl Message {
    /// About its bytes on the wire.
    pub fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::News(items) => items.iter().map(|(_, item)| 1 + item.bytes()).sum(),
            Body::Compare(digests) => 10 * digests.len(),
            Body::Marks(marks) => 5 * marks.len(),
            Body::Rows(items, marks) => items.iter().map(Item::bytes).sum::<usize>() + 5 * marks.len(),
            Body::Ping(_) | Body::Pong(_) | Body::Silent(_) | Body::Ask(_) => 5,
            Body::Part(_, _, items) => 10 + items.iter().map(Item::bytes).sum::<usize>(),
            Body::Nearer(_, whom) => 6 + 8 * whom.len(),
            Body::Busy(_) => 8,
            Body::PingFor(..) => 12,
            Body::Fired(query, fired) => 4 + query.len() + fired.iter().map(Fired::bytes).sum::<usize>(),
            Body::Confirmed(query, ids) => 4 + query.len() + 12 * ids.len(),
            Body::Proof(..) => 5 + SEAL,
            Body::Whose(signers) => 2 + 8 * signers.len(),
            Body::See(_) | Body::Leased(..) => 6,
            Body::Seen(_, whom) => 5 + address(*whom),
            Body::Lease(..) => 14,
            Body::Relay(_, from, bytes) => 6 + address(*from) + bytes.len(),
            Body::Relayed(from, bytes) | Body::By(from, bytes) => 2 + address(*from) + bytes.len(),
            Body::Chains(chains) => 2 + chains.iter().map(|chain| 4 + chain.about_bytes()).sum::<usize>(),
        };
        DATAGRAM + 4 + self.zone.as_str().len() + body
    }

    /// As a datagram.
    pub fn encode(&self) -> Vec<u8> {
        let body = match &self.body {
            Body::News(news) => {
                Wire::News(news.iter().map(|(level, item)| (*level, WireItem::of(item))).collect())
            }
            Body::Compare(digests) => Wire::Compare(digests.clone()),
            Body::Marks(marks) => Wire::Marks(marks.clone()),
            Body::Rows(rows, marks) => Wire::Rows(written(rows), marks.clone()),
            Body::Ping(n) => Wire::Ping(*n),
            Body::Pong(n) => Wire::Pong(*n),
            Body::PingFor(n, whom) => Wire::PingFor(*n, *whom),
            Body::Silent(n) => Wire::Silent(*n),
            Body::Ask(n) => Wire::Ask(*n),
            Body::Part(n, of, items) => Wire::Part(*n, *of, written(items)),
            Body::Nearer(n, whom) => Wire::Nearer(*n, whom.clone()),
            Body::Busy(whom) => Wire::Busy(*whom),
            Body::Fired(query, fired) => Wire::Fired(query, fired.clone()),
            Body::Confirmed(query, ids) => Wire::Confirmed(query, ids.clone()),
            Body::Proof(n, seal) => Wire::Proof(*n, *seal),
            Body::Whose(signers) => Wire::Whose(signers.clone()),
            Body::Chains(chains) => Wire::Chains(chains.iter().map(|chain| chain.encode().into()).collect()),
            Body::See(n) => Wire::See(*n),
            Body::Seen(n, whom) => Wire::Seen(*n, *whom),
            Body::Lease(n, token) => Wire::Lease(*n, *token),
            Body::Leased(n, granted) => Wire::Leased(*n, *granted),
            Body::Relay(n, from, bytes) => Wire::Relay(n.to_be_bytes(), *from, bytes),
            Body::Relayed(from, bytes) => Wire::Relayed(*from, bytes),
            Body::By(from, bytes) => Wire::By(*from, bytes),
        };
        // Nothing in a message can fail to be written.
        postcard::to_allocvec(&Frame { version: VERSION, zone: self.zone.as_str(), body }).unwrap_or_default()
    }

    /// The message that these bytes are. Bounded by their number: no length in them is believed.
    ///
    /// # Errors
    /// They are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (frame, rest): (Frame<'_>, _) = postcard::take_from_bytes(bytes).map_err(|_| MessageError)?;
        if frame.version != VERSION || !rest.is_empty() {
            return Err(MessageError);
        }
        let body = match frame.body {
            Wire::News(news) => {
                let read = news.into_iter().map(|(level, item)| Ok((level, item.read()?)));
                Body::News(read.collect::<Result<_, MessageError>>()?)
            }
            Wire::Compare(digests) => Body::Compare(digests),
            Wire::Marks(marks) => Body::Marks(marks),
            Wire::Rows(rows, marks) => Body::Rows(read(rows)?, marks),
            Wire::Ping(n) => Body::Ping(n),
            Wire::Pong(n) => Body::Pong(n),
            Wire::PingFor(n, whom) => Body::PingFor(n, whom),
            Wire::Silent(n) => Body::Silent(n),
            Wire::Ask(n) => Body::Ask(n),
            Wire::Part(n, of, items) => Body::Part(n, of, read(items)?),
            Wire::Nearer(n, whom) => Body::Nearer(n, whom),
            Wire::Busy(whom) => Body::Busy(whom),
            Wire::Fired(query, fired) if named(query) && fired.iter().all(Fired::is_sound) => {
                Body::Fired(query.into(), fired)
            }
            Wire::Confirmed(query, ids) if named(query) => Body::Confirmed(query.into(), ids),
            Wire::Fired(..) | Wire::Confirmed(..) => return Err(MessageError),
            Wire::Proof(n, seal) => Body::Proof(n, seal),
            Wire::See(n) => Body::See(n),
            Wire::Seen(n, whom) => Body::Seen(n, whom),
            Wire::Lease(n, token) => Body::Lease(n, token),
            Wire::Leased(n, granted) => Body::Leased(n, granted),
            Wire::Relay(n, from, bytes) => Body::Relay(u32::from_be_bytes(n), from, bytes.to_vec()),
            Wire::Relayed(from, bytes) => Body::Relayed(from, bytes.to_vec()),
            Wire::By(from, bytes) => Body::By(from, bytes.to_vec()),
            Wire::Whose(signers) => Body::Whose(signers),
            Wire::Chains(chains) => {
                let read = chains.iter().map(|bytes| Chain::decode(bytes).map(Arc::new));
                Body::Chains(read.collect::<Result<_, _>>().map_err(|_| MessageError)?)
            }
        };
        Ok(Self { zone: frame.zone.parse().map_err(|_| MessageError)?, body })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{value::Value, zones::kind::Kind};

    fn all() -> Vec<Message> {
        let stamp = Stamp { generator: Generator(u64::MAX), version: 3 };
        let row = Row::new([("x", Value::Int(1)), ("contacts", Value::list(["10.0.0.1:9".into()]))]);
        let issue = Item::Issue("a".into(), Arc::new(Issue::new(stamp, row)));
        let said = Said {
            name: "load".into(),
            kind: Kind::Aggregation,
            text: "SELECT SUM(load) AS load".into(),
            strong: true,
            issued_s: 1_790_000_000,
            expires_s: 1_800_000_000,
            seal: vec![1, 2, 3],
        };
        let function = Item::Function(Arc::new(Function::new(said).unwrap()));
        let items = vec![issue, Item::Gone("c".into(), stamp, None), function];
        let whom = "10.0.0.1:4803".parse().unwrap();
        let id = EventId { origin: u64::MAX, nth: 3 };
        let rows = vec![Row::new([("pid", Value::Int(1))])];
        let told = crate::zones::event::Told { agent: "/eu/ams/a".into(), at_ms: 1_790_000_000_000, rows };
        let fired = Fired { id, rows: 1, lost: 0, told: Some(told), seal: None };
        [
            Body::News(items.iter().map(|item| (1, item.clone())).collect()),
            Body::Compare(vec![1, u64::MAX]),
            Body::Marks(vec![7]),
            Body::Rows(items.clone(), vec![u32::MAX]),
            Body::Ping(1),
            Body::Pong(2),
            Body::PingFor(3, whom),
            Body::Silent(4),
            Body::Ask(5),
            Body::Part(6, (300, 7000), items),
            Body::Nearer(7, vec![whom]),
            Body::Busy(whom),
            Body::Fired("event-1".into(), vec![fired]),
            Body::Confirmed("event-1".into(), vec![id]),
            Body::See(8),
            Body::Seen(9, whom),
            Body::Lease(u32::MAX, u64::MAX),
            Body::Leased(10, true),
            Body::Relay(11, whom, vec![1, 2, 3]),
            Body::Relayed("[100::1]:1".parse().unwrap(), vec![4]),
            Body::By("[100::1]:1".parse().unwrap(), vec![5; 300]),
        ]
        .into_iter()
        .map(|body| Message { zone: "/eu/ams".parse().unwrap(), body })
        .collect()
    }

    #[test]
    fn messages_come_back_and_their_size_is_about_right() {
        for message in all() {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Ok(message.clone()));
            let about = message.bytes() - DATAGRAM;
            assert!(
                about + 12 >= bytes.len() && bytes.len() + 40 >= about,
                "{about} {} {message:?}",
                bytes.len()
            );
        }
    }

    #[test]
    fn a_length_that_is_claimed_is_not_believed() {
        let mut bytes = all()[1].encode();
        let at = bytes.len() - 12;
        bytes[at] = 0xff;
        assert_eq!(Message::decode(&bytes), Err(MessageError));
    }

    proptest! {
        #[test]
        fn other_bytes_are_no_message_and_no_panic(which in 0_usize..21, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut bytes = all()[which].encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(message) = Message::decode(&bytes) {
                let _ = message.bytes();
            }
            let cut = cut.index(bytes.len());
            let _ = Message::decode(&bytes[..cut]);
        }
    }
}
