//! Vector bin packing: items with a size in each of several dimensions, equal bins, as few of them as
//! possible.
//!
//! [`fewest`] builds packings by many greedy rules ([`construct`]), then takes one bin away after the
//! other and searches for a home for its items by guided ejections ([`ejection`]), until the lower
//! bound ([`bounds`]) is met or the budget of steps is spent. It may be stopped at any time and then
//! answers with the best packing so far.

pub mod bounds;
pub mod construct;
pub mod ejection;
pub mod instance;

pub use instance::{Instance, InstanceError, Packing, check};

use crate::stdx::rng::Stream;
use instance::Grid;

/// What a search may spend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    pub seed: u64,
    /// Ejections tried for each bin that is to be emptied.
    pub steps: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 50_000,
        }
    }
}

/// A packing with the proof of how good it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fewest {
    pub packing: Packing,
    /// No packing has fewer bins.
    pub bound: usize,
    /// Bins of the best greedy packing.
    pub greedy: usize,
    /// Ejections tried.
    pub steps: u64,
}

impl Fewest {
    pub fn is_proven(&self) -> bool {
        self.packing.bins.len() == self.bound
    }
}

/// Packs the items in as few bins as it finds. `go_on` is asked now and then; when it says no, the
/// best packing so far is the answer.
pub fn fewest(instance: &Instance, effort: Effort, go_on: &mut dyn FnMut() -> bool) -> Fewest {
    match instance.dimensions() {
        0 | 1 => search::<1>(instance, effort, go_on),
        2 => search::<2>(instance, effort, go_on),
        3 => search::<3>(instance, effort, go_on),
        4 => search::<4>(instance, effort, go_on),
        5 | 6 => search::<6>(instance, effort, go_on),
        7 | 8 => search::<8>(instance, effort, go_on),
        9 | 10 => search::<10>(instance, effort, go_on),
        _ => search::<{ instance::DIMENSIONS_MAX }>(instance, effort, go_on),
    }
}

fn search<const WIDTH: usize>(
    instance: &Instance,
    effort: Effort,
    go_on: &mut dyn FnMut() -> bool,
) -> Fewest {
    let grid = Grid::<WIDTH>::of(instance);
    let bound = bounds::lower(instance);
    let mut best = construct::best(&grid, bound);
    let greedy = best.bins.len();
    let mut stream = Stream::new(effort.seed, "vector packing");
    let mut steps = 0;
    while best.bins.len() > bound && go_on() {
        let mut budget = ejection::Budget {
            steps: effort.steps,
            go_on: &mut *go_on,
        };
        let found = ejection::without_one_bin(&grid, &best, &mut budget, &mut stream);
        steps += effort.steps - budget.steps;
        match found {
            Some(packing) => best = packing,
            None => break,
        }
    }
    Fewest {
        packing: best,
        bound,
        greedy,
        steps,
    }
}

#[cfg(test)]
mod tests;
