//! [`Proxy`]: what it does with connections.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use gcs::time::Time;

use super::{
    Config, ConfigError,
    balance::Candidate,
    control::{LINE, OPERATORS, parse},
    header::header,
    session::{Session, Side},
    state::{Due, ListenerState, Ours, State},
};
use crate::{
    service::{Io, RestoreError, Service},
    tcp::{Id, Reason},
};

/// What the checks say of a back end now, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The back end.
    pub back_end: SocketAddr,
    /// Whether it gets new sessions.
    pub up: bool,
}

/// The proxy.
pub struct Proxy {
    config: Config,
    vips: Vec<IpAddr>,
    state: State,
    due: BTreeSet<(Time, Due)>,
    tell: Box<dyn FnMut(Verdict) + Send>,
}

const fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms as u64)
}

impl Proxy {
    /// A proxy at these virtual addresses; `tell` hears what the checks say.
    ///
    /// # Errors
    /// The configuration cannot work.
    pub fn new(
        config: Config,
        vips: Vec<IpAddr>,
        tell: impl FnMut(Verdict) + Send + 'static,
    ) -> Result<Self, ConfigError> {
        config.check(&vips)?;
        let state = State::new(&config, &vips);
        Ok(Self { config, vips, state, due: BTreeSet::new(), tell: Box::new(tell) })
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.state.sessions.len()
    }

    /// A client has connected.
    fn accept(&mut self, client: Id, io: &mut Io<'_>) {
        let Some((_, local, remote)) = io.look(client) else { return };
        if let Some(control) = self.config.control.as_ref().filter(|c| c.port == local.port()) {
            if control.from.contains(&remote.ip()) && self.state.operators.len() < OPERATORS {
                self.state.operators.insert(client, Vec::new());
            } else {
                io.abort(client);
            }
            return;
        }
        let listener = self.config.listeners.iter().position(|l| l.port == local.port());
        match listener {
            Some(listener) if self.state.sessions.len() < self.config.connections as usize => {
                self.dial(Session::new(client, listener), io);
            }
            _ => io.abort(client),
        }
    }

    /// Opens a connection to the next back end for a session that has none; without one the client is given up.
    fn dial(&mut self, mut session: Session, io: &mut Io<'_>) {
        let Some((_, local, remote)) = io.look(session.client) else { return };
        while let Some(number) = self.choose(&session, remote.ip()) {
            session.tried |= 1 << number;
            let listener = &self.config.listeners[session.listener];
            let address = listener.back_ends[number].address;
            let Some(back) = self.connect(local.ip(), address, io) else { continue };
            let until = io.now() + ms(listener.connect_timeout_ms);
            (session.back, session.number, session.opening) = (back, number, Some(until));
            self.state.listeners[session.listener].back_ends[number].connections += 1;
            self.state.ours.insert(back, Ours::Session(session.client));
            self.due.insert((until, Due::Answer(session.client)));
            self.state.sessions.insert(session.client, session);
            return;
        }
        io.abort(session.client);
    }

    fn choose(&mut self, session: &Session, client: IpAddr) -> Option<usize> {
        let listener = &self.config.listeners[session.listener];
        let ListenerState { turn, back_ends } = &mut self.state.listeners[session.listener];
        let candidates =
            back_ends.iter().zip(&listener.back_ends).enumerate().filter_map(|(number, (b, c))| {
                let open = b.health.up && !b.drains && b.connections < c.connections;
                (open && session.tried >> number & 1 == 0).then_some(Candidate {
                    number,
                    address: c.address,
                    connections: b.connections,
                })
            });
        listener.balance.choose(candidates, client, turn)
    }

    /// Connects from the address that the client has used, or another one of the back end's family.
    fn connect(&self, local: IpAddr, to: SocketAddr, io: &mut Io<'_>) -> Option<Id> {
        let mut ours = std::iter::once(&local).chain(&self.vips).filter(|ip| ip.is_ipv4() == to.is_ipv4());
        io.connect(*ours.next()?, to).ok()
    }

    /// Takes a session apart. The client's connection and the back end's are the caller's to end.
    fn remove(&mut self, client: Id) -> Option<Session> {
        let session = self.state.sessions.remove(&client)?;
        self.state.ours.remove(&session.back);
        self.state.listeners[session.listener].back_ends[session.number].connections -= 1;
        if let Some(until) = session.opening {
            self.due.remove(&(until, Due::Answer(client)));
        }
        Some(session)
    }

    /// A back end has answered.
    fn answered(&mut self, client: Id, io: &mut Io<'_>) {
        let Some(session) = self.state.sessions.get_mut(&client) else { return };
        if let Some(until) = session.opening.take() {
            self.due.remove(&(until, Due::Answer(client)));
        }
        if self.config.listeners[session.listener].proxy_protocol
            && let Some((_, local, remote)) = io.look(client)
        {
            io.write(session.back, &mut header(remote, local));
        }
        session.pass(Side::Client, io);
    }

    /// The session that a connection belongs to, and which side of it that is.
    fn find(&mut self, id: Id) -> Option<(&mut Session, Side)> {
        let (client, side) = match self.state.ours.get(&id) {
            Some(Ours::Session(client)) => (*client, Side::BackEnd),
            Some(Ours::Check(..)) => return None,
            None => (id, Side::Client),
        };
        Some((self.state.sessions.get_mut(&client)?, side))
    }

