//! gcs-monitor: zones of attributes, summarised level over level.
//!
//! Every zone has a table with one [`row::Row`] for each child. A [`sql::Query`] computes from it the one row of bounded
//! size that the parent zone shows. The text of a query comes from the network, and so do the rows: everything here is
//! bounded, and the same set of rows gives the same bits, whatever the order in which they arrived, on every machine.
//!
//! [`zones`] are how the tables come to be everywhere: agents that gossip. [`sim`] runs many of them on virtual time, [`daemon`] one of them on a
//! machine. [`health`] is what a group of representatives agrees on: which components are up. [`trust`] says who may say what: keys,
//! certificates, and what is refused. [`sources`] are where an agent's own attributes come from, [`events`] what standing queries ask of its
//! own tables, [`eventing`] posts what they tell to whoever has asked. [`web`] shows all of it in a browser.

mod clock;
pub mod codec;
pub mod daemon;
pub mod display;
pub mod eventing;
pub mod events;
mod guard;
pub mod health;
pub mod order;
pub mod row;
pub mod schema;
pub mod sim;
pub mod sketch;
pub mod sources;
pub mod sql;
pub mod trust;
pub mod value;
pub mod web;
pub mod zones;
