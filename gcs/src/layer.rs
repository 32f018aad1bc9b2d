//! The seam for microprotocols: one trait, two closed enums of events.
//!
//! A layer is a value without I/O. It is made anew for every view ([`Protocol::build`]) and dropped with it, so it never
//! has to reset. Its handlers consume events and emit others through [`Context`]: `cx.down(…)` to the next layer below
//! that wants such events, `cx.up(…)` to the next one above. What a layer does not consume it must pass on.
//!
//! Life of a layer: built → `start` → events and timers → [`Down::Wedge`] (the view is about to end) → perhaps
//! [`Down::Fetch`] once or several times → [`Down::Close`] → a while of answering repair requests → dropped.

use crate::{
    frame::{Dest, Frame, FrameError, Frames, WIRE_VERSION},
    guard::{Secret, Signer},
    id::{GroupTag, MAX_MEMBERS, Rank},
    message::{Messages, Outgoing},
    properties::Properties,
    report::Report,
    rng::Rng,
    time::Time,
    view::{Cut, View},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// What a layer is, as far as the composer needs to know.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpec {
    /// Its name in stack descriptions, lower case.
    pub name: &'static str,
    /// Changes when the layer's header or behaviour becomes incompatible; part of the stack's fingerprint.
    pub version: u16,
    /// What the layers below it must give together.
    pub needs: Properties,
    /// What it adds.
    pub gives: Properties,
    /// The kinds of events it handles; others pass it by without a call.
    pub wants: Wants,
}

/// Kinds of events, as a set. A layer that wants messages or frames gets control events, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants(u8);

impl Wants {
    /// Frames on their way down, and batches of messages ([`Down::Cast`], [`Down::Frames`]).
    pub const SENT: Self = Self(1);
    /// Frames on their way up, and delivered messages ([`Up::Frames`], [`Up::Messages`]).
    pub const RECEIVED: Self = Self(2);
    /// All other events.
    pub const CONTROL: Self = Self(4);
    /// Received frames that nobody shares, to change them where they are: who wants this calls [`Frame::seal`] on what it passes
    /// on.
    pub const UNSHARED: Self = Self(8);
    /// Everything that passes.
    pub const ALL: Self = Self(7);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With [`Self::CONTROL`], if there are frames: what a layer does not get would overtake what it passes on.
    pub(crate) const fn in_order(self) -> Self {
        if self.0 & (Self::SENT.0 | Self::RECEIVED.0) == 0 { self } else { self.and(Self::CONTROL) }
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Requests, from the top of the stack downwards.
#[derive(Clone, Debug)]
pub enum Down {
    /// Send these messages to everybody, this process included.
    Cast(Outgoing),
    /// Send these frames; each says to whom.
    Frames(Frames),
    /// The view is about to end: start no new frames, deliver nothing more. Answered by [`Up::Wedged`].
    Wedge,
    /// Obtain every frame up to the cut. Answered by [`Up::CutHeld`], at once or later; a newer `Fetch` replaces it.
    Fetch(Arc<Cut>),
    /// Everything up to the cut is held: deliver it, then deliver and start nothing more. Answered by [`Up::Closed`].
    Close(Arc<Cut>),
    /// The application does not take what is delivered (true), or does again (false): grant no more credit.
    Congested(bool),
    /// There is evidence that this member's process is gone.
    Gone(Rank),
    /// Members (a mask) that the view change leaves behind: answer them no more, so that their leases end. Replaces an
    /// earlier mask.
    Shun(u64),
}

/// Facts, from the bottom of the stack upwards.
#[derive(Clone, Debug)]
pub enum Up {
    /// Frames were received, or are now in the order that a layer below gives.
    Frames(Frames),
    /// Messages are delivered.
    Messages(Messages),
    /// More frames are known to be held by others. Monotonic.
    Stable(Arc<Stability>),
    /// Whether there is credit to send. Initially there is.
    Credit(bool),
    /// What this member has received without gaps, by rank; nothing more will be delivered before [`Down::Close`].
    Wedged(Vec<u64>),
    /// Everything up to this cut is held.
    CutHeld(Arc<Cut>),
    /// Messages that were cast and are not in any frame of this view, or only in part: for the next view.
    Unsent(Outgoing),
    /// Everything up to the cut has been delivered.
    Closed,
    /// Who suspects whom has changed.
    Suspicions(Box<Suspicions>),
    /// A quorum was in contact.
    Contact(Contact),
    /// Members that take frames too slowly for the group's policy. Replaces what was said before.
    Slow(Slow),
}

/// How far the streams of the members are known to be held by others, by the sender's rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stability {
    /// Held by more than half of the view's members.
    pub majority: Vec<u64>,
    /// Held by every member.
    pub all: Vec<u64>,
}

/// Members that take frames too slowly, as masks: what the group's policy does to them at the next view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slow {
    /// To be left behind.
    pub exclude: u64,
    /// To go on as learners.
    pub demote: u64,
}

