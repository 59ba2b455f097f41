//! Nearest misses: the smallest changes that would let a refused pod run.
//!
//! Every answer is found by asking the same filters again: nodes that one plugin alone refuses are
//! one change away, an empty twin of each kind of machine shows whether one more of them would do,
//! and preemption's dry run names the pods that would have to go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::explain::{Decision, decide};
use super::framework::{self, Prepared, Subject};
use super::node_info::NodeInfo;
use super::plugins::pod_topology_spread::HOSTNAME;
use super::plugins::{node_resources_fit, taint_toleration};
use super::snapshot::{NodeId, Snapshot};
use super::template::TemplateError;
use super::verdict::{Plugin, Reason, Refusal};
use crate::k8s::object::Labels;
use crate::k8s::taint::Taint;
use crate::k8s::{Name, Object, ObjectKey};

/// A change that would do, and on how many nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NearMiss {
    /// Ask for less of one resource (cpu in milli-units, all else in whole units).
    SmallerRequest {
        resource: Name,
        wanted: i64,
        /// The most that fits anywhere.
        fits: i64,
        /// Nodes where that much fits.
        nodes: usize,
    },
    /// Tolerate this taint.
    Toleration { taint: Taint, nodes: usize },
    /// Make these cordoned nodes schedulable again.
    Uncordon { nodes: Vec<Name> },
    /// Nothing but this plugin's rule stands in the way.
    Rule {
        plugin: Plugin,
        reason: Reason,
        nodes: usize,
    },
    /// One more machine like this one.
    Machine { like: Name, count_of_kind: usize },
    /// These pods would have to go.
    Victims { node: Name, victims: Vec<ObjectKey> },
}

/// Kinds of machines that are tried.
const KINDS_MAX: usize = 16;

impl Snapshot {
    /// What would help the pod; empty when it is schedulable or nothing simple helps.
    pub fn nearest_misses(&self, pod: &Arc<Object>) -> Result<Vec<NearMiss>, TemplateError> {
        let mut snapshot = self.clone();
        let subject = snapshot.subject(pod)?;
        let decision = decide(&snapshot, &subject);
        let mut misses = Vec::new();
        if !decision.best.is_empty() {
            return Ok(misses);
        }
        if let Some(prepared) = &decision.prepared {
            misses.extend(snapshot.one_rule_away(&subject, prepared, &decision));
        }
        misses.extend(snapshot.machines(&subject));
        for node in &decision.preemption.best {
            if let Some(candidate) = decision.preemption.candidate(*node) {
                misses.push(NearMiss::Victims {
                    node: snapshot.node_name(*node),
                    victims: candidate
                        .victims
                        .iter()
                        .map(|entry| entry.object.key.clone())
                        .collect(),
                });
            }
        }
        Ok(misses)
    }

    fn one_rule_away(
        &self,
        subject: &Subject,
        prepared: &Prepared,
        decision: &Decision,
    ) -> Vec<NearMiss> {
        let profile = self.profile(&subject.object);
        let mut tally = Tally::default();
        for (node, refusal) in self.nodes().zip(&decision.refusals) {
            let Some(refusal) = refusal else {
                continue;
            };
            let others = profile
                .filters
                .iter()
                .filter(|plugin| **plugin != refusal.plugin);
            let is_only_one = others.into_iter().all(|plugin| {
                framework::filter_with(*plugin, self, profile, subject, prepared, node).is_none()
            });
            if is_only_one {
                tally.count(subject, node, refusal);
            }
        }
        tally.misses(subject)
    }

    /// The kinds of machines of which one more would take the pod.
    fn machines(&self, subject: &Subject) -> Vec<NearMiss> {
        let mut kinds: BTreeMap<String, (NodeId, usize)> = BTreeMap::new();
        for (id, node) in self.numbered_nodes() {
            kinds.entry(kind(node)).or_insert((id, 0)).1 += 1;
        }
        let mut kinds: Vec<(NodeId, usize)> = kinds.into_values().collect();
        kinds.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        let helps = |id: &NodeId| {
            let Some(twin) = self.node(*id).map(empty_twin) else {
                return false;
            };
            let name = twin.name.clone();
            let mut larger = self.clone();
            larger.insert_info(twin);
            let profile = larger.profile(&subject.object);
            let Ok(prepared) = framework::prepare(&larger, profile, subject) else {
                return false;
            };
            larger
                .node_id(&name)
                .and_then(|id| larger.node(id))
                .is_some_and(|node| {
                    framework::verdict(&larger, profile, subject, &prepared, node).is_none()
                })
        };
        kinds
            .into_iter()
            .take(KINDS_MAX)
            .filter(|(id, _)| helps(id))
            .map(|(id, count_of_kind)| NearMiss::Machine {
                like: self.node_name(id),
                count_of_kind,
            })
            .collect()
    }
}

/// Machines of one kind differ in name and place alone.
fn kind(node: &NodeInfo) -> String {
    let labels: Vec<String> = node
        .labels
        .iter()
        .filter(|(key, _)| *key != HOSTNAME && !key.contains("topology"))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!(
        "{:?} {} {:?} {labels:?}",
        node.allocatable, node.pod_limit, node.taints
    )
}

