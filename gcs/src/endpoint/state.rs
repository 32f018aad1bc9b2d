//! State transfer at the view boundary.
//!
//! ```text
//! old members, at the view's beginning      joiner
//!   StateRequested → application → snapshot
//!                     <── pull(chunk, pieces) ──   as many under way as its window allows
//!                     ── piece, piece, … ──>       chunks go to the application in order
//!                     <── done ──                  then what was delivered meanwhile
//! ```
//! Every member that has the state takes a snapshot, so a joiner goes on with another donor when its own dies: chunks
//! are numbered and mean the same at every donor. The joiner pulls; a donor does nothing on its own, and the group does
//! not wait: what is delivered meanwhile is kept back, and goes to the application as fast as that takes it once the
//! state is there. Bounds: the joiner keeps back at most `backlog_bytes` of messages before it stops granting credit;
//! four chunks are under way.

use super::io::{Effects, Event, Transmit};
use crate::{
    blocks::Snapshot,
    id::{GroupTag, MemberId},
    time::Time,
    view::ViewId,
    wire::{Body, Control, StateDone, StatePiece, StatePull},
};
use bytes::{Bytes, BytesMut};
use smallvec::smallvec;
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// Room for everything around the data in a [`StatePiece`] datagram, in bytes.
const PIECE_OVERHEAD: usize = 128;
/// Chunks under way at once.
const CHUNKS_AHEAD: u64 = 4;
/// The largest chunk that is taken, in bytes.
const MAX_CHUNK: usize = 1 << 30;
/// Pieces under way: at the start, and at most.
const WINDOW: (usize, usize) = (8, 64);
/// Pieces that one pull may ask for.
const MAX_PULL: u32 = 16;
/// Pieces that do not come are asked for again after this time.
const RETRY: Duration = Duration::from_millis(40);
/// Another donor is asked after this time without progress.
const PATIENCE: Duration = Duration::from_millis(500);
/// So many bytes that were kept back go to the application before it is asked again whether it has room.
const RELEASE: usize = 256 << 10;
/// A finished joiner says so this often, and this many times.
const DONE: (Duration, u32) = (Duration::from_millis(100), 5);

/// Both sides of state transfer.
pub(super) struct State {
    complete: bool,
    /// All members have the same state at the beginning of a view.
    same: bool,
    mtu: usize,
    backlog_max: usize,
    donor: Donor,
    receiver: Option<Receiver>,
    backlog: Backlog,
    done: Option<Done>,
}

/// What was delivered and has not gone to the application yet.
#[derive(Default)]
struct Backlog {
    events: VecDeque<Event>,
    bytes: usize,
}

#[derive(Default)]
struct Donor {
    offers: BTreeMap<ViewId, Offer>,
}

/// A snapshot, and who is still to get it.
struct Offer {
    joiners: Vec<MemberId>,
    snapshot: Option<Arc<dyn Snapshot>>,
    recent: VecDeque<(u64, Bytes)>,
}

struct Receiver {
    view: ViewId,
    donors: Vec<MemberId>,
    chunks: Option<u64>,
    /// The next chunk for the application.
    next: u64,
    partial: BTreeMap<u64, Partial>,
    under_way: usize,
    window: usize,
    progress_at: Time,
    retry_at: Time,
}

#[derive(Default)]
struct Partial {
    pieces: Vec<Option<Bytes>>,
    /// Length in bytes, once known.
    len: Option<usize>,
    missing: usize,
    /// The first piece that was not asked for yet.
    asked: u32,
}

struct Done {
    view: ViewId,
    to: Vec<MemberId>,
    at: Time,
    left: u32,
}

impl State {
    pub(super) fn new(complete: bool, same: bool, mtu: usize, backlog_max: usize) -> Self {
        Self {
            complete,
            same,
            mtu,
            backlog_max,
            donor: Donor::default(),
            receiver: None,
            backlog: Backlog::default(),
            done: None,
        }
    }

    /// Whether this process has the group's state.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The founder of a group has its state by definition.
    pub(super) fn set_complete(&mut self) {
        self.complete = true;
    }

    /// A new life: nothing is known of the state.
    pub(super) fn forget(&mut self) {
        *self = Self::new(false, self.same, self.mtu, self.backlog_max);
    }

