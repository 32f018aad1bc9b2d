//! From text to a syntax tree, by sqlparser, which is not trusted with everything.
//!
//! Its own limit counts nested calls of the routines for expressions and queries, and holds for them; chains such as
//! `a + a + …` are built without recursion, but the tree that comes out of them is as deep as they are long, and whoever walks or drops
//! it recurses. Therefore the text is screened before: its length, the number of its tokens (so that what is dropped is
//! of a bounded depth), its parentheses, one SELECT. Everything after this counts depth itself.

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectName, Query, Statement, UnaryOperator, Value as Literal,
};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::error::{Position, SqlError};
use super::limits::Limits;

/// How tightly signs before an operand bind: more than everything between two.
const SIGN: u8 = 60;
const CONCAT: u8 = 45;
const BITS: u8 = 25;
const LESS: u8 = 22;
const EQUAL: u8 = 20;

/// The words of our part of SQL. All others, such as DATE or INTERVAL, are names here.
const RESERVED: [Keyword; 36] = [
    Keyword::ALL,
    Keyword::AND,
    Keyword::AS,
    Keyword::ASC,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::COLLATE,
    Keyword::DESC,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::END,
    Keyword::ESCAPE,
    Keyword::EXISTS,
    Keyword::FALSE,
    Keyword::FROM,
    Keyword::GLOB,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::LIMIT,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::OFFSET,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::SELECT,
    Keyword::THEN,
    Keyword::TRUE,
    Keyword::UNION,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WITH,
];

/// SQLite's operators and their precedence; names may be quoted as `"x"`.
#[derive(Debug)]
struct Ours;

impl Dialect for Ours {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_in_empty_list(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        match prec {
            Precedence::Period => 100,
            Precedence::DoubleColon => 50,
            Precedence::AtTz => 41,
            Precedence::MulDivModOp => 40,
            Precedence::PlusMinus => 30,
            Precedence::Between | Precedence::Eq | Precedence::Like | Precedence::Is => EQUAL,
            Precedence::UnaryNot => 15,
            Precedence::And => 10,
            Precedence::Or => 5,
            _ => BITS,
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::StringConcat => Some(Ok(CONCAT)),
            Token::Ampersand | Token::Pipe | Token::ShiftLeft | Token::ShiftRight => Some(Ok(BITS)),
            Token::Lt | Token::LtEq | Token::Gt | Token::GtEq => Some(Ok(LESS)),
            Token::Word(word) if word.keyword == Keyword::GLOB => Some(Ok(EQUAL)),
            _ => None,
        }
    }

    /// Signs bind more tightly than in the grammar's own rules, and a word before a parenthesis is a function, whatever else it
    /// means: `AND(x)`, `FIRST(3, x)`, `REPLACE(…)`.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let next = parser.peek_token_ref();
        let sign = match &next.token {
            Token::Minus => Some(UnaryOperator::Minus),
            Token::Plus => Some(UnaryOperator::Plus),
            Token::Tilde => Some(UnaryOperator::BitwiseNot),
            _ => None,
        };
        if let Some(op) = sign {
            parser.advance_token();
            return Some(parser.parse_subexpr(SIGN).map(|expr| Expr::UnaryOp { op, expr: Box::new(expr) }));
        }
        let Token::Word(word) = &next.token else { return None };
        let name = Ident { value: word.value.clone(), quote_style: word.quote_style, span: next.span };
        let known = matches!(word.keyword, Keyword::CASE | Keyword::CAST | Keyword::NOT | Keyword::EXISTS);
        let plain = word.quote_style.is_some() || !RESERVED.contains(&word.keyword);
        match &parser.peek_nth_token_ref(1).token {
            Token::LParen if !known => {
                parser.advance_token();
                Some(parser.parse_function(ObjectName::from(vec![name])))
            }
            Token::Period | Token::LParen => None,
            _ if plain => {
                parser.advance_token();
                Some(Ok(Expr::Identifier(name)))
            }
            _ => None,
        }
    }

    /// `GLOB` and `NOT GLOB`; `IS` and `IS NOT` between any two values.
    fn parse_infix(&self, parser: &mut Parser, left: &Expr, _: u8) -> Option<Result<Expr, ParserError>> {
        let left = || Box::new(left.clone());
        let right = |parser: &mut Parser| parser.parse_subexpr(EQUAL).map(Box::new);
        let is_keyword = |parser: &Parser, n: usize, keyword: Keyword| matches!(&parser.peek_nth_token_ref(n).token, Token::Word(word) if word.keyword == keyword);
        let not = usize::from(is_keyword(parser, 0, Keyword::NOT));
        if is_keyword(parser, not, Keyword::GLOB) {
            (0..=not).for_each(|_| parser.advance_token());
            let glob =
                right(parser).map(|right| Expr::BinaryOp { left: left(), op: BinaryOperator::Glob, right });
            return Some(match not {
                0 => glob,
                _ => glob.map(|glob| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(glob) }),
            });
        }
        if is_keyword(parser, 0, Keyword::IS) {
            let not = is_keyword(parser, 1, Keyword::NOT);
            let what = 1 + usize::from(not);
            if is_keyword(parser, what, Keyword::DISTINCT) || is_keyword(parser, what, Keyword::UNKNOWN) {
                return None;
            }
            (0..what).for_each(|_| parser.advance_token());
            // NULL, TRUE and FALSE may begin a longer operand here, as in `a IS NULL + b`; alone they ask what they always ask.
            return Some(right(parser).map(|right| match (&*right, not) {
                (Expr::Value(value), _) => match (&value.value, not) {
                    (Literal::Null, false) => Expr::IsNull(left()),
                    (Literal::Null, true) => Expr::IsNotNull(left()),
                    (Literal::Boolean(true), false) => Expr::IsTrue(left()),
                    (Literal::Boolean(true), true) => Expr::IsNotTrue(left()),
                    (Literal::Boolean(false), false) => Expr::IsFalse(left()),
                    (Literal::Boolean(false), true) => Expr::IsNotFalse(left()),
                    (_, false) => Expr::IsNotDistinctFrom(left(), right),
                    (_, true) => Expr::IsDistinctFrom(left(), right),
                },
                (_, false) => Expr::IsNotDistinctFrom(left(), right),
                (_, true) => Expr::IsDistinctFrom(left(), right),
            }));
        }
        None
    }
}

