//! [`Node`]: drives an agent over a UDP socket.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use gcs::time::Time;
use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;
use tokio::{
    net::UdpSocket,
    sync::{Notify, mpsc, oneshot, watch},
};

use super::handed::Held;
use crate::{
    clock::Clock,
    trust::{Counters, Keys, Refusal, Revocation},
    value::Value,
    zones::{
        agent::{Agent, Config, Found, InstallError, Lookup, LookupError, Reach, Sends},
        contact::Realm,
        event::Event,
        function::Function,
        kind::Delivery,
        message::{Body, Item, Message},
        name::ZoneName,
    },
};

/// The largest datagram that there is.
const DATAGRAM_MAX: usize = 65_535;
/// Datagrams that are looked at before time is.
const AT_ONCE: usize = 64;
/// What the kernel holds for this process meanwhile.
const RECEIVE_BUFFER: usize = 1 << 20;
/// How often it is looked whether somebody has set the clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(10);
/// What the clock may be off without being set.
const DRIFT_S: u64 = 2;
/// Until a function that was sent to another zone has arrived there.
const ARRIVES: Duration = Duration::from_millis(150);
const ARRIVAL_TRIES: usize = 5;

/// Why there is no node.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The address cannot be had.
    #[error("cannot bind UDP {0}: {1}; choose another --listen")]
    Bind(SocketAddr, io::Error),
    /// Nobody can reach it.
    #[error("{0} is every address of this machine: say with --contact at which one others reach it")]
    NoContact(SocketAddr),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The keys are somebody else's.
    #[error(transparent)]
    Keys(#[from] Refusal),
}

/// Why a function is not installed.
#[derive(Debug, Error)]
pub enum SpreadError {
    /// The agent does not take it.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The zone is elsewhere, and not found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The zone is elsewhere, and does not show it.
    #[error("{0} was told of the function, and does not have it: it may have a newer one")]
    NotTaken(ZoneName),
}

/// What has happened on the socket, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Datagrams sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Datagrams that were messages.
    pub received: u64,
    /// Datagrams that were none.
    pub garbage: u64,
    /// Datagrams that the system would not send.
    pub not_sent: u64,
    /// How often the time of day was set.
    pub clock_set: u64,
}

/// What an agent is told of NATs.
#[derive(Clone, Debug, Default)]
pub struct Nat {
    /// The hosts that can dial it and each other, if it is behind one.
    pub realm: Option<Realm>,
    /// Relays to ask for a lease first. If there are any it is behind a NAT or a firewall; otherwise it finds that out, unless it was told
    /// where others reach it.
    pub relays: Vec<SocketAddrV4>,
    /// For how many others it is a relay itself.
    pub relay_for: usize,
}

/// Where an agent is, and whom it knows.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub name: ZoneName,
    /// The address of its socket.
    pub listen: SocketAddr,
    /// Where others reach it, if not there.
    pub contact: Option<SocketAddr>,
    /// Agents that were there before, anywhere.
    pub seeds: Vec<SocketAddr>,
    /// Whether others can dial it, and what it does for those whom nobody can dial.
    pub nat: Nat,
}

/// An agent on a machine.
#[derive(Debug)]
pub struct Node {
    state: Mutex<State>,
    clock: Clock,
    socket: UdpSocket,
    seeds: Vec<SocketAddr>,
    receive_buffer: usize,
    /// Something was asked of the agent that may have made it want to be woken sooner.
    wake: Notify,
    /// Something in its tables may have changed.
    changed: Notify,
    /// [`Agent::others_changed`].
    others: watch::Sender<u64>,
    /// Subscriptions that were signed elsewhere, by name.
    handed: Mutex<BTreeMap<Arc<str>, Held>>,
}

/// Who takes what the agents of a zone tell.
pub(super) type Listener<'a> = (&'a ZoneName, Delivery, mpsc::Sender<Event>);

