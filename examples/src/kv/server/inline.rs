//! Inline commands: a line of words, as typed into a terminal. Quotes as in Redis: `"\x41\n"` with escapes, `'it\'s'`
//! without.

/// Splits a line into words. `None` if a quote is not closed, or something other than a space follows a closing one.
pub(super) fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Some(words)
}

fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let [byte, after @ ..] = rest {
        match byte {
            b'"' | b'\'' => {
                rest = quoted(after, *byte, &mut word)?;
                let ended = rest.first().is_none_or(u8::is_ascii_whitespace);
                return ended.then_some((word, rest));
            }
            byte if byte.is_ascii_whitespace() => break,
            byte => word.push(*byte),
        }
        rest = after;
    }
    Some((word, rest))
}

/// Appends what is before the closing quote to `word`; returns what is after it.
fn quoted<'a>(mut rest: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [byte, after @ ..] if *byte == quote => return Some(after),
            [b'\\', b'x', high, low, after @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(digit(*high) << 4 | digit(*low));
                after
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [b'\\', b'\'', after @ ..] if quote == b'\'' => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        }
    }
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_split_as_in_redis() {
        let split = |line: &str| words(line.as_bytes()).map(|words| words.join(&b'|'));
        assert_eq!(split("  set  key value ").as_deref(), Some(&b"set|key|value"[..]));
        assert_eq!(split(r#"a "b c" 'd e'"#).as_deref(), Some(&b"a|b c|d e"[..]));
        assert_eq!(split(r#""\x41\n\"\\" 'it\'s \n'"#).as_deref(), Some(&b"A\n\"\\|it's \\n"[..]));
        assert_eq!(split(r#""" x"#).as_deref(), Some(&b"|x"[..]));
        assert_eq!(split("").as_deref(), Some(&b""[..]));
        for unbalanced in ["\"a", "'a", "\"a\"b", "'a'b", "a\"b", "\"a\\"] {
            assert_eq!(split(unbalanced), None, "{unbalanced}");
        }
    }
}
