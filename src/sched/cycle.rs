//! The outcome of one cycle and the writes that carry it out.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::gpu::{self, DeviceSet};
use super::verdict::Plugin;
use crate::k8s::op::{EventDraft, EventSeverity};
use crate::k8s::{
    Cluster, Name, Object, ObjectKey, Op, Patch, Preconditions, Propagation, Subresource, Uid,
};

/// What the scheduler decided about one pod.
#[derive(Clone, Debug)]
pub struct Cycle {
    pub pod: ObjectKey,
    pub uid: Uid,
    /// The profile's name; the author of events.
    pub scheduler: Name,
    pub outcome: CycleOutcome,
}

#[derive(Clone, Debug)]
pub enum CycleOutcome {
    Assigned {
        node: Name,
        /// Claims whose volumes are to be provisioned for this node.
        claims: Vec<ObjectKey>,
        /// GPUs that the pod is given; none unless the profile gives them.
        devices: DeviceSet,
    },
    Unschedulable {
        /// Identical to kube-scheduler's.
        message: Arc<str>,
        refused_by: Vec<Plugin>,
        nomination: Nomination,
        victims: Vec<Victim>,
    },
}

/// What becomes of `status.nominatedNodeName`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Nomination {
    #[default]
    Keep,
    Clear,
    Set(Name),
}

/// A pod that has to make room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Victim {
    pub pod: ObjectKey,
    pub uid: Uid,
}

/// Events longer than this are cut, as upstream cuts them.
const EVENT_LENGTH_MAX: usize = 1024;

impl Cycle {
    pub fn node(&self) -> Option<&Name> {
        match &self.outcome {
            CycleOutcome::Assigned { node, .. } => Some(node),
            CycleOutcome::Unschedulable { .. } => None,
        }
    }

    /// The writes: a binding or a condition, the evictions of victims, an event.
    pub fn ops(&self, cluster: &Cluster, now: Timestamp) -> Vec<Op> {
        match &self.outcome {
            CycleOutcome::Assigned {
                node,
                claims,
                devices,
            } => self.assigned(node, claims, *devices),
            CycleOutcome::Unschedulable {
                message,
                nomination,
                victims,
                ..
            } => {
                let mut ops = Vec::new();
                if let Nomination::Set(node) = nomination {
                    for victim in victims {
                        self.evict(cluster, victim, node, now, &mut ops);
                    }
                }
                if let Some(pod) = cluster.get(&self.pod).filter(|pod| pod.uid == self.uid) {
                    ops.extend(refusal_written(pod, message, nomination, now));
                }
                let text = shortened(message);
                ops.push(self.event(EventSeverity::Warning, "FailedScheduling", text));
                ops
            }
        }
    }

    fn assigned(&self, node: &Name, claims: &[ObjectKey], devices: DeviceSet) -> Vec<Op> {
        let select = |claim: &ObjectKey| Op::Patch {
            key: claim.clone(),
            subresource: None,
            patch: Patch::Merge(json!({"metadata": {"annotations": {
                "volume.kubernetes.io/selected-node": node,
            }}})),
            if_match: Preconditions::default(),
        };
        let mut ops: Vec<Op> = claims.iter().map(select).collect();
        let index = || {
            (
                Name::new_static(gpu::INDEX),
                Name::from(devices.to_string()),
            )
        };
        let annotations = (!devices.is_empty()).then(index);
        ops.push(Op::Bind {
            pod: self.pod.clone(),
            uid: self.uid.clone(),
            node: node.clone(),
            annotations: annotations.into_iter().collect(),
        });
        let text = format!(
            "Successfully assigned {}/{} to {node}",
            self.pod.namespace, self.pod.name
        );
        ops.push(self.event(EventSeverity::Normal, "Scheduled", text));
        ops
    }

    fn evict(
        &self,
        cluster: &Cluster,
        victim: &Victim,
        node: &Name,
        now: Timestamp,
        ops: &mut Vec<Op>,
    ) {
        let pod = cluster.get(&victim.pod);
        let Some(pod) = pod.filter(|pod| pod.uid == victim.uid && !pod.is_terminating()) else {
            return;
        };
        let text = format!(
            "{}: preempting to accommodate a higher priority pod",
            self.scheduler
        );
        let condition = condition("DisruptionTarget", "True", "PreemptionByScheduler", &text);
        let status = json!({"conditions": [stamped(condition, pod, now)]});
        ops.push(patch_status(pod, &status));
        ops.push(Op::Delete {
            key: victim.pod.clone(),
            if_match: Preconditions {
                uid: Some(victim.uid.clone()),
                revision: None,
            },
            propagation: Propagation::Background,
            grace_period_s: None,
        });
        ops.push(Op::Event(EventDraft {
            regarding: victim.pod.clone(),
            uid: victim.uid.clone(),
            message: format!("Preempted by pod {} on node {node}", self.uid),
            ..self.draft(EventSeverity::Normal, "Preempted")
        }));
    }

