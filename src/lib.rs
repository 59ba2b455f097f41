//! bayplan: a terminal operations console around an embedded, Kubernetes-compatible scheduler and
//! control plane.
//!
//! In reading order: [`k8s`] says what objects mean; [`store`], [`apiserver`], [`sched`],
//! [`control`] and [`agent`] are the parts of a control plane as plain values and functions
//! ([`packing`] holds the optimisers that know numbers only);
//! [`plane`] joins them into one state machine, [`rehearse`] forks one; [`serve`] and [`connect`]
//! give it a network face;
//! [`tui`] is the console. `ARCHITECTURE.md` has the picture and who may import whom.

pub mod stdx;

pub mod k8s;

pub mod agent;
pub mod apiserver;
pub mod control;
pub mod logstore;
pub mod packing;
pub mod sched;
pub mod store;
pub mod topology;

pub mod node;
pub mod plane;
pub mod rehearse;
pub mod sim;

pub mod connect;
pub mod serve;

pub mod config;
pub mod tui;
