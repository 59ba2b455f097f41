//! Which objects a rehearsal needs: those that the scheduler, the controllers and admission read.
//!
//! Secrets, config maps, events, leases and Endpoints (which `EndpointSlices` say too) are not among
//! them, and custom resources are known by their names alone.

use crate::k8s::{Resource, resources};

/// One kind to copy, in the version that its objects are asked for in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kind {
    pub resource: Resource,
    pub version: &'static str,
    pub kind: &'static str,
}

const fn of(resource: Resource, version: &'static str, kind: &'static str) -> Kind {
    Kind {
        resource,
        version,
        kind,
    }
}

/// Nodes first: without them there is nothing to rehearse on.
pub const KINDS: &[Kind] = &[
    of(resources::NODES, "v1", "Node"),
    of(resources::PODS, "v1", "Pod"),
    of(resources::NAMESPACES, "v1", "Namespace"),
    of(resources::DEPLOYMENTS, "v1", "Deployment"),
    of(resources::REPLICA_SETS, "v1", "ReplicaSet"),
    of(resources::STATEFUL_SETS, "v1", "StatefulSet"),
    of(resources::DAEMON_SETS, "v1", "DaemonSet"),
    of(resources::CONTROLLER_REVISIONS, "v1", "ControllerRevision"),
    of(
        resources::REPLICATION_CONTROLLERS,
        "v1",
        "ReplicationController",
    ),
    of(resources::JOBS, "v1", "Job"),
    of(resources::CRON_JOBS, "v1", "CronJob"),
    of(
        resources::POD_DISRUPTION_BUDGETS,
        "v1",
        "PodDisruptionBudget",
    ),
    of(
        resources::HORIZONTAL_POD_AUTOSCALERS,
        "v2",
        "HorizontalPodAutoscaler",
    ),
    of(resources::SERVICES, "v1", "Service"),
    of(resources::ENDPOINT_SLICES, "v1", "EndpointSlice"),
    of(resources::PRIORITY_CLASSES, "v1", "PriorityClass"),
    of(resources::LIMIT_RANGES, "v1", "LimitRange"),
    of(resources::RESOURCE_QUOTAS, "v1", "ResourceQuota"),
    of(resources::SERVICE_ACCOUNTS, "v1", "ServiceAccount"),
    of(resources::PERSISTENT_VOLUMES, "v1", "PersistentVolume"),
    of(
        resources::PERSISTENT_VOLUME_CLAIMS,
        "v1",
        "PersistentVolumeClaim",
    ),
    of(resources::STORAGE_CLASSES, "v1", "StorageClass"),
    of(resources::CSI_NODES, "v1", "CSINode"),
    of(resources::NODE_POOLS, "v1alpha1", "NodePool"),
    of(resources::OUTAGES, "v1alpha1", "Outage"),
];

/// What never comes along, from whatever source.
pub fn is_left_behind(resource: &Resource) -> bool {
    [
        resources::SECRETS,
        resources::CONFIG_MAPS,
        resources::EVENTS,
        resources::LEASES,
        resources::ENDPOINTS,
        Resource::of("events.k8s.io", "events"),
    ]
    .contains(resource)
}
