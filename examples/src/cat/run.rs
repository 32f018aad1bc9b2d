//! The program: from the command line to the exit code.

use super::{
    args::Args,
    input::{self, Batch, InputError},
    metrics::Metrics,
    output::Printer,
};
use gcs::{
    endpoint::{Event, LeaveReason},
    group::{Events, Group, StartError},
    id::{MemberId, Rank},
};
use gcs_stacks::{CatalogueError, Flow};
use std::{
    future::pending,
    io::{self, BufWriter, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

/// How long a process that was told to end may take to leave.
const GRACE: Duration = Duration::from_secs(5);
/// The output's buffer, in bytes.
const OUTPUT: usize = 64 << 10;

/// What keeps the program from ending well.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Stack(#[from] CatalogueError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Keys(String),
    #[error("metrics cannot be served at {addr}: {source}; choose another address with --metrics")]
    Metrics { addr: SocketAddr, source: io::Error },
    #[error(transparent)]
    Out(#[from] LeaveReason),
    #[error("the group's thread has stopped: this is a bug")]
    Stopped,
    #[error("cannot set up the process: {0}")]
    System(#[source] io::Error),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("cannot write to the standard output: {0}")]
    Output(#[source] io::Error),
    #[error("{0} of the lines were not seen to be delivered before it left")]
    Undelivered(u64),
}

impl Failure {
    /// 1: in the group until the end, but not all went well. 2: not, or no longer, in the group.
    fn code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Output(_) | Self::Undelivered(_) => 1,
            _ => 2,
        }
    }
}

/// Runs the program on this process's arguments and standard streams.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os()) {
        Ok(args) => args,
        Err(Ok(asked)) => {
            let _ = io::stdout().write_all(asked.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(Err(sentence)) => return complain(&sentence, 2),
    };
    // One worker beside this thread: it sends and minds signals while this one may be stuck in writing.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let outcome = runtime.map_err(Failure::System).and_then(|runtime| {
        let outcome = runtime.block_on(run(args));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complain(&failure.to_string(), failure.code()),
    }
}

fn complain(sentence: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "gcs-cat: {sentence}");
    ExitCode::from(code)
}

async fn run(args: Args) -> Result<(), Failure> {
    if let Some(addr) = args.metrics {
        Metrics::install(addr).await.map_err(|source| Failure::Metrics { addr, source })?;
    }
    let timeout_ms = args.join_timeout_ms();
    let flow = Arc::new(Flow { slow: args.slow_receiver });
    let stack =
        gcs_stacks::named(&args.keys.stack(&args.stack))?.with(flow).map_err(CatalogueError::Stack)?;
    let mut builder = Group::builder(&args.group)
        .bind(args.bind)
        .carrier(args.transport)
        .multicast(args.multicast)
        .mtu(args.mtu)
        .control(args.control)
        .keys(args.keys.read().map_err(Failure::Keys)?)
        .protocol_max(args.protocol_max)
        .stack(stack)
        .weight(args.weight)
        .witness(args.witness)
        .learner(args.learner)
        .partitionable(args.partitionable)
        .tune(move |c| c.join_timeout_ms = timeout_ms);
    builder = args.contacts.tell(builder);
    if let Some(name) = &args.name {
        builder = builder.member_name(name);
    }
    if args.found {
        builder = builder.found();
    } else if let Some(n) = args.expect {
        builder = builder.expect(n);
    }
    let interrupt = signal(SignalKind::interrupt()).map_err(Failure::System)?;
    let terminate = signal(SignalKind::terminate()).map_err(Failure::System)?;
    let (group, events) = builder.start().await?;
    let batches = input::spawn(io::stdin()).map_err(Failure::System)?;
    let cast = Arc::new(AtomicU64::new(0));
    let sender = tokio::spawn(send(group.clone(), batches, Arc::clone(&cast), args.witness));
    tokio::spawn(mind_signals(group.clone(), sender.abort_handle(), interrupt, terminate));
    let printer = Printer::new(BufWriter::with_capacity(OUTPUT, io::stdout()), args.json, args.partitionable);
    Session { group, cast, delivered: 0, rank: None, me: None, reborn: false, left: None }
        .run(events, printer, sender)
        .await
}

