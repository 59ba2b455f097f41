//! Which pods may be moved at all.
//!
//! As the cluster autoscaler decides when it drains a node (its FAQ, "What types of pods can prevent
//! CA from removing a node?"): pods without a controller, with local storage, or marked as not safe to
//! evict stay; daemons and mirror pods do not count.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::k8s::{Name, Object};

use super::super::snapshot::Snapshot;
use super::super::surroundings::Budget;

/// Why a pod stays where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fixed {
    /// Nothing would create it anew.
    NoController,
    /// It leaves already.
    Terminating,
    /// A daemon or a mirror pod: it belongs to its node.
    OfItsNode,
    /// A volume of this name on the node's own disk.
    LocalStorage(Name),
    /// `cluster-autoscaler.kubernetes.io/safe-to-evict: "false"`.
    NotSafeToEvict,
    /// The budget allows no disruption now.
    Budget(Name),
    /// The eviction API refuses pods that more than one budget covers.
    SeveralBudgets,
    /// Its manifest cannot be read.
    Unreadable,
}

impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoController => write!(f, "no controller would create it anew"),
            Self::Terminating => write!(f, "it is terminating"),
            Self::OfItsNode => write!(f, "it belongs to its node"),
            Self::LocalStorage(volume) => write!(f, "volume `{volume}` is local to the node"),
            Self::NotSafeToEvict => write!(f, "it is marked as not safe to evict"),
            Self::Budget(budget) => write!(f, "budget `{budget}` allows no disruption now"),
            Self::SeveralBudgets => write!(f, "more than one disruption budget covers it"),
            Self::Unreadable => write!(f, "its manifest cannot be read"),
        }
    }
}

const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    metadata: MetadataWire,
    spec: SpecWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetadataWire {
    annotations: Option<BTreeMap<Name, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SpecWire {
    volumes: Option<Vec<VolumeWire>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VolumeWire {
    name: Name,
    empty_dir: Option<EmptyDirWire>,
    host_path: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EmptyDirWire {
    medium: Name,
}

impl VolumeWire {
    fn is_on_disk(&self) -> bool {
        let on_disk = |dir: &EmptyDirWire| dir.medium != "Memory";
        self.empty_dir.as_ref().is_some_and(on_disk)
    }

    fn keeps(&self, empty_dirs: bool) -> bool {
        self.host_path.is_some() || (!empty_dirs && self.is_on_disk())
    }
}

/// The first volume of the pod that is lost when it moves.
pub(super) fn local_volume(pod: &Object) -> Option<Name> {
    let wire: Wire = serde_json::from_slice(&pod.bytes()).ok()?;
    let mut volumes = wire.spec.volumes.unwrap_or_default().into_iter();
    volumes
        .find(VolumeWire::is_on_disk)
        .map(|volume| volume.name)
}

/// Daemons and mirror pods: they come and go with their node.
pub fn stays_with_its_node(pod: &Object) -> bool {
    pod.controller()
        .is_some_and(|owner| owner.kind == "DaemonSet" || owner.kind == "Node")
}

/// Why the pod may not be moved, if so. With `empty_dirs`, what it keeps in `emptyDir` volumes is no
/// reason.
pub(super) fn fixed(snapshot: &Snapshot, pod: &Object, empty_dirs: bool) -> Option<Fixed> {
    if stays_with_its_node(pod) {
        return Some(Fixed::OfItsNode);
    }
    if pod.is_terminating() {
        return Some(Fixed::Terminating);
    }
    let Ok(wire) = serde_json::from_slice::<Wire>(&pod.bytes()) else {
        return Some(Fixed::Unreadable);
    };
    let annotations = wire.metadata.annotations.unwrap_or_default();
    if annotations.contains_key(MIRROR) {
        return Some(Fixed::OfItsNode);
    }
    if pod.controller().is_none() {
        return Some(Fixed::NoController);
    }
    let safe = annotations.get(SAFE_TO_EVICT).map(String::as_str);
    if safe == Some("false") {
        return Some(Fixed::NotSafeToEvict);
    }
    let volumes = wire.spec.volumes.unwrap_or_default();
    if safe != Some("true")
        && let Some(local) = volumes.into_iter().find(|volume| volume.keeps(empty_dirs))
    {
        return Some(Fixed::LocalStorage(local.name));
    }
    let mut budgets = budgets(snapshot, pod);
    match (budgets.next(), budgets.next()) {
        (Some(_), Some(_)) => Some(Fixed::SeveralBudgets),
        (Some((name, budget)), None) if budget.disruptions_allowed <= 0 => {
            Some(Fixed::Budget(name.clone()))
        }
        _ => None,
    }
}

/// The disruption budgets that cover the pod, by name.
pub(super) fn budgets<'a>(
    snapshot: &'a Snapshot,
    pod: &'a Object,
) -> impl Iterator<Item = (&'a Name, &'a Budget)> {
    let covering = snapshot.surroundings().budgets.iter();
    covering.filter_map(|((namespace, name), budget)| {
        let selector = budget.selector.as_ref()?;
        let is_covered = *namespace == pod.key.namespace && selector.matches(&pod.labels);
        is_covered.then_some((name, &**budget))
    })
}
