//! Queueing hints: whether a change may help a pod that some plugins refused.
//!
//! Source: the `EventsToRegister` of kube-scheduler's default plugins. A hint may be too generous,
//! never too strict: a pod that is not woken waits five minutes. Only parsed headers are read, since
//! every change is held against every unschedulable pod.

use super::queue::QueuedPod;
use super::verdict::Plugin;
use crate::k8s::columns::{NodeColumns, PodColumns};
use crate::k8s::resource_list::ResourceList;
use crate::k8s::{Change, ChangeKind, Object, resources};

const VOLUME_PLUGINS: [Plugin; 4] = [
    Plugin::VolumeBinding,
    Plugin::VolumeRestrictions,
    Plugin::VolumeZone,
    Plugin::NodeVolumeLimits,
];

/// Whether the change may let the pod through where it was refused.
pub fn may_help(pod: &QueuedPod, change: &Change) -> bool {
    let resource = &change.object.key.resource;
    if *resource == resources::PODS {
        change.object.key != pod.object.key && pod_change_helps(pod, change)
    } else if *resource == resources::NODES {
        node_change_helps(pod, change)
    } else {
        let is_storage = [
            resources::PERSISTENT_VOLUME_CLAIMS,
            resources::PERSISTENT_VOLUMES,
            resources::STORAGE_CLASSES,
            resources::CSI_NODES,
        ]
        .contains(resource);
        is_storage && refused_by_any(pod, &VOLUME_PLUGINS)
    }
}

fn refused_by_any(pod: &QueuedPod, plugins: &[Plugin]) -> bool {
    plugins.iter().any(|plugin| pod.refused_by.contains(plugin))
}

fn pod_change_helps(pod: &QueuedPod, change: &Change) -> bool {
    let was_there = change.previous.as_deref().is_some_and(holds_place);
    let is_there = change.kind != ChangeKind::Deleted && holds_place(&change.object);
    let minds_others =
        || refused_by_any(pod, &[Plugin::PodTopologySpread, Plugin::InterPodAffinity]);
    match (was_there, is_there) {
        // Upstream's watch may tell of a deletion without the state before.
        (true | false, false) if change.kind == ChangeKind::Deleted || was_there => {
            leaving_helps(pod, &change.object) || minds_others()
        }
        (false, true) => minds_others(),
        (true, true) => {
            let labels_differ = change
                .previous
                .as_ref()
                .is_some_and(|previous| previous.labels != change.object.labels);
            labels_differ && minds_others() || shrank(change) && leaving_helps(pod, &change.object)
        }
        _ => false,
    }
}

fn holds_place(object: &Object) -> bool {
    object
        .pod()
        .is_some_and(|columns| columns.node.is_some() && !columns.is_finished())
}

/// A pod was resized in place to ask for less.
fn shrank(change: &Change) -> bool {
    let requests = |object: &Object| object.pod().map(|columns| columns.requests.clone());
    match (
        change.previous.as_deref().and_then(requests),
        requests(&change.object),
    ) {
        (Some(before), Some(after)) => {
            before.cpu_milli > after.cpu_milli || before.memory_bytes > after.memory_bytes
        }
        _ => false,
    }
}

/// Whether what a leaving pod held is something that the waiting one lacked.
fn leaving_helps(pod: &QueuedPod, leaving: &Object) -> bool {
    if refused_by_any(
        pod,
        &[
            Plugin::NodePorts,
            Plugin::VolumeRestrictions,
            Plugin::NodeVolumeLimits,
        ],
    ) {
        return true;
    }
    if !pod.refused_by.contains(&Plugin::NodeResourcesFit) {
        return false;
    }
    let lacks_slots = pod
        .message
        .contains(super::plugins::node_resources_fit::TOO_MANY_PODS);
    let requests = |object: &Object| object.pod().map(|columns| columns.requests.clone());
    let (Some(wanted), Some(freed)) = (requests(&pod.object), requests(leaving)) else {
        return true;
    };
    lacks_slots || share_a_resource(&wanted, &freed)
}

fn share_a_resource(one: &ResourceList, other: &ResourceList) -> bool {
    (one.cpu_milli > 0 && other.cpu_milli > 0)
        || (one.memory_bytes > 0 && other.memory_bytes > 0)
        || (one.ephemeral_storage_bytes > 0 && other.ephemeral_storage_bytes > 0)
        || one.scalars.iter().any(|(name, _)| other.scalar(name) > 0)
}

fn node_change_helps(pod: &QueuedPod, change: &Change) -> bool {
    let Some(columns) = change.object.node() else {
        return false;
    };
    match (change.kind, change.previous.as_deref()) {
        // A domain that is gone may lower the skew.
        (ChangeKind::Deleted, _) => pod.refused_by.contains(&Plugin::PodTopologySpread),
        (ChangeKind::Modified, Some(previous)) => previous
            .node()
            .is_none_or(|before| update_helps(pod, change, previous, before, columns)),
        _ => pod
            .object
            .pod()
            .is_none_or(|wanted| is_large_enough(columns, wanted)),
    }
}

/// Heartbeats help nobody.
fn update_helps(
    pod: &QueuedPod,
    change: &Change,
    previous: &Object,
    before: &NodeColumns,
    after: &NodeColumns,
) -> bool {
    let labels = [
        Plugin::NodeAffinity,
        Plugin::PodTopologySpread,
        Plugin::InterPodAffinity,
        Plugin::VolumeBinding,
        Plugin::VolumeZone,
    ];
    let taints = [
        Plugin::TaintToleration,
        Plugin::NodeUnschedulable,
        Plugin::PodTopologySpread,
    ];
    let fit = [Plugin::NodeResourcesFit, Plugin::NodeVolumeLimits];
    (previous.labels != change.object.labels && refused_by_any(pod, &labels))
        || ((before.taints != after.taints || before.unschedulable != after.unschedulable)
            && refused_by_any(pod, &taints))
        || ((before.allocatable != after.allocatable || before.pod_limit != after.pod_limit)
            && refused_by_any(pod, &fit))
}

fn is_large_enough(node: &NodeColumns, pod: &PodColumns) -> bool {
    let has = &node.allocatable;
    let wanted = &pod.requests;
    wanted.cpu_milli <= has.cpu_milli
        && wanted.memory_bytes <= has.memory_bytes
        && wanted.ephemeral_storage_bytes <= has.ephemeral_storage_bytes.max(0)
        && wanted
            .scalars
            .iter()
            .all(|(name, amount)| *amount <= has.scalar(name))
}
