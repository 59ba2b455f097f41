//! Simulated annealing over moves that keep every hard constraint, cooled several times from the
//! best assignment so far.
//!
//! Kinds of moves: a process shifts to another machine; two processes swap; a process shifts
//! and one of those it meets goes on to a third machine, which reaches assignments that shifts
//! cannot when machines are full; and, where even that finds nothing, a few machines give
//! several processes away that come back one by one to where each costs least.

#![expect(
    clippy::indexing_slicing,
    reason = "process and machine numbers below their counts"
)]

use super::check::{Violation, check};
use super::model::Model;
use super::state::{NOWHERE, State};
use crate::stdx::rng::Stream;

/// The caller's deadline is asked for every so many proposals.
const ASK_EVERY: u64 = 4096;
/// Proposals from which the first temperature is taken.
const SAMPLES: usize = 4000;
/// One proposal in so many rebuilds a few machines; it costs as much as a hundred others.
const REBUILD_EVERY: usize = 48;
/// Machines that processes come back to; the first few of them are those that lost some.
const REBUILT_MACHINES: usize = 8;
/// Processes taken off at once.
const REBUILT_PROCESSES: usize = 12;
/// A machine is overlooked once in so many times: the cheapest for one may be the dearest for all.
const BLINK_EVERY: usize = 12;

/// What a search may spend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    pub seed: u64,
    /// Proposed moves, over all rounds.
    pub steps: u64,
    /// Times of cooling down.
    pub rounds: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 100_000_000,
            rounds: 3,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Improved {
    /// The machine of each process.
    pub assignment: Vec<usize>,
    pub cost: i64,
    pub cost_before: i64,
    /// Proposed moves.
    pub steps: u64,
}

/// Looks for a cheaper assignment. Refuses an initial one that is not allowed.
pub fn improve(
    model: &Model,
    initial: &[usize],
    effort: Effort,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Improved, Violation> {
    let cost_before = check(model, initial, initial)?.total();
    let mut best = Improved {
        assignment: initial.to_vec(),
        cost: cost_before,
        cost_before,
        steps: 0,
    };
    if model.processes.is_empty() || model.machines.len() < 2 {
        return Ok(best);
    }
    let mut search = Search {
        state: State::new(model, initial),
        sizes: sizes(model),
        stream: Stream::new(effort.seed, "reassignment"),
    };
    let hot = search.typical_change();
    let steps = effort.steps / u64::from(effort.rounds.max(1));
    for round in 0..effort.rounds {
        search.reset(&best.assignment);
        // Later rounds start cooler: they are to mend the best, not to forget it.
        let first = hot * 0.1_f64.powi(i32::try_from(round).unwrap_or(0));
        let last = (hot * 1e-6).max(0.2).min(first);
        let mut temperature = first;
        for step in 0..steps {
            if step.is_multiple_of(ASK_EVERY) {
                if !go_on() {
                    return Ok(best);
                }
                let progress = step as f64 / steps as f64;
                temperature = first * (last / first).powf(progress);
            }
            best.steps += 1;
            if search.propose(temperature) && search.state.cost < best.cost {
                best.cost = search.state.cost;
                best.assignment.clone_from(&search.state.place);
            }
        }
    }
    Ok(best)
}

fn sizes(model: &Model) -> Vec<f64> {
    let whole: Vec<f64> = (0..model.resources.len())
        .map(|resource| {
            let capacities = model
                .machines
                .iter()
                .map(|machine| machine.capacity[resource]);
            (capacities.sum::<i64>() as f64).max(1.0)
        })
        .collect();
    let size = |need: &[i64]| -> f64 {
        let shares = need.iter().zip(&whole);
        shares.map(|(need, whole)| *need as f64 / whole).sum()
    };
    model
        .processes
        .iter()
        .map(|process| size(&process.need))
        .collect()
}

/// One or two processes with the machines that they go to.
type Moves = [Option<(usize, usize)>; 2];

struct Search<'a> {
    state: State<'a>,
    /// By process: the sum of its shares of all machines.
    sizes: Vec<f64>,
    stream: Stream,
}

