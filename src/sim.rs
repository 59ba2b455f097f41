//! Whole clusters in virtual time under a seed: workload, faults, invariants.
//!
//! A [`Simulation`] drives a [`crate::plane::World`] from wake to wake. Phase one throws faults at it
//! and holds the safety invariants after every step ([`invariants`]); phase two takes the faults
//! away and demands that the cluster converges ([`liveness`]). Everything follows from the seed: the
//! same seed gives the same end state to the byte, and a [`Violation`] names the seed, the step and
//! what to run to see it again.

pub mod fault;
mod invariants;
mod liveness;
mod requests;
mod workload;

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::k8s::{Object, Revision, resources};
use crate::plane::World;
use crate::stdx::rng::Stream;
use fault::Fault;
use invariants::Invariants;

/// Where every simulation begins in time.
const START_SECOND: i64 = 1_800_000_000;
/// A world that works on without time passing has lost its way.
const STEPS_AT_ONCE: usize = 20_000;

/// A cluster in virtual time.
#[derive(Clone)]
pub struct Simulation {
    seed: u64,
    world: World,
    now: Timestamp,
    step: u64,
    /// How often the world was restored from what was durable.
    lives: u64,
    chance: Stream,
    invariants: Invariants,
    /// The faults so far, for the report of a violation.
    history: Vec<(u64, Fault)>,
}

/// Something that must never be, or that should have come to be by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub seed: u64,
    pub step: u64,
    pub at: Timestamp,
    pub what: String,
    /// The last faults before it, with the step at which each was thrown.
    pub faults: Vec<(u64, Fault)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, step {}, {}: {}",
            self.seed, self.step, self.at, self.what
        )?;
        for (step, fault) in &self.faults {
            writeln!(f, "  step {step}: {fault}")?;
        }
        write!(
            f,
            "replay: BAYPLAN_SIM_SEED={} cargo test --test sim replay -- --nocapture",
            self.seed
        )
    }
}

impl std::error::Error for Violation {}

impl Simulation {
    /// A small fleet with its workload, before its first step.
    pub fn new(seed: u64) -> Self {
        let now = Timestamp::from_second(START_SECOND).unwrap_or_default();
        let mut simulation = Self {
            seed,
            world: World::new(seed, now),
            now,
            step: 0,
            lives: 0,
            chance: Stream::new(seed, "faults"),
            invariants: Invariants::default(),
            history: Vec::new(),
        };
        simulation.create_fleet();
        simulation.create_workload();
        simulation
    }

    /// Phase one: settle, then so many faults with time between them.
    pub fn trouble(&mut self, faults: usize) -> Result<(), Violation> {
        self.run(SignedDuration::from_secs(90))?;
        for _ in 0..faults {
            let fault = Fault::draw(self.world.cluster(), &mut self.chance);
            self.history.push((self.step, fault.clone()));
            self.throw(&fault)?;
            let pause = match self.chance.below(10) {
                0..=5 => self.chance.below(5_000),
                6..=8 => self.chance.below(40_000),
                _ => self.chance.below(400_000),
            };
            let pause = i64::try_from(pause).unwrap_or_default();
            self.run(SignedDuration::from_millis(pause))?;
        }
        Ok(())
    }

    /// Phase two: the faults end, and all must be well within a bound.
    pub fn converge(&mut self) -> Result<(), Violation> {
        self.end_faults();
        let bound = SignedDuration::from_mins(15);
        let deadline = self.now + bound;
        loop {
            self.run(SignedDuration::from_secs(30))?;
            let missing = liveness::missing(self.world.cluster());
            let Some(first) = missing.first() else {
                return Ok(());
            };
            if self.now >= deadline {
                let more = missing.len() - 1;
                return Err(self.violation(format!(
                    "15 minutes after the last fault: {first} (and {more} more)"
                )));
            }
        }
    }

    /// Lets virtual time pass.
    pub fn run(&mut self, length: SignedDuration) -> Result<(), Violation> {
        let end = self.now + length;
        let mut at_once = 0;
        loop {
            let step = self.world.step(self.now);
            self.step += 1;
            let broken =
                self.invariants
                    .check(&step.journal, self.world.cluster(), self.now, !step.more);
            if let Some(what) = broken {
                return Err(self.violation(what));
            }
            if step.more {
                at_once += 1;
                if at_once > STEPS_AT_ONCE {
                    return Err(self.violation("the world does not come to rest".to_owned()));
                }
                continue;
            }
            at_once = 0;
            let wake = step.next_wake.unwrap_or(end);
            if wake > end {
                self.now = end;
                return Ok(());
            }
            self.now = wake.max(self.now);
        }
    }

    /// The end state: every object's bytes in key order, and the revision.
    pub fn state(&self) -> Vec<u8> {
        let cluster = self.world.cluster();
        let mut bytes = cluster.revision().to_string().into_bytes();
        for resource in cluster.resources() {
            for object in cluster.list(resource) {
                bytes.push(b'\n');
                bytes.extend_from_slice(&object.bytes());
            }
        }
        bytes
    }

    /// How many steps the world took.
    pub fn steps(&self) -> u64 {
        self.step
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// The process ends and starts again: what was durable is read back, leases are not.
    fn restart(&mut self) {
        self.lives += 1;
        let cluster = self.world.cluster();
        let objects: Vec<Arc<Object>> = cluster
            .resources()
            .flat_map(|resource| cluster.list(resource))
            .filter(|object| object.key.resource != resources::LEASES)
            .cloned()
            .collect();
        let revision = Revision(cluster.revision().0 + 1_000);
        let seed = self.seed ^ (self.lives << 32);
        self.world = World::restore(objects, revision, seed, self.now);
    }

    fn violation(&self, what: String) -> Violation {
        let from = self.history.len().saturating_sub(8);
        Violation {
            seed: self.seed,
            step: self.step,
            at: self.now,
            what,
            faults: self.history.get(from..).unwrap_or_default().to_vec(),
        }
    }
}