/// Casts the input. Ends with it, or when the process is out of the group: then the events say why.
async fn send(
    group: Group,
    mut batches: mpsc::Receiver<Result<Batch, InputError>>,
    cast: Arc<AtomicU64>,
    witness: bool,
) -> Result<(), InputError> {
    // What is cast before the first view would be lost if the input ended before it, too.
    let mut status = group.status();
    let _ = status.wait_for(|s| s.view.is_some() || s.stopped).await;
    while let Some(batch) = batches.recv().await.transpose()? {
        let lines = batch.lines();
        if witness {
            return Err(InputError::Witness);
        }
        if group.cast_batch(&lines).await.is_err() {
            break;
        }
        cast.fetch_add(lines.len() as u64, Ordering::Release);
    }
    Ok(())
}

/// The first signal: send nothing more, and leave. The second, or none for too long: stop.
async fn mind_signals(group: Group, sender: AbortHandle, mut interrupt: Signal, mut terminate: Signal) {
    let mut either = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    either().await;
    sender.abort();
    // With the sending at its end, the session leaves as soon as all has come back. What cannot come back now is not
    // waited for.
    let mut status = group.status();
    let leave = async {
        let _ = status.wait_for(|s| s.blocked).await;
        let _ = group.leave().await;
        // The last event says how it went.
        pending::<()>().await;
    };
    tokio::select! {
        () = leave => {}
        () = either() => {}
        () = sleep(GRACE) => {}
    }
    complain("stopped before it had left, or before its output was read", 1);
    std::process::exit(1);
}

/// One process's time in the group.
struct Session {
    group: Group,
    /// Lines cast, and those of them that came back.
    cast: Arc<AtomicU64>,
    delivered: u64,
    rank: Option<Rank>,
    me: Option<MemberId>,
    /// It has been excluded and came back: some lines may never come back.
    reborn: bool,
    left: Option<LeaveReason>,
}

impl Session {
    async fn run(
        mut self,
        mut events: Events,
        mut printer: Printer<impl io::Write>,
        mut sender: JoinHandle<Result<(), InputError>>,
    ) -> Result<(), Failure> {
        let mut batch = Vec::new();
        let (mut sent, mut leaving) = (None, false);
        loop {
            tokio::select! {
                biased;
                // A task that was aborted has ended, too.
                end = &mut sender, if sent.is_none() => sent = Some(end.unwrap_or(Ok(()))),
                more = events.next_batch(&mut batch) => if !more { break },
            }
            if let Err(e) = self.print(&mut batch, &mut printer) {
                drop(events);
                let _ = timeout(GRACE, self.group.leave()).await;
                return Err(Failure::Output(e));
            }
            if sent.is_some() && !leaving && (self.outstanding() == 0 || self.reborn) {
                leaving = true;
                let group = self.group.clone();
                tokio::spawn(async move { group.leave().await });
            }
        }
        match (self.outstanding(), self.left, sent) {
            (_, None, _) => Err(Failure::Stopped),
            (_, Some(reason), _) if reason != LeaveReason::Asked => Err(reason.into()),
            (_, _, Some(Err(e))) => Err(e.into()),
            (0, ..) => Ok(()),
            (n, ..) => Err(Failure::Undelivered(n)),
        }
    }

    fn outstanding(&self) -> u64 {
        self.cast.load(Ordering::Acquire).saturating_sub(self.delivered)
    }

    /// Prints and empties the batch. What is printed stays in the buffer only while there is more to come at once.
    fn print(&mut self, batch: &mut Vec<Event>, printer: &mut Printer<impl io::Write>) -> io::Result<()> {
        for event in batch.drain(..) {
            match &event {
                Event::View(change) => {
                    let me = change.view.member(change.rank).map(|m| m.id);
                    self.reborn |= self.me.is_some() && self.me != me;
                    self.me = me;
                    self.rank = Some(change.rank);
                }
                Event::Messages(m) if Some(m.from) == self.rank => self.delivered += u64::from(m.count),
                Event::Left(reason) => self.left = Some(reason.clone()),
                _ => {}
            }
            printer.print(&event)?;
        }
        if self.group.stats().queued_bytes == 0 {
            printer.flush()?;
        }
        Ok(())
    }
}
