//! All nodes from the point of view of one template, kept up to date event by event.
//!
//! Nodes that pass every filter of their own are kept in *buckets*: two nodes of one bucket cannot
//! be told apart by anything but their local score (free resources, balance, images). Everything
//! that depends on other pods or has to be normalised is therefore computed once a bucket, from the
//! bucket's signature and the counters, and the best node of a bucket is the one with the highest
//! local score. A decision costs the number of buckets plus the number of nodes changed since the
//! last one.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::column::{Column, Key, NO_VALUE};
use super::contributions::{Bearing, Contributions};
use super::counter::{Counter, Min, Role};
use super::local::{self, Local, Out};
use super::plan::Plan;
use super::seats::Seats;
use crate::k8s::ObjectKey;
use crate::sched::configuration::Profile;
use crate::sched::framework::Subject;
use crate::sched::gpu::Typical;
use crate::sched::log::Event;
use crate::sched::node_info::{NodeInfo, PodEntry};
use crate::sched::plugins::image_locality;
use crate::sched::snapshot::{Generations, NodeId, Snapshot};
use crate::sched::template::{Template, TemplateId};

/// What depends on a node's place alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeFacts {
    pub out: Option<Out>,
    pub taints: i64,
    pub affinity: i64,
    pub images: i64,
}

/// A topology key and where its part of the signature begins.
#[derive(Clone, Debug)]
pub struct Dimension {
    pub key: Key,
    /// The value's number by node, as far as this index has followed the log.
    values: Arc<Vec<u32>>,
    /// No value belongs to more than one node. It may become so later, but not cease to be.
    pub is_unique: bool,
    pub slot: usize,
}

impl Dimension {
    pub fn value(&self, node: NodeId) -> Option<u32> {
        let value = self.values.get(node.index()).copied()?;
        (value != NO_VALUE).then_some(value)
    }
}

/// The first slots of every signature.
pub const SLOT_TAINTS: usize = 0;
pub const SLOT_AFFINITY: usize = 1;
const SLOTS_OWN: usize = 2;
/// A missing label in a signature.
pub const MISSING: i64 = -1;

#[derive(Debug)]
pub struct Index {
    position: u64,
    generations: Generations,
    /// For eviction: when it was last used.
    pub used: u64,
    /// Other pods and images are left out, for good.
    is_blank: bool,
    pub plan: Plan,
    /// Whether the pod selects itself, for each hard constraint.
    pub selects_itself: Vec<bool>,
    pub matches_own_affinity: bool,
    pub dimensions: Vec<Dimension>,
    pub counters: Vec<Counter>,
    /// Sum of all affinity counters; zero means that no pod is matched anywhere.
    pub affinity_marks: i64,
    pub existing_marks: i64,
    pub(super) contributions: Contributions,
    touched_by: FxHashMap<TemplateId, bool>,
    facts: Vec<NodeFacts>,
    fact_numbers: FxHashMap<NodeFacts, u32>,
    pub seats: Seats,
    dirty: Vec<NodeId>,
    is_dirty: Vec<bool>,
    signature: Vec<i64>,
    local: Local,
    /// The GPU pods that nodes are scored by, where the profile does.
    typical: Option<Arc<Typical>>,
    /// Whether any node has any of the template's images.
    finds_images: bool,
}

/// The index cannot go on and must be built anew.
#[derive(Debug)]
pub struct Stale;

pub type Columns = FxHashMap<Key, Column>;

impl Index {
    /// What the template's own demands make of all nodes, with these counters at zero: no other pod
    /// and no image counts yet, nor will any.
    pub fn blank(
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        (plan, counters): (Plan, &[(Role, Key)]),
        columns: &mut Columns,
    ) -> Self {
        let template = &subject.template;
        let local = Local::of(profile, subject);
        let mut index = Self {
            position: snapshot.log().end(),
            generations: snapshot.generations(),
            used: 0,
            is_blank: true,
            selects_itself: Vec::new(),
            matches_own_affinity: false,
            plan,
            dimensions: Vec::new(),
            counters: Vec::new(),
            affinity_marks: 0,
            existing_marks: 0,
            contributions: Contributions::default(),
            touched_by: FxHashMap::default(),
            facts: Vec::new(),
            fact_numbers: FxHashMap::default(),
            seats: Seats::default(),
            dirty: Vec::new(),
            is_dirty: Vec::new(),
            signature: Vec::new(),
            typical: (local.weights.gpus != 0).then(|| Arc::clone(snapshot.typical_gpu_pods())),
            local,
            finds_images: false,
        };
        for (role, key) in counters {
            index.add_counter(snapshot, template, *role, key, columns);
        }
        index.lay_out();
        for (id, node) in snapshot.numbered_nodes() {
            index.learn_facts(snapshot, profile, template, id, node);
            index.refresh(snapshot, profile, subject, id);
        }
        index
    }

