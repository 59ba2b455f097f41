//! What pods add to an index's sums, worked out once a template.

use super::column::Key;
use super::counter::Role;
use super::index::{Index, Stale};
use super::plan::{Effect, Plan};
use crate::sched::configuration::Profile;
use crate::sched::snapshot::{NodeId, Snapshot};
use crate::sched::template::{Template, TemplateId};

/// A contribution with its counter resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contribution {
    counter: usize,
    amount: i64,
    live_only: bool,
}

/// Lists of contributions by template.
#[derive(Debug, Default)]
pub struct Contributions {
    /// By template: one more than the number of its list, zero while unknown.
    numbers: Vec<u32>,
    lists: Vec<Vec<Contribution>>,
}

impl Contributions {
    fn known(&self, template: TemplateId) -> Option<usize> {
        let number = self.numbers.get(template.index()).copied()?;
        usize::try_from(number).ok()?.checked_sub(1)
    }

    fn insert(&mut self, template: TemplateId, list: Vec<Contribution>) -> usize {
        let number = self
            .lists
            .iter()
            .position(|known| *known == list)
            .unwrap_or(self.lists.len());
        if number == self.lists.len() {
            self.lists.push(list);
        }
        if self.numbers.len() <= template.index() {
            self.numbers.resize(template.index() + 1, 0);
        }
        if let Some(place) = self.numbers.get_mut(template.index()) {
            *place = u32::try_from(number + 1).unwrap_or(0);
        }
        number
    }
}

/// What each pod of a template adds to which counters of another.
#[derive(Debug)]
pub struct Bearing {
    id: TemplateId,
    pub effects: Vec<Effect>,
}

/// The templates whose pods add anything, as far as they have pods on nodes.
pub fn bearing_on(
    snapshot: &Snapshot,
    profile: &Profile,
    plan: &Plan,
    template: &Template,
) -> Vec<Bearing> {
    let ids = snapshot.whereabouts().bearing_on(template);
    let bearing = ids.into_iter().filter_map(|id| {
        let other = snapshot.templates().get(id)?;
        let effects = plan.effects(profile, template, other);
        (!effects.is_empty()).then_some(Bearing { id, effects })
    });
    bearing.collect()
}

impl Index {
    /// Counts all pods that bear on this template, and marks their nodes. Every counter that they need
    /// is there.
    pub fn count_all(&mut self, snapshot: &Snapshot, bearing: Vec<Bearing>) {
        for Bearing { id, effects } in bearing {
            let Some(list) = self.resolve(effects) else {
                continue;
            };
            let number = self.contributions.insert(id, list);
            for spot in snapshot.whereabouts().of(id) {
                self.contribute(number, spot.node, i64::from(spot.live), true);
                self.contribute(number, spot.node, i64::from(spot.terminating), false);
                self.mark(spot.node);
            }
        }
    }

    /// Effects with their counters; `None` where one has no counter.
    fn resolve(&self, effects: Vec<Effect>) -> Option<Vec<Contribution>> {
        let effects = effects.into_iter().map(|effect| {
            Some(Contribution {
                counter: self.counter(effect.role, &effect.key)?,
                amount: effect.amount,
                live_only: effect.live_only,
            })
        });
        effects.collect()
    }

    /// A pod of this template came to a node or left it.
    pub fn count(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        template: &Template,
        pod: (TemplateId, NodeId),
        amount: (i64, bool),
    ) -> Result<(), Stale> {
        let (id, node) = pod;
        let number = match self.contributions.known(id) {
            Some(known) => known,
            None => self.learn(snapshot, profile, template, id)?,
        };
        self.contribute(number, node, amount.0, amount.1);
        Ok(())
    }

    /// A template that had no pods when the index was built.
    fn learn(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        template: &Template,
        id: TemplateId,
    ) -> Result<usize, Stale> {
        let other = snapshot.templates().get(id).ok_or(Stale)?;
        let effects = self.plan.effects(profile, template, other);
        // A new counter changes every signature.
        let list = self.resolve(effects).ok_or(Stale)?;
        Ok(self.contributions.insert(id, list))
    }

    fn counter(&self, role: Role, key: &Key) -> Option<usize> {
        self.counters.iter().position(|counter| {
            counter.role == role
                && self
                    .dimensions
                    .get(counter.dimension)
                    .is_some_and(|dimension| dimension.key == *key)
        })
    }

    fn contribute(&mut self, list: usize, node: NodeId, delta: i64, live: bool) {
        let Some(list) = self.contributions.lists.get(list) else {
            return;
        };
        for contribution in list {
            if contribution.live_only && !live {
                continue;
            }
            let Some(counter) = self.counters.get_mut(contribution.counter) else {
                continue;
            };
            let dimension = self.dimensions.get(counter.dimension);
            let value = dimension.and_then(|dimension| dimension.value(node));
            let Some(value) = value.filter(|_| counter.includes(node.index())) else {
                continue;
            };
            let amount = contribution.amount * delta;
            counter.add(value, amount);
            match counter.role {
                Role::Affinity(_) => self.affinity_marks += amount,
                Role::Existing => self.existing_marks += amount,
                _ => {}
            }
        }
    }
}
