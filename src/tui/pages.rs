//! The views. Each page keeps its own selection and position; objects live in the console's cache.

pub mod bays;
pub mod logs;
pub mod objects;
pub mod pulse;
pub mod queue;
pub mod services;
pub mod timeline;
pub mod workloads;
