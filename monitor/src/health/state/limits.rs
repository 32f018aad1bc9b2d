//! How much is kept, and for how long. The same at all representatives: they would not agree otherwise.

/// Components.
pub const COMPONENTS: usize = 1024;
/// Instances of a component.
pub const INSTANCES: usize = 64;
/// Instances of all components.
pub const INSTANCES_ALL: usize = 8192;
/// Observers of an instance who are heard.
pub const OBSERVERS: usize = 16;
/// Verdicts of a component that are kept.
pub const VERDICTS: usize = 64;
/// Witnesses that a verdict names.
pub const WITNESSES: usize = 5;
/// Interests of everybody.
pub const INTERESTS: usize = 65_536;
/// Interests of one.
pub const INTERESTS_EACH: usize = 1024;
/// The shortest and the longest lease, in milliseconds; others are made to fit.
pub const LEASE_MS: (u32, u32) = (1_000, 3_600_000);
/// A finding counts for so long, in milliseconds, unless it is said again.
pub const OPINION_MS: u64 = 30_000;
/// A tick lets no more time pass, in milliseconds.
pub const TICK_MAX_MS: u64 = 2_000;
