//! A replica in the simulation: what the driver of the product does, on virtual time. What the group says waits a moment before it is looked
//! at, as in another task; what is cast waits while the group has no room.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use gcs::{
    blocks::{AgreedTime, Snapshot},
    endpoint::Event,
    id::MemberId,
    message::Messages,
    sim::{App, AppContext, Birth, MessageId},
    time::Time,
    view::{ViewChange, ViewId},
};
use gcs_tcp_endpoint::{
    link::{self, Link, MacChoice, Vip},
    net::Layer2,
    replica::{About, Change, Endpoint, Replica, Role},
    tcp::Config,
};

use crate::{
    Shared, VIP,
    ether::Ether,
    mac,
    service::{Both, DOWNLOAD, ECHO},
};

/// Messages that wait for the group's credit (`gcs::group::Group::try_cast`), in bytes.
const INBOX: usize = 1 << 20;
/// Frames that an interface gives at a time.
const FRAMES: usize = 64;
/// Clocks run up to 500 ppm too fast or too slow, for some seconds; nanoseconds.
const ASTRAY: i128 = 40_000_000;
/// An executor does not come back sooner.
const SOON: Duration = Duration::from_micros(10);

/// What a replica does wrong, to see that it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It emits without a lease.
    NeedsNoLease,
    /// It has joined without the state of the service.
    Forgets,
}

pub(crate) struct Member {
    process: usize,
    replica: Replica<Both, Layer2>,
    shared: Shared,
    /// What the group has said, when it is looked at, and whether it is a batch of this replica's.
    events: VecDeque<(Time, Event, bool)>,
    /// At most so much later than it is said.
    lag: Duration,
    /// Batches, and the true time at which they were made.
    inbox: VecDeque<(Bytes, u64)>,
    inbox_bytes: usize,
    /// When those were made that are on their way.
    made: VecDeque<u64>,
    /// How far the time of its batches was behind true time since it leads, at least.
    behind: Option<i128>,
    /// Its view, and how many are in it.
    view: Option<(ViewId, usize)>,
    timer: Time,
    /// When it was last called.
    now: Time,
    failed: bool,
    wrong: Option<Wrong>,
}

impl Member {
    pub(crate) fn new(
        birth: &Birth,
        choice: MacChoice,
        config: &Config,
        lag: Duration,
        shared: &Shared,
    ) -> Self {
        let vip = Vip { ip: VIP.into(), prefix: 24 };
        let link = link::Config::ethernet(mac(birth.process), choice, vec![vip]);
        let listen = [ECHO, DOWNLOAD].map(|port| SocketAddr::from((VIP, port))).to_vec();
        let endpoint = Endpoint::new(config.clone(), listen, Both::default());
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&birth.seed.to_le_bytes());
        let link = Link::new(link).expect("it works");
        shared.borrow_mut().ether.forget(birth.process);
        Self {
            process: birth.process,
            replica: Replica::new(endpoint, link, Layer2, About::default(), secret),
            shared: shared.clone(),
            events: VecDeque::new(),
            lag,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            made: VecDeque::new(),
            behind: None,
            view: None,
            timer: Time::ZERO,
            now: Time::ZERO,
            failed: false,
            wrong: None,
        }
    }

    /// One that does something wrong.
    pub(crate) fn wrong(self, wrong: Option<Wrong>) -> Self {
        Self { wrong, ..self }
    }

    /// The replica.
    pub(crate) fn replica(&self) -> &Replica<Both, Layer2> {
        &self.replica
    }

    /// The group says something.
    fn say(&mut self, event: Event, own: bool, cx: &mut AppContext<'_>) {
        self.now = cx.now;
        let at = cx.now + Duration::from_nanos(cx.rng.below(self.lag.as_nanos() as u64 + 1));
        self.events.push_back((at, event, own));
        self.wake_later(cx);
    }

    fn wake_later(&self, cx: &mut AppContext<'_>) {
        let frames = if self.shared.borrow().ether.waits(self.process) { cx.now } else { Time::NEVER };
        let events = self.events.front().map_or(Time::NEVER, |(at, ..)| *at);
        let after = self.timer.min(frames).min(events).since(cx.now);
        cx.wake_after(if self.failed { Duration::from_secs(1) } else { after.max(SOON) });
    }

    /// Looks at everything that the group has said.
    fn take_events(&mut self, now: Time) {
        for (_, event, own) in std::mem::take(&mut self.events) {
            if let Event::View(change) = &event {
                self.view = Some((change.view.id, change.view.len()));
                if change.awaits_state {
                    // What it has cast before is lost.
                    self.made.clear();
                }
            }
            let done = self.replica.on_event(now, event);
            let mut shared = self.shared.borrow_mut();
            if let Err(e) = done {
                self.failed = true;
                shared.book.violates(format!("p{} cannot go on: {e}", self.process));
            }
            shared.book.applied(self.process, self.replica.endpoint().mark());
            drop(shared);
            let made = if own { self.made.pop_front() } else { None };
            while let Some(change) = self.replica.change() {
                self.changed(change);
            }
            if let Some(made) = made.filter(|_| self.replica.role() == Role::Leader) {
                self.time_goes_on(made);
            }
        }
    }

    /// The time of the batches of one leader does not go slower than true time. It may leap: where nothing has happened for long, a joiner's
    /// clock begins where the last batch was.
    fn time_goes_on(&mut self, made: u64) {
        let behind = i128::from(made) - i128::from(self.replica.endpoint().last().0);
        let least = behind.min(self.behind.unwrap_or(behind));
        self.behind = Some(least);
        if behind - least > ASTRAY {
            let what = format!("clock: the time of p{} has lost {} ns", self.process, behind - least);
            self.shared.borrow_mut().book.violates(what);
        }
    }

    fn changed(&mut self, change: Change) {
        let mut shared = self.shared.borrow_mut();
        let now = shared.now;
        self.behind = None;
        match change {
            Change::Leads => {
                let host = self.replica.endpoint().host().expect("it has begun");
                let open = host.ids().into_iter().filter_map(|id| host.look(id));
                let clients: BTreeSet<_> = open.map(|(_, _, client)| client).collect();
                shared.book.leads(now, self.process, mac(self.process), clients);
            }
            Change::Follows if shared.book.leader == Some(self.process) => {
                shared.book.leader = None;
                shared.book.excused();
            }
            Change::Joined => shared.book.seen.joins += 1,
            _ => {}
        }
    }

    fn cast(&mut self, cx: &mut AppContext<'_>) {
        if let Some(batch) = self.replica.batch(cx.now, AgreedTime(cx.now.0 / 1_000_000)) {
            let bytes = batch.to_bytes();
            if self.inbox_bytes + bytes.len() <= INBOX {
                self.inbox_bytes += bytes.len();
                self.inbox.push_back((bytes, self.shared.borrow().now));
                self.replica.cast(cx.now);
            } else {
                self.replica.not_cast();
            }
        }
        while cx.writable
            && let Some((batch, made)) = self.inbox.pop_front()
        {
            self.inbox_bytes -= batch.len();
            cx.cast(&batch);
            self.made.push_back(made);
        }
    }

    fn emit(&mut self, cx: &AppContext<'_>) {
        let mut muted = false;
        let lease = || {
            muted = cx.now >= cx.lease_until && self.wrong != Some(Wrong::NeedsNoLease);
            !muted
        };
        let mark = self.replica.endpoint().mark();
        let frames = std::mem::take(self.replica.emit(cx.now, lease));
        let mut shared = self.shared.borrow_mut();
        let shared = &mut *shared;
        if muted {
            shared.book.excused();
            shared.book.seen.muted += 1;
        }
        if frames.is_empty() {
            return;
        }
        shared.book.emits(shared.now, self.process, self.view, mark);
        for frame in frames {
            shared.book.spoken_to(&frame);
            for frame in Ether::wire(frame) {
                shared.book.frame(shared.now, &frame);
                shared.ether.send(shared.now, self.process, &frame);
            }
        }
    }
}

