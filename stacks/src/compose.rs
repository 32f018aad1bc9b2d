//! From properties to a stack: the cheapest legal one that the menu allows.
//!
//! Horus and Ensemble call it "property-driven composition" (Liu, Kreitz, van Renesse et al., "Building reliable,
//! high-performance communication systems from components", SOSP 1999). The menu lists protocols by their height, the
//! place that they take relative to each other. From the bottom up, every protocol whose needs are met is taken or left;
//! of the ways that lead to the same properties only the cheapest goes on.

use crate::{
    besteffort::BestEffort,
    bimodal::Bimodal,
    causal::Causal,
    compress::Compress,
    fec::Fec,
    flow::Flow,
    heartbeat::Heartbeat,
    lateral::Lateral,
    pack::{Pack, PackWithGaps},
    reliable::Reliable,
    sequencer::Sequencer,
    uniform::Uniform,
};
use gcs::{
    layer::{LayerSpec, Protocol},
    properties::Properties,
    stack::{Blueprint, REQUIRED, StackError},
};
use std::{fmt, sync::Arc};

/// A protocol on the menu.
#[derive(Clone)]
pub struct Dish {
    protocol: Arc<dyn Protocol>,
    height: u16,
    cost: u32,
}

impl Dish {
    /// Above everything that orders or holds back frames, and below flow control: the place of most protocols that
    /// are added.
    pub const BELOW_FLOW: u16 = 600;
    /// Directly below the layer that repairs what was lost: the place of those that repair sooner.
    pub const BELOW_RELIABLE: u16 = 150;
    /// Directly above the transport, where frames are repaired already.
    pub const ABOVE_RELIABLE: u16 = 250;
    /// The place of the layer that orders, below `uniform`.
    pub const ORDER: u16 = 400;
    /// Below everything: sees every frame as it travels.
    pub const BOTTOM: u16 = 0;

    /// A protocol with the height [`Dish::BELOW_FLOW`] and the cost of an ordering layer, 20.
    #[must_use]
    pub fn new(protocol: impl Protocol) -> Self {
        Self { protocol: Arc::new(protocol), height: Self::BELOW_FLOW, cost: 20 }
    }

    /// Sets its place: layers stand in the order of their heights. Those on the menu are at 50 (seal), 100 (heartbeat, or
    /// 180 in stacks that sign), 150 (fec), 160 (lateral), 170 (sign), 200 (reliable), 400 (sequencer), 500 (uniform), 550 (causal), 650 (compress), 700 (flow) and 900
    /// (pack).
    #[must_use]
    pub fn at(mut self, height: u16) -> Self {
        self.height = height;
        self
    }

    /// Sets its cost: about how many microseconds it adds to the delivery of a frame, in comparison with the others.
    #[must_use]
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }
}

impl fmt::Debug for Dish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, cost {}", self.protocol.spec().name, self.height, self.cost)
    }
}

/// Why there is no stack with these properties.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Nobody gives them.
    #[error("nothing on the menu gives {missing}; on it are: {menu}. Add a protocol with `compose_with`")]
    Missing {
        /// What nobody gives.
        missing: Properties,
        /// What is on the menu.
        menu: String,
    },
    /// Somebody gives each of them, but no legal stack gives all.
    #[error(
        "no legal stack gives all of {wanted}: the needs of the protocols that do are not met below them"
    )]
    Impossible {
        /// What was wanted, and what every group needs.
        wanted: Properties,
    },
    /// The layers do not make a stack: two protocols have the same name, or there are too many.
    #[error(transparent)]
    Stack(#[from] StackError),
}

/// The cheapest stack with these properties, and those that every group needs.
///
/// # Errors
/// [`ComposeError`] names the properties that cannot be had.
///
/// ```
/// use gcs::properties::Properties;
/// let stack = gcs_stacks::compose(Properties::TOTAL_ORDER | Properties::UNIFORM).unwrap();
/// assert_eq!(stack.fingerprint(), gcs_stacks::named("uniform").unwrap().fingerprint());
/// ```
pub fn compose(wanted: Properties) -> Result<Blueprint, ComposeError> {
    compose_with(wanted, &[])
}

/// [`compose`] with more on the menu.
///
/// A protocol that gives what another one gives is taken if it is cheaper. So a group in which several members send much
/// says that it wants slots for its total order:
///
/// ```
/// use gcs::properties::Properties;
/// use gcs_stacks::{Dish, Slots, compose_with};
/// let slots = Dish::new(Slots).at(Dish::ORDER).cost(10);
/// let stack = compose_with(Properties::TOTAL_ORDER, &[slots]).unwrap();
/// assert_eq!(stack.fingerprint(), gcs_stacks::named("total-slots").unwrap().fingerprint());
/// ```
///
/// # Errors
/// [`ComposeError`] names the properties that cannot be had.
pub fn compose_with(wanted: Properties, extra: &[Dish]) -> Result<Blueprint, ComposeError> {
    let all = wanted | REQUIRED;
    let signed = wanted.contains(Properties::SIGNED);
    let layers = choose(all, menu(false, signed, extra))?;
    // Who waits for acknowledgements wants them at once.
    let uniform = layers.iter().any(|l| l.spec().gives.contains(Properties::UNIFORM));
    let layers = if uniform { choose(all, menu(true, signed, extra))? } else { layers };
    Ok(Blueprint::new(&format!("composed for {wanted}"), layers)?)
}

