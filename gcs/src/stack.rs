//! Stacks: checked compositions of layers ([`Blueprint`]), and one such composition at work in one view ([`Stack`]).

use crate::{
    frame::{Buf, FIXED_HEADER, Frame, FrameError, Frames, WIRE_VERSION},
    id::{FNV_OFFSET, Rank, fnv1a},
    layer::{Context, Down, Emitted, Layer, LayerSpec, Protocol, Scope, TIMERS, Up, Wants},
    properties::Properties,
    report::Report,
    time::Time,
};
use smallvec::{SmallVec, smallvec};
use std::{collections::VecDeque, fmt, ops::Range, sync::Arc};

/// What the group's core needs of every stack. What it promises besides is for the application to choose: also whether
/// members deliver the same.
pub const REQUIRED: Properties =
    Properties::MESSAGES.and(Properties::VIEW_END).and(Properties::SUSPICION).and(Properties::BOUNDED);

/// The most layers a stack can have.
pub const MAX_LAYERS: usize = 32;

/// A list of protocols that hold together, bottom first.
#[derive(Clone)]
pub struct Blueprint {
    name: String,
    protocols: Arc<[Arc<dyn Protocol>]>,
    gives: Properties,
}

/// Why layers do not make a stack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StackError {
    /// A layer lacks something below it.
    #[error(
        "layer `{layer}` needs {missing} from below it, and no layer there gives that; below it are: {below}"
    )]
    Missing {
        /// The layer.
        layer: &'static str,
        /// What it lacks.
        missing: Properties,
        /// The names of the layers below it, bottom first.
        below: String,
    },
    /// The group could not work on such a stack.
    #[error("stack `{stack}` gives no {missing}, which every group needs; add a layer that gives it")]
    Incomplete {
        /// The stack's name.
        stack: String,
        /// What it lacks.
        missing: Properties,
    },
    /// A layer stands twice.
    #[error("layer `{0}` stands twice in the stack")]
    Twice(&'static str),
    /// Nothing to replace.
    #[error("there is no layer `{0}` in the stack that could be replaced")]
    Absent(&'static str),
    /// Two layers want to end the view.
    #[error("layers `{0}` and `{1}` both end the view; leave out one of them")]
    TwoEnds(&'static str, &'static str),
    /// Too many layers.
    #[error("a stack has at most {MAX_LAYERS} layers")]
    TooMany,
}

impl Blueprint {
    /// Checks the layers (bottom first) against each other.
    ///
    /// # Errors
    /// [`StackError`] names the layer and what it lacks.
    pub fn new(name: &str, protocols: Vec<Arc<dyn Protocol>>) -> Result<Self, StackError> {
        if protocols.len() > MAX_LAYERS {
            return Err(StackError::TooMany);
        }
        let mut gives = Properties::NONE;
        for (i, p) in protocols.iter().enumerate() {
            let spec = p.spec();
            let missing = spec.needs.without(gives);
            if !missing.is_empty() {
                let below: Vec<_> = protocols[..i].iter().map(|p| p.spec().name).collect();
                let below = if below.is_empty() { "none".to_owned() } else { below.join(", ") };
                return Err(StackError::Missing { layer: spec.name, missing, below });
            }
            if protocols[..i].iter().any(|q| q.spec().name == spec.name) {
                return Err(StackError::Twice(spec.name));
            }
            let ends = |p: &&Arc<dyn Protocol>| p.spec().gives.contains(Properties::VIEW_END);
            if let (true, Some(other)) = (ends(&p), protocols[..i].iter().find(ends)) {
                return Err(StackError::TwoEnds(other.spec().name, spec.name));
            }
            gives = (gives | spec.gives).with_consequences();
        }
        let missing = REQUIRED.without(gives);
        if !missing.is_empty() {
            return Err(StackError::Incomplete { stack: name.to_owned(), missing });
        }
        Ok(Self { name: name.to_owned(), protocols: protocols.into(), gives })
    }

    /// The same stack with another protocol in the place of the one of the same name, which may have other parameters.
    ///
    /// # Errors
    /// [`StackError`]; [`StackError::Absent`] if there is none of that name.
    pub fn with(&self, protocol: Arc<dyn Protocol>) -> Result<Self, StackError> {
        let mut protocols = self.protocols.to_vec();
        let name = protocol.spec().name;
        let at = protocols.iter().position(|p| p.spec().name == name).ok_or(StackError::Absent(name))?;
        protocols[at] = protocol;
        Self::new(&self.name, protocols)
    }

    /// The same stack with these layers (bottom first) below it.
    ///
    /// # Errors
    /// [`StackError`].
    pub fn upon(&self, below: Vec<Arc<dyn Protocol>>) -> Result<Self, StackError> {
        Self::new(&self.name, below.into_iter().chain(self.protocols.iter().cloned()).collect())
    }

    /// The stack's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it promises.
    #[must_use]
    pub fn gives(&self) -> Properties {
        self.gives
    }

    /// What its layers are, bottom first.
    pub fn layers(&self) -> impl Iterator<Item = LayerSpec> {
        self.protocols.iter().map(|p| p.spec())
    }

    /// The layers with versions and parameters, bottom first: peers compare it to name a difference.
    #[must_use]
    pub fn description(&self) -> String {
        self.description_at(WIRE_VERSION)
    }

    /// The same for views that speak this version of the protocol.
    #[must_use]
    pub fn description_at(&self, protocol: u8) -> String {
        let layers: Vec<_> = self
            .protocols
            .iter()
            .map(|p| {
                let (name, version, parameters) = (p.spec().name, p.version_at(protocol), p.parameters());
                if parameters.is_empty() {
                    format!("{name}/{version}")
                } else {
                    format!("{name}/{version}({parameters})")
                }
            })
            .collect();
        layers.join(" ")
    }

    /// The same for the same description. Members of a group have the same.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        fnv1a(FNV_OFFSET, self.description().as_bytes())
    }

    /// Makes a stack for a view.
    ///
    /// # Panics
    /// If the transport's datagrams are too small for the header: 512 bytes of payload must be left.
    #[must_use]
    pub fn build(&self, scope: Scope) -> Stack {
        let members = scope.members();
        let mut header = FIXED_HEADER;
        let slots: Vec<_> = self
            .protocols
            .iter()
            .map(|p| {
                let at = header;
                header += p.header_len(members);
                at..header
            })
            .collect();
        assert!(scope.mtu >= header + 512, "datagrams of {} bytes are too small for this stack", scope.mtu);
        let layers: Vec<_> = self
            .protocols
            .iter()
            .enumerate()
            .map(|(i, p)| {
                p.build(&Scope {
                    seed: crate::rng::Rng::new(scope.seed ^ i as u64).next_u64(),
                    ..scope.clone()
                })
            })
            .collect();
        let wants: Vec<_> = self.protocols.iter().map(|p| p.spec().wants.in_order()).collect();
        let timers = vec![smallvec![Time::NEVER; TIMERS]; layers.len()];
        let names = self.protocols.iter().map(|p| p.spec().name).collect();
        let (routes, queue) = (Routes::new(&wants), VecDeque::new());
        let unshared = self.protocols.iter().any(|p| p.spec().wants.contains(Wants::UNSHARED));
        Stack { unshared, routes, scope, slots, header, layers, names, timers, queue }
    }
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.name, self.description())
    }
}

