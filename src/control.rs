//! Controllers, one file each: `reconcile(view, key, now) -> Outcome`, level-triggered.
//!
//! A controller sees the cluster and a key, never the event that made it look, and answers with
//! what it wants written. It never writes, waits, reads a clock or draws a random number: run again
//! on an unchanged view it gives the same answer, and once its answer is in the view it has nothing
//! more to say. [`all`] is the list that the plane drives; [`Controller::triggers`] tells which keys
//! a change concerns, and replaying `Added` for every object after a start queues everything.
//!
//! Start with `replica_set.rs`, the plainest; `deployment.rs` is the one most people look for.

use jiff::{SignedDuration, Timestamp};

mod claim;
mod condition;
mod field;
mod history;
mod kind;
mod naming;
mod node_selector;
mod pod;
mod service_pods;
mod trigger;
mod write;

#[cfg(test)]
mod harness;

mod autoscaler;
mod cluster_role;
mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod endpoint_slice;
mod endpoints;
mod garbage_collector;
mod job;
mod lab;
mod namespace;
mod node_lifecycle;
mod pod_gc;
mod refusal;
mod replica_set;
mod resource_quota;
mod service_account;
mod stateful_set;
mod taint_eviction;
mod volume;

use crate::k8s::{Change, Cluster, ObjectKey, Op};

pub use refusal::refused;

/// One control loop.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    /// Also the reporter of its events: `deployment-controller`.
    pub name: &'static str,
    /// Which keys of this controller a change may concern. The cluster is the one after the change.
    pub triggers: fn(&Cluster, &Change, &mut Vec<ObjectKey>),
    pub reconcile: fn(&Cluster, &ObjectKey, Timestamp) -> Outcome,
}

impl Controller {
    /// Whether its keys are pods. To all others a pod tells of its owner, its services or its
    /// budgets; where everything is told at once, those speak for themselves.
    pub fn looks_after_pods(&self) -> bool {
        let names = [
            garbage_collector::CONTROLLER.name,
            taint_eviction::CONTROLLER.name,
            pod_gc::CONTROLLER.name,
        ];
        names.contains(&self.name)
    }

    /// Whether it writes down who answers for a service.
    pub fn writes_endpoints(&self) -> bool {
        [endpoint_slice::CONTROLLER.name, endpoints::CONTROLLER.name].contains(&self.name)
    }
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

/// Objects that one run creates or deletes at most; the rest follows in the next run, which the
/// changes themselves trigger. Source: `BurstReplicas` of Kubernetes' replica set controller.
const BURST: usize = 500;

/// Every controller, in the order in which a change is offered to them.
pub fn all() -> Vec<Controller> {
    vec![
        deployment::CONTROLLER,
        replica_set::CONTROLLER,
        replica_set::REPLICATION_CONTROLLER,
        stateful_set::CONTROLLER,
        daemon_set::CONTROLLER,
        job::CONTROLLER,
        job::TTL,
        cron_job::CONTROLLER,
        endpoint_slice::CONTROLLER,
        endpoints::CONTROLLER,
        garbage_collector::CONTROLLER,
        disruption::CONTROLLER,
        resource_quota::CONTROLLER,
        autoscaler::CONTROLLER,
        cluster_role::CONTROLLER,
        volume::CLAIMS,
        volume::VOLUMES,
        lab::node_pool::CONTROLLER,
        lab::outage::CONTROLLER,
        node_lifecycle::CONTROLLER,
        taint_eviction::CONTROLLER,
        pod_gc::CONTROLLER,
        namespace::CONTROLLER,
        service_account::CONTROLLER,
        service_account::ROOT_CA,
    ]
}

/// Those of a rehearsal: nothing there reads Endpoints, the older form of what `EndpointSlices` say.
pub fn rehearsed() -> Vec<Controller> {
    let mut controllers = all();
    controllers.retain(|controller| controller.name != endpoints::CONTROLLER.name);
    controllers
}

impl Outcome {
    /// Asks for another look no later than `at`.
    fn look_again(&mut self, at: Timestamp) {
        self.again_at = Some(self.again_at.map_or(at, |earlier| earlier.min(at)));
    }
}

fn seconds_after(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}
