//! The guard of groups with keys.

use super::{
    credential::Credential,
    derive::{Entropy, aead, derive},
    introduction::{INTRODUCTION, Introduction, PREFIX, SEALED, VERSION, claim},
    peers::{Channel, Peer, Peers, agree},
};
use crate::{
    guard::{Guard, MAGIC_SEALED, Opened, Refusal, Sealed, Secret},
    id::{GroupTag, MemberId},
    time::Time,
    view::ViewId,
    wire::Envelopes,
};
use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use bytes::Bytes;
use smallvec::smallvec;
use std::{net::SocketAddr, time::Duration};
use x25519_dalek::{PublicKey, StaticSecret};

/// Prefix, who seals (the first 8 bytes of its public key), counter.
const HEADER: usize = PREFIX + 16;
/// The length of a seal's tag.
const TAG: usize = 16;
/// Who sends what cannot be opened is told who this is, at most this often: a stranger gets little out of it.
const HINT_EVERY: Duration = Duration::from_millis(10);
/// Proofs that are checked at once, and how often one more may be: they cost more than it costs to send them.
const PROOFS: (u32, Duration) = (64, Duration::from_millis(2));

/// See the module above.
pub(super) struct Sentry {
    credential: Credential,
    entropy: Entropy,
    life: Option<Life>,
    peers: Peers,
    hint_at: Time,
    /// How many proofs may be checked, and since when that is so.
    proofs: (u32, Time),
}

/// One incarnation of this process.
struct Life {
    group: GroupTag,
    me: MemberId,
    wall_at_zero: u64,
    secret: StaticSecret,
    public: [u8; 32],
    introduction: Introduction,
}

impl Life {
    fn introduction(&self, asks: bool) -> Bytes {
        Introduction { asks, ..self.introduction.clone() }.encode_datagram()
    }
}

impl Sentry {
    pub(super) fn new(credential: Credential, entropy: Entropy) -> Self {
        let (peers, proofs) = (Peers::default(), (PROOFS.0, Time::ZERO));
        Self { credential, entropy, life: None, peers, hint_at: Time::ZERO, proofs }
    }

    /// Whether a proof may be checked now.
    fn may_check(&mut self, now: Time) -> bool {
        let steps = now.since(self.proofs.1).as_nanos() / PROOFS.1.as_nanos();
        if steps > 0 {
            let more = u32::try_from(steps).unwrap_or(u32::MAX);
            self.proofs = (self.proofs.0.saturating_add(more).min(PROOFS.0), now);
        }
        self.proofs.0 = self.proofs.0.saturating_sub(1);
        self.proofs.0 > 0
    }

    /// Says who this is, to somebody who does not seem to know, or whom this process does not know.
    fn hint(&mut self, now: Time, asks: bool) -> Option<Bytes> {
        if now < self.hint_at {
            return None;
        }
        self.hint_at = now + HINT_EVERY;
        self.life.as_ref().map(|l| l.introduction(asks))
    }

    fn on_introduction(
        &mut self,
        now: Time,
        from: SocketAddr,
        body: &[u8],
        reply: &mut Option<Bytes>,
    ) -> Opened {
        let Some(life) = &self.life else { return Opened::Nothing };
        let Ok((introduction, id, public)) = Introduction::decode_body(body) else {
            return Opened::Refused(Refusal::Broken);
        };
        if introduction.group != life.group.0 || id.addr == life.me.addr {
            return Opened::Nothing;
        }
        if id.addr != from {
            return Opened::Refused(Refusal::Broken);
        }
        let known = self.peers.get(from).map(|p| (p.id.incarnation, p.public));
        let answer = introduction.asks.then(|| life.introduction(false));
        match known {
            Some((incarnation, key)) if incarnation == id.incarnation && key == public => {
                *reply = answer;
                return Opened::Nothing;
            }
            Some((incarnation, _)) if incarnation > id.incarnation => return Opened::Nothing,
            Some(_) | None => {}
        }
        let wall = wall(life.wall_at_zero, now);
        let said = claim(life.group, id, &public);
        if !self.may_check(now) {
            return Opened::Nothing;
        }
        let proof = &introduction.proof;
        if let Err(why) = self.credential.verify(&said, proof, &introduction.certificate, wall) {
            *reply = self.hint(now, false);
            return Opened::Refused(why);
        }
        let certificate = introduction.certificate.to_vec();
        let Some(channel) = self.channel(&public) else { return Opened::Refused(Refusal::Broken) };
        self.peers.insert(Peer { id, public, certificate, knows_me: false, heard_at: now, channel });
        *reply = answer;
        Opened::Introduced(id)
    }

