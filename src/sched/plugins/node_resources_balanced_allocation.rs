//! `NodeResourcesBalancedAllocation`: prefer nodes that the pod leaves no more lopsided than before.

use crate::k8s::resource_list::ResourceList;
use crate::sched::configuration::Counted;
use crate::sched::node_info::NodeInfo;

/// Whether the pod asks for any of the resources; if not, the plugin is skipped.
pub fn applies(resources: &[Counted], wanted: &ResourceList) -> bool {
    resources.iter().any(|counted| counted.amount(wanted) > 0)
}

/// 75 when the balance stays as it was, more when it improves.
pub fn score(resources: &[Counted], wanted: &ResourceList, node: &NodeInfo) -> i64 {
    let with = balance(resources, wanted, node, 1);
    let without = balance(resources, wanted, node, 0);
    50 + (50 + with - without) / 2
}

fn balance(resources: &[Counted], wanted: &ResourceList, node: &NodeInfo, times: i64) -> i64 {
    let mut fractions = [0.0_f64; 8];
    let mut extra = Vec::new();
    let mut count = 0_usize;
    for counted in resources {
        let pod = counted.amount(wanted);
        let is_scalar = matches!(counted, Counted::Scalar(_));
        let allocatable = counted.amount(&node.allocatable);
        if allocatable == 0 || (is_scalar && pod == 0) {
            continue;
        }
        let requested = counted
            .amount(&node.requested)
            .saturating_add(pod.saturating_mul(times));
        let fraction = (requested as f64 / allocatable as f64).min(1.0);
        match fractions.get_mut(count) {
            Some(place) => *place = fraction,
            None => extra.push(fraction),
        }
        count += 1;
    }
    let deviation = if extra.is_empty() {
        deviation(fractions.get(..count).unwrap_or_default())
    } else {
        let all: Vec<f64> = fractions.into_iter().chain(extra).collect();
        deviation(&all)
    };
    #[expect(clippy::cast_possible_truncation, reason = "0 to 100")]
    let balance = ((1.0 - deviation) * 100.0) as i64;
    balance
}

/// Population standard deviation; for two values half their distance.
fn deviation(fractions: &[f64]) -> f64 {
    match fractions {
        [] | [_] => 0.0,
        [one, other] => ((one - other) / 2.0).abs(),
        many => {
            let mut total = 0.0;
            for fraction in many {
                total += fraction;
            }
            let mean = total / many.len() as f64;
            let mut squares = 0.0;
            for fraction in many {
                squares += (fraction - mean) * (fraction - mean);
            }
            (squares / many.len() as f64).sqrt()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fractions_deviate_by_half_their_distance() {
        assert!((deviation(&[0.2, 0.6]) - 0.2).abs() < 1e-12);
        assert!((deviation(&[0.5, 0.5, 0.5])).abs() < 1e-12);
        assert!((deviation(&[0.0, 0.5, 1.0]) - (1.0_f64 / 6.0).sqrt()).abs() < 1e-12);
        assert!(deviation(&[0.7]).abs() < 1e-12);
    }
}
