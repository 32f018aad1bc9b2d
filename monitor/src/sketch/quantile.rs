//! The distribution of numbers, in at most 700 bytes.
//!
//! Buckets whose width is relative to what is in them: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch
//! with relative-error guarantees", 2019; when there are too many, each two neighbours become one: Epicoco, Melle, Cafaro,
//! Pulimeno, Morleo, "UDDSketch: accurate tracking of quantiles in data streams", 2020. Deviates in where the
//! buckets are: instead of a logarithm, the exponent of the number and the upper bits of its mantissa, which are
//! exact and the same everywhere, as in HdrHistogram.
//!
//! A bucket at level 0 is 1/128 of a power of two. At level `l` a quantile is wrong by at most `2^l / 256` of itself (see
//! [`QuantileSketch::relative_error`]): 0.4 % for numbers within a factor of four, 1.6 % within a factor of
//! 250, 3.1 % within 65,000, if none of the buckets is empty; numbers that are few or in few places need fewer. Smallest and
//! largest are exact.
//!
//! ```text
//! sketch = 0xd1, level, min: f64, max: f64, n, first key (zigzag), its count, (n - 1) × (distance to the next key, its count)
//! ```

use std::collections::BTreeMap;

use super::varint;

/// Bits of the mantissa that a bucket of level 0 tells apart.
const SUB_BITS: u32 = 7;
const SHIFT: u32 = 52 - SUB_BITS;
const MAGIC: u8 = 0xd1;
const MAX_BUCKETS: usize = 256;
/// At this level all positive numbers are in one bucket.
const MAX_LEVEL: u8 = 18;
const HEADER: usize = 2 + 16;

/// How many numbers there were of about which size.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileSketch {
    /// How often neighbours were made one.
    level: u8,
    /// How many numbers by bucket: 0 is zero, positive keys are positive numbers, negative keys negative ones.
    buckets: BTreeMap<i32, u64>,
    min: f64,
    max: f64,
}