    fn channel(&self, other: &[u8; 32]) -> Option<Channel> {
        let life = self.life.as_ref()?;
        Channel::new(life.group, &life.secret, &life.public, other, self.credential.pepper())
    }

    fn on_sealed(
        &mut self,
        now: Time,
        from: SocketAddr,
        datagram: &[u8],
        reply: &mut Option<Bytes>,
    ) -> Opened {
        let Some((key, counter)) = header(datagram) else { return Opened::Refused(Refusal::Broken) };
        let Some(peer) = self.peers.get_mut(from).filter(|p| p.public[..8] == *key) else {
            *reply = self.hint(now, true);
            return Opened::Nothing;
        };
        if !peer.channel.window.is_new(counter) {
            return Opened::Refused(Refusal::Replayed);
        }
        match open(&peer.channel.receives, counter, datagram) {
            None => {
                // Perhaps it was meant for an earlier incarnation.
                *reply = self.hint(now, true);
                Opened::Refused(Refusal::Broken)
            }
            Some(plain) => {
                peer.channel.window.note(counter);
                peer.heard_at = now;
                peer.knows_me = true;
                Opened::Control(peer.id, plain)
            }
        }
    }

    /// The key of an envelope.
    fn envelope_key(&self, shared: &[u8], view: ViewId, ephemeral: &[u8], to: &[u8; 32]) -> LessSafeKey {
        let group = self.life.as_ref().map_or(0, |l| l.group.0).to_le_bytes();
        let (epoch, number) = (view.epoch.to_le_bytes(), view.number.to_le_bytes());
        aead(&derive(&group, shared, &[b"view", &epoch, &number, ephemeral, to]))
    }
}

impl Guard for Sentry {
    fn begin(&mut self, now: Time, group: GroupTag, me: MemberId, wall_at_zero: u64) -> Result<(), Refusal> {
        let secret = StaticSecret::from(self.entropy.draw());
        let public = PublicKey::from(&secret).to_bytes();
        let said = claim(group, me, &public);
        let (proof, certificate) = self.credential.prove(&said);
        let accepted = self.credential.verify(&said, &proof, &certificate, wall(wall_at_zero, now));
        let introduction = Introduction {
            group: group.0,
            from: Some(me.into()),
            key: Bytes::copy_from_slice(&public),
            proof: proof.into(),
            certificate: certificate.into(),
            asks: false,
        };
        let pepper = self.credential.pepper();
        self.peers.renew(|other| Channel::new(group, &secret, &public, other, pepper));
        self.life = Some(Life { group, me, wall_at_zero, secret, public, introduction });
        accepted
    }

    fn seal(&mut self, _now: Time, to: SocketAddr, control: &[u8]) -> Sealed {
        let Some(life) = &self.life else { return Sealed::new() };
        let Some(peer) = self.peers.get_mut(to) else { return smallvec![life.introduction(true)] };
        let mut sealed = Sealed::new();
        if !peer.knows_me {
            sealed.push(life.introduction(false));
        }
        peer.channel.sent += 1;
        let counter = peer.channel.sent;
        let mut datagram = Vec::with_capacity(HEADER + control.len() + TAG);
        datagram.extend_from_slice(&[MAGIC_SEALED, VERSION, SEALED, 0]);
        datagram.extend_from_slice(&life.public[..8]);
        datagram.extend_from_slice(&counter.to_le_bytes());
        datagram.extend_from_slice(control);
        let (head, body) = datagram.split_at_mut(HEADER);
        let tag = peer.channel.sends.seal_in_place_separate_tag(nonce(counter), Aad::from(&*head), body);
        if let Ok(tag) = tag {
            datagram.extend_from_slice(tag.as_ref());
            sealed.push(datagram.into());
        }
        sealed
    }

