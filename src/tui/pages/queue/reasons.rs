//! Why a pod waits or is where it is, worked out by the embedded scheduler: node by node, grouped by
//! reason, with the nearest misses, and with the changes that would let it run. Every such change
//! was tried: the scheduler was run on the edited pod.
//!
//! Runs away from the screen's thread; at thousands of nodes it takes a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::k8s::quantity::Quantity;
use crate::k8s::resource_list::ResourceList;
use crate::k8s::{Cluster, Name, Object, resources};
use crate::sched::{Explanation, Plugin, Snapshot, Verdict};
use crate::stdx::humanize;
use crate::tui::columns::node::{cores, gibibytes};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reasons {
    /// What the pod requests, in words.
    pub requests: String,
    pub nodes: usize,
    /// Nodes that would take it.
    pub feasible: usize,
    /// The scheduler's whole message.
    pub message: String,
    /// What it asks more of than any machine has at all: no eviction would make room.
    pub beyond: Vec<String>,
    pub groups: Vec<ReasonGroup>,
    pub remedies: Vec<Remedy>,
    /// The best nodes by score, for a pod that fits.
    pub scores: Vec<ScoreRow>,
    /// Names of the scoring plugins, in the order of the rows' figures.
    pub columns: Vec<String>,
}

/// Nodes that refuse for one reason.
#[derive(Clone, PartialEq, Debug)]
pub struct ReasonGroup {
    pub reason: String,
    pub plugin: &'static str,
    pub nodes: usize,
    /// Some of them.
    pub examples: Vec<Name>,
    /// The node that comes closest, and what is missing there.
    pub nearest: Option<String>,
}

/// A change and how many nodes it opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remedy {
    pub text: String,
    pub fits: usize,
}

#[derive(Clone, PartialEq, Debug)]
pub struct ScoreRow {
    pub node: Name,
    pub total: i64,
    pub parts: Vec<i64>,
}

const EXAMPLES: usize = 3;
const SCORES: usize = 8;

/// Explains one pod; the error says why the scheduler cannot read it.
pub fn reasons(
    cluster: &Cluster,
    snapshot: &Snapshot,
    pod: &Arc<Object>,
) -> Result<Reasons, String> {
    let explanation = snapshot.explain(pod).map_err(|error| error.to_string())?;
    let mut found = Reasons {
        requests: pod
            .pod()
            .map(|columns| request_words(&columns.requests))
            .unwrap_or_default(),
        nodes: snapshot.node_count(),
        feasible: explanation.feasible().count(),
        message: explanation.message.clone(),
        beyond: beyond(cluster, pod),
        groups: groups(cluster, pod, &explanation),
        columns: explanation
            .columns
            .iter()
            .map(|column| column.plugin.to_string())
            .collect(),
        scores: scores(&explanation),
        remedies: Vec::new(),
    };
    if found.feasible == 0 {
        found.remedies = remedies(cluster, snapshot, pod, &explanation);
    }
    Ok(found)
}

/// `4 cores, 200 Gi, 1 nvidia.com/gpu`; `nothing` of a pod without requests.
fn request_words(requests: &ResourceList) -> String {
    let mut parts = Vec::new();
    if requests.cpu_milli > 0 {
        parts.push(format!("{} cores", cores(requests.cpu_milli)));
    }
    if requests.memory_bytes > 0 {
        parts.push(humanize::bytes(requests.memory_bytes));
    }
    if requests.ephemeral_storage_bytes > 0 {
        parts.push(format!(
            "{} ephemeral storage",
            humanize::bytes(requests.ephemeral_storage_bytes)
        ));
    }
    for (name, amount) in &requests.scalars {
        parts.push(format!("{amount} {name}"));
    }
    if parts.is_empty() {
        return "nothing".to_owned();
    }
    parts.join(", ")
}

