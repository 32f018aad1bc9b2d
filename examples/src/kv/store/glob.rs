//! Glob patterns as KEYS, SCAN and CONFIG GET use them: `*`, `?`, `[a-z]`, `[^a]`, `\` before a literal byte.

/// Whether all of `text` matches `pattern`. Time is bounded by the product of their lengths: only the last `*` is ever
/// tried again, which is enough, since an earlier one that swallowed less leaves the later ones more.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if let Some(next) = text.get(t).and_then(|&byte| match_one(&pattern[p..], byte)) {
            p += next;
            t += 1;
            continue;
        }
        match star {
            Some((after, tried)) if tried < text.len() => {
                star = Some((after, tried + 1));
                (p, t) = (after, tried + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the element at the start of `pattern` (not `*`); the element's length if it matches.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => match_set(set, byte).map(|length| length + 1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// Matches one byte against a set, after its `[`. An unclosed set goes to the end of the pattern.
fn match_set(set: &[u8], byte: u8) -> Option<usize> {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &set[at.min(set.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, yes, no) in [
            ("*", &["", "a", "abc"][..], &[][..]),
            ("", &[""], &["a"]),
            ("h?llo", &["hello", "hallo"], &["hllo", "heello"]),
            ("h*llo", &["hllo", "heeeello"], &["hell"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]),
            ("h[^e]llo", &["hallo", "hbllo"], &["hello"]),
            ("h[a-b]llo", &["hallo", "hbllo"], &["hcllo"]),
            ("h[b-a]llo", &["hallo", "hbllo"], &["hcllo"]),
            ("a*b*c", &["abc", "aXbYc", "abbcbc"], &["ab", "acb"]),
            ("\\*", &["*"], &["a"]),
            ("[\\]]", &["]"], &["a"]),
            ("a[bc", &["ab", "ac"], &["a", "ad"]),
            ("key:*:[0-9]", &["key:a:1", "key::9"], &["key:a:", "key:a:x"]),
        ] {
            yes.iter()
                .for_each(|text| assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}"));
            no.iter()
                .for_each(|text| assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}"));
        }
    }

    #[test]
    fn a_hostile_pattern_takes_bounded_time() {
        let pattern = [b"a*".repeat(1000), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(10_000)));
    }
}
