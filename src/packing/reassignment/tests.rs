//! The search against the check, and against the optimum of models small enough to enumerate.

use super::{
    Balance, Effort, Machine, Model, MoveWeights, Process, Resource, Service, Violation, check,
    improve, lower_bound,
};
use crate::stdx::rng::Stream;

const EFFORT: Effort = Effort {
    seed: 1,
    steps: 60_000,
    rounds: 3,
};

/// A model with every kind of constraint and cost, and an assignment that satisfies it.
fn random(seed: u64, machines: usize, processes: usize) -> (Model, Vec<usize>) {
    let mut stream = Stream::new(seed, "model");
    for _ in 0..500 {
        let model = draw(&mut stream, machines, processes);
        let pick = |stream: &mut Stream| usize::try_from(stream.below(machines as u64)).unwrap();
        let initial: Vec<usize> = (0..processes).map(|_| pick(&mut stream)).collect();
        if check(&model, &initial, &initial).is_ok() {
            return (model, initial);
        }
    }
    panic!("seed {seed}: no feasible assignment drawn");
}

fn draw(stream: &mut Stream, machines: usize, processes: usize) -> Model {
    let number = |stream: &mut Stream, low: u64, high: u64| {
        i64::try_from(low + stream.below(high - low)).unwrap()
    };
    let services = processes.div_ceil(2);
    let capacity = 30 * u64::try_from(processes.div_ceil(machines)).unwrap();
    Model {
        resources: (0..3)
            .map(|resource| Resource {
                is_transient: resource == 1,
                load_weight: number(stream, 1, 10),
            })
            .collect(),
        machines: (0..machines)
            .map(|machine| Machine {
                neighbourhood: machine % 2,
                location: machine % 3,
                capacity: (0..3)
                    .map(|_| number(stream, capacity, 2 * capacity))
                    .collect(),
                safe: (0..3).map(|_| number(stream, 0, capacity)).collect(),
                move_cost: (0..machines).map(|_| number(stream, 0, 5)).collect(),
            })
            .collect(),
        services: (0..services)
            .map(|service| Service {
                spread_min: usize::from(service % 3 == 0),
                needs: if service % 4 == 3 {
                    vec![service - 1]
                } else {
                    vec![]
                },
            })
            .collect(),
        processes: (0..processes)
            .map(|process| Process {
                service: process / 2,
                need: (0..3).map(|_| number(stream, 1, 20)).collect(),
                move_cost: number(stream, 0, 10),
            })
            .collect(),
        balances: vec![Balance {
            of: 0,
            against: 2,
            target: 2,
            weight: 3,
        }],
        weights: MoveWeights {
            process: 1,
            service: 10,
            machine: 2,
        },
    }
}

/// The cheapest of all assignments.
fn optimum(model: &Model, initial: &[usize]) -> i64 {
    let machines = model.machines.len();
    let all = machines.pow(u32::try_from(initial.len()).unwrap());
    let costs = (0..all).filter_map(|code| {
        let mut rest = code;
        let assignment: Vec<usize> = initial
            .iter()
            .map(|_| {
                let machine = rest % machines;
                rest /= machines;
                machine
            })
            .collect();
        check(model, initial, &assignment)
            .ok()
            .map(super::Cost::total)
    });
    costs.min().unwrap()
}

#[test]
fn small_models_are_reassigned_at_the_least_cost() {
    for seed in 0..12 {
        let (model, initial) = random(seed, 3, 6);
        let improved = improve(&model, &initial, EFFORT, &mut || true).unwrap();
        let cost = check(&model, &initial, &improved.assignment).unwrap();
        assert_eq!(cost.total(), improved.cost, "seed {seed}");
        assert_eq!(improved.cost, optimum(&model, &initial), "seed {seed}");
        assert!(lower_bound(&model) <= improved.cost, "seed {seed}");
    }
}

#[test]
fn every_step_stays_allowed_and_is_priced_right() {
    // The search is stopped at every turn at which it may be, so that each best one is looked at.
    for seed in 0..10 {
        let (model, initial) = random(seed, 4, 12);
        let mut last = i64::MAX;
        for steps in [0, 50, 500, 5_000, 20_000] {
            let effort = Effort {
                seed,
                steps,
                rounds: 1,
            };
            let improved = improve(&model, &initial, effort, &mut || true).unwrap();
            let cost = check(&model, &initial, &improved.assignment).unwrap();
            assert_eq!(cost.total(), improved.cost, "seed {seed}, {steps} steps");
            assert!(improved.cost <= improved.cost_before);
            last = last.min(improved.cost);
        }
        assert!(last >= lower_bound(&model));
    }
}

