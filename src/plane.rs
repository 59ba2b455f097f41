//! The control plane as a state machine: [`World`] advances everything with `step(now)`.
//!
//! It joins the API server, the controllers, the scheduler and the node agents over one store. It
//! never waits, reads a clock, draws a number that is not from its seed, or touches a file: what
//! must become durable is handed out with each step.

mod controllers;
mod pod_log;
mod workqueue;
mod world;

/// What the world's scheduler is told, for those who start one and do not know the scheduler.
pub use crate::sched::Configuration as SchedulerConfiguration;
pub use workqueue::WorkQueue;
pub use world::{Published, Step, World};
