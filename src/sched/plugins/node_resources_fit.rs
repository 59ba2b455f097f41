//! `NodeResourcesFit`: what a pod asks for must be free, and how full the node gets is a score.

use crate::k8s::resource_list::ResourceList;
use crate::sched::configuration::{Counted, FitArguments, Strategy};
use crate::sched::node_info::NodeInfo;
use crate::sched::requests::Requests;
use crate::sched::verdict::{Code, Plugin, Reason, Refusal};

pub const TOO_MANY_PODS: &str = "Too many pods";

/// All resources that do not fit, in a fixed order: pods, cpu, memory, ephemeral storage, scalars by
/// name.
pub fn filter(arguments: &FitArguments, wanted: &ResourceList, node: &NodeInfo) -> Option<Refusal> {
    if fits(arguments, wanted, node) {
        return None;
    }
    let mut reasons: Vec<Reason> = Vec::new();
    let mut code = Code::Unschedulable;
    if has_too_many_pods(node) {
        reasons.push(TOO_MANY_PODS.into());
    }
    for (name, request, requested, allocatable) in amounts(wanted, node) {
        if request > 0
            && request > allocatable.saturating_sub(requested)
            && !is_ignored(arguments, name)
        {
            reasons.push(format!("Insufficient {name}").into());
            if request > allocatable {
                code = Code::UnschedulableAndUnresolvable;
            }
        }
    }
    Some(Refusal {
        plugin: Plugin::NodeResourcesFit,
        code,
        reasons,
    })
}

/// Whether the pod fits, without saying why not.
pub fn fits(arguments: &FitArguments, wanted: &ResourceList, node: &NodeInfo) -> bool {
    !has_too_many_pods(node)
        && amounts(wanted, node).all(|(name, request, requested, allocatable)| {
            request <= 0
                || request <= allocatable.saturating_sub(requested)
                || is_ignored(arguments, name)
        })
}

/// Whether what is wanted is free; resources that are not wanted may be overdrawn.
pub fn has_room(wanted: &ResourceList, used: &ResourceList, has: &ResourceList) -> bool {
    let fits =
        |request: i64, used: i64, has: i64| request <= 0 || request <= has.saturating_sub(used);
    fits(wanted.cpu_milli, used.cpu_milli, has.cpu_milli)
        && fits(wanted.memory_bytes, used.memory_bytes, has.memory_bytes)
        && fits(
            wanted.ephemeral_storage_bytes,
            used.ephemeral_storage_bytes,
            has.ephemeral_storage_bytes,
        )
        && wanted
            .scalars
            .iter()
            .all(|(name, request)| fits(*request, used.scalar(name), has.scalar(name)))
}

fn has_too_many_pods(node: &NodeInfo) -> bool {
    i64::try_from(node.pods.len()).unwrap_or(i64::MAX) >= node.pod_limit
}

fn amounts<'a>(
    wanted: &'a ResourceList,
    node: &'a NodeInfo,
) -> impl Iterator<Item = (&'a str, i64, i64, i64)> {
    let has = &node.allocatable;
    let used = &node.requested;
    let basic = [
        ("cpu", wanted.cpu_milli, used.cpu_milli, has.cpu_milli),
        (
            "memory",
            wanted.memory_bytes,
            used.memory_bytes,
            has.memory_bytes,
        ),
        (
            "ephemeral-storage",
            wanted.ephemeral_storage_bytes,
            used.ephemeral_storage_bytes,
            has.ephemeral_storage_bytes,
        ),
    ];
    let scalars = wanted
        .scalars
        .iter()
        .map(|(name, request)| (name.as_str(), *request, used.scalar(name), has.scalar(name)));
    basic.into_iter().chain(scalars)
}

/// Extended resources that extenders or operators have taken out of the filter.
fn is_ignored(arguments: &FitArguments, name: &str) -> bool {
    if !name.contains('/') {
        return false;
    }
    let group = name.split('/').next().unwrap_or_default();
    arguments
        .ignored_resources
        .iter()
        .any(|entry| entry == name)
        || arguments
            .ignored_resource_groups
            .iter()
            .any(|entry| entry == group)
}

