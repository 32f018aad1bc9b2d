//! Control messages: everything that members and joiners say to each other outside of a view's frames. Protocol
//! buffers behind two bytes, [`MAGIC_CONTROL`] and the oldest version that understands them, [`OLDEST_VERSION`]: what
//! later versions add are fields that earlier ones skip ([`Control::restrict`]). `docs/wire.md` lists them field by field.
//!
//! Decoding allocates no more than the datagram's own length times a small factor; what is decoded is checked by
//! [`Control::decode`] before anybody sees it.

use crate::{
    frame::{MAGIC_CONTROL, OLDEST_VERSION, WIRE_VERSION},
    id::{Incarnation, MAX_MEMBERS, MemberId, Rank},
    view::{Cut, Member, Role, ViewId},
};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest text in a control message, in bytes; longer ones are cut or refused.
pub const MAX_TEXT: usize = 2048;

/// A process in one of its lives.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Id {
    /// 4 or 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub ip: Bytes,
    /// The port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
    /// The incarnation.
    #[prost(fixed64, tag = "3")]
    pub incarnation: u64,
}

impl From<MemberId> for Id {
    fn from(m: MemberId) -> Self {
        let ip = match m.addr.ip() {
            IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
        };
        Self { ip, port: u32::from(m.addr.port()), incarnation: m.incarnation.0 }
    }
}

impl TryFrom<&Id> for MemberId {
    type Error = Malformed;
    fn try_from(id: &Id) -> Result<Self, Malformed> {
        let ip = if let Ok(four) = <[u8; 4]>::try_from(&id.ip[..]) {
            IpAddr::V4(Ipv4Addr::from(four))
        } else if let Ok(sixteen) = <[u8; 16]>::try_from(&id.ip[..]) {
            IpAddr::V6(Ipv6Addr::from(sixteen))
        } else {
            return Err(Malformed);
        };
        let port = u16::try_from(id.port).map_err(|_| Malformed)?;
        Ok(Self { addr: SocketAddr::new(ip, port), incarnation: Incarnation(id.incarnation) })
    }
}

/// A view's name.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Vid {
    /// The founding.
    #[prost(fixed64, tag = "1")]
    pub epoch: u64,
    /// The number.
    #[prost(uint64, tag = "2")]
    pub number: u64,
}

impl From<ViewId> for Vid {
    fn from(v: ViewId) -> Self {
        Self { epoch: v.epoch, number: v.number }
    }
}

impl From<Vid> for ViewId {
    fn from(v: Vid) -> Self {
        Self { epoch: v.epoch, number: v.number }
    }
}

/// A member of a view.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Entry {
    /// Who.
    #[prost(message, optional, tag = "1")]
    pub id: Option<Id>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Whether it has the group's state.
    #[prost(bool, tag = "3")]
    pub complete: bool,
    /// Its votes; none said: one.
    #[prost(uint32, optional, tag = "4")]
    pub weight: Option<u32>,
    /// Whether it votes only.
    #[prost(bool, tag = "5")]
    pub witness: bool,
    /// Where components merge: the last view of the one that it comes from; none for joiners.
    #[prost(message, optional, tag = "6")]
    pub from: Option<Vid>,
    /// The best version of the protocol that it speaks; 0 is version 1. Since version 2.
    #[prost(uint32, tag = "14")]
    pub speaks: u32,
}

impl Entry {
    /// An entry. What a member counts for is said where it is not the usual.
    #[must_use]
    pub fn new(id: MemberId, name: &str, role: Role, complete: bool) -> Self {
        let weight = (role != Role::default()).then_some(u32::from(role.weight));
        let (name, witness) = (name.to_owned(), role.witness);
        Self { id: Some(id.into()), name, complete, weight, witness, from: None, speaks: 0 }
    }

    /// What it counts for.
    ///
    /// # Errors
    /// It has too many votes, or is a witness without any.
    pub fn role(&self) -> Result<Role, Malformed> {
        role(self.weight, self.witness)
    }
}

fn role(weight: Option<u32>, witness: bool) -> Result<Role, Malformed> {
    let weight = u16::try_from(weight.unwrap_or(1)).map_err(|_| Malformed)?;
    if witness && weight == 0 { Err(Malformed) } else { Ok(Role { weight, witness }) }
}

