//! Startup, readiness and liveness: asking a container how it is, as often as its probes say.
//!
//! Source: "Configure Liveness, Readiness and Startup Probes", Kubernetes documentation: the startup
//! probe holds the others back; thresholds count in a row; a handler that takes longer than its
//! timeout has failed.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};

use super::question::Question;
use crate::node::container::Folder;
use crate::node::kubelet::Shared;

/// What became of a probe; only changes are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Started,
    Ready,
    Unready(String),
    /// The `postStart` hook is done.
    Hooked,
    HookFailed(String),
    /// To be ended and started again.
    Dead(String),
}

/// The probes of one container.
#[derive(Clone, Debug)]
pub struct Probes {
    startup: Option<Check>,
    readiness: Option<Check>,
    liveness: Option<Check>,
}

#[derive(Clone, Debug)]
struct Check {
    kind: &'static str,
    question: Question,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    failures: u32,
    successes: u32,
}

impl Probes {
    pub fn of(container: &Container, address: IpAddr) -> Self {
        let check = |kind, probe: &Option<Probe>| {
            probe
                .as_ref()
                .map(|probe| Check::of(kind, probe, container, address))
        };
        Self {
            startup: check("Startup", &container.startup_probe),
            readiness: check("Readiness", &container.readiness_probe),
            liveness: check("Liveness", &container.liveness_probe),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.startup.is_none() && self.readiness.is_none() && self.liveness.is_none()
    }

    /// Whether the container counts as started only when a probe says so.
    pub fn holds_start(&self) -> bool {
        self.startup.is_some()
    }

    pub fn holds_ready(&self) -> bool {
        self.readiness.is_some()
    }

    /// Those that are left once it has started.
    pub fn of_started(mut self) -> Self {
        self.startup = None;
        self
    }

    /// Asks until it is stopped, or `tell` says that nobody listens.
    pub async fn run(
        &self,
        shared: &Shared,
        folder: &Folder,
        tell: impl Fn(Verdict) -> bool + Copy,
    ) {
        started(folder).await;
        if let Some(startup) = &self.startup {
            match startup.until_decided(shared, folder).await {
                Ok(()) => {
                    tell(Verdict::Started);
                }
                Err(message) => {
                    tell(Verdict::Dead(message));
                    return;
                }
            }
        }
        let readiness = async {
            if let Some(check) = &self.readiness {
                check.watch_readiness(shared, folder, tell).await;
            }
        };
        let liveness = async {
            if let Some(check) = &self.liveness {
                check.watch_liveness(shared, folder, tell).await;
            }
        };
        tokio::join!(readiness, liveness);
    }
}

/// Waits for the container's process.
pub async fn started(folder: &Folder) {
    while folder.started().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Check {
    fn of(kind: &'static str, probe: &Probe, container: &Container, address: IpAddr) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            let value = value.and_then(|value| u64::try_from(value).ok());
            Duration::from_secs(value.unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            value
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or(default)
                .max(1)
        };
        Self {
            kind,
            question: Question::of_probe(probe, container, address),
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            timeout: seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1)),
            failures: count(probe.failure_threshold, 3),
            successes: count(probe.success_threshold, 1),
        }
    }

    async fn until_decided(&self, shared: &Shared, folder: &Folder) -> Result<(), String> {
        tokio::time::sleep(self.delay).await;
        let mut failed = 0;
        loop {
            match self.ask(shared, folder).await {
                Ok(()) => return Ok(()),
                Err(message) => {
                    failed += 1;
                    if failed >= self.failures {
                        return Err(message);
                    }
                }
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn watch_readiness(
        &self,
        shared: &Shared,
        folder: &Folder,
        tell: impl Fn(Verdict) -> bool,
    ) {
        tokio::time::sleep(self.delay).await;
        let (mut good, mut bad, mut is_ready) = (0, 0, false);
        loop {
            let answer = self.ask(shared, folder).await;
            (good, bad) = if answer.is_ok() {
                (good + 1, 0)
            } else {
                (0, bad + 1)
            };
            let heard = match answer {
                Ok(()) if !is_ready && good >= self.successes => {
                    is_ready = true;
                    tell(Verdict::Ready)
                }
                Err(message) if bad == self.failures => {
                    is_ready = false;
                    tell(Verdict::Unready(message))
                }
                _ => true,
            };
            if !heard {
                return;
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn watch_liveness(
        &self,
        shared: &Shared,
        folder: &Folder,
        tell: impl Fn(Verdict) -> bool,
    ) {
        tokio::time::sleep(self.delay).await;
        let mut bad = 0;
        loop {
            match self.ask(shared, folder).await {
                Ok(()) => bad = 0,
                Err(message) => {
                    bad += 1;
                    if bad >= self.failures {
                        tell(Verdict::Dead(message));
                        return;
                    }
                }
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn ask(&self, shared: &Shared, folder: &Folder) -> Result<(), String> {
        let answer = tokio::time::timeout(self.timeout, self.question.ask(shared, folder)).await;
        let answer = answer.unwrap_or_else(|_elapsed| Err(self.question.too_slow(self.timeout)));
        answer.map_err(|why| format!("{} probe failed: {why}", self.kind))
    }
}
