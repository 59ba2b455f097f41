//! Phase and conditions of a pod, as the kubelet derives them from its containers.
//!
//! Source: the kubelet's `getPhase` and its `GenerateContainersReadyCondition` and siblings,
//! Kubernetes 1.36. Conditions of others (`DisruptionTarget`, readiness gates) are left alone.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::machine::seconds;
use super::pod::{Container, ContainerStatus, Pod};
use crate::k8s::Name;

/// A condition to be written.
#[derive(Clone, Debug)]
pub struct Condition {
    kind: &'static str,
    state: bool,
    reason: &'static str,
    message: String,
}

/// A condition without a reason.
pub fn plain(kind: &'static str, state: bool) -> Condition {
    Condition {
        kind,
        state,
        reason: "",
        message: String::new(),
    }
}

pub fn is_true(conditions: &[Value], kind: &str) -> bool {
    find(conditions, kind).and_then(|entry| entry.get("status")?.as_str()) == Some("True")
}

/// When the pod's `Ready` condition turned true.
pub fn ready_since(conditions: &[Value]) -> Option<Timestamp> {
    let entry = find(conditions, "Ready").filter(|_| is_true(conditions, "Ready"))?;
    entry.get("lastTransitionTime")?.as_str()?.parse().ok()
}

fn find<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions
        .iter()
        .find(|entry| entry.get("type").and_then(Value::as_str) == Some(kind))
}

/// Writes a condition; its transition time moves only when its status turns.
pub fn put(conditions: &mut Vec<Value>, condition: Condition, now: Timestamp) {
    let state = if condition.state { "True" } else { "False" };
    let place = conditions
        .iter()
        .position(|entry| entry.get("type").and_then(Value::as_str) == Some(condition.kind));
    let since = place
        .and_then(|place| conditions.get(place))
        .filter(|entry| entry.get("status").and_then(Value::as_str) == Some(state))
        .and_then(|entry| entry.get("lastTransitionTime").cloned());
    let mut entry = json!({
        "type": condition.kind,
        "status": state,
        "lastProbeTime": null,
        "lastTransitionTime": since.unwrap_or_else(|| seconds(now).into()),
    });
    if let Some(fields) = entry.as_object_mut() {
        if !condition.reason.is_empty() {
            fields.insert("reason".into(), condition.reason.into());
        }
        if !condition.message.is_empty() {
            fields.insert("message".into(), condition.message.into());
        }
    }
    match place.and_then(|place| conditions.get_mut(place)) {
        Some(place) if is_equal(place, &entry) => {}
        Some(place) => *place = entry,
        None => conditions.push(entry),
    }
}

/// Equal but for the probe time, which a server may leave out.
fn is_equal(left: &Value, right: &Value) -> bool {
    ["status", "reason", "message"]
        .iter()
        .all(|field| left.get(field) == right.get(field))
}

/// Derives phase and conditions of an accepted pod.
pub fn settle(pod: &mut Pod, is_terminating: bool, now: Timestamp) {
    let phase = phase(pod, is_terminating);
    let mut conditions = std::mem::take(&mut pod.status.conditions);
    let is_over = phase == "Succeeded" || phase == "Failed";
    let has_sandbox = !is_over && is_true(&conditions, "PodReadyToStartContainers");
    put(
        &mut conditions,
        plain("PodReadyToStartContainers", has_sandbox),
        now,
    );
    put(&mut conditions, initialized(pod, phase), now);
    let containers = containers_ready(pod, phase);
    let ready = ready(pod, &conditions, &containers);
    put(&mut conditions, ready, now);
    put(&mut conditions, containers, now);
    if find(&conditions, "PodScheduled").is_none() {
        put(&mut conditions, plain("PodScheduled", true), now);
    }
    pod.status.conditions = conditions;
    pod.status.phase = phase.into();
}

