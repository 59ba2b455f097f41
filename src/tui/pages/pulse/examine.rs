//! Looks over a whole cluster for what is wrong.
//!
//! One pass over the pods' header columns, one decode of each workload: at 150,000 pods this is
//! tens of milliseconds, so it runs when the cluster has changed and never while a frame is drawn.

mod machines;
mod pods;
pub mod shared;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::finding::{Finding, FindingKind, Severity, rank};
use crate::k8s::workload::{Rollout, WORKLOADS, Workload};
use crate::k8s::{Cluster, LabelSelector, Name, Object, ObjectKey, resources};
use crate::stdx::humanize::counted;
use crate::topology::budget;

/// A pod that waits this long without a refusal by the scheduler is worth a line: it is longer
/// than pulling a large image usually takes.
const SLOW_START: SignedDuration = SignedDuration::from_secs(180);

/// Everything that is wrong, ranked.
pub fn findings(cluster: &Cluster, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    machines::nodes(cluster, now, &mut found);
    let troubled = pods::pods(cluster, now, &mut found);
    workloads(cluster, &troubled, &mut found);
    budgets(cluster, &mut found);
    services(cluster, &mut found);
    claims(cluster, now, &mut found);
    rank(&mut found);
    found
}

fn is_finished(pod: &Object) -> bool {
    pod.pod()
        .is_some_and(crate::k8s::columns::PodColumns::is_finished)
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
