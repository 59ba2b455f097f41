//! The resource types that code names. Every other one is known from discovery alone.

use super::key::Resource;

pub const CONFIG_MAPS: Resource = Resource::of("", "configmaps");
pub const ENDPOINTS: Resource = Resource::of("", "endpoints");
pub const EVENTS: Resource = Resource::of("", "events");
pub const LIMIT_RANGES: Resource = Resource::of("", "limitranges");
pub const NAMESPACES: Resource = Resource::of("", "namespaces");
pub const NODES: Resource = Resource::of("", "nodes");
pub const PERSISTENT_VOLUME_CLAIMS: Resource = Resource::of("", "persistentvolumeclaims");
pub const PERSISTENT_VOLUMES: Resource = Resource::of("", "persistentvolumes");
pub const PODS: Resource = Resource::of("", "pods");
pub const REPLICATION_CONTROLLERS: Resource = Resource::of("", "replicationcontrollers");
pub const RESOURCE_QUOTAS: Resource = Resource::of("", "resourcequotas");
pub const SECRETS: Resource = Resource::of("", "secrets");
pub const SERVICE_ACCOUNTS: Resource = Resource::of("", "serviceaccounts");
pub const SERVICES: Resource = Resource::of("", "services");

pub const CONTROLLER_REVISIONS: Resource = Resource::of("apps", "controllerrevisions");
pub const DAEMON_SETS: Resource = Resource::of("apps", "daemonsets");
pub const DEPLOYMENTS: Resource = Resource::of("apps", "deployments");
pub const REPLICA_SETS: Resource = Resource::of("apps", "replicasets");
pub const STATEFUL_SETS: Resource = Resource::of("apps", "statefulsets");

pub const CRON_JOBS: Resource = Resource::of("batch", "cronjobs");
pub const JOBS: Resource = Resource::of("batch", "jobs");

pub const HORIZONTAL_POD_AUTOSCALERS: Resource =
    Resource::of("autoscaling", "horizontalpodautoscalers");
pub const POD_DISRUPTION_BUDGETS: Resource = Resource::of("policy", "poddisruptionbudgets");
pub const PRIORITY_CLASSES: Resource = Resource::of("scheduling.k8s.io", "priorityclasses");
pub const LEASES: Resource = Resource::of("coordination.k8s.io", "leases");
pub const ENDPOINT_SLICES: Resource = Resource::of("discovery.k8s.io", "endpointslices");
pub const STORAGE_CLASSES: Resource = Resource::of("storage.k8s.io", "storageclasses");
pub const CSI_NODES: Resource = Resource::of("storage.k8s.io", "csinodes");
pub const CLUSTER_ROLES: Resource = Resource::of("rbac.authorization.k8s.io", "clusterroles");
pub const CLUSTER_ROLE_BINDINGS: Resource =
    Resource::of("rbac.authorization.k8s.io", "clusterrolebindings");
pub const ROLES: Resource = Resource::of("rbac.authorization.k8s.io", "roles");
pub const ROLE_BINDINGS: Resource = Resource::of("rbac.authorization.k8s.io", "rolebindings");
pub const CUSTOM_RESOURCE_DEFINITIONS: Resource =
    Resource::of("apiextensions.k8s.io", "customresourcedefinitions");

/// Machines of one kind in one place: our own API group, reconciled into Node objects.
pub const NODE_POOLS: Resource = Resource::of("lab.bayplan.dev", "nodepools");
/// Simulated machines that do not answer while the object exists.
pub const OUTAGES: Resource = Resource::of("lab.bayplan.dev", "outages");