/// What a view change decides.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Value {
    /// The next view's members, in rank order.
    #[prost(message, repeated, tag = "1")]
    pub next: Vec<Entry>,
    /// The cut, by rank in the old view.
    #[prost(uint64, repeated, tag = "2")]
    pub frontier: Vec<u64>,
    /// Who holds the frames up to the cut, by rank in the old view.
    #[prost(uint32, repeated, tag = "3")]
    pub holder: Vec<u32>,
    /// The epoch of the group's founding, if the next view's is another one; else 0.
    #[prost(fixed64, tag = "4")]
    pub origin: u64,
    /// The epoch that the next view begins, in partitionable groups; 0: it is the next one of the same epoch.
    #[prost(fixed64, tag = "5")]
    pub epoch: u64,
    /// The component's line, if that is not the primary one; else 0.
    #[prost(fixed64, tag = "6")]
    pub line: u64,
    /// The component that the next view is to merge into.
    #[prost(message, optional, tag = "7")]
    pub yields_to: Option<MemberList>,
    /// What the next view's layers have agreed on, if they want something agreed.
    #[prost(uint32, tag = "11")]
    pub arrangement: u32,
    /// The next view's secret, in groups with keys.
    #[prost(message, optional, tag = "10")]
    pub secret: Option<Envelopes>,
    /// The version of the protocol that the next view speaks; 0 is version 1. Since version 2.
    #[prost(uint32, tag = "14")]
    pub version: u32,
}

/// A secret for the members of a view, sealed for each of them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Envelopes {
    /// The public key of the pair that was made for this purpose alone.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// By rank in the next view.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub sealed: Vec<Bytes>,
}

impl Value {
    /// The version of the protocol that the next view speaks.
    ///
    /// # Errors
    /// It is none that this code speaks.
    pub fn version(&self) -> Result<u8, Malformed> {
        let version = u8::try_from(self.version.max(OLDEST_VERSION.into())).map_err(|_| Malformed)?;
        if version <= WIRE_VERSION { Ok(version) } else { Err(Malformed) }
    }

    /// Whether it says what only partitionable groups have to say.
    #[must_use]
    pub fn is_of_parts(&self) -> bool {
        let merges = self.next.iter().any(|e| e.from.is_some());
        merges || self.epoch != 0 || self.line != 0 || self.yields_to.is_some()
    }

    /// The epoch of the group's founding, when this follows `ends`.
    #[must_use]
    pub fn origin(&self, ends: ViewId) -> u64 {
        if self.origin == 0 { ends.epoch } else { self.origin }
    }

    /// The line of the component that goes on with this after `ends`.
    #[must_use]
    pub fn line(&self, ends: ViewId) -> u64 {
        if self.line == 0 { self.origin(ends) } else { self.line }
    }

    /// The name of the view that follows `ends`.
    #[must_use]
    pub fn successor(&self, ends: ViewId) -> ViewId {
        match self.epoch {
            0 => ViewId { epoch: ends.epoch, number: ends.number.saturating_add(1) },
            epoch => ViewId { epoch, number: 1 },
        }
    }

    fn restrict(&mut self) {
        self.version = 0;
        self.next.iter_mut().for_each(|e| e.speaks = 0);
    }

    /// The cut.
    #[must_use]
    pub fn cut(&self) -> Cut {
        let holder = self.holder.iter().map(|r| Rank::try_from(*r).unwrap_or(0)).collect();
        Cut { frontier: self.frontier.clone(), holder }
    }

    /// The next view's members.
    ///
    /// # Errors
    /// There are none or too many, a name is too long, an identifier is broken or stands twice, nobody votes.
    pub fn members(&self) -> Result<Vec<Member>, Malformed> {
        let known = self.yields_to.as_ref().map_or(0, |l| l.members.len());
        if self.next.is_empty() || self.next.len().max(known) > MAX_MEMBERS {
            return Err(Malformed);
        }
        let mut members = Vec::with_capacity(self.next.len());
        for e in &self.next {
            let id = MemberId::try_from(e.id.as_ref().ok_or(Malformed)?)?;
            if e.name.len() > 64 || members.iter().any(|m: &Member| m.id.addr == id.addr) {
                return Err(Malformed);
            }
            members.push(Member { id, name: e.name.as_str().into(), role: e.role()? });
        }
        if members.iter().all(|m| m.role.weight == 0) { Err(Malformed) } else { Ok(members) }
    }
}

/// A ballot of the consensus: ordered by round, then rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct Ballot {
    /// Counts attempts.
    #[prost(uint32, tag = "1")]
    pub round: u32,
    /// The proposer.
    #[prost(uint32, tag = "2")]
    pub rank: u32,
}