#[test]
fn the_same_seed_gives_the_same_assignment() {
    let (model, initial) = random(5, 4, 12);
    let one = improve(&model, &initial, EFFORT, &mut || true).unwrap();
    let other = improve(&model, &initial, EFFORT, &mut || true).unwrap();
    assert_eq!(one, other);
}

#[test]
fn a_search_that_is_stopped_at_once_leaves_all_where_it_is() {
    let (model, initial) = random(5, 4, 12);
    let improved = improve(&model, &initial, EFFORT, &mut || false).unwrap();
    assert_eq!(improved.assignment, initial);
    assert_eq!(improved.cost, improved.cost_before);
}

/// Two machines in places of their own; service 1 needs service 0.
fn pair() -> Model {
    let machine = |place: usize| Machine {
        neighbourhood: place,
        location: place,
        capacity: vec![10],
        safe: vec![10],
        move_cost: vec![0, 0],
    };
    let process = |service: usize| Process {
        service,
        need: vec![4],
        move_cost: 1,
    };
    Model {
        resources: vec![Resource {
            is_transient: true,
            load_weight: 1,
        }],
        machines: vec![machine(0), machine(1)],
        services: vec![
            Service {
                spread_min: 2,
                needs: vec![],
            },
            Service {
                spread_min: 0,
                needs: vec![0],
            },
        ],
        processes: vec![process(0), process(0), process(1)],
        balances: vec![],
        weights: MoveWeights::default(),
    }
}

#[test]
fn each_hard_constraint_is_named_when_broken() {
    let model = pair();
    let rows: [(&[usize], &[usize], &str); 6] = [
        (
            &[0, 1],
            &[0, 1, 0],
            "2 processes are assigned, the model has 3",
        ),
        (
            &[0, 1, 0],
            &[0, 1, 7],
            "process 2 is on machine 7, which does not exist",
        ),
        (
            &[0, 1, 0],
            &[1, 0, 1],
            "machine 0 holds 12 of 10 of resource 0",
        ),
        (
            &[0, 0, 1],
            &[0, 0, 1],
            "machine 0 runs two processes of service 0",
        ),
        (&[0, 1, 0], &[0, 1, 1], ""),
        (&[1, 0, 0], &[1, 0, 0], ""),
    ];
    for (from, to, message) in rows {
        let found = check(&model, from, to).err();
        let found = found.map_or(String::new(), |violation: Violation| violation.to_string());
        assert_eq!(found, message, "{from:?} to {to:?}");
    }
    let mut spread = pair();
    spread.machines[1].location = 0;
    assert_eq!(
        check(&spread, &[0, 1, 0], &[0, 1, 0])
            .unwrap_err()
            .to_string(),
        "service 0 is in 1 locations, not in 2"
    );
    let mut dependency = pair();
    dependency.processes[1].service = 1;
    dependency.services[0].spread_min = 0;
    dependency.processes[2].service = 0;
    assert_eq!(
        check(&dependency, &[0, 1, 0], &[0, 1, 0])
            .unwrap_err()
            .to_string(),
        "machine 0 runs two processes of service 0"
    );
    dependency.processes[2].need = vec![1];
    dependency.services.push(Service::default());
    dependency.processes[2].service = 2;
    assert_eq!(
        check(&dependency, &[0, 1, 0], &[0, 1, 0])
            .unwrap_err()
            .to_string(),
        "service 1 runs in neighbourhood 1 without service 0"
    );
}

#[test]
fn texts_that_are_no_model_are_refused() {
    assert_eq!(
        Model::parse("1\n0 x").unwrap_err().to_string(),
        "the text ends early or holds `x`, which is no number"
    );
    let text = "1 0 1 1 0 0 5 5 0 1 0 0 1 3 2 1 0 1 1 1";
    assert_eq!(
        Model::parse(text).unwrap_err().to_string(),
        "process 0 names service 3, which does not exist"
    );
}
