//! The node's own last check of what a pod asks for: `OutOfcpu`, `OutOfmemory`, `OutOfpods`.
//!
//! The scheduler has made sure of it for the pods that it placed; a pod that names its node itself
//! comes here unchecked. Source: the kubelet's general predicates and their messages.

use super::Visit;
use crate::k8s::resource_list::ResourceList;

/// Why a node does not take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: String,
    message: String,
}

impl Visit<'_> {
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let node = self.place.node.node()?;
        let own = &self.object.pod()?.requests;
        let mut used = ResourceList::default();
        let mut pods = 0;
        for other in self.place.cluster.pods_on(self.place.node.name()) {
            let columns = other.pod().filter(|columns| !columns.is_finished());
            // Only pods that the node has taken count: of two that are new, the first one wins.
            let taken = columns.filter(|columns| {
                other.uid != self.object.uid
                    && (columns.started.is_some() || self.machine.taken.contains(&other.uid))
            });
            if let Some(columns) = taken {
                used.add(&columns.requests);
                pods += 1;
            }
        }
        if node.pod_limit > 0 && pods + 1 > node.pod_limit {
            return Some(out_of("pods", 1, pods, node.pod_limit));
        }
        let room = &node.allocatable;
        let mut amounts = vec![
            ("cpu".into(), own.cpu_milli, used.cpu_milli, room.cpu_milli),
            (
                "memory".into(),
                own.memory_bytes,
                used.memory_bytes,
                room.memory_bytes,
            ),
            (
                "ephemeral-storage".into(),
                own.ephemeral_storage_bytes,
                used.ephemeral_storage_bytes,
                room.ephemeral_storage_bytes,
            ),
        ];
        for (name, asked) in &own.scalars {
            amounts.push((name.clone(), *asked, used.scalar(name), room.scalar(name)));
        }
        amounts
            .into_iter()
            .find(|(_, asked, used, room)| *asked > 0 && used + asked > *room)
            .map(|(name, asked, used, room)| out_of(&name, asked, used, room))
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let status = &mut self.pod.status;
        status.phase = "Failed".into();
        status.reason = refusal.reason.as_str().into();
        status.message = format!("Pod was rejected: {}", refusal.message);
        self.warning(&refusal.reason, refusal.message);
    }
}

fn out_of(resource: &str, asked: i64, used: i64, room: i64) -> Refusal {
    Refusal {
        reason: format!("OutOf{resource}"),
        message: format!(
            "Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {room}"
        ),
    }
}