/// JOIN: a process looks for a group, or for others to found one with. Sent to contacts and known members.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Join {
    /// The joiner's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its stack, in words.
    #[prost(string, tag = "2")]
    pub stack: String,
    /// Whether it expects state transfer.
    #[prost(bool, tag = "3")]
    pub state_transfer: bool,
    /// Members that it has heard from directly.
    #[prost(message, repeated, tag = "4")]
    pub heard: Vec<Id>,
    /// 0: joins only. 1: would found alone. More: founds with this many.
    #[prost(uint32, tag = "5")]
    pub expect: u32,
    /// Other processes that look for the group.
    #[prost(message, repeated, tag = "6")]
    pub candidates: Vec<Id>,
    /// The one that may count this process as a founding member; exclusive.
    #[prost(message, optional, tag = "7")]
    pub pledge: Option<Id>,
    /// How members watch each other: heartbeat, silence, lease, in ms.
    #[prost(uint64, repeated, tag = "8")]
    pub watch: Vec<u64>,
    /// Asks the one that this goes to for the pledge back.
    #[prost(bool, tag = "9")]
    pub withdraw: bool,
    /// Its votes. None said: it does not know that members count for different things, and its vote is one.
    #[prost(uint32, optional, tag = "10")]
    pub weight: Option<u32>,
    /// Whether it only votes.
    #[prost(bool, tag = "11")]
    pub witness: bool,
    /// Whether its group is partitionable.
    #[prost(bool, tag = "12")]
    pub partitionable: bool,
    /// The view that merges into the group, if the joiner comes from one.
    #[prost(message, optional, tag = "13")]
    pub from: Option<Vid>,
    /// Who comes from that view.
    #[prost(message, repeated, tag = "16")]
    pub with: Vec<Id>,
    /// The best version of the protocol that the joiner speaks; 0 is version 1. Since version 2.
    #[prost(uint32, tag = "14")]
    pub speaks: u32,
    /// Its stack at that version, in words, if that differs from `stack`. Since version 2.
    #[prost(string, tag = "15")]
    pub stack_then: String,
}

impl Join {
    /// What the joiner wants to count for.
    ///
    /// # Errors
    /// Too many votes, or a witness without any.
    pub fn role(&self) -> Result<Role, Malformed> {
        role(self.weight, self.witness)
    }
}

/// A body of a control message.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// JOIN.
    #[prost(message, tag = "10")]
    Join(Join),
    /// MEMBER_LIST: the answer of a member to a joiner, and to members of earlier views that are no longer in it.
    #[prost(message, tag = "11")]
    MemberList(MemberList),
    /// MEMBER_JOINED: a contact tells the members of a joiner.
    #[prost(message, tag = "12")]
    MemberJoined(MemberJoined),
    /// The joiner does not fit.
    #[prost(message, tag = "13")]
    Refuse(Refuse),
    /// A pledge is given back: the one that held it has not founded a group and will not with it.
    #[prost(message, tag = "14")]
    Release(Release),
    /// Consensus, phase 1.
    #[prost(message, tag = "20")]
    Prepare(Prepare),
    /// The answer to it.
    #[prost(message, tag = "21")]
    Promise(Promise),
    /// A higher ballot was promised.
    #[prost(message, tag = "22")]
    Reject(Reject),
    /// Consensus, phase 2.
    #[prost(message, tag = "23")]
    Accept(Accept),
    /// The answer to it.
    #[prost(message, tag = "24")]
    Accepted(Accepted),
    /// The outcome.
    #[prost(message, tag = "25")]
    Decide(Decide),
    /// A member wants to leave.
    #[prost(message, tag = "26")]
    Leave(Leave),
    /// A member takes frames too slowly for the group's policy.
    #[prost(message, tag = "27")]
    Slow(Slow),
    /// A joiner asks a donor for a part of the state.
    #[prost(message, tag = "30")]
    StatePull(StatePull),
    /// A part of the state.
    #[prost(message, tag = "31")]
    StatePiece(StatePiece),
    /// A joiner has the whole state.
    #[prost(message, tag = "32")]
    StateDone(StateDone),
}

/// See [`Body::MemberList`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemberList {
    /// The sender's view.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// Its members.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Id>,
    /// The epoch of the group's founding, if the view's is another one; else 0.
    #[prost(fixed64, tag = "3")]
    pub origin: u64,
    /// The component's line, if that is not the primary one; else 0.
    #[prost(fixed64, tag = "4")]
    pub line: u64,
}

impl MemberList {
    /// The epoch of the group's founding.
    #[must_use]
    pub fn origin(&self) -> u64 {
        if self.origin == 0 { self.view.unwrap_or_default().epoch } else { self.origin }
    }

