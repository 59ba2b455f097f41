//! What is wrong right now, the worst first, and what changed lately.
//!
//! In reading order: [`finding`] (what a finding is and how they rank), [`examine`] (where they
//! come from).

pub mod examine;
pub mod finding;
