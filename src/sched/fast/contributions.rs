//! What pods add to an index's sums, worked out once a template.

use super::column::Key;
use super::counter::Role;
use super::index::{Columns, Index, Stale};
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
    /// Whether any list has anything in it.
    pub any: bool,
}

impl Contributions {
    fn known(&self, template: TemplateId) -> Option<usize> {
        let number = self.numbers.get(template.index()).copied()?;
        usize::try_from(number).ok()?.checked_sub(1)
    }

    fn insert(&mut self, template: TemplateId, list: Vec<Contribution>) -> usize {
        self.any |= !list.is_empty();
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

impl Index {
    /// Counts all pods, and opens the counters that terms of theirs need.
    pub fn count_all(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        template: &Template,
        columns: &mut Columns,
    ) {
        for (node, info) in snapshot.numbered_nodes() {
            for entry in &info.pods {
                let number = self.contributions.known(entry.id).unwrap_or_else(|| {
                    self.learn_at_first(snapshot, profile, template, entry.id, columns)
                });
                self.contribute(number, node, 1, !entry.is_terminating());
            }
        }
    }

    fn learn_at_first(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        template: &Template,
        id: TemplateId,
        columns: &mut Columns,
    ) -> usize {
        let other = snapshot.templates().get(id);
        let effects = other.map(|other| self.plan.effects(profile, template, other));
        let list = effects.into_iter().flatten().map(|effect| {
            let counter = self.counter(effect.role, &effect.key).unwrap_or_else(|| {
                self.add_counter(snapshot, template, effect.role, &effect.key, columns)
            });
            Contribution {
                counter,
                amount: effect.amount,
                live_only: effect.live_only,
            }
        });
        let list: Vec<Contribution> = list.collect();
        self.contributions.insert(id, list)
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
        let list = effects.into_iter().map(|effect| {
            // A new counter changes every signature.
            let counter = self.counter(effect.role, &effect.key).ok_or(Stale)?;
            Ok(Contribution {
                counter,
                amount: effect.amount,
                live_only: effect.live_only,
            })
        });
        let list = list.collect::<Result<Vec<Contribution>, Stale>>()?;
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
