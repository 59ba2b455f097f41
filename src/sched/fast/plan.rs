//! What a template asks of other pods, made ready once, and what pods of another template do to it.

use crate::k8s::Name;
use crate::k8s::object::Labels;
use crate::sched::configuration::Profile;
use crate::sched::plugins::inter_pod_affinity::{
    OwnTerm, existing_term_matches, own_terms, preference_effects,
};
use crate::sched::plugins::pod_topology_spread::{
    Constraint, HOSTNAME, SoftConstraints, hard_constraints, soft_constraints,
};
use crate::sched::snapshot::Snapshot;
use crate::sched::template::Template;

use super::column::Key;
use super::counter::Role;

/// Everything of a template that looks beyond one node.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    pub hard: Vec<Constraint>,
    pub soft: SoftConstraints,
    pub affinity: Vec<OwnTerm>,
    pub anti_affinity: Vec<OwnTerm>,
    pub preferred: Vec<(i64, OwnTerm)>,
    pub namespace_labels: Labels,
}

impl Plan {
    pub fn of(snapshot: &Snapshot, profile: &Profile, template: &Template) -> Self {
        let surroundings = snapshot.surroundings();
        let spec = &template.spec;
        Self {
            hard: hard_constraints(template, profile, surroundings),
            soft: soft_constraints(template, profile, surroundings),
            affinity: own_terms(&spec.affinity, template, surroundings),
            anti_affinity: own_terms(&spec.anti_affinity, template, surroundings),
            preferred: spec
                .preferred_pods
                .iter()
                .map(|(weight, term)| (*weight, OwnTerm::of(term, template, surroundings)))
                .collect(),
            namespace_labels: surroundings.namespace_labels(&template.namespace),
        }
    }

    /// Where a wish's pods are counted.
    pub fn soft_key(constraint: &Constraint) -> Key {
        if constraint.key == HOSTNAME {
            Key::Itself
        } else {
            Key::Label(constraint.key.clone())
        }
    }

    /// The counters that the template has whatever other pods there are.
    pub fn own_roles(&self) -> Vec<(Role, Key)> {
        let label = |key: &Name| Key::Label(key.clone());
        let hard = self.hard.iter().enumerate();
        let soft = self.soft.constraints.iter().enumerate();
        let near = self.affinity.iter().enumerate();
        let far = self.anti_affinity.iter().enumerate();
        hard.map(|(index, constraint)| (Role::Hard(index), label(&constraint.key)))
            .chain(soft.map(|(index, constraint)| (Role::Soft(index), Self::soft_key(constraint))))
            .chain(near.map(|(index, own)| (Role::Affinity(index), label(&own.term.key))))
            .chain(far.map(|(index, own)| (Role::AntiAffinity(index), label(&own.term.key))))
            .collect()
    }

    pub fn matches_all_affinity(&self, other: &Template) -> bool {
        !self.affinity.is_empty() && self.affinity.iter().all(|own| own.matches(other))
    }

    /// What one pod of `other` adds to which counters.
    pub fn effects(&self, profile: &Profile, template: &Template, other: &Template) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut add = |role, key: Key, amount, live_only| {
            effects.push(Effect {
                role,
                key,
                amount,
                live_only,
            });
        };
        let label = |key: &Name| Key::Label(key.clone());
        for (index, constraint) in self.hard.iter().enumerate() {
            if constraint.counts(template, other) {
                add(Role::Hard(index), label(&constraint.key), 1, true);
            }
        }
        for (index, constraint) in self.soft.constraints.iter().enumerate() {
            if constraint.counts(template, other) {
                add(Role::Soft(index), Self::soft_key(constraint), 1, true);
            }
        }
        if self.matches_all_affinity(other) {
            for (index, own) in self.affinity.iter().enumerate() {
                add(Role::Affinity(index), label(&own.term.key), 1, false);
            }
        }
        for (index, own) in self.anti_affinity.iter().enumerate() {
            if own.matches(other) {
                add(Role::AntiAffinity(index), label(&own.term.key), 1, false);
            }
        }
        for term in &other.spec.anti_affinity {
            if existing_term_matches(term, other, template, &self.namespace_labels) {
                add(Role::Existing, label(&term.key), 1, false);
            }
        }
        let preferences = preference_effects(
            profile,
            template,
            &self.preferred,
            other,
            &self.namespace_labels,
        );
        for (key, weight) in preferences {
            add(Role::Preference, Key::Label(key), weight, false);
        }
        effects
    }
}

/// One contribution of one pod.
#[derive(PartialEq, Eq, Debug)]
pub struct Effect {
    pub role: Role,
    pub key: Key,
    pub amount: i64,
    /// Terminating pods do not count.
    pub live_only: bool,
}
