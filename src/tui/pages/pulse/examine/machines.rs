//! Machines that do not answer, alone or by whole failure domains, and those that take no pods.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::is_finished;
use crate::k8s::columns::NodeReady;
use crate::k8s::{Cluster, Name, Object, ObjectKey};
use crate::stdx::humanize::{self, counted};
use crate::topology::level::levels;
use crate::tui::pages::pulse::finding::{Finding, FindingKind, Lost, Severity};

/// Source: `DefaultTolerationSeconds` admission: pods stay this long on a machine that is gone.
const EVICTION_AFTER: SignedDuration = SignedDuration::from_secs(300);

pub(super) fn nodes(cluster: &Cluster, now: Timestamp, found: &mut Vec<Finding>) {
    let pods_on = |node: &Object| {
        cluster
            .pods_on(node.name())
            .filter(|pod| !is_finished(pod))
            .count()
    };
    let domains = lost_domains(cluster);
    for lost in &domains {
        let nodes = || lost.nodes.iter().filter_map(|key| cluster.get(key));
        let pods = nodes().map(|node| pods_on(node)).sum();
        if let Some(first) = nodes().next() {
            found.push(Finding {
                kind: FindingKind::Domain,
                domain: Some(lost.clone()),
                what: format!(
                    "{} down, {}",
                    counted(lost.nodes.len(), "node", "nodes"),
                    counted(pods, "pod", "pods")
                ),
                ..gone(first, pods, now)
            });
        }
    }
    for object in cluster.nodes() {
        let Some(node) = object.node() else { continue };
        if node.ready != NodeReady::True {
            if !domains.iter().any(|lost| lost.nodes.contains(&object.key)) {
                found.push(gone(object, pods_on(object), now));
            }
        } else if node.unschedulable {
            found.push(Finding {
                severity: Severity::Note,
                kind: FindingKind::Cordoned,
                about: object.key.clone(),
                domain: None,
                example: None,
                since: None,
                extent: 0,
                word: Name::new_static("cordoned"),
                what: format!("{} on it", counted(pods_on(object), "pod", "pods")),
                why: "takes no new pods".to_owned(),
            });
        }
    }
}

/// A machine that does not answer, with so many pods on it.
fn gone(node: &Object, pods: usize, now: Timestamp) -> Finding {
    let columns = node.node();
    let since = columns.and_then(|columns| columns.ready_since);
    let is_silent = columns.is_some_and(|columns| columns.ready == NodeReady::Unknown);
    Finding {
        severity: if pods > 0 {
            Severity::Critical
        } else {
            Severity::Serious
        },
        kind: FindingKind::Node,
        about: node.key.clone(),
        domain: None,
        example: None,
        since,
        extent: pods,
        word: Name::new_static("NotReady"),
        what: format!("{} on it", counted(pods, "pod", "pods")),
        why: match since {
            Some(since) if is_silent && pods > 0 => eviction_words(since, now),
            _ => ready_message(node),
        },
    }
}

/// Domains of which no machine answers, the largest for each machine: a lost zone is told once, not
/// with each of its racks and hosts. One machine alone is no domain.
fn lost_domains(cluster: &Cluster) -> Vec<Lost> {
    let is_up = |node: &Object| {
        node.node()
            .is_some_and(|node| node.ready == NodeReady::True)
    };
    if cluster.nodes().all(|node| is_up(node)) {
        return Vec::new();
    }
    let mut lost: Vec<Lost> = Vec::new();
    for level in levels(cluster, &[])
        .into_iter()
        .filter(|level| !level.is_host())
    {
        let mut parts: BTreeMap<&str, (bool, Vec<ObjectKey>)> = BTreeMap::new();
        for node in cluster.nodes() {
            if let Some(name) = node.labels.get(&level.label) {
                let (any_up, nodes) = parts.entry(name).or_default();
                *any_up |= is_up(node);
                nodes.push(node.key.clone());
            }
        }
        for (name, (any_up, nodes)) in parts {
            let is_told = || {
                nodes
                    .iter()
                    .all(|node| lost.iter().any(|lost| lost.nodes.contains(node)))
            };
            if !any_up && nodes.len() > 1 && !is_told() {
                lost.push(Lost {
                    level: level.clone(),
                    name: Name::new(name),
                    nodes,
                });
            }
        }
    }
    lost
}

fn eviction_words(since: Timestamp, now: Timestamp) -> String {
    let left = EVICTION_AFTER
        .checked_sub(now.duration_since(since))
        .unwrap_or_default();
    if left.is_positive() {
        format!(
            "stopped posting its status; pods leave in {}",
            humanize::duration(left)
        )
    } else {
        "stopped posting its status; pods are being evicted".to_owned()
    }
}

fn ready_message(node: &Object) -> String {
    let json = node.json();
    let message = json
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"))
        .and_then(|condition| condition.get("message"))
        .and_then(Value::as_str);
    message.unwrap_or_default().to_owned()
}
