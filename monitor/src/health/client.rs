//! [`Client`]: speaks with one representative at a time, and goes to the next when that one is gone, silent or without a majority. What is
//! asked meanwhile is asked again there, and what is watched goes on without a gap.

use std::{collections::BTreeMap, io, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    time::{Instant, interval, sleep, sleep_until, timeout},
};

use super::{
    lines::{read_line, to_line},
    name::{Label, Who},
    subscriber::{Heard, Subscriber},
    verdict::Position,
    wire::{Answer, Ask, Failure, Request, Say, Told},
};

/// How long a request is tried, at one representative after the other.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Interests last so long, in milliseconds, when nobody renews them.
pub const LEASE_MS: u32 = 30_000;
/// A connection that takes longer is not made.
const CONNECT: Duration = Duration::from_secs(1);
/// A representative that has said nothing for so long, or not that it has a majority, is left.
const SILENCE: Duration = Duration::from_millis(2_500);
/// Between two attempts, when all have been tried.
const PAUSE: Duration = Duration::from_millis(200);
/// Requests, and news that nobody has taken, that wait before more are made, or taken in.
const QUEUE: usize = 256;
/// A write that takes longer means that the representative is gone.
const WRITE: Duration = Duration::from_secs(2);

/// Why a request was not granted.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No representatives.
    #[error("there is no representative to ask: name at least one, such as 10.0.0.1:4810")]
    Nobody,
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// Nobody has answered.
    #[error("no representative has answered in {secs} s, at none of {0}", secs = PATIENCE.as_secs())]
    NoAnswer(String),
    /// The task has ended.
    #[error("the client has stopped")]
    Stopped,
}

enum Wish {
    Ask(Ask, oneshot::Sender<Result<Answer, ClientError>>),
    Watch(Label, Option<Position>),
    Unwatch(Label),
}

/// A handle on a client. Clones share its connection; when the last one and the [`News`] are dropped it is closed.
#[derive(Clone)]
pub struct Client {
    wishes: mpsc::Sender<Wish>,
}

/// What is told of the components that are watched, in order.
pub struct News(mpsc::Receiver<Told>);

impl News {
    /// The next verdict, or how a component is. None: the client has stopped.
    pub async fn next(&mut self) -> Option<Told> {
        self.0.recv().await
    }
}

impl Client {
    /// A client of these representatives (addresses, or names with ports), for `who`. It connects when it has to.
    ///
    /// # Errors
    /// [`ClientError::Nobody`].
    pub fn new(representatives: Vec<String>, who: Who) -> Result<(Self, News), ClientError> {
        if representatives.is_empty() {
            return Err(ClientError::Nobody);
        }
        let (wishes, rx) = mpsc::channel(QUEUE);
        let (news, told) = mpsc::channel(QUEUE);
        let start = usize::from(getrandom::u32().unwrap_or(0) as u16) % representatives.len();
        let task = Task {
            representatives,
            at: start,
            subscriber: Subscriber::new(who, LEASE_MS),
            wishes: rx,
            news,
            open: BTreeMap::new(),
            next: 0,
        };
        tokio::spawn(task.run());
        Ok((Self { wishes }, News(told)))
    }

    /// Asks, of one representative after the other, for [`PATIENCE`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask(&self, ask: Ask) -> Result<Answer, ClientError> {
        let (to, answer) = oneshot::channel();
        self.wishes.send(Wish::Ask(ask, to)).await.map_err(|_| ClientError::Stopped)?;
        answer.await.unwrap_or(Err(ClientError::Stopped))
    }

    /// Watches a component, from a position that is known of earlier, or from how it is now: [`News`] tells of it.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn watch(&self, component: Label, after: Option<Position>) -> Result<(), ClientError> {
        self.wishes.send(Wish::Watch(component, after)).await.map_err(|_| ClientError::Stopped)
    }

    /// Watches it no more.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn unwatch(&self, component: Label) -> Result<(), ClientError> {
        self.wishes.send(Wish::Unwatch(component)).await.map_err(|_| ClientError::Stopped)
    }
}

struct Open {
    ask: Ask,
    to: oneshot::Sender<Result<Answer, ClientError>>,
    until: Instant,
}

struct Task {
    representatives: Vec<String>,
    /// The one that is asked.
    at: usize,
    subscriber: Subscriber,
    wishes: mpsc::Receiver<Wish>,
    news: mpsc::Sender<Told>,
    open: BTreeMap<u64, Open>,
    next: u64,
}

/// Why a connection is left.
enum End {
    /// Nobody wants anything any more.
    Done,
    /// Another representative may do better.
    Next,
}

