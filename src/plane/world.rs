//! The World: everything there is of one cluster, advanced by two calls.
//!
//! ```text
//!   handle(request) ─► apiserver ─► store ─┐
//!   step ─► reconcile, schedule, agents ─► ops ─► apiserver ─► store ─┤
//!        ▲                                                            ▼
//!        └── work queues, scheduler, agents ◄── absorb: every change ─┴─► journal of the step
//! ```
//!
//! Deterministic: the same calls with the same times and seed give the same bytes. A clone is a fork.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::agent::Agents;
use crate::apiserver::token::TokenKey;
use crate::apiserver::{self, Registry, Request, Response, Status, WriteContext};
use crate::control;
use crate::k8s::{Change, ChangeKind, Cluster, Object, Op, Revision, resources};
use crate::sched::{Configuration, Scheduler};
use crate::stdx::rng::Stream;
use crate::store::{Snapshot, Store};

use super::controllers::{Controllers, Job};
use super::pod_log;

/// Keys reconciled, and pods scheduled, in one step. They bound how long a waiting write waits.
const RECONCILES_MAX: usize = 128;
const CYCLES_MAX: usize = 128;
/// How often outlived events are looked for.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// A rollout of hundreds of pods turns each of them several times, and every time all endpoints of
/// its service would be written anew.
const ENDPOINTS_BATCH: SignedDuration = SignedDuration::from_secs(1);

/// A cluster as a state machine.
#[derive(Clone)]
pub struct World {
    store: Store,
    registry: Arc<Registry>,
    controllers: Controllers,
    scheduler: Scheduler,
    agents: Agents,
    ids: Stream,
    /// What happened since the last step, and is not durable yet.
    journal: Vec<Change>,
    next_sweep: Timestamp,
}

/// What one step yields.
#[derive(Debug)]
pub struct Step {
    /// Everything that was written since the last step, in order; must become durable before
    /// anybody is told of it.
    pub journal: Vec<Change>,
    /// When something is to be done even if nothing changes until then.
    pub next_wake: Option<Timestamp>,
    /// Work is left that can be done now.
    pub more: bool,
}

/// What readers see.
#[derive(Clone, Debug)]
pub struct Published {
    pub snapshot: Snapshot,
    pub registry: Arc<Registry>,
}

impl World {
    /// A new cluster with the objects that every cluster begins with.
    pub fn new(seed: u64, now: Timestamp) -> Self {
        Self::restore(Vec::new(), Revision::default(), seed, now)
    }

    /// A cluster from what was durable. `revision` is at least the highest ever handed out; `seed`
    /// must differ from those of earlier lives, or identities would be given out twice.
    pub fn restore(
        objects: Vec<Arc<Object>>,
        revision: Revision,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        Self::resume(Store::restore(objects, revision), seed, now)
    }

    /// The same from a store that knows its past too.
    pub fn resume(store: Store, seed: u64, now: Timestamp) -> Self {
        let parts = (Controllers::live(), Agents::new(seed));
        Self::begin(store, seed, now, parts)
    }

    /// A cluster to rehearse on, as a copy of another one: its machines write only what changes, and
    /// endpoints gather the changes of a second, so that virtual time passes quickly.
    pub fn rehearse(cluster: Cluster, seed: u64, now: Timestamp) -> Self {
        let controllers = Controllers::of(control::rehearsed(), ENDPOINTS_BATCH);
        let parts = (controllers, Agents::quiet(seed));
        Self::begin(Store::of(cluster), seed, now, parts)
    }

    fn begin(
        store: Store,
        seed: u64,
        now: Timestamp,
        (controllers, agents): (Controllers, Agents),
    ) -> Self {
        let registry = Registry::of(store.cluster()).with_pod_log(pod_log::of);
        let mut world = Self {
            store,
            registry: Arc::new(registry),
            controllers,
            scheduler: Scheduler::new(Configuration::default(), seed),
            agents,
            ids: Stream::new(seed, "ids"),
            journal: Vec::new(),
            next_sweep: now,
        };
        world.meet_all();
        let mut context = WriteContext {
            now,
            ids: &mut world.ids,
        };
        let seeded = apiserver::bootstrap::seed(&mut world.store, &world.registry, &mut context);
        assert!(
            seeded.is_ok(),
            "the objects of a new cluster were refused: {seeded:?}"
        );
        world.absorb(now);
        world
    }

    /// What service account tokens are signed with; a cluster that nobody serves needs none.
    pub fn set_token_key(&mut self, key: Arc<TokenKey>) {
        Arc::make_mut(&mut self.registry).set_token_key(key);
    }

    /// Carries out a write at once; its consequences follow with the next steps.
    pub fn handle(&mut self, request: &Request, now: Timestamp) -> Response {
        let mut context = WriteContext {
            now,
            ids: &mut self.ids,
        };
        let response = apiserver::write(&mut self.store, &self.registry, request, &mut context);
        self.absorb(now);
        response
    }

    /// Advances everything that can be advanced now, up to a bound.
    pub fn step(&mut self, now: Timestamp) -> Step {
        let (next_wake, more) = self.advance(now);
        Step {
            journal: std::mem::take(&mut self.journal),
            next_wake,
            more,
        }
    }

    /// Lets the time between pass at once. What is written meanwhile leaves with the next step.
    pub fn pass(&mut self, from: Timestamp, until: Timestamp) {
        let mut now = from;
        while now < until {
            let (next_wake, more) = self.advance(now);
            if !more {
                now = next_wake.unwrap_or(until).max(now);
            }
        }
    }

