//! Workloads: what is desired, what there is, and changing it.
//!
//! In reading order: [`history`] (earlier revisions and going back to them), `replicas` (the number
//! that is being typed), `losses` (what the worst failure would take), the page.

pub mod history;
mod losses;
mod present;
mod replicas;
mod state;

pub use state::WorkloadsPage;
