//! The thread of an endpoint: waits for datagrams, commands, deadlines and deaths, feeds them to the endpoint, and
//! carries out its effects.

use super::shared::{Command, GroupStats, Shared};
use crate::{
    endpoint::{Datagram, Effects, Endpoint, Event, ForceError, Input, Stats},
    id::MemberId,
    net::{Transport, liveness::Liveness},
    report::Report,
    runtime::clock,
    time::Time,
};
use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, Sleep, sleep_until},
};

/// How many due deadlines are served before the driver looks at the network again.
const TICKS: usize = 16;
/// A polling driver on a thread of its own lets its helper tasks run after this many empty polls.
const SPINS: u32 = 64;

/// What is driven: an [`Endpoint`], or a stand-in for it in tests.
pub(crate) trait Engine: Send + 'static {
    fn handle(&mut self, now: Time, input: Input, effects: &mut Effects);
    fn deadline(&self) -> Time;
    fn me(&self) -> MemberId;
    fn stats(&self) -> Stats;
    fn held_bytes(&self) -> usize;
    fn report(&self, now: Time) -> Report;
    /// The latest views that were installed, the oldest first; at most `count`.
    #[cfg(feature = "metrics")]
    fn latest(&self, count: usize) -> Vec<crate::endpoint::Passage>;
}

impl Engine for Endpoint {
    fn handle(&mut self, now: Time, input: Input, effects: &mut Effects) {
        Self::handle(self, now, input, effects);
    }
    fn deadline(&self) -> Time {
        Self::deadline(self)
    }
    fn me(&self) -> MemberId {
        Self::me(self)
    }
    fn stats(&self) -> Stats {
        Self::stats(self)
    }
    fn held_bytes(&self) -> usize {
        Self::held_bytes(self)
    }
    fn report(&self, now: Time) -> Report {
        Self::report(self, now)
    }
    #[cfg(feature = "metrics")]
    fn latest(&self, count: usize) -> Vec<crate::endpoint::Passage> {
        let mut latest: Vec<_> = self.passages().take(count).cloned().collect();
        latest.reverse();
        latest
    }
}

/// An endpoint with its surroundings.
pub(crate) struct Driver<E> {
    pub(crate) engine: E,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) liveness: Option<Liveness>,
    pub(crate) gone: mpsc::UnboundedReceiver<MemberId>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) polling: Polling,
    pub(crate) state: State,
    #[cfg(feature = "metrics")]
    pub(crate) metering: super::metering::Metering,
}

/// How the driver waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polling {
    /// It sleeps until something happens.
    Sleep,
    /// It polls without an end, on a thread of its own.
    Spin,
    /// It polls in turn with the other tasks of its thread.
    Share,
}

/// What the driver remembers between inputs.
#[derive(Default)]
pub(crate) struct State {
    effects: Effects,
    app: Vec<Event>,
    me: Option<MemberId>,
    has_view: bool,
    unwritable: bool,
    left: bool,
    /// Who waits for the outcome of a forced primary.
    forced: Vec<oneshot::Sender<Result<(), ForceError>>>,
}

