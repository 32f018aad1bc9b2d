//! The oracle of light groups: what their readers see, at all processes, and whether it was right.
//!
//! 1. Views with one id and number have the same members at all who install them; who installs one is in it; its
//!    members are in the view of the processes' group; numbers of one membership follow each other without gaps.
//!    Where the stack is not uniform, this and what follows holds for those who go on in the processes' group.
//! 2. Who goes from one light view to the next, or leaves in good order, delivered the same in it, in the same order; who was
//!    killed or excluded delivered a beginning of that (if the stack is uniform).
//! 3. What is delivered was cast into that light group, by a member of the view, and is delivered once; nothing is
//!    delivered before the first view or after the last event.
//! 4. Two processes that deliver two messages, in any light groups, deliver them in the same order.
//! 5. In the end, if the group goes on: every light group's view has exactly those processes in it that hold it; who cast
//!    and stayed has delivered it.

use bytes::Bytes;
use gcs::{
    blocks::light::{Ending, LightEvent, LightView, SeatId},
    id::MemberId,
    sim::{Observation, Oracle, Violation, oracles::Summary},
    view::ViewChange,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

pub(crate) const NAME: &str = "light";

/// Epoch of the processes' group, id of the light group, number of its view.
type Key = (u64, u64, u64);
type Delivered = Vec<(MemberId, Bytes)>;

/// Says what the book says.
pub(crate) struct Judge(pub(crate) Rc<RefCell<Book>>);

/// How much there was to see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) views: u64,
    pub(crate) messages: u64,
    pub(crate) away: u64,
    /// Views of which several went on.
    pub(crate) compared: u64,
}

/// A process in its present life.
#[derive(Default)]
struct Here {
    me: Option<MemberId>,
    epoch: u64,
    processes: Vec<MemberId>,
    streams: BTreeMap<SeatId, Stream>,
    /// Since the last view of the processes' group.
    records: Vec<Record>,
}

/// What the reader of one membership sees.
struct Stream {
    name: &'static str,
    view: Option<LightView>,
    messages: Delivered,
    seen: BTreeSet<Bytes>,
    /// How often it has joined.
    joined: u32,
    leaving: bool,
    ended: bool,
}

struct Cast {
    name: &'static str,
    by: MemberId,
    process: usize,
    seat: SeatId,
    joined: u32,
}

/// Everything that readers have seen.
pub(crate) struct Book {
    uniform: bool,
    complaint: Option<String>,
    here: BTreeMap<usize, Here>,
    views: BTreeMap<Key, (&'static str, Vec<MemberId>)>,
    names: BTreeMap<(u64, u64), &'static str>,
    /// What those delivered who went on.
    whole: BTreeMap<Key, Delivered>,
    /// What those delivered who did not.
    partial: Vec<(Key, MemberId, Delivered)>,
    casts: BTreeMap<Bytes, Cast>,
    order: BTreeMap<MemberId, Vec<Bytes>>,
    /// True time, in nanoseconds.
    pub(crate) now: u64,
    pub(crate) seen: Seen,
}

/// What counts for those only who go on, where the stack is not uniform.
enum Record {
    View(Key, &'static str, Vec<MemberId>),
    /// What was delivered in a view from which the process went on.
    Whole(Key, Delivered),
    Message(Bytes),
}

impl Book {
    pub(crate) fn new(uniform: bool) -> Self {
        Self {
            uniform,
            complaint: None,
            here: BTreeMap::new(),
            views: BTreeMap::new(),
            names: BTreeMap::new(),
            whole: BTreeMap::new(),
            partial: Vec::new(),
            casts: BTreeMap::new(),
            order: BTreeMap::new(),
            now: 0,
            seen: Seen::default(),
        }
    }

    /// The first complaint counts.
    pub(crate) fn complain(&mut self, what: String) {
        self.complaint.get_or_insert(what);
    }

    fn hold(&mut self, condition: bool, what: impl FnOnce() -> String) {
        if !condition {
            self.complain(what());
        }
    }

    /// A life of a process begins; the one before has ended abruptly.
    pub(crate) fn born(&mut self, process: usize) {
        if let Some(mut before) = self.here.insert(process, Here::default()) {
            self.interrupted(&before);
            if self.uniform {
                self.settle(&mut before);
            }
        }
    }

    fn interrupted(&mut self, here: &Here) {
        let Some(me) = here.me else { return };
        for s in here.streams.values() {
            if let Some(v) = &s.view {
                self.partial.push(((here.epoch, v.group, v.number), me, s.messages.clone()));
            }
        }
    }

    /// A view of the processes' group.
    pub(crate) fn view(&mut self, process: usize, change: &ViewChange) {
        let mut here = self.here.remove(&process).unwrap_or_default();
        let me = change.view.member(change.rank).map(|m| m.id);
        if here.me.is_some() && here.me != me {
            self.interrupted(&here);
            if self.uniform {
                self.settle(&mut here);
            }
            here.records.clear();
            here.streams.values_mut().for_each(|s| s.messages.clear());
        } else {
            self.settle(&mut here);
        }
        here.me = me;
        here.epoch = change.view.id.epoch;
        here.processes = change.view.members.iter().map(|m| m.id).collect();
        self.here.insert(process, here);
    }

