//! The control plane as a state machine: [`World`](crate::plane) advances everything with `step(now)`.

pub mod workqueue;