/// Where a token is.
pub(super) fn position(at: Location) -> Option<Position> {
    (at.line > 0).then_some(Position { line: at.line, column: at.column })
}

/// Parses one SELECT.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Box<Query>, SqlError> {
    if text.len() > limits.text_bytes {
        let message =
            format!("the query has {} bytes, and the limit is {}; shorten it", text.len(), limits.text_bytes);
        return Err(SqlError::new(message, None));
    }
    let dialect = Ours;
    let mut tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|e| SqlError::new(sentence(&e.message), position(e.location)))?;
    screen(&mut tokens, limits)?;
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(limits.depth + 16).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|e| grammar_error(e, limits))?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token_ref();
    if rest.token != Token::EOF {
        let message =
            format!("the query should end before {}; write one SELECT", cut(&rest.token.to_string()));
        return Err(SqlError::new(message, position(rest.span.start)));
    }
    match statement {
        Statement::Query(query) => Ok(query),
        _ => Err(SqlError::new(ONLY_SELECT, None)),
    }
}

const ONLY_SELECT: &str = "only SELECT is possible here; nothing is written by a query";

const ONE_TABLE: &str = "a query is about one table; write its name after FROM, and nothing else";

/// Refuses what is too much, and what would only be refused later with less to say.
fn screen(tokens: &mut [TokenWithSpan], limits: &Limits) -> Result<(), SqlError> {
    let (mut count, mut depth, mut selects) = (0, 0usize, 0);
    // Whether this is between FROM and the next clause, and whether the word before is the DISTINCT of IS DISTINCT FROM.
    let (mut in_from, mut after_distinct) = (false, false);
    for TokenWithSpan { token, span } in tokens {
        let at = position(span.start);
        if matches!(token, Token::Whitespace(_)) {
            continue;
        }
        count += 1;
        if count > limits.tokens {
            let message = format!("the query has more than {} words and signs; shorten it", limits.tokens);
            return Err(SqlError::new(message, at));
        }
        if in_from && matches!(token, Token::LParen | Token::Comma) {
            return Err(SqlError::new(ONE_TABLE, at));
        }
        let distinct = after_distinct;
        after_distinct = false;
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::SELECT if selects == 1 => {
                    return Err(SqlError::new(
                        "a SELECT inside of another, or after it, is not possible; ask about one table",
                        at,
                    ));
                }
                Keyword::SELECT => selects += 1,
                Keyword::WITH if selects == 0 => {
                    return Err(SqlError::new("WITH is not possible; ask about one table", at));
                }
                _ if selects == 0 => return Err(SqlError::new(ONLY_SELECT, at)),
                // In the grammar, each level of joins in parentheses takes tens of kilobytes of stack.
                Keyword::JOIN => return Err(SqlError::new(ONE_TABLE, at)),
                Keyword::DISTINCT => after_distinct = true,
                Keyword::FROM if depth == 0 => in_from = !distinct,
                Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER | Keyword::LIMIT => {
                    in_from = false
                }
                // Otherwise the grammar would take it as `SELECT TOP 3 …`.
                Keyword::TOP => word.keyword = Keyword::NoKeyword,
                _ => {}
            },
            Token::EOF => {}
            other if selects == 0 => {
                let message = format!("a query begins with SELECT, not with {}", cut(&other.to_string()));
                return Err(SqlError::new(message, at));
            }
            _ => {}
        }
        if depth > limits.depth {
            return Err(too_deep(limits, at));
        }
    }
    if selects == 0 {
        return Err(SqlError::new("the query is empty; write SELECT and what to select", None));
    }
    Ok(())
}

/// The error for whatever nests too deeply.
pub(super) fn too_deep(limits: &Limits, at: Option<Position>) -> SqlError {
    SqlError::new(format!("expressions nest deeper than {}; simplify this part", limits.depth), at)
}

/// At most so much of what somebody wrote as fits into a message.
pub(super) fn cut(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A message of the grammar as one of ours: in small letters, and bounded.
fn sentence(message: &str) -> String {
    let message: String = message.chars().take(200).collect();
    match message.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: ")) {
        Some((expected, found)) => {
            let found = if found == "EOF" { "the end".to_owned() } else { cut(found) };
            format!("{expected} is expected here, not {found}")
        }
        None => {
            let mut chars = message.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
    }
}

/// Takes the place out of a message of the grammar, which has it in its text only.
fn grammar_error(error: ParserError, limits: &Limits) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => return too_deep(limits, None),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let Some((what, place)) = message.rsplit_once(" at Line: ") else {
        return SqlError::new(sentence(&message), None);
    };
    let place = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    SqlError::new(sentence(what), place)
}