    /// A template's index from this blank one, whose counters are those that it needs.
    pub fn cast(
        &self,
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        (plan, bearing): (Plan, Vec<Bearing>),
    ) -> Self {
        let template = &subject.template;
        let hard = plan.hard.iter();
        let mut index = Self {
            position: self.position,
            generations: self.generations,
            used: 0,
            is_blank: false,
            selects_itself: hard.map(|wish| wish.selects(template)).collect(),
            matches_own_affinity: plan.matches_all_affinity(template),
            plan,
            dimensions: self.dimensions.clone(),
            counters: self.counters.clone(),
            affinity_marks: 0,
            existing_marks: 0,
            contributions: Contributions::default(),
            touched_by: FxHashMap::default(),
            facts: self.facts.clone(),
            fact_numbers: self.fact_numbers.clone(),
            seats: self.seats.clone(),
            dirty: Vec::new(),
            is_dirty: Vec::new(),
            signature: Vec::new(),
            typical: self.typical.clone(),
            local: self.local,
            finds_images: self.local.weights.images != 0
                && snapshot.images().has_any_of(&template.spec),
        };
        index.count_all(snapshot, bearing);
        if index.finds_images {
            for id in snapshot.images().holders(&template.spec) {
                if let Some(node) = snapshot.node(id) {
                    index.learn_facts(snapshot, profile, template, id, node);
                    index.mark(id);
                }
            }
        }
        index.settle(snapshot, profile, subject);
        index
    }

    fn add_counter(
        &mut self,
        snapshot: &Snapshot,
        template: &Template,
        role: Role,
        key: &Key,
        columns: &mut Columns,
    ) {
        let known = self
            .dimensions
            .iter()
            .position(|dimension| dimension.key == *key);
        let dimension = known.unwrap_or_else(|| {
            let column = columns
                .entry(key.clone())
                .or_insert_with(|| Column::of(snapshot, key));
            self.dimensions.push(Dimension {
                key: key.clone(),
                values: Arc::new(column.values.clone()),
                is_unique: column.is_unique(),
                slot: 0,
            });
            self.dimensions.len() - 1
        });
        let mut counter = Counter {
            role,
            dimension,
            ordinal: 0,
            sums: Vec::new(),
            included: self
                .has_policies(role)
                .then(|| vec![false; snapshot.slot_count()]),
            min: matches!(role, Role::Hard(_)).then(Min::default),
        };
        if counter.included.is_some() || counter.min.is_some() {
            for (id, node) in snapshot.numbered_nodes() {
                let includes = self.includes(template, role, node);
                self.include(&mut counter, id, includes);
            }
        }
        self.counters.push(counter);
    }

    /// Notes whether a node's pods count from now on.
    fn include(&self, counter: &mut Counter, node: NodeId, includes: bool) {
        if let Some(included) = &mut counter.included {
            if included.len() <= node.index() {
                included.resize(node.index() + 1, false);
            }
            if let Some(place) = included.get_mut(node.index()) {
                *place = includes;
            }
        }
        let dimension = self.dimensions.get(counter.dimension);
        if let Some(value) = dimension.and_then(|dimension| dimension.value(node))
            && includes
        {
            counter.hold(value, true);
        }
    }

    /// Whether not all nodes' pods count.
    fn has_policies(&self, role: Role) -> bool {
        match role {
            Role::Hard(_) => true,
            Role::Soft(index) => {
                let constraint = self.plan.soft.constraints.get(index);
                constraint.is_some_and(|constraint| Plan::soft_key(constraint) != Key::Itself)
            }
            _ => false,
        }
    }

