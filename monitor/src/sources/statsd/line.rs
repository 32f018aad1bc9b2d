//! One line of a statsd datagram.
//!
//! ```text
//! line = name ":" value { ":" value } "|" kind [ "|@" rate ] { "|" anything }
//! kind = "c" | "g" | "ms" | "h" | "d" | "s"
//! ```
//! Several values, histograms, distributions and tags are as Datadog has them; tags do not count.

use super::Ignored;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events.
    Counter,
    /// A level.
    Gauge,
    /// Numbers of which the distribution matters.
    Timer,
    /// Texts of which the number of different ones matters.
    Set,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line<'t> {
    pub(super) name: &'t str,
    pub(super) kind: Kind,
    /// Values, separated by colons.
    pub(super) values: &'t str,
    /// One of how many events was sent; at least 1.
    pub(super) one_in: f64,
}

/// The least share of events that may be sent.
const LEAST_RATE: f64 = 1e-6;

/// What a line says.
pub(super) fn read(line: &str) -> Result<Line<'_>, Ignored> {
    let (name, rest) = line.split_once(':').ok_or(Ignored::Line)?;
    let mut parts = rest.split('|');
    let values = parts.next().ok_or(Ignored::Line)?;
    let kind = match parts.next() {
        Some("c") => Kind::Counter,
        Some("g") => Kind::Gauge,
        Some("ms" | "h" | "d") => Kind::Timer,
        Some("s") => Kind::Set,
        _ => return Err(Ignored::Line),
    };
    let mut one_in = 1.0;
    for part in parts {
        if let Some(rate) = part.strip_prefix('@') {
            let rate: f64 = rate.parse().map_err(|_| Ignored::Line)?;
            if !(LEAST_RATE..=1.0).contains(&rate) {
                return Err(Ignored::Line);
            }
            one_in = 1.0 / rate;
        }
    }
    if name.is_empty() || values.is_empty() {
        return Err(Ignored::Line);
    }
    Ok(Line { name, kind, values, one_in })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_all_kinds() {
        let line = |name, kind, values, one_in| Ok(Line { name, kind, values, one_in });
        assert_eq!(read("hits:1|c"), line("hits", Kind::Counter, "1", 1.0));
        assert_eq!(read("hits:2|c|@0.25|#a:b"), line("hits", Kind::Counter, "2", 4.0));
        assert_eq!(read("q:-3|g"), line("q", Kind::Gauge, "-3", 1.0));
        assert_eq!(read("t:1:2:3|ms|#x"), line("t", Kind::Timer, "1:2:3", 1.0));
        assert_eq!(read("u:ann|s"), line("u", Kind::Set, "ann", 1.0));
    }

    #[test]
    fn other_lines_are_ignored() {
        for bad in [
            "",
            "x",
            "x:",
            ":1|c",
            "x:1",
            "x:1|",
            "x:1|q",
            "x:|c",
            "x:1|c|@0",
            "x:1|c|@2",
            "x:1|c|@nan",
            "x:1|c|@",
        ] {
            assert_eq!(read(bad), Err(Ignored::Line), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_ignored(line in any::<String>(), near in "[a-z.]{0,4}:?[0-9+-]{0,3}[|]?(c|g|ms|s|x)?([|]@[0-9.]{0,3})?") {
            let _ = (read(&line), read(&near));
        }
    }
}
