//! Looks over a whole cluster for what is wrong.
//!
//! One pass over the pods' header columns, one decode of each workload: at 150,000 pods this is
//! tens of milliseconds, so it runs when the cluster has changed and never while a frame is drawn.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::finding::{Finding, FindingKind, Lost, Severity, rank};
use crate::k8s::columns::{NodeReady, PodPhase};
use crate::k8s::status::{self, Health};
use crate::k8s::workload::{self, Rollout, WORKLOADS, Workload};
use crate::k8s::{Cluster, LabelSelector, Name, Object, ObjectKey, resources};
use crate::stdx::humanize::{self, counted};
use crate::topology::budget;
use crate::topology::level::levels;
use crate::tui::pages::queue::waiting::short_refusals;

/// A pod that waits this long without a refusal by the scheduler is worth a line: it is longer
/// than pulling a large image usually takes.
const SLOW_START: SignedDuration = SignedDuration::from_secs(180);
/// Deletion that takes this much longer than the time that was asked for hangs on something.
const SLOW_END: SignedDuration = SignedDuration::from_secs(60);
/// Source: `DefaultTolerationSeconds` admission: pods stay this long on a machine that is gone.
const EVICTION_AFTER: SignedDuration = SignedDuration::from_secs(300);

/// Everything that is wrong, ranked.
pub fn findings(cluster: &Cluster, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    nodes(cluster, now, &mut found);
    let troubled = pods(cluster, now, &mut found);
    workloads(cluster, &troubled, &mut found);
    budgets(cluster, &mut found);
    services(cluster, &mut found);
    claims(cluster, now, &mut found);
    rank(&mut found);
    found
}

fn nodes(cluster: &Cluster, now: Timestamp, found: &mut Vec<Finding>) {
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

fn is_finished(pod: &Object) -> bool {
    pod.pod()
        .is_some_and(crate::k8s::columns::PodColumns::is_finished)
}

/// Pods of one workload that share a state.
struct Group {
    root: ObjectKey,
    health: Health,
    word: Name,
    pods: usize,
    restarts: u32,
    since: Option<Timestamp>,
    example: Arc<Object>,
    kind: FindingKind,
}

/// Finds pods in trouble and says how many each workload has.
fn pods(cluster: &Cluster, now: Timestamp, found: &mut Vec<Finding>) -> BTreeMap<ObjectKey, usize> {
    let mut groups: BTreeMap<(ObjectKey, FindingKind, Name), Group> = BTreeMap::new();
    for object in cluster.pods() {
        let Some(pod) = object.pod() else { continue };
        // The usual pod is done with here, without an allocation.
        if pod.ready && pod.phase == PodPhase::Running && !object.is_terminating() {
            continue;
        }
        let Some((kind, status)) = trouble(object, now) else {
            continue;
        };
        if is_on_dead_node(cluster, object) {
            continue;
        }
        let root = workload::root_of(cluster, object).key.clone();
        let since = if kind == FindingKind::Terminating {
            object.deleted
        } else {
            pod.ready_since.or(object.created)
        };
        let group = groups
            .entry((root.clone(), kind, status.word.clone()))
            .or_insert_with(|| Group {
                root,
                health: status.health,
                word: status.word.clone(),
                pods: 0,
                restarts: 0,
                since,
                example: Arc::clone(object),
                kind,
            });
        group.pods += 1;
        group.restarts = group.restarts.saturating_add(status.restarts);
        group.since = match (group.since, since) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        };
    }
    let mut troubled = BTreeMap::new();
    for group in groups.into_values() {
        *troubled.entry(group.root.clone()).or_insert(0) += group.pods;
        found.push(group.into_finding(cluster));
    }
    troubled
}

