//! The scheduler's queue: which pods wait, since when, why, and what would let them run.
//!
//! In reading order: [`waiting`] (who waits, in upstream's words), [`reasons`] (why, worked out
//! here), the page.

mod present;
pub mod reasons;
mod state;
pub mod waiting;

pub use state::QueuePage;
