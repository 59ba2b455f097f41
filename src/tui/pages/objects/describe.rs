//! One object in words: what it is, how it is, what happened to it; the rest of it as YAML.
//!
//! It is built from the object and the cluster at hand, not asked of the server, so it is there at
//! once and stays true while the object changes.

use jiff::Timestamp;
use serde_json::Value;

use crate::k8s::columns::{ContainerColumns, ContainerRole, ContainerState};
use crate::k8s::status::{self, Health};
use crate::k8s::workload::{self, Workload};
use crate::k8s::{Cluster, Object, resources, scanned};
use crate::stdx::humanize;
use crate::tui::pages::timeline::entry::{Entry, Tone, of_event};
use crate::tui::pages::workloads::history;

#[derive(Clone, PartialEq, Debug)]
pub struct Section {
    pub title: String,
    pub facts: Vec<Fact>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Fact {
    pub label: String,
    pub value: String,
    pub tone: Tone,
}

/// Everything that is worth saying about an object, the state first.
pub fn describe(cluster: &Cluster, object: &Object, now: Timestamp) -> Vec<Section> {
    let json = object.json();
    let mut sections = vec![identity(cluster, object, now)];
    if object.pod().is_some() {
        sections.push(pod_state(cluster, object, now));
        sections.extend(containers(object, &json, now));
    } else if object.node().is_some() {
        sections.push(node_state(cluster, object));
    } else if let Ok(Some(workload)) = Workload::of(cluster, object) {
        sections.push(workload_state(&workload));
        sections.push(revisions(cluster, object, now));
    }
    sections.push(conditions(&json, now));
    sections.push(events(cluster, object, now));
    sections.push(marks(
        "labels",
        object
            .labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string())),
    ));
    let annotations = json
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    sections.push(marks(
        "annotations",
        annotations
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration")
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())),
    ));
    sections.retain(|section| !section.facts.is_empty());
    sections
}

/// The Event objects about this object, the newest first.
pub fn events_of(cluster: &Cluster, object: &Object) -> Vec<Entry> {
    let mut found: Vec<Entry> = cluster
        .list(&resources::EVENTS)
        .filter_map(|event| of_event(event))
        .filter(|entry| entry.about == object.key)
        .collect();
    found.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    found
}

fn fact(label: impl Into<String>, value: impl Into<String>, tone: Tone) -> Fact {
    Fact {
        label: label.into(),
        value: value.into(),
        tone,
    }
}

fn plain(label: &str, value: impl Into<String>) -> Fact {
    fact(label, value, Tone::Plain)
}

pub fn tone_of(health: Health) -> Tone {
    match health {
        Health::Good => Tone::Good,
        Health::Bad => Tone::Bad,
        Health::Partly | Health::Unknown => Tone::Warning,
        Health::Done | Health::Terminating | Health::Waiting => Tone::Plain,
    }
}

fn section(title: &str, facts: Vec<Fact>) -> Section {
    Section {
        title: title.to_owned(),
        facts: facts
            .into_iter()
            .filter(|fact| !fact.value.is_empty())
            .collect(),
    }
}

fn identity(cluster: &Cluster, object: &Object, now: Timestamp) -> Section {
    let owner = object.controller().map(|owner| {
        let known = workload::owner_of(cluster, object).is_some();
        let gone = if known { "" } else { " (not in view)" };
        format!("{} {}{gone}", owner.kind, owner.name)
    });
    let mut facts = vec![
        plain("name", object.name()),
        plain("namespace", object.namespace()),
        plain("kind", object.key.resource.to_string()),
        plain("owner", owner.unwrap_or_default()),
    ];
    if let Some(created) = object.created {
        facts.push(plain(
            "created",
            format!("{} ago, {created}", humanize::age(created, now)),
        ));
    }
    if let Some(deleted) = object.deleted {
        facts.push(fact(
            "deletion",
            format!("asked for, due {deleted}"),
            Tone::Warning,
        ));
        facts.push(fact(
            "finalizers",
            object.finalizers.join(", "),
            Tone::Warning,
        ));
    }
    facts.push(plain("uid", object.uid.to_string()));
    section("", facts)
}

fn pod_state(cluster: &Cluster, object: &Object, now: Timestamp) -> Section {
    let (Some(pod), Some(status)) = (object.pod(), status::of_pod(object)) else {
        return section("", Vec::new());
    };
    let mut facts = vec![
        fact("status", status.word.to_string(), tone_of(status.health)),
        plain(
            "ready",
            format!("{} of {} containers", status.ready, status.containers),
        ),
    ];
    if let Some((reason, message)) = pod.unscheduled.as_deref() {
        facts.push(fact("why", format!("{reason}: {message}"), Tone::Bad));
    }
    if status.restarts > 0 {
        let last = status
            .last_restart
            .map(|at| format!(", the last {} ago", humanize::age(at, now)))
            .unwrap_or_default();
        facts.push(fact(
            "restarts",
            format!("{}{last}", status.restarts),
            Tone::Warning,
        ));
    }
    if let Some(node) = &pod.node {
        let labels = cluster
            .find(&resources::NODES, "", node)
            .map(|node| &node.labels);
        let place = |key: &str| {
            labels
                .and_then(|labels| labels.get(key))
                .cloned()
                .unwrap_or_default()
        };
        facts.push(plain("node", node.to_string()));
        facts.push(plain(
            "zone",
            place("topology.kubernetes.io/zone").to_string(),
        ));
        facts.push(plain(
            "rack",
            place("topology.bayplan.dev/rack").to_string(),
        ));
    }
    facts.push(plain("address", pod.ip.to_string()));
    facts.push(plain("qos", format!("{:?}", pod.qos)));
    facts.push(plain("priority", pod.priority.to_string()));
    facts.push(plain("requests", amounts(&pod.requests)));
    facts.push(plain("limits", amounts(&pod.limits)));
    section("pod", facts)
}