    /// Node inclusion policies, and keys that must all be there.
    fn includes(&self, template: &Template, role: Role, node: &NodeInfo) -> bool {
        let (all, number, requires_all_keys) = match role {
            Role::Hard(number) => (&self.plan.hard, number, true),
            Role::Soft(number) => {
                let soft = &self.plan.soft;
                (&soft.constraints, number, soft.requires_all_keys)
            }
            _ => return true,
        };
        let has_key = |key| node.labels.get(key).is_some();
        (!requires_all_keys || all.iter().all(|constraint| has_key(&constraint.key)))
            && all
                .get(number)
                .is_some_and(|constraint| constraint.includes(&template.spec, node))
    }

    /// Gives every dimension its part of the signature: a value number, or, where values are unique,
    /// presence and the sums themselves.
    fn lay_out(&mut self) {
        let mut slot = SLOTS_OWN;
        for (index, dimension) in self.dimensions.iter_mut().enumerate() {
            dimension.slot = slot;
            slot += 1;
            if dimension.is_unique {
                for counter in &mut self.counters {
                    if counter.dimension == index {
                        counter.ordinal = slot;
                        slot += 1;
                    }
                }
            }
        }
    }

    /// What depends on the node's place alone.
    fn learn_facts(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        template: &Template,
        id: NodeId,
        node: &NodeInfo,
    ) {
        let images = if self.finds_images {
            let count = snapshot.node_count();
            image_locality::score(snapshot.images(), count, &template.spec, node)
        } else {
            0
        };
        let facts = local::facts(profile, &template.spec, node, images);
        let next = u32::try_from(self.facts.len()).unwrap_or(u32::MAX);
        let number = *self.fact_numbers.entry(facts).or_insert(next);
        if number == next {
            self.facts.push(facts);
        }
        self.seats.set_facts(id, number);
    }

    /// Takes in everything that happened since the last decision.
    pub fn catch_up(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        subject: &Subject,
        columns: &Columns,
    ) -> Result<(), Stale> {
        let template = &subject.template;
        let generations = snapshot.generations();
        if generations.ids != self.generations.ids {
            return Err(Stale);
        }
        if generations.images != self.generations.images
            && !self.is_blank
            && self.local.weights.images != 0
            && (self.finds_images || snapshot.images().has_any_of(&template.spec))
        {
            return Err(Stale);
        }
        if generations.selectors != self.generations.selectors
            && !self.is_blank
            && Plan::of(snapshot, profile, template) != self.plan
        {
            return Err(Stale);
        }
        if let Some(typical) = &mut self.typical {
            let now = snapshot.typical_gpu_pods();
            if !Arc::ptr_eq(typical, now) {
                if *typical != *now {
                    return Err(Stale);
                }
                *typical = Arc::clone(now);
            }
        }
        self.generations = generations;
        let events = snapshot.log().since(self.position).ok_or(Stale)?;
        for event in events {
            match event {
                Event::Pod {
                    node,
                    template: id,
                    delta,
                    live,
                } if !self.is_blank => {
                    let amount = (i64::from(delta), live);
                    self.count(snapshot, profile, template, (id, node), amount)?;
                }
                Event::Place(node) => {
                    self.move_place(snapshot, profile, template, node, columns)?;
                }
                Event::Pod { .. } | Event::Node(_) => {}
            }
            self.mark(event.node());
        }
        self.position = snapshot.log().end();
        self.settle(snapshot, profile, subject);
        Ok(())
    }

    /// Looks at all nodes that were marked.
    fn settle(&mut self, snapshot: &Snapshot, profile: &Profile, subject: &Subject) {
        while let Some(node) = self.dirty.pop() {
            if let Some(is_dirty) = self.is_dirty.get_mut(node.index()) {
                *is_dirty = false;
            }
            self.refresh(snapshot, profile, subject, node);
        }
    }

