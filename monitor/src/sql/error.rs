//! What can be wrong with a query: with its text, and with what it would need.

use std::fmt;

/// A place in the text of a query, for the mark under a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is not a query that can be evaluated. Nothing was installed or evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    message: String,
    position: Option<Position>,
}

impl SqlError {
    /// A mistake, said in one sentence: what is wrong, and what to do.
    pub(super) fn new(message: impl Into<String>, position: Option<Position>) -> Self {
        Self { message: message.into(), position }
    }

    /// What is wrong and what to do, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is wrong, if that is one place.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{position}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for SqlError {}

/// Why a query has no answer for these rows. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// More rows than the query was made for.
    #[error(
        "the table has {found} rows, and the limit is {limit}; ask about fewer, or raise the limit on rows"
    )]
    TooManyRows {
        /// Rows of the table.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More groups than the query was made for.
    #[error("GROUP BY makes more than {limit} groups; group by something coarser")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// A row of the answer, or the answer, is too large.
    #[error("{what} of the answer are {found}, and the limit is {limit}; ask for less")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The evaluation took more steps than it may.
    #[error("the evaluation takes more than {limit} steps; simplify the query, or ask about fewer rows")]
    TooMuchWork {
        /// The limit.
        limit: u64,
    },
    /// The query answers with many rows where one is needed.
    #[error(
        "the query does not make one row of many; use aggregates such as SUM in each column, without GROUP BY, HAVING, LIMIT or OFFSET"
    )]
    NotAnAggregation,
}
