//! Times as XML Schema writes them: `xs:duration` and `xs:dateTime`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of either.
const TEXT_MAX: usize = 64;
/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// When something is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expires {
    /// After so long.
    After(Duration),
    /// At a time: seconds since 1970.
    At(u64),
}

impl Expires {
    /// Of either kind. None: neither, or not to be told in seconds from 1970 on (a negative duration, say).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        match duration(text) {
            Some(duration) => Some(Self::After(duration)),
            None => time(text).map(Self::At),
        }
    }
}

/// `P1DT2H3.5S`: a year counts 365 days, a month 30. None: not one, or negative.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('P')?;
    let (days, seconds) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, seconds)) => (days, seconds),
        None if text.is_empty() => return None,
        None => (text, ""),
    };
    let whole = units(days, &[('Y', 365 * DAY_S), ('M', 30 * DAY_S), ('D', DAY_S)])?;
    let (seconds, fraction) = match seconds.strip_suffix('S').and_then(|rest| rest.split_once('.')) {
        Some((rest, digits)) => (format!("{rest}S"), digits),
        None => (seconds.to_owned(), "0"),
    };
    let whole = whole.checked_add(units(&seconds, &[('H', 3600), ('M', 60), ('S', 1)])?)?;
    let milliseconds = digits(fraction)?.chars().chain("000".chars()).take(3).collect::<String>();
    Some(Duration::from_secs(whole) + Duration::from_millis(milliseconds.parse().ok()?))
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())).then_some(text)
}

/// Numbers with these units, each at most once and in this order.
fn units(text: &str, of: &[(char, u64)]) -> Option<u64> {
    let (mut sum, mut rest) = (0_u64, text);
    for (unit, seconds) in of {
        if let Some((number, after)) = rest.split_once(*unit) {
            sum = sum.checked_add(digits(number)?.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
            rest = after;
        }
    }
    rest.is_empty().then_some(sum)
}

/// `2026-11-23T01:02:03.5+02:00`; without a zone, it is UTC. Seconds since 1970. None: not one, or earlier.
fn time(text: &str) -> Option<u64> {
    if !text.is_ascii() || text.len() < 19 {
        return None;
    }
    let (local, zone) = text.split_at(text[19..].find(['Z', '+', '-']).map_or(text.len(), |at| at + 19));
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let local = local.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let Some(sign) = zone.chars().next().filter(|sign| *sign != 'Z') else {
        return (zone.len() <= 1).then_some(local);
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let ahead = hours * 3600 + minutes * 60;
    if sign == '+' { local.checked_sub(ahead) } else { local.checked_add(ahead) }
}

fn two(text: &str) -> Option<u64> {
    (text.len() == 2).then(|| digits(text)?.parse().ok()).flatten()
}

/// As `xs:dateTime`, from milliseconds since 1970.
pub(crate) fn written(ms: u64) -> String {
    // The year 9999 is the last that can be written.
    let at: SystemTime = UNIX_EPOCH + Duration::from_millis(ms.min(253_402_300_799_000));
    humantime::format_rfc3339_millis(at).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_xml_schema_says() {
        for (text, ms) in [
            ("PT0S", 0),
            ("PT60S", 60_000),
            ("PT1H2M3S", 3_723_000),
            ("PT0.5S", 500),
            ("PT1.23456S", 1_234),
            ("P1D", 86_400_000),
            ("P1Y2M3DT4H", ((365 + 60 + 3) * 24 + 4) * 3_600_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "PT1",
            "1H",
            "-PT1S",
            "PT1S1M",
            "PT1H1H",
            "P1S",
            "PT.5S",
            "PT1.S",
            "PT1.5H",
            "P1DT",
            "PT99999999999999999999S",
            "P99999999999999Y",
            "PT+1S",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_xml_schema_says() {
        for (text, s) in [
            ("1970-01-01T00:00:01Z", 1),
            ("2026-11-23T00:00:00Z", 1_795_392_000),
            ("2026-11-23T02:00:00.25+02:00", 1_795_392_000),
            ("2026-11-22T19:30:00-04:30", 1_795_392_000),
            ("2026-11-23T00:00:00", 1_795_392_000),
        ] {
            assert_eq!(Expires::parse(text), Some(Expires::At(s)), "{text}");
        }
        for text in [
            "2026-13-01T00:00:00Z",
            "2026-11-23",
            "2026-11-23T00:00:00+2",
            "2026-11-23T00:00:00Zx",
            "1969-12-31T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-23T00:00:0ä",
        ] {
            assert_eq!(Expires::parse(text), None, "{text}");
        }
        assert_eq!(written(1_795_392_000_250), "2026-11-23T00:00:00.250Z");
        assert_eq!(written(u64::MAX), "9999-12-31T23:59:59.000Z");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[-+PTYMDHSZ0-9.:ä]{0,30}") {
            let _ = Expires::parse(&text);
        }
    }
}
