//! Generated expressions, as text that both read.
//!
//! A float becomes text with other digits in SQLite (17 of them) than here (as few as needed), so text is made of `text` expressions only, in which
//! floats are quarters.

use crate::choices::Choices;

const COMPARE: [&str; 9] = ["=", "<>", "<", "<=", ">", ">=", "==", "IS", "IS NOT"];

/// A column or a literal, none of whose values is a float with many digits.
pub(crate) fn leaf(choices: &mut Choices<'_>) -> String {
    match choices.pick(12) {
        0..6 => choices.one(&["a", "b", "c", "n", "id"]).to_owned(),
        6 => (choices.pick(12) as i64 - 2).to_string(),
        7 => choices.one(&["0.5", "1.25", "-2.75", "10.0", "1e2"]).to_owned(),
        8 | 9 => choices.one(&["''", "'a'", "'ab'", "'5x'", "'12'", "'é'", "'it''s'"]).to_owned(),
        10 => choices.one(&["x''", "x'61'", "x'6162'", "X'3132'"]).to_owned(),
        _ => choices.one(&["NULL", "TRUE", "FALSE"]).to_owned(),
    }
}

/// Anything of which text can be made in one way only.
pub(crate) fn text(choices: &mut Choices<'_>, depth: usize) -> String {
    if depth == 0 {
        return leaf(choices);
    }
    let depth = depth - 1;
    match choices.pick(20) {
        0..3 => leaf(choices),
        3 | 4 => format!("({} || {})", text(choices, depth), text(choices, depth)),
        5 => format!(
            "{}({})",
            choices.one(&["LOWER", "UPPER", "TRIM", "LTRIM", "RTRIM", "HEX", "TYPEOF"]),
            text(choices, depth)
        ),
        6 => format!(
            "{}({}, {})",
            choices.one(&["TRIM", "LTRIM", "RTRIM"]),
            text(choices, depth),
            text(choices, depth)
        ),
        7 => format!("SUBSTR({}, {})", text(choices, depth), choices.pick(8) as i64 - 3),
        8 | 9 => format!(
            "SUBSTR({}, {}, {})",
            text(choices, depth),
            choices.pick(8) as i64 - 3,
            choices.pick(6) as i64 - 2
        ),
        10 => {
            format!("REPLACE({}, {}, {})", text(choices, depth), text(choices, depth), text(choices, depth))
        }
        11 => format!("COALESCE({}, {})", text(choices, depth), text(choices, depth)),
        12 => format!("IFNULL({}, {})", text(choices, depth), text(choices, depth)),
        13 => format!("NULLIF({}, {})", text(choices, depth), text(choices, depth)),
        14 => {
            format!("IIF({}, {}, {})", condition(choices, depth), text(choices, depth), text(choices, depth))
        }
        15 => format!(
            "CASE WHEN {} THEN {} ELSE {} END",
            condition(choices, depth),
            text(choices, depth),
            text(choices, depth)
        ),
        16 => format!(
            "CASE {} WHEN {} THEN {} WHEN {} THEN {} END",
            any(choices, depth),
            any(choices, depth),
            text(choices, depth),
            any(choices, depth),
            text(choices, depth)
        ),
        // Its type makes SQLite compare in another way; a plus takes that from it.
        17 => format!("(+CAST({} AS {}))", text(choices, depth), choices.one(&["TEXT", "BLOB"])),
        18 => format!("{}({}, {})", choices.one(&["MIN", "MAX"]), text(choices, depth), text(choices, depth)),
        _ => format!("TYPEOF({})", any(choices, depth)),
    }
}

/// Anything.
pub(crate) fn any(choices: &mut Choices<'_>, depth: usize) -> String {
    if depth == 0 {
        return if choices.rarely(6) { "i".to_owned() } else { leaf(choices) };
    }
    let inner = depth - 1;
    match choices.pick(24) {
        0 | 1 => text(choices, depth),
        2..9 => {
            let sign = choices.one(&["+", "-", "*", "/", "%", "+", "&", "|", "<<", ">>"]);
            format!("({} {sign} {})", any(choices, inner), any(choices, inner))
        }
        9 => format!("({} {})", choices.one(&["-", "+", "~", "NOT"]), any(choices, inner)),
        10 => format!("ABS({})", any(choices, inner)),
        11 => format!("ROUND({})", leaf(choices)),
        12 => format!("ROUND({}, {})", leaf(choices), choices.pick(4)),
        13 => format!("SIGN({})", any(choices, inner)),
        14 => format!("LENGTH({})", text(choices, inner)),
        15 => format!("INSTR({}, {})", text(choices, inner), text(choices, inner)),
        16 => format!("(+CAST({} AS {}))", any(choices, inner), choices.one(&["INTEGER", "REAL"])),
        17 => format!(
            "{}({}, {}, {})",
            choices.one(&["MIN", "MAX"]),
            any(choices, inner),
            any(choices, inner),
            any(choices, inner)
        ),
        18 => format!("COALESCE({}, {}, {})", any(choices, inner), any(choices, inner), any(choices, inner)),
        19 => format!(
            "CASE WHEN {} THEN {} ELSE {} END",
            condition(choices, inner),
            any(choices, inner),
            any(choices, inner)
        ),
        20 => format!("NULLIF({}, {})", any(choices, inner), any(choices, inner)),
        _ => format!("({})", condition(choices, inner)),
    }
}

