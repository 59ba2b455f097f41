//! The end of a pod: hooks, signals, grace, and nothing left behind.
//!
//! Source: "Termination of Pods", Kubernetes documentation: the hook counts against the grace
//! period, application containers first, sidecars after them in reverse order.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as PodObject;
use rustix::process::Signal;
use tokio::time::Instant;

use super::Worker;
use super::instance::{self, Stage};
use super::probe::Verdict;
use super::question::Question;
use crate::node::container::{Folder, sandbox};
use crate::node::kubelet::Shared;

/// Kubernetes' default `terminationGracePeriodSeconds`.
const GRACE: u64 = 30;
/// The kernel needs a moment to end a killed process.
const AFTER_KILL: Duration = Duration::from_secs(10);

impl Worker {
    /// Stops everything, tells the last status, frees what the pod had, and lets its object go.
    pub(super) async fn stop(&mut self, object: &PodObject) {
        let asked = object.metadata.deletion_grace_period_seconds;
        let asked = asked.and_then(|seconds| u64::try_from(seconds).ok());
        // One that was deleted without grace is gone from the API and says only what it wanted itself
        // (`calculateEffectiveGracePeriod`, `pkg/kubelet/pod_workers.go`).
        let grace = asked.map_or_else(|| grace(object), Duration::from_secs);
        let deadline = Instant::now() + grace;
        self.stop_all(object, deadline, false).await;
        self.stop_all(object, deadline, true).await;
        for instance in self.instances.values_mut() {
            instance.look();
        }
        if let Some(pod) = self.read(object) {
            self.report(object, pod).await;
        }
        self.forget(object).await;
        self.shared.delete(object).await;
    }

    /// Frees what the pod had on this machine.
    pub(super) async fn forget(&self, object: &PodObject) {
        self.shared.detach(&self.uid).await;
        let folder = self.folder();
        super::volume::unmount_all(&folder);
        sandbox::remove(&folder);
        if let Err(error) = fs::remove_dir_all(&folder) {
            let pod = object.metadata.name.as_deref().unwrap_or(&self.uid);
            tracing::warn!(pod, folder = %folder.display(), %error, "a pod's folder cannot be removed");
        }
    }

    /// Ends every container at once: there is nobody to ask how.
    pub(super) async fn stop_instances(&mut self) {
        let ends = self.instances.values().map(|it| End {
            name: it.name.clone(),
            folder: it.folder().clone(),
            hook: None,
        });
        end_all(&self.shared, ends.collect(), Instant::now()).await;
    }

    /// Sidecars end when the last container has ended for good.
    pub(super) async fn stop_sidecars(&mut self, object: &PodObject) {
        self.stop_all(object, Instant::now() + grace(object), true)
            .await;
        for instance in self.instances.values_mut() {
            instance.look();
        }
    }

    /// A container whose probe or hook says that it is dead is ended; the restart policy does the
    /// rest.
    pub(super) async fn kill_unhealthy(&mut self, object: &PodObject) {
        let sick: Vec<(Folder, String, Verdict)> = self
            .instances
            .values_mut()
            .filter(|instance| instance.is_running())
            .filter_map(|instance| {
                let verdict = instance.unhealthy.take()?;
                Some((instance.folder().clone(), instance.name.clone(), verdict))
            })
            .collect();
        for (folder, name, verdict) in sick {
            let (reason, message, killing) = match verdict {
                Verdict::HookFailed(why) => {
                    tracing::debug!(container = name, why, "a postStart hook failed");
                    let message = "PostStartHook failed".to_owned();
                    ("FailedPostStartHook", message, "FailedPostStartHook")
                }
                Verdict::Dead(message) => ("Unhealthy", message, "probe"),
                _ => continue,
            };
            self.shared
                .warn(object, Some(&name), reason, &message)
                .await;
            let killing = match killing {
                "probe" if message.starts_with("Startup") => {
                    format!("Container {name} failed startup probe, will be restarted")
                }
                "probe" => format!("Container {name} failed liveness probe, will be restarted"),
                _ => format!("Killing container {name}: {killing}"),
            };
            self.shared.note(object, &name, "Killing", &killing).await;
            let hook = self.pre_stop(object, &name);
            let end = End { name, folder, hook };
            let deadline = Instant::now() + grace(object);
            self.end(object, vec![end], deadline).await;
        }
    }