    /// What the process has seen in the last view holds for all.
    fn settle(&mut self, here: &mut Here) {
        let Some(me) = here.me else { return };
        for record in std::mem::take(&mut here.records) {
            match record {
                Record::View(key, name, members) => {
                    let new = (name, members);
                    let known = self.views.entry(key).or_insert_with(|| new.clone()).clone();
                    self.hold(known == new, || format!("{me}: {new:?} is view {key:?}, others {known:?}"));
                    let named = *self.names.entry((key.0, key.1)).or_insert(name);
                    self.hold(named == name, || format!("{me}: group {} is {name}, others {named}", key.1));
                }
                Record::Whole(key, messages) => match self.whole.get(&key) {
                    Some(known) => {
                        self.seen.compared += 1;
                        let (same, known) = (*known == messages, known.clone());
                        self.hold(same, || {
                            format!("{me} delivered {messages:?} in view {key:?}, others {known:?}")
                        });
                    }
                    None => drop(self.whole.insert(key, messages)),
                },
                Record::Message(bytes) => self.order.entry(me).or_default().push(bytes),
            }
        }
    }

    pub(crate) fn joins(&mut self, process: usize, seat: SeatId, name: &'static str) {
        let stream = Stream {
            name,
            view: None,
            messages: Vec::new(),
            seen: BTreeSet::new(),
            joined: 0,
            leaving: false,
            ended: false,
        };
        self.here.entry(process).or_default().streams.insert(seat, stream);
    }

    pub(crate) fn leaves(&mut self, process: usize, seat: SeatId) {
        if let Some(s) = self.here.get_mut(&process).and_then(|h| h.streams.get_mut(&seat)) {
            s.leaving = true;
        }
    }

    pub(crate) fn casts(&mut self, process: usize, seat: SeatId, text: Bytes) {
        let Some(here) = self.here.get(&process) else { return };
        let (Some(by), Some(s)) = (here.me, here.streams.get(&seat)) else { return };
        self.casts.insert(text, Cast { name: s.name, by, process, seat, joined: s.joined });
    }

    /// What a reader sees; `in_order`: because of a message.
    pub(crate) fn event(&mut self, process: usize, seat: SeatId, event: LightEvent, in_order: bool) {
        let Some(mut here) = self.here.remove(&process) else { return };
        let (me, epoch) = (here.me, here.epoch);
        match (here.streams.remove(&seat), me) {
            // Given up before there was a view.
            (Some(mut s), None) => {
                let given_up = event == LightEvent::Left(Ending::Asked) && s.leaving && !s.ended;
                self.hold(given_up, || {
                    format!("p{process} is told of {event:?} in {} and in no view", s.name)
                });
                s.ended = true;
                here.streams.insert(seat, s);
            }
            (Some(mut s), Some(me)) => {
                self.hold(!s.ended, || format!("{me} is told of {event:?} after the end in {}", s.name));
                match event {
                    LightEvent::View(v) => self.on_view(&mut here, me, epoch, &mut s, v),
                    LightEvent::Message { from, bytes } => {
                        here.records.push(Record::Message(bytes.clone()));
                        self.on_message(me, &mut s, from, bytes);
                    }
                    LightEvent::Away => {
                        self.seen.away += 1;
                        self.hold(s.view.is_some(), || format!("{me} was not in {}", s.name));
                        s.view = None;
                    }
                    LightEvent::Left(why) => {
                        self.hold(why == Ending::Asked && s.leaving, || {
                            format!("{me} left {}: {why}", s.name)
                        });
                        s.ended = true;
                        if let Some(v) = s.view.take().filter(|_| in_order) {
                            let messages = std::mem::take(&mut s.messages);
                            here.records.push(Record::Whole((epoch, v.group, v.number), messages));
                        }
                    }
                }
                if self.uniform {
                    self.settle(&mut here);
                }
                here.streams.insert(seat, s);
            }
            (None, _) => self.complain(format!("p{process} is told of {event:?} out of nowhere")),
        }
        self.here.insert(process, here);
    }

    fn on_view(&mut self, here: &mut Here, me: MemberId, epoch: u64, s: &mut Stream, v: LightView) {
        self.seen.views += 1;
        let key = (epoch, v.group, v.number);
        let name = s.name;
        self.hold(v.members.contains(&me), || format!("{me} installs {v:?} of {name} without itself"));
        let outside = v.members.iter().find(|m| !here.processes.contains(m)).copied();
        self.hold(outside.is_none(), || {
            format!("{outside:?} is in {v:?} of {name} at {me}, and not in the view")
        });
        let distinct: BTreeSet<_> = v.members.iter().collect();
        self.hold(distinct.len() == v.members.len(), || format!("somebody is twice in {v:?} of {name}"));
        here.records.push(Record::View(key, name, v.members.clone()));
        match s.view.take() {
            Some(old) => {
                let follows = !v.joined && (old.group, old.number + 1) == (v.group, v.number);
                self.hold(follows, || format!("{me} goes from {old:?} to {v:?} in {name}"));
                let messages = std::mem::take(&mut s.messages);
                here.records.push(Record::Whole((epoch, old.group, old.number), messages));
            }
            None => {
                s.joined += 1;
                s.messages.clear();
                self.hold(v.joined, || format!("{me} has not joined {name} and is told of {v:?}"));
            }
        }
        s.view = Some(v);
    }

