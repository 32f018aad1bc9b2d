//! Groups with keys: what goes out is sealed, what comes in is opened, strangers are refused.

use super::{
    Endpoint, Phase,
    core::Core,
    decision::Decision,
    io::{Datagram, Effects, Transmit},
};
use crate::{
    frame::MAGIC_CONTROL,
    guard::{Opened, Refusal, Secret},
    id::MemberId,
    time::Time,
    view::ViewId,
    wire::{Body, Control, Envelopes, Refuse},
};
use smallvec::smallvec;
use std::{collections::BTreeSet, net::SocketAddr};

/// Strangers that are named in the log; of later ones only the number is known.
const NAMED: usize = 256;

/// What an endpoint with keys keeps beside its guard.
#[derive(Default)]
pub(super) struct Door {
    /// The life that the guard knows of.
    life: Option<MemberId>,
    /// Whom the log has named.
    named: BTreeSet<SocketAddr>,
    /// What is said to strangers, as they would say it.
    unsealed: Vec<Transmit>,
}

impl Core {
    /// Tells the guard of a new incarnation. Err: the proof that this process has is good for nothing.
    pub(super) fn begin_life(&mut self, now: Time) -> Result<(), Refusal> {
        let Some(guard) = self.guard.as_mut().filter(|_| self.door.life != Some(self.me)) else {
            return Ok(());
        };
        self.door.life = Some(self.me);
        let begun = guard.begin(now, self.tag, self.me, self.wall_at_zero);
        if let Err(why) = &begun {
            tracing::error!(group = self.config.group, "nobody will let this process in: {why}");
        }
        begun
    }

    /// Seals the control messages among what is to be sent, from the `first` transmission on.
    pub(super) fn seal(&mut self, now: Time, first: usize, fx: &mut Effects) {
        if self.guard.is_none() {
            return;
        }
        if fx.transmits[first..].iter().any(is_control) {
            let _ = self.begin_life(now);
            for t in fx.transmits.split_off(first) {
                match &mut self.guard {
                    Some(guard) if is_control(&t) => {
                        let control = t.payload.into_bytes();
                        for to in t.to {
                            let sealed = guard.seal(now, to, &control).into_iter();
                            fx.transmits
                                .extend(sealed.map(|d| Transmit { to: smallvec![to], payload: d.into() }));
                        }
                    }
                    Some(_) | None => fx.transmits.push(t),
                }
            }
        }
        fx.transmits.append(&mut self.door.unsealed);
    }

    /// A secret for a view with these members. Outer None: not now, a key is missing. Inner None: nothing is secret here.
    pub(super) fn envelopes(
        &mut self,
        now: Time,
        view: ViewId,
        members: impl Iterator<Item = MemberId>,
    ) -> Option<Option<Envelopes>> {
        let _ = self.begin_life(now);
        let Some(guard) = &mut self.guard else { return Some(None) };
        guard.envelopes(view, &members.collect::<Vec<_>>()).map(Some)
    }

    /// The secret of a view that was decided. Err: there is none for this process.
    pub(super) fn secret(&self, decision: &Decision) -> Result<Option<Secret>, ()> {
        let Some(guard) = &self.guard else { return Ok(None) };
        let envelopes = decision.decide.value.as_ref().and_then(|v| v.secret.as_ref()).ok_or(())?;
        let place = decision.view.rank_of(self.me).ok_or(())?;
        guard.secret(decision.view.id, place.into(), envelopes).map(Some).ok_or(())
    }

    fn refuse(&mut self, from: SocketAddr, why: &Refusal) {
        if *why == Refusal::Replayed {
            self.stats.replayed += 1;
            return;
        }
        self.stats.refused += 1;
        if self.door.named.len() < NAMED && self.door.named.insert(from) {
            tracing::warn!(group = self.config.group, "refused the process at {from}: {why}");
        }
    }
}

