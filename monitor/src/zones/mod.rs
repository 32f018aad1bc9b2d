//! Zones: a tree of tables that gossip keeps up to date, with one row for each child of a zone.
//!
//! [`agent::Agent`] is one leaf of the tree; [`table`] what it knows; [`function`] what it is to compute or to watch ([`kind`]); [`event`] what it tells
//! of its own; [`message`] what it says; [`overlay`] to whom; [`contact`] how these are reached.

pub mod agent;
pub mod contact;
pub mod event;
pub mod function;
pub mod kind;
pub mod message;
pub mod name;
pub mod overlay;
pub mod table;
