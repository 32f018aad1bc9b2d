//! The variance of a population, also from the means, variances and counts of its parts, so that it goes up a tree of zones.
//!
//! Chan, Golub, LeVeque, "Algorithms for computing the sample variance: analysis and recommendations", 1983: the sums of
//! squares that would be subtracted from one another never come up.

use super::super::coerce::{self, Number};
use super::super::error::EvalError;
use super::super::fault::Fault;
use super::Run;
use crate::value::Value;

/// A population, as far as its variance needs it.
#[derive(Debug, Clone, Copy, Default)]
struct Population {
    count: f64,
    mean: f64,
    /// Sum of the squares of the differences from the mean.
    squares: f64,
}

impl Population {
    fn add(&mut self, other: Self) {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        self.squares += other.squares + apart * apart * (self.count * other.count / count);
        self.mean += apart * (other.count / count);
        self.count = count;
    }
}

/// VARIANCE(x), or VARIANCE(mean, variance, count) of groups.
pub(super) fn variance(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let mut all = Population::default();
    if run.call.args.len() == 1 {
        run.each(|value| {
            if let Some(number) = coerce::number(value) {
                all.add(Population { count: 1.0, mean: number.float(), squares: 0.0 });
            }
        })?;
    } else {
        let mut bad = false;
        run.each_frame(|frame| {
            let [mean, variance, count] = [0, 1, 2]
                .map(|n| coerce::number(&run.eval.eval(&run.call.args[n], frame)).map(Number::float));
            if let (Some(mean), Some(variance), Some(count)) = (mean, variance, count) {
                bad |= variance < 0.0 || count < 0.0;
                if count > 0.0 {
                    all.add(Population { count, mean, squares: variance * count });
                }
            }
        })?;
        if bad {
            return Ok(run.eval.fault(Fault::BadArgument));
        }
    }
    Ok(if all.count > 0.0 { Value::float(all.squares / all.count) } else { Value::Null })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[f64]) -> Population {
        let mut all = Population::default();
        numbers.iter().for_each(|mean| all.add(Population { count: 1.0, mean: *mean, squares: 0.0 }));
        all
    }

    #[test]
    fn parts_make_the_whole() {
        let whole = of(&[1.0, 2.0, 4.0, 8.0, 16.0]);
        let mut parts = of(&[1.0, 2.0]);
        parts.add(of(&[4.0, 8.0, 16.0]));
        assert!((parts.squares - whole.squares).abs() < 1e-9);
        assert!((whole.squares / 5.0 - 29.76).abs() < 1e-9);
    }

    #[test]
    fn a_large_mean_does_not_drown_it() {
        let far = of(&[1e9, 1e9 + 1.0, 1e9 + 2.0]);
        assert!((far.squares / 3.0 - 2.0 / 3.0).abs() < 1e-6);
    }
}
