//! Where the scheduler would put pods: nodes with how many of them, the most first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::k8s::Name;
use crate::sched::Placement;

/// The nodes that placed pods land on; equally many in the order of the nodes' names.
pub fn of(placement: &Placement) -> Vec<(Name, usize)> {
    let mut counts: BTreeMap<&Name, usize> = BTreeMap::new();
    for (_, node) in &placement.placed {
        *counts.entry(node).or_default() += 1;
    }
    let mut landing: Vec<(Name, usize)> = counts
        .into_iter()
        .map(|(node, count)| (node.clone(), count))
        .collect();
    // A stable sort: the names' order stays among equals.
    landing.sort_by_key(|(_, count)| Reverse(*count));
    landing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{Cluster, ObjectKey, resources};
    use crate::sched::Snapshot;

    #[test]
    fn nodes_with_most_pods_come_first_and_names_decide_among_equals() {
        let on = |nodes: &[&str]| {
            let pods = nodes.iter().enumerate().map(|(index, node)| {
                let pod = ObjectKey::new(resources::PODS, "shop", &format!("cart-{index}"));
                (pod, Name::new(node))
            });
            of(&Placement {
                placed: pods.collect(),
                refused: Vec::new(),
                after: Snapshot::of(&Cluster::default()),
            })
        };
        assert_eq!(on(&[]), []);
        assert_eq!(
            on(&["n3", "n1", "n2", "n3", "n2", "n3"]),
            [("n3".into(), 3), ("n2".into(), 2), ("n1".into(), 1)]
        );
        assert_eq!(on(&["n2", "n1"]), [("n1".into(), 1), ("n2".into(), 1)]);
    }
}
