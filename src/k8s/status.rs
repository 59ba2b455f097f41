//! How a pod or a node is, in the one word that `kubectl get` prints, and how serious that is.
//!
//! Derived from the header's columns alone, so that it may be asked of every pod of a fleet.
//! Source of the words: `printPod` and `printNode` in `pkg/printers/internalversion` of Kubernetes
//! 1.36.

use jiff::Timestamp;

use super::columns::{
    ContainerColumns, ContainerRole, ContainerState, NodeColumns, NodeReady, PodColumns, PodPhase,
};
use super::key::Name;
use super::object::Object;

/// What `kubectl get pods` says about a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodStatus {
    /// `Running`, `CrashLoopBackOff`, `Init:0/2`, `Terminating`, …
    pub word: Name,
    /// Ready containers, sidecars included.
    pub ready: u32,
    /// Containers that can become ready: the app's and the sidecars.
    pub containers: u32,
    pub restarts: u32,
    /// When the instance before the last restart ended.
    pub last_restart: Option<Timestamp>,
    pub health: Health,
}

/// How serious a state is, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Health {
    /// Ready and as wanted.
    Good,
    /// It ended as it should.
    Done,
    /// On its way out.
    Terminating,
    /// On its way, nothing is wrong so far.
    Waiting,
    /// Works in part.
    Partly,
    /// Nobody knows: its machine does not answer.
    Unknown,
    /// Does not work and will not by waiting alone.
    Bad,
}

impl Health {
    /// Whether somebody should look at it.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Bad | Self::Unknown | Self::Partly)
    }
}

/// The status of a pod; `None` for any other object.
pub fn of_pod(object: &Object) -> Option<PodStatus> {
    object
        .pod()
        .map(|pod| pod_status(pod, object.is_terminating()))
}

/// What `kubectl get pods` prints for a pod with these columns.
pub fn pod_status(pod: &PodColumns, terminating: bool) -> PodStatus {
    let mut summary = Summary::of_phase(pod);
    let initializing = summary.read_init_containers(pod);
    if !initializing || pod.initialized {
        summary.read_app_containers(pod);
    }
    if terminating && pod.reason == "NodeLost" {
        summary.word = Name::new_static("Unknown");
    } else if terminating && !pod.is_finished() {
        summary.word = Name::new_static("Terminating");
    }
    let containers = pod
        .containers
        .iter()
        .filter(|container| container.role != ContainerRole::Init)
        .count();
    let containers = u32::try_from(containers).unwrap_or(u32::MAX);
    let health = health(pod, &summary, terminating);
    PodStatus {
        word: summary.word,
        ready: summary.ready,
        containers,
        restarts: summary.restarts,
        last_restart: summary.last_restart,
        health,
    }
}

/// `Ready`, `NotReady,SchedulingDisabled`, …
pub fn node_word(node: &NodeColumns) -> &'static str {
    match (node.ready, node.unschedulable) {
        (NodeReady::True, false) => "Ready",
        (NodeReady::True, true) => "Ready,SchedulingDisabled",
        (_, false) => "NotReady",
        (_, true) => "NotReady,SchedulingDisabled",
    }
}

pub fn node_health(node: &NodeColumns) -> Health {
    match (node.ready, node.unschedulable) {
        (NodeReady::True, false) => Health::Good,
        (NodeReady::True, true) => Health::Partly,
        (NodeReady::False, _) => Health::Bad,
        (NodeReady::Unknown, _) => Health::Unknown,
    }
}

struct Summary {
    word: Name,
    ready: u32,
    restarts: u32,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of_phase(pod: &PodColumns) -> Self {
        let gated = |refusal: &(Name, Name)| refusal.0 == "SchedulingGated";
        let word = if pod.unscheduled.as_deref().is_some_and(gated) {
            Name::new_static("SchedulingGated")
        } else if pod.reason.is_empty() {
            Name::new_static(match pod.phase {
                PodPhase::Pending => "Pending",
                PodPhase::Running => "Running",
                PodPhase::Succeeded => "Succeeded",
                PodPhase::Failed => "Failed",
                PodPhase::Unknown => "Unknown",
            })
        } else {
            pod.reason.clone()
        };
        Self {
            word,
            ready: 0,
            restarts: 0,
            last_restart: None,
        }
    }

