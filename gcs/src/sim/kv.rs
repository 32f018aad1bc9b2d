//! The operations of the small replicated map that the simulator's own application is: registers named by a byte.

/// An operation on one register. Registers hold 0 at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// What does the register hold?
    Read {
        /// The register.
        key: u8,
    },
    /// Let it hold this.
    Write {
        /// The register.
        key: u8,
        /// The new value.
        value: u64,
    },
    /// Let it hold `new`, if it holds `expected`.
    Swap {
        /// The register.
        key: u8,
        /// What it must hold for that.
        expected: u64,
        /// The new value.
        new: u64,
    },
}

impl Op {
    /// The register that it is about.
    #[must_use]
    pub fn key(self) -> u8 {
        match self {
            Self::Read { key } | Self::Write { key, .. } | Self::Swap { key, .. } => key,
        }
    }

    /// What the register holds afterwards if it held `value` before. The answer to every operation is `value`.
    #[must_use]
    pub fn apply(self, value: u64) -> u64 {
        match self {
            Self::Read { .. } => value,
            Self::Write { value: new, .. } => new,
            Self::Swap { expected, new, .. } => {
                if value == expected {
                    new
                } else {
                    value
                }
            }
        }
    }

    /// As bytes: kind, register, two words.
    #[must_use]
    pub fn encode(self) -> [u8; 18] {
        let (kind, a, b) = match self {
            Self::Read { .. } => (1, 0, 0),
            Self::Write { value, .. } => (2, value, 0),
            Self::Swap { expected, new, .. } => (3, expected, new),
        };
        let mut bytes = [0; 18];
        bytes[0] = kind;
        bytes[1] = self.key();
        bytes[2..10].copy_from_slice(&a.to_le_bytes());
        bytes[10..].copy_from_slice(&b.to_le_bytes());
        bytes
    }

    /// From bytes that begin with an encoded operation; None if they do not.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let b = bytes.first_chunk::<18>()?;
        let word = |at: usize| {
            let mut w = [0; 8];
            w.copy_from_slice(&b[at..at + 8]);
            u64::from_le_bytes(w)
        };
        let key = b[1];
        match b[0] {
            1 => Some(Self::Read { key }),
            2 => Some(Self::Write { key, value: word(2) }),
            3 => Some(Self::Swap { key, expected: word(2), new: word(10) }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_back() {
        for op in
            [Op::Read { key: 3 }, Op::Write { key: 0, value: 9 }, Op::Swap { key: 255, expected: 1, new: 2 }]
        {
            assert_eq!(Op::decode(&op.encode()), Some(op));
        }
        assert_eq!(Op::decode(&[0; 18]), None);
        assert_eq!(Op::decode(&[1; 17]), None);
    }

    #[test]
    fn a_swap_needs_what_it_expects() {
        let swap = Op::Swap { key: 0, expected: 1, new: 2 };
        assert_eq!((swap.apply(1), swap.apply(3)), (2, 3));
    }
}
