//! Settings, themes, fleet and manifest files: text to plain typed data with positions.
//!
//! [`mod@env`] is the only place that reads the process environment, [`paths`] the only one that knows
//! where files live. [`fleet`] describes machines, [`manifest`] reads and writes Kubernetes objects,
//! [`settings`] is what a user may choose. Nothing here talks to a cluster.

pub mod env;
pub mod fleet;
pub mod keymap;
pub mod manifest;
pub mod paths;
pub mod position;
pub mod settings;
pub mod theme;