impl Task {
    async fn run(mut self) {
        let mut failed = 0;
        loop {
            let address = self.representatives[self.at].clone();
            if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(&address)).await {
                let _ = stream.set_nodelay(true);
                let began = Instant::now();
                if matches!(self.talk(stream).await, Ok(End::Done)) {
                    return;
                }
                failed = if began.elapsed() > SILENCE { 0 } else { failed + 1 };
            } else {
                failed += 1;
            }
            self.at = (self.at + 1) % self.representatives.len();
            if failed >= self.representatives.len() {
                failed = 0;
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = self.news.closed() => {}
                }
            }
            self.give_up();
            if self.wishes.is_closed()
                && self.wishes.is_empty()
                && self.open.is_empty()
                && self.news.is_closed()
            {
                return;
            }
            // What is wished for meanwhile counts from now, too.
            while self.open.len() < QUEUE
                && let Ok(wish) = self.wishes.try_recv()
            {
                self.wish(wish);
            }
        }
    }

    /// Notes what is wished for. What is to be asked for it.
    fn wish(&mut self, wish: Wish) -> Option<Request> {
        self.next += 1;
        let id = self.next;
        let ask = match wish {
            Wish::Ask(ask, to) => {
                let until = Instant::now() + PATIENCE;
                self.open.insert(id, Open { ask: ask.clone(), to, until });
                ask
            }
            Wish::Watch(component, after) => {
                self.subscriber.watch(component.clone(), after);
                self.subscriber.ask(&component)?
            }
            Wish::Unwatch(component) => {
                self.subscriber.unwatch(&component);
                Ask::Unwatch { component }
            }
        };
        Some(Request { id, ask })
    }

    /// Tells those who have waited long enough.
    fn give_up(&mut self) {
        let now = Instant::now();
        let all = self.representatives.join(", ");
        for (_, open) in self.open.extract_if(.., |_, open| open.until <= now || open.to.is_closed()) {
            let _ = open.to.send(Err(ClientError::NoAnswer(all.clone())));
        }
    }

    async fn talk(&mut self, stream: TcpStream) -> io::Result<End> {
        let (from, mut to) = stream.into_split();
        let mut said = spawn_reader(from);
        let watches = self.subscriber.asks().map(|ask| Request { id: 0, ask });
        let again = self.open.iter().map(|(id, open)| Request { id: *id, ask: open.ask.clone() });
        for request in watches.chain(again).collect::<Vec<_>>() {
            write(&mut to, &request).await?;
        }
        let mut renew = interval(Duration::from_millis(u64::from(LEASE_MS / 3)));
        renew.tick().await;
        let mut heard = Instant::now();
        let mut stopping = false;
        loop {
            let until = self.open.values().map(|open| open.until).min();
            let until = until.map_or(heard + SILENCE, |until| until.min(heard + SILENCE));
            tokio::select! {
                say = said.recv() => match say {
                    Some(say) => {
                        if matches!(say, Say::Beat { ready: true }) {
                            heard = Instant::now();
                        }
                        if let Some(end) = self.hear(&mut to, say).await? {
                            return Ok(end);
                        }
                    }
                    None => return Ok(End::Next),
                },
                wish = self.wishes.recv(), if !stopping && self.open.len() < QUEUE => match wish {
                    Some(wish) => if let Some(request) = self.wish(wish) {
                        write(&mut to, &request).await?;
                    },
                    None => stopping = true,
                },
                _ = renew.tick() => write(&mut to, &Request { id: 0, ask: Ask::Renew { lease_ms: LEASE_MS } }).await?,
                () = sleep_until(until) => {
                    self.give_up();
                    if heard + SILENCE <= Instant::now() {
                        return Ok(End::Next);
                    }
                }
                () = self.news.closed(), if stopping && self.open.is_empty() => return Ok(End::Done),
            }
        }
    }

    async fn hear(&mut self, to: &mut OwnedWriteHalf, say: Say) -> io::Result<Option<End>> {
        match say {
            Say::Beat { .. } => {}
            // Another one may be able to, or it is asked again: everything can be said twice.
            Say::Answer { outcome: Err(Failure::NotReady | Failure::Unknown | Failure::Busy), .. } => {
                return Ok(Some(End::Next));
            }
            Say::Answer { id, outcome } => {
                if let Some(open) = self.open.remove(&id) {
                    let _ = open.to.send(outcome.map_err(ClientError::Refused));
                }
            }
            Say::Told(told) => match self.subscriber.hear(&told) {
                Heard::News => {
                    // Who does not take news any more still asks.
                    let _ = self.news.send(told).await;
                }
                Heard::Old => {}
                Heard::Gap => return Ok(Some(End::Next)),
                Heard::Lapsed => {
                    for ask in self.subscriber.asks().collect::<Vec<_>>() {
                        write(to, &Request { id: 0, ask }).await?;
                    }
                }
            },
        }
        Ok(None)
    }
}

async fn write(to: &mut OwnedWriteHalf, request: &Request) -> io::Result<()> {
    timeout(WRITE, to.write_all(&to_line(request))).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Reads what a representative says until it says nonsense, or nobody listens.
fn spawn_reader(from: OwnedReadHalf) -> mpsc::Receiver<Say> {
    let (to, said) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(true) = tokio::select! {
            read = read_line(&mut from, &mut line) => read,
            () = to.closed() => return,
        } {
            let Ok(say) = serde_json::from_slice(&line) else { return };
            if to.send(say).await.is_err() {
                return;
            }
        }
    });
    said
}
