//! From settings to a running endpoint.

use super::{Events, Group, Keep};
#[cfg(feature = "metrics")]
use crate::runtime::metering::Metering;
use crate::{
    endpoint::{Bootstrap, Config, ConfigError, Endpoint},
    frame::WIRE_VERSION,
    guard::Keys,
    id::{GroupTag, MemberId},
    layer::Watch,
    net::{
        BindError, Carrier, Transport, both::Both, hello::Me, liveness, liveness::Door, liveness::Liveness,
        multicast::Multicast, tcp::Tcp, udp::Udp,
    },
    runtime::{
        clock::{self, Clock},
        control,
        discovery::{self, Source, is_name},
        driver::{Driver, Engine, Polling, State},
        shared::{About, Shared},
    },
    stack::Blueprint,
};
use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

/// How often a port is tried.
const PORT_ATTEMPTS: usize = 16;
/// How long to wait before a port that must be this one is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

type Change = Box<dyn FnOnce(&mut Config) + Send>;

/// Settings for a membership: see [`Group::builder`]. Without [`Self::found`] or [`Self::expect`] it joins a group that
/// exists.
#[must_use]
pub struct Builder {
    group: String,
    name: Option<String>,
    bind: Option<SocketAddr>,
    contacts: Vec<SocketAddr>,
    sources: Vec<Source>,
    bootstrap: Bootstrap,
    stack: Option<Blueprint>,
    tune: Vec<Change>,
    transport: Option<Box<dyn Transport>>,
    carrier: Carrier,
    multicast: Option<SocketAddrV4>,
    mtu: Option<usize>,
    queue_bytes: usize,
    control: Option<PathBuf>,
    about: Option<About>,
    busy_poll: bool,
    own_thread: bool,
    casts: bool,
    seed: Option<u64>,
    primary_only: Option<&'static str>,
}

