//! The end of a pod: hooks, signals, grace, and nothing left behind.
//!
//! Source: "Termination of Pods", Kubernetes documentation: the hook counts against the grace
//! period, application containers first, sidecars after them in reverse order.

use std::fs;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Lifecycle, Pod as PodObject};
use rustix::process::Signal;
use tokio::time::Instant;

use super::Worker;
use super::instance::{self, Stage};
use crate::node::container::Folder;

/// Kubernetes' default `terminationGracePeriodSeconds`.
const GRACE: u64 = 30;
/// The kernel needs a moment to end a killed process.
const AFTER_KILL: Duration = Duration::from_secs(10);

impl Worker {
    /// Stops everything, tells the last status, frees what the pod had, and lets its object go.
    pub(super) async fn stop(&mut self, object: &PodObject) {
        let seconds = object.metadata.deletion_grace_period_seconds.unwrap_or(30);
        let grace = Duration::from_secs(u64::try_from(seconds).unwrap_or(GRACE));
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
        if let Err(error) = fs::remove_dir_all(&folder) {
            let pod = object.metadata.name.as_deref().unwrap_or(&self.uid);
            tracing::warn!(pod, folder = %folder.display(), %error, "a pod's folder cannot be removed");
        }
    }

    /// Ends every container at once: there is nobody to ask how.
    pub(super) async fn stop_instances(&mut self) {
        let ends = self.instances.values();
        let ends = ends.map(|it| (it.folder().clone(), None)).collect();
        end_all(ends, Instant::now()).await;
    }

    /// Sidecars end when the last container has ended for good.
    pub(super) async fn stop_sidecars(&mut self, object: &PodObject) {
        self.stop_all(object, Instant::now() + Duration::from_secs(GRACE), true)
            .await;
        for instance in self.instances.values_mut() {
            instance.look();
        }
    }

    /// A container whose probe says that it is dead is ended; the restart policy does the rest.
    pub(super) async fn kill_unhealthy(&mut self, object: &PodObject) {
        let sick: Vec<(Folder, String, String)> = self
            .instances
            .values_mut()
            .filter(|instance| instance.is_running())
            .filter_map(|instance| {
                let message = instance.unhealthy.take()?;
                Some((instance.folder().clone(), instance.name.clone(), message))
            })
            .collect();
        for (folder, name, message) in sick {
            self.shared
                .warn(object, Some(&name), "Unhealthy", &message)
                .await;
            let killing = format!("Container {name} failed liveness probe, will be restarted");
            self.shared.note(object, &name, "Killing", &killing).await;
            let deadline = Instant::now() + Duration::from_secs(GRACE);
            end(&folder, None, deadline).await;
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
            ends.push((instance.folder().clone(), container.lifecycle.clone()));
        }
        end_all(ends, deadline).await;
    }
}

/// Ends containers side by side, each with its hooks.
async fn end_all(containers: Vec<(Folder, Option<Lifecycle>)>, deadline: Instant) {
    let mut ends = tokio::task::JoinSet::new();
    for (folder, hooks) in containers {
        ends.spawn(async move { end(&folder, hooks.as_ref(), deadline).await });
    }
    let _all_ended = ends.join_all().await;
}

/// Ends one container: its hook, its stop signal, and the kill when its time is over.
async fn end(folder: &Folder, hooks: Option<&Lifecycle>, deadline: Instant) {
    if let Some(hook) = hooks.and_then(|hooks| hooks.pre_stop.as_ref()) {
        let work = async {
            if let Some(sleep) = &hook.sleep {
                let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            if let Some(command) = hook.exec.as_ref().and_then(|exec| exec.command.clone()) {
                let _what_it_said = super::probe::run_command(folder, &command).await;
            }
        };
        let _in_time = tokio::time::timeout_at(deadline, work).await;
    }
    signal(folder, Signal::TERM);
    if gone(folder, deadline).await {
        return;
    }
    signal(folder, Signal::KILL);
    if !gone(folder, Instant::now() + AFTER_KILL).await {
        tracing::error!(folder = %folder.path().display(), "a killed container is still there");
    }
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
