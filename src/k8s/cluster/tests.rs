//! The indexes say what a search through all objects would.

use serde_json::{Value, json};

use super::*;
use crate::k8s::build;
use crate::stdx::rng::Stream;

const NODES: [&str; 3] = ["", "n1", "n2"];
/// With and without a namespace's name as the beginning of another's.
const NAMESPACES: [&str; 3] = ["shop", "shop-2", "play"];
const OWNERS: [&str; 2] = ["cart", "search"];

fn keys<'a>(objects: impl Iterator<Item = &'a Arc<Object>>) -> Vec<&'a ObjectKey> {
    objects.map(|object| &object.key).collect()
}

#[track_caller]
fn check(cluster: &Cluster) {
    let pods: Vec<&Arc<Object>> = cluster.pods().collect();
    let those = |wanted: &dyn Fn(&Object) -> bool| {
        let found = pods.iter().copied().filter(|pod| wanted(pod));
        keys(found)
    };
    for node in NODES.iter().skip(1) {
        let here = |pod: &Object| pod.pod().unwrap().node.as_deref() == Some(*node);
        assert_eq!(keys(cluster.pods_on(node)), those(&here), "on {node}");
    }
    for namespace in NAMESPACES {
        let inside = |pod: &Object| pod.namespace() == namespace;
        let listed = cluster.list_in(&resources::PODS, namespace);
        assert_eq!(keys(listed), those(&inside), "in {namespace}");
        let bare = |pod: &Object| inside(pod) && pod.controller().is_none();
        let found = cluster.uncontrolled_pods(namespace);
        assert_eq!(keys(found), those(&bare), "uncontrolled in {namespace}");
    }
    for owner in OWNERS {
        let uid = Uid(Name::new_static(owner));
        let owned = |pod: &Object| pod.owners.iter().any(|owner| owner.uid == uid);
        assert_eq!(keys(cluster.owned_by(&uid)), those(&owned), "of {owner}");
    }
    assert_eq!(cluster.count(&resources::PODS), pods.len());
}

/// A pod of few names, nodes and owners, so that most are met again with others.
fn some_pod(random: &mut Stream) -> Arc<Object> {
    let namespace = random.pick(&NAMESPACES).unwrap();
    let name = format!("{namespace}/pod-{}", random.below(8));
    let mut owners: Vec<Value> = Vec::new();
    for owner in OWNERS {
        if random.chance(1, 3) {
            let is_controller = owners.is_empty() && random.chance(2, 3);
            owners.push(
                json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner,
                "uid": owner, "controller": is_controller}),
            );
        }
    }
    build::pod(&name)
        .node(random.pick(&NODES).unwrap())
        .with(&json!({"metadata": {"ownerReferences": owners}}))
        .build()
}

#[test]
fn indexes_follow_every_insertion_and_removal() {
    for seed in 0..10 {
        let mut random = Stream::new(seed, "cluster");
        let mut cluster = Cluster::default();
        for _ in 0..300 {
            let pod = some_pod(&mut random);
            let there = cluster.get(&pod.key).cloned();
            let before = if random.chance(1, 3) {
                cluster.remove(&pod.key)
            } else {
                cluster.insert(&pod)
            };
            assert_eq!(
                before.as_ref().map(Arc::as_ptr),
                there.as_ref().map(Arc::as_ptr)
            );
            check(&cluster);
        }
        let copy = cluster.clone();
        cluster.clear(&resources::PODS);
        check(&cluster);
        assert_eq!(cluster.count(&resources::PODS), 0);
        assert!(cluster.owned.is_empty() && cluster.on_node.is_empty());
        assert!(cluster.uncontrolled_pods.is_empty());
        check(&copy);
    }
}

#[test]
fn a_page_begins_after_the_last_name_of_the_one_before() {
    let drafts = ["a/x", "a/y", "b/a"].map(build::pod);
    let cluster = build::cluster(&drafts);
    let after = |namespace: &str, name: &str| {
        let place = (Name::new(namespace), Name::new(name));
        let rest = cluster.list_after(&resources::PODS, &place);
        rest.map(|pod| format!("{}/{}", pod.namespace(), pod.name()))
            .collect::<Vec<_>>()
    };
    assert_eq!(after("", ""), ["a/x", "a/y", "b/a"]);
    assert_eq!(after("a", "x"), ["a/y", "b/a"]);
    assert_eq!(after("a", "xx"), ["a/y", "b/a"], "it may be gone by now");
    assert!(after("b", "a").is_empty());
}
