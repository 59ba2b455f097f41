//! What the agent reads of a pod: slim wire types, decoded for one pod while it is looked at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::k8s::{Name, Uid};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Metadata,
    pub spec: Spec,
    pub status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub name: Name,
    pub namespace: Name,
    pub uid: Uid,
    pub annotations: BTreeMap<Name, String>,
    pub deletion_timestamp: Option<Timestamp>,
    pub deletion_grace_period_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    pub restart_policy: Name,
    pub host_network: bool,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
    pub readiness_gates: Vec<ReadinessGate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: Name,
    pub image: Name,
    pub image_pull_policy: Name,
    pub restart_policy: Name,
    pub readiness_probe: Option<Probe>,
    pub startup_probe: Option<Probe>,
    pub lifecycle: Lifecycle,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    pub initial_delay_seconds: i64,
    pub period_seconds: i64,
    pub http_get: Option<serde::de::IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    pub pre_stop: PreStop,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PreStop {
    pub sleep: Option<Sleep>,
    pub exec: Option<Exec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Sleep {
    pub seconds: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Exec {
    pub command: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    pub condition_type: Name,
}

/// The part of a pod's status that is the agent's to write, and the conditions, which it shares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub phase: Name,
    pub conditions: Vec<Value>,
    #[serde(skip_serializing_if = "Name::is_empty")]
    pub reason: Name,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(rename = "hostIP", skip_serializing_if = "Name::is_empty")]
    pub host_ip: Name,
    #[serde(rename = "hostIPs", skip_serializing_if = "Vec::is_empty")]
    pub host_ips: Vec<Address>,
    #[serde(rename = "podIP", skip_serializing_if = "Name::is_empty")]
    pub pod_ip: Name,
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Address {
    pub ip: Name,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    pub name: Name,
    pub state: State,
    pub last_state: State,
    pub ready: bool,
    pub restart_count: u32,
    pub image: Name,
    #[serde(rename = "imageID")]
    pub image_id: String,
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    pub started: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Waiting {
    pub reason: Name,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    pub started_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    pub exit_code: i32,
    pub reason: Name,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
}

impl State {
    pub fn waiting(reason: &str, message: String) -> Self {
        Self {
            waiting: Some(Waiting {
                reason: reason.into(),
                message,
            }),
            ..Self::default()
        }
    }

    pub fn running(started_at: Timestamp) -> Self {
        Self {
            running: Some(Running {
                started_at: Some(started_at),
            }),
            ..Self::default()
        }
    }

    pub fn terminated(end: Terminated) -> Self {
        Self {
            terminated: Some(end),
            ..Self::default()
        }
    }

    /// When the container that is running started.
    pub fn running_since(&self) -> Option<Timestamp> {
        self.running.as_ref().and_then(|running| running.started_at)
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn waiting_reason(&self) -> &str {
        self.waiting
            .as_ref()
            .map_or("", |waiting| waiting.reason.as_str())
    }
}

impl Container {
    /// An init container that keeps running beside the app.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }

    /// Seconds that the container's `preStop` is known to take: a `sleep`, or the command `sleep n`
    /// also within a shell line.
    pub fn pre_stop_seconds(&self) -> i64 {
        let hook = &self.lifecycle.pre_stop;
        if let Some(sleep) = &hook.sleep {
            return sleep.seconds;
        }
        let line = hook.exec.as_ref().map(|exec| exec.command.join(" "));
        let mut words = line.as_deref().unwrap_or_default().split_whitespace();
        words.find(|word| *word == "sleep");
        words
            .next()
            .and_then(|word| {
                word.trim_matches(|letter: char| !letter.is_ascii_digit())
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    }
}

impl Spec {
    /// The init container or container of this position: init containers first.
    pub fn container(&self, slot: usize) -> Option<&Container> {
        let inits = self.init_containers.len();
        if slot < inits {
            self.init_containers.get(slot)
        } else {
            self.containers.get(slot - inits)
        }
    }

    pub fn slots(&self) -> usize {
        self.init_containers.len() + self.containers.len()
    }

    pub fn is_init(&self, slot: usize) -> bool {
        slot < self.init_containers.len()
    }

    pub fn restarts_always(&self) -> bool {
        self.restart_policy.is_empty() || self.restart_policy == "Always"
    }
}

impl Status {
    /// The status of the container in this position: init containers first.
    pub fn container(&self, slot: usize) -> Option<&ContainerStatus> {
        let inits = self.init_container_statuses.len();
        if slot < inits {
            self.init_container_statuses.get(slot)
        } else {
            self.container_statuses.get(slot - inits)
        }
    }

    pub fn container_mut(&mut self, slot: usize) -> Option<&mut ContainerStatus> {
        let inits = self.init_container_statuses.len();
        if slot < inits {
            self.init_container_statuses.get_mut(slot)
        } else {
            self.container_statuses.get_mut(slot - inits)
        }
    }

    pub fn containers_mut(&mut self) -> impl Iterator<Item = &mut ContainerStatus> {
        self.init_container_statuses
            .iter_mut()
            .chain(&mut self.container_statuses)
    }

    pub fn is_finished(&self) -> bool {
        self.phase == "Succeeded" || self.phase == "Failed"
    }
}

impl Pod {
    /// Puts one status per container in the specification's order, keeping those that are known.
    pub fn align_statuses(&mut self) {
        let waiting = if self.spec.init_containers.is_empty() {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        self.status.init_container_statuses = aligned(
            &self.spec.init_containers,
            &self.status.init_container_statuses,
            "PodInitializing",
        );
        self.status.container_statuses = aligned(
            &self.spec.containers,
            &self.status.container_statuses,
            waiting,
        );
    }
}

fn aligned(
    containers: &[Container],
    statuses: &[ContainerStatus],
    waiting: &str,
) -> Vec<ContainerStatus> {
    let fresh = |container: &Container| ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone(),
        state: State::waiting(waiting, String::new()),
        ..ContainerStatus::default()
    };
    containers
        .iter()
        .map(|container| {
            let known = statuses.iter().find(|status| status.name == container.name);
            known.cloned().unwrap_or_else(|| fresh(container))
        })
        .collect()
}