    fn open(&mut self, now: Time, from: SocketAddr, datagram: &[u8], reply: &mut Option<Bytes>) -> Opened {
        match datagram {
            [MAGIC_SEALED, VERSION, INTRODUCTION, 0, body @ ..] => {
                self.on_introduction(now, from, body, reply)
            }
            [MAGIC_SEALED, VERSION, SEALED, 0, ..] => self.on_sealed(now, from, datagram, reply),
            _ => Opened::Refused(Refusal::Broken),
        }
    }

    fn allows(&self, who: MemberId, name: &str) -> bool {
        self.peers.get(who.addr).is_some_and(|p| self.credential.allows(&p.certificate, name))
    }

    fn envelopes(&mut self, view: ViewId, members: &[MemberId]) -> Option<Envelopes> {
        let ephemeral = StaticSecret::from(self.entropy.draw());
        let public = PublicKey::from(&ephemeral).to_bytes();
        let secret = self.entropy.draw();
        let life = self.life.as_ref()?;
        let mut envelopes = Envelopes { key: Bytes::copy_from_slice(&public), sealed: Vec::new() };
        for member in members {
            let to = match self.peers.get(member.addr) {
                _ if *member == life.me => &life.public,
                Some(peer) if peer.id == *member => &peer.public,
                Some(_) | None => return None,
            };
            let shared = agree(&ephemeral, to, self.credential.pepper())?;
            let key = self.envelope_key(&shared, view, &public, to);
            let mut envelope = secret.to_vec();
            // The key seals nothing else.
            key.seal_in_place_append_tag(nonce(0), Aad::empty(), &mut envelope).ok()?;
            envelopes.sealed.push(envelope.into());
        }
        Some(envelopes)
    }

    fn secret(&self, view: ViewId, place: usize, envelopes: &Envelopes) -> Option<Secret> {
        let life = self.life.as_ref()?;
        let public = <[u8; 32]>::try_from(&envelopes.key[..]).ok()?;
        let shared = agree(&life.secret, &public, self.credential.pepper())?;
        let key = self.envelope_key(&shared, view, &public, &life.public);
        let mut envelope = envelopes.sealed.get(place)?.to_vec();
        let secret = key.open_in_place(nonce(0), Aad::empty(), &mut envelope).ok()?;
        <[u8; 32]>::try_from(&*secret).ok().map(Secret)
    }

    fn read_own(&self, to: SocketAddr, datagram: &[u8]) -> Option<Bytes> {
        if datagram.get(2) != Some(&SEALED) {
            return None;
        }
        let (_, counter) = header(datagram)?;
        open(&self.peers.get(to)?.channel.sends, counter, datagram)
    }
}

/// The time of day.
fn wall(at_zero: u64, now: Time) -> Duration {
    Duration::from_nanos(at_zero.saturating_add(now.0))
}

/// Counters are used once with a key.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Who sealed a datagram, and its counter.
fn header(datagram: &[u8]) -> Option<(&[u8], u64)> {
    if datagram.len() < HEADER + TAG {
        return None;
    }
    let (key, counter) = datagram[PREFIX..HEADER].split_at(8);
    Some((key, u64::from_le_bytes(counter.try_into().ok()?)))
}

fn open(key: &LessSafeKey, counter: u64, datagram: &[u8]) -> Option<Bytes> {
    let (head, body) = datagram.split_at_checked(HEADER)?;
    let mut body = body.to_vec();
    let len = key.open_in_place(nonce(counter), Aad::from(head), &mut body).ok()?.len();
    body.truncate(len);
    Some(body.into())
}
