//! An assignment with all its sums: moving one process updates them in time that grows with the
//! number of resources, not of machines or processes.

#![expect(
    clippy::indexing_slicing,
    reason = "dense tables by machine, service and resource; the initial assignment was checked"
)]

use super::model::Model;

/// The place of a process that is being moved.
pub(super) const NOWHERE: usize = usize::MAX;

pub(super) struct State<'a> {
    model: &'a Model,
    initial: &'a [usize],
    pub place: Vec<usize>,
    /// Processes by machine, and where in that list each one stands.
    pub members: Vec<Vec<usize>>,
    slots: Vec<usize>,
    /// In use, by machine and resource.
    used: Vec<i64>,
    /// In use, or kept for a process that has left: what capacity is held against.
    held: Vec<i64>,
    machine_costs: Vec<i64>,
    /// Processes by service and machine, location, neighbourhood.
    on_machine: Vec<u32>,
    at_location: Vec<u32>,
    in_neighbourhood: Vec<u32>,
    /// Distinct locations by service.
    locations: Vec<usize>,
    location_count: usize,
    neighbourhood_count: usize,
    needed_by: Vec<Vec<usize>>,
    /// Moved processes by service, how many services have how many, and the most.
    moved: Vec<usize>,
    with_moved: Vec<usize>,
    moved_max: usize,
    pub cost: i64,
}

impl<'a> State<'a> {
    /// The initial assignment must have passed the check.
    pub fn new(model: &'a Model, initial: &'a [usize]) -> Self {
        let machines = model.machines.len();
        let services = model.services.len();
        let count = |place: fn(&super::Machine) -> usize| {
            model
                .machines
                .iter()
                .map(place)
                .max()
                .map_or(0, |most| most + 1)
        };
        let location_count = count(|machine| machine.location);
        let neighbourhood_count = count(|machine| machine.neighbourhood);
        let mut needed_by = vec![Vec::new(); services];
        for (service, data) in model.services.iter().enumerate() {
            for &needed in &data.needs {
                needed_by[needed].push(service);
            }
        }
        let mut with_moved = vec![0; model.processes.len() + 1];
        with_moved[0] = services;
        let mut state = Self {
            model,
            initial,
            place: vec![NOWHERE; initial.len()],
            members: vec![Vec::new(); machines],
            slots: vec![0; initial.len()],
            used: vec![0; machines * model.resources.len()],
            held: vec![0; machines * model.resources.len()],
            machine_costs: vec![0; machines],
            on_machine: vec![0; services * machines],
            at_location: vec![0; services * location_count],
            in_neighbourhood: vec![0; services * neighbourhood_count],
            locations: vec![0; services],
            location_count,
            neighbourhood_count,
            needed_by,
            moved: vec![0; services],
            with_moved,
            moved_max: 0,
            cost: 0,
        };
        for (process, &machine) in initial.iter().enumerate() {
            state.enter(process, machine);
        }
        for machine in 0..machines {
            state.price(machine);
        }
        state
    }

    /// Moves a process, whether the result is allowed or not. It may be [`NOWHERE`] meanwhile, which
    /// counts as moved, at no cost between machines.
    pub fn relocate(&mut self, process: usize, to: usize) {
        let from = self.place[process];
        if from == to {
            return;
        }
        let model = self.model;
        let (start, data) = (self.initial[process], &model.processes[process]);
        if from != NOWHERE {
            self.leave(process);
        }
        self.place[process] = to;
        if to != NOWHERE {
            self.enter(process, to);
        }
        if from == start {
            self.hold(process, start, 1);
            self.count_moved(data.service, true);
            self.cost += model.weights.process * data.move_cost;
        }
        if to == start {
            self.hold(process, start, -1);
            self.count_moved(data.service, false);
            self.cost -= model.weights.process * data.move_cost;
        }
        let way = |to: usize| {
            if to == start || to == NOWHERE {
                0
            } else {
                model.machines[start].move_cost[to]
            }
        };
        self.cost += model.weights.machine * (way(to) - way(from));
        for machine in [from, to] {
            if machine != NOWHERE {
                self.price(machine);
            }
        }
    }

    fn leave(&mut self, process: usize) {
        let machine = self.place[process];
        self.add(process, machine, -1);
        let slot = self.slots[process];
        self.members[machine].swap_remove(slot);
        if let Some(&shifted) = self.members[machine].get(slot) {
            self.slots[shifted] = slot;
        }
        let service = self.model.processes[process].service;
        let data = &self.model.machines[machine];
        self.on_machine[service * self.model.machines.len() + machine] -= 1;
        self.in_neighbourhood[service * self.neighbourhood_count + data.neighbourhood] -= 1;
        let there = &mut self.at_location[service * self.location_count + data.location];
        *there -= 1;
        self.locations[service] -= usize::from(*there == 0);
    }

    fn enter(&mut self, process: usize, machine: usize) {
        self.place[process] = machine;
        self.add(process, machine, 1);
        self.slots[process] = self.members[machine].len();
        self.members[machine].push(process);
        let service = self.model.processes[process].service;
        let data = &self.model.machines[machine];
        self.on_machine[service * self.model.machines.len() + machine] += 1;
        self.in_neighbourhood[service * self.neighbourhood_count + data.neighbourhood] += 1;
        let there = &mut self.at_location[service * self.location_count + data.location];
        *there += 1;
        self.locations[service] += usize::from(*there == 1);
    }

