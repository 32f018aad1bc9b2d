//! What an endpoint says of itself, for people who look for the cause of something: names and values, one a line.

use crate::view::View;
use std::fmt::{self, Display, Write as _};

/// Lines of `name: value`, in sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    text: String,
}

impl Report {
    /// The lines that follow are about this.
    pub fn section(&mut self, title: impl Display) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.text, "{gap}[{}]", one_line(title));
    }

    /// A line.
    pub fn say(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.text, "{name}: {}", one_line(value));
    }

    /// The names of the members in a mask of ranks.
    #[must_use]
    pub fn names(view: &View, mask: u64) -> String {
        let members = view.members.iter().enumerate().filter(|(r, _)| mask >> r & 1 == 1);
        let names: Vec<_> = members.map(|(_, m)| &*m.name).collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    }
}

/// Names come from other processes: they must not look like lines of their own.
fn one_line(value: impl Display) -> String {
    value.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line() {
        let mut r = Report::default();
        r.section("member");
        r.say("name", "a\n[layer]\nqueue: 0");
        r.section("layer flow");
        r.say("credit", true);
        assert_eq!(r.to_string(), "[member]\nname: a [layer] queue: 0\n\n[layer flow]\ncredit: true\n");
    }
}
