//! What failing pods share that the others do not: a machine, a rack, a zone, an image.
//!
//! Told only where pods of several workloads share it: what one workload's pods have in common is
//! that workload, and its own finding says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{is_finished, pods};
use crate::k8s::{Cluster, Name, Object, resources, workload};
use crate::topology::level::{Level, levels};

/// Fewer failing pods than this share something by chance.
const LEAST: usize = 3;
/// Not telling below: half of the failing have it, and they have it this much more often than pods
/// do on the whole.
const LEAST_SHARE: f64 = 0.5;
const LEAST_LIFT: f64 = 1.5;

/// One thing that failing pods share.
#[derive(Clone, PartialEq, Debug)]
pub struct Shared {
    /// `rack a01`, `image shop/cart:2`.
    pub what: String,
    /// Failing pods that have it, and all that fail.
    pub with: usize,
    pub failing: usize,
    /// How many pods have it at all, from 0 to 1.
    pub usual: f64,
}

#[derive(Default)]
struct Tally {
    failing: usize,
    all: usize,
    roots: BTreeSet<String>,
}

/// The most telling place and the most telling image, the most telling first.
pub fn shared(cluster: &Cluster, now: Timestamp) -> Vec<Shared> {
    let failing: Vec<&Arc<Object>> = cluster
        .pods()
        .filter(|pod| pods::fails(cluster, pod, now))
        .collect();
    if failing.len() < LEAST {
        return Vec::new();
    }
    let levels = levels(cluster, &[]);
    let places = places(cluster, &levels);
    let mut by_place: BTreeMap<(usize, Name), Tally> = BTreeMap::new();
    let mut by_image: BTreeMap<Name, Tally> = BTreeMap::new();
    for pod in &failing {
        let root = workload_of(cluster, pod);
        for place in places_of(&places, pod) {
            let tally = by_place.entry(place.clone()).or_default();
            tally.failing += 1;
            tally.roots.insert(root.clone());
        }
        for image in images(pod) {
            let tally = by_image.entry(image.clone()).or_default();
            tally.failing += 1;
            tally.roots.insert(root.clone());
        }
    }
    let mut total = 0;
    for pod in cluster.pods().filter(|pod| !is_finished(pod)) {
        total += 1;
        for place in places_of(&places, pod) {
            if let Some(tally) = by_place.get_mut(place) {
                tally.all += 1;
            }
        }
        for image in images(pod) {
            if let Some(tally) = by_image.get_mut(image) {
                tally.all += 1;
            }
        }
    }
    let of = |what: String, tally: &Tally| telling(what, tally, failing.len(), total);
    let place = by_place.iter().filter_map(|((level, name), tally)| {
        let level: &Level = levels.get(*level)?;
        let title = if level.title == "host" {
            "node"
        } else {
            &level.title
        };
        of(format!("{title} {name}"), tally)
    });
    let image = by_image
        .iter()
        .filter_map(|(image, tally)| of(format!("image {image}"), tally));
    let mut found: Vec<(f64, Shared)> = [best(place), best(image)].into_iter().flatten().collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    found.into_iter().map(|(_, shared)| shared).collect()
}

/// Whose pod it is; its owner's name where the owner is not in view.
fn workload_of(cluster: &Cluster, pod: &Arc<Object>) -> String {
    let root = workload::root_of(cluster, pod);
    match pod.controller().filter(|_| root.key == pod.key) {
        Some(owner) => format!("{}/{}", pod.namespace(), owner.name),
        None => root.key.to_string(),
    }
}

/// The domains of each node, a level's place with its value.
fn places<'a>(cluster: &'a Cluster, levels: &[Level]) -> BTreeMap<&'a str, Vec<(usize, Name)>> {
    let of = |node: &Object| {
        let domains = levels.iter().enumerate();
        let named = domains.filter_map(|(place, level)| {
            let value = node.labels.get(&level.label)?;
            Some((place, Name::new(value)))
        });
        named.collect()
    };
    let nodes = cluster.list(&resources::NODES);
    nodes.map(|node| (node.name(), of(node))).collect()
}

