//! A few objects written as JSON, and what the scheduler says about a pod among them.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows are easier to read without references"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::k8s::{Cluster, Object, Resource, resources};
use crate::sched::explain::Explanation;
use crate::sched::{Snapshot, Verdict};

#[derive(Default)]
pub struct Scene(pub Cluster);

impl Scene {
    /// Nodes with labels and room for most pods.
    pub fn with_nodes(nodes: &[(&str, Value)]) -> Self {
        nodes.iter().fold(Self::default(), |scene, (name, labels)| {
            scene.and(
                resources::NODES,
                json!({"metadata": {"name": name, "labels": labels},
                       "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}}),
            )
        })
    }

    pub fn and(mut self, resource: Resource, json: Value) -> Self {
        let object = Object::from_json(resource, &json).unwrap();
        self.0.insert(&Arc::new(object));
        self
    }

    /// A running pod.
    pub fn running(self, name: &str, node: &str, labels: Value, mut spec: Value) -> Self {
        spec["nodeName"] = json!(node);
        self.and(
            resources::PODS,
            json!({"metadata": {"namespace": "a", "name": name, "uid": name, "labels": labels},
                   "spec": spec,
                   "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"}}),
        )
    }

    pub fn explain(&self, labels: Value, spec: Value) -> Explanation {
        let json = json!({"metadata": {"namespace": "a", "name": "new", "uid": "new",
                                       "labels": labels}, "spec": spec});
        let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
        Snapshot::of(&self.0).explain(&pod).unwrap()
    }

    /// Reasons by node, empty where the pod fits; one entry without a name for a rejection.
    #[track_caller]
    pub fn check(&self, spec: Value, expected: &[(&str, &str)]) {
        let explanation = self.explain(json!({}), spec);
        assert_eq!(refusals(&explanation), owned(expected));
    }
}

pub fn refusals(explanation: &Explanation) -> BTreeMap<String, String> {
    if let Some(rejection) = &explanation.rejection {
        return [(String::new(), rejection.refusal.reasons.join(", "))].into();
    }
    let entry = |verdict: &Verdict| match verdict {
        Verdict::Feasible { .. } => String::new(),
        Verdict::Refused { refusal, .. } => refusal.reasons.join(", "),
    };
    let nodes = explanation.nodes.iter();
    nodes
        .map(|node| (node.node.to_string(), entry(&node.verdict)))
        .collect()
}

pub fn owned(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = expected.iter();
    pairs
        .map(|(node, reason)| ((*node).to_owned(), (*reason).to_owned()))
        .collect()
}
