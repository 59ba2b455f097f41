//! A fork: a world of its own in virtual time, and what was done in it.

mod act;
mod drain;
mod find;
mod live;
mod rebalance;
mod stride;

use jiff::{SignedDuration, Timestamp};

use super::intake;
use super::ledger::Ledger;
use super::need::Need;
use super::outcome::{Effects, Outcome, Picture, StepOutcome};
use super::picture;
use super::step::Step;
use crate::k8s::{Change, Cluster, Name};
use crate::plane::{Published, World};

pub use find::StepRefused;
pub use live::{Taken, short_kind};

/// Nothing due within this long: settled. It covers the forty seconds after which a machine counts
/// as lost and the five minutes for which pods tolerate that.
const HORIZON: SignedDuration = SignedDuration::from_mins(6);
/// What has not settled by then is told as it is.
const BOUND: SignedDuration = SignedDuration::from_mins(60);
/// A world that works on without time passing has lost its way.
const STEPS_AT_ONCE: usize = 2_000_000;

/// How to fork.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is forked, for people.
    pub source: String,
    pub seed: u64,
    /// Where virtual time begins.
    pub now: Timestamp,
}

/// A rehearsal under way. A clone goes its own way.
#[derive(Clone)]
pub struct Fork {
    options: Options,
    world: World,
    now: Timestamp,
    ledger: Ledger,
    steps: Vec<StepOutcome>,
    before: Picture,
    empty_before: Vec<Name>,
    not_modelled: Vec<String>,
    /// The last time at which something happened that matters.
    last: Timestamp,
    /// When something is due next, as of the last look.
    due: Option<Timestamp>,
    /// What somebody who works in the fork has begun, and what they did before: see [`live`].
    under: Option<live::Under>,
    taken: Vec<Taken>,
    /// How many steps of the world its first look at everything may still take; none once it was
    /// had, and stock was taken.
    looks_left: usize,
}

impl Fork {
    /// Forks a cluster. Its controllers and its scheduler have looked at everything once when this
    /// returns; what they did at once belongs to the fork and to no step.
    ///
    /// `not_modelled` is what its reader already knows to be missing.
    pub fn of(cluster: &Cluster, options: Options, not_modelled: Vec<String>) -> Self {
        let mut fork = Self::begun(cluster, options, not_modelled);
        fork.make_ready();
        fork
    }

    /// The same before anybody has looked: it can be read, and time stands still. [`Fork::look`]
    /// makes it ready in portions; whatever is done before that makes it ready first.
    pub fn begun(cluster: &Cluster, options: Options, mut not_modelled: Vec<String>) -> Self {
        let taken = intake::of(cluster, options.seed, options.now);
        not_modelled.extend(taken.not_modelled);
        let now = options.now;
        Self {
            world: World::rehearse(taken.cluster, options.seed, now),
            ledger: Ledger::of(&Cluster::default(), now),
            options,
            now,
            steps: Vec::new(),
            before: Picture::default(),
            empty_before: Vec::new(),
            not_modelled,
            last: now,
            due: None,
            under: None,
            taken: Vec::new(),
            looks_left: STEPS_AT_ONCE,
        }
    }

    /// Whether its controllers and its scheduler have looked at everything once.
    pub fn is_ready(&self) -> bool {
        self.looks_left == 0
    }

    /// A portion of their first look; `Some` once it is over.
    pub fn look(&mut self) -> Option<()> {
        if self.is_ready() {
            return Some(());
        }
        let more = self.world.step(self.now).more;
        self.looks_left = if more { self.looks_left - 1 } else { 0 };
        if !self.is_ready() {
            return None;
        }
        (self.before, self.empty_before) = picture::of(self.world.cluster());
        self.ledger = Ledger::of(self.world.cluster(), self.now);
        Some(())
    }

    fn make_ready(&mut self) {
        while self.look().is_none() {}
    }

    pub fn cluster(&self) -> &Cluster {
        self.world.cluster()
    }