/// `2 cores, 1.5 Gi`.
fn amounts(list: &crate::k8s::resource_list::ResourceList) -> String {
    let mut parts = Vec::new();
    if list.cpu_milli > 0 {
        parts.push(format!(
            "cpu {}",
            crate::k8s::quantity::Quantity::from_milli(list.cpu_milli)
        ));
    }
    if list.memory_bytes > 0 {
        parts.push(format!(
            "memory {}",
            crate::k8s::quantity::Quantity::from_bytes(list.memory_bytes)
        ));
    }
    for (name, amount) in &list.scalars {
        parts.push(format!("{name} {amount}"));
    }
    parts.join(", ")
}

fn containers(object: &Object, json: &Value, now: Timestamp) -> Vec<Section> {
    let containers = object.pod().map(|pod| &*pod.containers).unwrap_or_default();
    containers
        .iter()
        .map(|container| {
            let (state, tone) = container_words(container, now);
            let mut facts = vec![
                fact("state", state, tone),
                plain("image", container.image.to_string()),
            ];
            if let Some(told) = scanned::of(json, &container.name) {
                let tone = if scanned::is_serious(&told) {
                    Tone::Warning
                } else {
                    Tone::Plain
                };
                facts.push(fact("vulnerabilities", told, tone));
            }
            if container.restarts > 0 {
                facts.push(fact(
                    "restarts",
                    container.restarts.to_string(),
                    Tone::Warning,
                ));
            }
            if let Some(end) = container.last_end.as_deref() {
                let at = end
                    .finished_at
                    .map(|at| format!(", {} ago", humanize::age(at, now)))
                    .unwrap_or_default();
                facts.push(fact(
                    "last end",
                    format!("{} exit code {}{at}", end.reason, end.exit_code),
                    Tone::Warning,
                ));
            }
            section(
                &format!("{} {}", role_word(container.role), container.name),
                facts,
            )
        })
        .collect()
}

pub fn role_word(role: ContainerRole) -> &'static str {
    match role {
        ContainerRole::Init => "init",
        ContainerRole::Sidecar => "↳sidecar",
        ContainerRole::App => "container",
    }
}

/// A container's state in words.
pub fn container_words(container: &ContainerColumns, now: Timestamp) -> (String, Tone) {
    match &container.state {
        ContainerState::Running { since } => {
            let since = since
                .map(|since| format!(" for {}", humanize::age(since, now)))
                .unwrap_or_default();
            if container.ready || container.role == ContainerRole::Init {
                (format!("running{since}, ready"), Tone::Good)
            } else {
                (format!("running{since}, not ready"), Tone::Warning)
            }
        }
        ContainerState::Waiting { reason } if reason.is_empty() => {
            ("not started".into(), Tone::Plain)
        }
        ContainerState::Waiting { reason } => {
            let usual = matches!(reason.as_str(), "ContainerCreating" | "PodInitializing");
            let tone = if usual { Tone::Plain } else { Tone::Bad };
            (format!("waiting: {reason}"), tone)
        }
        ContainerState::Terminated(end) => {
            let tone = if end.exit_code == 0 {
                Tone::Plain
            } else {
                Tone::Bad
            };
            let at = end
                .finished_at
                .map(|at| format!(" {} ago", humanize::age(at, now)))
                .unwrap_or_default();
            (
                format!("ended{at}: {} exit code {}", end.reason, end.exit_code),
                tone,
            )
        }
    }
}

fn node_state(cluster: &Cluster, object: &Object) -> Section {
    let Some(node) = object.node() else {
        return section("", Vec::new());
    };
    let taints: Vec<String> = node
        .taints
        .iter()
        .map(|taint| {
            let value = if taint.value.is_empty() {
                String::new()
            } else {
                format!("={}", taint.value)
            };
            format!("{}{value}:{:?}", taint.key, taint.effect)
        })
        .collect();
    let pods = cluster.pods_on(object.name()).count();
    section(
        "node",
        vec![
            fact(
                "status",
                status::node_word(node),
                tone_of(status::node_health(node)),
            ),
            plain("pods", format!("{pods} of {}", node.pod_limit)),
            plain("allocatable", amounts(&node.allocatable)),
            plain("address", node.internal_ip.to_string()),
            plain("pod range", node.pod_cidr.to_string()),
            plain("version", node.kubelet_version.to_string()),
            fact("taints", taints.join(", "), Tone::Plain),
        ],
    )
}