    fn on_message(&mut self, me: MemberId, s: &mut Stream, from: MemberId, bytes: Bytes) {
        self.seen.messages += 1;
        let name = s.name;
        let inside = s.view.as_ref().is_some_and(|v| v.members.contains(&from));
        self.hold(inside, || format!("{me} hears {from} in {name}, which is not in {:?}", s.view));
        let cast = self.casts.get(&bytes).is_some_and(|c| c.name == name && c.by == from);
        self.hold(cast, || format!("{me} delivers {bytes:?} of {from} in {name}, which was not cast so"));
        let new = s.seen.insert(bytes.clone());
        self.hold(new, || format!("{me} delivers {bytes:?} twice in {name}"));
        s.messages.push((from, bytes));
    }

    /// The end of the run.
    fn finish(&mut self, summary: &Summary) {
        let mut here = std::mem::take(&mut self.here);
        here.values().for_each(|h| self.interrupted(h));
        let goes_on = |m: MemberId| summary.expect_progress && summary.wanted().any(|p| p.member == m);
        here.values_mut().filter(|h| h.me.is_some_and(goes_on)).for_each(|h| self.settle(h));
        if self.uniform {
            // Longest first: where nobody went on, the others have beginnings of that.
            let mut partial = std::mem::take(&mut self.partial);
            partial.sort_by_key(|(_, _, some)| std::cmp::Reverse(some.len()));
            for (key, who, some) in partial {
                let whole = self.whole.entry(key).or_insert_with(|| some.clone()).clone();
                let is_beginning = whole.starts_with(&some);
                self.hold(is_beginning, || {
                    format!("{who} delivered {some:?} in view {key:?}, others {whole:?}")
                });
            }
        }
        self.compare_orders();
        if summary.expect_progress && self.complaint.is_none() {
            self.compare_with_wishes(&here, summary);
        }
    }

    fn compare_orders(&mut self) {
        let order = std::mem::take(&mut self.order);
        for (p, ps) in &order {
            let at: BTreeMap<_, _> = ps.iter().zip(0..).collect();
            for (q, qs) in order.range(p..).skip(1) {
                let common: Vec<i32> = qs.iter().filter_map(|m| at.get(m).copied()).collect();
                self.hold(common.is_sorted(), || format!("{p} and {q} deliver in different orders"));
            }
        }
    }

    fn compare_with_wishes(&mut self, here: &BTreeMap<usize, Here>, summary: &Summary) {
        let wanted: BTreeSet<_> = summary.wanted().map(|p| p.member).collect();
        let there: Vec<_> = here.values().filter(|h| h.me.is_some_and(|me| wanted.contains(&me))).collect();
        let mut holders: BTreeMap<&str, BTreeSet<MemberId>> = BTreeMap::new();
        for h in &there {
            for s in h.streams.values().filter(|s| !s.leaving) {
                holders.entry(s.name).or_default().extend(h.me);
            }
        }
        for h in &there {
            for s in h.streams.values().filter(|s| !s.ended) {
                let members: BTreeSet<_> = s.view.iter().flat_map(|v| v.members.iter().copied()).collect();
                let wish = &holders.get(s.name).cloned().unwrap_or_default();
                let ok = !s.leaving && members == *wish;
                self.hold(ok, || format!("{:?} sees {members:?} in {}, held by {wish:?}", h.me, s.name));
            }
        }
        for (text, cast) in std::mem::take(&mut self.casts) {
            let stream =
                here.get(&cast.process).filter(|h| h.me == Some(cast.by) && wanted.contains(&cast.by));
            let Some(s) = stream.and_then(|h| h.streams.get(&cast.seat)) else { continue };
            let stayed = !s.ended && s.joined == cast.joined;
            self.hold(!stayed || s.seen.contains(&text), || format!("{} lost {text:?}", cast.by));
        }
    }
}

impl Oracle for Judge {
    fn name(&self) -> &'static str {
        NAME
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        let mut book = self.0.borrow_mut();
        book.now = o.at;
        book.complaint.as_ref().map_or(Ok(()), |c| Err(Violation::new(NAME, c)))
    }

    fn finish(&mut self, summary: &Summary) -> Result<(), Violation> {
        let mut book = self.0.borrow_mut();
        book.finish(summary);
        book.complaint.as_ref().map_or(Ok(()), |c| Err(Violation::new(NAME, c)))
    }
}