fn is_control(t: &Transmit) -> bool {
    t.payload.parts().next().is_some_and(|p| p.first() == Some(&MAGIC_CONTROL))
}

impl Endpoint {
    /// What was sealed, by whomever.
    pub(super) fn on_sealed(&mut self, now: Time, d: &Datagram, fx: &mut Effects) {
        let _ = self.core.begin_life(now);
        let Some(guard) = &mut self.core.guard else {
            self.core.stats.garbage += 1;
            if self.core.stats.garbage.is_power_of_two() {
                self.say_unsealed(d.from, "the group has no keys, the joiner has".to_owned(), fx);
            }
            return;
        };
        let mut reply = None;
        let opened = guard.open(now, d.from, &d.payload, &mut reply);
        if let Some(reply) = reply {
            fx.transmits.push(Transmit { to: smallvec![d.from], payload: reply.into() });
        }
        match opened {
            Opened::Nothing => {}
            Opened::Introduced(who) => {
                if let Phase::Seeking(s) = &mut self.phase {
                    s.on_contacts(now, self.core.me, &[who.addr]);
                }
            }
            Opened::Refused(why) => self.on_refused(d.from, &why),
            Opened::Control(who, plain) => {
                let Some(control) = self.decode(d.from, plain, fx) else { return };
                let from = control.from.as_ref().and_then(|id| MemberId::try_from(id).ok());
                // What it said before it came back may be on its way still.
                let true_name = from.is_some_and(|f| f.addr == who.addr && f.incarnation <= who.incarnation);
                if !true_name {
                    self.on_refused(d.from, &Refusal::Broken);
                } else if let Some(name) = self.forbidden(who, &control) {
                    let reason = Refusal::Name(name);
                    let said = format!("{reason}");
                    self.core.refuse(d.from, &reason);
                    self.core.send(d.from, Body::Refuse(Refuse { reason: said }), fx);
                } else {
                    self.on_said(now, d.from, control, fx);
                }
            }
        }
    }

    /// The name that a joiner claims and may not have.
    fn forbidden(&self, who: MemberId, control: &Control) -> Option<String> {
        let Some(Body::Join(join)) = &control.body else { return None };
        let allowed = self.core.guard.as_ref().is_none_or(|g| g.allows(who, &join.name));
        (!allowed).then(|| join.name.clone())
    }

    /// A control message that nobody has sealed, in a group that wants them sealed.
    pub(super) fn on_unsealed(&mut self, d: &Datagram, fx: &mut Effects) {
        self.on_refused(d.from, &Refusal::Unsealed);
        if matches!(self.phase, Phase::Member(_)) && self.core.stats.refused.is_power_of_two() {
            self.say_unsealed(d.from, "the group has keys, the joiner has none".to_owned(), fx);
        }
    }

    /// Says to somebody who cannot read anything else why it is not let in.
    fn say_unsealed(&mut self, to: SocketAddr, reason: String, fx: &mut Effects) {
        if matches!(self.phase, Phase::Member(_)) {
            let before = fx.transmits.len();
            self.core.send(to, Body::Refuse(Refuse { reason }), fx);
            self.core.door.unsealed.extend(fx.transmits.drain(before..));
            if self.core.guard.is_none() {
                fx.transmits.append(&mut self.core.door.unsealed);
            }
        }
    }

    fn on_refused(&mut self, from: SocketAddr, why: &Refusal) {
        self.core.refuse(from, why);
        if let Phase::Seeking(s) = &mut self.phase
            && !matches!(why, Refusal::Replayed | Refusal::Broken)
        {
            s.on_stranger(from, why.to_string());
        }
    }

    /// What this endpoint says in a datagram that it has sealed. For the simulator.
    #[cfg(feature = "sim")]
    pub(crate) fn read_own(&self, to: SocketAddr, datagram: &[u8]) -> Option<bytes::Bytes> {
        self.core.guard.as_ref()?.read_own(to, datagram)
    }
}
