//! Evening out: replicas of the worst controllers go from their fullest domain to an emptier one.

use std::cmp::Reverse;
use std::sync::Arc;

use super::super::snapshot::{NodeId, Snapshot};
use super::movable::{Fixed, fixed};
use super::spread::{self, Replicas};
use super::{Options, Step, first_feasible, fullness, put};
use crate::k8s::{Name, Object, ObjectKey};

/// Moves that lower the skew, the worst controllers first.
pub(super) fn moves(
    snapshot: &Snapshot,
    key: &Name,
    options: Options,
    blocking: &mut Vec<(ObjectKey, Fixed)>,
    go_on: &mut dyn FnMut() -> bool,
) -> Vec<Step> {
    let mut after = snapshot.clone();
    let mut controllers = spread::replicas(snapshot, key);
    controllers.sort_by_key(|entry| Reverse(entry.skew()));
    let mut steps: Vec<Step> = Vec::new();
    for mut replicas in controllers {
        keep_movable(snapshot, &mut replicas, options, blocking);
        while steps.len() < options.moves_max && go_on() {
            let Some(step) = even_out(&mut after, key, &mut replicas, options) else {
                break;
            };
            steps.push(step);
        }
    }
    steps
}

/// Puts pods that may not move behind those that may, and says why they may not.
fn keep_movable(
    snapshot: &Snapshot,
    replicas: &mut Replicas,
    options: Options,
    blocking: &mut Vec<(ObjectKey, Fixed)>,
) {
    if replicas.skew() < 2 {
        return;
    }
    for pods in replicas.domains.values_mut() {
        for (pod, _) in pods.iter() {
            if let Some(reason) = fixed(snapshot, pod, options.empty_dirs) {
                blocking.push((pod.key.clone(), reason));
            }
        }
        pods.sort_by_key(|(pod, _)| fixed(snapshot, pod, options.empty_dirs).is_some());
    }
}

/// One replica from the fullest domain to the emptiest that takes it.
fn even_out(
    after: &mut Snapshot,
    key: &str,
    replicas: &mut Replicas,
    options: Options,
) -> Option<Step> {
    let (fullest, most) = replicas
        .domains
        .iter()
        .map(|(domain, pods)| (domain.clone(), pods.len()))
        .max_by_key(|(_, count)| *count)?;
    let mut emptier: Vec<(usize, Name)> = replicas
        .domains
        .iter()
        .map(|(domain, pods)| (pods.len(), domain.clone()))
        .filter(|(count, _)| count + 1 < most)
        .collect();
    emptier.sort();
    let pods: Vec<(Arc<Object>, Name)> = replicas.domains.get(&fullest)?.clone();
    for (_, domain) in emptier {
        for (place, (pod, from)) in pods.iter().enumerate() {
            if fixed(after, pod, options.empty_dirs).is_some() {
                break;
            }
            let source = after.node_id(from)?;
            let entry = after.forget(&pod.key, source);
            let targets = least_full_first(after, key, &domain);
            if let Some(target) = first_feasible(after, pod, targets) {
                put(after, pod, target);
                let to = after.node_name(target);
                replicas.domains.get_mut(&fullest)?.remove(place);
                let there = replicas.domains.get_mut(&domain)?;
                // Moved once is enough: it stands behind those that may still move.
                there.push((Arc::clone(pod), to.clone()));
                return Some(Step {
                    pod: Arc::clone(pod),
                    from: from.clone(),
                    to,
                    budget: None,
                });
            }
            if let Some(entry) = entry {
                after.assume(entry, source);
            }
        }
    }
    None
}

fn least_full_first(snapshot: &Snapshot, key: &str, domain: &Name) -> Vec<NodeId> {
    let mut nodes: Vec<(f64, NodeId)> = (0..snapshot.node_count())
        .map(NodeId::of)
        .filter_map(|id| snapshot.node(id).map(|node| (node, id)))
        .filter(|(node, _)| node.labels.get(key) == Some(domain))
        .map(|(node, id)| (fullness(node), id))
        .collect();
    nodes.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    nodes.into_iter().map(|(_, id)| id).collect()
}
