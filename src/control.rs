//! Controllers, one file each: `reconcile(view, key, now) -> Outcome`, level-triggered.
//!
//! A controller sees the cluster and a key, never the event that made it look, and answers with
//! what it wants written. It never writes, waits, reads a clock or draws a random number: run again
//! on an unchanged view it gives the same answer, and once its answer is in the view it has nothing
//! more to say. [`all`] is the list that the plane drives; [`Controller::triggers`] tells which keys
//! a change concerns, and replaying `Added` for every object after a start queues everything.
//!
//! Start with `replica_set.rs`, the plainest; `deployment.rs` is the one most people look for.

use jiff::Timestamp;

use crate::k8s::{Change, Cluster, ObjectKey, Op};

/// One control loop.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    /// Also the reporter of its events: `deployment-controller`.
    pub name: &'static str,
    /// Which keys of this controller a change may concern. The cluster is the one after the change.
    pub triggers: fn(&Cluster, &Change, &mut Vec<ObjectKey>),
    pub reconcile: fn(&Cluster, &ObjectKey, Timestamp) -> Outcome,
}

/// What a controller wants done about one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Carried out in this order. The first refused one ends the run, and the key is retried with
    /// back-off, so that an event never tells of what did not happen.
    pub ops: Vec<Op>,
    /// When to look again even if nothing changes until then.
    pub again_at: Option<Timestamp>,
}

/// Every controller, in the order in which a change is offered to them.
pub fn all() -> Vec<Controller> {
    vec![]
}
