//! What the panel shows before anything is sent: from → to, what it brings with it, how it is
//! confirmed and whether it can be taken back.

use serde_json::Value;

use super::action::{Action, Target};
use super::drain::{Drain, Hazard};
use super::machines::Machines;
use crate::k8s::lab::OutageSpec;
use crate::k8s::status::{self, Health};
use crate::k8s::workload::{self, Workload};
use crate::k8s::{Cluster, resources};
use crate::stdx::humanize::counted;
use crate::topology::{self, Survey, budget};
use crate::tui::diff::{self, Diff, Noise};

#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    pub action: Action,
    /// `scale shop/cart`.
    pub title: String,
    pub from: String,
    pub to: String,
    /// What else happens, the worst first.
    pub consequences: Vec<Consequence>,
    pub confirmation: Confirmation,
    /// What `u` would do afterwards; why nothing, where nothing can.
    pub undo: String,
    pub diff: Option<Diff>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consequence {
    pub weight: Weight,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    Note,
    Warning,
    Danger,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Confirmation {
    Enter,
    /// The name has to be typed: something is destroyed.
    Typed(String),
}

impl Action {
    /// What this would do, read from how things are.
    pub fn propose(&self, cluster: &Cluster) -> Proposal {
        let mut notes = Notes::default();
        let (from, to) = self.describe(cluster, &mut notes);
        for target in self.targets() {
            match cluster.get(&target.key) {
                None if !matches!(
                    self,
                    Self::Recreate { .. } | Self::Machines(_) | Self::Walked(_)
                ) =>
                {
                    notes.add(Weight::Danger, format!("{} is gone", target.path()));
                }
                Some(object) if object.uid != target.uid && !target.uid.0.is_empty() => {
                    notes.add(
                        Weight::Danger,
                        format!("{} is another object by now", target.path()),
                    );
                }
                _ => {}
            }
        }
        notes
            .list
            .sort_by_key(|note| std::cmp::Reverse(note.weight));
        let targets = self.targets();
        let title = match targets.as_slice() {
            _ if matches!(self, Self::Machines(_) | Self::Drain(_)) => {
                format!("{} {}", self.verb(), self.object_words())
            }
            [one] => format!("{} {}", self.verb(), one.path()),
            many => format!("{} {} objects", self.verb(), many.len()),
        };
        Proposal {
            title,
            from,
            to,
            consequences: notes.list,
            confirmation: self.confirmation(cluster),
            undo: self.undo_words(cluster),
            diff: self.diff(),
            action: self.clone(),
        }
    }

    fn describe(&self, cluster: &Cluster, notes: &mut Notes) -> (String, String) {
        match self {
            Self::Scale { target, from, to } => {
                notes.scale(cluster, target, *from, *to);
                (format!("{from} replicas"), format!("{to} replicas"))
            }
            Self::Restart { target } => {
                let pods = pod_count(cluster, target);
                notes.add(
                    Weight::Note,
                    format!(
                        "{} are replaced under its update strategy",
                        counted(pods, "pod", "pods")
                    ),
                );
                (
                    "the running pods".into(),
                    "new pods of the same template".into(),
                )
            }
            Self::Pause { target, pause } => {
                let suspends = target.key.resource != resources::DEPLOYMENTS;
                let (on, off) = if suspends {
                    ("running", "suspended")
                } else {
                    ("rolls out changes", "keeps changes back")
                };
                if *pause {
                    (on.into(), off.into())
                } else {
                    (off.into(), on.into())
                }
            }
            Self::RollBack {
                target,
                from_revision,
                to_revision,
                ..
            } => {
                notes.roll_back(cluster, target);
                (
                    format!("revision {from_revision}"),
                    format!("the template of revision {to_revision}"),
                )
            }
            Self::Cordon { nodes, cordon } => {
                let pods = pods_on(cluster, nodes);
                let takes = verb(nodes.len(), "takes", "take");
                if *cordon {
                    notes.add(
                        Weight::Note,
                        format!("{} there stay", counted(pods, "pod", "pods")),
                    );
                    (format!("{takes} new pods"), format!("{takes} no new pods"))
                } else {
                    (format!("{takes} no new pods"), format!("{takes} new pods"))
                }
            }
            Self::Drain(plan) => notes.drain(cluster, plan),
            Self::Evict { pod } => {
                notes.lose_pod(cluster, pod);
                (
                    "on its node".into(),
                    "evicted if its budgets allow it".into(),
                )
            }
            Self::Delete { targets } => {
                for target in targets {
                    notes.delete(cluster, target);
                }
                ("there".into(), "deleted, with what it owns".into())
            }
            Self::Replace { .. } => {
                let summary = self.diff().map(|diff| diff.summary()).unwrap_or_default();
                ("as it was read".into(), summary)
            }
            Self::Trigger { name, .. } => {
                ("waiting for its time".into(), format!("job {name} now"))
            }
            Self::Machines(machines) => {
                notes.machines(cluster, machines);
                machines.from_to()
            }
            Self::Walked(walked) => {
                let now = match &walked.before {
                    Some(_) => "as it is",
                    None => "not there, as far as this console sees",
                };
                (now.into(), walked.diff().summary())
            }
            Self::Recreate { .. } => {
                notes.add(Weight::Note, "it gets a new uid and an empty status".into());
                ("deleted".into(), "created as it was written".into())
            }
        }
    }

    fn diff(&self) -> Option<Diff> {
        match self {
            Self::Replace { before, after, .. } => {
                Some(diff::objects(before, after, Noise::Hidden))
            }
            Self::Walked(walked) => Some(walked.diff()),
            Self::RollBack {
                before, template, ..
            } => Some(diff::objects(before, template, Noise::Shown)),
            _ => None,
        }
    }

    /// What destroys is confirmed by its typed name.
    fn confirmation(&self, cluster: &Cluster) -> Confirmation {
        match self {
            Self::Delete { targets } => match targets.as_slice() {
                [one] if !comes_back(cluster, one) => Confirmation::Typed(one.key.name.to_string()),
                [_] => Confirmation::Enter,
                many => Confirmation::Typed(many.len().to_string()),
            },
            Self::Drain(plan) if plan.nodes.len() > 1 || plan.hazards().next().is_some() => {
                let name = plan.what.rsplit(' ').next().unwrap_or_default();
                Confirmation::Typed(if name == "nodes" {
                    plan.nodes.len().to_string()
                } else {
                    name.to_owned()
                })
            }
            Self::Machines(machines) => machines.confirmation(),
            Self::Scale { to: 0, target, .. } => Confirmation::Typed(target.key.name.to_string()),
            _ => Confirmation::Enter,
        }
    }

    fn undo_words(&self, cluster: &Cluster) -> String {
        match (self.undo(cluster), self) {
            (Some(undo), _) => format!("u: {}", undo.sentence()),
            (None, Self::Restart { .. }) => "cannot be undone: the old pods are gone".into(),
            (None, Self::Evict { .. }) => "cannot be undone: a new pod takes its place".into(),
            (None, Self::Cordon { .. } | Self::Drain(_)) => {
                "nothing to take back: it is that way already".into()
            }
            (None, Self::Delete { .. }) => "cannot be undone".into(),
            (None, _) => "delete what it creates to take it back".into(),
        }
    }
}

/// Whether a controller makes a new one by itself.
fn comes_back(cluster: &Cluster, target: &Target) -> bool {
    cluster
        .get(&target.key)
        .is_some_and(|object| object.controller().is_some())
}

fn pods_on(cluster: &Cluster, nodes: &[Target]) -> usize {
    nodes
        .iter()
        .map(|node| cluster.pods_on(&node.key.name).count())
        .sum()
}

fn verb(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn pod_count(cluster: &Cluster, target: &Target) -> usize {
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

#[derive(Default)]
struct Notes {
    list: Vec<Consequence>,
}

impl Notes {
    fn add(&mut self, weight: Weight, text: String) {
        self.list.push(Consequence { weight, text });
    }

    fn scale(&mut self, cluster: &Cluster, target: &Target, from: i64, to: i64) {
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
    fn machines(&mut self, cluster: &Cluster, machines: &Machines) {
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
    fn budgets(&mut self, cluster: &Cluster, target: &Target, lost: u32) {
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
    fn drain(&mut self, cluster: &Cluster, plan: &Drain) -> (String, String) {
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

    fn evictions(&mut self, cluster: &Cluster, plan: &Drain) {
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

    fn roll_back(&mut self, cluster: &Cluster, target: &Target) {
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

    fn lose_pod(&mut self, cluster: &Cluster, target: &Target) {
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

    fn delete(&mut self, cluster: &Cluster, target: &Target) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    fn texts(proposal: &Proposal) -> Vec<&str> {
        proposal
            .consequences
            .iter()
            .map(|note| note.text.as_str())
            .collect()
    }

    #[test]
    fn bare_pod_and_namespace_want_their_name_typed() {
        let pod = build::pod("shop/debug");
        let namespace = build::object(resources::NAMESPACES, "v1", "Namespace", "/shop");
        let cluster = build::cluster([&pod, &namespace]);
        let propose = |draft: &build::Draft| {
            Action::Delete {
                targets: vec![Target::of(&draft.build())],
            }
            .propose(&cluster)
        };
        let found = propose(&pod);
        assert_eq!(found.confirmation, Confirmation::Typed("debug".into()));
        assert_eq!(
            texts(&found),
            ["nothing owns this pod: no new one takes its place"]
        );
        let found = propose(&namespace);
        assert_eq!(found.confirmation, Confirmation::Typed("shop".into()));
        assert_eq!(
            texts(&found),
            ["everything in namespace shop goes with it, 1 running pod too"]
        );
    }

    #[test]
    fn scaling_to_nothing_is_dangerous_and_an_autoscaler_is_named() {
        let cart = build::deployment("shop/cart").with(&json!({"spec": {"replicas": 3}}));
        let autoscaler = build::object(
            resources::HORIZONTAL_POD_AUTOSCALERS,
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "shop/cart",
        )
        .with(&json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "cart"}}}));
        let cluster = build::cluster([&cart, &autoscaler]);
        let found = Action::scale(&cart.build(), 0).unwrap().propose(&cluster);
        assert_eq!(
            texts(&found),
            [
                "no pod is left: the service is off",
                "autoscaler cart will set its own number again"
            ]
        );
        assert_eq!(found.confirmation, Confirmation::Typed("cart".into()));
        assert_eq!(found.undo, "u: scale shop/cart 0 → 3");
    }

    #[test]
    fn another_object_of_the_same_name_is_not_the_target() {
        let cart = build::deployment("shop/cart").with(&json!({"spec": {"replicas": 3}}));
        let cluster = build::cluster([&cart]);
        let mut target = Target::of(&cart.build());
        target.uid = crate::k8s::Uid("earlier".into());
        let found = Action::Restart { target }.propose(&cluster);
        assert_eq!(
            found.consequences[0].text,
            "shop/cart is another object by now"
        );
    }
}
