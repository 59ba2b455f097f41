//! Workloads: what is desired, what there is, and changing it.
//!
//! In reading order: [`history`] (earlier revisions and going back to them).

pub mod history;