impl Default for QuantileSketch {
    fn default() -> Self {
        Self { level: 0, buckets: BTreeMap::new(), min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl QuantileSketch {
    /// The longest that [`QuantileSketch::encode`] makes it.
    pub const MAX_BYTES: usize = 700;

    /// Adds a number; what is not finite is left out.
    pub fn add(&mut self, number: f64) {
        if number.is_finite() {
            let number = number + 0.0; // -0.0 would make it a matter of order which of the two zeros is the smallest
            self.min = self.min.min(number);
            self.max = self.max.max(number);
            self.count_into(key(number, self.level), 1);
        }
    }

    /// Adds what the other has seen. Counts that would overflow stay at the largest there is.
    pub fn merge(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        while self.level < other.level {
            self.collapse();
        }
        for (&at, &count) in &other.buckets {
            let at = (other.level..self.level).fold(at, |at, _| coarser(at));
            self.count_into(at, count);
        }
    }

    /// How many numbers were added.
    pub fn count(&self) -> u64 {
        self.buckets.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// At most how wrong a quantile is, as a share of itself.
    pub fn relative_error(&self) -> f64 {
        // A bucket from a to b is answered by 2ab/(a+b), which is off by (b-a)/(b+a) of either end.
        let width = f64::from(1u32 << self.level) / f64::from(1u32 << SUB_BITS);
        if width <= 1.0 { width / (2.0 + width) } else { 1.0 }
    }

    /// The number that the share `q` of all numbers is not above; 0 is the smallest, 1 the largest, and both are exact.
    /// `None` if there are no numbers or `q` is not a share.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = ((q * total as f64).ceil() as u64).clamp(1, total);
        if rank == 1 {
            return Some(self.min);
        }
        if rank == total {
            return Some(self.max);
        }
        let mut below = 0u64;
        let at = self.buckets.iter().find(|(_, count)| {
            below = below.saturating_add(**count);
            below >= rank
        });
        at.map(|(&at, _)| middle(at, self.level).clamp(self.min, self.max))
    }

    fn count_into(&mut self, at: i32, count: u64) {
        let bucket = self.buckets.entry(at).or_insert(0);
        *bucket = bucket.saturating_add(count);
        // Which level this ends at depends only on what was added, not on the order: a part of it never needs a higher one.
        while self.buckets.len() > MAX_BUCKETS {
            let wanted = self.level + 1;
            self.collapse();
            debug_assert_eq!(self.level, wanted);
        }
    }

    /// Makes one bucket of each two neighbours.
    fn collapse(&mut self) {
        self.level += 1;
        let fine = std::mem::take(&mut self.buckets);
        for (at, count) in fine {
            let bucket = self.buckets.entry(coarser(at)).or_insert(0);
            *bucket = bucket.saturating_add(count);
        }
    }

    /// Length of the encoding.
    fn encoded_len(&self) -> usize {
        let mut previous = None;
        let entries = self.buckets.iter().map(|(&at, &count)| {
            let step = previous.replace(at).map_or_else(|| zigzag(at), |previous| (at - previous) as u64);
            varint::len(step) + varint::len(count)
        });
        HEADER + varint::len(self.buckets.len() as u64) + entries.sum::<usize>()
    }

    /// The sketch as bytes, always the same for the same numbers: made coarser until it fits [`QuantileSketch::MAX_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut sketch = self.clone();
        while sketch.encoded_len() > Self::MAX_BYTES && sketch.level < MAX_LEVEL {
            sketch.collapse();
        }
        let mut out = vec![MAGIC, sketch.level];
        out.extend(sketch.min.to_le_bytes());
        out.extend(sketch.max.to_le_bytes());
        varint::put(&mut out, sketch.buckets.len() as u64);
        let mut previous = None;
        for (&at, &count) in &sketch.buckets {
            varint::put(
                &mut out,
                previous.replace(at).map_or_else(|| zigzag(at), |previous| (at - previous) as u64),
            );
            varint::put(&mut out, count);
        }
        out
    }

    /// The sketch that these bytes say; `None` unless [`QuantileSketch::encode`] made them.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[magic, level], rest) = bytes.split_first_chunk::<2>()?;
        let (min, rest) = rest.split_first_chunk::<8>()?;
        let (max, mut rest) = rest.split_first_chunk::<8>()?;
        let (min, max) = (f64::from_le_bytes(*min), f64::from_le_bytes(*max));
        let length = varint::take(&mut rest)?;
        let negative_zero = [min, max].iter().any(|end| *end == 0.0 && end.is_sign_negative());
        if negative_zero
            || magic != MAGIC
            || level > MAX_LEVEL
            || bytes.len() > Self::MAX_BYTES
            || length > MAX_BUCKETS as u64
        {
            return None;
        }
        let mut sketch = Self { level, buckets: BTreeMap::new(), min, max };
        let mut at = 0i64;
        for n in 0..length {
            let step = varint::take(&mut rest)?;
            at = if n == 0 { unzigzag(step) } else { at.checked_add(i64::try_from(step).ok()?)? };
            let count = varint::take(&mut rest)?;
            let fits = at.unsigned_abs() <= u64::from(LARGEST >> level) + 1;
            if !fits || count == 0 || (n > 0 && step == 0) {
                return None;
            }
            sketch.buckets.insert(at as i32, count);
        }
        let ends = match (sketch.buckets.first_key_value(), sketch.buckets.last_key_value()) {
            (Some((&first, _)), Some((&last, _))) => {
                min.is_finite()
                    && max.is_finite()
                    && min <= max
                    && key(min, level) == first
                    && key(max, level) == last
            }
            _ => level == 0 && min == f64::INFINITY && max == f64::NEG_INFINITY,
        };
        (rest.is_empty() && ends).then_some(sketch)
    }
}

/// The place of the largest finite number at level 0, from 0.
const LARGEST: u32 = (0x7fef_ffff_ffff_ffff_u64 >> SHIFT) as u32;

/// The bucket of a finite number.
fn key(number: f64, level: u8) -> i32 {
    if number == 0.0 {
        return 0;
    }
    let place = (number.abs().to_bits() >> SHIFT) as i32 >> level;
    if number > 0.0 { place + 1 } else { -(place + 1) }
}

/// The bucket of the next level that this one becomes a part of.
fn coarser(at: i32) -> i32 {
    match at {
        0 => 0,
        1.. => ((at - 1) >> 1) + 1,
        _ => -(((-at - 1) >> 1) + 1),
    }
}

/// The number that is least wrong for all in the bucket.
fn middle(at: i32, level: u8) -> f64 {
    if at == 0 {
        return 0.0;
    }
    let place = u64::from(at.unsigned_abs() - 1);
    let low = f64::from_bits((place << level) << SHIFT);
    let high = f64::from_bits(((place + 1) << level << SHIFT).min(f64::MAX.to_bits()));
    // The harmonic mean, written so that it does not overflow.
    let middle = 2.0 * low * (1.0 / (1.0 + low / high));
    middle.copysign(f64::from(at))
}

fn zigzag(at: i32) -> u64 {
    u64::from(((at << 1) ^ (at >> 31)) as u32)
}

fn unzigzag(bits: u64) -> i64 {
    ((bits >> 1) as i64) ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = f64>) -> QuantileSketch {
        let mut sketch = QuantileSketch::default();
        numbers.into_iter().for_each(|number| sketch.add(number));
        sketch
    }

