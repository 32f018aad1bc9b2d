//! What a stack promises, as a set: layers need some from below and give some above.

use std::{fmt, ops::BitOr};

/// A set of properties.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties(u32);

impl Properties {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Members watch each other: silence becomes suspicion, contact with a quorum becomes a lease.
    pub const SUSPICION: Self = Self(1);
    /// Every frame arrives once at every member that stays, gaps are repaired.
    pub const RELIABLE: Self = Self(1 << 1);
    /// Frames of one sender are delivered in the order in which they were sent (O1).
    pub const FIFO: Self = Self(1 << 2);
    /// It is known which frames every member, and which a majority, holds.
    pub const STABILITY: Self = Self(1 << 3);
    /// Members that go from one view to the next delivered the same frames in it (D3 to D6).
    pub const VIRTUAL_SYNCHRONY: Self = Self(1 << 4);
    /// Sending waits for the receivers: memory is bounded.
    pub const FLOW_CONTROL: Self = Self(1 << 5);
    /// One order for all (O3).
    pub const TOTAL_ORDER: Self = Self(1 << 6);
    /// Delivered at one, even one that crashed, means delivered at all survivors (O4, O5).
    pub const UNIFORM: Self = Self(1 << 7);
    /// Small messages share frames, large ones are split: the top of every stack.
    pub const MESSAGES: Self = Self(1 << 8);
    /// Causal order (O2). A total order that is uniform is causal.
    pub const CAUSAL_ORDER: Self = Self(1 << 9);
    /// Sealed against outsiders.
    pub const ENCRYPTED: Self = Self(1 << 10);
    /// Compressed.
    pub const COMPRESSED: Self = Self(1 << 11);
    /// Losses are repaired from redundant frames of the sender, before anybody asks for it.
    pub const FORWARD_CORRECTION: Self = Self(1 << 12);
    /// Losses are repaired from redundant frames of other receivers, before anybody asks for it.
    pub const LATERAL_CORRECTION: Self = Self(1 << 13);

    /// The end of a view is answered: Wedged, `CutHeld`, Closed. Exactly one layer of a stack does that.
    pub const VIEW_END: Self = Self(1 << 14);
    /// Memory is bounded, however slow receivers are.
    pub const BOUNDED: Self = Self(1 << 15);
    /// Frames of one sender never overtake each other, but some may be missing; their numbers show the gaps.
    pub const IN_ORDER: Self = Self(1 << 16);
    /// What is lost stays lost. Views are agreed on, what is delivered in them is not.
    pub const BEST_EFFORT: Self = Self(1 << 17);
    /// What is lost is repaired with high probability, in bounded time, without waiting for anybody. Views are agreed on,
    /// what is delivered in them is not.
    pub const PROBABILISTIC: Self = Self(1 << 18);
    /// No member can make a frame in another one's name.
    pub const SIGNED: Self = Self(1 << 19);

    const NAMES: [&'static str; 20] = [
        "suspicion",
        "reliable",
        "fifo",
        "stability",
        "virtual-synchrony",
        "flow-control",
        "total",
        "uniform",
        "messages",
        "causal",
        "encrypted",
        "compressed",
        "fec",
        "lateral",
        "view-end",
        "bounded",
        "in-order",
        "best-effort",
        "probabilistic",
        "signed",
    ];

    /// Whether all of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set, and what follows from it.
    #[must_use]
    pub const fn with_consequences(self) -> Self {
        if self.contains(Self::TOTAL_ORDER.and(Self::UNIFORM)) { self.and(Self::CAUSAL_ORDER) } else { self }
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many properties there are in the set.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Every property that has a name.
    #[must_use]
    pub const fn all() -> Self {
        Self((1 << Self::NAMES.len()) - 1)
    }

    /// The property with this name, as `Display` writes it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|n| *n == name).map(|i| Self(1 << i))
    }
}

impl BitOr for Properties {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Self::NAMES.iter().enumerate().filter(|(i, _)| self.0 >> i & 1 == 1).map(|(_, n)| *n).collect();
        f.write_str(if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }.as_str())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}
