//! What an action brings with it.

use serde_json::Value;

use super::super::action::Target;
use super::super::drain::{Drain, Hazard};
use super::super::machines::Machines;
use super::{Consequence, Weight};
use crate::k8s::lab::OutageSpec;
use crate::k8s::status::{self, Health};
use crate::k8s::workload::{self, Workload};
use crate::k8s::{Cluster, resources};
use crate::stdx::humanize::counted;
use crate::topology::{self, Survey, budget};

#[derive(Default)]
pub(super) struct Notes {
    pub(super) list: Vec<Consequence>,
}

impl Notes {
    pub(super) fn add(&mut self, weight: Weight, text: String) {
        self.list.push(Consequence { weight, text });
    }

    pub(super) fn scale(&mut self, cluster: &Cluster, target: &Target, from: i64, to: i64) {
        if to == 0 && from > 0 {
            self.add(Weight::Danger, "no pod is left: the service is off".into());
        }
        let namespace = target.key.namespace.as_str();
        let autoscaler = cluster
            .list_in(&resources::HORIZONTAL_POD_AUTOSCALERS, namespace)
            .find(|object| {
                let json = object.json();
                json.pointer("/spec/scaleTargetRef/name")
                    .and_then(Value::as_str)
                    == Some(target.key.name.as_str())
            });
        if let Some(autoscaler) = autoscaler {
            self.add(
                Weight::Warning,
                format!(
                    "autoscaler {} will set its own number again",
                    autoscaler.name()
                ),
            );
        }
        if to < from {
            self.budgets(
                cluster,
                target,
                u32::try_from(from - to).unwrap_or(u32::MAX),
            );
        }
    }

    /// What stopping machines takes with it: pods, shares of services, budgets, quorums.
    pub(super) fn machines(&mut self, cluster: &Cluster, machines: &Machines) {
        if !machines.stop {
            return;
        }
        for (_, spec) in &machines.outages {
            for (weight, text) in loss_notes(cluster, spec) {
                self.add(weight, text);
            }
        }
        self.add(
            Weight::Note,
            "missed after 40 s; pods are replaced 5 minutes later, as they tolerate it".into(),
        );
    }

    /// A scale-down does not ask budgets; it only shows afterwards that they are broken.
    pub(super) fn budgets(&mut self, cluster: &Cluster, target: &Target, lost: u32) {
        let Some(object) = cluster.get(&target.key) else {
            return;
        };
        let Some(pod) = workload::pods_of(cluster, object).into_iter().next() else {
            return;
        };
        for budget in budget::budgets(cluster) {
            let left = budget.healthy.saturating_sub(lost);
            let needs = budget.needs_with(lost);
            if budget.covers(pod) && left < needs {
                self.add(
                    Weight::Warning,
                    format!(
                        "budget {} wants {needs}: {} healthy now, {left} after",
                        budget.key.name, budget.healthy,
                    ),
                );
            }
        }
    }

    /// From → to, and what goes with the pods.
    pub(super) fn drain(&mut self, cluster: &Cluster, plan: &Drain) -> (String, String) {
        self.evictions(cluster, plan);
        let pods = counted(pods_on(cluster, &plan.nodes), "pod", "pods");
        let cordoned = plan.nodes.iter().all(|node| {
            let columns = cluster.get(&node.key).and_then(|object| object.node());
            columns.is_some_and(|columns| columns.unschedulable)
        });
        let now = if cordoned {
            "cordoned"
        } else {
            "takes new pods"
        };
        (
            format!("{now}, {pods} there"),
            format!("cordoned, {} left there", plan.left.len()),
        )
    }

    pub(super) fn evictions(&mut self, cluster: &Cluster, plan: &Drain) {
        let bare = plan
            .hazards()
            .filter(|(_, hazard)| *hazard == Hazard::Bare)
            .count();
        let local = plan.hazards().count() - bare;
        if bare > 0 {
            let what = counted(bare, "pod has", "pods have");
            self.add(
                Weight::Danger,
                format!("{what} no owner: no new one takes its place"),
            );
        }
        if local > 0 {
            let what = counted(local, "pod loses", "pods lose");
            self.add(
                Weight::Warning,
                format!("{what} data in an emptyDir volume"),
            );
        }
        let node_pods: Vec<_> = plan
            .pods
            .iter()
            .filter_map(|pod| cluster.get(&pod.target.key))
            .collect();
        for budget in budget::budgets(cluster) {
            let hit = node_pods.iter().filter(|pod| budget.covers(pod)).count();
            let room = budget.room() as usize;
            if hit > room {
                self.add(
                    Weight::Warning,
                    format!(
                        "budget {} lets {room} go at a time, {} there: the drain waits for it",
                        budget.key.name,
                        if hit == 1 {
                            "1 is".to_owned()
                        } else {
                            format!("{hit} are")
                        },
                    ),
                );
            }
        }
        self.add(
            Weight::Note,
            format!(
                "{} evicted one after the other, as budgets allow; {} stay (daemon sets, static pods)",
                counted(plan.pods.len(), "pod is", "pods are"),
                plan.left.len()
            ),
        );
    }

