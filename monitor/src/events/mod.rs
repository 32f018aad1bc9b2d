//! Events: what standing queries ask of each agent's own tables, and when they fire.
//!
//! ```text
//!   processes, connections, log, attributes, tables of applications ──► Conditions ──► zones::Agent::fire ──► who has asked
//!                                                                        sans-IO
//! ```
//! The tables are the agent's own, and may be large: only what fires leaves the machine. A table is read only while a query that stands asks it.
//! `docs/events.md` is for those who ask.

pub mod conditions;
pub mod tables;
