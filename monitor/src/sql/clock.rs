//! Times as text: seconds since 1970 in the proleptic Gregorian calendar, UTC, without leap seconds.

use std::fmt::Write;

use super::coerce;
use super::eval::Eval;
use super::fault::Fault;
use crate::value::Value;

/// A moment, taken apart.
struct Moment {
    seconds: i64,
    year: i64,
    month: i64,
    day: i64,
    /// From 0, Sunday.
    weekday: i64,
    /// From 1.
    day_of_year: i64,
    second_of_day: i64,
}

const DAY: i64 = 86_400;
/// The years 0 to 9999, as in SQLite.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

impl Moment {
    fn new(seconds: i64) -> Self {
        let (days, second_of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Years begin in March here, so that the day that is not always there comes last; an era is 400 years.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let day_of_year = if month > 2 { of_year + 60 + i64::from(leap) } else { of_year - 305 };
        Self { seconds, year, month, day, weekday: (days + 4).rem_euclid(7), day_of_year, second_of_day }
    }
}

/// STRFTIME(format, seconds).
pub(super) fn strftime(eval: &Eval<'_>, format: &Value, time: &Value) -> Value {
    let (Some(format), Some(time)) = (coerce::text(format), coerce::number(time)) else { return Value::Null };
    let seconds = coerce::truncate(time.float().floor());
    if !(FIRST..=LAST).contains(&seconds) || format.len() > eval.limits.string_bytes {
        return eval.fault(Fault::BadArgument);
    }
    eval.charge_bytes(8 * format.len());
    let moment = Moment::new(seconds);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if !chars.next().is_some_and(|field| moment.write(&mut out, field)) {
            return eval.fault(Fault::BadArgument);
        }
    }
    eval.text(out)
}

impl Moment {
    /// Writes a field; false if there is none of this letter.
    fn write(&self, out: &mut String, field: char) -> bool {
        let (hour, minute, second) =
            (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        let written = match field {
            'Y' => write!(out, "{:04}", self.year),
            'm' => write!(out, "{:02}", self.month),
            'd' => write!(out, "{:02}", self.day),
            'H' => write!(out, "{hour:02}"),
            'M' => write!(out, "{minute:02}"),
            'S' => write!(out, "{second:02}"),
            'j' => write!(out, "{:03}", self.day_of_year),
            'w' => write!(out, "{}", self.weekday),
            'u' => write!(out, "{}", (self.weekday + 6) % 7 + 1),
            's' => write!(out, "{}", self.seconds),
            'F' => write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            '%' => write!(out, "%"),
            _ => return false,
        };
        written.is_ok()
    }
}
