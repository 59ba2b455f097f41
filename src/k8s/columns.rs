//! The few fields of pods and nodes that packing, lists and controllers read all the time, parsed
//! once when an object enters. Everything else is decoded from the bytes when one object is looked
//! at.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::key::{Name, Resource};
use super::resource_list::{PodResources, Quantities, ResourceList};
use super::resources;
use super::selector::LabelSelector;
use super::taint::Taint;

/// Per-kind columns.
#[derive(Clone, Debug, Default)]
pub enum Columns {
    Pod(Box<PodColumns>),
    Node(Box<NodeColumns>),
    /// What a service, a disruption budget or a workload selects pods by.
    Selector(Box<LabelSelector>),
    #[default]
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
pub enum PodPhase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum QosClass {
    Guaranteed,
    Burstable,
    #[default]
    BestEffort,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a pod, not states of one machine"
)]
pub struct PodColumns {
    pub node: Option<Name>,
    pub nominated_node: Option<Name>,
    pub scheduler: Name,
    pub phase: PodPhase,
    /// The `Ready` condition.
    pub ready: bool,
    /// The `Initialized` condition.
    pub initialized: bool,
    /// When the `Ready` condition last turned.
    pub ready_since: Option<Timestamp>,
    /// `status.reason`: `Evicted`, `NodeLost`, …
    pub reason: Name,
    /// Reason and message of a false `PodScheduled` condition.
    pub unscheduled: Option<Arc<(Name, Name)>>,
    pub scheduling_gated: bool,
    pub priority: i32,
    pub qos: QosClass,
    pub host_network: bool,
    pub ip: Name,
    pub started: Option<Timestamp>,
    /// Rounded as the scheduler counts them.
    pub requests: ResourceList,
    pub limits: ResourceList,
    /// Init containers first, then the app's, in the specification's order.
    pub containers: Arc<[ContainerColumns]>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ContainerRole {
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    App,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerColumns {
    pub name: Name,
    pub role: ContainerRole,
    pub image: Name,
    pub ready: bool,
    /// Its start-up probe has passed, or it has none and runs.
    pub started: bool,
    pub restarts: u32,
    pub state: ContainerState,
    /// Why and when its previous instance ended.
    pub last_end: Option<Box<ContainerEnd>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContainerState {
    Waiting { reason: Name },
    Running { since: Option<Timestamp> },
    Terminated(Box<ContainerEnd>),
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerEnd {
    pub exit_code: i32,
    /// 0 where no signal ended it.
    pub signal: i32,
    pub reason: Name,
    pub finished_at: Option<Timestamp>,
}

impl PodColumns {
    /// Succeeded or Failed: it holds no resources any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    pub fn restarts(&self) -> u32 {
        self.containers
            .iter()
            .map(|container| container.restarts)
            .sum()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum NodeReady {
    True,
    False,
    #[default]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeColumns {
    pub allocatable: ResourceList,
    pub capacity: ResourceList,
    /// Allocatable `pods`; 0 when the node does not say.
    pub pod_limit: i64,
    pub unschedulable: bool,
    pub taints: Arc<[Taint]>,
    pub ready: NodeReady,
    pub ready_since: Option<Timestamp>,
    pub pod_cidr: Name,
    pub internal_ip: Name,
    pub kubelet_version: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodWire {
    spec: PodSpecWire,
    status: PodStatusWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpecWire {
    node_name: Option<Name>,
    scheduler_name: Name,
    priority: Option<i32>,
    host_network: bool,
    scheduling_gates: Vec<serde::de::IgnoredAny>,
    containers: Vec<ContainerWire>,
    init_containers: Vec<ContainerWire>,
    overhead: Quantities,
    #[serde(rename = "resources")]
    pod_level: super::resource_list::Requirements,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerWire {
    name: Name,
    image: Name,
    restart_policy: Name,
    resources: super::resource_list::Requirements,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodStatusWire {
    phase: PodPhase,
    reason: Name,
    nominated_node_name: Option<Name>,
    #[serde(rename = "podIP")]
    pod_ip: Name,
    start_time: Option<Timestamp>,
    conditions: Vec<ConditionWire>,
    container_statuses: Vec<ContainerStatusWire>,
    init_container_statuses: Vec<ContainerStatusWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConditionWire {
    #[serde(rename = "type")]
    kind: Name,
    status: Name,
    reason: Name,
    message: Name,
    last_transition_time: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatusWire {
    name: Name,
    ready: bool,
    started: Option<bool>,
    restart_count: u32,
    state: StateWire,
    last_state: StateWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StateWire {
    waiting: Option<WaitingWire>,
    running: Option<RunningWire>,
    terminated: Option<ContainerEnd>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WaitingWire {
    reason: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RunningWire {
    started_at: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeWire {
    spec: NodeSpecWire,
    status: NodeStatusWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeSpecWire {
    unschedulable: bool,
    taints: Vec<Taint>,
    #[serde(rename = "podCIDR")]
    pod_cidr: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatusWire {
    allocatable: Quantities,
    capacity: Quantities,
    conditions: Vec<ConditionWire>,
    addresses: Vec<AddressWire>,
    node_info: NodeInfoWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AddressWire {
    #[serde(rename = "type")]
    kind: Name,
    address: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfoWire {
    kubelet_version: Name,
}

/// Reads a pod's columns from its JSON.
pub fn pod(json: &[u8]) -> Result<PodColumns, serde_json::Error> {
    let PodWire { spec, status } = serde_json::from_slice(json)?;
    let condition = |kind: &str| status.conditions.iter().find(|entry| entry.kind == kind);
    let ready = condition("Ready");
    let unscheduled = condition("PodScheduled")
        .filter(|entry| entry.status == "False")
        .map(|entry| Arc::new((entry.reason.clone(), entry.message.clone())));
    let containers = containers(&spec, &status);
    let resources = PodResources {
        containers: spec
            .containers
            .into_iter()
            .map(ContainerWire::resources)
            .collect(),
        init_containers: spec
            .init_containers
            .into_iter()
            .map(ContainerWire::resources)
            .collect(),
        overhead: spec.overhead,
        resources: spec.pod_level,
    };
    Ok(PodColumns {
        node: spec.node_name.filter(|name| !name.is_empty()),
        nominated_node: status.nominated_node_name.filter(|name| !name.is_empty()),
        scheduler: if spec.scheduler_name.is_empty() {
            Name::new_static("default-scheduler")
        } else {
            spec.scheduler_name
        },
        phase: status.phase,
        ready: ready.is_some_and(|entry| entry.status == "True"),
        initialized: condition("Initialized").is_some_and(|entry| entry.status == "True"),
        ready_since: ready.and_then(|entry| entry.last_transition_time),
        reason: status.reason,
        unscheduled,
        scheduling_gated: !spec.scheduling_gates.is_empty(),
        priority: spec.priority.unwrap_or_default(),
        qos: qos(&resources),
        host_network: spec.host_network,
        ip: status.pod_ip,
        started: status.start_time,
        requests: ResourceList::rounded(&resources.requests()),
        limits: ResourceList::rounded(&resources.limits()),
        containers,
    })
}

/// Reads a node's columns from its JSON.
pub fn node(json: &[u8]) -> Result<NodeColumns, serde_json::Error> {
    let NodeWire { spec, status } = serde_json::from_slice(json)?;
    let ready = status.conditions.iter().find(|entry| entry.kind == "Ready");
    let address = status
        .addresses
        .into_iter()
        .find(|entry| entry.kind == "InternalIP");
    Ok(NodeColumns {
        allocatable: ResourceList::rounded(&status.allocatable),
        capacity: ResourceList::rounded(&status.capacity),
        pod_limit: status
            .allocatable
            .get("pods")
            .map_or(0, |quantity| quantity.value()),
        unschedulable: spec.unschedulable,
        taints: spec.taints.into(),
        ready: match ready.map(|entry| entry.status.as_str()) {
            Some("True") => NodeReady::True,
            Some("False") => NodeReady::False,
            _ => NodeReady::Unknown,
        },
        ready_since: ready.and_then(|entry| entry.last_transition_time),
        pod_cidr: spec.pod_cidr,
        internal_ip: address.map(|entry| entry.address).unwrap_or_default(),
        kubelet_version: status.node_info.kubelet_version,
    })
}

/// Kinds whose `spec.selector` is a label selector.
const SELECTING: [Resource; 6] = [
    resources::REPLICA_SETS,
    resources::DEPLOYMENTS,
    resources::STATEFUL_SETS,
    resources::DAEMON_SETS,
    resources::JOBS,
    resources::POD_DISRUPTION_BUDGETS,
];

/// Kinds whose `spec.selector` is a plain map of labels; an empty one selects nothing.
const SELECTING_BY_MAP: [Resource; 2] = [resources::SERVICES, resources::REPLICATION_CONTROLLERS];

/// Reads the pod selector of the kinds that have one; `None` also where it is malformed.
pub fn selector(resource: &Resource, json: &[u8]) -> Option<LabelSelector> {
    #[derive(Deserialize)]
    struct Wire<T> {
        spec: Spec<T>,
    }
    #[derive(Deserialize)]
    struct Spec<T> {
        selector: Option<T>,
    }
    if SELECTING.contains(resource) {
        let wire: Wire<LabelSelector> = serde_json::from_slice(json).ok()?;
        wire.spec.selector
    } else if SELECTING_BY_MAP.contains(resource) {
        let wire: Wire<BTreeMap<Name, Name>> = serde_json::from_slice(json).ok()?;
        let match_labels = wire.spec.selector.filter(|labels| !labels.is_empty())?;
        Some(LabelSelector {
            match_labels,
            match_expressions: Vec::new(),
        })
    } else {
        None
    }
}

impl ContainerWire {
    fn resources(self) -> super::resource_list::ContainerResources {
        super::resource_list::ContainerResources {
            name: self.name,
            resources: self.resources,
            restart_policy: self.restart_policy,
        }
    }

    fn init_role(&self) -> ContainerRole {
        if self.restart_policy == "Always" {
            ContainerRole::Sidecar
        } else {
            ContainerRole::Init
        }
    }
}

fn containers(spec: &PodSpecWire, status: &PodStatusWire) -> Arc<[ContainerColumns]> {
    let init = spec.init_containers.iter().map(|container| {
        (
            container,
            container.init_role(),
            &status.init_container_statuses,
        )
    });
    let app = spec
        .containers
        .iter()
        .map(|container| (container, ContainerRole::App, &status.container_statuses));
    init.chain(app)
        .map(|(container, role, statuses)| {
            let status = statuses.iter().find(|entry| entry.name == container.name);
            ContainerColumns {
                name: container.name.clone(),
                role,
                image: container.image.clone(),
                ready: status.is_some_and(|entry| entry.ready),
                started: status.is_some_and(|entry| entry.started == Some(true)),
                restarts: status.map_or(0, |entry| entry.restart_count),
                state: status.map_or_else(waiting_unknown, |entry| entry.state.to_state()),
                last_end: status
                    .and_then(|entry| entry.last_state.terminated.clone())
                    .map(Box::new),
            }
        })
        .collect()
}

fn waiting_unknown() -> ContainerState {
    ContainerState::Waiting {
        reason: Name::default(),
    }
}

impl StateWire {
    fn to_state(&self) -> ContainerState {
        if let Some(end) = &self.terminated {
            ContainerState::Terminated(Box::new(end.clone()))
        } else if let Some(running) = &self.running {
            ContainerState::Running {
                since: running.started_at,
            }
        } else {
            let reason = self.waiting.as_ref().map(|waiting| waiting.reason.clone());
            ContainerState::Waiting {
                reason: reason.unwrap_or_default(),
            }
        }
    }
}

/// Source: "Pod Quality of Service Classes". Guaranteed: every container has cpu and memory limits
/// equal to its requests; `BestEffort`: none has either.
fn qos(pod: &PodResources) -> QosClass {
    let all = || pod.containers.iter().chain(&pod.init_containers);
    let counted = |name: &Name| name == "cpu" || name == "memory";
    let mentions = |list: &Quantities| {
        list.iter()
            .any(|(name, quantity)| counted(name) && !quantity.is_zero())
    };
    if !all().any(|container| {
        mentions(&container.resources.requests) || mentions(&container.resources.limits)
    }) {
        return QosClass::BestEffort;
    }
    let pinned = |container: &super::resource_list::ContainerResources| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = container.resources.limits.get(*name);
            let request = container.resources.requests.get(*name).or(limit);
            limit.is_some_and(|quantity| !quantity.is_zero())
                && limit.map(|quantity| quantity.milli())
                    == request.map(|quantity| quantity.milli())
        })
    };
    if all().all(pinned) {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}