    /// The component's line: the primary one has the name of the group's founding.
    #[must_use]
    pub fn line(&self) -> u64 {
        if self.line == 0 { self.origin() } else { self.line }
    }

    /// The members that are well formed.
    pub fn ids(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().filter_map(|m| MemberId::try_from(m).ok())
    }
}

/// See [`Body::MemberJoined`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberJoined {
    /// Who looks for the group.
    #[prost(message, optional, tag = "1")]
    pub joiner: Option<Id>,
}

/// See [`Body::Refuse`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refuse {
    /// The difference, in words.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// See [`Body::Release`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Release {}

/// See [`Body::Prepare`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Prepare {
    /// The view to end.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// The ballot.
    #[prost(message, optional, tag = "2")]
    pub ballot: Option<Ballot>,
}

/// See [`Body::Promise`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Promise {
    /// The view to end.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// The ballot that is promised.
    #[prost(message, optional, tag = "2")]
    pub ballot: Option<Ballot>,
    /// The ballot of the value accepted earlier.
    #[prost(message, optional, tag = "3")]
    pub accepted_ballot: Option<Ballot>,
    /// The value accepted earlier.
    #[prost(message, optional, tag = "4")]
    pub accepted: Option<Value>,
    /// What the member holds without gaps, by rank.
    #[prost(uint64, repeated, tag = "5")]
    pub frontier: Vec<u64>,
    /// Whether it has the group's state.
    #[prost(bool, tag = "6")]
    pub complete: bool,
    /// Whether it knows that members count for different things.
    #[prost(bool, tag = "7")]
    pub weighs: bool,
    /// The best version of the protocol that the member speaks; 0 is version 1. Since version 2.
    #[prost(uint32, tag = "14")]
    pub speaks: u32,
}

/// See [`Body::Reject`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reject {
    /// The view to end.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// The ballot that was promised.
    #[prost(message, optional, tag = "2")]
    pub promised: Option<Ballot>,
}

/// See [`Body::Accept`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Accept {
    /// The view to end.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// The ballot.
    #[prost(message, optional, tag = "2")]
    pub ballot: Option<Ballot>,
    /// The value.
    #[prost(message, optional, tag = "3")]
    pub value: Option<Value>,
}

/// See [`Body::Accepted`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Accepted {
    /// The view to end.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// The ballot.
    #[prost(message, optional, tag = "2")]
    pub ballot: Option<Ballot>,
}

/// See [`Body::Decide`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Decide {
    /// The view that ends; number 0 when the group is founded.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// What follows it.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

/// See [`Body::Leave`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Leave {
    /// The leaver's view.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
}

/// See [`Body::Slow`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Slow {
    /// The accuser's view.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// Ranks to be left behind, as a mask.
    #[prost(fixed64, tag = "2")]
    pub exclude: u64,
    /// Ranks to go on as learners, as a mask.
    #[prost(fixed64, tag = "3")]
    pub demote: u64,
}

/// See [`Body::StatePull`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatePull {
    /// The view at whose beginning the state is wanted.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// The chunk.
    #[prost(uint64, tag = "2")]
    pub chunk: u64,
    /// The first piece of it that is wanted.
    #[prost(uint32, tag = "3")]
    pub piece: u32,
    /// How many pieces.
    #[prost(uint32, tag = "4")]
    pub count: u32,
    /// The length of a piece, in bytes.
    #[prost(uint32, tag = "5")]
    pub piece_len: u32,
}

/// See [`Body::StatePiece`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatePiece {
    /// The view at whose beginning this is the state.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
    /// The chunk.
    #[prost(uint64, tag = "2")]
    pub chunk: u64,
    /// How many chunks there are.
    #[prost(uint64, tag = "3")]
    pub chunks: u64,
    /// The chunk's length, in bytes.
    #[prost(uint32, tag = "4")]
    pub chunk_len: u32,
    /// The piece.
    #[prost(uint32, tag = "5")]
    pub piece: u32,
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "6")]
    pub data: Bytes,
}

/// See [`Body::StateDone`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct StateDone {
    /// The view at whose beginning the state was received.
    #[prost(message, optional, tag = "1")]
    pub view: Option<Vid>,
}

/// A control message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Control {
    /// The group's tag.
    #[prost(fixed64, tag = "1")]
    pub group: u64,
    /// The sender.
    #[prost(message, optional, tag = "2")]
    pub from: Option<Id>,
    /// What it says.
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 25, 26, 27, 30, 31, 32")]
    pub body: Option<Body>,
}

