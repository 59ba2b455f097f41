//! Logs of any number of containers as one text in the order of time.
//!
//! In reading order: [`mod@line`] (what a line is), [`source`] (where it comes from), [`merge`] and
//! [`buffer`] (order and bounds), [`past`] (the log
//! store), [`filter`], [`model`] (the view's state), [`commands`], the page.

pub mod buffer;
pub mod commands;
pub mod filter;
pub mod line;
pub mod merge;
pub mod model;
pub mod past;
mod present;
pub mod source;
mod state;

pub use state::LogsPage;
