//! The order of the moves: waves that respect the budgets, every target verified when its turn comes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::snapshot::Snapshot;
use super::{Step, first_feasible, movable, put};
use crate::k8s::Name;

/// The steps in waves, and the cluster after the last one. With `is_whole`, a machine that one pod
/// cannot leave is left by none.
pub(super) fn order(
    snapshot: &Snapshot,
    mut steps: Vec<Step>,
    is_whole: bool,
) -> (Vec<Vec<Step>>, Snapshot) {
    loop {
        let (waves, after, stuck) = attempt(snapshot, &steps);
        if stuck.is_empty() || !is_whole {
            return (waves, after);
        }
        let sources: BTreeSet<Name> = stuck.into_iter().map(|step| step.from).collect();
        steps.retain(|step| !sources.contains(&step.from));
    }
}

/// Waves until no further step is possible, and the steps that remain.
fn attempt(snapshot: &Snapshot, steps: &[Step]) -> (Vec<Vec<Step>>, Snapshot, Vec<Step>) {
    let mut state = snapshot.clone();
    let mut waves = Vec::new();
    let mut waiting = steps.to_vec();
    while !waiting.is_empty() {
        let (wave, rest) = wave(&mut state, waiting);
        waiting = rest;
        if wave.is_empty() {
            break;
        }
        waves.push(wave);
    }
    (waves, state, waiting)
}

/// The steps that are possible together, and the others.
fn wave(state: &mut Snapshot, steps: Vec<Step>) -> (Vec<Step>, Vec<Step>) {
    let mut left: BTreeMap<(Name, Name), i64> = BTreeMap::new();
    let (mut wave, mut waiting) = (Vec::new(), Vec::new());
    for mut step in steps {
        let budgets: Vec<_> = movable::budgets(state, &step.pod)
            .map(|(name, budget)| {
                let key = (step.pod.key.namespace.clone(), name.clone());
                (key, budget.disruptions_allowed)
            })
            .collect();
        let allows = |(key, allowed): &((Name, Name), i64)| *left.get(key).unwrap_or(allowed) > 0;
        if budgets.iter().all(allows) && carry_out(state, &step) {
            step.budget = budgets.first().map(|((_, name), _)| name.clone());
            for (key, allowed) in budgets {
                *left.entry(key).or_insert(allowed) -= 1;
            }
            wave.push(step);
        } else {
            waiting.push(step);
        }
    }
    // Only now are the pods gone from where they were.
    for step in &wave {
        if let Some(source) = state.node_id(&step.from) {
            state.forget(&step.pod.key, source);
        }
    }
    (wave, waiting)
}

/// Puts the pod on its target if the filters allow it there; it still counts at its old place for
/// the other steps of the wave.
fn carry_out(state: &mut Snapshot, step: &Step) -> bool {
    let places = (state.node_id(&step.from), state.node_id(&step.to));
    let (Some(source), Some(target)) = places else {
        return false;
    };
    let Some(entry) = state.forget(&step.pod.key, source) else {
        return false;
    };
    let is_feasible = first_feasible(state, &step.pod, [target]).is_some();
    if is_feasible {
        put(state, &step.pod, target);
    }
    state.assume(entry, source);
    is_feasible
}