fn empty_twin(node: &NodeInfo) -> NodeInfo {
    let name = Name::from(format!("{}+1", node.name));
    let labels: Labels = node
        .labels
        .iter()
        .map(|(key, value)| {
            let value = if key == HOSTNAME { &name } else { value };
            (key.clone(), value.clone())
        })
        .collect();
    let mut twin = NodeInfo {
        labels,
        unschedulable: false,
        ..node.clone()
    };
    twin.name = name;
    for key in node.pods.iter().map(|entry| entry.key().clone()) {
        twin.remove(&key);
    }
    twin
}

/// Nodes that one plugin alone refuses, by what it says.
#[derive(Default)]
struct Tally {
    /// Free amounts by resource, for nodes that lack this resource alone.
    free: BTreeMap<Name, Vec<i64>>,
    taints: BTreeMap<Taint, usize>,
    cordoned: Vec<Name>,
    rules: BTreeMap<(Plugin, Reason), usize>,
}

impl Tally {
    fn count(&mut self, subject: &Subject, node: &NodeInfo, refusal: &Refusal) {
        let [reason] = refusal.reasons.as_slice() else {
            return;
        };
        match refusal.plugin {
            Plugin::NodeResourcesFit if reason != node_resources_fit::TOO_MANY_PODS => {
                let name = reason.strip_prefix("Insufficient ").unwrap_or_default();
                let free = amount(&node.allocatable, name) - amount(&node.requested, name);
                if free > 0 {
                    self.free.entry(Name::new(name)).or_default().push(free);
                }
            }
            Plugin::TaintToleration => {
                let tolerations = &subject.template.spec.tolerations;
                let mut taints = taint_toleration::untolerated(tolerations, &node.taints);
                if let (Some(taint), None) = (taints.next(), taints.next()) {
                    *self.taints.entry(taint.clone()).or_default() += 1;
                }
            }
            Plugin::NodeUnschedulable => self.cordoned.push(node.name.clone()),
            Plugin::Framework => {}
            plugin => *self.rules.entry((plugin, reason.clone())).or_default() += 1,
        }
    }

    fn misses(self, subject: &Subject) -> Vec<NearMiss> {
        let wanted = &subject.template.spec.requests.wanted;
        let mut misses = Vec::new();
        for (resource, free) in self.free {
            let fits = free.iter().copied().max().unwrap_or(0);
            misses.push(NearMiss::SmallerRequest {
                wanted: amount(wanted, &resource),
                fits,
                nodes: free.iter().filter(|free| **free == fits).count(),
                resource,
            });
        }
        for (taint, nodes) in self.taints {
            misses.push(NearMiss::Toleration { taint, nodes });
        }
        if !self.cordoned.is_empty() {
            misses.push(NearMiss::Uncordon {
                nodes: self.cordoned,
            });
        }
        for ((plugin, reason), nodes) in self.rules {
            misses.push(NearMiss::Rule {
                plugin,
                reason,
                nodes,
            });
        }
        misses
    }
}

fn amount(list: &crate::k8s::resource_list::ResourceList, name: &str) -> i64 {
    super::configuration::Counted::named(Name::new(name)).amount(list)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::{Cluster, resources};

    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        for (name, cpu, taints) in [
            ("n1", "2", json!([])),
            ("n2", "3", json!([])),
            ("n3", "8", json!([{"key": "gpu", "effect": "NoSchedule"}])),
        ] {
            let json = json!({"metadata": {"name": name}, "spec": {"taints": taints},
                "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}});
            let node = Object::from_json(resources::NODES, &json).unwrap();
            cluster.insert(&Arc::new(node));
        }
        cluster
    }

    #[test]
    fn less_cpu_one_toleration_or_one_more_machine_would_do() {
        let json = json!({"metadata": {"namespace": "a", "name": "p"}, "spec": {"containers":
            [{"name": "c", "resources": {"requests": {"cpu": "4"}}}]}});
        let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
        let misses = Snapshot::of(&cluster()).nearest_misses(&pod).unwrap();
        assert!(misses.contains(&NearMiss::SmallerRequest {
            resource: "cpu".into(),
            wanted: 4000,
            fits: 3000,
            nodes: 1,
        }));
        assert!(misses.iter().any(|miss| matches!(
            miss,
            NearMiss::Toleration { taint, nodes: 1 } if taint.key == "gpu"
        )));
        // The only machine that is large enough repels the pod.
        assert!(
            !misses
                .iter()
                .any(|miss| matches!(miss, NearMiss::Machine { .. }))
        );
    }

    #[test]
    fn a_full_fleet_needs_one_more_machine_or_victims() {
        let mut cluster = cluster();
        for node in ["n1", "n2"] {
            let json = json!({"metadata": {"namespace": "a", "name": node},
                "spec": {"nodeName": node, "containers":
                    [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]},
                "status": {"startTime": "2026-01-01T00:00:00Z"}});
            let pod = Object::from_json(resources::PODS, &json).unwrap();
            cluster.insert(&Arc::new(pod));
        }
        let json = json!({"metadata": {"namespace": "a", "name": "p"}, "spec": {"priority": 10,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}});
        let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
        let misses = Snapshot::of(&cluster).nearest_misses(&pod).unwrap();
        let likes: Vec<&str> = misses
            .iter()
            .filter_map(|miss| match miss {
                NearMiss::Machine { like, .. } => Some(like.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(likes, ["n1", "n2"]);
        assert!(misses.iter().any(|miss| matches!(
            miss,
            NearMiss::Victims { victims, .. } if victims.len() == 1
        )));
    }
}