/// For each kind of event and each layer, the next layer that wants it: above and below. `layers.len()` is the top end;
/// the bottom end is one below 0, written as `usize::MAX`.
struct Routes {
    above: [Vec<usize>; 2],
    below: [Vec<usize>; 2],
}

const TOP: usize = usize::MAX - 1;
const BOTTOM: usize = usize::MAX;

impl Routes {
    fn new(wants: &[Wants]) -> Self {
        let n = wants.len();
        let above = |kind: Wants| {
            (0..n).map(|i| (i + 1..n).find(|j| wants[*j].contains(kind)).unwrap_or(TOP)).collect::<Vec<_>>()
        };
        let below = |kind: Wants| {
            // One more entry: from the top end.
            (0..=n)
                .map(|i| (0..i).rev().find(|j| wants[*j].contains(kind)).unwrap_or(BOTTOM))
                .collect::<Vec<_>>()
        };
        let mut up = [above(Wants::RECEIVED), above(Wants::CONTROL)];
        // From the bottom end, kept as the last entry.
        for (table, kind) in up.iter_mut().zip([Wants::RECEIVED, Wants::CONTROL]) {
            table.push((0..n).find(|j| wants[*j].contains(kind)).unwrap_or(TOP));
        }
        Self { above: up, below: [below(Wants::SENT), below(Wants::CONTROL)] }
    }

    fn up(&self, from: usize, event: &Up) -> usize {
        self.above[usize::from(!matches!(event, Up::Frames(_) | Up::Messages(_)))][from]
    }

    fn down(&self, from: usize, event: &Down) -> usize {
        self.below[usize::from(!matches!(event, Down::Frames(_) | Down::Cast(_)))][from]
    }
}

/// What comes out of a stack.
#[derive(Debug, Default)]
pub struct Output {
    /// Out of the bottom: frames for other members.
    pub frames: Frames,
    /// Out of the top, in order.
    pub events: Vec<Up>,
}

