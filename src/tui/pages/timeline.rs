//! What happened, when and by whom: events, turns of state, changes of what is wanted, scheduling
//! decisions and what was done from this console, in one stream.
//!
//! In reading order: [`entry`], [`observe`] (entries from watch events), [`model`], the page.

pub mod entry;
pub mod model;
pub mod observe;
pub mod present;
mod state;

pub use state::TimelinePage;
