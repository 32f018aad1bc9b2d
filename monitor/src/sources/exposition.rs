//! Metrics as text, as Prometheus reads them: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.
//!
//! ```text
//! line   = series value [timestamp] | "#" anything | nothing
//! series = name [ "{" label "=" '"' text '"' { "," … } [","] "}" ]
//! ```
//! Read line by line, without a regard to types: what a number means is known to who names the metric. Bound: [`LABELS`] to a series;
//! the length of the text is the caller's affair.

use std::borrow::Cow;

/// Labels of one series.
const LABELS: usize = 64;

/// A line that is no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("a metric begins with its name, of letters, digits, _ and :")]
    Name,
    #[error("labels are written as {{name=\"text\"}}")]
    Labels,
    #[error("a series has at most {LABELS} labels")]
    TooManyLabels,
    #[error("there is no number after the metric")]
    Number,
    #[error("there is something after the metric's number that is no time")]
    Rest,
}

/// A metric with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series<'t> {
    pub(super) name: &'t str,
    pub(super) labels: Vec<(&'t str, Cow<'t, str>)>,
}

/// Which series are meant: those of a name that have these labels, and perhaps more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selector {
    name: String,
    labels: Vec<(String, String)>,
}

impl Selector {
    pub(super) fn new(text: &str) -> Result<Self, LineError> {
        let (series, rest) = series(text.trim())?;
        if !rest.trim().is_empty() {
            return Err(LineError::Labels);
        }
        let labels = series.labels.into_iter().map(|(name, text)| (name.to_owned(), text.into_owned()));
        Ok(Self { name: series.name.to_owned(), labels: labels.collect() })
    }

    pub(super) fn selects(&self, series: &Series<'_>) -> bool {
        let has = |(name, text): &(String, String)| series.labels.iter().any(|(n, t)| n == name && t == text);
        self.name == series.name && self.labels.iter().all(has)
    }
}

/// The sample that a line says, if it says one.
pub(super) fn sample(line: &str) -> Result<Option<(Series<'_>, f64)>, LineError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (series, rest) = series(line)?;
    let mut words = rest.split_ascii_whitespace();
    let number = words.next().and_then(|word| word.parse().ok()).ok_or(LineError::Number)?;
    let time = words.next().is_none_or(|word| word.parse::<f64>().is_ok());
    if !time || words.next().is_some() {
        return Err(LineError::Rest);
    }
    Ok(Some((series, number)))
}

/// The name that a text begins with, and the rest of it.
fn name<'t>(text: &'t str, also: &[u8]) -> Option<(&'t str, &'t str)> {
    let legal = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_' || also.contains(c);
    let end = text.bytes().position(|c| !legal(&c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

/// The series that a text begins with, and the rest of it.
fn series(text: &str) -> Result<(Series<'_>, &str), LineError> {
    let (metric, rest) = name(text, b":").ok_or(LineError::Name)?;
    let mut series = Series { name: metric, labels: Vec::new() };
    let Some(mut rest) = rest.trim_start().strip_prefix('{') else { return Ok((series, rest)) };
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((series, after));
        }
        if series.labels.len() == LABELS {
            return Err(LineError::TooManyLabels);
        }
        let (label, after) = name(rest, b"").ok_or(LineError::Labels)?;
        let after = after.trim_start().strip_prefix('=').ok_or(LineError::Labels)?;
        let after = after.trim_start().strip_prefix('"').ok_or(LineError::Labels)?;
        let (text, after) = quoted(after).ok_or(LineError::Labels)?;
        series.labels.push((label, text));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return Err(LineError::Labels),
        };
    }
}

/// The text up to the closing quote, and what is after that. A backslash takes the meaning of the next character.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes().get(end) == Some(&b'"') {
        return Some((Cow::Borrowed(text.get(..end)?), text.get(end + 1..)?));
    }
    let mut plain = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((Cow::Owned(plain), text.get(at + 1..)?)),
            '\\' => plain.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => plain.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<(String, usize, f64)> {
        sample(line).unwrap().map(|(series, value)| (series.name.to_owned(), series.labels.len(), value))
    }

    #[test]
    fn lines_say_samples() {
        assert_eq!(read("gcs_members 3"), Some(("gcs_members".to_owned(), 0, 3.0)));
        assert_eq!(read("a:b{} 1e3 1700000000000"), Some(("a:b".to_owned(), 0, 1000.0)));
        assert_eq!(read(" x { a = \"1\" , b=\"2\", } +Inf "), Some(("x".to_owned(), 2, f64::INFINITY)));
        assert!(read("x NaN").is_some_and(|(_, _, value)| value.is_nan()));
        assert_eq!(read("# HELP x y"), None);
        assert_eq!(read(""), None);
        let (series, _) = sample(r#"x{path="C:\\dir\"\n}"} 1"#).unwrap().unwrap();
        assert_eq!(series.labels, [("path", Cow::from("C:\\dir\"\n}"))]);
    }

    #[test]
    fn other_lines_are_errors() {
        for (line, error) in [
            ("9x 1", LineError::Name),
            ("{a=\"b\"} 1", LineError::Name),
            ("x", LineError::Number),
            ("x one", LineError::Number),
            ("x 1 now", LineError::Rest),
            ("x 1 2 3", LineError::Rest),
            ("x{a=\"b} 1", LineError::Labels),
            ("x{a=b} 1", LineError::Labels),
            ("x{a=\"b\" c=\"d\"} 1", LineError::Labels),
            ("x{a=\"b\"", LineError::Labels),
            ("x{a=\"\\", LineError::Labels),
        ] {
            assert_eq!(sample(line), Err(error), "{line}");
        }
        let many = format!("x{{{}}} 1", "a=\"b\",".repeat(65));
        assert_eq!(sample(&many), Err(LineError::TooManyLabels));
    }

    #[test]
    fn selectors_name_series() {
        let (series, _) = sample("m{group=\"a\",member=\"x\"} 1").unwrap().unwrap();
        let selects = |text| Selector::new(text).unwrap().selects(&series);
        assert!(selects("m") && selects("m{member=\"x\"}") && selects("m{member=\"x\",group=\"a\"}"));
        assert!(!selects("n") && !selects("m{group=\"b\"}") && !selects("m{other=\"a\"}"));
        assert!(Selector::new("m 1").is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_a_sample_or_not(line in any::<String>()) {
            let _ = sample(&line);
            let _ = Selector::new(&line);
        }

        #[test]
        fn nearly_right_lines_are_samples_or_not(line in "[a-z:]{0,3}[{]?([a-z]{0,2}=?\"?[\\\\ä\"n]{0,3}\"?,?){0,3}[}]? ?[0-9.e+-]{0,4}( [0-9a]{0,3})?") {
            let _ = sample(&line);
        }

        #[test]
        fn labels_are_read_as_they_were_written(text in any::<String>(), value in -1e9..1e9f64) {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("x{{a=\"{escaped}\"}} {value}");
            let (series, read) = sample(&line).unwrap().unwrap();
            prop_assert_eq!(&series.labels[0].1, &text);
            prop_assert_eq!(read, value);
        }
    }
}
