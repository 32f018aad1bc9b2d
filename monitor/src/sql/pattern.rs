//! `LIKE` and `GLOB`, in time proportional to text × pattern at worst.
//!
//! A star is tried with nothing first, then with one character more each time the rest does not fit. Only the last star
//! passed is ever tried again: whatever an earlier one could take more, the last one can, too. So nothing is
//! exponential.

use std::borrow::Cow;

use super::coerce;
use super::eval::Eval;
use super::fault::Fault;
use crate::value::Value;

/// Bytes of a pattern.
const MAX_PATTERN: usize = 1024;

/// A part of a pattern that takes one character, or a star.
enum Part<'p> {
    Star,
    Any,
    /// This character; without regard to case if the flag is set.
    One(char, bool),
    /// One of a set, `[a-z]` or `[^a-z]`: what is between the brackets.
    Set(&'p str, bool),
    /// Fits nothing: a set without end, an escape before nothing.
    Broken,
}

/// The text, the pattern, or NULL for the whole.
fn operands<'v>(
    eval: &Eval<'_>,
    text: &'v Value,
    pattern: &'v Value,
) -> Result<(Cow<'v, str>, Cow<'v, str>), Value> {
    let (Some(text), Some(pattern)) = (coerce::text(text), coerce::text(pattern)) else {
        return Err(Value::Null);
    };
    if pattern.len() > MAX_PATTERN {
        return Err(eval.fault(Fault::PatternTooLong));
    }
    if !eval.charge_bytes(text.len().saturating_mul(pattern.len().max(1))) {
        return Err(Value::Null);
    }
    Ok((text, pattern))
}

/// `text LIKE pattern`: `%` takes anything, `_` one character; case of ASCII letters does not matter.
pub(super) fn like(eval: &Eval<'_>, text: &Value, pattern: &Value, escape: Option<char>) -> Value {
    match operands(eval, text, pattern) {
        Ok((text, pattern)) => Value::truth(fits(&text, &pattern, |rest| like_part(rest, escape))),
        Err(null) => null,
    }
}

/// `text GLOB pattern`: `*` takes anything, `?` one character, `[…]` one of a set; case matters.
pub(super) fn glob(eval: &Eval<'_>, text: &Value, pattern: &Value) -> Value {
    match operands(eval, text, pattern) {
        Ok((text, pattern)) => Value::truth(fits(&text, &pattern, glob_part)),
        Err(null) => null,
    }
}

/// The first part of a pattern that is not empty, and what follows it.
fn like_part(pattern: &str, escape: Option<char>) -> Option<(Part<'_>, &str)> {
    let mut chars = pattern.chars();
    let part = match chars.next()? {
        c if Some(c) == escape => chars.next().map_or(Part::Broken, |c| Part::One(c, true)),
        '%' => Part::Star,
        '_' => Part::Any,
        c => Part::One(c, true),
    };
    Some((part, chars.as_str()))
}

fn glob_part(pattern: &str) -> Option<(Part<'_>, &str)> {
    let mut chars = pattern.chars();
    let part = match chars.next()? {
        '*' => Part::Star,
        '?' => Part::Any,
        '[' => {
            let rest = chars.as_str();
            let inverted = rest.starts_with('^');
            let set = &rest[usize::from(inverted)..];
            // A bracket that comes first is a member of the set.
            let first = set.chars().next().map_or(0, char::len_utf8);
            let Some(end) = set[first..].find(']').map(|end| end + first) else {
                return Some((Part::Broken, ""));
            };
            return Some((Part::Set(&set[..end], inverted), &set[end + 1..]));
        }
        c => Part::One(c, false),
    };
    Some((part, chars.as_str()))
}

impl Part<'_> {
    fn takes(&self, c: char) -> bool {
        match self {
            Part::Star | Part::Broken => false,
            Part::Any => true,
            Part::One(one, any_case) => c == *one || *any_case && c.eq_ignore_ascii_case(one),
            Part::Set(set, inverted) => in_set(set, c) != *inverted,
        }
    }
}

/// Whether a set such as `a-z_` has a character.
fn in_set(set: &str, c: char) -> bool {
    let mut members = set.chars();
    let mut found = false;
    while let Some(from) = members.next() {
        let mut ahead = members.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                found |= (from..=to).contains(&c);
                members = ahead;
            }
            _ => found |= from == c,
        }
    }
    found
}

fn fits<'p>(text: &str, pattern: &'p str, part: impl Fn(&'p str) -> Option<(Part<'p>, &'p str)>) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    // What follows the last star, and what of the text it has not taken yet.
    let mut star: Option<(&str, &'p str)> = None;
    loop {
        let step = part(pattern);
        if let Some((Part::Star, rest)) = step {
            star = Some((text, rest));
            pattern = rest;
            continue;
        }
        let mut chars = text.chars();
        match (step, chars.next()) {
            (None, None) => return true,
            (Some((part, rest)), Some(c)) if part.takes(c) => {
                text = chars.as_str();
                pattern = rest;
            }
            (_, next) => {
                // Nothing left that the star could take.
                let (Some((from, rest)), true) = (star, next.is_some()) else { return false };
                let mut chars = from.chars();
                chars.next();
                text = chars.as_str();
                pattern = rest;
                star = Some((text, rest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        fits(text, pattern, |rest| like_part(rest, Some('!')))
    }

    fn glob(text: &str, pattern: &str) -> bool {
        fits(text, pattern, glob_part)
    }

    #[test]
    fn like_as_everybody_knows_it() {
        assert!(like("Host12", "host%") && like("", "%") && like("abc", "a_c") && like("a%b", "a!%b"));
        assert!(
            !like("axb", "a!%b")
                && !like("ab", "a")
                && !like("a", "ab")
                && !like("", "_")
                && !like("a", "a!")
        );
        assert!(like("aXbXc", "%x%x%") && like("äb", "_b"));
    }

    #[test]
    fn glob_as_shells_know_it() {
        assert!(glob("db-7", "db-[0-9]") && glob("a]", "a[]]") && glob("x", "[^a-c]") && glob("-", "[a-]"));
        assert!(!glob("Db", "db") && !glob("b", "[^a-c]") && !glob("a", "[a") && !glob("", "?"));
    }

    #[test]
    fn many_stars_take_no_longer_than_one() {
        let text = "a".repeat(4096);
        let pattern = "%a".repeat(400) + "b";
        assert!(!like(&text, &pattern));
        assert!(!glob(&text, &("*a".repeat(400) + "b")));
    }
}
