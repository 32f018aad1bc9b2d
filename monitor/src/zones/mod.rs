//! Zones: a tree of tables that gossip keeps up to date, with one row for each child of a zone.
//!
//! [`agent::Agent`] is one leaf of the tree; [`table`] what it knows; [`function`] what it is to compute; [`message`] what it says; [`overlay`] to whom.

pub mod agent;
pub mod function;
pub mod message;
pub mod name;
pub mod overlay;
pub mod table;