/// `256 Gi memory, the most on one machine is 124 Gi (c04-mem-h01)`.
fn beyond(cluster: &Cluster, pod: &Object) -> Vec<String> {
    let Some(requests) = pod.pod().map(|columns| &columns.requests) else {
        return Vec::new();
    };
    let scalars = requests.scalars.iter().map(|(name, _)| name.as_str());
    let resources = ["cpu", "memory", "ephemeral-storage"]
        .into_iter()
        .chain(scalars);
    let told = resources.filter_map(|resource| {
        let wanted = amount(requests, resource).filter(|wanted| *wanted > 0)?;
        let (most, node) = cluster
            .nodes()
            .filter_map(|node| Some((amount(&node.node()?.allocatable, resource)?, node)))
            .max_by_key(|(most, _)| *most)?;
        let title = if matches!(resource, "memory" | "ephemeral-storage") {
            format!(" {resource}")
        } else {
            String::new()
        };
        (most < wanted).then(|| {
            format!(
                "{}{title}, the most on one machine is {} ({})",
                words(resource, wanted),
                words(resource, most),
                node.name()
            )
        })
    });
    told.collect()
}

fn groups(cluster: &Cluster, pod: &Arc<Object>, explanation: &Explanation) -> Vec<ReasonGroup> {
    let mut groups: BTreeMap<(String, &'static str), Vec<Name>> = BTreeMap::new();
    if let Some(rejection) = &explanation.rejection {
        let key = (
            rejection.refusal.reasons.join(", "),
            rejection.refusal.plugin.name(),
        );
        groups.insert(key, Vec::new());
    }
    for node in &explanation.nodes {
        if let Verdict::Refused { refusal, .. } = &node.verdict {
            for reason in &refusal.reasons {
                groups
                    .entry((reason.to_string(), refusal.plugin.name()))
                    .or_default()
                    .push(node.node.clone());
            }
        }
    }
    let mut found: Vec<ReasonGroup> = groups
        .into_iter()
        .map(|((reason, plugin), nodes)| ReasonGroup {
            nearest: nearest(cluster, pod, &reason, &nodes),
            reason,
            plugin,
            nodes: nodes.len(),
            examples: nodes.into_iter().take(EXAMPLES).collect(),
        })
        .collect();
    found.sort_by(|left, right| {
        (std::cmp::Reverse(left.nodes), &left.reason)
            .cmp(&(std::cmp::Reverse(right.nodes), &right.reason))
    });
    found
}

/// For a resource that is short: the node where least is missing.
fn nearest(cluster: &Cluster, pod: &Arc<Object>, reason: &str, nodes: &[Name]) -> Option<String> {
    let resource = reason.strip_prefix("Insufficient ")?;
    let wanted = amount(&pod.pod()?.requests, resource)?;
    let (node, short) = nodes
        .iter()
        .filter_map(|node| Some((node, wanted - amount(&free(cluster, node)?, resource)?)))
        .min_by_key(|(_, short)| *short)?;
    Some(format!("{node}, short by {}", words(resource, short)))
}

fn amount(list: &ResourceList, resource: &str) -> Option<i64> {
    Some(match resource {
        "cpu" => list.cpu_milli,
        "memory" => list.memory_bytes,
        "ephemeral-storage" => list.ephemeral_storage_bytes,
        scalar if scalar.contains('/') || scalar.starts_with("hugepages-") => list.scalar(scalar),
        _ => return None,
    })
}

fn words(resource: &str, amount: i64) -> String {
    match resource {
        "cpu" => format!("{} cores", cores(amount)),
        "memory" | "ephemeral-storage" => format!("{} Gi", gibibytes(amount)),
        other => format!("{amount} {other}"),
    }
}

/// Allocatable less what its pods ask for.
fn free(cluster: &Cluster, node: &str) -> Option<ResourceList> {
    let object = cluster.find(&resources::NODES, "", node)?;
    let mut free = object.node()?.allocatable.clone();
    for pod in cluster.pods_on(node).filter_map(|pod| pod.pod()) {
        if !pod.is_finished() {
            free.subtract(&pod.requests);
        }
    }
    Some(free)
}

fn scores(explanation: &Explanation) -> Vec<ScoreRow> {
    let mut rows: Vec<ScoreRow> = explanation
        .nodes
        .iter()
        .filter_map(|node| match &node.verdict {
            Verdict::Feasible {
                normalized, total, ..
            } => Some(ScoreRow {
                node: node.node.clone(),
                total: *total,
                parts: normalized.clone(),
            }),
            Verdict::Refused { .. } => None,
        })
        .collect();
    rows.sort_by(|left, right| {
        (std::cmp::Reverse(left.total), &left.node)
            .cmp(&(std::cmp::Reverse(right.total), &right.node))
    });
    rows.truncate(SCORES);
    rows
}

/// Tries one change at a time and keeps those that open a node, the most nodes first.
fn remedies(
    cluster: &Cluster,
    snapshot: &Snapshot,
    pod: &Arc<Object>,
    explanation: &Explanation,
) -> Vec<Remedy> {
    let mut found: Vec<Remedy> = edits(cluster, pod, explanation)
        .into_iter()
        .filter_map(|(text, edited)| {
            let edited = Arc::new(Object::from_json(resources::PODS, &edited).ok()?);
            let fits = snapshot.explain(&edited).ok()?.feasible().count();
            (fits > 0).then_some(Remedy { text, fits })
        })
        .collect();
    found.sort_by_key(|remedy| std::cmp::Reverse(remedy.fits));
    found
}

type Edit = (String, Value);

fn edits(cluster: &Cluster, pod: &Arc<Object>, explanation: &Explanation) -> Vec<Edit> {
    let mut edits = Vec::new();
    let plugins: BTreeSet<Plugin> = explanation
        .nodes
        .iter()
        .filter_map(|node| match &node.verdict {
            Verdict::Refused { refusal, .. } => Some(refusal.plugin),
            Verdict::Feasible { .. } => None,
        })
        .chain(
            explanation
                .rejection
                .iter()
                .map(|rejection| rejection.refusal.plugin),
        )
        .collect();
    let json = pod.json();
    if plugins.contains(&Plugin::NodeResourcesFit) {
        edits.extend(smaller_requests(cluster, pod, explanation));
    }
    if plugins.contains(&Plugin::TaintToleration) {
        edits.extend(tolerations(cluster, &json, explanation));
    }
    let without = |pointer: &str, name: &str| {
        let mut edited = json.clone();
        edited
            .pointer_mut(pointer)
            .and_then(Value::as_object_mut)
            .and_then(|fields| fields.remove(name))
            .map(|_| edited)
    };
    if plugins.contains(&Plugin::PodTopologySpread)
        && let Some(edited) = without("/spec", "topologySpreadConstraints")
    {
        edits.push(("without its topology spread constraints".to_owned(), edited));
    }
    if plugins.contains(&Plugin::NodeAffinity) {
        for (pointer, name, text) in [
            ("/spec", "nodeSelector", "without its node selector"),
            (
                "/spec/affinity",
                "nodeAffinity",
                "without its node affinity",
            ),
        ] {
            if let Some(edited) = without(pointer, name) {
                edits.push((text.to_owned(), edited));
            }
        }
    }
    if plugins.contains(&Plugin::InterPodAffinity) {
        for (name, text) in [
            (
                "podAntiAffinity",
                "beside its peers: without its pod anti-affinity",
            ),
            ("podAffinity", "away from others: without its pod affinity"),
        ] {
            if let Some(edited) = without("/spec/affinity", name) {
                edits.push((text.to_owned(), edited));
            }
        }
    }
    edits
}

/// For each short resource: the request that the emptiest node, otherwise willing, could take.
fn smaller_requests(cluster: &Cluster, pod: &Arc<Object>, explanation: &Explanation) -> Vec<Edit> {
    let Some(requests) = pod.pod().map(|columns| columns.requests.clone()) else {
        return Vec::new();
    };
    let willing: Vec<&Name> = explanation
        .nodes
        .iter()
        .filter(|node| {
            matches!(&node.verdict, Verdict::Refused { refusal, also }
                if refusal.plugin == Plugin::NodeResourcesFit && also.is_empty())
        })
        .map(|node| &node.node)
        .collect();
    ["cpu", "memory"]
        .into_iter()
        .filter_map(|resource| {
            let wanted = amount(&requests, resource)?;
            let room = willing
                .iter()
                .filter_map(|node| amount(&free(cluster, node)?, resource))
                .max()?;
            if room <= 0 || room >= wanted {
                return None;
            }
            let edited = with_less(&pod.json(), resource, wanted - room)?;
            let text = format!(
                "{resource} request {} → {}",
                words(resource, wanted),
                words(resource, room)
            );
            Some((text, edited))
        })
        .collect()
}

/// Takes `less` from the largest request of a resource.
fn with_less(pod: &Value, resource: &str, less: i64) -> Option<Value> {
    let mut edited = pod.clone();
    let read = |container: &Value| -> Option<i64> {
        let text = container.pointer(&format!("/resources/requests/{resource}"))?;
        let text = text
            .as_str()
            .map_or_else(|| text.to_string(), str::to_owned);
        let quantity = Quantity::parse(&text).ok()?;
        Some(if resource == "cpu" {
            quantity.milli()
        } else {
            quantity.value()
        })
    };
    let largest = edited
        .pointer_mut("/spec/containers")?
        .as_array_mut()?
        .iter_mut()
        .max_by_key(|container| read(container).unwrap_or(0))?;
    let left = read(largest)? - less;
    if left < 0 {
        return None;
    }
    let quantity = if resource == "cpu" {
        Quantity::from_milli(left)
    } else {
        Quantity::from_bytes(left)
    };
    *largest.pointer_mut(&format!("/resources/requests/{resource}"))? = json!(quantity.to_string());
    Some(edited)
}

/// One for each taint of the nodes that refuse because of one.
fn tolerations(cluster: &Cluster, pod: &Value, explanation: &Explanation) -> Vec<Edit> {
    let mut keys: BTreeSet<(Name, Name)> = BTreeSet::new();
    for node in &explanation.nodes {
        let Verdict::Refused { refusal, .. } = &node.verdict else {
            continue;
        };
        if refusal.plugin != Plugin::TaintToleration {
            continue;
        }
        let taints = cluster
            .find(&resources::NODES, "", &node.node)
            .and_then(|object| Some(object.node()?.taints.clone()));
        for taint in taints.iter().flat_map(|taints| taints.iter()) {
            // A machine that does not answer is no place to wish for.
            if !taint.key.starts_with("node.kubernetes.io/") {
                keys.insert((taint.key.clone(), taint.value.clone()));
            }
        }
    }
    keys.into_iter()
        .filter_map(|(key, value)| {
            let mut edited = pod.clone();
            let spec = edited.pointer_mut("/spec")?.as_object_mut()?;
            spec.entry("tolerations")
                .or_insert_with(|| json!([]))
                .as_array_mut()?
                .push(json!({"key": key, "operator": "Exists"}));
            let separator = if value.is_empty() { "" } else { "=" };
            Some((format!("tolerating {key}{separator}{value}"), edited))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build;

    #[test]
    fn every_remedy_was_tried_and_the_nearest_miss_is_named() {
        let drafts = [
            build::node("n1").cpu("4").memory("8Gi"),
            build::node("n2").cpu("4").memory("4Gi"),
            build::node("gpu")
                .cpu("32")
                .memory("64Gi")
                .taint("dedicated", "gpu", "NoSchedule"),
        ];
        let cluster = build::cluster(&drafts);
        let pod = build::pod("search").memory("10Gi").build();
        let found = reasons(&cluster, &Snapshot::of(&cluster), &pod).unwrap();
        assert_eq!((found.nodes, found.feasible), (3, 0));
        assert_eq!(found.requests, "10 Gi");
        assert_eq!(found.beyond, Vec::<String>::new());
        let vast = build::pod("vast").cpu("4").memory("80Gi").build();
        assert_eq!(
            reasons(&cluster, &Snapshot::of(&cluster), &vast)
                .unwrap()
                .beyond,
            ["80 Gi memory, the most on one machine is 64 Gi (gpu)"]
        );
        let memory = found
            .groups
            .iter()
            .find(|group| group.reason == "Insufficient memory")
            .unwrap();
        assert_eq!(
            (memory.nodes, memory.nearest.as_deref()),
            (2, Some("n1, short by 2 Gi"))
        );
        let texts: Vec<(&str, usize)> = found
            .remedies
            .iter()
            .map(|remedy| (remedy.text.as_str(), remedy.fits))
            .collect();
        assert_eq!(
            texts,
            [
                ("memory request 10 Gi → 8 Gi", 1),
                ("tolerating dedicated=gpu", 1)
            ]
        );
    }

    #[test]
    fn pod_that_fits_is_told_by_its_scores() {
        let cluster = build::cluster(&[build::node("n1"), build::node("n2")]);
        let found = reasons(
            &cluster,
            &Snapshot::of(&cluster),
            &build::pod("a").cpu("1").build(),
        )
        .unwrap();
        assert_eq!((found.feasible, found.scores.len()), (2, 2));
        assert!(found.remedies.is_empty() && !found.columns.is_empty());
    }
}
