//! Small questions about syntax trees.

use sqlparser::ast::{BinaryOperator, DataType, Expr as Ast, UnaryOperator, Value as Literal};

use super::error::{Position, SqlError};
use super::expr::{Binary, Type};
use super::grammar::{self, cut};
use crate::value::Value;

/// About where an expression is. Never recurses, because trees that are refused for their depth are asked, too.
pub(super) fn place(mut ast: &Ast) -> Option<Position> {
    loop {
        ast = match ast {
            Ast::Identifier(ident) => return grammar::position(ident.span.start),
            Ast::CompoundIdentifier(idents) => return grammar::position(idents.first()?.span.start),
            Ast::Value(value) => return grammar::position(value.span.start),
            Ast::Function(function) => {
                return grammar::position(function.name.0.first()?.as_ident()?.span.start);
            }
            Ast::Case { case_token, .. } => return grammar::position(case_token.0.span.start),
            Ast::BinaryOp { left, .. } | Ast::IsDistinctFrom(left, _) | Ast::IsNotDistinctFrom(left, _) => {
                left
            }
            Ast::UnaryOp { expr, .. }
            | Ast::Nested(expr)
            | Ast::Cast { expr, .. }
            | Ast::Like { expr, .. }
            | Ast::Between { expr, .. }
            | Ast::InList { expr, .. }
            | Ast::InSubquery { expr, .. }
            | Ast::Collate { expr, .. }
            | Ast::IsNull(expr)
            | Ast::IsNotNull(expr)
            | Ast::IsTrue(expr)
            | Ast::IsNotTrue(expr)
            | Ast::IsFalse(expr)
            | Ast::IsNotFalse(expr) => expr,
            _ => return None,
        };
    }
}

/// An error at an expression.
pub(super) fn wrong<T>(ast: &Ast, message: impl Into<String>) -> Result<T, SqlError> {
    Err(SqlError::new(message, place(ast)))
}

/// What a literal stands for.
pub(super) fn literal(ast: &Ast, literal: &Literal) -> Result<Value, SqlError> {
    Ok(match literal {
        Literal::Null => Value::Null,
        Literal::Boolean(holds) => Value::truth(*holds),
        Literal::SingleQuotedString(text) => Value::text(text.as_str()),
        Literal::Number(digits, _) => match digits.parse::<i64>() {
            Ok(int) => Value::Int(int),
            // Beyond 64 bits, or with a point or an exponent: a float, as in SQLite.
            Err(_) => match digits.parse::<f64>() {
                Ok(float) => Value::float(float),
                Err(_) => return wrong(ast, format!("{} is not a number; write 1, 1.5 or 1e3", cut(digits))),
            },
        },
        Literal::HexStringLiteral(digits) => match unhex(digits) {
            Some(bytes) => Value::bytes(bytes),
            None => return wrong(ast, "x'…' needs two hexadecimal digits for each byte; add or correct one"),
        },
        _ => {
            return wrong(
                ast,
                "this kind of literal is not possible; write 1, 1.5, 'text', x'00ff', TRUE, FALSE or NULL",
            );
        }
    })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u8>> = digits.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len() % 2 == 0)?;
    Some(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A number that a query has to say as such: how many, which column.
pub(super) fn number(ast: &Ast) -> Option<u64> {
    match ast {
        Ast::Value(value) => match &value.value {
            Literal::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        Ast::Nested(inner) if !matches!(**inner, Ast::Nested(_)) => number(inner),
        _ => None,
    }
}

/// The number of the smallest integer, which has no positive counterpart that could be negated.
pub(super) fn is_smallest(op: UnaryOperator, ast: &Ast) -> bool {
    let is_its_size =
        |value: &Literal| matches!(value, Literal::Number(digits, _) if digits == "9223372036854775808");
    op == UnaryOperator::Minus && matches!(ast, Ast::Value(value) if is_its_size(&value.value))
}

/// What an operator between two values does.
pub(super) fn binary(op: &BinaryOperator) -> Option<Binary> {
    Some(match op {
        BinaryOperator::Plus => Binary::Add,
        BinaryOperator::Minus => Binary::Subtract,
        BinaryOperator::Multiply => Binary::Multiply,
        BinaryOperator::Divide => Binary::Divide,
        BinaryOperator::Modulo => Binary::Remainder,
        BinaryOperator::StringConcat => Binary::Concat,
        BinaryOperator::BitwiseAnd => Binary::BitAnd,
        BinaryOperator::BitwiseOr => Binary::BitOr,
        BinaryOperator::PGBitwiseShiftLeft => Binary::ShiftLeft,
        BinaryOperator::PGBitwiseShiftRight => Binary::ShiftRight,
        BinaryOperator::Eq => Binary::Equal,
        BinaryOperator::NotEq => Binary::NotEqual,
        BinaryOperator::Lt => Binary::Less,
        BinaryOperator::LtEq => Binary::LessEqual,
        BinaryOperator::Gt => Binary::Greater,
        BinaryOperator::GtEq => Binary::GreaterEqual,
        BinaryOperator::Glob => Binary::Glob,
        _ => return None,
    })
}

/// What `CAST` to a type makes.
pub(super) fn cast_type(data_type: &DataType) -> Option<Type> {
    let name = data_type.to_string().to_ascii_uppercase();
    let name = name.split(['(', ' ']).next()?;
    Some(match name {
        "INTEGER" | "INT" | "BIGINT" | "SMALLINT" | "TINYINT" => Type::Integer,
        "REAL" | "FLOAT" | "DOUBLE" => Type::Real,
        "TEXT" | "VARCHAR" | "CHAR" | "CHARACTER" | "STRING" => Type::Text,
        "BLOB" | "BYTES" | "BYTEA" | "BINARY" | "VARBINARY" => Type::Blob,
        _ => return None,
    })
}
