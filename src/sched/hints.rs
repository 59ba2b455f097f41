//! Queueing hints: whether a change may help a pod that some plugins refused.
//!
//! Source: the `EventsToRegister` of kube-scheduler's default plugins. A hint may be too generous,
//! never too strict: a pod that is not woken waits five minutes.

use super::queue::QueuedPod;
use super::snapshot::Snapshot;
use super::verdict::Plugin;
use crate::k8s::columns::PodColumns;
use crate::k8s::{Change, ChangeKind, resources};

/// Whether the change may let the pod through where it was refused.
pub fn may_help(_snapshot: &Snapshot, pod: &QueuedPod, change: &Change) -> bool {
    let resource = &change.object.key.resource;
    if *resource == resources::PODS {
        if change.object.key == pod.object.key {
            return false;
        }
        let was_bound = |object: &crate::k8s::Object| {
            object.pod().is_some_and(|columns| columns.node.is_some())
        };
        let frees = match change.kind {
            ChangeKind::Deleted => was_bound(&change.object),
            ChangeKind::Modified => change.object.pod().is_some_and(PodColumns::is_finished),
            ChangeKind::Added => false,
        };
        let settles = change.kind != ChangeKind::Deleted
            && was_bound(&change.object)
            && change.previous.as_ref().is_none_or(|previous| {
                !was_bound(previous) || previous.labels != change.object.labels
            });
        let minds_others = pod.refused_by.contains(&Plugin::PodTopologySpread)
            || pod.refused_by.contains(&Plugin::InterPodAffinity);
        frees || (settles && minds_others)
    } else if *resource == resources::NODES {
        change.kind != ChangeKind::Deleted || pod.refused_by.contains(&Plugin::PodTopologySpread)
    } else {
        [
            resources::PERSISTENT_VOLUME_CLAIMS,
            resources::PERSISTENT_VOLUMES,
            resources::STORAGE_CLASSES,
            resources::CSI_NODES,
        ]
        .contains(resource)
            && [
                Plugin::VolumeBinding,
                Plugin::VolumeRestrictions,
                Plugin::VolumeZone,
                Plugin::NodeVolumeLimits,
            ]
            .iter()
            .any(|plugin| pod.refused_by.contains(plugin))
    }
}
