//! All nodes from the point of view of one template, kept up to date event by event.
//!
//! Nodes that pass every filter of their own are kept in *buckets*: two nodes of one bucket cannot
//! be told apart by anything but their local score (free resources, balance, images). Everything
//! that depends on other pods or has to be normalised is therefore computed once a bucket, from the
//! bucket's signature and the counters, and the best node of a bucket is the one with the highest
//! local score. A decision costs the number of buckets plus the number of nodes changed since the
//! last one.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::column::{Column, Key};
use super::counter::{Counter, Min, Role};
use super::local::{self, LocalWeights, Out};
use super::plan::Plan;
use crate::k8s::ObjectKey;
use crate::sched::configuration::Profile;
use crate::sched::framework::Subject;
use crate::sched::log::Event;
use crate::sched::node_info::{NodeInfo, PodEntry};
use crate::sched::plugins::image_locality;
use crate::sched::snapshot::{Generations, NodeId, Snapshot};
use crate::sched::template::{Template, TemplateId};
use crate::sched::verdict::Plugin;

/// What depends on a node's place alone.
#[derive(Clone, Copy, Debug)]
pub struct NodeFacts {
    pub out: Option<Out>,
    pub taints: i64,
    pub affinity: i64,
    pub images: i64,
}

/// Where a node is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Refused by a filter of its own.
    Out(Out),
    In {
        bucket: u32,
        level: i64,
        place: u32,
    },
    /// Not looked at yet.
    Unknown,
}

/// A column and where its part of the signature begins.
#[derive(Debug)]
pub struct Dimension {
    pub key: Key,
    pub column: Arc<Column>,
    pub slot: usize,
}

/// Nodes alike in all but their local score.
#[derive(Debug)]
pub struct Bucket {
    pub signature: Box<[i64]>,
    pub levels: BTreeMap<i64, Vec<NodeId>>,
    pub len: usize,
}

/// The first slots of every signature.
pub const SLOT_TAINTS: usize = 0;
pub const SLOT_AFFINITY: usize = 1;
const SLOTS_OWN: usize = 2;
/// A missing label in a signature.
pub const MISSING: i64 = -1;

/// A contribution with its counter resolved.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Contribution {
    counter: usize,
    amount: i64,
    live_only: bool,
}

#[derive(Debug)]
pub struct Index {
    pub position: u64,
    pub generations: Generations,
    /// For eviction: when it was last used.
    pub used: u64,
    pub plan: Plan,
    /// Whether the pod selects itself, for each hard constraint.
    pub selects_itself: Vec<bool>,
    pub matches_own_affinity: bool,
    pub dimensions: Vec<Dimension>,
    pub counters: Vec<Counter>,
    /// Sum of all affinity counters; zero means that no pod is matched anywhere.
    pub affinity_marks: i64,
    pub existing_marks: i64,
    contributions: FxHashMap<TemplateId, Arc<[Contribution]>>,
    touched_by: FxHashMap<TemplateId, bool>,
    facts: Vec<NodeFacts>,
    pub standings: Vec<Standing>,
    pub buckets: Vec<Bucket>,
    by_signature: FxHashMap<Box<[i64]>, u32>,
    dirty: Vec<NodeId>,
    is_dirty: Vec<bool>,
    signature: Vec<i64>,
    weights: LocalWeights,
}

/// The index cannot go on and must be built anew.
#[derive(Debug)]
pub struct Stale;

pub type Columns = FxHashMap<Key, Arc<Column>>;