    /// When to be called again if nothing changes, and whether work is left now.
    fn advance(&mut self, now: Timestamp) -> (Option<Timestamp>, bool) {
        self.reconcile(now);
        self.schedule(now);
        self.run_agents(now);
        if now >= self.next_sweep {
            self.next_sweep = now.saturating_add(SWEEP_EVERY).unwrap_or(Timestamp::MAX);
            apiserver::events::sweep(&mut self.store, now);
            self.absorb(now);
        }
        let wakes = [
            self.controllers.next_wake(),
            self.scheduler.next_wake(),
            self.agents.next_wake(),
            Some(self.next_sweep),
        ];
        let next_wake = wakes.into_iter().flatten().min();
        let more = self.controllers.has_ready(now) || next_wake.is_some_and(|wake| wake <= now);
        (next_wake, more)
    }

    /// The present state for readers. What is in it becomes durable with the next step's journal.
    pub fn published(&self) -> Published {
        Published {
            snapshot: self.store.snapshot(),
            registry: Arc::clone(&self.registry),
        }
    }

    /// Who waits for a node, and why.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    pub fn cluster(&self) -> &Cluster {
        self.store.cluster()
    }

    /// A scheduler that decides by other rules takes over; what waits is tried again by them.
    pub fn set_scheduler(&mut self, configuration: Configuration, seed: u64) {
        self.scheduler = Scheduler::new(configuration, seed);
        let cluster = self.store.snapshot().cluster;
        for change in additions(&cluster) {
            self.scheduler.observe(&change);
        }
    }

    fn reconcile(&mut self, now: Timestamp) {
        for _ in 0..RECONCILES_MAX {
            let Some(job) = self.controllers.next(now) else {
                return;
            };
            let outcome = (job.controller.reconcile)(self.store.cluster(), &job.key, now);
            match self.execute_in_order(outcome.ops, job.controller.name, now) {
                Ok(()) => self.controllers.done(job, outcome.again_at),
                Err(refusal) => {
                    self.tell_refusal(&job, &refusal, now);
                    self.controllers.failed(job, now);
                }
            }
        }
    }

    /// A quota or a rule that stands in a controller's way is told where people look for it; a
    /// conflict is not, it is decided anew.
    fn tell_refusal(&mut self, job: &Job, refusal: &Status, now: Timestamp) {
        if !matches!(refusal.reason, "Forbidden" | "Invalid") {
            return;
        }
        let author = job.controller.name;
        let cluster = self.store.cluster();
        let ops = control::refused(author, cluster, &job.key, &refusal.message, now);
        let _told_again_next_time = self.execute_in_order(ops, author, now);
    }

    fn schedule(&mut self, now: Timestamp) {
        for _ in 0..CYCLES_MAX {
            let Some(cycle) = self.scheduler.next(self.store.cluster(), now) else {
                return;
            };
            let ops = cycle.ops(self.store.cluster(), now);
            // A pod whose binding is refused comes back to the queue by itself.
            let _comes_back = self.execute_in_order(ops, "kube-scheduler", now);
        }
    }

    /// The first refusal ends the run, so that no event tells of what did not happen.
    fn execute_in_order(
        &mut self,
        ops: Vec<Op>,
        author: &str,
        now: Timestamp,
    ) -> Result<(), Status> {
        ops.into_iter()
            .try_for_each(|op| self.execute(op, author, now))
    }

    /// Nobody waits for an agent's ops: a refused one is decided anew at the next look.
    fn run_agents(&mut self, now: Timestamp) {
        for op in self.agents.step(self.store.cluster(), now) {
            let _decided_anew = self.execute(op, "kubelet", now);
        }
    }

    fn execute(&mut self, op: Op, author: &str, now: Timestamp) -> Result<(), Status> {
        let mut context = WriteContext {
            now,
            ids: &mut self.ids,
        };
        let result = apiserver::execute(&mut self.store, &self.registry, op, author, &mut context);
        self.absorb(now);
        result
    }

    /// Tells everybody what was written since the last call.
    fn absorb(&mut self, now: Timestamp) {
        let changes = self.store.take_journal();
        let definitions =
            |change: &Change| change.object.key.resource == resources::CUSTOM_RESOURCE_DEFINITIONS;
        if changes.iter().any(definitions) {
            Arc::make_mut(&mut self.registry).follow(self.store.cluster());
        }
        for change in changes {
            let last = self.journal.last().map(|last| last.object.revision);
            assert!(
                last.is_none_or(|last| last < change.object.revision),
                "revision {} was journalled after {last:?}",
                change.object.revision
            );
            self.observe(&change, now);
            self.journal.push(change);
        }
    }

    fn observe(&mut self, change: &Change, now: Timestamp) {
        let cluster = self.store.cluster();
        self.controllers.observe(cluster, change, now);
        self.scheduler.observe(change);
        self.agents.observe(change);
    }

    /// After a start everything is looked at once, as if it had just been added.
    fn meet_all(&mut self) {
        let cluster = self.store.snapshot().cluster;
        for addition in additions(&cluster) {
            self.controllers.meet(&cluster, &addition);
            self.scheduler.observe(&addition);
            self.agents.observe(&addition);
        }
    }
}

/// Every object as if it had just been added.
fn additions(cluster: &Cluster) -> impl Iterator<Item = Change> {
    let objects = cluster
        .resources()
        .flat_map(|resource| cluster.list(resource));
    objects.map(|object| Change {
        kind: ChangeKind::Added,
        object: Arc::clone(object),
        previous: None,
    })
}

#[cfg(test)]
mod tests;