    /// What readers of the fork's API see.
    pub fn published(&self) -> Published {
        self.world.published()
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When something is due next.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn steps(&self) -> &[StepOutcome] {
        &self.steps
    }

    /// Takes a step and lets the world run until it has settled.
    pub fn take(&mut self, step: &Step) -> Result<&StepOutcome, StepRefused> {
        self.make_ready();
        let began = self.now;
        self.last = began;
        let notes = self.act(step)?;
        let settled = match step {
            Step::Wait(length) => {
                self.run_until(began + *length);
                true
            }
            _ => self.settle(began + BOUND),
        };
        self.taken.push(Taken::of(step));
        Ok(self.record(step.to_string(), began, notes, settled))
    }

    fn record(
        &mut self,
        step: String,
        began: Timestamp,
        notes: Vec<String>,
        settled: bool,
    ) -> &StepOutcome {
        let effects = self.ledger.close(self.world.cluster(), self.now);
        let (after, _) = picture::of(self.world.cluster());
        let outcome = StepOutcome {
            step,
            began_s: self.after_fork(began),
            took_s: seconds_between(began, self.last),
            settled,
            notes,
            effects,
            after,
        };
        self.steps.push(outcome);
        let last = self.steps.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was pushed the line before")]
        &self.steps[last]
    }

    /// Everything so far. `grace_s`: what recovers within so many seconds did not fall.
    pub fn outcome(&self, grace_s: u64) -> Outcome {
        let total = Effects::total(&self.steps);
        let (after, empty) = picture::of(self.world.cluster());
        let emptied = empty
            .into_iter()
            .filter(|node| self.empty_before.binary_search(node).is_err())
            .filter(|node| self.had_been_there(node))
            .collect();
        Outcome {
            source: self.options.source.clone(),
            forked_at: self.options.now,
            seed: self.options.seed,
            seconds: self.after_fork(self.now),
            falls_below_target: total
                .workloads
                .iter()
                .any(|effect| !effect.is_within(grace_s)),
            steps: self.steps.clone(),
            total,
            before: self.before.clone(),
            after,
            emptied,
            need: None,
            not_modelled: self.not_modelled.clone(),
        }
    }

    /// How few machines the workload needs as things stand in the fork.
    pub fn need(&self, empty_dirs: bool) -> Need {
        Need::of(
            self.world.scheduler().snapshot(),
            self.options.seed,
            empty_dirs,
        )
    }

    /// A machine that the rehearsal added was never emptied.
    fn had_been_there(&self, node: &str) -> bool {
        let object = self.cluster().find(&crate::k8s::resources::NODES, "", node);
        let created = object.and_then(|node| node.created);
        created.is_none_or(|created| created < self.options.now)
    }

    fn after_fork(&self, at: Timestamp) -> u64 {
        seconds_between(self.options.now, at)
    }

    /// Lets virtual time pass until nothing is due within the horizon, at most until `bound`; says
    /// whether it settled.
    fn settle(&mut self, bound: Timestamp) -> bool {
        loop {
            let end = (self.last + HORIZON).min(bound);
            let is_over = !self.advance(end);
            // What the last look brought about may be waited for in turn.
            if is_over && end == (self.last + HORIZON).min(bound) {
                return end < bound;
            }
        }
    }

    /// Runs to `end` exactly.
    pub fn run_until(&mut self, end: Timestamp) {
        while self.advance(end) {}
        self.stand_at(end);
    }

    /// Nothing is due before `end`: it is `end` now.
    pub fn stand_at(&mut self, end: Timestamp) {
        self.now = self.now.max(end);
    }

    /// One step of the world, and time up to the next thing that is due; false where that is not
    /// before `end`. Until it is ready time stands still.
    pub fn advance(&mut self, end: Timestamp) -> bool {
        if self.look().is_none() {
            return true;
        }
        let mut at_once = 0;
        loop {
            let step = self.world.step(self.now);
            self.observe(&step.journal);
            at_once += 1;
            if !step.more || at_once > STEPS_AT_ONCE {
                self.due = step.next_wake;
                let wake = step.next_wake.unwrap_or(end).max(self.now);
                if wake >= end {
                    return false;
                }
                self.now = wake;
                return true;
            }
        }
    }

    fn observe(&mut self, journal: &[Change]) {
        let cluster = self.world.cluster();
        if self.ledger.observe(journal, cluster, self.now) {
            self.last = self.now;
        }
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or_default()
}