    /// Offers the state at the beginning of `view` to its joiners. Returns whether the application is to be asked.
    pub(super) fn offer(&mut self, view: ViewId, joiners: Vec<MemberId>) -> bool {
        if !self.complete || joiners.is_empty() {
            return false;
        }
        self.donor.offers.insert(view, Offer { joiners, snapshot: None, recent: VecDeque::new() });
        true
    }

    /// Whether there are joiners that this process may have to give the state to.
    pub(super) fn is_donor(&self) -> bool {
        !self.donor.offers.is_empty()
    }

    pub(super) fn provide(&mut self, view: ViewId, snapshot: Arc<dyn Snapshot>) {
        if let Some(offer) = self.donor.offers.get_mut(&view) {
            offer.snapshot = Some(snapshot);
        }
    }

    /// Only these processes are in the view now.
    pub(super) fn retain_members(&mut self, members: &[MemberId]) {
        for offer in self.donor.offers.values_mut() {
            offer.joiners.retain(|j| members.contains(j));
        }
        self.donor.offers.retain(|_, o| !o.joiners.is_empty());
        if let Some(r) = &mut self.receiver {
            let donor = r.donors.first().copied();
            r.donors.retain(|d| members.contains(d));
            if r.donors.first().copied() != donor {
                r.start_over_with_next(self.same);
            }
        }
    }

    /// Begins to receive the state at the beginning of `view`.
    pub(super) fn receive_from(&mut self, view: ViewId, donors: Vec<MemberId>, now: Time) {
        self.receiver = Some(Receiver {
            view,
            donors,
            chunks: None,
            next: 0,
            partial: BTreeMap::new(),
            under_way: 0,
            window: WINDOW.0,
            progress_at: now,
            retry_at: now,
        });
    }

    /// Whether nobody is left from whom the state that this process waits for could come.
    pub(super) fn is_stranded(&self) -> bool {
        self.receiver.as_ref().is_some_and(|r| r.donors.is_empty())
    }

    fn keeps_back(&self) -> bool {
        self.receiver.is_some() || !self.backlog.events.is_empty()
    }

    /// Hands an event to the application, or keeps it back while the state is not there, or what came before is not.
    pub(super) fn deliver(&mut self, event: Event, fx: &mut Effects) {
        if self.keeps_back() {
            self.backlog.push(event);
        } else {
            fx.events.push(event);
        }
    }

    /// Whether the group must slow down: so much is kept back; or nothing is, and the application has no room.
    pub(super) fn is_congested(&self, app_congested: bool) -> bool {
        if self.keeps_back() { self.backlog.bytes > self.backlog_max } else { app_congested }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.backlog.bytes
    }

    pub(super) fn deadline(&self, app_congested: bool) -> Time {
        let waiting = match &self.receiver {
            Some(r) => r.retry_at,
            None if self.backlog.events.is_empty() || app_congested => Time::NEVER,
            None => Time::ZERO,
        };
        waiting.min(self.done.as_ref().map_or(Time::NEVER, |d| d.at))
    }

    /// Hands over everything that was kept back: this process leaves. What the state would have to come before is lost.
    pub(super) fn release_all(&mut self, fx: &mut Effects) {
        if self.receiver.is_none() {
            self.backlog.release(usize::MAX, fx);
        }
    }

    /// Answers a joiner's pull.
    pub(super) fn on_pull(
        &mut self,
        tag: GroupTag,
        me: MemberId,
        from: MemberId,
        pull: StatePull,
        fx: &mut Effects,
    ) {
        let view = ViewId::from(pull.view.unwrap_or_default());
        let Some(offer) = self.donor.offers.get_mut(&view).filter(|o| o.joiners.contains(&from)) else {
            return;
        };
        let piece_len = (pull.piece_len as usize).clamp(512, 60 << 10);
        let Some((chunks, chunk)) = offer.chunk(pull.chunk) else { return };
        let Ok(chunk_len) = u32::try_from(chunk.len()) else { return };
        for piece in pull.piece..pull.piece.saturating_add(pull.count.min(MAX_PULL)) {
            let at = (piece as usize).saturating_mul(piece_len);
            if at > chunk.len() || (at == chunk.len() && piece > 0) {
                break;
            }
            let data = chunk.slice(at..chunk.len().min(at + piece_len));
            let body = StatePiece { view: pull.view, chunk: pull.chunk, chunks, chunk_len, piece, data };
            push(tag, me, from.addr, Body::StatePiece(body), fx);
        }
    }