#[derive(Debug)]
struct State {
    agent: Agent,
    waiting: BTreeMap<Lookup, oneshot::Sender<Result<Found, LookupError>>>,
    /// Who takes what standing queries tell, by name.
    listening: BTreeMap<Arc<str>, mpsc::Sender<Event>>,
    to_send: Sends,
    traffic: Traffic,
}

impl Node {
    /// Binds the socket of an agent. [`Self::run`] lets it live.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn bind(place: &Place, config: Config) -> Result<Arc<Self>, NodeError> {
        Self::new(place, config, None)
    }

    /// The same of an agent with keys.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn closed(place: &Place, config: Config, keys: Keys) -> Result<Arc<Self>, NodeError> {
        Self::new(place, config, Some(keys))
    }

    fn new(place: &Place, config: Config, keys: Option<Keys>) -> Result<Arc<Self>, NodeError> {
        let bind = |e| NodeError::Bind(place.listen, e);
        let socket = socket(place.listen).map_err(bind)?;
        let own = socket.local_addr().map_err(bind)?;
        let contact = match place.contact {
            Some(contact) => contact,
            None if own.ip().is_unspecified() => {
                let towards = place.seeds.first().and_then(|seed| local_towards(*seed));
                SocketAddr::new(towards.ok_or(NodeError::NoContact(own))?, own.port())
            }
            None => own,
        };
        let seed = getrandom::u64().map_err(NodeError::Random)?;
        let (clock, seeds) = (Clock::start(), place.seeds.clone());
        let agent = Agent::new(Arc::new(config), place.name.clone(), contact, seeds, seed);
        let mut agent = agent.relay_for(place.nat.relay_for).reached(reach(place, own));
        agent.set_epoch(clock.epoch_s());
        if let Some(keys) = keys {
            agent = agent.with_keys(keys)?;
        }
        let state = State {
            agent,
            waiting: BTreeMap::new(),
            listening: BTreeMap::new(),
            to_send: Sends::new(),
            traffic: Traffic::default(),
        };
        let receive_buffer = granted(&socket).map_err(bind)?;
        let socket = UdpSocket::from_std(socket).map_err(bind)?;
        let seeds = place.seeds.clone();
        let (wake, changed, others) = (Notify::new(), Notify::new(), watch::Sender::new(0));
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            clock,
            socket,
            seeds,
            receive_buffer,
            wake,
            changed,
            others,
            handed: Mutex::default(),
        }))
    }

    /// What names it to others: where they reach it, now.
    #[must_use]
    pub fn contact(&self) -> SocketAddr {
        self.state.lock().agent.contact().contact
    }

    /// Agents that it was told of when it began.
    #[must_use]
    pub fn seeds(&self) -> &[SocketAddr] {
        &self.seeds
    }

    /// How many bytes of datagrams the system holds for it.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Looks at the agent, at this moment.
    pub fn look<T>(&self, at: impl FnOnce(&Agent, Time) -> T) -> T {
        at(&self.state.lock().agent, self.clock.now())
    }

    /// What has happened on the socket.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.state.lock().traffic
    }

    /// Why the agent has refused something: each reason once.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.state.lock().agent.reasons()
    }

    /// What it has verified; None without keys.
    #[must_use]
    pub fn verified(&self) -> Option<Counters> {
        self.state.lock().agent.verified().cloned()
    }

    /// Takes a revocation, and tells others of it. Whether it is new.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn revoke(&self, revocation: &Arc<Revocation>) -> Result<bool, Refusal> {
        let revoked = self.state.lock().agent.revoke(self.clock.now(), revocation);
        self.wake.notify_one();
        revoked
    }

    /// Waits until the agent has heard something.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says when standing queries or announcements may be others.
    pub(super) fn others(&self) -> watch::Receiver<u64> {
        self.others.subscribe()
    }

    /// Does something with the agent, which may make it want to be woken sooner.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut Agent, Time) -> T) -> T {
        let done = act(&mut self.state.lock().agent, self.clock.now());
        self.wake.notify_one();
        done
    }

    /// From now on what a standing query tells goes there; `None`: nowhere.
    pub(super) fn listen(&self, query: &Arc<str>, to: Option<Listener<'_>>) {
        let mut state = self.state.lock();
        match to {
            Some((zone, delivery, to)) => {
                state.agent.listen(query, zone, delivery);
                state.listening.insert(query.clone(), to);
            }
            None => {
                state.agent.listen_no_more(query);
                state.listening.remove(query);
            }
        }
    }

    /// Whether somebody takes what a standing query of this name tells.
    pub(super) fn is_listening(&self, query: &str) -> bool {
        self.state.lock().listening.contains_key(query)
    }

    /// Subscriptions that were signed elsewhere, by name.
    pub(super) fn handed(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Held>> {
        self.handed.lock()
    }

    /// Sets attributes; `Null` removes one.
    pub fn set(&self, attributes: impl IntoIterator<Item = (Arc<str>, Value)>) {
        self.state.lock().agent.set(self.clock.now(), attributes);
        self.wake.notify_one();
    }

    /// The table of a zone, wherever it is.
    ///
    /// # Errors
    /// There is no such zone, or nobody answers.
    pub async fn find(&self, zone: &ZoneName) -> Result<Found, LookupError> {
        let answer = {
            let mut state = self.state.lock();
            let lookup = state.agent.look_up(self.clock.now(), zone)?;
            let (to, answer) = oneshot::channel();
            state.waiting.insert(lookup, to);
            state.answer();
            answer
        };
        self.wake.notify_one();
        answer.await.unwrap_or_else(|_| Err(LookupError::Silent(zone.clone())))
    }

    /// Installs a function for a zone, wherever it is.
    ///
    /// # Errors
    /// Nothing has changed then, as far as this agent knows.
    pub async fn install(&self, zone: &ZoneName, function: &Arc<Function>) -> Result<(), SpreadError> {
        let installed = self.state.lock().agent.install(self.clock.now(), zone, function);
        self.wake.notify_one();
        if !matches!(installed, Err(InstallError::Elsewhere { .. })) {
            return Ok(installed?);
        }
        let mut found = self.find(zone).await?;
        for _ in 0..ARRIVAL_TRIES {
            if found.functions.contains(function) {
                return Ok(());
            }
            if let Some(to) = found.from {
                let level = u8::try_from(zone.depth()).unwrap_or(u8::MAX);
                let body = Body::News(vec![(level, Item::Function(function.clone()))]);
                let message = Message { zone: zone.clone(), body };
                let addressed = self.state.lock().agent.addressed(self.clock.now(), to, message);
                if let Some((to, message)) = addressed {
                    self.send(to, &message).await;
                }
            }
            tokio::time::sleep(ARRIVES).await;
            found = self.find(zone).await?;
        }
        // Who removes a function sees nothing of it in the end.
        let shown = found.functions.iter().any(|f| f.said().name == function.said().name);
        if function.said().text.is_empty() && !shown {
            Ok(())
        } else {
            Err(SpreadError::NotTaken(zone.clone()))
        }
    }

    /// Lives until the future is dropped.
    pub async fn run(&self) {
        let mut bytes = vec![0; DATAGRAM_MAX];
        let mut look_at_clock = Time::ZERO;
        loop {
            let now = self.clock.now();
            if look_at_clock <= now {
                look_at_clock = now + LOOK_AT_CLOCK;
                self.look_at_clock();
            }
            let (sends, next) = self.state.lock().tick(now);
            for (to, message) in sends {
                self.send(to, &message).await;
            }
            let sleep = tokio::time::sleep(self.clock.until(next.min(look_at_clock)));
            tokio::select! {
                _ = self.socket.readable() => self.receive(&mut bytes),
                () = sleep => {}
                () = self.wake.notified() => {}
            }
            self.changed.notify_waiters();
            let others = self.state.lock().agent.others_changed();
            self.others.send_if_modified(|seen| std::mem::replace(seen, others) != others);
        }
    }

    /// Gives the agent what has come.
    fn receive(&self, bytes: &mut [u8]) {
        for _ in 0..AT_ONCE {
            // An error is of an earlier datagram that did not arrive, or there is nothing more.
            let Ok((len, from)) = self.socket.try_recv_from(bytes) else { return };
            let message = Message::decode(&bytes[..len]);
            let mut state = self.state.lock();
            match message {
                Ok(message) => state.receive(self.clock.now(), from, message),
                Err(_) => state.traffic.garbage += 1,
            }
        }
    }

    async fn send(&self, to: SocketAddr, message: &Message) {
        let bytes = message.encode();
        let sent = self.socket.send_to(&bytes, to).await;
        let traffic = &mut self.state.lock().traffic;
        match sent {
            Ok(_) => {
                traffic.sent += 1;
                traffic.sent_bytes += bytes.len() as u64;
            }
            Err(e) => {
                if traffic.not_sent == 0 {
                    tracing::warn!(%to, error = %e, "a datagram could not be sent; others are counted only");
                }
                traffic.not_sent += 1;
            }
        }
    }

    fn look_at_clock(&self) {
        let (epoch_s, mut state) = (self.clock.epoch_s(), self.state.lock());
        let held = state.agent.seconds(Time::ZERO);
        if held.abs_diff(epoch_s) > DRIFT_S {
            if state.traffic.clock_set == 0 {
                tracing::warn!(from = held, to = epoch_s, "somebody has set the clock of this machine");
            }
            state.traffic.clock_set += 1;
            state.agent.set_epoch(epoch_s);
        }
    }
}