    /// A node came, went, or changed its labels, taints or cordon. The log takes its pods off before
    /// and puts them back after, so that sums follow by themselves.
    fn move_place(
        &mut self,
        snapshot: &Snapshot,
        profile: &Profile,
        template: &Template,
        id: NodeId,
        columns: &Columns,
    ) -> Result<(), Stale> {
        let node = snapshot.node(id);
        let mut counters = std::mem::take(&mut self.counters);
        for counter in &mut counters {
            let value = self
                .dimensions
                .get(counter.dimension)
                .and_then(|dimension| dimension.value(id));
            if let Some(value) = value.filter(|_| counter.includes(id.index())) {
                counter.hold(value, false);
            }
        }
        for dimension in &mut self.dimensions {
            let column = columns.get(&dimension.key).ok_or(Stale)?;
            if dimension.is_unique && !column.is_unique() {
                return Err(Stale);
            }
            let values = Arc::make_mut(&mut dimension.values);
            if values.len() <= id.index() {
                values.resize(id.index() + 1, NO_VALUE);
            }
            if let Some(place) = values.get_mut(id.index()) {
                *place = column.values.get(id.index()).copied().unwrap_or(NO_VALUE);
            }
        }
        for counter in &mut counters {
            if counter.included.is_some() || counter.min.is_some() {
                let includes = node.is_some_and(|node| self.includes(template, counter.role, node));
                self.include(counter, id, includes);
            }
        }
        self.counters = counters;
        if let Some(node) = node {
            self.learn_facts(snapshot, profile, template, id, node);
        }
        Ok(())
    }

    pub fn mark(&mut self, node: NodeId) {
        if self.is_dirty.len() <= node.index() {
            self.is_dirty.resize(node.index() + 1, false);
        }
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
        let Some(info) = snapshot.node(node) else {
            self.seats.clear(node);
            return;
        };
        let number = self
            .seats
            .facts(node)
            .and_then(|at| usize::try_from(at).ok());
        let Some(facts) = number.and_then(|number| self.facts.get(number)).copied() else {
            return;
        };
        let spec = &subject.template.spec;
        let out = facts.out.or_else(|| {
            let nominated = snapshot.nominations();
            if nominated.is_empty() {
                return self.local.out(spec, info, &[]);
            }
            let counts = |entry: &&PodEntry| {
                entry.priority() >= spec.priority && Some(entry.key()) != excluded
            };
            let extra: Vec<&PodEntry> = nominated.on(&info.name).iter().filter(counts).collect();
            self.local.out(spec, info, &extra)
        });
        if let Some(out) = out {
            self.seats.refuse(node, out);
            return;
        }
        let mut score = self.local.score(profile, spec, info, &facts);
        if let Some(typical) = &self.typical {
            score = score.saturating_add(self.local.gpu_score(profile, typical, spec, info));
        }
        self.sign(node, &facts);
        let bucket = self
            .unchanged_bucket(node)
            .unwrap_or_else(|| self.seats.bucket(&self.signature));
        self.seats.put(node, bucket, score);
    }

    fn sign(&mut self, node: NodeId, facts: &NodeFacts) {
        self.signature.clear();
        self.signature.push(facts.taints);
        self.signature.push(facts.affinity);
        for (index, dimension) in self.dimensions.iter().enumerate() {
            let value = dimension.value(node);
            if !dimension.is_unique {
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
        let bucket = self.seats.bucket_of(node)?;
        let known = self.seats.buckets.get(bucket as usize)?;
        (*known.signature == *self.signature).then_some(bucket)
    }

    /// The sum that a counter has at a bucket's place; `None` where the label is missing.
    pub fn sum_at(&self, counter: &Counter, signature: &[i64]) -> Option<i64> {
        let dimension = self.dimensions.get(counter.dimension)?;
        let value = *signature.get(dimension.slot)?;
        if value == MISSING {
            return None;
        }
        if dimension.is_unique {
            return signature.get(counter.ordinal).copied();
        }
        let value = usize::try_from(value).ok()?;
        Some(counter.sums.get(value).copied().unwrap_or(0))
    }

    /// Whether no other pod bears on where this template may go.
    pub fn is_alone(&self) -> bool {
        self.plan.hard.is_empty()
            && self.plan.affinity.is_empty()
            && self.plan.anti_affinity.is_empty()
            && self.existing_marks == 0
    }
}
