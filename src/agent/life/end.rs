//! What happens to running containers: started, ready, unhealthy, ended.

use jiff::{SignedDuration, Timestamp};

use super::super::delay;
use super::super::pod::{Container, State, Terminated};
use super::{Action, Visit, whole_seconds};

/// A failing probe is reported at most this often; equal events are counted up anyway.
const UNHEALTHY_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

impl Visit<'_> {
    /// What a container's state leads to by itself.
    pub(super) fn add_turns(&self, slot: usize, candidates: &mut Vec<(Timestamp, Action)>) {
        let (Some(container), Some(status)) = (
            self.pod.spec.container(slot),
            self.pod.status.container(slot),
        ) else {
            return;
        };
        if let Some(at) = self.crash_back_off_at(slot) {
            candidates.push((at, Action::CrashBackOff(slot)));
        }
        let Some(since) = status.state.running_since() else {
            return;
        };
        if let Some(length) = self.run_length(slot, container, status.restart_count) {
            candidates.push((since + length, Action::End(slot)));
        }
        if self.pod.spec.is_init(slot) && !container.is_sidecar() {
            return;
        }
        if !status.started {
            let wait = self.probe_delay(container, status.restart_count, Probe::Startup);
            candidates.push((since + wait, Action::Started(slot)));
        } else if !status.ready {
            let concerns = self.trouble.concerns(&self.pod.spec, container);
            if concerns && self.trouble.never_ready {
                let next = self.life.unhealthy_at.get(&container.name);
                let first = since + self.probe_delay(container, 0, Probe::Readiness);
                candidates.push((next.copied().unwrap_or(first), Action::Unhealthy(slot)));
            } else {
                let wait = self.ready_delay(container, status.restart_count, concerns);
                candidates.push((since + wait, Action::Ready(slot)));
            }
        }
    }

    /// Whether a container that has just started is not ready at once.
    pub(super) fn waits_for_probe(&self, _slot: usize, container: &Container) -> bool {
        let concerns = self.trouble.concerns(&self.pod.spec, container);
        container.readiness_probe.is_some()
            || container.startup_probe.is_some()
            || (concerns && (self.trouble.never_ready || self.trouble.ready_after.is_some()))
    }

    fn ready_delay(&self, container: &Container, instance: u32, concerns: bool) -> SignedDuration {
        let asked = self.trouble.ready_after.filter(|_| concerns);
        asked.unwrap_or_else(|| self.probe_delay(container, instance, Probe::Readiness))
    }

    fn probe_delay(&self, container: &Container, instance: u32, probe: Probe) -> SignedDuration {
        let (spec, what) = match probe {
            Probe::Startup => (&container.startup_probe, "startup"),
            Probe::Readiness => (&container.readiness_probe, "readiness"),
        };
        let initial = spec
            .as_ref()
            .map_or(0, |spec| spec.initial_delay_seconds.clamp(0, 3_600));
        let name = format!("{}/{instance}/{what}", container.name);
        SignedDuration::from_secs(initial) + self.draw(&name, delay::WARM_UP)
    }

    /// How long an instance runs; `None`: until it is stopped.
    fn run_length(
        &self,
        slot: usize,
        container: &Container,
        instance: u32,
    ) -> Option<SignedDuration> {
        let name = format!("{}/{instance}/work", container.name);
        let concerns = self.trouble.concerns(&self.pod.spec, container);
        let crash = self
            .trouble
            .crash
            .as_ref()
            .filter(|_| concerns)
            .map(|crash| crash.after);
        let work = if container.is_sidecar() {
            None
        } else if self.pod.spec.is_init(slot) {
            Some(self.draw(&name, delay::INIT_WORK))
        } else if let Some(length) = self.trouble.run_for {
            Some(length)
        } else if self.pod.spec.restarts_always() {
            None
        } else {
            Some(self.draw(&name, delay::JOB_WORK))
        };
        match (crash, work) {
            (Some(crash), Some(work)) => Some(crash.min(work)),
            (crash, work) => crash.or(work),
        }
    }

    pub(super) fn mark_started(&mut self, slot: usize) {
        let waits = self
            .pod
            .spec
            .container(slot)
            .is_some_and(|container| container.readiness_probe.is_some());
        if let Some(status) = self.pod.status.container_mut(slot) {
            status.started = true;
            status.ready = !waits;
        }
    }

    pub(super) fn mark_ready(&mut self, slot: usize) {
        if let Some(status) = self.pod.status.container_mut(slot) {
            status.ready = true;
        }
    }

    pub(super) fn report_unhealthy(&mut self, slot: usize, at: Timestamp) {
        let Some(container) = self.pod.spec.container(slot) else {
            return;
        };
        let is_http = container
            .readiness_probe
            .as_ref()
            .is_some_and(|probe| probe.http_get.is_some());
        let name = container.name.clone();
        let message = if is_http {
            "Readiness probe failed: HTTP probe failed with statuscode: 503"
        } else {
            "Readiness probe failed: command timed out"
        };
        self.warning_of(slot, "Unhealthy", message.to_owned());
        let next = (at + UNHEALTHY_INTERVAL).max(self.now + SignedDuration::from_secs(1));
        self.life.unhealthy_at.insert(name, next);
    }

    /// An instance ends by itself: as it was asked to crash, or with its work done.
    pub(super) fn end(&mut self, slot: usize, at: Timestamp) {
        let Some(container) = self.pod.spec.container(slot).cloned() else {
            return;
        };
        let concerns = self.trouble.concerns(&self.pod.spec, &container);
        let since = self
            .pod
            .status
            .container(slot)
            .and_then(|status| status.state.running_since());
        let crash = self
            .trouble
            .crash
            .clone()
            .filter(|crash| concerns && since.is_some_and(|since| since + crash.after <= at));
        let (exit_code, reason) = crash.map_or((0, "Completed".into()), |crash| {
            (crash.exit_code, crash.reason)
        });
        self.life.unhealthy_at.remove(&container.name);
        self.terminate(slot, at, exit_code, reason);
    }

    /// Turns a running container into an ended one.
    pub(super) fn terminate(
        &mut self,
        slot: usize,
        at: Timestamp,
        exit_code: i32,
        reason: crate::k8s::Name,
    ) {
        let is_regular_init = self.pod.spec.is_init(slot)
            && self
                .pod
                .spec
                .container(slot)
                .is_some_and(|it| !it.is_sidecar());
        let Some(status) = self.pod.status.container_mut(slot) else {
            return;
        };
        let end = Terminated {
            exit_code,
            reason,
            message: String::new(),
            started_at: status.state.running_since(),
            finished_at: Some(whole_seconds(at)),
            container_id: status.container_id.clone(),
        };
        status.state = State::terminated(end.clone());
        status.ready = is_regular_init && exit_code == 0;
        status.started = false;
        let name = status.name.clone();
        self.note_run(&name, &end);
        self.life.free_at = self.life.free_at.max(at);
    }

    /// The machine was without power: every instance is gone, and a new sandbox is needed.
    pub(super) fn reboot(&mut self) {
        let lost_at = self.life.lost_power_at.take().unwrap_or(self.now);
        for slot in 0..self.pod.spec.slots() {
            let running = self
                .pod
                .status
                .container(slot)
                .is_some_and(|status| status.state.is_running());
            if running {
                self.terminate(slot, lost_at, 255, "Unknown".into());
            }
        }
        self.machine.addresses.release(&self.object.uid);
        self.pod.status.pod_ip = crate::k8s::Name::default();
        self.pod.status.pod_ips = Vec::new();
        super::status::put(
            &mut self.pod.status.conditions,
            super::status::plain("PodReadyToStartContainers", false),
            self.now,
        );
        self.life.free_at = self.now;
        if self.pod.spec.restart_policy == "Never" {
            return;
        }
        let has_init = !self.pod.spec.init_containers.is_empty();
        let waiting = if has_init {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        for status in self.pod.status.containers_mut() {
            self.life.back_offs.insert(status.name.clone(), 0);
            if let Some(end) = status.state.terminated.take() {
                status.last_state = State::terminated(end);
            }
            status.ready = false;
            status.state = State::waiting(waiting, String::new());
        }
        self.normal(
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.".to_owned(),
        );
    }
}

#[derive(Clone, Copy)]
enum Probe {
    Startup,
    Readiness,
}