fn trouble(object: &Object, now: Timestamp) -> Option<(FindingKind, status::PodStatus)> {
    let pod = object.pod()?;
    let status = status::of_pod(object)?;
    let older_than = |since: Option<Timestamp>, bound: SignedDuration| {
        since.is_some_and(|since| now.duration_since(since) > bound)
    };
    let kind = match status.health {
        Health::Bad if pod.node.is_none() && pod.unscheduled.is_some() => FindingKind::Pending,
        // A pod that a job or an evicting node agent left behind is history, not trouble, once
        // its owner has replaced it; the workload's own state tells where it has not.
        Health::Bad if pod.phase == PodPhase::Failed && object.controller().is_some() => {
            return None;
        }
        Health::Bad | Health::Unknown => FindingKind::Pods,
        Health::Partly if older_than(pod.ready_since.or(object.created), SLOW_START) => {
            FindingKind::Pods
        }
        Health::Waiting if older_than(object.created, SLOW_START) && !pod.scheduling_gated => {
            if pod.node.is_none() {
                FindingKind::Pending
            } else {
                FindingKind::Pods
            }
        }
        Health::Terminating if older_than(object.deleted, SLOW_END) => FindingKind::Terminating,
        _ => return None,
    };
    Some((kind, status))
}

fn is_on_dead_node(cluster: &Cluster, pod: &Object) -> bool {
    pod.pod()
        .and_then(|columns| columns.node.as_ref())
        .and_then(|node| cluster.find(&resources::NODES, "", node))
        .and_then(|object| Some(object.node()?.ready))
        .is_some_and(|ready| ready != NodeReady::True)
}

impl Group {
    fn into_finding(self, cluster: &Cluster) -> Finding {
        let all = cluster
            .get(&self.root)
            .filter(|root| root.pod().is_none())
            .map_or(1, |root| workload::pods_of(cluster, root).len());
        let what = if all > 1 {
            format!("{} of {}", self.pods, counted(all, "pod", "pods"))
        } else {
            "its only pod".to_owned()
        };
        let severity = match self.kind {
            FindingKind::Terminating => Severity::Warning,
            _ if self.pods >= all => Severity::Critical,
            _ if self.health == Health::Waiting => Severity::Warning,
            _ => Severity::Serious,
        };
        let mut why = cause(&self.example);
        if self.restarts > 0 {
            let restarts = counted(self.restarts as usize, "restart", "restarts");
            why = if why.is_empty() {
                restarts
            } else {
                format!("{why}; {restarts}")
            };
        }
        let word = if self.kind == FindingKind::Pending {
            Name::new_static("Pending")
        } else {
            self.word
        };
        Finding {
            severity,
            kind: self.kind,
            about: self.root,
            domain: None,
            example: Some(self.example.key.clone()),
            since: self.since,
            extent: self.pods,
            word,
            what,
            why,
        }
    }
}

/// Why a pod is as it is, in upstream's words.
fn cause(object: &Object) -> String {
    let Some(pod) = object.pod() else {
        return String::new();
    };
    if let (Some(refusal), None) = (&pod.unscheduled, &pod.node) {
        return short_refusals(&refusal.1);
    }
    if object.is_terminating() && !object.finalizers.is_empty() {
        return format!("waits for finalizer {}", object.finalizers.join(", "));
    }
    let json = object.json();
    let waiting = ["/status/containerStatuses", "/status/initContainerStatuses"]
        .iter()
        .filter_map(|pointer| json.pointer(pointer)?.as_array())
        .flatten()
        .find_map(|status| {
            let message = status.pointer("/state/waiting/message")?.as_str()?;
            (!message.is_empty()).then(|| message.to_owned())
        });
    let ended = || {
        let container = pod
            .containers
            .iter()
            .filter(|container| container.last_end.is_some())
            .max_by_key(|container| container.restarts)?;
        let end = container.last_end.as_deref()?;
        Some(format!(
            "{} ended with {}, exit code {}",
            container.name,
            if end.reason.is_empty() {
                "no reason"
            } else {
                &end.reason
            },
            end.exit_code
        ))
    };
    // "back-off 40s restarting failed container" says less than how the container ended.
    match waiting {
        Some(message) if !message.starts_with("back-off") => message,
        other => ended().or(other).unwrap_or_default(),
    }
}

fn workloads(cluster: &Cluster, troubled: &BTreeMap<ObjectKey, usize>, found: &mut Vec<Finding>) {
    for resource in &WORKLOADS {
        for object in cluster.list(resource) {
            // What is owned is told by its owner.
            if object.controller().is_some() {
                continue;
            }
            let Ok(Some(workload)) = Workload::read(object) else {
                continue;
            };
            if let Some(finding) = of_workload(&workload, troubled.contains_key(&object.key)) {
                found.push(finding);
            }
        }
    }
}

