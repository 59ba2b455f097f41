//! Whole clusters in virtual time: a hundred faults under a seed, safety after every step, then
//! convergence; and the same seed gives the same end state to the byte.
//!
//! A failure prints the seed, the step, the last faults and the command that shows it again. A seed
//! that failed once becomes a named test here.

#![expect(
    clippy::panic,
    reason = "a test program: a violation is a panic, a replay is printed"
)]

mod sample;

use bayplan::sim::{Simulation, Violation};

const FAULTS: usize = 100;

fn simulate(seed: u64, faults: usize) -> Result<Simulation, Violation> {
    let mut simulation = Simulation::new(seed);
    simulation.trouble(faults)?;
    simulation.converge()?;
    Ok(simulation)
}

#[track_caller]
fn check(seed: u64, faults: usize) -> Simulation {
    match simulate(seed, faults) {
        Ok(simulation) => simulation,
        Err(violation) => panic!("{violation}"),
    }
}

// One test a seed: they run beside each other.

#[test]
fn a_hundred_faults_of_seed_1_leave_the_cluster_whole() {
    check(1, FAULTS);
}

#[test]
fn a_hundred_faults_of_seed_2_leave_the_cluster_whole() {
    check(2, FAULTS);
}

#[test]
fn a_hundred_faults_of_seed_3_leave_the_cluster_whole() {
    check(3, FAULTS);
}

#[test]
fn the_same_seed_gives_the_same_end_state_to_the_byte() {
    let first = check(4, FAULTS / 2);
    let second = check(4, FAULTS / 2);
    assert_eq!(first.steps(), second.steps());
    assert!(first.state() == second.state(), "one seed, two end states");
}

#[test]
fn another_seed_gives_another_end_state() {
    assert!(check(5, 3).state() != check(6, 3).state());
}

/// `BAYPLAN_SIM_SEED=7 cargo test --test sim replay -- --nocapture`
#[test]
fn replay() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the seed to replay comes from the command line"
    )]
    let seed = std::env::var("BAYPLAN_SIM_SEED");
    if let Ok(seed) = seed {
        let simulation = check(seed.parse().expect("BAYPLAN_SIM_SEED is a number"), FAULTS);
        println!("seed {seed}: whole after {} steps", simulation.steps());
    }
}
