//! A hash of values that is the same on every machine and in every version.
//!
//! FNV-1a over a canonical form, then two rounds of multiply and xor-shift, so that all bits of the result depend on all bits of
//! the input. It is not secret: whoever chooses values can choose hashes, and so can only do what he could do by lying about
//! how many values there are.

use crate::value::Value;

/// Mixes 64 bits: a bijection in which each input bit changes about half of the output bits.
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits ^ (bits >> 32)
}

/// Where FNV-1a begins.
pub(crate) const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, continued from `state`.
pub(crate) fn fnv(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Hashes a value; values that SQL takes as equal, such as 1 and 1.0, have the same hash.
pub fn hash(value: &Value, seed: u64) -> u64 {
    let start = FNV ^ mix(seed);
    let state = match value {
        Value::Null => fnv(start, &[0]),
        Value::Int(int) => fnv(fnv(start, &[1]), &int.to_le_bytes()),
        // Where an integer could say the same, it does; 2^63 is beyond them.
        Value::Float(float) if float.trunc() == *float && float.abs() < 9_223_372_036_854_775_808.0 => {
            fnv(fnv(start, &[1]), &(*float as i64).to_le_bytes())
        }
        Value::Float(float) => fnv(fnv(start, &[2]), &float.to_bits().to_le_bytes()),
        Value::Text(text) => fnv(fnv(start, &[3]), text.as_bytes()),
        Value::Bytes(bytes) => fnv(fnv(start, &[4]), bytes),
        Value::List(values) => {
            values.iter().fold(fnv(start, &[5]), |state, value| fnv(state, &hash(value, 0).to_le_bytes()))
        }
    };
    mix(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_hashes_and_the_function_never_changes() {
        assert_eq!(hash(&Value::Int(1), 7), hash(&Value::float(1.0), 7));
        assert_ne!(hash(&Value::Int(1), 7), hash(&Value::Int(1), 8));
        assert_ne!(hash(&Value::text("a"), 0), hash(&Value::bytes(*b"a"), 0));
        // Sketches of different versions merge only as long as this holds.
        assert_eq!(hash(&Value::text("host12"), 0), 11_643_409_468_309_812_356);
    }

    #[test]
    fn every_bit_is_about_as_often_set_as_not() {
        let mut ones = [0u32; 64];
        for n in 0..10_000 {
            let hash = hash(&Value::Int(n), 0);
            (0..64).for_each(|bit| ones[bit] += (hash >> bit & 1) as u32);
        }
        assert!(ones.iter().all(|n| (4_700..5_300).contains(n)), "{ones:?}");
    }
}