/// Closes the shared state when the driver ends, whatever the reason.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<E: Engine> Driver<E> {
    /// Runs until the process has left or nobody holds a handle any more.
    pub(crate) async fn run(mut self) {
        let _close = CloseOnDrop(Arc::clone(&self.shared));
        let mut datagrams: Vec<Datagram> = Vec::new();
        let mut sleep = Box::pin(sleep_until(self.instant(Time::NEVER)));
        let mut sleeps_until = Time::NEVER;
        self.input(Input::Start { wall_ns: clock::wall_ns() });
        loop {
            self.serve_application();
            self.serve_deadlines();
            self.flush();
            if self.state.left || self.shared.abandoned.load(Ordering::Acquire) {
                return;
            }
            if sleeps_until != self.engine.deadline() {
                sleeps_until = self.engine.deadline();
                sleep.as_mut().reset(self.instant(sleeps_until));
            }
            match self.polling {
                Polling::Sleep => self.wait(&mut datagrams, sleep.as_mut()).await,
                Polling::Spin => self.spin(&mut datagrams, sleeps_until, SPINS).await,
                Polling::Share => self.spin(&mut datagrams, sleeps_until, 1).await,
            }
            if !datagrams.is_empty() {
                self.input(Input::Datagrams(mem::take(&mut datagrams)));
            }
        }
    }

    fn instant(&self, at: Time) -> Instant {
        Instant::from_std(self.shared.clock.instant(at))
    }

    /// Sleeps until something happens.
    async fn wait(&mut self, datagrams: &mut Vec<Datagram>, sleep: Pin<&mut Sleep>) {
        let transport = &mut self.transport;
        let gone = tokio::select! {
            biased;
            () = poll_fn(|cx| transport.poll_recv(cx, datagrams)) => None,
            () = self.shared.wake.notified() => None,
            () = sleep => None,
            // Without liveness connections nobody ever says so.
            Some(member) = self.gone.recv() => Some(member),
        };
        if let Some(member) = gone {
            self.input(Input::Gone(member));
        }
    }

    /// Polls until something happens.
    async fn spin(&mut self, datagrams: &mut Vec<Datagram>, until: Time, at_a_time: u32) {
        let mut spins = 0;
        loop {
            self.transport.try_recv(datagrams);
            if !datagrams.is_empty() || self.shared.news.load(Ordering::Acquire) {
                return;
            }
            if let Ok(member) = self.gone.try_recv() {
                return self.input(Input::Gone(member));
            }
            if until <= self.shared.clock.now() {
                return;
            }
            spins += 1;
            if spins % at_a_time == 0 {
                tokio::task::yield_now().await;
            }
            std::hint::spin_loop();
        }
    }

    fn serve_application(&mut self) {
        self.shared.news.store(false, Ordering::Release);
        let taken = self.shared.take(self.state.has_view && !self.state.unwritable);
        if let Some(casts) = taken.casts {
            self.input(Input::Cast(casts));
        }
        for command in taken.commands {
            match command {
                Command::Leave => self.input(Input::Leave),
                Command::Renew => self.input(Input::Renew),
                Command::State { view, snapshot } => self.input(Input::State { view, snapshot }),
                Command::Contacts(all) => self.input(Input::Contacts(all)),
                Command::Report(to) => drop(to.send(self.report())),
                Command::ForcePrimary(to) => {
                    self.state.forced.push(to);
                    self.input(Input::ForcePrimary { wall_ns: clock::wall_ns() });
                }
            }
        }
        if let Some(congested) = self.shared.congestion_changed() {
            self.input(Input::Congested(congested));
        }
    }

    fn report(&self) -> Report {
        let mut report = self.engine.report(self.shared.clock.now());
        let (t, s) = (self.transport.stats(), self.shared.stats());
        report.section("transport");
        report.say("address", self.transport.local_addr());
        report.say("largest datagram", self.transport.mtu());
        report.say("datagrams sent, received", format_args!("{}, {}", t.sent, t.received));
        report.say("calls to send, to receive", format_args!("{}, {}", t.send_calls, t.recv_calls));
        report.say("datagrams not taken by the system", t.send_dropped);
        report.say("datagrams multicast", t.multicast);
        report.say("connections refused", t.refused);
        report.say("addresses sent to over TCP", t.over_tcp);
        report.section("application");
        report.say("bytes of messages that wait for the endpoint", s.pending_bytes);
        report.say("bytes of events that wait for the application", s.queued_bytes);
        report
    }

    fn serve_deadlines(&mut self) {
        for _ in 0..TICKS {
            if self.engine.deadline() > self.shared.clock.now() {
                return;
            }
            self.input(Input::Tick);
        }
    }

    /// Feeds one input, and sorts its effects: what the driver does at once, and what waits for [`Self::flush`].
    fn input(&mut self, input: Input) {
        if self.state.left {
            return;
        }
        let mut effects = mem::take(&mut self.state.effects);
        self.engine.handle(self.shared.clock.now(), input, &mut effects);
        let me = self.engine.me();
        if self.state.me.replace(me) != Some(me)
            && let Some(l) = &self.liveness
        {
            l.me().set_incarnation(me.incarnation);
        }
        for event in effects.events.drain(..) {
            self.sort(event, me);
        }
        self.state.effects = effects;
    }

    fn sort(&mut self, event: Event, me: MemberId) {
        let status = &self.shared.status;
        match &event {
            Event::Lease(until) => return self.shared.set_lease(*until),
            Event::Writable(writable) => {
                self.state.unwritable = !writable;
                if *writable {
                    // What waits in the buffer can go now: look again before sleeping.
                    self.shared.wake.notify_one();
                    self.shared.news.store(true, Ordering::Release);
                }
                return;
            }
            Event::Watch(member, on) => {
                if let Some(l) = &mut self.liveness {
                    l.watch(*member, *on);
                }
                return;
            }
            Event::View(change) => {
                if !mem::replace(&mut self.state.has_view, true) {
                    self.shared.wake.notify_one();
                    self.shared.news.store(true, Ordering::Release);
                }
                let view = Some(Arc::new(change.clone()));
                status.send_modify(|s| {
                    s.view = view;
                    s.me = Some(me);
                    s.blocked = false;
                });
            }
            Event::Blocked => {
                status.send_modify(|s| s.blocked = true);
            }
            Event::Resumed => {
                status.send_modify(|s| s.blocked = false);
            }
            Event::Left(reason) => {
                self.state.left = true;
                self.shared.close_inbox();
                status.send_modify(|s| s.left = Some(reason.clone()));
            }
            Event::Forced(outcome) => {
                for to in self.state.forced.drain(..) {
                    let _ = to.send(*outcome);
                }
            }
            Event::Transitional(_)
            | Event::Messages(_)
            | Event::StateRequested { .. }
            | Event::StateChunk { .. } => {}
        }
        self.state.app.push(event);
    }

    /// Hands on what was counted, if it is time.
    #[cfg(feature = "metrics")]
    fn meter(&mut self) {
        let now = self.shared.clock.now();
        if self.metering.is_due(now, self.engine.stats().views) {
            let blocked = self.shared.status.borrow().blocked;
            self.metering.note(now, self.shared.stats(), blocked, &self.engine);
        }
    }

    /// Carries out the collected effects.
    fn flush(&mut self) {
        if !self.state.effects.transmits.is_empty() {
            self.transport.send(&mut self.state.effects.transmits);
        }
        self.shared.deliver(&mut self.state.app);
        self.shared.set_stats(GroupStats {
            endpoint: self.engine.stats(),
            transport: self.transport.stats(),
            held_bytes: self.engine.held_bytes(),
            ..GroupStats::default()
        });
        #[cfg(feature = "metrics")]
        self.meter();
    }
}