/// Why an endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address.
    #[error("there is no address: call `bind` with one that the other members can reach")]
    NoAddress,
    /// No stack.
    #[error("there is no stack: call `stack` with the same one at all members")]
    NoStack,
    /// A setting that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A contact that nobody can be reached at.
    #[error("{0} cannot be a contact: it is not the address of a process")]
    Contact(SocketAddr),
    /// A contact's name without a host or a port.
    #[error("`{0}` cannot be a contact: give a host's name and a port, such as db.example.org:4803")]
    Name(String),
    /// A block that needs one history.
    #[error("{0} cannot be in a partitionable group: its parts would not agree on them")]
    Partitionable(&'static str),
    /// The path of the control socket.
    #[error("the control socket cannot be made at {}: {source}", path.display())]
    Control {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Without a thread of its own an endpoint needs a runtime.
    #[error("there is no tokio runtime here: call `start` in one, or leave the endpoint its own thread")]
    NoRuntime,
    /// The thread or its runtime.
    #[error("the endpoint's thread cannot start: {0}")]
    Thread(#[source] io::Error),
}

impl Builder {
    pub(super) fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            name: None,
            bind: None,
            contacts: Vec::new(),
            sources: Vec::new(),
            bootstrap: Bootstrap::Join,
            stack: None,
            tune: Vec::new(),
            transport: None,
            carrier: Carrier::Udp,
            multicast: None,
            mtu: None,
            queue_bytes: 8 << 20,
            control: None,
            about: None,
            busy_poll: false,
            own_thread: true,
            casts: true,
            seed: None,
            primary_only: None,
        }
    }

    /// This process's name, for people: unique in the group, 1 to 64 bytes. Default: its address.
    pub fn member_name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The address to use, for UDP and TCP; others must be able to reach it. Port 0 means any free port.
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind = Some(addr);
        self
    }

    /// An address to ask at the start. This process's own does no harm. May be called several times.
    pub fn contact(mut self, addr: SocketAddr) -> Self {
        self.contacts.push(addr);
        self
    }

    /// Addresses to ask at the start.
    pub fn contacts(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.contacts.extend(addrs);
        self
    }

    /// A host's name with a port, such as `db.default.svc:4803`: all addresses that it has are asked. It is looked up again
    /// every second while there is no view, and every ten seconds when there is one.
    pub fn contact_name(mut self, name: &str) -> Self {
        self.sources.push(Source::Name(name.to_owned()));
        self
    }

    /// A file with addresses or names to ask, one a line; what follows `#` is a comment. It is read as often as names are
    /// looked up, and need not exist at first.
    pub fn contact_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::File(path.into()));
        self
    }

    /// Join a group that exists. The default.
    pub fn join(mut self) -> Self {
        self.bootstrap = Bootstrap::Join;
        self
    }

    /// Found the group, unless a contact knows of it.
    pub fn found(mut self) -> Self {
        self.bootstrap = Bootstrap::Found;
        self
    }

    /// Found the group as soon as processes with `n` votes have met: see [`Bootstrap::Expect`].
    pub fn expect(mut self, n: usize) -> Self {
        self.bootstrap = Bootstrap::Expect(n);
        self
    }

    /// The stack; the same at all members.
    pub fn stack(mut self, stack: Blueprint) -> Self {
        self.stack = Some(stack);
        self
    }

    /// Whether joiners receive the group's state before their first message. Default: no.
    pub fn state_transfer(self, on: bool) -> Self {
        self.tune(move |c| c.state_transfer = on)
    }

    /// Whether every part of the group goes on when the network is cut, and the parts merge when it heals; the same at all
    /// members. Default: no, only a part with a quorum goes on. Parts do not know what the others do: what has to be one
    /// history everywhere does not belong into such a group. Each view says whether it is of the primary part
    /// ([`ViewChange::primary`](crate::view::ViewChange::primary)), the only one in which owners have leases, and which parts
    /// have merged in it; with state transfer the parts take the state of the one that they come to, and say again what they
    /// want of their own ([`StateMachine::reconcile`](crate::blocks::StateMachine::reconcile)).
    pub fn partitionable(self, on: bool) -> Self {
        self.tune(move |c| c.partitionable = on)
    }

    /// How many votes this process has when the group decides who goes on without whom. Default: 1. A group goes on where
    /// more than half of all votes are, or half with the lowest-ranked member: give more to a process that is to win against
    /// several others. 0 makes a [learner](Self::learner).
    pub fn weight(self, votes: u16) -> Self {
        self.tune(move |c| c.role.weight = votes)
    }

    /// Whether this process is a witness: it votes, and keeps messages for others as long as these may need them, but has
    /// no application. Nothing but views is delivered to it, it has no state, and casts nothing ([`super::CastError::Witness`]).
    /// For the third site of two replicas: with it, either of them goes on without the other. Default: no.
    pub fn witness(self, on: bool) -> Self {
        self.tune(move |c| c.role.witness = on)
    }

    /// Whether this process is a learner: it receives and delivers everything, may cast, and does not vote. The group
    /// needs no learner to go on, and no learner goes on alone. Default: no.
    pub fn learner(self, on: bool) -> Self {
        if on { self.weight(0) } else { self }
    }

    /// How members watch each other.
    pub fn watch(self, watch: Watch) -> Self {
        self.tune(move |c| c.watch = watch)
    }

    /// Keys that keep strangers out, such as `gcs::keys::PreShared`: all processes of the group have them, or none. The
    /// stack must encrypt.
    pub fn keys(self, keys: impl Into<Option<Arc<dyn Keys>>>) -> Self {
        let keys = keys.into();
        self.tune(move |c| c.keys = keys)
    }

    /// How many bytes of its own messages a member may have under way.
    pub fn window_bytes(self, bytes: usize) -> Self {
        self.tune(move |c| c.window_bytes = bytes)
    }

    /// Whether to come back as a new incarnation after having been excluded. Default: yes.
    pub fn rejoin(self, on: bool) -> Self {
        self.tune(move |c| c.rejoin = on)
    }

    /// The best version of the protocol that this process speaks: to try an upgrade in which some members are of the release
    /// before. See [`Config::protocol_max`].
    pub fn protocol_max(self, version: impl Into<Option<u8>>) -> Self {
        let version = version.into().unwrap_or(WIRE_VERSION);
        self.tune(move |c| c.protocol_max = version)
    }

    /// Any other change of the settings, applied last.
    pub fn tune(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.tune.push(Box::new(change));
        self
    }

    /// How many bytes of events may wait for the application before it slows the group down. Default: 8 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// A local socket to be made at this path: who connects to it gets [`Group::report`] as text, or can say `force-primary`
    /// ([`Group::force_primary`]), or `status` (names and values of [`Group::status`] and [`Group::stats`], for programs). Where
    /// the path is a folder, such as `/run/gcs`, the socket is made in it under the name `GROUP-ADDRESS.sock`: who watches a host
    /// finds all its members there. Only this process's user may. Not on systems without such sockets.
    pub fn control(mut self, path: impl Into<Option<PathBuf>>) -> Self {
        self.control = path.into();
        self
    }

    /// What the application says of itself: whoever asks at [`Self::control`] gets it behind the report. Called on the endpoint's
    /// runtime; it has to be quick.
    pub fn about(mut self, says: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.about = Some(Box::new(says));
        self
    }

    /// Whether the endpoint has a thread of its own. Default: yes. Without, it is a task of the tokio runtime (with I/O and
    /// time) that [`Self::start`] is called in: a message changes threads twice less, but what holds up the runtime holds up
    /// the endpoint, and the others exclude who is silent for long.
    pub fn own_thread(mut self, on: bool) -> Self {
        self.own_thread = on;
        self
    }

    /// Whether the endpoint's thread polls instead of sleeping: lower latency for a whole core.
    pub fn busy_poll(mut self, on: bool) -> Self {
        self.busy_poll = on;
        self
    }

    /// What carries the datagrams. Default: UDP.
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// Multicasts to this IPv4 multicast address, on the interface of [`Self::bind`], what goes to several members. Those
    /// that it does not reach are sent to by unicast, as everybody is without it. All members should have the same. Who has
    /// it is asked at the start as if it were a contact: where multicast gets through, no other is needed.
    pub fn multicast(mut self, group: impl Into<Option<SocketAddrV4>>) -> Self {
        self.multicast = group.into();
        self
    }

    /// The MTU of the network between the members, in bytes, all headers included: 9000 where it carries jumbo frames.
    /// Default: 1500, and more on loopback; less where this host knows of a smaller one on the way to a contact. What is
    /// larger than the path carries is fragmented on the way.
    pub fn mtu(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.mtu = bytes.into();
        self
    }

    /// A transport of one's own. Deaths are then noticed by silence only, and [`Self::bind`] is not used.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// The seed of the endpoint's choices, for tests. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What is built on the group, and must not be in a partitionable one.
    pub(crate) fn primary_only(mut self, what: &'static str) -> Self {
        self.primary_only = Some(what);
        self
    }

    /// What the stack promises, if there is one.
    pub(crate) fn stack_gives(&self) -> Option<crate::properties::Properties> {
        self.stack.as_ref().map(Blueprint::gives)
    }

    /// Starts the endpoint. It goes on to join or found; [`Group::view`] and the first event say when it has.
    ///
    /// # Errors
    /// [`StartError`] says in one sentence what is wrong; nothing is left running.
    pub async fn start(mut self) -> Result<(Group, Events), StartError> {
        let stack = self.stack.clone().ok_or(StartError::NoStack)?;
        if let Some(bad) =
            self.contacts.iter().find(|c| c.ip().is_unspecified() || c.ip().is_multicast() || c.port() == 0)
        {
            return Err(StartError::Contact(*bad));
        }
        if let Some(Source::Name(bad)) =
            self.sources.iter().find(|s| matches!(s, Source::Name(n) if !is_name(n)))
        {
            return Err(StartError::Name(bad.clone()));
        }
        let (transport, door) = match self.transport.take() {
            Some(transport) => (transport, None),
            None => self.open(self.bind.ok_or(StartError::NoAddress)?)?,
        };
        let addr = transport.local_addr();
        let name = self.name.clone().unwrap_or_else(|| addr.to_string());
        let mut config = Config::new(&self.group, &name, stack);
        self.contacts.extend(self.multicast.map(SocketAddr::from));
        config.contacts.clone_from(&self.contacts);
        config.discovers = !self.sources.is_empty();
        config.bootstrap = self.bootstrap;
        config.receive_bytes = transport.receive_bytes();
        for change in self.tune.drain(..) {
            change(&mut config);
        }
        if let Some(what) = self.primary_only.filter(|_| config.partitionable) {
            return Err(StartError::Partitionable(what));
        }
        self.casts = !config.role.witness;
        let me = MemberId { addr, incarnation: clock::incarnation() };
        let seed = self.seed.unwrap_or_else(clock::random);
        let engine = Endpoint::new(config, me, transport.mtu(), seed)?;
        self.launch(engine, transport, door).await
    }

    /// Starts the thread for an endpoint, or what stands in for it.
    pub(crate) async fn launch<E: Engine>(
        self,
        engine: E,
        mut transport: Box<dyn Transport>,
        door: Option<Door>,
    ) -> Result<(Group, Events), StartError> {
        let mut shared = Shared::new(Clock::start(), self.queue_bytes);
        shared.witness = !self.casts;
        shared.about = self.about;
        let shared = Arc::new(shared);
        let keep = Arc::new(Keep(Arc::clone(&shared)));
        let group = Group::new(Arc::clone(&keep), transport.local_addr());
        let polling = match (self.busy_poll, self.own_thread) {
            (false, _) => Polling::Sleep,
            (true, true) => Polling::Spin,
            (true, false) => Polling::Share,
        };
        let (ready, started) = oneshot::channel();
        #[cfg(unix)]
        let control = match self.control {
            Some(path) => {
                let own = transport.local_addr();
                let path = control::place(path, &self.group, own);
                let listener = control::bind(&path).map_err(|source| StartError::Control { path, source })?;
                let facts = control::Facts {
                    group: self.group.clone(),
                    name: self.name.clone().unwrap_or_else(|| own.to_string()),
                    stack: self.stack.as_ref().map(|stack| stack.name().to_owned()).unwrap_or_default(),
                };
                Some((listener, facts))
            }
            None => None,
        };
        #[cfg(feature = "metrics")]
        let metering = {
            let own = transport.local_addr().to_string();
            Metering::new(&self.group, self.name.as_deref().unwrap_or(&own))
        };
        let (sources, contacts, own) = (self.sources, self.contacts, transport.local_addr());
        let drive = async move {
            let (tx, gone) = mpsc::unbounded_channel();
            let start = |door: Door| {
                door.me.set_incarnation(engine.me().incarnation);
                Liveness::start(door, tx)
            };
            let liveness = door.map(start).transpose().and_then(|l| {
                transport.start()?;
                Ok(l)
            });
            match liveness {
                Ok(liveness) => {
                    let _ = ready.send(Ok(()));
                    if !sources.is_empty() {
                        tokio::spawn(discovery::run(sources, contacts, own, Arc::clone(&shared)));
                    }
                    #[cfg(unix)]
                    if let Some((listener, facts)) = control {
                        tokio::spawn(control::serve(listener, facts, Arc::clone(&shared)));
                    }
                    let state = State::default();
                    Driver {
                        engine,
                        transport,
                        liveness,
                        gone,
                        shared,
                        polling,
                        state,
                        #[cfg(feature = "metrics")]
                        metering,
                    }
                    .run()
                    .await;
                }
                Err(e) => drop(ready.send(Err(e))),
            }
        };
        if self.own_thread {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(StartError::Thread)?;
            let thread = thread::Builder::new().name(format!("gcs {}", self.group));
            thread.spawn(move || runtime.block_on(drive)).map_err(StartError::Thread)?;
        } else {
            let here = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
            here.spawn(drive);
        }
        match started.await {
            Ok(Ok(())) => Ok((group, Events::new(keep))),
            Ok(Err(e)) => Err(StartError::Thread(e)),
            Err(_) => Err(StartError::Thread(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// The transport, and a TCP listener at the same port. What is in use is tried again: another port if any will do; the same one a
    /// moment later otherwise, for a process that was killed may still have it, and a child that another thread is about to start.
    #[expect(clippy::disallowed_methods, reason = "nobody tells when a port is free")]
    fn open(&self, addr: SocketAddr) -> Result<(Box<dyn Transport>, Option<Door>), BindError> {
        let pause = if addr.port() == 0 { Duration::ZERO } else { BUSY_PAUSE };
        for _ in 1..PORT_ATTEMPTS {
            match self.attempt(addr) {
                Err(BindError::Busy { .. }) => thread::sleep(pause),
                other => return other,
            }
        }
        self.attempt(addr)
    }

    fn attempt(&self, addr: SocketAddr) -> Result<(Box<dyn Transport>, Option<Door>), BindError> {
        let tag = GroupTag::of(&self.group);
        if let (Some(group), Carrier::Tcp | Carrier::Both) = (self.multicast, self.carrier) {
            return Err(BindError::NotMulticast(group));
        }
        if self.carrier == Carrier::Tcp {
            let (tcp, door) = Tcp::open(addr, tag)?;
            return Ok((Box::new(tcp), Some(door)));
        }
        let udp = Udp::bind(addr)?;
        let udp = match self.mtu {
            Some(bytes) => udp.with_mtu(bytes)?,
            None => udp.with_mtu_towards(&self.contacts),
        };
        self.beside(udp, tag)
    }

    /// A listener at the port of a UDP socket, and what they are together.
    fn beside(&self, udp: Udp, tag: GroupTag) -> Result<(Box<dyn Transport>, Option<Door>), BindError> {
        if self.carrier == Carrier::Both {
            let (both, door) = Both::open(udp, tag)?;
            return Ok((Box::new(both), Some(door)));
        }
        let addr = udp.local_addr();
        let door = Door::new(liveness::listen(addr)?, Arc::new(Me::new(tag, addr, false)));
        let transport: Box<dyn Transport> = match self.multicast {
            Some(group) => Box::new(Multicast::new(udp, group)?),
            None => Box::new(udp),
        };
        Ok((transport, Some(door)))
    }
}
