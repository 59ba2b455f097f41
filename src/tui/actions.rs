//! Changing things: the one place where a wish becomes writes.
//!
//! An [`Action`] is what the operator means. [`Action::propose`] says what it would do (from → to,
//! consequences, what has to be typed); [`Action::ops`] are the writes; [`Action::undo`] is the
//! action that takes it back. Nothing is sent here, and nothing outside may send without a proposal
//! that was confirmed. In read-only mode no proposal is ever opened, and the client refuses writes.
//!
//! In reading order: [`action`], [`offer`] (which action a command means), [`proposal`], [`drain`],
//! [`journal`].

pub mod action;
pub mod drain;
pub mod journal;
pub mod machines;
pub mod offer;
pub mod proposal;
pub mod walked;

pub use action::Action;
pub use journal::{Journal, Outcome};
pub use proposal::{Confirmation, Proposal};
