//! Constraints and cost of an assignment from scratch: no bookkeeping of the search is read here.

#![expect(
    clippy::indexing_slicing,
    reason = "tables over the model's own numbers, whose ranges parsing and the first checks hold"
)]

use std::collections::BTreeSet;

use thiserror::Error;

use super::model::{Machine, Model};

/// The first hard constraint that an assignment breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Violation {
    #[error("{0} processes are assigned, the model has {1}")]
    Length(usize, usize),
    #[error("process {0} is on machine {1}, which does not exist")]
    Machine(usize, usize),
    #[error("machine {machine} holds {held} of {capacity} of resource {resource}")]
    Capacity {
        machine: usize,
        resource: usize,
        held: i64,
        capacity: i64,
    },
    #[error("machine {machine} runs two processes of service {service}")]
    Conflict { machine: usize, service: usize },
    #[error("service {service} is in {found} locations, not in {wanted}")]
    Spread {
        service: usize,
        found: usize,
        wanted: usize,
    },
    #[error("service {service} runs in neighbourhood {neighbourhood} without service {needed}")]
    Dependency {
        service: usize,
        neighbourhood: usize,
        needed: usize,
    },
}

/// The weighted parts of the cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    pub load: i64,
    pub balance: i64,
    pub process_moves: i64,
    pub service_moves: i64,
    pub machine_moves: i64,
}

impl Cost {
    pub fn total(self) -> i64 {
        self.load + self.balance + self.process_moves + self.service_moves + self.machine_moves
    }
}

/// The cost of going from one assignment to another, if that may be.
pub fn check(model: &Model, from: &[usize], to: &[usize]) -> Result<Cost, Violation> {
    for assignment in [from, to] {
        if assignment.len() != model.processes.len() {
            return Err(Violation::Length(assignment.len(), model.processes.len()));
        }
        let outside = assignment
            .iter()
            .position(|&machine| machine >= model.machines.len());
        if let Some(process) = outside {
            return Err(Violation::Machine(process, assignment[process]));
        }
    }
    check_capacity(model, from, to)?;
    check_services(model, to)?;
    Ok(cost(model, from, to))
}

fn check_capacity(model: &Model, from: &[usize], to: &[usize]) -> Result<(), Violation> {
    for (number, machine) in model.machines.iter().enumerate() {
        for (resource, kind) in model.resources.iter().enumerate() {
            let mut held = 0;
            for (process, data) in model.processes.iter().enumerate() {
                let is_here = to[process] == number;
                let was_here = kind.is_transient && from[process] == number;
                if is_here || was_here {
                    held += data.need[resource];
                }
            }
            let capacity = machine.capacity[resource];
            if held > capacity {
                return Err(Violation::Capacity {
                    machine: number,
                    resource,
                    held,
                    capacity,
                });
            }
        }
    }
    Ok(())
}

fn check_services(model: &Model, to: &[usize]) -> Result<(), Violation> {
    let mut machines = vec![BTreeSet::new(); model.services.len()];
    for (process, data) in model.processes.iter().enumerate() {
        if !machines[data.service].insert(to[process]) {
            return Err(Violation::Conflict {
                machine: to[process],
                service: data.service,
            });
        }
    }
    let places = |service: usize, place: fn(&Machine) -> usize| -> BTreeSet<usize> {
        let machines: &BTreeSet<usize> = &machines[service];
        machines
            .iter()
            .map(|&machine| place(&model.machines[machine]))
            .collect()
    };
    for (service, data) in model.services.iter().enumerate() {
        let found = places(service, |machine| machine.location).len();
        if found < data.spread_min {
            return Err(Violation::Spread {
                service,
                found,
                wanted: data.spread_min,
            });
        }
        let neighbourhoods = places(service, |machine| machine.neighbourhood);
        for &needed in &data.needs {
            let there = places(needed, |machine| machine.neighbourhood);
            if let Some(&neighbourhood) = neighbourhoods.difference(&there).next() {
                return Err(Violation::Dependency {
                    service,
                    neighbourhood,
                    needed,
                });
            }
        }
    }
    Ok(())
}

fn cost(model: &Model, from: &[usize], to: &[usize]) -> Cost {
    let mut cost = Cost::default();
    for (number, machine) in model.machines.iter().enumerate() {
        let mut free = machine.capacity.clone();
        for (process, data) in model.processes.iter().enumerate() {
            if to[process] == number {
                for (free, need) in free.iter_mut().zip(&data.need) {
                    *free -= need;
                }
            }
        }
        for (resource, kind) in model.resources.iter().enumerate() {
            let used = machine.capacity[resource] - free[resource];
            cost.load += kind.load_weight * (used - machine.safe[resource]).max(0);
        }
        for balance in &model.balances {
            let lacking = balance.target * free[balance.of] - free[balance.against];
            cost.balance += balance.weight * lacking.max(0);
        }
    }
    let mut moved = vec![0; model.services.len()];
    for (process, data) in model.processes.iter().enumerate() {
        if from[process] != to[process] {
            cost.process_moves += data.move_cost;
            moved[data.service] += 1;
            cost.machine_moves += model.machines[from[process]].move_cost[to[process]];
        }
    }
    cost.process_moves *= model.weights.process;
    cost.machine_moves *= model.weights.machine;
    cost.service_moves = model.weights.service * moved.into_iter().max().unwrap_or(0);
    cost
}

/// What every assignment costs at least: load and imbalance if all machines were one.
pub fn lower_bound(model: &Model) -> i64 {
    let total = |value: &dyn Fn(&Machine) -> i64| -> i64 { model.machines.iter().map(value).sum() };
    let needed = |resource: usize| -> i64 {
        let needs = model.processes.iter().map(|process| process.need[resource]);
        needs.sum()
    };
    let load = model.resources.iter().enumerate().map(|(resource, kind)| {
        let safe = total(&|machine| machine.safe[resource]);
        kind.load_weight * (needed(resource) - safe).max(0)
    });
    let balance = model.balances.iter().map(|balance| {
        let free =
            |resource: usize| total(&|machine| machine.capacity[resource]) - needed(resource);
        balance.weight * (balance.target * free(balance.of) - free(balance.against)).max(0)
    });
    load.sum::<i64>() + balance.sum::<i64>()
}