/// The score by strategy, 0 to 100; the pod counts with the scoring defaults.
pub fn score(arguments: &FitArguments, requests: &Requests, node: &NodeInfo) -> i64 {
    let mut total = 0_i64;
    let mut weights = 0_i64;
    for (counted, weight) in &arguments.resources {
        let Some((requested, allocatable)) = scored_amounts(counted, requests, node) else {
            continue;
        };
        let points = match &arguments.strategy {
            Strategy::LeastAllocated if requested > allocatable => 0,
            Strategy::LeastAllocated => percent(allocatable.saturating_sub(requested), allocatable),
            Strategy::MostAllocated => percent(requested.min(allocatable), allocatable),
            Strategy::RequestedToCapacityRatio(shape) => {
                let used = if requested > allocatable {
                    100
                } else {
                    percent(requested, allocatable)
                };
                let points = interpolate(shape, used);
                // Upstream leaves resources that score nothing out of the mean.
                if points <= 0 {
                    continue;
                }
                points
            }
        };
        total = total.saturating_add(points.saturating_mul(*weight));
        weights = weights.saturating_add(*weight);
    }
    if weights == 0 {
        return 0;
    }
    match arguments.strategy {
        Strategy::RequestedToCapacityRatio(_) => round(total as f64 / weights as f64),
        _ => total / weights,
    }
}

/// What would be requested and what there is; `None` where the resource is left out.
fn scored_amounts(counted: &Counted, requests: &Requests, node: &NodeInfo) -> Option<(i64, i64)> {
    let (wanted, used) = match counted {
        Counted::Cpu => (requests.wanted_scored.cpu_milli, node.scored.cpu_milli),
        Counted::Memory => (
            requests.wanted_scored.memory_bytes,
            node.scored.memory_bytes,
        ),
        Counted::EphemeralStorage | Counted::Scalar(_) => (
            counted.amount(&requests.wanted),
            counted.amount(&node.requested),
        ),
    };
    if wanted == 0 && matches!(counted, Counted::Scalar(_)) {
        return None;
    }
    let allocatable = counted.amount(&node.allocatable);
    (allocatable != 0).then(|| (used.saturating_add(wanted), allocatable))
}

fn percent(part: i64, whole: i64) -> i64 {
    if let Some(scaled) = part.checked_mul(100) {
        return scaled.wrapping_div(whole);
    }
    i64::try_from(i128::from(part) * 100 / i128::from(whole)).unwrap_or(i64::MAX)
}

/// Flat outside the shape, linear inside, divisions truncate; shape scores of 0 to 10 become 0 to
/// 100.
fn interpolate(shape: &[(i64, i64)], used: i64) -> i64 {
    let mut previous: Option<(i64, i64)> = None;
    for &(at, score) in shape {
        let score = score * 10;
        if used <= at {
            return match previous {
                Some((from, low)) if at != from => {
                    low + (score - low) * (used - from) / (at - from)
                }
                _ => score,
            };
        }
        previous = Some((at, score));
    }
    previous.map_or(0, |(_, score)| score)
}

/// Half away from zero, as Go's `math.Round`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "scores are small; the cast saturates anyway"
)]
pub fn round(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: &[(i64, i64)], used: i64, expected: i64) {
        assert_eq!(interpolate(shape, used), expected);
    }

    #[test]
    fn the_shape_is_flat_outside_and_linear_inside() {
        let shape = [(20, 0), (80, 10)];
        check(&shape, 0, 0);
        check(&shape, 20, 0);
        check(&shape, 50, 50);
        check(&shape, 51, 51);
        check(&shape, 100, 100);
        check(&[(0, 10), (100, 0)], 33, 67);
        check(&[], 50, 0);
    }
}