fn of_workload(workload: &Workload, pods_told: bool) -> Option<Finding> {
    let missing = (workload.desired - workload.ready).max(0);
    let (word, why) = match &workload.rollout {
        Rollout::Stuck { reason, message } | Rollout::Refused { reason, message } => {
            (reason.clone(), message.to_string())
        }
        Rollout::Paused if workload.updated < workload.desired => (
            Name::new_static("paused"),
            "a change is kept back until it is resumed".to_owned(),
        ),
        // Pods that are missing without a trace: nothing else tells of them.
        Rollout::Complete | Rollout::Waiting { .. }
            if !pods_told && workload.current < workload.desired =>
        {
            (
                Name::new_static("too few pods"),
                format!("{} of {} exist", workload.current, workload.desired),
            )
        }
        _ => return None,
    };
    let severity = match &workload.rollout {
        Rollout::Paused => Severity::Note,
        _ if workload.desired > 0 && workload.ready == 0 => Severity::Critical,
        _ => Severity::Serious,
    };
    let what = if workload.desired > 0 {
        format!("{} of {} ready", workload.ready, workload.desired)
    } else {
        workload.detail.to_string()
    };
    Some(Finding {
        severity,
        kind: FindingKind::Workload,
        about: workload.key.clone(),
        domain: None,
        example: None,
        since: None,
        extent: usize::try_from(missing).unwrap_or(0),
        word,
        what,
        why,
    })
}

fn budgets(cluster: &Cluster, found: &mut Vec<Finding>) {
    for budget in budget::budgets(cluster) {
        if budget.covered > 0 && budget.healthy < budget.needs() {
            found.push(Finding {
                severity: Severity::Warning,
                kind: FindingKind::Budget,
                about: budget.key.clone(),
                domain: None,
                example: None,
                since: None,
                extent: (budget.needs() - budget.healthy) as usize,
                word: Name::new_static("below budget"),
                what: format!("{} healthy, {} wanted", budget.healthy, budget.needs()),
                why: "evictions of its pods are refused".to_owned(),
            });
        }
    }
}

/// Services that select pods of which none is ready: whoever calls them gets nothing.
fn services(cluster: &Cluster, found: &mut Vec<Finding>) {
    for object in cluster.list(&resources::SERVICES) {
        let json = object.json();
        let Some(selector) = json.pointer("/spec/selector").and_then(Value::as_object) else {
            continue;
        };
        let match_labels = serde_json::json!({"matchLabels": selector});
        let Ok(selector) = serde_json::from_value::<LabelSelector>(match_labels) else {
            continue;
        };
        if selector.is_empty() {
            continue;
        }
        let (mut all, mut ready) = (0_usize, 0_usize);
        for pod in cluster.list_in(&resources::PODS, object.namespace()) {
            if selector.matches(&pod.labels) && !is_finished(pod) {
                all += 1;
                ready += usize::from(pod.pod().is_some_and(|pod| pod.ready));
                if ready > 0 {
                    break;
                }
            }
        }
        if all > 0 && ready == 0 {
            found.push(Finding {
                severity: Severity::Critical,
                kind: FindingKind::Service,
                about: object.key.clone(),
                domain: None,
                example: None,
                since: None,
                extent: all,
                word: Name::new_static("no endpoint"),
                what: format!("0 of {} ready", counted(all, "pod", "pods")),
                why: "calls to it fail".to_owned(),
            });
        }
    }
}

