//! Endpoints that are broken on purpose.
//!
//! ```text
//! inputs ──> endpoint ──> events ──> misbehaviour ──> application, oracles
//!                     ──> datagrams ─────┘      └──> network
//! ```

use crate::{
    endpoint::{Effects, Endpoint, Event, Input},
    id::MemberId,
    message::Messages,
    sim::{Birth, Node, Setup, process::member_of},
    time::Time,
    view::{View, ViewChange, ViewId},
};

/// What a broken node does wrong. In brackets: the oracle that watches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Tells of views without itself among the members (M1).
    OmitsItself,
    /// Tells of the view before once more, after each view (M2).
    GoesBack,
    /// Tells of views in which two other members have each other's rank (M3).
    ExchangesRanks,
    /// Out of contact with a quorum, goes on to a next view alone (M3).
    GoesOnAlone,
    /// Delivers the first messages of a view before it tells of the view (M4 in the first view; then D3, D4).
    DeliversEarly,
    /// Out of contact with a quorum, founds a group of its own (M5).
    FoundsAlone,
    /// Tells nothing of one view, and delivers nothing in it (M6).
    SkipsView,
    /// Is, after a restart, who it was in its first life (M7).
    ReusesIncarnation,
    /// Says of all members of a view that they came along (D6).
    CountsAllAsSurvivors,
    /// Does not deliver its own messages (D7).
    IgnoresItself,
    /// Delivers nothing but its own messages (L2).
    IgnoresOthers,
    /// Sends nothing any more (L1).
    FallsSilent,
    /// Does not say any more that it takes messages (L3).
    StaysUnwritable,
    /// Asks for the state only after it has delivered messages of the view (A1).
    AsksLateForState,
}

/// An endpoint that misbehaves.
///
/// ```
/// use gcs::sim::{Plan, Report, Setup, broken::{BrokenNode, Misbehaviour}, run_nodes};
/// # fn report(setup: Setup) -> Report {
/// // p1 of three, from the second view on.
/// let wrong = |birth: &gcs::sim::Birth| (birth.process == 1).then_some(Misbehaviour::GoesBack);
/// let settings = setup.clone();
/// run_nodes(1, &setup, &Plan::calm(3), move |b| BrokenNode::new(&settings, b, wrong(b)).since_view(2))
/// # }
/// ```
pub struct BrokenNode {
    inner: Endpoint,
    wrong: Option<Misbehaviour>,
    since_view: u64,
    /// The view that the endpoint is in.
    change: Option<ViewChange>,
    /// Told after the next messages.
    held: Option<Event>,
}

impl BrokenNode {
    /// The protocol code of a process that does this wrong; nothing, if it is None.
    ///
    /// # Panics
    /// If the set-up makes no sense.
    #[must_use]
    pub fn new(setup: &Setup, birth: &Birth, wrong: Option<Misbehaviour>) -> Self {
        let me = match wrong {
            Some(Misbehaviour::ReusesIncarnation) => member_of(birth.process, 1),
            _ => birth.me,
        };
        let inner = setup.endpoint(&Birth { me, ..*birth });
        Self { inner, wrong, since_view: 1, change: None, held: None }
    }

    /// Misbehaves only from the view with this number on. ([`Misbehaviour::SkipsView`] skips that one.)
    #[must_use]
    pub fn since_view(mut self, number: u64) -> Self {
        self.since_view = number;
        self
    }

    /// What it does wrong in the view that it is in.
    fn wrong(&self) -> Option<Misbehaviour> {
        let number = self.change.as_ref().map_or(0, |c| c.view.id.number);
        self.wrong.filter(|_| number >= self.since_view)
    }

    fn on_view(&mut self, mut change: ViewChange, out: &mut Vec<Event>) {
        out.extend(self.held.take());
        let before = self.change.replace(change.clone());
        match self.wrong() {
            Some(Misbehaviour::OmitsItself) => {
                let me = self.inner.me();
                change.view.members = change.view.members.iter().filter(|m| m.id != me).cloned().collect();
                out.push(Event::View(change));
            }
            Some(Misbehaviour::GoesBack) => {
                out.push(Event::View(change));
                out.extend(before.map(Event::View));
            }
            Some(Misbehaviour::ExchangesRanks) => {
                let mut members = change.view.members.to_vec();
                let mut others = (0..members.len()).filter(|r| *r != usize::from(change.rank));
                if let (Some(a), Some(b)) = (others.next(), others.next()) {
                    members.swap(a, b);
                }
                change.view.members = members.into();
                out.push(Event::View(change));
            }
            Some(Misbehaviour::DeliversEarly) => self.held = Some(Event::View(change)),
            Some(Misbehaviour::SkipsView) if change.view.id.number == self.since_view => {}
            Some(Misbehaviour::CountsAllAsSurvivors) => {
                change.came_with = change.view.members.iter().map(|m| m.id).collect();
                out.push(Event::View(change));
            }
            _ => out.push(Event::View(change)),
        }
    }

    fn on_messages(&mut self, messages: Messages, out: &mut Vec<Event>) {
        let (number, rank) = self.change.as_ref().map_or((0, 0), |c| (c.view.id.number, c.rank));
        match self.wrong() {
            Some(Misbehaviour::SkipsView) if number == self.since_view => {}
            Some(Misbehaviour::IgnoresItself) if messages.from == rank => {}
            Some(Misbehaviour::IgnoresOthers) if messages.from != rank => {}
            _ => out.push(Event::Messages(messages)),
        }
        out.extend(self.held.take());
    }

    fn on_blocked(&mut self, out: &mut Vec<Event>) {
        out.push(Event::Blocked);
        let Some(ViewChange { view, rank, .. }) = &self.change else { return };
        let id = match self.wrong() {
            Some(Misbehaviour::GoesOnAlone) => ViewId { number: view.id.number + 1, ..view.id },
            Some(Misbehaviour::FoundsAlone) => ViewId { epoch: view.id.epoch + 1, number: 1 },
            _ => return,
        };
        let members = view.members.iter().skip(usize::from(*rank)).take(1).cloned().collect();
        let view = View { id, members };
        let came_with = vec![self.inner.me()];
        out.push(Event::View(ViewChange {
            view,
            rank: 0,
            came_with,
            primary: true,
            merged: Vec::new(),
            awaits_state: false,
        }));
    }
}

impl Node for BrokenNode {
    fn handle(&mut self, now: Time, input: Input, fx: &mut Effects) {
        self.inner.handle(now, input, fx);
        for event in std::mem::take(&mut fx.events) {
            match event {
                Event::View(change) => self.on_view(change, &mut fx.events),
                Event::Messages(messages) => self.on_messages(messages, &mut fx.events),
                Event::Blocked => self.on_blocked(&mut fx.events),
                Event::Writable(true) if self.wrong() == Some(Misbehaviour::StaysUnwritable) => {}
                Event::StateRequested { .. } if self.wrong() == Some(Misbehaviour::AsksLateForState) => {
                    self.held = Some(event);
                }
                other => fx.events.push(other),
            }
        }
        if self.wrong() == Some(Misbehaviour::FallsSilent) {
            fx.transmits.clear();
        }
    }

    fn deadline(&self) -> Time {
        self.inner.deadline()
    }

    fn check(&self) {
        self.inner.check();
    }

    fn me(&self) -> MemberId {
        self.inner.me()
    }

    fn held_bytes(&self) -> usize {
        self.inner.held_bytes()
    }
}