    fn event(&self, severity: EventSeverity, reason: &'static str, message: String) -> Op {
        Op::Event(EventDraft {
            message,
            ..self.draft(severity, reason)
        })
    }

    fn draft(&self, severity: EventSeverity, reason: &'static str) -> EventDraft {
        EventDraft {
            regarding: self.pod.clone(),
            uid: self.uid.clone(),
            api_version: Name::new_static("v1"),
            kind: Name::new_static("Pod"),
            field_path: Name::default(),
            severity,
            reason: Name::new_static(reason),
            message: String::new(),
            reporter: self.scheduler.clone(),
            host: Name::default(),
        }
    }
}

/// The pod's condition and nomination, where they differ from what is there.
fn refusal_written(
    pod: &Object,
    message: &str,
    nomination: &Nomination,
    now: Timestamp,
) -> Option<Op> {
    let columns = pod.pod()?;
    let known = columns
        .unscheduled
        .as_ref()
        .is_some_and(|known| known.0 == "Unschedulable" && known.1 == message);
    let mut status = serde_json::Map::new();
    if !known {
        let condition = condition("PodScheduled", "False", "Unschedulable", message);
        status.insert(
            "conditions".to_owned(),
            json!([stamped(condition, pod, now)]),
        );
    }
    match nomination {
        Nomination::Set(node) if columns.nominated_node.as_ref() != Some(node) => {
            status.insert("nominatedNodeName".to_owned(), json!(node));
        }
        Nomination::Clear if columns.nominated_node.is_some() => {
            status.insert("nominatedNodeName".to_owned(), Value::Null);
        }
        _ => {}
    }
    (!status.is_empty()).then(|| patch_status(pod, &Value::Object(status)))
}

fn patch_status(pod: &Object, status: &Value) -> Op {
    Op::Patch {
        key: pod.key.clone(),
        subresource: Some(Subresource::Status),
        patch: Patch::Strategic(json!({ "status": status })),
        if_match: Preconditions {
            uid: Some(pod.uid.clone()),
            revision: None,
        },
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
           "lastProbeTime": null})
}

/// The transition time moves only when the condition's status does.
fn stamped(mut condition: Value, pod: &Object, now: Timestamp) -> Value {
    let json = pod.json();
    let known = json
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|entry| entry.get("type") == condition.get("type"))
        .filter(|entry| entry.get("status") == condition.get("status"))
        .and_then(|entry| entry.get("lastTransitionTime").cloned());
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let time = known.unwrap_or_else(|| json!(seconds.to_string()));
    if let Some(fields) = condition.as_object_mut() {
        fields.insert("lastTransitionTime".to_owned(), time);
    }
    condition
}

fn shortened(message: &str) -> String {
    const SUFFIX: &str = " ...";
    if message.len() <= EVENT_LENGTH_MAX {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(EVENT_LENGTH_MAX - SUFFIX.len());
    format!("{}{SUFFIX}", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::resources;

    fn pod(json: &Value) -> Arc<Object> {
        Arc::new(Object::from_json(resources::PODS, json).unwrap())
    }

    fn refused(message: &str) -> Cycle {
        Cycle {
            pod: ObjectKey::new(resources::PODS, "shop", "web"),
            uid: Uid("u1".into()),
            scheduler: "default-scheduler".into(),
            outcome: CycleOutcome::Unschedulable {
                message: message.into(),
                refused_by: Vec::new(),
                nomination: Nomination::Keep,
                victims: Vec::new(),
            },
        }
    }

    #[test]
    fn a_known_condition_is_not_written_again() {
        let now = Timestamp::from_second(1000).unwrap();
        let mut cluster = Cluster::default();
        cluster.insert(&pod(&json!({"metadata": {"namespace": "shop", "name": "web", "uid": "u1"},
            "spec": {}, "status": {"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "old", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})));
        let again = refused("old").ops(&cluster, now);
        assert_eq!(again.len(), 1, "only the event: {again:?}");
        let news = refused("new").ops(&cluster, now);
        let Op::Patch {
            patch: Patch::Strategic(patch),
            ..
        } = &news[0]
        else {
            panic!("a patch comes first: {news:?}");
        };
        let condition = &patch["status"]["conditions"][0];
        assert_eq!(condition["message"], "new");
        assert_eq!(condition["lastTransitionTime"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn long_events_are_cut() {
        let text = shortened(&"x".repeat(2000));
        assert_eq!(text.len(), 1024);
        assert!(text.ends_with(" ..."));
    }
}
