//! SQL over one table: the aggregation functions of zones, and questions that are asked once.
//!
//! ```text
//! text ── grammar ──> syntax tree ── bind, plan ──> Plan ── run ──> Answer
//!         sqlparser,                  our own subset,        rows in one order, columns
//!         screened                    names resolved         looked up once a schema
//! ```
//! Every step is bounded by [`Limits`]. The order of rows, and therefore of everything, comes from the rows themselves.
//! `docs/sql.md` says what can be asked, and where the answers differ from SQLite's.

mod aggregate;
mod arith;
mod bind;
mod call;
mod clock;
mod coerce;
mod cost;
mod error;
mod eval;
mod expr;
mod fault;
mod functions;
mod grammar;
mod limits;
mod names;
mod parts;
mod pattern;
mod plan;
mod query;
mod run;
mod scalar;
mod syntax;

mod text;

pub use cost::Cost;
pub use error::{EvalError, Position, SqlError};
pub use fault::{Fault, Faults};
pub use functions::{Described, functions};
pub use limits::Limits;
pub use parts::Parts;
pub use query::{Answer, Context, Query, Summary};
