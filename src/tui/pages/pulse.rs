//! What is wrong right now, the worst first, and what changed lately.
//!
//! In reading order: [`finding`] (what a finding is and how they rank), [`examine`] (where they
//! come from), the page.

pub mod examine;
pub mod finding;
mod present;
mod state;

pub use state::PulsePage;
