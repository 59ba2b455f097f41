//! Which pods go first when there are too many.
//!
//! Source: `ActivePodsWithRanks` in `pkg/controller/controller_utils.go`, with the logarithmic
//! comparison of ages that has been on since Kubernetes 1.22: ages count as equal within the same
//! power of two of seconds, so that scaling down does not always hit the same failure domain.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::super::{field, pod};
use crate::k8s::columns::{ContainerRole, PodColumns, PodPhase};
use crate::k8s::{Cluster, Name, Object, resources};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// `count` of the pods, those that are missed least first.
pub(super) fn choose<'a>(
    cluster: &Cluster,
    owner: &Object,
    pods: &[&'a Arc<Object>],
    count: usize,
    now: Timestamp,
) -> Vec<&'a Arc<Object>> {
    if count >= pods.len() {
        return pods.to_vec();
    }
    let crowd = crowd(cluster, owner, pods);
    let mut candidates: Vec<Candidate<'a>> = pods
        .iter()
        .filter_map(|object| {
            let columns = object.pod()?;
            let node = columns.node.as_ref();
            Some(Candidate {
                object,
                columns,
                cost: deletion_cost(object),
                neighbours: node
                    .and_then(|node| crowd.get(node))
                    .copied()
                    .unwrap_or_default(),
            })
        })
        .collect();
    candidates.sort_by(|one, other| one.compare(other, now));
    candidates
        .into_iter()
        .take(count)
        .map(|candidate| candidate.object)
        .collect()
}

/// Active pods by node, of this owner and of its siblings under the same controller.
fn crowd(cluster: &Cluster, owner: &Object, pods: &[&Arc<Object>]) -> BTreeMap<Name, usize> {
    let mut crowd: BTreeMap<Name, usize> = BTreeMap::new();
    let mut count = |object: &Arc<Object>| {
        if let Some(node) = object.pod().and_then(|columns| columns.node.clone()) {
            *crowd.entry(node).or_default() += 1;
        }
    };
    for object in pods {
        count(object);
    }
    let Some(controller) = owner.controller() else {
        return crowd;
    };
    let siblings = cluster.owned_by(&controller.uid).filter(|sibling| {
        sibling.key.resource == resources::REPLICA_SETS
            && sibling.uid != owner.uid
            && sibling
                .controller()
                .is_some_and(|other| other.uid == controller.uid)
    });
    for sibling in siblings {
        for object in pod::controlled(cluster, &sibling.uid).filter(|object| pod::is_active(object))
        {
            count(object);
        }
    }
    crowd
}

struct Candidate<'a> {
    object: &'a Arc<Object>,
    columns: &'a PodColumns,
    cost: i32,
    /// Related pods on its node.
    neighbours: usize,
}

impl Candidate<'_> {
    /// What goes first compares as less. Upstream lets the uid decide between pods of different but
    /// similar age at once; here restarts and creation are looked at before, which makes the order
    /// a total one.
    fn compare(&self, other: &Self, now: Timestamp) -> Ordering {
        self.rank()
            .cmp(&other.rank())
            .then_with(|| self.cost.cmp(&other.cost))
            .then_with(|| other.neighbours.cmp(&self.neighbours))
            .then_with(|| self.ready_age(now).cmp(&other.ready_age(now)))
            .then_with(|| other.restarts().cmp(&self.restarts()))
            .then_with(|| self.age(now).cmp(&other.age(now)))
            .then_with(|| self.object.uid.cmp(&other.object.uid))
    }

    /// Unassigned before assigned, pending before unknown before running, not ready before ready.
    fn rank(&self) -> (bool, u8, bool) {
        let phase = match self.columns.phase {
            PodPhase::Pending => 0,
            PodPhase::Unknown => 1,
            PodPhase::Running | PodPhase::Succeeded | PodPhase::Failed => 2,
        };
        (self.columns.node.is_some(), phase, self.columns.ready)
    }

    /// A pod without a time counts as the youngest, in this and in [`Self::age`].
    fn ready_age(&self, now: Timestamp) -> Option<u32> {
        let since = self.columns.ready_since.filter(|_| self.columns.ready)?;
        Some(magnitude(since, now))
    }

    fn age(&self, now: Timestamp) -> Option<u32> {
        self.object.created.map(|created| magnitude(created, now))
    }

    /// The most restarts of an app container, and of a sidecar.
    fn restarts(&self) -> (u32, u32) {
        let most = |role: ContainerRole| {
            self.columns
                .containers
                .iter()
                .filter(|container| container.role == role)
                .map(|container| container.restarts)
                .max()
                .unwrap_or_default()
        };
        (most(ContainerRole::App), most(ContainerRole::Sidecar))
    }
}

/// The power of two of an age in seconds; times in the future count as just now.
fn magnitude(time: Timestamp, now: Timestamp) -> u32 {
    let age_s = now.as_second().saturating_sub(time.as_second()).max(0);
    64 - age_s.unsigned_abs().leading_zeros()
}

/// 0 where the annotation is missing or no number. Decodes only objects whose bytes contain it.
fn deletion_cost(object: &Object) -> i32 {
    let mentions =
        std::str::from_utf8(&object.bytes()).is_ok_and(|text| text.contains(DELETION_COST));
    if !mentions {
        return 0;
    }
    let json: Value = object.json();
    field::annotation(&json, DELETION_COST)
        .and_then(|cost| cost.parse().ok())
        .unwrap_or_default()
}