    /// Makes the next check of a back end.
    fn check(&mut self, listener: usize, number: usize, io: &mut Io<'_>) {
        let rules = &self.config.listeners[listener].check;
        let address = self.config.listeners[listener].back_ends[number].address;
        let (interval, timeout) = (ms(rules.interval_ms), ms(rules.timeout_ms));
        let check = self.vips.first().and_then(|vip| self.connect(*vip, address, io));
        let health = &mut self.state.listeners[listener].back_ends[number].health;
        // Where we cannot even ask, the back end is not to blame.
        health.at = io.now() + if check.is_some() { timeout } else { interval };
        health.check = check;
        self.due.insert((health.at, Due::Check(listener, number)));
        if let Some(id) = check {
            self.state.ours.insert(id, Ours::Check(listener, number));
        }
    }

    /// A check has ended; the next one is due an interval later.
    fn checked(&mut self, listener: usize, number: usize, well: bool, io: &mut Io<'_>) {
        let config = &self.config.listeners[listener];
        let health = &mut self.state.listeners[listener].back_ends[number].health;
        if let Some(id) = health.check {
            self.state.ours.remove(&id);
            io.abort(id);
        }
        self.due.remove(&(health.at, Due::Check(listener, number)));
        health.at = io.now() + ms(config.check.interval_ms);
        self.due.insert((health.at, Due::Check(listener, number)));
        if health.checked(well, &config.check) {
            (self.tell)(Verdict { back_end: config.back_ends[number].address, up: well });
        }
    }

    /// An operator has said something.
    fn obey(&mut self, id: Id, io: &mut Io<'_>) {
        let Some(mut lines) = self.state.operators.remove(&id) else { return };
        let said = io.read(id, LINE as u64).concat();
        lines.extend_from_slice(&said);
        let mut answer = String::new();
        while let Some(end) = lines.iter().position(|b| *b == b'\n') {
            let rest = lines.split_off(end + 1);
            answer += &self.state.obey(parse(&lines), &self.config);
            lines = rest;
        }
        let mut answer = Bytes::from(answer);
        io.write(id, &mut answer);
        if said.len() == LINE || lines.len() > LINE || !answer.is_empty() {
            // Who says so much, or does not read, is no operator.
            io.abort(id);
        } else if io.finished(id) {
            io.close(id);
        } else {
            self.state.operators.insert(id, lines);
        }
    }

    fn wake(&self, io: &mut Io<'_>) {
        if let Some((at, _)) = self.due.first() {
            io.wake_at(*at);
        }
    }
}

impl Service for Proxy {
    fn on_begin(&mut self, io: &mut Io<'_>) {
        for (listener, config) in
            self.config.listeners.iter().enumerate().filter(|(_, l)| l.check.interval_ms > 0)
        {
            let back_ends = &mut self.state.listeners[listener].back_ends;
            let count = u32::try_from(back_ends.len()).expect("at most 64");
            for (number, back_end) in (0..).zip(back_ends) {
                // Not all at once.
                back_end.health.at = io.now() + ms(config.check.interval_ms) * number / count;
                self.due.insert((back_end.health.at, Due::Check(listener, number as usize)));
            }
        }
        self.wake(io);
    }

    fn on_open(&mut self, id: Id, io: &mut Io<'_>) {
        match self.state.ours.get(&id) {
            Some(&Ours::Session(client)) => self.answered(client, io),
            Some(&Ours::Check(listener, number)) => self.checked(listener, number, true, io),
            None => self.accept(id, io),
        }
        self.wake(io);
    }

    fn on_data(&mut self, id: Id, io: &mut Io<'_>) {
        self.obey(id, io);
        if let Some((session, side)) = self.find(id) {
            session.pass(side, io);
        }
    }

    fn on_writable(&mut self, id: Id, io: &mut Io<'_>) {
        if let Some((session, side)) = self.find(id) {
            session.pass(side.other(), io);
        }
    }

    fn on_finished(&mut self, id: Id, io: &mut Io<'_>) {
        self.obey(id, io);
        if let Some((session, side)) = self.find(id) {
            session.ended(side);
            session.pass(side, io);
        }
    }

    fn on_close(&mut self, id: Id, reason: Reason, io: &mut Io<'_>) {
        match self.state.ours.get(&id) {
            Some(&Ours::Check(listener, number)) => self.checked(listener, number, false, io),
            Some(&Ours::Session(client)) => {
                if let Some(mut session) = self.remove(client) {
                    if session.opening.is_some() {
                        self.dial(session, io);
                    } else {
                        session.gone(Side::BackEnd, reason == Reason::Ended, io);
                    }
                }
            }
            None => {
                self.state.operators.remove(&id);
                if let Some(mut session) = self.remove(id) {
                    session.gone(Side::Client, reason == Reason::Ended, io);
                }
            }
        }
        self.wake(io);
    }

    fn on_timer(&mut self, io: &mut Io<'_>) {
        while let Some(&(at, due)) = self.due.first().filter(|(at, _)| *at <= io.now()) {
            self.due.remove(&(at, due));
            match due {
                Due::Answer(client) => {
                    if let Some(session) = self.remove(client) {
                        io.abort(session.back);
                        self.dial(session, io);
                    }
                }
                Due::Check(listener, number) => {
                    match self.state.listeners[listener].back_ends[number].health.check {
                        Some(_) => self.checked(listener, number, false, io),
                        None => self.check(listener, number, io),
                    }
                }
            }
        }
        self.wake(io);
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.state).expect("numbers and bytes")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let state: State = postcard::from_bytes(snapshot).map_err(|_| RestoreError::Malformed)?;
        if state.digest != self.state.digest {
            return Err(RestoreError::Settings);
        }
        if !state.fits(&self.config) {
            return Err(RestoreError::Malformed);
        }
        self.due = state.due(&self.config);
        self.state = state;
        for (_, back_end, state) in self.state.back_ends(&self.config).filter(|(.., b)| !b.health.up) {
            (self.tell)(Verdict { back_end, up: state.health.up });
        }
        Ok(())
    }
}
