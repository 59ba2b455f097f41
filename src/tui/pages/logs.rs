//! Logs of any number of containers as one text in the order of time.
//!
//! In reading order: [`line`] (what a line is), [`source`] (where it comes from), [`merge`] and
//! [`buffer`] (order and bounds), [`filter`], [`model`] (the view's state).

pub mod buffer;
pub mod filter;
pub mod line;
pub mod merge;
pub mod model;
pub mod source;
