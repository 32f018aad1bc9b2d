//! [`Representative`]: one of the group that holds the health of all components, and serves clients over TCP.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gcs::{
    blocks::{ExecuteError, Replicated, rsm::ReplicaError},
    group::Builder,
};
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    command::Command,
    desk::{Desk, Next},
    lines::{read_line, to_line},
    state::{Replica, State, outcome},
    verdict::History,
    wire::{Failure, Request, Say},
};

/// Clients that are served at once; others wait.
pub const CONNECTIONS_MAX: usize = 1024;
/// Between two ticks of the state.
const TICK: Duration = Duration::from_millis(500);
/// Between two signs of life on a connection.
const BEAT: Duration = Duration::from_secs(1);
/// Who takes nothing for so long is cut off, and finds what he has missed at the next representative.
const WRITE: Duration = Duration::from_secs(10);
/// Verdicts that are written at once.
const NEWS: usize = 64;
/// Requests of a connection that are read ahead.
const AHEAD: usize = 16;

/// A representative. Clones share it.
#[derive(Clone)]
pub struct Representative {
    group: Replicated<Replica>,
    replica: Replica,
}

impl Representative {
    /// Joins or founds the group that the builder describes; its stack gives total order and uniform delivery.
    ///
    /// # Errors
    /// [`ReplicaError`]; nothing is left running.
    pub async fn start(builder: Builder) -> Result<Self, ReplicaError> {
        let replica = Replica::new();
        let group = Replicated::start(builder, replica.clone()).await?;
        let representative = Self { group, replica };
        tokio::spawn(representative.clone().tick());
        Ok(representative)
    }

    /// The group's state, as far as this representative has come.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The group below.
    #[must_use]
    pub fn group(&self) -> &Replicated<Replica> {
        &self.group
    }

    /// The history of the view in which it is in contact with a majority; None: it is not. The state may not have come there yet.
    fn within(&self) -> Option<History> {
        let status = self.group.group().status();
        let status = status.borrow();
        status.view.as_ref().filter(|_| !status.blocked).map(|change| History(change.view.id.epoch))
    }

    /// Reads the state as it has been agreed on; there is none to read while this representative is not in contact with a majority.
    pub fn read<R>(&self, look: impl FnOnce(Option<&State>) -> R) -> R {
        // The view is looked at behind the state: it may be ahead of it, which shows, and never behind.
        let state = self.replica.look();
        let current = self.within() == Some(state.history());
        look(current.then_some(&*state))
    }

    /// Whether it is in contact with a majority, and has the state.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.read(|state| state.is_some())
    }

    /// The first of the view lets time pass.
    async fn tick(self) {
        let start = Instant::now();
        let mut every = interval(TICK);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut status = self.group.group().status();
        loop {
            tokio::select! {
                _ = every.tick() => {}
                stopped = status.wait_for(|s| s.stopped || s.left.is_some()) => {
                    drop(stopped);
                    return;
                }
            }
            let first = self.group.view().and_then(|change| change.view.members.first().map(|m| m.id));
            if first.is_some() && first == self.group.group().me() {
                let at_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                // One that is lost is made up for by the next.
                let _ = self.execute(Command::Tick { at_ms }).await;
            }
        }
    }

    /// Has the group carry a command out.
    ///
    /// # Errors
    /// [`Failure`] says whether something may have changed.
    pub async fn execute(&self, command: Command) -> Result<(), Failure> {
        match self.group.execute(Bytes::from(command.to_bytes())).await {
            Ok(reply) => Ok(outcome(&reply)?),
            Err(ExecuteError::Unknown) => Err(Failure::Unknown),
            Err(_) => Err(Failure::NotReady),
        }
    }

    /// Serves clients, at most [`CONNECTIONS_MAX`] at once, until the future is dropped.
    pub async fn serve(&self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = Connection::new(self.clone(), stream);
                    connections.spawn(async move {
                        connection.run().await;
                        drop(permit);
                    });
                }
                // Out of descriptors, say: some will come free.
                Err(_) => tokio::time::sleep(BEAT).await,
            }
        }
    }
}

struct Connection {
    representative: Representative,
    desk: Desk,
    from: Option<OwnedReadHalf>,
    to: OwnedWriteHalf,
    doing: JoinSet<(u64, Result<(), Failure>)>,
}

/// Reads requests until the end, or until something is not one.
async fn requests(from: OwnedReadHalf, to: mpsc::Sender<Result<Request, String>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        let request = match read_line(&mut from, &mut line).await {
            Ok(true) => serde_json::from_slice(&line).map_err(|e| e.to_string()),
            Ok(false) => return,
            Err(e) => Err(e.to_string()),
        };
        let wrong = request.is_err();
        if to.send(request).await.is_err() || wrong {
            return;
        }
    }
}

impl Connection {
    fn new(representative: Representative, stream: TcpStream) -> Self {
        // What is told is told at once.
        let _ = stream.set_nodelay(true);
        let (from, to) = stream.into_split();
        Self { representative, desk: Desk::new(), from: Some(from), to, doing: JoinSet::new() }
    }

    async fn run(mut self) {
        let Some(from) = self.from.take() else { return };
        let (to, mut asked) = mpsc::channel(AHEAD);
        let mut reader = JoinSet::new();
        reader.spawn(requests(from, to));
        let mut changes = self.representative.replica.changes();
        let mut status = self.representative.group.group().status();
        let mut beat = interval(BEAT);
        loop {
            let went = tokio::select! {
                request = asked.recv() => match request {
                    Some(Ok(request)) => self.ask(request).await,
                    Some(Err(what)) => {
                        let say = Say::Answer { id: 0, outcome: Err(Failure::Malformed(what)) };
                        self.say(&say).await;
                        return;
                    }
                    None => return,
                },
                Some(Ok((number, outcome))) = self.doing.join_next() => match self.desk.done(number, outcome) {
                    Some(say) => self.say(&say).await,
                    None => true,
                },
                changed = changes.changed() => changed.is_ok(),
                _ = beat.tick() => self.beat().await,
                changed = status.changed() => changed.is_ok() && self.beat().await,
            };
            if !went || !self.news().await {
                return;
            }
        }
    }

    async fn beat(&mut self) -> bool {
        let ready = self.representative.is_ready();
        self.say(&Say::Beat { ready }).await
    }

    async fn ask(&mut self, request: Request) -> bool {
        let next = {
            let state = self.representative.replica.look();
            if state.history().0 == 0 {
                Next::Say(Say::Answer { id: request.id, outcome: Err(Failure::NotReady) })
            } else {
                self.desk.ask(&state, request)
            }
        };
        match next {
            Next::Say(say) => self.say(&say).await,
            Next::Cast(number, command) => {
                let representative = self.representative.clone();
                self.doing.spawn(async move { (number, representative.execute(command).await) });
                true
            }
        }
    }

    async fn news(&mut self) -> bool {
        loop {
            let news =
                self.desk.news(&self.representative.replica.look(), self.representative.within(), NEWS);
            if news.is_empty() {
                return true;
            }
            for told in news {
                if !self.say(&Say::Told(told)).await {
                    return false;
                }
            }
        }
    }

    /// False: the client is gone, or takes nothing.
    async fn say(&mut self, say: &Say) -> bool {
        matches!(timeout(WRITE, self.to.write_all(&to_line(say))).await, Ok(Ok(())))
    }
}