impl Index {
    pub fn build(
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        columns: &mut Columns,
    ) -> Self {
        let template = &subject.template;
        let plan = Plan::of(snapshot, profile, template);
        let mut index = Self {
            position: snapshot.log().end(),
            generations: snapshot.generations(),
            used: 0,
            selects_itself: plan
                .hard
                .iter()
                .map(|constraint| constraint.selects(template))
                .collect(),
            matches_own_affinity: plan.matches_all_affinity(template),
            plan,
            dimensions: Vec::new(),
            counters: Vec::new(),
            affinity_marks: 0,
            existing_marks: 0,
            contributions: FxHashMap::default(),
            touched_by: FxHashMap::default(),
            facts: Vec::with_capacity(snapshot.node_count()),
            standings: Vec::with_capacity(snapshot.node_count()),
            buckets: Vec::new(),
            by_signature: FxHashMap::default(),
            dirty: Vec::new(),
            is_dirty: vec![false; snapshot.node_count()],
            signature: Vec::new(),
            weights: weights(profile, subject),
        };
        for (role, key) in index.plan.own_roles() {
            index.add_counter(snapshot, template, role, &key, columns);
        }
        index.learn_templates(snapshot, profile, template, columns);
        index.lay_out();
        index.count_all(snapshot);
        let scores_images = index.weights.images != 0 && !snapshot.images().is_empty();
        for (id, node) in snapshot.numbered_nodes() {
            let images = if scores_images {
                image_locality::score(
                    snapshot.images(),
                    snapshot.node_count(),
                    &template.spec,
                    node,
                )
            } else {
                0
            };
            index
                .facts
                .push(local::facts(profile, &template.spec, node, images));
            index.standings.push(Standing::Unknown);
            index.refresh(snapshot, profile, subject, id);
        }
        index
    }

    fn add_counter(
        &mut self,
        snapshot: &Snapshot,
        template: &Template,
        role: Role,
        key: &Key,
        columns: &mut Columns,
    ) -> usize {
        let dimension = self
            .dimensions
            .iter()
            .position(|dimension| dimension.key == *key)
            .unwrap_or_else(|| {
                let column = columns
                    .entry(key.clone())
                    .or_insert_with(|| Arc::new(Column::of(snapshot, key)));
                self.dimensions.push(Dimension {
                    key: key.clone(),
                    column: Arc::clone(column),
                    slot: 0,
                });
                self.dimensions.len() - 1
            });
        let included = self.included(snapshot, template, role);
        let column = self.dimensions.get(dimension).map(|entry| &entry.column);
        let value_count = column.map_or(0, |column| column.value_count);
        let min = matches!(role, Role::Hard(_)).then(|| {
            let mut present = vec![false; value_count];
            let nodes = column.map_or([].as_slice(), |column| &column.values);
            for (index, value) in nodes.iter().enumerate() {
                let counts = included
                    .as_ref()
                    .is_none_or(|included| included.get(index) == Some(&true));
                if let Some(value) = value.filter(|_| counts)
                    && let Some(place) = present.get_mut(value as usize)
                {
                    *place = true;
                }
            }
            Min::new(present)
        });
        self.counters.push(Counter {
            role,
            dimension,
            ordinal: 0,
            sums: vec![0; value_count],
            included,
            min,
        });
        self.counters.len() - 1
    }

    /// Node inclusion policies, and keys that must all be there.
    fn included(
        &self,
        snapshot: &Snapshot,
        template: &Template,
        role: Role,
    ) -> Option<Box<[bool]>> {
        let (all, constraint, requires_all_keys) = match role {
            Role::Hard(index) => (&self.plan.hard, self.plan.hard.get(index)?, true),
            Role::Soft(index) => {
                let soft = &self.plan.soft;
                let constraint = soft.constraints.get(index)?;
                if Plan::soft_key(constraint) == Key::Itself {
                    return None;
                }
                (&soft.constraints, constraint, soft.requires_all_keys)
            }
            _ => return None,
        };
        let counts = |node: &NodeInfo| {
            (!requires_all_keys
                || all
                    .iter()
                    .all(|constraint| node.labels.get(&constraint.key).is_some()))
                && constraint.includes(&template.spec, node)
        };
        Some(snapshot.nodes().map(counts).collect())
    }