impl Slow {
    /// All of them.
    #[must_use]
    pub fn all(self) -> u64 {
        self.exclude | self.demote
    }
}

/// Who suspects whom, by rank: bit `r` of `silent[q]` says that `q` hears nothing from `r`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicions {
    /// The latest word of each member, this one included.
    pub silent: [u64; MAX_MEMBERS],
    /// Members whose process is gone, on somebody's evidence.
    pub gone: u64,
}

impl Default for Suspicions {
    fn default() -> Self {
        Self { silent: [0; MAX_MEMBERS], gone: 0 }
    }
}

/// Contact with the other members, the ground of leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// The latest time `t` such that a quorum has answered something this member sent at `t` or later.
    pub quorum_at: Time,
    /// By rank: when this member last answered that one, which may take it for contact.
    pub answered_at: Vec<Time>,
}

/// A microprotocol: what the composer and the stack need to make its layers.
pub trait Protocol: Send + Sync + 'static {
    /// What it is.
    fn spec(&self) -> LayerSpec;

    /// The length of its part of the frame header, in bytes, in a view of `members` members.
    fn header_len(&self, members: usize) -> usize {
        let _ = members;
        0
    }

    /// The layer's version ([`LayerSpec::version`]) when a view speaks this version of the protocol. A layer whose header or
    /// behaviour changes raises its version with the protocol's, and goes on to speak the one before in views that do:
    /// [`Scope::version`].
    fn version_at(&self, protocol: u8) -> u16 {
        let _ = protocol;
        self.spec().version
    }

    /// Parameters that must be the same at all members, for the fingerprint. Empty if there are none.
    fn parameters(&self) -> String {
        String::new()
    }

    /// A layer for a new view.
    fn build(&self, scope: &Scope) -> Box<dyn Layer>;
}

/// What a layer knows of the view that it is built for.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The view.
    pub view: View,
    /// This process's rank in it.
    pub me: Rank,
    /// The group.
    pub group: GroupTag,
    /// The version of the protocol that the view speaks: the best that all of its members do.
    pub version: u8,
    /// When the view was installed.
    pub now: Time,
    /// The largest datagram that the transport carries well, in bytes.
    pub mtu: usize,
    /// How many bytes of its own frames this member may have under way.
    pub window_bytes: usize,
    /// The most that any member may have under way: windows are smaller where receive buffers are.
    pub window_max: usize,
    /// How members watch each other.
    pub watch: Watch,
    /// What the members have agreed on for a layer that wants it ([`Layer::arrange`]).
    pub arrangement: u32,
    /// Whether parts of the view may go on without a quorum.
    pub partitionable: bool,
    /// What only the members of this view know, in groups with keys.
    pub secret: Option<Secret>,
    /// What signs for this process, in groups in which each has a key of its own.
    pub signer: Option<Arc<dyn Signer>>,
    /// Seeds the layer's own generator; different for each layer, view and process.
    pub seed: u64,
}

impl Scope {
    /// How many members the view has.
    #[must_use]
    pub fn members(&self) -> usize {
        self.view.len()
    }

    /// The ranks of the other members.
    pub fn others(&self) -> impl Iterator<Item = Rank> + use<> {
        let me = self.me;
        (0..Rank::try_from(self.view.len()).unwrap_or(Rank::MAX)).filter(move |r| *r != me)
    }

    /// A generator of this layer's own.
    #[must_use]
    pub fn rng(&self) -> Rng {
        Rng::new(self.seed)
    }
}

/// How members watch each other. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// An idle member says that it is alive this often.
    pub heartbeat_ms: u64,
    /// Silence of this length is suspicious; more is tolerated where gaps have been longer or this process itself lags.
    pub silence_ms: u64,
    /// How long contact with a quorum is good for. Less than `silence_ms`.
    pub lease_ms: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self { heartbeat_ms: 50, silence_ms: 600, lease_ms: 400 }
    }
}

/// One layer of one stack, for one view.
pub trait Layer: Send {
    /// The view begins. Timers may be set and frames sent.
    fn start(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Handles an event from above. What is not consumed is passed on with `cx.down`.
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        cx.down(event);
    }