/// A condition.
pub(crate) fn condition(choices: &mut Choices<'_>, depth: usize) -> String {
    if depth == 0 {
        return format!("{} {} {}", leaf(choices), choices.one(&COMPARE), leaf(choices));
    }
    let inner = depth - 1;
    let not = |choices: &mut Choices<'_>| if choices.rarely(3) { "NOT " } else { "" };
    match choices.pick(17) {
        0..4 => format!("{} {} {}", any(choices, inner), choices.one(&COMPARE), any(choices, inner)),
        // Where a float is no longer next to the integer that it would be rounded to.
        16 => {
            let edge = [
                "9007199254740992.0",
                "-9007199254740992.0",
                "9223372036854775808.0",
                "4611686018427387904.0",
                "-9223372036854775808.0",
            ];
            format!("i {} {}", choices.one(&COMPARE), choices.one(&edge))
        }
        4 => format!("({} AND {})", condition(choices, inner), condition(choices, inner)),
        5 => format!("({} OR {})", condition(choices, inner), condition(choices, inner)),
        6 => format!(
            "({} OR {} OR {})",
            condition(choices, inner),
            any(choices, inner),
            condition(choices, inner)
        ),
        7 => format!("NOT ({})", condition(choices, inner)),
        8 => format!("{} IS {}NULL", any(choices, inner), not(choices)),
        9 => format!(
            "{} {}BETWEEN {} AND {}",
            any(choices, inner),
            not(choices),
            any(choices, inner),
            any(choices, inner)
        ),
        10 => format!(
            "{} {}IN ({}, {})",
            any(choices, inner),
            not(choices),
            any(choices, inner),
            any(choices, inner)
        ),
        // SQLite reads it as the literal FALSE, which asks another question after IS.
        11 => format!("(0 + ({} IN ()))", any(choices, inner)),
        12 | 13 => {
            let pattern = choices.one(&[
                "'a%'", "'%B%'", "'_'", "'%'", "''", "'A_%'", "'%z z%'", "b", "c", "a || '%'", "NULL",
            ]);
            let escape = if choices.rarely(4) { " ESCAPE 'z'" } else { "" };
            format!("{} {}LIKE {pattern}{escape}", text(choices, inner), not(choices))
        }
        14 => {
            let pattern = choices.one(&[
                "'a*'", "'*b*'", "'?'", "'*'", "''", "'[a-c]*'", "'[^a]*'", "'[]b]'", "'[a'", "'*[0-9]'", "b",
            ]);
            format!("{} {}GLOB {pattern}", text(choices, inner), not(choices))
        }
        _ => format!("{} IS {}{}", any(choices, inner), not(choices), choices.one(&["TRUE", "FALSE"])),
    }
}

/// Operators and operands one after the other, without parentheses.
pub(crate) fn chain(choices: &mut Choices<'_>) -> String {
    let operand = |choices: &mut Choices<'_>| {
        let sign = choices.one(&["", "", "", "", "-", "~", "+", "NOT "]);
        // Two signs would begin a comment.
        let leaf = leaf(choices);
        if leaf.starts_with('-') && sign == "-" { leaf } else { format!("{sign}{leaf}") }
    };
    let mut text = operand(choices);
    for _ in 0..2 + choices.pick(4) {
        let next = match choices.pick(8) {
            0..3 => format!(" {} ", choices.one(&["+", "-", "*", "/", "%", "||", "&", "|", "<<", ">>"])),
            3 | 4 => format!(" {} ", choices.one(&COMPARE)),
            5 | 6 => format!(" {} ", choices.one(&["AND", "OR"])),
            _ => {
                text.push_str(choices.one(&[
                    " IS NULL",
                    " IS NOT NULL",
                    " IN (1, 'a')",
                    " NOT IN (2)",
                    " BETWEEN 0 AND 5",
                    " NOTNULL",
                ]));
                continue;
            }
        };
        text.push_str(&next);
        let mut operand = operand(choices);
        // Both bind NOT after a sign as tightly as they like; here it stands where all agree.
        if operand.starts_with("NOT ") && !matches!(next.trim(), "AND" | "OR") {
            operand = operand.split_off(4);
        }
        text.push_str(&operand);
    }
    text
}
