//! Pods in trouble, those of one workload that share a state told together.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::SLOW_START;
use crate::k8s::columns::{NodeReady, PodPhase};
use crate::k8s::status::{self, Health};
use crate::k8s::{Cluster, Name, Object, ObjectKey, resources, workload};
use crate::stdx::humanize::counted;
use crate::tui::pages::pulse::finding::{Finding, FindingKind, Severity};
use crate::tui::pages::queue::waiting::short_refusals;

/// Deletion that takes this much longer than the time that was asked for hangs on something.
const SLOW_END: SignedDuration = SignedDuration::from_secs(60);

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
pub(super) fn pods(
    cluster: &Cluster,
    now: Timestamp,
    found: &mut Vec<Finding>,
) -> BTreeMap<ObjectKey, usize> {
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

/// Whether a pod does not work: in a way that pulse tells of, or on a machine that does not answer.
pub(super) fn fails(cluster: &Cluster, object: &Object, now: Timestamp) -> bool {
    let Some(pod) = object.pod().filter(|pod| !pod.is_finished()) else {
        return false;
    };
    if is_on_dead_node(cluster, object) {
        return true;
    }
    let usual = pod.ready && pod.phase == PodPhase::Running;
    !usual && trouble(object, now).is_some_and(|(kind, _)| kind != FindingKind::Terminating)
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