fn places_of<'a>(
    places: &'a BTreeMap<&str, Vec<(usize, Name)>>,
    pod: &Object,
) -> &'a [(usize, Name)] {
    let node = pod.pod().and_then(|pod| pod.node.as_ref());
    let places = node.and_then(|node| places.get(node.as_str()));
    places.map(Vec::as_slice).unwrap_or_default()
}

/// Each once, however many containers run it.
fn images(pod: &Object) -> BTreeSet<&Name> {
    let containers = pod.pod().into_iter().flat_map(|pod| pod.containers.iter());
    containers.map(|container| &container.image).collect()
}

/// How telling it is, where it is at all.
#[expect(
    clippy::cast_precision_loss,
    reason = "pods are counted in hundreds of thousands"
)]
fn telling(what: String, tally: &Tally, failing: usize, total: usize) -> Option<(f64, Shared)> {
    let share = tally.failing as f64 / failing as f64;
    let usual = tally.all as f64 / total.max(1) as f64;
    let lift = share / usual.max(f64::MIN_POSITIVE);
    let tells = tally.roots.len() > 1
        && tally.failing >= LEAST
        && share >= LEAST_SHARE
        && lift >= LEAST_LIFT;
    tells.then(|| {
        let shared = Shared {
            what,
            with: tally.failing,
            failing,
            usual,
        };
        (share * lift.log2(), shared)
    })
}

fn best(candidates: impl Iterator<Item = (f64, Shared)>) -> Option<(f64, Shared)> {
    candidates.max_by(|one, other| one.0.total_cmp(&other.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;
    use crate::topology::level::RACK;

    fn crashing(name: &str, app: &str, node: &str, image: &str) -> build::Draft {
        build::pod(name).owner("ReplicaSet", app).node(node).with(
            &json!({"spec": {"containers": [{"name": "app", "image": image}]},
            "status": {"phase": "Running", "conditions": [], "containerStatuses": [
            {"name": "app", "image": image, "restartCount": 7,
             "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
        )
    }

    fn well(name: &str, node: &str) -> build::Draft {
        build::pod(name)
            .owner("ReplicaSet", "well")
            .node(node)
            .running()
    }

    /// Two racks of two nodes, twelve pods that run.
    fn fleet() -> Vec<build::Draft> {
        let mut drafts = Vec::new();
        for (rack, node) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")] {
            drafts.push(build::node(node).with(&json!({"metadata": {"labels": {RACK: rack}}})));
            for n in 0..3 {
                drafts.push(well(&format!("well-{node}-{n}"), node));
            }
        }
        drafts
    }

    fn told(drafts: &[build::Draft]) -> Vec<String> {
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let found = shared(&build::cluster(drafts), now);
        let lines = found.iter();
        lines
            .map(|shared| format!("{} {}/{}", shared.what, shared.with, shared.failing))
            .collect()
    }

    #[test]
    fn the_rack_that_all_share_is_told_and_not_the_node_that_some_do() {
        let mut drafts = fleet();
        drafts.push(crashing("cart-0", "cart", "a1", "cart:1"));
        drafts.push(crashing("cart-1", "cart", "a2", "cart:1"));
        drafts.push(crashing("auth-0", "auth", "a1", "auth:1"));
        drafts.push(crashing("auth-1", "auth", "a2", "auth:1"));
        assert_eq!(told(&drafts), ["rack a 4/4"]);
    }

    #[test]
    fn an_image_that_several_workloads_run_is_told() {
        let mut drafts = fleet();
        for (n, node) in ["a1", "a2", "b1", "b2"].into_iter().enumerate() {
            let app = if n % 2 == 0 { "cart" } else { "auth" };
            drafts.push(crashing(&format!("{app}-{n}"), app, node, "proxy:2"));
        }
        assert_eq!(told(&drafts), ["image proxy:2 4/4"]);
    }

    #[test]
    fn what_one_workload_shares_with_itself_is_not_news() {
        let mut drafts = fleet();
        for n in 0..4 {
            drafts.push(crashing(&format!("cart-{n}"), "cart", "a1", "cart:1"));
        }
        assert_eq!(told(&drafts), Vec::<String>::new());
        assert_eq!(told(&fleet()), Vec::<String>::new());
    }
}