/// The cost of what promises less: more than any stack without it.
const WEAKER: u32 = 1 << 20;

/// The menu, from the bottom up. Where frames are signed, signs of life are.
fn menu(prompt: bool, signed: bool, extra: &[Dish]) -> Vec<Dish> {
    let mut menu = vec![
        Dish::new(Heartbeat).at(if signed { 180 } else { 100 }).cost(1),
        Dish::new(Fec::default()).at(Dish::BELOW_RELIABLE).cost(10),
        Dish::new(Lateral::default()).at(160).cost(10),
        Dish::new(Reliable { prompt }).at(200).cost(10),
        // They promise less, and do not come into question unless somebody asks for them.
        Dish::new(Bimodal::default()).at(200).cost(WEAKER),
        Dish::new(BestEffort::default()).at(200).cost(WEAKER),
        Dish::new(Sequencer).at(Dish::ORDER).cost(20),
        Dish::new(Uniform).at(500).cost(40),
        Dish::new(Causal).at(550).cost(5),
        Dish::new(Compress::default()).at(650).cost(3),
        Dish::new(Flow::default()).at(700).cost(2),
        Dish::new(Pack).at(900).cost(2),
        Dish::new(PackWithGaps).at(900).cost(3),
    ];
    #[cfg(feature = "encrypted")]
    menu.extend([
        Dish::new(crate::seal::Seal).at(50).cost(15),
        Dish::new(crate::sign::Sign).at(170).cost(100),
    ]);
    menu.extend_from_slice(extra);
    menu.sort_by_key(|d| d.height);
    menu
}

/// The protocols on the menu, from the bottom up.
pub(crate) fn protocols() -> Vec<Arc<dyn Protocol>> {
    menu(false, false, &[]).into_iter().map(|d| d.protocol).collect()
}

/// A way to a stack: what it gives so far, at which cost, with which layers.
#[derive(Clone, Default)]
struct Way {
    gives: Properties,
    cost: u32,
    layers: Vec<Arc<dyn Protocol>>,
}

fn choose(all: Properties, menu: Vec<Dish>) -> Result<Vec<Arc<dyn Protocol>>, ComposeError> {
    let given = menu.iter().fold(Properties::NONE, |sum, d| sum | d.protocol.spec().gives);
    let missing = all.without(given);
    if !missing.is_empty() {
        let names: Vec<_> = menu.iter().map(|d| d.protocol.spec().name).collect();
        return Err(ComposeError::Missing { missing, menu: names.join(", ") });
    }
    let mut ways = vec![Way::default()];
    for dish in menu {
        let spec = dish.protocol.spec();
        let longer: Vec<_> = ways.iter().filter(|w| w.can_have(&spec)).map(|w| w.with(&dish)).collect();
        for way in longer {
            add_cheapest(&mut ways, way);
        }
    }
    let best = ways.into_iter().filter(|w| w.gives.contains(all)).min_by_key(|w| w.cost);
    best.map(|w| w.layers).ok_or(ComposeError::Impossible { wanted: all })
}

impl Way {
    /// Whether the layer can stand on these. Only one ends the view.
    fn can_have(&self, spec: &LayerSpec) -> bool {
        let ends = |p: Properties| p.contains(Properties::VIEW_END);
        self.gives.contains(spec.needs) && !(ends(self.gives) && ends(spec.gives))
    }

    fn with(&self, dish: &Dish) -> Self {
        let mut way = self.clone();
        way.gives = (way.gives | dish.protocol.spec().gives).with_consequences();
        way.cost = way.cost.saturating_add(dish.cost);
        way.layers.push(dish.protocol.clone());
        way
    }

    /// Whether this way leads wherever the other one does, and costs no more.
    fn replaces(&self, other: &Self) -> bool {
        self.gives.contains(other.gives) && self.cost <= other.cost
    }
}