impl App for Member {
    fn started(&mut self, cx: &mut AppContext<'_>) {
        self.wake_later(cx);
    }

    fn view(&mut self, change: &ViewChange, cx: &mut AppContext<'_>) {
        self.say(Event::View(change.clone()), false, cx);
    }

    fn message(&mut self, from: MemberId, _: MessageId, payload: &[u8], cx: &mut AppContext<'_>) {
        let batch = Messages::single(0, 0, Bytes::copy_from_slice(payload));
        self.say(Event::Messages(batch), from == cx.me, cx);
    }

    fn blocked(&mut self, blocked: bool, cx: &mut AppContext<'_>) {
        self.say(if blocked { Event::Blocked } else { Event::Resumed }, false, cx);
    }

    fn wake(&mut self, cx: &mut AppContext<'_>) {
        if self.failed {
            return;
        }
        self.now = cx.now;
        let said = self.events.front().is_some_and(|(at, ..)| *at <= cx.now);
        let frames = self.shared.borrow().ether.waits(self.process);
        if said && (!frames || cx.rng.chance(500)) {
            self.take_events(cx.now);
        } else if frames {
            let received = self.shared.borrow_mut().ether.receive(self.process, FRAMES);
            self.replica.on_frames(cx.now, received);
        }
        self.cast(cx);
        self.emit(cx);
        let wait = self.replica.wait(cx.now);
        let full = if self.inbox.is_empty() { wait } else { wait.min(Duration::from_millis(1)) };
        self.timer = cx.now + full;
        self.wake_later(cx);
    }

    fn snapshot(&mut self) -> Arc<dyn Snapshot> {
        // What was said before is in it.
        self.take_events(self.now);
        Arc::new(self.replica.freeze())
    }

    fn restore(&mut self, index: u64, last: bool, chunk: &[u8], cx: &mut AppContext<'_>) {
        let view = cx.view.unwrap_or_default();
        let forgets = self.wrong == Some(Wrong::Forgets) && index == 1 && chunk.len() > 2;
        // No download has begun.
        let data = if forgets { vec![chunk[0], 0].into() } else { Bytes::copy_from_slice(chunk) };
        self.say(Event::StateChunk { view, index, last, data }, false, cx);
    }
}
