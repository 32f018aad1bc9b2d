//! What went wrong in single values: they are NULL, the rest of the answer stands, and the answer says so.

use std::fmt;

/// Why a value is NULL that might not have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Fault {
    /// A sum, or an absolute value, is beyond 64 bits.
    IntegerOverflow,
    /// A text would be longer than allowed.
    TextTooLong,
    /// A pattern is too long.
    PatternTooLong,
    /// Integers and bytes, or bytes of a length without bound, came together in BIT_AND or BIT_OR.
    MixedBitmaps,
    /// Bytes were given as a sketch that are none.
    NotASketch,
    /// An argument is outside of what the function takes.
    BadArgument,
}

impl Fault {
    const ALL: [Self; 6] = [
        Self::IntegerOverflow,
        Self::TextTooLong,
        Self::PatternTooLong,
        Self::MixedBitmaps,
        Self::NotASketch,
        Self::BadArgument,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IntegerOverflow => "an integer is beyond 64 bits; add 0.0 to compute with floats",
            Self::TextTooLong => "a text is longer than allowed; cut it with SUBSTR",
            Self::PatternTooLong => "a pattern is longer than allowed; shorten it",
            Self::MixedBitmaps => "bitmaps of integers and of bytes do not mix; give one column one kind",
            Self::NotASketch => "a value is no sketch; give it what SKETCH or DISTINCT_SKETCH made",
            Self::BadArgument => {
                "a function was given an argument that it does not take; see its description"
            }
        })
    }
}

/// The faults of an evaluation, each kind once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults(u8);

impl Faults {
    /// Adds one.
    pub(super) fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u8)
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether there was one of this kind.
    pub fn contains(&self, fault: Fault) -> bool {
        self.0 & 1 << fault as u8 != 0
    }

    /// The kinds that there were.
    pub fn iter(&self) -> impl Iterator<Item = Fault> + use<> {
        let faults = *self;
        Fault::ALL.into_iter().filter(move |fault| faults.contains(*fault))
    }
}
