//! The scheduler's queue: which pods wait, since when, why, and what would let them run.
//!
//! In reading order: [`waiting`] (who waits, in upstream's words).

pub mod reasons;
pub mod waiting;
