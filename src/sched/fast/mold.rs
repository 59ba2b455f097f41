//! Indexes before other pods are counted: what templates that ask for the same have in common.
//!
//! A fleet has thousands of services that differ in little but their name, and a lost rack displaces
//! a pod or two of each. To look at every node for each of them would cost most of the answer; an
//! index cast from a mold looks at the nodes where the template's own pods or images are.

use std::sync::Arc;

use super::column::Key;
use super::contributions::{Bearing, bearing_on};
use super::counter::Role;
use super::index::{Columns, Index};
use super::plan::Plan;
use crate::sched::configuration::Profile;
use crate::sched::framework::Subject;
use crate::sched::plugins::pod_topology_spread::Constraint;
use crate::sched::snapshot::Snapshot;
use crate::sched::spec::PodSpec;
use crate::sched::template::Template;

/// Molds kept at a time, by nodes times molds.
const KEPT_NODES_MAX: usize = 500_000;

/// All that decides an index besides other pods and images.
#[derive(PartialEq, Debug)]
struct Pattern {
    profile: usize,
    spec: Arc<PodSpec>,
    counters: Vec<(Role, Key, Inclusion)>,
}

/// Which nodes' pods a counter counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Inclusion {
    honors_affinity: bool,
    honors_taints: bool,
    requires_all_keys: bool,
}

#[derive(Debug)]
struct Mold {
    pattern: Pattern,
    /// A pod of the pattern's specification, for the index to look at nodes with.
    subject: Subject,
    index: Index,
    used: u64,
}

#[derive(Debug, Default)]
pub struct Molds {
    list: Vec<Mold>,
    tick: u64,
}

impl Molds {
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// The template's index, from the mold that fits it or a new one.
    pub fn cast(
        &mut self,
        snapshot: &Snapshot,
        (profile, number): (&Profile, usize),
        subject: &Subject,
        columns: &mut Columns,
    ) -> Index {
        let template = &subject.template;
        let plan = Plan::of(snapshot, profile, template);
        let bearing = bearing_on(snapshot, profile, &plan, template);
        let pattern = Pattern {
            profile: number,
            spec: Arc::new(alone(&template.spec)),
            counters: counters(&plan, &bearing),
        };
        self.tick += 1;
        let place = self.find(snapshot, profile, &pattern, columns);
        let place = place.unwrap_or_else(|| {
            self.evict(snapshot.node_count());
            self.list.push(Mold::of(
                pattern, &plan, snapshot, profile, subject, columns,
            ));
            self.list.len() - 1
        });
        let Some(mold) = self.list.get_mut(place) else {
            return Index::blank(snapshot, profile, subject, (plan, &[]), columns);
        };
        mold.used = self.tick;
        mold.index.cast(snapshot, profile, subject, (plan, bearing))
    }

    /// The place of a mold that fits and could be brought up to date.
    fn find(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        pattern: &Pattern,
        columns: &Columns,
    ) -> Option<usize> {
        let place = self.list.iter().position(|mold| mold.pattern == *pattern)?;
        let mold = self.list.get_mut(place)?;
        let follows = mold
            .index
            .catch_up(snapshot, profile, &mold.subject, columns);
        if follows.is_err() {
            self.list.swap_remove(place);
            return None;
        }
        Some(place)
    }

    /// Drops the mold that was not used for longest when there are too many.
    fn evict(&mut self, node_count: usize) {
        let count_max = (KEPT_NODES_MAX / node_count.max(1)).clamp(4, 256);
        if self.list.len() < count_max {
            return;
        }
        let places = self.list.iter().enumerate();
        if let Some((oldest, _)) = places.min_by_key(|(_, mold)| mold.used) {
            self.list.swap_remove(oldest);
        }
    }
}

impl Mold {
    fn of(
        pattern: Pattern,
        plan: &Plan,
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        columns: &mut Columns,
    ) -> Self {
        let template = &subject.template;
        let subject = Subject {
            template: Arc::new(Template {
                namespace: template.namespace.clone(),
                labels: template.labels.clone(),
                spec: Arc::clone(&pattern.spec),
                controller: template.controller.clone(),
            }),
            ..subject.clone()
        };
        let counters: Vec<(Role, Key)> = pattern
            .counters
            .iter()
            .map(|(role, key, _)| (*role, key.clone()))
            .collect();
        let given = (plan.clone(), counters.as_slice());
        Self {
            index: Index::blank(snapshot, profile, &subject, given, columns),
            pattern,
            subject,
            used: 0,
        }
    }
}

/// A specification without what it says about other pods, and without its images.
fn alone(spec: &PodSpec) -> PodSpec {
    PodSpec {
        images: Box::default(),
        image_volumes: Box::default(),
        spread: Box::default(),
        affinity: Box::default(),
        anti_affinity: Box::default(),
        preferred_pods: Box::default(),
        ..spec.clone()
    }
}

/// The template's own counters, then those that others' terms need.
fn counters(plan: &Plan, bearing: &[Bearing]) -> Vec<(Role, Key, Inclusion)> {
    let inclusion = |role| {
        let policies = |constraint: &Constraint, requires_all_keys| Inclusion {
            honors_affinity: constraint.honors_affinity,
            honors_taints: constraint.honors_taints,
            requires_all_keys,
        };
        let found = match role {
            Role::Hard(number) => plan.hard.get(number).map(|known| policies(known, true)),
            Role::Soft(number) => {
                let soft = &plan.soft;
                let constraint = soft.constraints.get(number);
                constraint.map(|known| policies(known, soft.requires_all_keys))
            }
            _ => None,
        };
        found.unwrap_or_default()
    };
    let mut counters: Vec<(Role, Key, Inclusion)> = plan
        .own_roles()
        .into_iter()
        .map(|(role, key)| (role, key, inclusion(role)))
        .collect();
    for effect in bearing.iter().flat_map(|bearing| &bearing.effects) {
        let is_known = counters
            .iter()
            .any(|(role, key, _)| *role == effect.role && *key == effect.key);
        if !is_known {
            counters.push((effect.role, effect.key.clone(), inclusion(effect.role)));
        }
    }
    counters
}