fn phase(pod: &Pod, is_terminating: bool) -> &'static str {
    let spec = &pod.spec;
    let inits = spec
        .init_containers
        .iter()
        .zip(&pod.status.init_container_statuses);
    let mut pending_init = 0;
    let mut failed_init = 0;
    for (container, status) in inits {
        if container.is_sidecar() {
            let ran = status.state.is_running() || status.last_state.terminated.is_some();
            pending_init += usize::from(!ran && status.state.terminated.is_none());
            continue;
        }
        match (&status.state.terminated, &status.last_state.terminated) {
            (Some(end), _) => failed_init += usize::from(end.exit_code != 0),
            (None, Some(end)) if status.state.waiting.is_some() => {
                failed_init += usize::from(end.exit_code != 0);
                pending_init += usize::from(end.exit_code == 0);
            }
            (None, _) => pending_init += 1,
        }
    }
    let never = spec.restart_policy == "Never";
    if failed_init > 0 && never {
        return "Failed";
    }
    let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in &pod.status.container_statuses {
        let last = status.last_state.terminated.is_some();
        if status.state.is_running() {
            running += 1;
        } else if let Some(end) = &status.state.terminated {
            stopped += 1;
            succeeded += usize::from(end.exit_code == 0);
        } else if last {
            stopped += 1;
        } else {
            waiting += 1;
        }
    }
    let apps_ran = running + stopped > 0;
    if (pending_init > 0 || failed_init > 0) && !apps_ran {
        return "Pending";
    }
    if waiting > 0 {
        return "Pending";
    }
    if running > 0 || stopped == 0 {
        return "Running";
    }
    let all_ended = pod
        .status
        .container_statuses
        .iter()
        .all(|status| status.state.terminated.is_some());
    if !all_ended || (spec.restarts_always() && !is_terminating) {
        return "Running";
    }
    if stopped == succeeded {
        "Succeeded"
    } else if never || is_terminating {
        "Failed"
    } else {
        "Running"
    }
}

fn initialized(pod: &Pod, phase: &str) -> Condition {
    let incomplete: Vec<&Name> = pod
        .spec
        .init_containers
        .iter()
        .zip(&pod.status.init_container_statuses)
        .filter(|(container, status)| !is_initialized(container, status))
        .map(|(container, _)| &container.name)
        .collect();
    if phase == "Succeeded" {
        return Condition {
            reason: "PodCompleted",
            ..plain("Initialized", true)
        };
    }
    if incomplete.is_empty() {
        return plain("Initialized", true);
    }
    Condition {
        kind: "Initialized",
        state: false,
        reason: "ContainersNotInitialized",
        message: format!(
            "containers with incomplete status: [{}]",
            words(&incomplete)
        ),
    }
}

fn is_initialized(container: &Container, status: &ContainerStatus) -> bool {
    if container.is_sidecar() {
        return status.started || status.last_state.terminated.is_some();
    }
    let end = status.state.terminated.as_ref();
    end.is_some_and(|end| end.exit_code == 0)
}

fn containers_ready(pod: &Pod, phase: &str) -> Condition {
    let kind = "ContainersReady";
    let over = match phase {
        "Succeeded" => "PodCompleted",
        "Failed" => "PodFailed",
        _ => "",
    };
    if !over.is_empty() {
        return Condition {
            reason: over,
            ..plain(kind, false)
        };
    }
    let sidecars = pod
        .spec
        .init_containers
        .iter()
        .zip(&pod.status.init_container_statuses)
        .filter(|(container, _)| container.is_sidecar());
    let apps = pod
        .spec
        .containers
        .iter()
        .zip(&pod.status.container_statuses);
    let unready: Vec<&Name> = sidecars
        .chain(apps)
        .filter(|(_, status)| !status.ready)
        .map(|(container, _)| &container.name)
        .collect();
    if unready.is_empty() {
        return plain(kind, true);
    }
    Condition {
        kind,
        state: false,
        reason: "ContainersNotReady",
        message: format!("containers with unready status: [{}]", words(&unready)),
    }
}

fn ready(pod: &Pod, conditions: &[Value], containers: &Condition) -> Condition {
    if !containers.state {
        return Condition {
            kind: "Ready",
            ..containers.clone()
        };
    }
    let unmet: Vec<String> = pod
        .spec
        .readiness_gates
        .iter()
        .filter(|gate| !is_true(conditions, &gate.condition_type))
        .map(|gate| {
            let kind = &gate.condition_type;
            let problem = match find(conditions, kind) {
                None => "does not exist",
                Some(_) => "is not \"True\"",
            };
            format!("corresponding condition of pod readiness gate \"{kind}\" {problem}.")
        })
        .collect();
    if unmet.is_empty() {
        return plain("Ready", true);
    }
    Condition {
        kind: "Ready",
        state: false,
        reason: "ReadinessGatesNotReady",
        message: unmet.join(", "),
    }
}

fn words(names: &[&Name]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.join(" ")
}