    /// Works out what pods of every template that has pods contribute.
    fn learn_templates(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        template: &Template,
        columns: &mut Columns,
    ) {
        let mut seen = vec![false; snapshot.templates().len()];
        for entry in snapshot.nodes().flat_map(|node| &node.pods) {
            let Some(seen) = seen.get_mut(entry.id.index()).filter(|seen| !**seen) else {
                continue;
            };
            *seen = true;
            let effects = self.plan.effects(profile, template, &entry.template);
            let contributions = effects.into_iter().map(|effect| {
                let counter = self.counter(effect.role, &effect.key).unwrap_or_else(|| {
                    self.add_counter(snapshot, template, effect.role, &effect.key, columns)
                });
                Contribution {
                    counter,
                    amount: effect.amount,
                    live_only: effect.live_only,
                }
            });
            let contributions: Arc<[Contribution]> = contributions.collect();
            self.contributions.insert(entry.id, contributions);
        }
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

    /// Gives every dimension its part of the signature: a value number, or, where values are unique,
    /// presence and the sums themselves.
    fn lay_out(&mut self) {
        let mut slot = SLOTS_OWN;
        for (index, dimension) in self.dimensions.iter_mut().enumerate() {
            dimension.slot = slot;
            slot += 1;
            if dimension.column.is_unique {
                for counter in &mut self.counters {
                    if counter.dimension == index {
                        counter.ordinal = slot;
                        slot += 1;
                    }
                }
            }
        }
    }

    fn count_all(&mut self, snapshot: &Snapshot) {
        for (node, info) in snapshot.numbered_nodes() {
            for entry in &info.pods {
                if let Some(contributions) = self.contributions.get(&entry.id).map(Arc::clone) {
                    self.contribute(&contributions, node, 1, !entry.is_terminating());
                }
            }
        }
    }

    fn contribute(&mut self, contributions: &[Contribution], node: NodeId, delta: i64, live: bool) {
        for contribution in contributions {
            if contribution.live_only && !live {
                continue;
            }
            let Some(counter) = self.counters.get_mut(contribution.counter) else {
                continue;
            };
            let is_included = counter
                .included
                .as_ref()
                .is_none_or(|included| included.get(node.index()) == Some(&true));
            let value = self
                .dimensions
                .get(counter.dimension)
                .and_then(|dimension| *dimension.column.values.get(node.index())?);
            let Some(value) = value.filter(|_| is_included) else {
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

    /// Takes in everything that happened since the last decision.
    pub fn catch_up(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
    ) -> Result<(), Stale> {
        let generations = snapshot.generations();
        if generations.places != self.generations.places {
            return Err(Stale);
        }
        if generations.selectors != self.generations.selectors
            && Plan::of(snapshot, profile, &subject.template) != self.plan
        {
            return Err(Stale);
        }
        self.generations = generations;
        let events = snapshot.log().since(self.position).ok_or(Stale)?;
        for event in events {
            if let Event::Pod {
                node,
                template,
                delta,
                live,
            } = event
            {
                let contributions = match self.contributions.get(&template) {
                    Some(known) => Arc::clone(known),
                    None => self.learn(snapshot, profile, subject, template)?,
                };
                self.contribute(&contributions, node, i64::from(delta), live);
            }
            self.mark(event.node());
        }
        self.position = snapshot.log().end();
        while let Some(node) = self.dirty.pop() {
            if let Some(is_dirty) = self.is_dirty.get_mut(node.index()) {
                *is_dirty = false;
            }
            self.refresh(snapshot, profile, subject, node);
        }
        Ok(())
    }

    /// A template that had no pods when the index was built.
    fn learn(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        id: TemplateId,
    ) -> Result<Arc<[Contribution]>, Stale> {
        let other = snapshot.templates().get(id).ok_or(Stale)?;
        let effects = self.plan.effects(profile, &subject.template, other);
        let contributions = effects.into_iter().map(|effect| {
            // A new counter changes every signature.
            let counter = self.counter(effect.role, &effect.key).ok_or(Stale)?;
            Ok(Contribution {
                counter,
                amount: effect.amount,
                live_only: effect.live_only,
            })
        });
        let contributions = contributions.collect::<Result<Arc<[Contribution]>, Stale>>()?;
        self.contributions.insert(id, Arc::clone(&contributions));
        Ok(contributions)
    }

    pub fn mark(&mut self, node: NodeId) {
        if let Some(is_dirty) = self.is_dirty.get_mut(node.index())
            && !*is_dirty
        {
            *is_dirty = true;
            self.dirty.push(node);
        }
    }

    /// Whether a pod that comes in thought would change more than its own node's free resources.
    pub fn is_touched_by(
        &mut self,
        profile: &Profile,
        template: &Template,
        id: TemplateId,
        other: &Template,
    ) -> bool {
        if let Some(known) = self.touched_by.get(&id) {
            return *known;
        }
        let effects = self.plan.effects(profile, template, other);
        // Pods that come in thought count for empty selectors too, see `HardSpread::shift`.
        let is_selected = other.namespace == template.namespace
            && self
                .plan
                .hard
                .iter()
                .any(|constraint| constraint.selects(other));
        let touched = is_selected || effects.iter().any(|effect| effect.role.filters());
        self.touched_by.insert(id, touched);
        touched
    }

    /// Looks at a node as this pod alone sees it: its own nomination does not count. For the next
    /// decision the node is looked at again.
    pub fn refresh_for(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        node: NodeId,
    ) {
        self.refresh_without(snapshot, profile, subject, node, Some(&subject.object.key));
        self.mark(node);
    }

    fn refresh(&mut self, snapshot: &Snapshot, profile: &Profile, subject: &Subject, node: NodeId) {
        self.refresh_without(snapshot, profile, subject, node, None);
    }

    fn refresh_without(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        node: NodeId,
        excluded: Option<&ObjectKey>,
    ) {
        let (Some(info), Some(facts)) =
            (snapshot.node(node), self.facts.get(node.index()).copied())
        else {
            return;
        };
        let spec = &subject.template.spec;
        let out = facts.out.or_else(|| {
            let nominated = snapshot.nominations();
            if nominated.is_empty() {
                return local::out(profile, spec, info, &[]);
            }
            let counts = |entry: &&PodEntry| {
                entry.priority() >= spec.priority && Some(entry.key()) != excluded
            };
            let extra: Vec<&PodEntry> = nominated.on(&info.name).iter().filter(counts).collect();
            local::out(profile, spec, info, &extra)
        });
        if let Some(out) = out {
            self.take_out(node, Standing::Out(out));
            return;
        }
        let level = local::score(profile, self.weights, subject, info, &facts);
        self.sign(node, &facts);
        let bucket = self
            .unchanged_bucket(node)
            .or_else(|| self.by_signature.get(self.signature.as_slice()).copied())
            .unwrap_or_else(|| self.open_bucket());
        self.put(node, bucket, level);
    }

    fn sign(&mut self, node: NodeId, facts: &NodeFacts) {
        self.signature.clear();
        self.signature.push(facts.taints);
        self.signature.push(facts.affinity);
        for (index, dimension) in self.dimensions.iter().enumerate() {
            let value = dimension.column.values.get(node.index()).copied().flatten();
            if !dimension.column.is_unique {
                self.signature.push(value.map_or(MISSING, i64::from));
                continue;
            }
            self.signature.push(value.map_or(MISSING, |_| 1));
            let own = |counter: &&Counter| counter.dimension == index;
            for counter in self.counters.iter().filter(own) {
                let sum = value.and_then(|value| counter.sums.get(value as usize));
                self.signature.push(sum.copied().unwrap_or(0));
            }
        }
    }

    /// The node's bucket, if it still fits the signature.
    fn unchanged_bucket(&self, node: NodeId) -> Option<u32> {
        let Standing::In { bucket, .. } = self.standings.get(node.index())? else {
            return None;
        };
        let known = self.buckets.get(*bucket as usize)?;
        (*known.signature == *self.signature).then_some(*bucket)
    }

    fn open_bucket(&mut self) -> u32 {
        let signature: Box<[i64]> = self.signature.as_slice().into();
        // There are no more buckets than nodes at a time; empty ones are reused.
        let number = self.free_bucket().unwrap_or(self.buckets.len());
        let bucket = Bucket {
            signature: signature.clone(),
            levels: BTreeMap::new(),
            len: 0,
        };
        match self.buckets.get_mut(number) {
            Some(place) => {
                self.by_signature.remove(&place.signature);
                *place = bucket;
            }
            None => self.buckets.push(bucket),
        }
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.by_signature.insert(signature, number);
        number
    }

    fn free_bucket(&self) -> Option<usize> {
        if self.buckets.len() < 64 {
            return None;
        }
        self.buckets.iter().position(|bucket| bucket.len == 0)
    }

    fn put(&mut self, node: NodeId, bucket: u32, level: i64) {
        if let Some(Standing::In {
            bucket: known,
            level: at,
            ..
        }) = self.standings.get(node.index())
            && *known == bucket
            && *at == level
        {
            return;
        }
        self.take_out(node, Standing::Unknown);
        let Some(place) = self.buckets.get_mut(bucket as usize) else {
            return;
        };
        place.len += 1;
        let nodes = place.levels.entry(level).or_default();
        nodes.push(node);
        let place = u32::try_from(nodes.len() - 1).unwrap_or(u32::MAX);
        if let Some(standing) = self.standings.get_mut(node.index()) {
            *standing = Standing::In {
                bucket,
                level,
                place,
            };
        }
    }

    fn take_out(&mut self, node: NodeId, becomes: Standing) {
        let Some(standing) = self.standings.get_mut(node.index()) else {
            return;
        };
        let before = std::mem::replace(standing, becomes);
        let Standing::In {
            bucket,
            level,
            place,
        } = before
        else {
            return;
        };
        let Some(bucket) = self.buckets.get_mut(bucket as usize) else {
            return;
        };
        bucket.len -= 1;
        let Some(nodes) = bucket.levels.get_mut(&level) else {
            return;
        };
        nodes.swap_remove(place as usize);
        let moved = nodes.get(place as usize).copied();
        if nodes.is_empty() {
            bucket.levels.remove(&level);
        }
        if let Some(moved) = moved
            && let Some(Standing::In { place: at, .. }) = self.standings.get_mut(moved.index())
        {
            *at = place;
        }
    }

    /// The sum that a counter has at a bucket's place; `None` where the label is missing.
    pub fn sum_at(&self, counter: &Counter, signature: &[i64]) -> Option<i64> {
        let dimension = self.dimensions.get(counter.dimension)?;
        let value = *signature.get(dimension.slot)?;
        if value == MISSING {
            return None;
        }
        if dimension.column.is_unique {
            return signature.get(counter.ordinal).copied();
        }
        let value = usize::try_from(value).ok()?;
        counter.sums.get(value).copied()
    }

    /// Whether no other pod bears on where this template may go.
    pub fn is_alone(&self) -> bool {
        self.plan.hard.is_empty()
            && self.plan.affinity.is_empty()
            && self.plan.anti_affinity.is_empty()
            && self.existing_marks == 0
    }
}

fn weights(profile: &Profile, subject: &Subject) -> LocalWeights {
    let weight = |wanted: Plugin| {
        let entry = profile.scores.iter().find(|(plugin, _)| *plugin == wanted);
        entry.map_or(0, |(_, weight)| *weight)
    };
    let applies = crate::sched::plugins::node_resources_balanced_allocation::applies(
        &profile.balanced,
        &subject.template.spec.requests.wanted,
    );
    LocalWeights {
        fit: weight(Plugin::NodeResourcesFit),
        balanced: if applies {
            weight(Plugin::NodeResourcesBalancedAllocation)
        } else {
            0
        },
        images: weight(Plugin::ImageLocality),
    }
}