/// Adds a way unless one is as good, and drops those that it makes superfluous.
fn add_cheapest(ways: &mut Vec<Way>, way: Way) {
    if !ways.iter().any(|w| w.replaces(&way)) {
        ways.retain(|w| !way.replaces(w));
        ways.push(way);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue::named, template::Template};
    use gcs::layer::{Layer, Scope, Wants};

    struct Fake(&'static str, Properties, Properties);

    impl Protocol for Fake {
        fn spec(&self) -> LayerSpec {
            LayerSpec { name: self.0, version: 1, needs: self.1, gives: self.2, wants: Wants::ALL }
        }
        fn build(&self, scope: &Scope) -> Box<dyn Layer> {
            Template.build(scope)
        }
    }

    fn layers(stack: &Blueprint) -> Vec<&'static str> {
        stack.layers().map(|l| l.name).collect()
    }

    #[test]
    fn composes_what_the_catalogue_lists() {
        let total = Properties::TOTAL_ORDER;
        for (wanted, name) in [
            (Properties::NONE, "fifo"),
            (Properties::FIFO, "fifo"),
            (Properties::CAUSAL_ORDER, "causal"),
            (Properties::CAUSAL_ORDER | Properties::UNIFORM, "causal+uniform"),
            (Properties::CAUSAL_ORDER | total | Properties::UNIFORM, "uniform"),
            (total, "total"),
            (Properties::FORWARD_CORRECTION, "fifo+fec"),
            (Properties::LATERAL_CORRECTION, "fifo+lateral"),
            (Properties::BEST_EFFORT, "best-effort"),
            (Properties::PROBABILISTIC, "bimodal"),
            (Properties::IN_ORDER | Properties::PROBABILISTIC, "bimodal"),
            (total | Properties::UNIFORM, "uniform"),
        ] {
            let stack = compose(wanted).unwrap();
            assert_eq!(stack.description(), named(name).unwrap().description());
        }
        assert_eq!(
            layers(&compose(Properties::UNIFORM).unwrap()),
            ["heartbeat", "reliable", "uniform", "flow", "pack"]
        );
        assert_eq!(
            compose(total | Properties::UNIFORM | Properties::COMPRESSED).unwrap().fingerprint(),
            named("total+uniform+compressed").unwrap().fingerprint()
        );
        assert_eq!(
            layers(&compose(Properties::COMPRESSED | total).unwrap()),
            ["heartbeat", "reliable", "sequencer", "compress", "flow", "pack"]
        );
    }

    #[test]
    fn what_promises_less_goes_with_nothing_that_promises_more() {
        for weaker in [Properties::BEST_EFFORT, Properties::PROBABILISTIC] {
            for more in [
                Properties::RELIABLE,
                Properties::TOTAL_ORDER,
                Properties::UNIFORM,
                Properties::VIRTUAL_SYNCHRONY,
                Properties::CAUSAL_ORDER,
                Properties::BEST_EFFORT | Properties::PROBABILISTIC,
            ] {
                let error = compose(weaker | more).map(|stack| stack.description()).unwrap_err();
                assert!(matches!(error, ComposeError::Impossible { .. }), "{error}");
            }
        }
        let stack = compose(Properties::PROBABILISTIC | Properties::FORWARD_CORRECTION).unwrap();
        assert_eq!(layers(&stack), ["heartbeat", "fec", "bimodal", "pack-gaps"]);
        let both: Vec<Arc<dyn Protocol>> =
            vec![Arc::new(Reliable::default()), Arc::new(BestEffort::default())];
        let error = Blueprint::new("both", both).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layers `reliable` and `besteffort` both end the view; leave out one of them"
        );
    }

    #[test]
    fn what_nobody_gives_is_named() {
        let few = menu(false, false, &[]).into_iter().filter(|d| d.height > 500).collect();
        let error = choose(Properties::TOTAL_ORDER, few).err().unwrap().to_string();
        assert_eq!(
            error,
            "nothing on the menu gives total; on it are: causal, compress, flow, pack, pack-gaps. Add a protocol with `compose_with`"
        );
    }

    #[test]
    fn protocols_can_be_added() {
        let veil = Fake("veil", Properties::FIFO | Properties::COMPRESSED, Properties::ENCRYPTED);
        let extra = [Dish::new(veil).at(690).cost(1)];
        let stack = compose_with(Properties::ENCRYPTED, &extra).unwrap();
        assert_eq!(layers(&stack), ["heartbeat", "reliable", "compress", "veil", "flow", "pack"]);
        // Nobody wants it: it is not there.
        let stack = compose_with(Properties::NONE, &extra).unwrap();
        assert_eq!(stack.description(), named("fifo").unwrap().description());
    }

    #[test]
    fn the_cheaper_one_is_taken() {
        let extra = |cost| [Dish::new(Fake("token", Properties::FIFO, Properties::TOTAL_ORDER)).cost(cost)];
        assert!(layers(&compose_with(Properties::TOTAL_ORDER, &extra(19)).unwrap()).contains(&"token"));
        assert!(layers(&compose_with(Properties::TOTAL_ORDER, &extra(21)).unwrap()).contains(&"sequencer"));
    }

    #[test]
    fn needs_that_are_met_only_above_make_no_stack() {
        let mut menu = menu(false, false, &[]);
        menu.retain(|d| !d.protocol.spec().gives.contains(Properties::ENCRYPTED));
        menu.insert(0, Dish::new(Fake("low", Properties::FIFO, Properties::ENCRYPTED)).at(Dish::BOTTOM));
        let wanted = Properties::ENCRYPTED | REQUIRED;
        assert_eq!(choose(wanted, menu).err().unwrap(), ComposeError::Impossible { wanted });
    }
}