    /// Whether an init container still stands in the way; its state then is the pod's.
    fn read_init_containers(&mut self, pod: &PodColumns) -> bool {
        let init = || {
            pod.containers
                .iter()
                .filter(|container| container.role != ContainerRole::App)
        };
        for (index, container) in init().enumerate() {
            if !is_reported(container) {
                return false;
            }
            self.count_restarts(container);
            let sidecar = container.role == ContainerRole::Sidecar;
            match &container.state {
                ContainerState::Terminated(end) if end.exit_code == 0 => {}
                _ if sidecar && container.started => self.ready += u32::from(container.ready),
                ContainerState::Terminated(end) => {
                    self.word = Name::from(format!("Init:{}", end_word(end)));
                    return true;
                }
                ContainerState::Waiting { reason }
                    if !reason.is_empty() && reason != "PodInitializing" =>
                {
                    self.word = Name::from(format!("Init:{reason}"));
                    return true;
                }
                _ => {
                    self.word = Name::from(format!("Init:{index}/{}", init().count()));
                    return true;
                }
            }
        }
        false
    }

    fn read_app_containers(&mut self, pod: &PodColumns) {
        self.restarts = 0;
        self.last_restart = None;
        let mut has_running = false;
        for container in pod.containers.iter().rev() {
            if container.role != ContainerRole::Init {
                self.count_restarts(container);
            }
            if container.role != ContainerRole::App {
                continue;
            }
            match &container.state {
                ContainerState::Waiting { reason } => {
                    if !reason.is_empty() {
                        self.word = reason.clone();
                    }
                }
                ContainerState::Terminated(end) => self.word = end_word(end),
                ContainerState::Running { .. } => {
                    if container.ready {
                        has_running = true;
                        self.ready += 1;
                    }
                }
            }
        }
        if self.word == "Completed" && has_running {
            self.word = Name::new_static(if pod.ready { "Running" } else { "NotReady" });
        }
    }

    fn count_restarts(&mut self, container: &ContainerColumns) {
        self.restarts = self.restarts.saturating_add(container.restarts);
        let ended = container.last_end.as_ref().and_then(|end| end.finished_at);
        self.last_restart = self.last_restart.max(ended);
    }
}

/// Columns hold an entry for every container of the specification; a node agent that has reported
/// one always gives a waiting container a reason.
fn is_reported(container: &ContainerColumns) -> bool {
    !matches!(&container.state, ContainerState::Waiting { reason } if reason.is_empty())
}

fn end_word(end: &super::columns::ContainerEnd) -> Name {
    if !end.reason.is_empty() {
        end.reason.clone()
    } else if end.signal != 0 {
        Name::from(format!("Signal:{}", end.signal))
    } else {
        Name::from(format!("ExitCode:{}", end.exit_code))
    }
}

/// The container states that waiting alone does not mend, as the kubelet names them.
const STUCK: &[&str] = &[
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PostStartHookError",
    "PreCreateHookError",
    "CreatePodSandboxError",
    "OOMKilled",
    "Error",
    "ContainerCannotRun",
    "ContainerStatusUnknown",
];