/// Layers at work in one view.
pub struct Stack {
    scope: Scope,
    /// Received frames are left as they are for a layer that changes them.
    unshared: bool,
    slots: Vec<Range<usize>>,
    header: usize,
    layers: Vec<Box<dyn Layer>>,
    names: Vec<&'static str>,
    routes: Routes,
    timers: Vec<SmallVec<[Time; TIMERS]>>,
    queue: VecDeque<Emitted>,
}

impl Stack {
    /// What the stack was built for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Starts the layers, bottom first.
    pub fn start(&mut self, now: Time, out: &mut Output) {
        for i in 0..self.layers.len() {
            self.call(now, i, |layer, cx| layer.start(cx));
        }
        self.run(now, out);
    }

    /// Hands an event to the top layer.
    pub fn down(&mut self, now: Time, event: Down, out: &mut Output) {
        self.queue.push_back(Emitted::Down(self.layers.len(), event));
        self.run(now, out);
    }

    /// Takes a datagram for a frame of this view. The caller has checked that it comes from the member that it names.
    ///
    /// # Errors
    /// The frame is not for this stack.
    pub fn parse(&self, datagram: impl Into<Buf>) -> Result<Frame, FrameError> {
        let datagram = match datagram.into() {
            Buf::Own(b) if !self.unshared => Buf::Shared(b.freeze()),
            other => other,
        };
        if datagram.get(1) != Some(&self.scope.version) {
            return Err(FrameError::Version);
        }
        Frame::parse(datagram, self.scope.group, self.scope.view.id, self.header)
    }

    /// Hands received frames to the bottom layer.
    pub fn receive(&mut self, now: Time, frames: Frames, out: &mut Output) {
        self.queue.push_back(Emitted::Up(self.layers.len(), Up::Frames(frames)));
        self.run(now, out);
    }

    /// When the next timer is due; [`Time::NEVER`] if none is set.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.timers.iter().flatten().min().copied().unwrap_or(Time::NEVER)
    }

    /// Calls the timers that are due. A timer that sets itself again for `now` is called at the next tick.
    pub fn tick(&mut self, now: Time, out: &mut Output) {
        let due: SmallVec<[(usize, u8); 8]> = self
            .timers
            .iter()
            .enumerate()
            .flat_map(|(i, t)| t.iter().zip(0..).filter(|(at, _)| **at <= now).map(move |(_, id)| (i, id)))
            .collect();
        for (i, id) in due {
            self.timers[i][usize::from(id)] = Time::NEVER;
            self.call(now, i, |layer, cx| layer.timer(id, cx));
        }
        self.run(now, out);
    }

    /// Asserts the invariants of all layers.
    pub fn check(&self) {
        self.layers.iter().for_each(|l| l.check());
    }

    /// How many bytes of frames the layers hold on to.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.layers.iter().map(|l| l.held_bytes()).sum()
    }

    /// What the layers want agreed for the next view: see [`Layer::arrange`].
    #[must_use]
    pub fn arrange(&self, next: &[Option<Rank>]) -> u32 {
        self.layers.iter().map(|l| l.arrange(next)).find(|a| *a != 0).unwrap_or(0)
    }

    /// What the layers say of themselves, bottom first.
    pub fn report(&self, to: &mut Report) {
        for (layer, name) in self.layers.iter().zip(&self.names) {
            to.section(format_args!("layer {name}"));
            to.say("bytes held", layer.held_bytes());
            layer.report(to);
        }
    }

    fn run(&mut self, now: Time, out: &mut Output) {
        while let Some(emitted) = self.queue.pop_front() {
            match emitted {
                Emitted::Down(from, event) => match self.routes.down(from, &event) {
                    BOTTOM => {
                        if let Down::Frames(mut frames) = event {
                            out.frames.append(&mut frames);
                        }
                    }
                    i => self.call(now, i, |layer, cx| layer.down(event, cx)),
                },
                Emitted::Up(from, event) => match self.routes.up(from, &event) {
                    TOP => out.events.push(event),
                    i => self.call(now, i, |layer, cx| layer.up(event, cx)),
                },
            }
        }
    }

    fn call(&mut self, now: Time, index: usize, f: impl FnOnce(&mut dyn Layer, &mut Context<'_>)) {
        let mut cx = Context {
            now,
            scope: &self.scope,
            index,
            slots: &self.slots,
            header: self.header,
            queue: &mut self.queue,
            timers: &mut self.timers,
        };
        f(&mut *self.layers[index], &mut cx);
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack for view {} at rank {}", self.scope.view.id, self.scope.me)
    }
}
