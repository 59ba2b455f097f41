//! The kinds that controllers write, with the names that owner references and events carry.

use crate::k8s::{Resource, resources};

/// A resource type with its `apiVersion` and `kind`.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub resource: Resource,
    pub api_version: &'static str,
    pub name: &'static str,
}

impl Kind {
    const fn of(resource: Resource, api_version: &'static str, name: &'static str) -> Self {
        Self {
            resource,
            api_version,
            name,
        }
    }
}

pub(super) static POD: Kind = Kind::of(resources::PODS, "v1", "Pod");
pub(super) static NODE: Kind = Kind::of(resources::NODES, "v1", "Node");
pub(super) static REPLICATION_CONTROLLER: Kind = Kind::of(
    resources::REPLICATION_CONTROLLERS,
    "v1",
    "ReplicationController",
);
pub(super) static REPLICA_SET: Kind = Kind::of(resources::REPLICA_SETS, "apps/v1", "ReplicaSet");
pub(super) static DEPLOYMENT: Kind = Kind::of(resources::DEPLOYMENTS, "apps/v1", "Deployment");
pub(super) static STATEFUL_SET: Kind = Kind::of(resources::STATEFUL_SETS, "apps/v1", "StatefulSet");
pub(super) static DAEMON_SET: Kind = Kind::of(resources::DAEMON_SETS, "apps/v1", "DaemonSet");
pub(super) static CONTROLLER_REVISION: Kind = Kind::of(
    resources::CONTROLLER_REVISIONS,
    "apps/v1",
    "ControllerRevision",
);
pub(super) static JOB: Kind = Kind::of(resources::JOBS, "batch/v1", "Job");
pub(super) static CRON_JOB: Kind = Kind::of(resources::CRON_JOBS, "batch/v1", "CronJob");
pub(super) static SERVICE: Kind = Kind::of(resources::SERVICES, "v1", "Service");
pub(super) static ENDPOINT_SLICE: Kind = Kind::of(
    resources::ENDPOINT_SLICES,
    "discovery.k8s.io/v1",
    "EndpointSlice",
);
pub(super) static PERSISTENT_VOLUME_CLAIM: Kind = Kind::of(
    resources::PERSISTENT_VOLUME_CLAIMS,
    "v1",
    "PersistentVolumeClaim",
);
pub(super) static DISRUPTION_BUDGET: Kind = Kind::of(
    resources::POD_DISRUPTION_BUDGETS,
    "policy/v1",
    "PodDisruptionBudget",
);
pub(super) static AUTOSCALER: Kind = Kind::of(
    resources::HORIZONTAL_POD_AUTOSCALERS,
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
);
