//! What is wrong right now, the worst first, and what changed lately.
//!
//! In reading order: [`finding`] (what a finding is and how they rank), [`examine`] (where they
//! come from), [`row`] (a finding and its cluster), the page.

pub mod examine;
pub mod finding;
mod present;
mod row;
mod state;

pub use state::PulsePage;