impl State {
    fn tick(&mut self, now: Time) -> (Sends, Time) {
        let mut sends = std::mem::take(&mut self.to_send);
        if self.agent.next_timer() <= now {
            self.agent.tick(now, &mut sends);
        }
        self.answer();
        (sends, self.agent.next_timer())
    }

    fn receive(&mut self, now: Time, from: SocketAddr, message: Message) {
        self.traffic.received += 1;
        self.agent.receive(now, from, message, &mut self.to_send);
    }

    /// Hands out what has come of lookups, and of standing queries as far as it is taken.
    fn answer(&mut self) {
        for (lookup, found) in self.agent.found() {
            if let Some(to) = self.waiting.remove(&lookup) {
                // Whoever has asked may be gone.
                let _ = to.send(found);
            }
        }
        for (query, to) in &self.listening {
            if let Ok(places) = to.try_reserve_many(to.capacity()) {
                let events = self.agent.heard(query, places.len());
                events.into_iter().zip(places).for_each(|(event, place)| place.send(event));
            }
        }
    }
}

/// How the agent is reached: by which of its addresses it goes to each of those it knows is what they see if there is no NAT between.
fn reach(place: &Place, own: SocketAddr) -> Reach {
    let (realm, relays) = (place.nat.realm.clone(), place.nat.relays.clone());
    let towards = |seed: &SocketAddr| match own.ip().is_unspecified() {
        true => Some((*seed, SocketAddr::new(local_towards(*seed)?, own.port()))),
        false => Some((*seed, own)),
    };
    let expects = match place.contact {
        Some(_) => Vec::new(),
        None => place.seeds.iter().filter_map(towards).collect(),
    };
    Reach { realm, relays, expects }
}

fn socket(listen: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(listen), socket2::Type::DGRAM, None)?;
    // What the system does not grant is not needed.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

/// The size of the receive buffer. Linux counts what it needs for itself, too, and says twice what it was asked for.
fn granted(socket: &std::net::UdpSocket) -> io::Result<usize> {
    let size = socket2::SockRef::from(socket).recv_buffer_size()?;
    Ok(if cfg!(target_os = "linux") { size / 2 } else { size })
}

/// Which of its addresses this machine has towards another one.
fn local_towards(other: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if other.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(other).ok()?;
    socket.local_addr().ok().map(|own| own.ip())
}
