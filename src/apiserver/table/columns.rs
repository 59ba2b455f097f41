//! Which cell belongs to which column of which resource: one table.

use serde_json::Value;

use super::Row;
use super::cells::{self, autoscaler, event, network, node, policy, storage, text_at, workload};
use crate::k8s::Resource;

/// How a cell gets its value.
#[derive(Clone, Copy)]
enum Cell {
    /// The text, number or boolean at a JSON pointer; empty when absent.
    At(&'static str),
    /// The same, and what stands there when it is absent.
    Or(&'static str, &'static str),
    /// A number at a JSON pointer; 0 when absent.
    Number(&'static str),
    /// The length of the list or map at a JSON pointer.
    Count(&'static str),
    /// The elements of a list, joined by commas.
    Joined(&'static str),
    /// The age of a time stamp.
    Since(&'static str),
    /// A label selector in its text form.
    Selector(&'static str),
    /// Anything else.
    By(fn(&Row<'_>) -> Value),
}

type Cells = &'static [(&'static str, Cell)];

use Cell::{At, By, Count, Joined, Number, Or, Selector, Since};

/// Cells that mean the same in every kind.
const EVERYWHERE: &[(&str, Cell)] = &[
    ("Name", At("/metadata/name")),
    ("Age", Since("/metadata/creationTimestamp")),
    ("Created At", At("/metadata/creationTimestamp")),
];

/// Cells of the kinds with a pod template.
const TEMPLATED: &[(&str, Cell)] = &[
    ("Containers", By(workload::template_containers)),
    ("Images", By(workload::template_images)),
    ("Selector", By(workload::template_selector)),
];

/// Cells of events, in both groups that serve them.
const EVENT: &[(&str, Cell)] = &[
    ("Last Seen", By(event::event_last_seen)),
    ("Type", At("/type")),
    ("Reason", At("/reason")),
    ("Object", By(event::event_object)),
    ("Subobject", By(event::event_subobject)),
    ("Source", By(event::event_source)),
    ("Message", By(event::event_message)),
    ("First Seen", By(event::event_first_seen)),
    ("Count", By(event::event_count)),
];

/// Cells of role bindings, cluster-wide and namespaced.
const BINDING: &[(&str, Cell)] = &[
    ("Role", By(policy::binding_role)),
    ("Users", By(policy::binding_users)),
    ("Groups", By(policy::binding_groups)),
    ("ServiceAccounts", By(policy::binding_service_accounts)),
];

/// `(plural, group, cells)`. Sorted by group, then plural, as the facts are.
const KINDS: &[(&str, &str, Cells)] = &[
    ("configmaps", "", &[("Data", By(policy::config_map_data))]),
    ("endpoints", "", &[("Endpoints", By(network::endpoints))]),
    ("events", "", EVENT),
    ("namespaces", "", &[("Status", At("/status/phase"))]),
    (
        "nodes",
        "",
        &[
            ("Status", By(node::node_status)),
            ("Roles", By(node::node_roles)),
            ("Version", At("/status/nodeInfo/kubeletVersion")),
            ("Internal-IP", By(node::node_internal_ip)),
            ("External-IP", By(node::node_external_ip)),
            ("OS-Image", Or("/status/nodeInfo/osImage", "<unknown>")),
            (
                "Kernel-Version",
                Or("/status/nodeInfo/kernelVersion", "<unknown>"),
            ),
            (
                "Container-Runtime",
                Or("/status/nodeInfo/containerRuntimeVersion", "<unknown>"),
            ),
        ],
    ),
    (
        "persistentvolumeclaims",
        "",
        &[
            ("Status", By(storage::claim_status)),
            ("Volume", At("/spec/volumeName")),
            ("Capacity", At("/status/capacity/storage")),
            ("Access Modes", By(storage::claim_access_modes)),
            ("StorageClass", At("/spec/storageClassName")),
            (
                "VolumeAttributesClass",
                Or("/spec/volumeAttributesClassName", "<unset>"),
            ),
            ("VolumeMode", Or("/spec/volumeMode", "<unset>")),
        ],
    ),
    (
        "persistentvolumes",
        "",
        &[
            ("Capacity", At("/spec/capacity/storage")),
            ("Access Modes", By(storage::volume_access_modes)),
            ("Reclaim Policy", At("/spec/persistentVolumeReclaimPolicy")),
            ("Status", At("/status/phase")),
            ("Claim", By(storage::volume_claim)),
            ("StorageClass", At("/spec/storageClassName")),
            (
                "VolumeAttributesClass",
                Or("/spec/volumeAttributesClassName", "<unset>"),
            ),
            ("Reason", At("/status/reason")),
            ("VolumeMode", Or("/spec/volumeMode", "<unset>")),
        ],
    ),
    (
        "pods",
        "",
        &[
            ("Ready", By(workload::pod_ready)),
            ("Status", By(workload::pod_status)),
            ("Restarts", By(workload::pod_restarts)),
            ("IP", Or("/status/podIP", "<none>")),
            ("Node", Or("/spec/nodeName", "<none>")),
            ("Nominated Node", Or("/status/nominatedNodeName", "<none>")),
            ("Readiness Gates", By(workload::pod_readiness_gates)),
        ],
    ),
    (
        "podtemplates",
        "",
        &[("Pod Labels", By(workload::template_labels))],
    ),
    (
        "replicationcontrollers",
        "",
        &[
            ("Desired", Number("/spec/replicas")),
            ("Current", Number("/status/replicas")),
            ("Ready", Number("/status/readyReplicas")),
        ],
    ),
    (
        "resourcequotas",
        "",
        &[
            ("Request", By(policy::quota_requests)),
            ("Limit", By(policy::quota_limits)),
        ],
    ),
    (
        "secrets",
        "",
        &[("Type", At("/type")), ("Data", Count("/data"))],
    ),
    ("serviceaccounts", "", &[("Secrets", Count("/secrets"))]),
    (
        "services",
        "",
        &[
            ("Type", At("/spec/type")),
            ("Cluster-IP", Or("/spec/clusterIP", "<none>")),
            ("External-IP", By(network::service_external_ip)),
            ("Port(s)", By(network::service_ports)),
            ("Selector", By(network::service_selector)),
        ],
    ),
    (
        "mutatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        &[("Webhooks", Count("/webhooks"))],
    ),
    (
        "validatingadmissionpolicies",
        "admissionregistration.k8s.io",
        &[
            ("Validations", Count("/spec/validations")),
            ("ParamKind", By(policy::policy_param_kind)),
        ],
    ),
    (
        "mutatingadmissionpolicies",
        "admissionregistration.k8s.io",
        &[
            ("Mutations", Count("/spec/mutations")),
            ("ParamKind", By(policy::policy_param_kind)),
        ],
    ),
    (
        "validatingadmissionpolicybindings",
        "admissionregistration.k8s.io",
        &[
            ("PolicyName", At("/spec/policyName")),
            ("ParamRef", Or("/spec/paramRef/name", "<unset>")),
        ],
    ),
    (
        "mutatingadmissionpolicybindings",
        "admissionregistration.k8s.io",
        &[
            ("PolicyName", At("/spec/policyName")),
            ("ParamRef", Or("/spec/paramRef/name", "<unset>")),
        ],
    ),
    (
        "validatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        &[("Webhooks", Count("/webhooks"))],
    ),
    (
        "apiservices",
        "apiregistration.k8s.io",
        &[
            ("Service", By(policy::api_service)),
            ("Available", By(policy::api_service_available)),
        ],
    ),
    (
        "controllerrevisions",
        "apps",
        &[
            ("Controller", By(policy::controller)),
            ("Revision", Number("/revision")),
        ],
    ),
    (
        "daemonsets",
        "apps",
        &[
            ("Desired", Number("/status/desiredNumberScheduled")),
            ("Current", Number("/status/currentNumberScheduled")),
            ("Ready", Number("/status/numberReady")),
            ("Up-to-date", Number("/status/updatedNumberScheduled")),
            ("Available", Number("/status/numberAvailable")),
            ("Node Selector", By(workload::template_node_selector)),
        ],
    ),
    (
        "deployments",
        "apps",
        &[
            ("Ready", By(workload::ready_of_desired)),
            ("Up-to-date", Number("/status/updatedReplicas")),
            ("Available", Number("/status/availableReplicas")),
        ],
    ),
    (
        "replicasets",
        "apps",
        &[
            ("Desired", Number("/spec/replicas")),
            ("Current", Number("/status/replicas")),
            ("Ready", Number("/status/readyReplicas")),
        ],
    ),
    (
        "statefulsets",
        "apps",
        &[("Ready", By(workload::ready_of_desired))],
    ),
    (
        "horizontalpodautoscalers",
        "autoscaling",
        &[
            ("Reference", By(autoscaler::autoscaler_reference)),
            ("Targets", By(autoscaler::autoscaler_targets)),
            ("MinPods", Or("/spec/minReplicas", "<unset>")),
            ("MaxPods", Number("/spec/maxReplicas")),
            ("Replicas", Number("/status/currentReplicas")),
        ],
    ),
    (
        "cronjobs",
        "batch",
        &[
            ("Schedule", At("/spec/schedule")),
            ("Timezone", Or("/spec/timeZone", "<none>")),
            ("Suspend", By(workload::cron_job_suspend)),
            ("Active", Count("/status/active")),
            ("Last Schedule", By(workload::cron_job_last_schedule)),
        ],
    ),
    (
        "jobs",
        "batch",
        &[
            ("Status", By(workload::job_status)),
            ("Completions", By(workload::job_completions)),
            ("Duration", By(workload::job_duration)),
        ],
    ),
    (
        "certificatesigningrequests",
        "certificates.k8s.io",
        &[
            ("SignerName", At("/spec/signerName")),
            ("Requestor", At("/spec/username")),
            ("RequestedDuration", Or("/spec/expirationSeconds", "<none>")),
            ("Condition", By(policy::signing_condition)),
        ],
    ),
    (
        "leases",
        "coordination.k8s.io",
        &[("Holder", At("/spec/holderIdentity"))],
    ),
    (
        "endpointslices",
        "discovery.k8s.io",
        &[
            ("AddressType", At("/addressType")),
            ("Ports", By(network::slice_ports)),
            ("Endpoints", By(network::slice_endpoints)),
        ],
    ),
    ("events", "events.k8s.io", EVENT),
    (
        "flowschemas",
        "flowcontrol.apiserver.k8s.io",
        &[
            ("PriorityLevel", At("/spec/priorityLevelConfiguration/name")),
            ("MatchingPrecedence", Number("/spec/matchingPrecedence")),
            (
                "DistinguisherMethod",
                Or("/spec/distinguisherMethod/type", "<none>"),
            ),
        ],
    ),
    (
        "prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io",
        &[("Type", At("/spec/type"))],
    ),
    (
        "nodepools",
        "lab.bayplan.dev",
        &[
            ("Machines", Number("/spec/count")),
            ("Ready", Number("/status/ready")),
        ],
    ),
    (
        "outages",
        "lab.bayplan.dev",
        &[
            ("Mode", At("/spec/mode")),
            ("Nodes", Number("/status/nodes")),
        ],
    ),
    (
        "ingressclasses",
        "networking.k8s.io",
        &[
            ("Controller", At("/spec/controller")),
            ("Parameters", Or("/spec/parameters/name", "<none>")),
        ],
    ),
    (
        "ingresses",
        "networking.k8s.io",
        &[
            ("Class", Or("/spec/ingressClassName", "<none>")),
            ("Hosts", By(network::ingress_hosts)),
            ("Address", By(network::ingress_address)),
            ("Ports", By(network::ingress_ports)),
        ],
    ),
    (
        "ipaddresses",
        "networking.k8s.io",
        &[("ParentRef", By(network::address_parent))],
    ),
    (
        "networkpolicies",
        "networking.k8s.io",
        &[("Pod-Selector", Selector("/spec/podSelector"))],
    ),
    (
        "servicecidrs",
        "networking.k8s.io",
        &[("CIDRs", Joined("/spec/cidrs"))],
    ),
    (
        "runtimeclasses",
        "node.k8s.io",
        &[("Handler", At("/handler"))],
    ),
    (
        "poddisruptionbudgets",
        "policy",
        &[
            ("Min Available", Or("/spec/minAvailable", "N/A")),
            ("Max Unavailable", Or("/spec/maxUnavailable", "N/A")),
            ("Allowed Disruptions", Number("/status/disruptionsAllowed")),
        ],
    ),
    ("clusterrolebindings", "rbac.authorization.k8s.io", BINDING),
    ("rolebindings", "rbac.authorization.k8s.io", BINDING),
    (
        "resourceclaims",
        "resource.k8s.io",
        &[("State", By(policy::resource_claim_state))],
    ),
    (
        "resourceslices",
        "resource.k8s.io",
        &[
            ("Node", Or("/spec/nodeName", "<none>")),
            ("Driver", At("/spec/driver")),
            ("Pool", At("/spec/pool/name")),
        ],
    ),
    (
        "priorityclasses",
        "scheduling.k8s.io",
        &[
            ("Value", Number("/value")),
            ("Global-Default", By(policy::priority_global_default)),
            ("PreemptionPolicy", At("/preemptionPolicy")),
        ],
    ),
    (
        "csidrivers",
        "storage.k8s.io",
        &[
            ("AttachRequired", By(storage::driver_attach_required)),
            ("PodInfoOnMount", By(storage::driver_pod_info)),
            ("StorageCapacity", By(storage::driver_storage_capacity)),
            (
                "TokenRequests",
                Or("/spec/tokenRequests/0/audience", "<unset>"),
            ),
            ("RequiresRepublish", By(storage::driver_republish)),
            ("Modes", Joined("/spec/volumeLifecycleModes")),
        ],
    ),
    (
        "csinodes",
        "storage.k8s.io",
        &[("Drivers", Count("/spec/drivers"))],
    ),
    (
        "storageclasses",
        "storage.k8s.io",
        &[
            ("Name", By(storage::storage_class_name)),
            ("Provisioner", At("/provisioner")),
            ("ReclaimPolicy", At("/reclaimPolicy")),
            ("VolumeBindingMode", At("/volumeBindingMode")),
            ("AllowVolumeExpansion", By(storage::allow_expansion)),
        ],
    ),
    (
        "volumeattachments",
        "storage.k8s.io",
        &[
            ("Attacher", At("/spec/attacher")),
            ("PV", At("/spec/source/persistentVolumeName")),
            ("Node", At("/spec/nodeName")),
            ("Attached", By(storage::attached)),
        ],
    ),
    (
        "volumeattributesclasses",
        "storage.k8s.io",
        &[("DriverName", At("/driverName"))],
    ),
];

/// The value of one cell.
pub(super) fn cell(resource: &Resource, column: &str, row: &Row<'_>) -> Value {
    let own = KINDS
        .iter()
        .find(|(plural, group, _)| *plural == resource.plural && *group == resource.group)
        .map_or(&[][..], |(_, _, cells)| *cells);
    let found = [own, EVERYWHERE, TEMPLATED]
        .iter()
        .flat_map(|cells| cells.iter())
        .find(|(name, _)| *name == column);
    match found {
        Some((_, cell)) => cell.value(row),
        None => Value::from(""),
    }
}

impl Cell {
    fn value(self, row: &Row<'_>) -> Value {
        match self {
            At(path) => Value::from(text_at(row.json, path)),
            Or(path, otherwise) => Value::from(or(text_at(row.json, path), otherwise)),
            Number(path) => Value::from(
                row.json
                    .pointer(path)
                    .and_then(Value::as_i64)
                    .unwrap_or_default(),
            ),
            Count(path) => Value::from(cells::length(row.json.pointer(path))),
            Joined(path) => Value::from(or(cells::joined(row.json.pointer(path)), "<none>")),
            Since(path) => Value::from(cells::age(row, path)),
            Selector(path) => Value::from(cells::selector(row.json.pointer(path))),
            By(compute) => compute(row),
        }
    }
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text
    }
}
