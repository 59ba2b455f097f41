//! Emptying machines: the least used first, each as a whole or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::snapshot::{NodeId, Snapshot};
use super::movable::{Fixed, fixed, stays_with_its_node};
use super::{Options, Step, first_feasible, fullness, is_used, put};
use crate::k8s::{Name, Object, ObjectKey};

/// Moves that empty machines, in the order of the machines.
pub(super) fn moves(
    snapshot: &Snapshot,
    options: Options,
    blocking: &mut Vec<(ObjectKey, Fixed)>,
    go_on: &mut dyn FnMut() -> bool,
) -> Vec<Step> {
    let mut after = snapshot.clone();
    let mut freed: BTreeSet<Name> = BTreeSet::new();
    let mut steps: Vec<Step> = Vec::new();
    for name in candidates(snapshot)
        .into_iter()
        .take(options.machines_tried_max)
    {
        if !go_on() {
            break;
        }
        let Some(pods) = load(&after, &name, options, blocking) else {
            continue;
        };
        if steps.len() + pods.len() > options.moves_max {
            continue;
        }
        if let Some((emptied, found)) = empty(&after, &name, &pods, &freed) {
            after = emptied;
            freed.insert(name);
            steps.extend(found);
        }
    }
    direct(steps)
}

/// Machines in use, the least full first.
fn candidates(snapshot: &Snapshot) -> Vec<Name> {
    let used = snapshot.nodes().filter(|node| is_used(node));
    let mut order: Vec<(f64, Name)> = used
        .map(|node| (fullness(node), node.name.clone()))
        .collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1)));
    order.into_iter().map(|(_, name)| name).collect()
}

/// The pods that have to leave the machine, the largest first; `None` if one of them may not.
fn load(
    snapshot: &Snapshot,
    name: &str,
    options: Options,
    blocking: &mut Vec<(ObjectKey, Fixed)>,
) -> Option<Vec<Arc<Object>>> {
    let node = snapshot.node(snapshot.node_id(name)?)?;
    let mut pods = Vec::new();
    let mut is_blocked = false;
    for entry in &node.pods {
        if stays_with_its_node(&entry.object) {
            continue;
        }
        match fixed(snapshot, &entry.object, options.empty_dirs) {
            None => pods.push(entry),
            Some(Fixed::OfItsNode) => {}
            Some(reason) => {
                blocking.push((entry.key().clone(), reason));
                is_blocked = true;
            }
        }
    }
    if is_blocked {
        return None;
    }
    let size = |wanted: &crate::k8s::resource_list::ResourceList| {
        let share = |part: i64, whole: i64| part as f64 / whole.max(1) as f64;
        share(wanted.cpu_milli, node.allocatable.cpu_milli)
            .max(share(wanted.memory_bytes, node.allocatable.memory_bytes))
    };
    pods.sort_by(|one, other| {
        let (one, other) = (&one.template.spec.requests, &other.template.spec.requests);
        size(&other.charged).total_cmp(&size(&one.charged))
    });
    Some(
        pods.into_iter()
            .map(|entry| Arc::clone(&entry.object))
            .collect(),
    )
}

/// The cluster with the machine emptied onto others in use, the fullest that will do.
fn empty(
    snapshot: &Snapshot,
    name: &Name,
    pods: &[Arc<Object>],
    freed: &BTreeSet<Name>,
) -> Option<(Snapshot, Vec<Step>)> {
    let mut after = snapshot.clone();
    let source = after.node_id(name)?;
    let mut steps = Vec::with_capacity(pods.len());
    for pod in pods {
        after.forget(&pod.key, source);
        let mut targets: Vec<(f64, NodeId)> = (0..after.node_count())
            .map(NodeId::of)
            .filter(|id| *id != source)
            .filter_map(|id| after.node(id).map(|node| (node, id)))
            .filter(|(node, _)| is_used(node) && !freed.contains(&node.name))
            .map(|(node, id)| (fullness(node), id))
            .collect();
        targets.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let targets = targets.into_iter().map(|(_, id)| id);
        let target = first_feasible(&mut after, pod, targets)?;
        put(&mut after, pod, target);
        steps.push(Step {
            pod: Arc::clone(pod),
            from: name.clone(),
            to: after.node_name(target),
            budget: None,
        });
    }
    Some((after, steps))
}

/// A pod that moved several times goes to its last place at once.
fn direct(steps: Vec<Step>) -> Vec<Step> {
    let mut kept: indexmap::IndexMap<ObjectKey, Step> = indexmap::IndexMap::new();
    for step in steps {
        match kept.get_mut(&step.pod.key) {
            Some(first) => first.to = step.to,
            None => {
                kept.insert(step.pod.key.clone(), step);
            }
        }
    }
    let moved = kept.into_values();
    moved.filter(|step| step.from != step.to).collect()
}