fn claims(cluster: &Cluster, now: Timestamp, found: &mut Vec<Finding>) {
    for object in cluster.list(&resources::PERSISTENT_VOLUME_CLAIMS) {
        let old = object
            .created
            .is_some_and(|created| now.duration_since(created) > SLOW_START);
        if !old {
            continue;
        }
        let json = object.json();
        let phase = json
            .pointer("/status/phase")
            .and_then(Value::as_str)
            .unwrap_or("Pending");
        if phase != "Bound" {
            found.push(Finding {
                severity: if phase == "Lost" {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                kind: FindingKind::Claim,
                about: object.key.clone(),
                domain: None,
                example: None,
                since: object.created,
                extent: 1,
                word: Name::new(phase),
                what: "claim without a volume".to_owned(),
                why: String::new(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;
    use crate::topology::level::RACK;

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().unwrap()
    }

    fn lines(drafts: &[build::Draft]) -> Vec<String> {
        findings(&build::cluster(drafts), now())
            .iter()
            .map(|finding| {
                format!(
                    "{} {} {}: {}; {}",
                    finding.severity.word(),
                    finding.about.name,
                    finding.word,
                    finding.what,
                    finding.why
                )
            })
            .collect()
    }

    fn crashing(name: &str) -> build::Draft {
        build::pod(name).node("n1").with(
            &json!({"status": {"phase": "Running", "conditions": [], "containerStatuses": [
            {"name": "app", "restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff",
                "message": "back-off 5m0s restarting failed container"}},
             "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}),
        )
    }

    #[test]
    fn healthy_cluster_has_nothing_to_say() {
        let drafts = [build::node("n1"), build::pod("a").node("n1").running()];
        assert_eq!(lines(&drafts), Vec::<String>::new());
    }

    #[test]
    fn dead_node_comes_first_and_swallows_its_pods() {
        let drafts = [
            build::node("n1").not_ready(),
            build::node("n2").cordoned(),
            build::pod("a")
                .node("n1")
                .with(&json!({"status": {"phase": "Running"}})),
        ];
        let found = lines(&drafts);
        assert!(
            found[0].starts_with("critical n1 NotReady: 1 pod on it"),
            "{found:?}"
        );
        assert_eq!(
            found[1],
            "note n2 cordoned: 0 pods on it; takes no new pods"
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn lost_rack_is_one_finding_and_a_lone_machine_beside_it_another() {
        let in_rack = |name: &str, rack: &str| build::node(name).label(RACK, rack);
        let drafts = [
            in_rack("n1", "r1").not_ready(),
            in_rack("n2", "r1").not_ready(),
            in_rack("n3", "r2").not_ready(),
            in_rack("n4", "r2"),
            build::pod("a")
                .node("n2")
                .with(&json!({"status": {"phase": "Running"}})),
        ];
        let found = findings(&build::cluster(&drafts), now());
        let told: Vec<_> = found
            .iter()
            .map(|finding| (finding.kind, &*finding.about.name, finding.what.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (FindingKind::Domain, "n1", "2 nodes down, 1 pod"),
                (FindingKind::Node, "n3", "0 pods on it"),
            ]
        );
        let lost = found[0].domain.as_ref().unwrap();
        assert_eq!((&*lost.level.title, &*lost.name), ("rack", "r1"));
    }

    #[test]
    fn crash_loop_is_told_by_how_it_ended() {
        let drafts = [build::node("n1"), crashing("a")];
        assert_eq!(
            lines(&drafts),
            [
                "critical a CrashLoopBackOff: its only pod; app ended with OOMKilled, exit code 137; 7 restarts"
            ]
        );
    }

    #[test]
    fn refused_pods_are_one_finding_with_the_schedulers_words() {
        let refused = |name: &str| {
            build::pod(name).with(&json!({
                "metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet",
                    "name": "search", "uid": "StatefulSet/default/search", "controller": true}]},
                "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                    "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}]}}))
        };
        let drafts = [
            build::stateful_set("search")
                .with(&json!({"spec": {"replicas": 3}, "status": {"replicas": 3}})),
            build::pod("search-0")
                .owner("StatefulSet", "search")
                .node("n1")
                .running(),
            refused("search-1"),
            refused("search-2"),
            build::node("n1"),
        ];
        assert_eq!(
            lines(&drafts),
            ["serious search Pending: 2 of 3 pods; 3 Insufficient memory"]
        );
    }

    #[test]
    fn service_without_a_ready_pod_is_critical() {
        let drafts = [
            build::object(resources::SERVICES, "v1", "Service", "cart")
                .with(&json!({"spec": {"selector": {"app": "cart"}}})),
            build::node("n1"),
            crashing("cart-1").label("app", "cart"),
        ];
        let found = lines(&drafts);
        assert!(
            found.contains(
                &"critical cart no endpoint: 0 of 1 pod ready; calls to it fail".to_owned()
            )
        );
    }
}