fn health(pod: &PodColumns, summary: &Summary, terminating: bool) -> Health {
    let word = summary.word.as_str();
    let word = word.strip_prefix("Init:").unwrap_or(word);
    let bad =
        || STUCK.contains(&word) || word.starts_with("Signal:") || word.starts_with("ExitCode:");
    match pod.phase {
        _ if terminating && word == "Unknown" => Health::Unknown,
        PodPhase::Succeeded => Health::Done,
        PodPhase::Failed => Health::Bad,
        _ if terminating => Health::Terminating,
        PodPhase::Unknown => Health::Unknown,
        _ if bad() => Health::Bad,
        PodPhase::Running if pod.ready => Health::Good,
        PodPhase::Running => Health::Partly,
        PodPhase::Pending => match &pod.unscheduled {
            Some(refusal) if refusal.0 == "Unschedulable" => Health::Bad,
            _ => Health::Waiting,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::k8s::resources;

    #[expect(clippy::needless_pass_by_value, reason = "rows of a table read better")]
    #[track_caller]
    fn check(spec: Value, status: Value, word: &str, ready: &str, health: Health) {
        let pod = json!({"metadata": {"name": "a"}, "spec": spec, "status": status});
        let pod = Object::from_json(resources::PODS, &pod).unwrap();
        let found = of_pod(&pod).unwrap();
        assert_eq!(found.word, word);
        assert_eq!(format!("{}/{}", found.ready, found.containers), ready);
        assert_eq!(found.health, health);
    }

    fn two_stage() -> Value {
        json!({"nodeName": "n", "containers": [{"name": "app"}], "initContainers": [
            {"name": "migrate"}, {"name": "proxy", "restartPolicy": "Always"}]})
    }

    #[test]
    fn plain_phases_read_as_kubectl_prints_them() {
        let app = json!({"containers": [{"name": "app"}]});
        check(
            app.clone(),
            json!({"phase": "Pending"}),
            "Pending",
            "0/1",
            Health::Waiting,
        );
        check(
            app.clone(),
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
                   "containerStatuses": [{"name": "app", "ready": true, "state": {"running": {}}}]}),
            "Running",
            "1/1",
            Health::Good,
        );
        check(
            app.clone(),
            json!({"phase": "Running", "containerStatuses": [{"name": "app", "restartCount": 3,
                   "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            "CrashLoopBackOff",
            "0/1",
            Health::Bad,
        );
        check(
            app.clone(),
            json!({"phase": "Failed", "reason": "Evicted"}),
            "Evicted",
            "0/1",
            Health::Bad,
        );
        check(
            app,
            json!({"phase": "Failed", "containerStatuses": [{"name": "app",
                   "state": {"terminated": {"exitCode": 137, "signal": 9}}}]}),
            "Signal:9",
            "0/1",
            Health::Bad,
        );
    }

    #[test]
    fn init_containers_and_sidecars_are_told_apart() {
        let waiting = json!({"waiting": {"reason": "PodInitializing"}});
        check(
            two_stage(),
            json!({"phase": "Pending"}),
            "Pending",
            "0/2",
            Health::Waiting,
        );
        check(
            two_stage(),
            json!({"phase": "Pending", "initContainerStatuses": [
                {"name": "migrate", "state": {"running": {}}}, {"name": "proxy", "state": waiting}]}),
            "Init:0/2",
            "0/2",
            Health::Waiting,
        );
        check(
            two_stage(),
            json!({"phase": "Pending", "initContainerStatuses": [
                {"name": "migrate", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                {"name": "proxy", "state": waiting}]}),
            "Init:CrashLoopBackOff",
            "0/2",
            Health::Bad,
        );
        check(
            two_stage(),
            json!({"phase": "Pending", "initContainerStatuses": [
                {"name": "migrate", "state": {"terminated": {"exitCode": 0}}},
                {"name": "proxy", "ready": true, "started": true, "state": {"running": {}}}],
                "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}}]}),
            "ContainerCreating",
            "1/2",
            Health::Waiting,
        );
    }

    #[test]
    fn deletion_shows_and_a_lost_node_shows_more() {
        let mut pod = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "app"}]}, "status": {"phase": "Running"}});
        let word = |pod: &Value| {
            of_pod(&Object::from_json(resources::PODS, pod).unwrap())
                .unwrap()
                .word
        };
        assert_eq!(word(&pod), "Terminating");
        pod["status"]["reason"] = json!("NodeLost");
        assert_eq!(word(&pod), "Unknown");
    }
}