    /// Handles an event from below. What is not consumed is passed on with `cx.up`.
    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        cx.up(event);
    }

    /// A timer set with [`Context::set_timer`] is due. It is no longer set.
    fn timer(&mut self, timer: u8, cx: &mut Context<'_>) {
        let _ = (timer, cx);
    }

    /// Asserts the layer's invariants. Called after every input in tests and simulations.
    fn check(&self) {}

    /// How many bytes of frames the layer holds on to, for bounds and probes.
    fn held_bytes(&self) -> usize {
        0
    }

    /// What the next view's layer of this name shall know at all members, as [`Scope::arrangement`]; 0 is nothing in
    /// particular. Asked at the member that proposes the next view, whose members have these ranks now; those that join
    /// have none. One layer of a stack can have such a wish.
    fn arrange(&self, next: &[Option<Rank>]) -> u32 {
        let _ = next;
        0
    }

    /// What the layer knows and waits for, for people who look for a cause.
    fn report(&self, to: &mut Report) {
        let _ = to;
    }
}

/// How many timers a layer can have.
pub const TIMERS: usize = 4;

/// What a handler may do. Everything it emits is carried out after it returns, in order.
#[derive(Debug)]
pub struct Context<'a> {
    /// The present time.
    pub now: Time,
    pub(crate) scope: &'a Scope,
    pub(crate) index: usize,
    pub(crate) slots: &'a [Range<usize>],
    pub(crate) header: usize,
    pub(crate) queue: &'a mut VecDeque<Emitted>,
    pub(crate) timers: &'a mut [SmallVec<[Time; TIMERS]>],
}

/// An event that a layer has emitted.
#[derive(Debug)]
pub(crate) enum Emitted {
    Down(usize, Down),
    Up(usize, Up),
}

impl Context<'_> {
    /// The view and the rest of what the layer was built for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.scope
    }

    /// Hands an event to the next layer below that wants it.
    pub fn down(&mut self, event: Down) {
        self.queue.push_back(Emitted::Down(self.index, event));
    }

    /// Hands an event to the next layer above that wants it.
    pub fn up(&mut self, event: Up) {
        self.queue.push_back(Emitted::Up(self.index, event));
    }

    /// The place of this layer's part of the header.
    #[must_use]
    pub fn slot(&self) -> Range<usize> {
        self.slots[self.index].clone()
    }

    /// This layer's index: the [`Frame::kind`] of frames that it made for its peers.
    #[must_use]
    pub fn kind(&self) -> u8 {
        u8::try_from(self.index).unwrap_or(Frame::DATA - 1)
    }

    /// How many bytes of payload a frame carries.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.scope.mtu - self.header
    }

    /// A frame for the application's messages. To be sent with `cx.down(Down::Frames(…))`.
    #[must_use]
    pub fn data_frame(&self, capacity: usize) -> Frame {
        self.frame(Frame::DATA, true, capacity)
    }

    /// An empty frame of the view's version.
    fn frame(&self, kind: u8, reliable: bool, capacity: usize) -> Frame {
        self.frame_of(self.scope.me, kind, reliable, capacity)
    }

    /// A frame as this member (or another one) makes it in this view: for layers that restore what others have sent.
    #[must_use]
    pub fn frame_of(&self, from: Rank, kind: u8, reliable: bool, capacity: usize) -> Frame {
        let s = self.scope;
        let mut frame = Frame::new(kind, reliable, from, s.group, s.view.id, self.header, capacity);
        if s.version != WIRE_VERSION {
            frame.set_version(s.version);
        }
        frame
    }

    /// The same with a payload, which is not copied.
    #[must_use]
    pub fn data_frame_of(&self, payload: Bytes) -> Frame {
        let mut frame = self.data_frame(0);
        frame.share_payload(payload);
        frame
    }

    /// A frame for this layer's peers in other members' stacks. Reliable ones take their place in this member's stream
    /// (which needs a reliable layer below); others may get lost.
    #[must_use]
    pub fn control_frame(&self, to: Dest, reliable: bool, payload: &[u8]) -> Frame {
        let mut frame = self.frame(self.kind(), reliable, payload.len());
        frame.to = to;
        frame.writable().extend_from_slice(payload);
        frame
    }

    /// The frame that these bytes are. It goes to the others unless it is told to go elsewhere.
    ///
    /// # Errors
    /// It is not for this stack.
    pub fn parse_frame(&self, bytes: Bytes) -> Result<Frame, FrameError> {
        Frame::parse(bytes, self.scope.group, self.scope.view.id, self.header)
    }

    /// Asks for a call of `timer` at `at` (or as soon as possible). Replaces an earlier request for the same timer.
    pub fn set_timer(&mut self, timer: u8, at: Time) {
        self.timers[self.index][usize::from(timer)] = at;
    }

    /// Takes the request back.
    pub fn cancel_timer(&mut self, timer: u8) {
        self.timers[self.index][usize::from(timer)] = Time::NEVER;
    }

    /// Whether the timer is set.
    #[must_use]
    pub fn timer_is_set(&self, timer: u8) -> bool {
        self.timers[self.index][usize::from(timer)] != Time::NEVER
    }
}
