//! Machine reassignment: processes run on machines, and moving some of them would cost less than
//! leaving all where they are.
//!
//! The problem is that of the ROADEF/EURO challenge 2012: capacity (on both machines while a process
//! moves), no two processes of a service on one machine, a service spread over locations, services
//! that need others in their neighbourhood; the cost is load above what is safe, imbalance between
//! resources, and the moves themselves. [`improve`] never leaves the feasible assignments, so every
//! answer can be carried out, however early it was stopped; [`check()`] recomputes all of it without
//! the search's bookkeeping.

pub mod anneal;
pub mod check;
pub mod model;
mod state;

pub use anneal::{Effort, Improved, improve};
pub use check::{Cost, Violation, check, lower_bound};
pub use model::{Balance, Machine, Model, ModelError, MoveWeights, Process, Resource, Service};

#[cfg(test)]
mod tests;
