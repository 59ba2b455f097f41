//! What a pod asks for and what a bound pod is charged with.
//!
//! Source: kube-scheduler 1.36. An incoming pod asks for what its specification says. A bound pod is
//! charged with the larger of specification, status and allocation, container by container, because
//! an in-place resize may be under way. For scoring only, a container without a cpu or memory
//! request counts as 100m and 200 MiB.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::k8s::Name;
use crate::k8s::quantity::Quantity;
use crate::k8s::resource_list::{
    ContainerResources, PodResources, Quantities, Requirements, ResourceList,
};

/// Default of a container without a cpu request, for scoring.
const DEFAULT_CPU_MILLI: i64 = 100;
/// Default of a container without a memory request, for scoring: 200 MiB.
const DEFAULT_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

/// Cpu and memory alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CpuMemory {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
}

/// What the scheduler reads of the resources in a pod's status.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StatusResources {
    pub name: Name,
    pub resources: Option<Requirements>,
    pub allocated_resources: Option<Quantities>,
}

/// Resizes as the status tells them.
#[derive(Default)]
pub(super) struct Resize {
    /// By container name, sidecars included.
    pub containers: Vec<StatusResources>,
    pub pod: StatusResources,
    /// `PodResizePending` with reason `Infeasible`: the specification does not count.
    pub infeasible: bool,
}

/// All sums that filters, scores and node totals need.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Requests {
    /// What filters compare with what is free.
    pub wanted: ResourceList,
    /// The incoming pod's amounts for scoring free or used capacity, defaults included. Quirk:
    /// upstream ignores pod-level requests here.
    pub wanted_scored: CpuMemory,
    /// What the pod takes from a node's total while bound.
    pub charged: ResourceList,
    /// The same with scoring defaults.
    pub charged_scored: CpuMemory,
}

impl Requests {
    pub(super) fn of(spec: &PodResources, resize: &Resize) -> Self {
        let wanted = spec.requests();
        let effective = effective(spec, resize);
        let charged = effective.requests();
        let charged_scored = if has_pod_level(spec) {
            or_default(&charged)
        } else {
            cpu_memory(&with_defaults(&effective).requests())
        };
        Self {
            wanted_scored: cpu_memory(&with_defaults(spec).requests()),
            wanted: ResourceList::rounded(&wanted),
            charged: ResourceList::rounded(&charged),
            charged_scored,
        }
    }
}

fn has_pod_level(spec: &PodResources) -> bool {
    spec.resources
        .requests
        .keys()
        .any(|name| name == "cpu" || name == "memory" || name.starts_with("hugepages-"))
}

fn cpu_memory(exact: &Quantities) -> CpuMemory {
    let rounded = ResourceList::rounded(exact);
    CpuMemory {
        cpu_milli: rounded.cpu_milli,
        memory_bytes: rounded.memory_bytes,
    }
}

/// The defaults apply only to resources that the whole pod never mentions.
fn or_default(total: &Quantities) -> CpuMemory {
    let known = cpu_memory(total);
    CpuMemory {
        cpu_milli: if total.contains_key("cpu") {
            known.cpu_milli
        } else {
            DEFAULT_CPU_MILLI
        },
        memory_bytes: if total.contains_key("memory") {
            known.memory_bytes
        } else {
            DEFAULT_MEMORY_BYTES
        },
    }
}

/// The same pod with defaults in every container, and without pod-level requests.
fn with_defaults(spec: &PodResources) -> PodResources {
    let mut filled = spec.clone();
    filled.resources = Requirements::default();
    for container in filled
        .containers
        .iter_mut()
        .chain(&mut filled.init_containers)
    {
        let requests = &mut container.resources.requests;
        requests
            .entry(Name::new_static("cpu"))
            .or_insert_with(|| Quantity::from_milli(DEFAULT_CPU_MILLI));
        requests
            .entry(Name::new_static("memory"))
            .or_insert_with(|| Quantity::from_units(DEFAULT_MEMORY_BYTES));
    }
    filled
}

/// The pod with every request raised to what its status says.
fn effective(spec: &PodResources, resize: &Resize) -> PodResources {
    let mut pod = spec.clone();
    let statuses: BTreeMap<&str, &StatusResources> = resize
        .containers
        .iter()
        .filter(|status| status.resources.is_some())
        .map(|status| (status.name.as_str(), status))
        .collect();
    let resized = |container: &mut ContainerResources| {
        if let Some(status) = statuses.get(container.name.as_str()) {
            raise(&mut container.resources.requests, status, resize.infeasible);
        }
    };
    pod.containers.iter_mut().for_each(resized);
    pod.init_containers
        .iter_mut()
        .filter(|container| container.is_sidecar())
        .for_each(resized);
    if has_pod_level(spec) && resize.pod.resources.is_some() {
        raise(&mut pod.resources.requests, &resize.pod, resize.infeasible);
    }
    pod
}

fn raise(requests: &mut Quantities, status: &StatusResources, infeasible: bool) {
    if infeasible {
        requests.clear();
    }
    let reported = status.resources.iter().map(|actual| &actual.requests);
    for (name, quantity) in reported.chain(&status.allocated_resources).flatten() {
        let entry = requests.entry(name.clone()).or_default();
        if *quantity > *entry {
            *entry = *quantity;
        }
    }
}