    fn row(&self, machine: usize) -> std::ops::Range<usize> {
        let width = self.model.resources.len();
        machine * width..(machine + 1) * width
    }

    fn add(&mut self, process: usize, machine: usize, sign: i64) {
        let row = self.row(machine);
        let need = &self.model.processes[process].need;
        for (used, need) in self.used[row.clone()].iter_mut().zip(need) {
            *used += sign * need;
        }
        for (held, need) in self.held[row].iter_mut().zip(need) {
            *held += sign * need;
        }
    }

    /// Keeps the transient resources of a process that is not on its first machine.
    fn hold(&mut self, process: usize, machine: usize, sign: i64) {
        let row = self.row(machine);
        let need = self.model.processes[process].need.iter();
        let held = self.held[row].iter_mut();
        for ((held, need), kind) in held.zip(need).zip(&self.model.resources) {
            if kind.is_transient {
                *held += sign * need;
            }
        }
    }

    fn count_moved(&mut self, service: usize, is_more: bool) {
        self.with_moved[self.moved[service]] -= 1;
        if is_more {
            self.moved[service] += 1;
        } else {
            self.moved[service] -= 1;
        }
        self.with_moved[self.moved[service]] += 1;
        let before = self.moved_max;
        self.moved_max = before.max(self.moved[service]);
        while self.moved_max > 0 && self.with_moved[self.moved_max] == 0 {
            self.moved_max -= 1;
        }
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.cost += self.model.weights.service * (signed(self.moved_max) - signed(before));
    }

    /// Brings the machine's share of the cost up to date.
    fn price(&mut self, machine: usize) {
        let data = &self.model.machines[machine];
        let used = &self.used[self.row(machine)];
        let mut price = 0;
        for ((kind, used), safe) in self.model.resources.iter().zip(used).zip(&data.safe) {
            price += kind.load_weight * (used - safe).max(0);
        }
        for balance in &self.model.balances {
            let free = |resource: usize| data.capacity[resource] - used[resource];
            price +=
                balance.weight * (balance.target * free(balance.of) - free(balance.against)).max(0);
        }
        self.cost += price - self.machine_costs[machine];
        self.machine_costs[machine] = price;
    }

    /// Whether the machine could take the process on, if `leaving` went; services aside.
    pub fn has_room(&self, process: usize, machine: usize, leaving: Option<usize>) -> bool {
        let model = self.model;
        let service = model.processes[process].service;
        let same = leaving.is_some_and(|leaving| model.processes[leaving].service == service);
        if !same && self.on_machine[service * model.machines.len() + machine] > 0 {
            return false;
        }
        let comes_back = self.initial[process] == machine;
        let held = &self.held[self.row(machine)];
        let capacity = &model.machines[machine].capacity;
        let need = &model.processes[process].need;
        let rows = held
            .iter()
            .zip(capacity)
            .zip(need.iter().zip(&model.resources));
        rows.enumerate()
            .all(|(resource, ((held, capacity), (need, kind)))| {
                let need = if comes_back && kind.is_transient {
                    0
                } else {
                    *need
                };
                let freed = leaving
                    .filter(|&leaving| !(kind.is_transient && self.initial[leaving] == machine))
                    .map_or(0, |leaving| model.processes[leaving].need[resource]);
                held + need - freed <= *capacity
            })
    }

    /// Whether the process's service can still be well with it here, once the rest has a place too.
    pub fn may_stand(&self, process: usize, machine: usize, rest: &[usize]) -> bool {
        let model = self.model;
        let service = model.processes[process].service;
        let spread_min = model.services[service].spread_min;
        let runs = |service: usize| {
            let neighbourhood = model.machines[machine].neighbourhood;
            self.in_neighbourhood[service * self.neighbourhood_count + neighbourhood] > 0
        };
        let comes = |service: usize| {
            let left = rest.iter();
            left.filter(|&&other| model.processes[other].service == service)
                .count()
        };
        (self.locations[service] >= spread_min
            || self.locations[service] + comes(service) >= spread_min)
            && model.services[service]
                .needs
                .iter()
                .all(|&needed| runs(needed) || comes(needed) > 0)
    }

    /// Whether the services of these processes are allowed to be where they are, after moves between
    /// these machines.
    pub fn are_services_well(&self, processes: &[usize], machines: &[usize]) -> bool {
        processes.iter().all(|&process| {
            let service = self.model.processes[process].service;
            self.locations[service] >= self.model.services[service].spread_min
                && machines.iter().all(|&machine| {
                    self.is_needed_met(service, self.model.machines[machine].neighbourhood)
                })
        })
    }

    fn is_needed_met(&self, service: usize, neighbourhood: usize) -> bool {
        let runs = |service: usize| {
            self.in_neighbourhood[service * self.neighbourhood_count + neighbourhood] > 0
        };
        if runs(service) {
            self.model.services[service]
                .needs
                .iter()
                .all(|&needed| runs(needed))
        } else {
            !self.needed_by[service].iter().any(|&other| runs(other))
        }
    }
}
