//! The views. Each page keeps its own selection and position; objects live in the console's cache.

pub mod bays;
pub mod logs;
pub mod timeline;