    #[test]
    fn nothing_and_one_number() {
        assert_eq!(of([]).quantile(0.5), None);
        assert_eq!(of([f64::NAN, f64::INFINITY]).count(), 0);
        assert_eq!(of([0.1]).quantile(0.5), Some(0.1));
        assert_eq!(of([0.1]).quantile(1.5), None);
        assert_eq!(QuantileSketch::decode(&of([]).encode()), Some(of([])));
    }

    #[test]
    fn latencies_over_three_powers_of_ten() {
        let mut numbers: Vec<f64> =
            (0..20_000u64).map(|n| 1e-3 * (1.0 + (n * n % 9_973) as f64 / 10.0)).collect();
        let sketch = QuantileSketch::decode(&of(numbers.iter().copied()).encode()).expect("its own bytes");
        assert!(sketch.relative_error() < 0.016, "{}", sketch.relative_error());
        numbers.sort_by(f64::total_cmp);
        for q in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = numbers[((q * 20_000.0f64).ceil() as usize).max(1) - 1];
            let error = (sketch.quantile(q).expect("numbers") / exact - 1.0).abs();
            assert!(error <= sketch.relative_error() + 1e-12, "{q}: {error}");
        }
    }

    #[test]
    fn the_worst_there_is_fits() {
        let all =
            (0..64).flat_map(|e| (0..2_000).map(move |m| f64::from(m).exp2().min(1e300) * 1.1f64.powi(e)));
        let mut sketch = of(all.flat_map(|number| [number, -number, 1.0 / number]));
        for _ in 0..70 {
            let same = sketch.clone();
            sketch.merge(&same); // counts of 64 bits
        }
        let bytes = sketch.encode();
        assert!(bytes.len() <= QuantileSketch::MAX_BYTES);
        assert!(QuantileSketch::decode(&bytes).is_some());
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter(numbers in prop::collection::vec(-1e9..1e9f64, 0..600), cut in 0..600usize) {
            let whole = of(numbers.iter().copied());
            let cut = cut.min(numbers.len());
            let mut parts = of(numbers[cut..].iter().rev().copied());
            parts.merge(&of(numbers[..cut].iter().copied()));
            prop_assert_eq!(whole.encode(), parts.encode());
            prop_assert_eq!(parts, whole);
        }

        #[test]
        fn hostile_bytes_are_refused_or_are_a_sketch(tail in prop::collection::vec(any::<u8>(), 0..80), level in 0..20u8) {
            let bytes: Vec<u8> = [MAGIC, level].into_iter().chain(tail).collect();
            if let Some(sketch) = QuantileSketch::decode(&bytes) {
                prop_assert_eq!(sketch.encode(), bytes);
            }
        }
    }
}
