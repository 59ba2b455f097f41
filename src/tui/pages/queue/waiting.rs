//! The pods that wait for a place, and what the scheduler has said about them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::k8s::columns::{PodColumns, PodPhase};
use crate::k8s::workload::root_of;
use crate::k8s::{Cluster, Name, Object, ObjectKey, Uid, resources};
use crate::tui::pages::timeline::entry::of_event;

#[derive(Clone, PartialEq, Debug)]
pub struct WaitingPod {
    pub key: ObjectKey,
    pub uid: Uid,
    /// The workload it belongs to; itself where it has none.
    pub root: ObjectKey,
    pub since: Option<Timestamp>,
    pub state: WaitingState,
    pub priority: i32,
    /// Failed attempts, as the `FailedScheduling` events count them; `None` where no event is left.
    pub attempts: Option<u32>,
    pub last_attempt: Option<Timestamp>,
    /// The scheduler's whole message.
    pub message: Name,
    pub refusals: Vec<Refusal>,
    /// Where preemption is making room for it.
    pub nominated_node: Option<Name>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WaitingState {
    /// Every node refused it.
    Unschedulable,
    /// The scheduler has not looked at it yet.
    Queued,
    /// It may not be looked at: a scheduling gate.
    Gated,
}

/// Nodes that refused for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub nodes: u32,
    pub reason: String,
}

impl WaitingState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Unschedulable => "unschedulable",
            Self::Queued => "queued",
            Self::Gated => "gated",
        }
    }
}

/// All waiting pods: refused ones first, the longest wait first.
pub fn waiting(cluster: &Cluster) -> Vec<WaitingPod> {
    let mut found: Vec<WaitingPod> = cluster
        .pods()
        .filter_map(|object| {
            let pod = object.pod()?;
            if !is_waiting(object) {
                return None;
            }
            let refusal = pod.unscheduled.as_deref();
            let state = match refusal {
                _ if pod.scheduling_gated => WaitingState::Gated,
                Some((reason, _)) if reason == "Unschedulable" => WaitingState::Unschedulable,
                _ => WaitingState::Queued,
            };
            let message = refusal
                .map(|(_, message)| message.clone())
                .unwrap_or_default();
            Some(WaitingPod {
                key: object.key.clone(),
                uid: object.uid.clone(),
                root: root_of(cluster, object).key.clone(),
                since: object.created,
                state,
                priority: pod.priority,
                attempts: None,
                last_attempt: None,
                refusals: refusals(&message),
                message,
                nominated_node: pod.nominated_node.clone(),
            })
        })
        .collect();
    if !found.is_empty() {
        add_attempts(cluster, &mut found);
    }
    found.sort_by(|left, right| {
        (left.state, left.since, &left.key).cmp(&(right.state, right.since, &right.key))
    });
    found
}

/// Whether a pod waits for a place.
pub fn is_waiting(object: &Object) -> bool {
    let waits = |pod: &PodColumns| pod.phase == PodPhase::Pending && pod.node.is_none();
    object.pod().is_some_and(waits) && !object.is_terminating()
}

fn add_attempts(cluster: &Cluster, found: &mut [WaitingPod]) {
    let mut attempts: BTreeMap<ObjectKey, (u32, Timestamp)> = BTreeMap::new();
    for object in cluster.list(&resources::EVENTS) {
        if let Some(event) = of_event(object).filter(|event| event.what == "FailedScheduling") {
            let entry = attempts.entry(event.about).or_insert((0, event.at));
            entry.0 += event.count;
            entry.1 = entry.1.max(event.at);
        }
    }
    for pod in found {
        if let Some((count, last)) = attempts.get(&pod.key) {
            pod.attempts = Some(*count);
            pod.last_attempt = Some(*last);
        }
    }
}

/// Splits `0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient memory.
/// preemption: …` into its reasons, the most frequent first.
///
/// Source: `FitError.Error` in `pkg/scheduler/framework/types.go`.
pub fn refusals(message: &str) -> Vec<Refusal> {
    let Some((_, reasons)) = message.split_once("nodes are available: ") else {
        return Vec::new();
    };
    // The sentence ends where the post-filters begin to speak.
    let reasons = reasons
        .split_once(". ")
        .map_or(reasons, |(before, _)| before)
        .trim()
        .trim_end_matches('.');
    let mut found: Vec<Refusal> = Vec::new();
    for part in reasons.split(", ") {
        let (count, reason) = part.split_once(' ').unwrap_or(("", part));
        match count.parse() {
            Ok(nodes) => found.push(Refusal {
                nodes,
                reason: reason.to_owned(),
            }),
            // A comma inside a reason.
            Err(_) => {
                if let Some(last) = found.last_mut() {
                    last.reason.push_str(", ");
                    last.reason.push_str(part);
                }
            }
        }
    }
    found.sort_by_key(|refusal| {
        (
            refusal.is_by_choice(),
            std::cmp::Reverse(refusal.nodes),
            refusal.reason.clone(),
        )
    });
    found
}

impl Refusal {
    /// Nodes that the pod itself leaves out say least about why it waits.
    fn is_by_choice(&self) -> bool {
        self.reason.contains("[NodeAffinity]")
    }
}

/// `41 Insufficient cpu · 6 Insufficient memory`; the message itself where it is of another form.
pub fn short_refusals(message: &str) -> String {
    let found = refusals(message);
    if found.is_empty() {
        return message.to_owned();
    }
    found
        .iter()
        .map(|refusal| format!("{} {}", refusal.nodes, refusal.reason))
        .collect::<Vec<_>>()
        .join(" · ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    #[test]
    fn schedulers_message_is_taken_apart() {
        let found = refusals(
            "0/6 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}, \
             2 Insufficient cpu, 3 Insufficient memory. preemption: 0/6 nodes are available: \
             6 No preemption victims found for incoming pod.",
        );
        let lines: Vec<String> = found
            .iter()
            .map(|refusal| format!("{} {}", refusal.nodes, refusal.reason))
            .collect();
        assert_eq!(
            lines,
            [
                "3 Insufficient memory",
                "2 Insufficient cpu",
                "1 node(s) had untolerated taint {dedicated: gpu}"
            ]
        );
        assert!(refusals("no nodes available to schedule pods").is_empty());
    }

    #[test]
    fn refused_pods_come_before_new_ones_with_their_attempts() {
        let refused = build::pod("late")
            .created("2026-01-01T00:05:00Z")
            .with(&json!({"status": {
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                            "message": "0/1 nodes are available: 1 Insufficient cpu."}]}}));
        let event = build::object(resources::EVENTS, "v1", "Event", "late.1").with(&json!({
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "late", "apiVersion": "v1"},
            "reason": "FailedScheduling", "type": "Warning", "count": 14,
            "lastTimestamp": "2026-01-01T00:06:00Z"}));
        let gated =
            build::pod("gated").with(&json!({"spec": {"schedulingGates": [{"name": "a"}]}}));
        let cluster = build::cluster(&[
            refused,
            event,
            gated,
            build::pod("new"),
            build::pod("placed").node("n1"),
        ]);
        let found = waiting(&cluster);
        let lines: Vec<(&str, &str, Option<u32>)> = found
            .iter()
            .map(|pod| (pod.key.name.as_str(), pod.state.word(), pod.attempts))
            .collect();
        assert_eq!(
            lines,
            [
                ("late", "unschedulable", Some(14)),
                ("new", "queued", None),
                ("gated", "gated", None)
            ]
        );
    }
}
