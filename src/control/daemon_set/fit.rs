//! Which nodes a daemon pod belongs on, and how it is tied to one.
//!
//! Sources: `NodeShouldRunDaemonPod`, `AddOrUpdateDaemonPodTolerations` and
//! `ReplaceDaemonSetPodNodeNameNodeAffinity` of Kubernetes 1.36.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::field;
use super::super::node_selector::NodeSelector;
use crate::k8s::taint::{Taint, TaintEffect, Toleration};
use crate::k8s::{Name, Object};

/// Tolerations that every daemon pod gets: key, effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// And one more on the host's network.
const NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

#[derive(Clone, Copy)]
pub(super) struct Placement {
    pub should_run: bool,
    pub may_continue: bool,
}

/// The template's conditions on nodes.
#[derive(Default)]
pub(super) struct Fit {
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Name,
    node_selector: BTreeMap<Name, Name>,
    affinity: Affinity,
    tolerations: Vec<Toleration>,
    host_network: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: NodeAffinity,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
}

impl Fit {
    pub(super) fn of(template: &Value) -> Self {
        #[derive(Deserialize, Default)]
        struct Template {
            #[serde(default)]
            spec: PodSpec,
        }
        let template: Template = Template::deserialize(template).unwrap_or_default();
        let mut spec = template.spec;
        let network = spec.host_network.then_some(NETWORK);
        spec.tolerations
            .extend(
                TOLERATED
                    .into_iter()
                    .chain(network)
                    .map(|(key, effect)| Toleration {
                        key: Name::new_static(key),
                        operator: Name::new_static("Exists"),
                        effect: Some(if effect == "NoExecute" {
                            TaintEffect::NoExecute
                        } else {
                            TaintEffect::NoSchedule
                        }),
                        ..Toleration::default()
                    }),
            );
        Self { spec }
    }

    pub(super) fn place(&self, node: &Object) -> Placement {
        let named = self.spec.node_name.is_empty() || self.spec.node_name == node.name();
        if !named || !self.selects(node) {
            return Placement {
                should_run: false,
                may_continue: false,
            };
        }
        let tolerates = |taint: &Taint| {
            self.spec
                .tolerations
                .iter()
                .any(|toleration| toleration.tolerates(taint))
        };
        let taints = node.node().map(|columns| &columns.taints);
        let repels = |effect: TaintEffect| {
            taints.is_some_and(|taints| {
                taints
                    .iter()
                    .any(|taint| taint.effect == effect && !tolerates(taint))
            })
        };
        let evicts = repels(TaintEffect::NoExecute);
        Placement {
            should_run: !evicts && !repels(TaintEffect::NoSchedule),
            may_continue: !evicts,
        }
    }

    fn selects(&self, node: &Object) -> bool {
        let selected = self
            .spec
            .node_selector
            .iter()
            .all(|(key, value)| node.labels.get(key) == Some(value));
        let affinity = &self.spec.affinity.node_affinity;
        selected
            && affinity
                .required_during_scheduling_ignored_during_execution
                .as_ref()
                .is_none_or(|required| required.matches(node))
    }
}

/// Ties a new pod to a node, and lets it bear what daemon pods bear.
pub(super) fn tie(pod: &mut Value, node: &str) {
    let on_host = field::flag(pod, "/spec/hostNetwork");
    let mut tolerations = field::list(pod, "/spec/tolerations").to_vec();
    let network = on_host.then_some(NETWORK);
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    let terms = json!([{"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": [node]},
    ]}]);
    let patch = json!({"spec": {
        "tolerations": tolerations,
        "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
        }},
    }});
    json_patch::merge(pod, &patch);
}

/// The node that a pod runs on or is tied to. Source: `GetTargetNodeName`.
pub(super) fn target(pod: &Object) -> Option<Name> {
    if let Some(node) = pod.pod().and_then(|columns| columns.node.clone()) {
        return Some(node);
    }
    let json = pod.json();
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    field::list(&json, terms)
        .iter()
        .flat_map(|term| field::list(term, "/matchFields"))
        .find(|requirement| field::text(requirement, "/key") == "metadata.name")
        .and_then(|requirement| field::list(requirement, "/values").first())
        .and_then(Value::as_str)
        .map(Name::new)
}