impl Search<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.stream.below(bound as u64)).unwrap_or(0)
    }

    fn reset(&mut self, assignment: &[usize]) {
        for (process, &machine) in assignment.iter().enumerate() {
            self.state.relocate(process, machine);
        }
    }

    /// The mean rise of the cost over random moves that make it rise.
    fn typical_change(&mut self) -> f64 {
        let before = self.state.place.clone();
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..SAMPLES {
            let cost = self.state.cost;
            if self.propose(f64::INFINITY) && self.state.cost > cost {
                sum += (self.state.cost - cost) as f64;
                count += 1.0;
            }
        }
        self.reset(&before);
        if count > 0.0 { 0.1 * sum / count } else { 1.0 }
    }

    /// Tries one random move; true if it was made.
    fn propose(&mut self, temperature: f64) -> bool {
        if self.below(REBUILD_EVERY) == 0 {
            return self.rebuild(temperature);
        }
        let process = self.below(self.state.place.len());
        let from = self.state.place[process];
        let to = self.below(self.state.members.len());
        if from == to {
            return false;
        }
        let kind = self.below(16);
        if kind < 6 || self.state.members[to].is_empty() {
            return self.state.has_room(process, to, None)
                && self.attempt([Some((process, to)), None], temperature);
        }
        let index = self.below(self.state.members[to].len());
        let other = self.state.members[to][index];
        let third = if kind < 14 {
            from
        } else {
            self.below(self.state.members.len())
        };
        if third == to || !self.state.has_room(process, to, Some(other)) {
            return false;
        }
        let leaving = (third == from).then_some(process);
        self.state.has_room(other, third, leaving)
            && self.attempt([Some((process, to)), Some((other, third))], temperature)
    }

    /// Makes the moves, and takes them back if they are not allowed or too dear.
    fn attempt(&mut self, moves: Moves, temperature: f64) -> bool {
        let cost = self.state.cost;
        let mut machines = [0; 4];
        let mut processes = [0; 2];
        let mut count = 0;
        for (process, to) in moves.into_iter().flatten() {
            machines[2 * count] = self.state.place[process];
            machines[2 * count + 1] = to;
            processes[count] = process;
            count += 1;
            self.state.relocate(process, to);
        }
        let rise = (self.state.cost - cost) as f64;
        let is_kept = self.accepts(rise, temperature)
            && self
                .state
                .are_services_well(&processes[..count], &machines[..2 * count]);
        if !is_kept {
            for place in (0..count).rev() {
                self.state.relocate(processes[place], machines[2 * place]);
            }
        }
        is_kept
    }

    /// Takes some processes off a few machines and puts them back where each costs least.
    fn rebuild(&mut self, temperature: f64) -> bool {
        let cost = self.state.cost;
        let mut machines = [0; REBUILT_MACHINES];
        for machine in &mut machines {
            *machine = self.below(self.state.members.len());
        }
        let mut taken: Vec<(usize, usize)> = Vec::with_capacity(REBUILT_PROCESSES);
        let emptied = 2 + self.below(3);
        for &machine in &machines[..emptied] {
            for _ in 0..=self.below(REBUILT_PROCESSES / emptied) {
                if self.state.members[machine].is_empty() {
                    break;
                }
                let index = self.below(self.state.members[machine].len());
                let process = self.state.members[machine][index];
                taken.push((process, machine));
                self.state.relocate(process, NOWHERE);
            }
        }
        let mut order: Vec<usize> = taken.iter().map(|(process, _)| *process).collect();
        let sizes = &self.sizes;
        order.sort_by(|&one, &other| sizes[other].total_cmp(&sizes[one]));
        if self.below(4) == 0 && order.len() > 1 {
            let (one, other) = (self.below(order.len()), self.below(order.len()));
            order.swap(one, other);
        }
        let is_whole =
            (0..order.len()).all(|next| self.put_back(order[next], &machines, &order[next + 1..]));
        let processes: Vec<usize> = order;
        let rise = (self.state.cost - cost) as f64;
        let is_kept = is_whole
            && self.accepts(rise, temperature)
            && self.are_rebuilt_well(&processes, &taken, &machines);
        if !is_kept {
            for &(process, _) in &taken {
                self.state.relocate(process, NOWHERE);
            }
            for &(process, machine) in &taken {
                self.state.relocate(process, machine);
            }
        }
        is_kept
    }

    fn are_rebuilt_well(
        &self,
        processes: &[usize],
        taken: &[(usize, usize)],
        machines: &[usize],
    ) -> bool {
        let is_moved = |process: &usize| {
            let before = taken.iter().find(|(taken, _)| taken == process);
            before.is_some_and(|(_, machine)| self.state.place[*process] != *machine)
        };
        let moved: Vec<usize> = processes.iter().copied().filter(is_moved).collect();
        !moved.is_empty() && self.state.are_services_well(&moved, machines)
    }

    /// Puts the process on the machine of these where the cost rises least.
    fn put_back(&mut self, process: usize, machines: &[usize], rest: &[usize]) -> bool {
        let mut best: Option<(i64, usize)> = None;
        for &machine in machines {
            if self.below(BLINK_EVERY) == 0 || !self.state.has_room(process, machine, None) {
                continue;
            }
            self.state.relocate(process, machine);
            let cost = self.state.cost;
            let may_stand = self.state.may_stand(process, machine, rest);
            self.state.relocate(process, NOWHERE);
            if may_stand && best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, machine));
            }
        }
        if let Some((_, machine)) = best {
            self.state.relocate(process, machine);
        }
        best.is_some()
    }

    fn accepts(&mut self, rise: f64, temperature: f64) -> bool {
        if rise <= 0.0 {
            return true;
        }
        let chance = (self.stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        chance < (-rise / temperature).exp()
    }
}