fn workload_state(workload: &Workload) -> Section {
    let images: Vec<String> = workload
        .images
        .iter()
        .map(|image| format!("{}={}", image.container, image.image))
        .collect();
    section(
        "workload",
        vec![
            fact(
                "ready",
                format!("{} of {}", workload.ready, workload.desired),
                tone_of(workload.health()),
            ),
            plain("updated", workload.updated.to_string()),
            plain("available", workload.available.to_string()),
            fact("state", workload.words(), tone_of(workload.health())),
            plain("images", images.join(", ")),
            plain("detail", workload.detail.to_string()),
        ],
    )
}

/// Revisions that can be gone back to, the newest first.
fn revisions(cluster: &Cluster, object: &Object, now: Timestamp) -> Section {
    let facts = history::revisions(cluster, object)
        .into_iter()
        .map(|revision| {
            let pods = revision
                .pods
                .map(|pods| {
                    format!(
                        ", {}",
                        humanize::counted(usize::try_from(pods).unwrap_or(0), "pod", "pods")
                    )
                })
                .unwrap_or_default();
            let here = if revision.current { ", in place" } else { "" };
            let cause = if revision.cause.is_empty() {
                String::new()
            } else {
                format!("  {}", revision.cause)
            };
            plain(
                &format!("revision {}", revision.number),
                format!(
                    "{}  {} ago{pods}{here}{cause}",
                    revision.images.join(" "),
                    humanize::age_of(revision.created, now),
                ),
            )
        })
        .collect();
    section("revisions (:rollback goes back to the one before)", facts)
}

fn conditions(json: &Value, now: Timestamp) -> Section {
    let text = |condition: &Value, name: &str| {
        condition
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let facts = json
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|condition| {
            let since = text(condition, "lastTransitionTime")
                .parse::<Timestamp>()
                .map(|at| format!(" for {}", humanize::age(at, now)))
                .unwrap_or_default();
            let (reason, message) = (text(condition, "reason"), text(condition, "message"));
            let why = [reason, message]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(": ");
            let separator = if why.is_empty() { "" } else { "  " };
            plain(
                &text(condition, "type"),
                format!("{}{since}{separator}{why}", text(condition, "status")),
            )
        })
        .collect();
    section("conditions", facts)
}

fn events(cluster: &Cluster, object: &Object, now: Timestamp) -> Section {
    let facts = events_of(cluster, object)
        .into_iter()
        .take(20)
        .map(|event| {
            let times = if event.count > 1 {
                format!(" ({} times)", event.count)
            } else {
                String::new()
            };
            fact(
                humanize::age(event.at, now),
                format!("{}{times}  {}", event.what, event.text),
                event.tone,
            )
        })
        .collect();
    section("events", facts)
}

fn marks(title: &str, entries: impl Iterator<Item = (String, String)>) -> Section {
    // An empty value is a value here.
    Section {
        title: title.to_owned(),
        facts: entries
            .map(|(key, value)| fact(key, value, Tone::Plain))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    #[test]
    fn pod_says_what_is_wrong_with_it() {
        let pod = build::pod("shop/cart-1").node("n1").with(&json!({
            "metadata": {"annotations": {scanned::key("app"): "2 high (Debian:12, 2026-01-01)"}},
            "status": {"conditions": [],
            "containerStatuses": [{"name": "app", "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:09:00Z"}}}]}}));
        let event = build::object(resources::EVENTS, "v1", "Event", "shop/cart-1.1").with(&json!({
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart-1", "apiVersion": "v1"},
            "reason": "BackOff", "message": "Back-off restarting", "type": "Warning", "count": 4,
            "lastTimestamp": "2026-01-01T00:09:30Z"}));
        let node = build::node("n1").zone("a");
        let cluster = build::cluster([&pod, &event, &node]);
        let sections = describe(
            &cluster,
            &pod.build(),
            "2026-01-01T00:10:00Z".parse().unwrap(),
        );
        let value = |title: &str, label: &str| {
            sections
                .iter()
                .find(|section| section.title == title)
                .and_then(|section| section.facts.iter().find(|fact| fact.label == label))
                .map(|fact| fact.value.as_str())
        };
        assert_eq!(value("pod", "status"), Some("CrashLoopBackOff"));
        assert_eq!(value("pod", "restarts"), Some("3, the last 60s ago"));
        assert_eq!(value("pod", "zone"), Some("a"));
        assert_eq!(
            value("container app", "vulnerabilities"),
            Some("2 high (Debian:12, 2026-01-01)")
        );
        assert_eq!(
            value("container app", "last end"),
            Some("OOMKilled exit code 137, 60s ago")
        );
        assert_eq!(
            value("events", "30s"),
            Some("BackOff (4 times)  Back-off restarting")
        );
        assert_eq!(value("annotations", "x"), None);
    }
}
