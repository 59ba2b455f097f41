//! Who owns what: the chain up from an object and everything below its top.

use std::sync::Arc;

use crate::k8s::status::{self, Health};
use crate::k8s::workload::{Workload, root_of};
use crate::k8s::{Cluster, Name, Object, ObjectKey, Uid};

#[derive(Clone, PartialEq, Debug)]
pub struct TreeRow {
    pub depth: usize,
    /// The last among its siblings; draws the corner.
    pub last: bool,
    pub key: ObjectKey,
    pub uid: Uid,
    pub word: Name,
    pub health: Option<Health>,
}

/// More rows than this are cut: nobody reads a tree of ten thousand pods.
const ROWS_MAX: usize = 2_000;

/// The whole tree that an object stands in, from its top owner.
pub fn tree(cluster: &Cluster, object: &Arc<Object>) -> Vec<TreeRow> {
    let mut rows = Vec::new();
    grow(cluster, root_of(cluster, object), 0, true, &mut rows);
    rows
}

fn grow(
    cluster: &Cluster,
    object: &Arc<Object>,
    depth: usize,
    last: bool,
    rows: &mut Vec<TreeRow>,
) {
    // Owner references of a broken cluster may form a ring.
    if rows.len() >= ROWS_MAX || depth > 16 {
        return;
    }
    let (word, health) = state(cluster, object);
    rows.push(TreeRow {
        depth,
        last,
        key: object.key.clone(),
        uid: object.uid.clone(),
        word,
        health,
    });
    let children: Vec<&Arc<Object>> = cluster.owned_by(&object.uid).collect();
    let count = children.len();
    for (index, child) in children.into_iter().enumerate() {
        grow(cluster, child, depth + 1, index + 1 == count, rows);
    }
}

fn state(cluster: &Cluster, object: &Arc<Object>) -> (Name, Option<Health>) {
    if let Some(status) = status::of_pod(object) {
        return (status.word, Some(status.health));
    }
    if let Some(node) = object.node() {
        return (
            status::node_word(node).into(),
            Some(status::node_health(node)),
        );
    }
    match Workload::of(cluster, object) {
        Ok(Some(workload)) => (
            Name::from(format!("{}/{}", workload.ready, workload.desired)),
            Some(workload.health()),
        ),
        _ => (Name::default(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build;

    #[test]
    fn tree_goes_from_the_top_owner_to_the_pods() {
        let pod = build::pod("cart-1-a")
            .owner("ReplicaSet", "cart-1")
            .node("n1");
        let drafts = [
            build::deployment("cart"),
            build::replica_set("cart-1").owner("Deployment", "cart"),
            pod.clone(),
            build::pod("cart-1-b").owner("ReplicaSet", "cart-1"),
        ];
        let cluster = build::cluster(&drafts);
        let rows: Vec<(usize, String, bool)> = tree(&cluster, &pod.build())
            .into_iter()
            .map(|row| (row.depth, row.key.name.to_string(), row.last))
            .collect();
        let expected = [
            (0, "cart", true),
            (1, "cart-1", true),
            (2, "cart-1-a", false),
            (2, "cart-1-b", true),
        ];
        assert_eq!(
            rows,
            expected.map(|(depth, name, last)| (depth, name.to_owned(), last))
        );
    }
}