    async fn stop_all(&mut self, object: &PodObject, deadline: Instant, sidecars: bool) {
        let mut ends = Vec::new();
        for instance in self.instances.values_mut() {
            instance.look();
            let Some(container) = instance::container(object, &instance.name) else {
                continue;
            };
            let is_sidecar = container.restart_policy.as_deref() == Some("Always");
            // What is being started has a shim already, or soon.
            let may_run = matches!(instance.stage, Stage::Running(_) | Stage::Creating);
            if is_sidecar != sidecars || !may_run {
                continue;
            }
            let message = format!("Stopping container {}", instance.name);
            self.shared
                .note(object, &instance.name, "Killing", &message)
                .await;
            ends.push((instance.name.clone(), instance.folder().clone()));
        }
        let ends = ends.into_iter().map(|(name, folder)| {
            let hook = self.pre_stop(object, &name);
            End { name, folder, hook }
        });
        let ends = ends.collect();
        self.end(object, ends, deadline).await;
    }

    fn pre_stop(&self, object: &PodObject, name: &str) -> Option<Question> {
        let container = instance::container(object, name)?;
        let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
        Some(Question::of_hook(hook, container, self.address?))
    }

    async fn end(&self, object: &PodObject, ends: Vec<End>, deadline: Instant) {
        for name in end_all(&self.shared, ends, deadline).await {
            self.shared
                .warn(
                    object,
                    Some(&name),
                    "FailedPreStopHook",
                    "PreStopHook failed",
                )
                .await;
        }
    }
}

/// How long the containers of a pod may take to end, when it is not the pod that ends.
fn grace(object: &PodObject) -> Duration {
    let spec = object.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.termination_grace_period_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Duration::from_secs(seconds.unwrap_or(GRACE))
}

/// A container to be ended.
struct End {
    name: String,
    folder: Folder,
    hook: Option<Question>,
}

/// Ends containers side by side, each with its hook; the names of those whose hook failed.
async fn end_all(shared: &Arc<Shared>, all: Vec<End>, deadline: Instant) -> Vec<String> {
    let mut ends = tokio::task::JoinSet::new();
    for one in all {
        let shared = Arc::clone(shared);
        ends.spawn(async move { end(&shared, one, deadline).await });
    }
    ends.join_all().await.into_iter().flatten().collect()
}

/// Ends one container: its hook, its stop signal, and the kill when its time is over. Its name where
/// the hook failed.
async fn end(shared: &Shared, one: End, deadline: Instant) -> Option<String> {
    let End { name, folder, hook } = one;
    let mut failed = None;
    if let Some(hook) = hook {
        let work = hook.carry_out(shared, &folder);
        let outcome = tokio::time::timeout_at(deadline, work).await;
        let outcome = outcome.unwrap_or_else(|_elapsed| Err("it takes too long".to_owned()));
        if let Err(why) = outcome {
            tracing::debug!(container = name, why, "a preStop hook failed");
            failed = Some(name);
        }
    }
    signal(&folder, folder.stop_signal());
    if gone(&folder, deadline).await {
        return failed;
    }
    signal(&folder, Signal::KILL);
    if !gone(&folder, Instant::now() + AFTER_KILL).await {
        tracing::error!(folder = %folder.path().display(), "a killed container is still there");
    }
    failed
}

fn signal(folder: &Folder, signal: Signal) {
    if let Err(error) = folder.signal(signal) {
        tracing::warn!(folder = %folder.path().display(), %error, "a container takes no signal");
    }
}

/// Waits for the container's end, which its shim writes down.
async fn gone(folder: &Folder, deadline: Instant) -> bool {
    while folder.exit().is_none() {
        let is_lost = folder.started().is_some() && !folder.is_kept();
        if is_lost {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
