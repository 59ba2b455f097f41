//! What the panel shows before anything is sent: from → to, what it brings with it, how it is
//! confirmed and whether it can be taken back.

use super::action::Action;
use crate::k8s::{Cluster, resources};
use crate::stdx::humanize::counted;
use crate::tui::diff::{self, Diff, Noise};

mod notes;

use notes::{Notes, comes_back, pod_count, pods_on, verb};

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::action::Target;
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