    /// A joiner has the state.
    pub(super) fn on_done(&mut self, from: MemberId, view: ViewId) {
        if let Some(offer) = self.donor.offers.get_mut(&view) {
            offer.joiners.retain(|j| *j != from);
            if offer.joiners.is_empty() {
                self.donor.offers.remove(&view);
            }
        }
    }

    /// A piece arrived. Chunks that are whole go to the application.
    pub(super) fn on_piece(&mut self, now: Time, from: MemberId, piece: StatePiece, fx: &mut Effects) {
        let piece_len = self.piece_len();
        let Some(r) = &mut self.receiver else { return };
        if r.donors.first() != Some(&from) || ViewId::from(piece.view.unwrap_or_default()) != r.view {
            return;
        }
        r.store(now, piece, piece_len);
        while let Some((index, last, data)) = r.take_next() {
            fx.events.push(Event::StateChunk { view: r.view, index, last, data });
            if last {
                self.complete = true;
                let Some(r) = self.receiver.take() else { return };
                self.done = Some(Done { view: r.view, to: r.donors, at: now, left: DONE.1 });
                return;
            }
        }
    }

    /// Asks for more, asks again, asks another donor, says that it is done: whatever is due.
    pub(super) fn tick(&mut self, now: Time, tag: GroupTag, me: MemberId, paused: bool, fx: &mut Effects) {
        let piece_len = self.piece_len();
        if let Some(d) = self.done.as_mut().filter(|d| d.at <= now) {
            for to in &d.to {
                push(tag, me, to.addr, Body::StateDone(StateDone { view: Some(d.view.into()) }), fx);
            }
            d.at = now + DONE.0;
            d.left -= 1;
        }
        if self.done.as_ref().is_some_and(|d| d.left == 0) {
            self.done = None;
        }
        let Some(r) = &mut self.receiver else {
            if !paused {
                self.backlog.release(RELEASE, fx);
            }
            return;
        };
        if r.retry_at <= now {
            if now.since(r.progress_at) >= PATIENCE {
                if !r.donors.is_empty() {
                    r.donors.rotate_left(1);
                }
                r.start_over_with_next(self.same);
                r.progress_at = now;
            } else if now.since(r.progress_at) >= RETRY {
                r.ask_again();
            }
            r.retry_at = now + RETRY;
        }
        if paused {
            r.progress_at = now;
            return;
        }
        let (view, donor) = (r.view, r.donors.first().copied());
        while let (Some(donor), Some((chunk, piece, count))) = (donor, r.next_pull()) {
            let pull =
                StatePull { view: Some(view.into()), chunk, piece, count, piece_len: piece_len as u32 };
            push(tag, me, donor.addr, Body::StatePull(pull), fx);
        }
    }

    fn piece_len(&self) -> usize {
        (self.mtu - PIECE_OVERHEAD).min(60 << 10)
    }
}

fn push(tag: GroupTag, me: MemberId, to: SocketAddr, body: Body, fx: &mut Effects) {
    let control = Control { group: tag.0, from: Some(me.into()), body: Some(body) };
    fx.transmits.push(Transmit { to: smallvec![to], payload: control.encode_datagram().into() });
}

impl Backlog {
    fn push(&mut self, mut event: Event) {
        if let Event::Messages(m) = &mut event {
            // It may wait for long: it must not keep the buffer in which it came.
            m.detach();
            self.bytes += m.byte_len();
        }
        self.events.push_back(event);
    }

    /// Hands over the first events, until they have this many bytes.
    fn release(&mut self, bytes: usize, fx: &mut Effects) {
        let mut released = 0;
        while released < bytes
            && let Some(event) = self.events.pop_front()
        {
            if let Event::Messages(m) = &event {
                released += m.byte_len();
            }
            fx.events.push(event);
        }
        self.bytes = if self.events.is_empty() { 0 } else { self.bytes - released };
    }
}

