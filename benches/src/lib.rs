//! Shared parts of the load programs: what a member process reports, and how the parent starts and reads them.

pub mod crowd;
pub mod engine;
pub mod member;
pub mod outcome;
pub mod parent;
pub mod perf;
pub mod report;
pub mod svg;
pub mod tcp;