impl Control {
    /// Takes out what this version of the protocol does not have: what a process that speaks no later one would say and
    /// understand.
    pub fn restrict(&mut self, version: u8) {
        if version >= 2 {
            return;
        }
        match &mut self.body {
            Some(Body::Join(j)) => {
                j.speaks = 0;
                j.stack_then.clear();
            }
            Some(Body::Promise(p)) => {
                p.speaks = 0;
                p.accepted.iter_mut().for_each(Value::restrict);
            }
            Some(Body::Accept(a)) => a.value.iter_mut().for_each(Value::restrict),
            Some(Body::Decide(d)) => d.value.iter_mut().for_each(Value::restrict),
            _ => {}
        }
    }

    /// The message as a datagram.
    #[must_use]
    pub fn encode_datagram(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(2 + self.encoded_len());
        buf.put_u8(MAGIC_CONTROL);
        buf.put_u8(OLDEST_VERSION);
        // `BytesMut` grows as needed: encoding cannot fail.
        let _ = self.encode(&mut buf);
        buf.freeze()
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// It is not a control message of a version that this code speaks, or breaks a bound.
    pub fn decode_datagram(mut datagram: Bytes) -> Result<Self, Malformed> {
        let versions = OLDEST_VERSION..=WIRE_VERSION;
        if datagram.len() < 2 || datagram[0] != MAGIC_CONTROL || !versions.contains(&datagram[1]) {
            return Err(Malformed);
        }
        let control = Self::decode(datagram.split_off(2)).map_err(|_| Malformed)?;
        match &control.body {
            None => Err(Malformed),
            Some(Body::Join(j))
                if j.name.is_empty()
                    || j.name.len() > 64
                    || j.stack.len().max(j.stack_then.len()) > MAX_TEXT
                    || j.heard.len().max(j.with.len()) > MAX_MEMBERS
                    || j.candidates.len() > MAX_MEMBERS
                    || j.role().is_err() =>
            {
                Err(Malformed)
            }
            Some(Body::MemberList(l)) if l.members.len() > MAX_MEMBERS => Err(Malformed),
            Some(Body::Refuse(r)) if r.reason.len() > MAX_TEXT => Err(Malformed),
            _ => Ok(control),
        }
    }
}

/// The view that a datagram says has been decided, and its members; None of other datagrams, and of foundings. For the
/// simulator, to know what can be expected.
#[must_use]
pub fn decided_view(datagram: &Bytes) -> Option<(ViewId, Vec<Member>)> {
    if datagram.first() != Some(&MAGIC_CONTROL) {
        return None;
    }
    let Some(Body::Decide(decide)) = Control::decode_datagram(datagram.clone()).ok()?.body else {
        return None;
    };
    let ends = ViewId::from(decide.view?);
    let value = decide.value?;
    let members = value.members().ok()?;
    ends.number.checked_add(1)?;
    let id = value.successor(ends);
    (ends.number > 0).then_some((id, members))
}

/// A datagram is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control message is malformed")]
pub struct Malformed;

/// What kind of datagram this is, in lower case: a control message's name, `frame`, or `garbage`. For traces, and for
/// the simulator's triggers.
#[must_use]
pub fn kind_name(datagram: &[u8]) -> &'static str {
    match datagram.first() {
        Some(&crate::frame::MAGIC_FRAME) => return "frame",
        Some(&MAGIC_CONTROL) => {}
        _ => return "garbage",
    }
    match Control::decode_datagram(Bytes::copy_from_slice(datagram)).ok().and_then(|c| c.body) {
        None => "garbage",
        Some(Body::Join(_)) => "join",
        Some(Body::MemberList(_)) => "member-list",
        Some(Body::MemberJoined(_)) => "member-joined",
        Some(Body::Refuse(_)) => "refuse",
        Some(Body::Release(_)) => "release",
        Some(Body::Prepare(_)) => "prepare",
        Some(Body::Promise(_)) => "promise",
        Some(Body::Reject(_)) => "reject",
        Some(Body::Accept(_)) => "accept",
        Some(Body::Accepted(_)) => "accepted",
        Some(Body::Decide(_)) => "decide",
        Some(Body::Leave(_)) => "leave",
        Some(Body::Slow(_)) => "slow",
        Some(Body::StatePull(_)) => "state-pull",
        Some(Body::StatePiece(_)) => "state-piece",
        Some(Body::StateDone(_)) => "state-done",
    }
}
