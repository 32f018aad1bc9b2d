//! An agent on a machine: its socket, its clock, and the questions of those who are near.
//!
//! ```text
//!   other agents ◄──UDP──► node ◄── api (HTTP on loopback) ◄── gcs-monitor query …, curl, applications
//!                           │
//!                       zones::Agent
//! ```
//! [`node`] drives the agent; [`answer`] is what a question is answered with; [`api`] is how it is asked. [`events`]
//! looks at what standing queries ask, and hands out what they tell; [`lease`] is how long, and who has signed it, [`handed`] what was
//! signed elsewhere.

pub mod answer;
pub mod api;
pub mod events;
pub mod handed;
pub mod lease;
pub mod node;