    pub(super) fn roll_back(&mut self, cluster: &Cluster, target: &Target) {
        let read = cluster
            .get(&target.key)
            .and_then(|object| Workload::of(cluster, object).ok()?);
        if let Some(workload) = read {
            self.add(
                Weight::Note,
                format!(
                    "{} are replaced under its update strategy; replicas stay {}",
                    counted(
                        usize::try_from(workload.current).unwrap_or(0),
                        "pod",
                        "pods"
                    ),
                    workload.desired
                ),
            );
        }
    }

    pub(super) fn lose_pod(&mut self, cluster: &Cluster, target: &Target) {
        let Some(object) = cluster.get(&target.key) else {
            return;
        };
        let Some(owner) = object.controller() else {
            self.add(
                Weight::Danger,
                "nothing owns this pod: no new one takes its place".into(),
            );
            return;
        };
        let root = workload::root_of(cluster, object);
        let left = workload::pods_of(cluster, root)
            .into_iter()
            .filter(|pod| pod.uid != object.uid)
            .filter_map(|pod| status::of_pod(pod))
            .filter(|status| status.health == Health::Good)
            .count();
        self.add(
            if left == 0 {
                Weight::Danger
            } else {
                Weight::Note
            },
            format!(
                "{} {} makes a new one; {left} ready meanwhile",
                owner.kind, owner.name
            ),
        );
    }

    pub(super) fn delete(&mut self, cluster: &Cluster, target: &Target) {
        let resource = &target.key.resource;
        if *resource == resources::PODS {
            self.lose_pod(cluster, target);
        } else if *resource == resources::NAMESPACES {
            let pods = cluster.list_in(&resources::PODS, &target.key.name).count();
            self.add(
                Weight::Danger,
                format!(
                    "everything in namespace {} goes with it, {} too",
                    target.key.name,
                    counted(pods, "running pod", "running pods")
                ),
            );
        } else if *resource == resources::NODES {
            let pods = cluster.pods_on(&target.key.name).count();
            self.add(
                Weight::Danger,
                format!("{} on it are lost", counted(pods, "pod", "pods")),
            );
        } else if *resource == resources::PERSISTENT_VOLUME_CLAIMS {
            self.add(Weight::Danger, "its data may be lost with it".into());
        } else {
            let pods = pod_count(cluster, target);
            if pods > 0 {
                self.add(
                    Weight::Danger,
                    format!("{} go with it", counted(pods, "pod", "pods")),
                );
            }
        }
    }
}

/// Whether a controller makes a new one by itself.
pub(super) fn comes_back(cluster: &Cluster, target: &Target) -> bool {
    cluster
        .get(&target.key)
        .is_some_and(|object| object.controller().is_some())
}

pub(super) fn pods_on(cluster: &Cluster, nodes: &[Target]) -> usize {
    nodes
        .iter()
        .map(|node| cluster.pods_on(&node.key.name).count())
        .sum()
}

pub(super) fn verb(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

pub(super) fn pod_count(cluster: &Cluster, target: &Target) -> usize {
    cluster
        .get(&target.key)
        .map_or(0, |object| workload::pods_of(cluster, object).len())
}

/// The loss as the domains view tells it, for any set of machines.
fn loss_notes(cluster: &Cluster, spec: &OutageSpec) -> Vec<(Weight, String)> {
    let survey = Survey::of(cluster);
    let blast = topology::blast::blast_of(&survey, |node| spec.concerns(node));
    let name = |loss: &topology::Loss| survey.workload(loss.workload).key.to_string();
    let mut notes = vec![(
        Weight::Warning,
        format!(
            "{} lose their machine",
            counted(blast.displaced.len(), "pod", "pods")
        ),
    )];
    for loss in &blast.losses {
        if let topology::QuorumImpact::Broken { left, needs } = loss.quorum {
            let text = format!("{} loses its quorum: {left} of {needs} needed", name(loss));
            notes.push((Weight::Danger, text));
        } else if let topology::BudgetImpact::Broken { left, needs } = loss.budget {
            let text = format!("{}: {left} ready, its budget needs {needs}", name(loss));
            notes.push((Weight::Warning, text));
        }
    }
    notes.truncate(6);
    notes
}