impl Offer {
    /// The number of chunks, and one of them. An empty state is one empty chunk.
    fn chunk(&mut self, index: u64) -> Option<(u64, Bytes)> {
        let snapshot = self.snapshot.as_ref()?;
        let chunks = snapshot.chunks();
        if index >= chunks.max(1) {
            return None;
        }
        if let Some((_, chunk)) = self.recent.iter().find(|(i, _)| *i == index) {
            return Some((chunks.max(1), chunk.clone()));
        }
        let chunk = if chunks == 0 { Bytes::new() } else { snapshot.chunk(index) };
        self.recent.push_back((index, chunk.clone()));
        if self.recent.len() > 2 * CHUNKS_AHEAD as usize {
            self.recent.pop_front();
        }
        Some((chunks.max(1), chunk))
    }
}

impl Receiver {
    /// Forgets incomplete chunks: another donor may cut them differently. Where members have different states, it forgets
    /// all of them: the application does when it gets the first one again.
    fn start_over_with_next(&mut self, same: bool) {
        if !same {
            (self.next, self.chunks) = (0, None);
        }
        self.partial.clear();
        self.under_way = 0;
        self.window = WINDOW.0;
    }

    fn ask_again(&mut self) {
        self.under_way = 0;
        self.window = (self.window / 2).max(1);
        for p in self.partial.values_mut() {
            p.asked = 0;
        }
    }

    /// The next pull that the window allows: chunk, first piece, count.
    fn next_pull(&mut self) -> Option<(u64, u32, u32)> {
        let room = u32::try_from(self.window.checked_sub(self.under_way).filter(|r| *r > 0)?).ok()?;
        let end = self.chunks.unwrap_or(1).min(self.next + CHUNKS_AHEAD);
        for chunk in self.next..end {
            let p = self.partial.entry(chunk).or_default();
            while p.pieces.get(p.asked as usize).is_some_and(Option::is_some) {
                p.asked += 1;
            }
            let count = match p.len {
                None if p.asked == 0 => 1,
                None => continue,
                Some(_) => {
                    let rest = p.pieces[p.asked as usize..].iter().take_while(|x| x.is_none()).count();
                    u32::try_from(rest).ok()?.min(room).min(MAX_PULL)
                }
            };
            if count > 0 {
                let piece = p.asked;
                p.asked += count;
                self.under_way += count as usize;
                return Some((chunk, piece, count));
            }
        }
        None
    }

    fn store(&mut self, now: Time, piece: StatePiece, piece_len: usize) {
        let Some(p) = self.partial.get_mut(&piece.chunk) else { return };
        let len = piece.chunk_len as usize;
        if piece.chunks == 0 || len > MAX_CHUNK || self.chunks.is_some_and(|c| c != piece.chunks) {
            return;
        }
        if p.len.is_none() {
            let count = len.div_ceil(piece_len).max(1);
            p.pieces = vec![None; count];
            p.missing = count;
            p.len = Some(len);
        }
        let at = piece.piece as usize * piece_len;
        let expected = len.saturating_sub(at).min(piece_len);
        let Some(slot) = p.pieces.get_mut(piece.piece as usize).filter(|s| s.is_none()) else { return };
        if p.len != Some(len) || piece.data.len() != expected {
            return;
        }
        *slot = Some(piece.data);
        p.missing -= 1;
        self.chunks = Some(piece.chunks);
        self.under_way = self.under_way.saturating_sub(1);
        self.window = (self.window + 1).min(WINDOW.1);
        self.progress_at = now;
    }

    /// The next chunk for the application, if it is whole: index, whether it is the last, bytes.
    fn take_next(&mut self) -> Option<(u64, bool, Bytes)> {
        let p = self.partial.get(&self.next).filter(|p| p.len.is_some() && p.missing == 0)?;
        let mut data = BytesMut::with_capacity(p.len.unwrap_or(0));
        p.pieces.iter().flatten().for_each(|b| data.extend_from_slice(b));
        self.partial.remove(&self.next);
        let index = self.next;
        self.next += 1;
        Some((index, Some(self.next) == self.chunks, data.freeze()))
    }
}
