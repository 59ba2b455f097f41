//! Starting containers: which one is next, its image, its creation, its back-off.
//!
//! The pod's worker starts one container at a time, as the kubelet does.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::super::delay::{self, image_bytes};
use super::super::order::back_off_after;
use super::super::pod::{Container, ContainerStatus, State, Terminated};
use super::{Action, Visit, go_duration, whole_seconds};
use crate::k8s::Name;
use crate::stdx::rng::Stream;

/// A container that is being started.
#[derive(Clone, Debug)]
pub struct Starting {
    pub slot: usize,
    pub stage: Stage,
    /// When the stage ends.
    pub at: Timestamp,
    began: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Pulling,
    /// The registry is going to refuse.
    Refusing,
    Creating,
}

/// A container that ran this long starts with a fresh back-off: twice the longest one.
const BACK_OFF_FORGOTTEN: SignedDuration = SignedDuration::from_mins(10);
/// An ended instance is shown as ended for a moment before it is restarted or held back.
const AFTER_END: SignedDuration = SignedDuration::from_secs(1);
/// `ErrImagePull` turns into `ImagePullBackOff` at the kubelet's next look.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_secs(2);

impl Visit<'_> {
    /// The worker's next piece of work, and the back-offs that it waits for.
    pub(super) fn add_starts(&self, candidates: &mut Vec<(Timestamp, Action)>) {
        for (name, (_, retry_at)) in &self.life.refused {
            let slot = (0..self.pod.spec.slots()).find(|slot| {
                self.pod
                    .spec
                    .container(*slot)
                    .is_some_and(|it| it.name == *name)
            });
            let refused = slot.filter(|slot| self.waiting_reason(*slot) == "ErrImagePull");
            if let Some(slot) = refused {
                let at = (self.life.free_at + AFTER_REFUSAL).min(*retry_at);
                candidates.push((at, Action::PullBackOff(slot)));
            }
        }
        if let Some(starting) = &self.life.starting {
            candidates.push((starting.at, Action::FinishStage));
            return;
        }
        let begin = self
            .pod
            .startable()
            .into_iter()
            .filter_map(|slot| Some((self.begin_at(slot)?, slot)))
            .min();
        if let Some((at, slot)) = begin {
            candidates.push((at, Action::Begin(slot)));
        }
    }

    fn waiting_reason(&self, slot: usize) -> &str {
        self.pod
            .status
            .container(slot)
            .map_or("", |status| status.state.waiting_reason())
    }

    fn begin_at(&self, slot: usize) -> Option<Timestamp> {
        let container = self.pod.spec.container(slot)?;
        let status = self.pod.status.container(slot)?;
        let free_at = self.life.free_at;
        if let Some((_, retry_at)) = self.life.refused.get(&container.name) {
            return Some(free_at.max(*retry_at));
        }
        Some(match back_off_start(status) {
            Some(finished) => free_at.max(finished + self.back_off(status).max(AFTER_END)),
            None => free_at,
        })
    }

    /// How long the kubelet waits after the instance that ended last.
    fn back_off(&self, status: &ContainerStatus) -> SignedDuration {
        let in_row = self.life.back_offs.get(&status.name).copied();
        back_off_after(in_row.unwrap_or(status.restart_count))
    }

    /// When a container that just ended is shown as held back.
    pub(super) fn crash_back_off_at(&self, slot: usize) -> Option<Timestamp> {
        let container = self.pod.spec.container(slot)?;
        let status = self.pod.status.container(slot)?;
        let finished = status.state.terminated.as_ref()?.finished_at?;
        let is_init_done = self.pod.spec.is_init(slot)
            && !container.is_sidecar()
            && status.state.terminated.as_ref()?.exit_code == 0;
        let is_starting = self
            .life
            .starting
            .as_ref()
            .is_some_and(|starting| starting.slot == slot);
        let holds = !is_init_done
            && !is_starting
            && self.pod.may_start(container, status)
            && self.back_off(status) > AFTER_END;
        holds.then_some(finished + AFTER_END)
    }

    pub(super) fn back_off_crash(&mut self, slot: usize) {
        let name = self.full_name();
        let Some(status) = self.pod.status.container(slot).cloned() else {
            return;
        };
        let wait = go_duration(self.back_off(&status));
        let container = status.name.clone();
        if let Some(place) = self.pod.status.container_mut(slot) {
            place.last_state = std::mem::take(&mut place.state);
            place.state = State::waiting(
                "CrashLoopBackOff",
                format!("back-off {wait} restarting failed container={container} pod={name}"),
            );
        }
        self.warning_of(
            slot,
            "BackOff",
            format!("Back-off restarting failed container {container} in pod {name}"),
        );
    }

    /// Looks for the image, and pulls it where it is not there.
    pub(super) fn begin(&mut self, slot: usize, at: Timestamp) {
        let Some(container) = self.pod.spec.container(slot).cloned() else {
            return;
        };
        let image = &container.image;
        let there_at = self.machine.image_at(image);
        let is_there = there_at.is_some_and(|there| there <= at);
        let fails = self.trouble.pull_fails && self.trouble.concerns(&self.pod.spec, &container);
        let pulls = fails || (container.image_pull_policy != "Never" && !is_there);
        let (stage, until) = if fails {
            let attempt = self
                .life
                .refused
                .get(&container.name)
                .map_or(0, |(n, _)| *n);
            let wait = self.draw(
                &format!("{}/refusal/{attempt}", container.name),
                delay::REFUSAL,
            );
            (Stage::Refusing, at + wait)
        } else if pulls {
            let own = at + delay::pull(self.place.seed, &self.machine.name, image);
            let until = there_at.unwrap_or(own);
            self.machine.add_image(image, until);
            (Stage::Pulling, until)
        } else if container.image_pull_policy == "Always" {
            let wait = self.draw(&format!("{}/revalidate", container.name), delay::REVALIDATE);
            (Stage::Pulling, at + wait)
        } else {
            let wait = self.draw(&format!("{}/start", container.name), delay::START);
            (Stage::Creating, at + wait)
        };
        if stage == Stage::Creating {
            self.normal_of(
                slot,
                "Pulled",
                format!(
                    "Container image \"{image}\" already present on machine and can be accessed by the pod"
                ),
            );
        } else {
            self.normal_of(slot, "Pulling", format!("Pulling image \"{image}\""));
        }
        self.life.starting = Some(Starting {
            slot,
            stage,
            at: until,
            began: at,
        });
    }

    pub(super) fn finish_stage(&mut self, at: Timestamp) {
        let Some(starting) = self.life.starting.take() else {
            return;
        };
        let Some(container) = self.pod.spec.container(starting.slot).cloned() else {
            return;
        };
        match starting.stage {
            Stage::Pulling => {
                let took = go_duration(at.duration_since(starting.began));
                let image = &container.image;
                let bytes = image_bytes(image);
                self.normal_of(
                    starting.slot,
                    "Pulled",
                    format!(
                        "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {bytes} bytes."
                    ),
                );
                let wait = self.draw(&format!("{}/start", container.name), delay::START);
                self.life.starting = Some(Starting {
                    stage: Stage::Creating,
                    at: at + wait,
                    ..starting
                });
            }
            Stage::Refusing => self.refuse_pull(starting.slot, &container, at),
            Stage::Creating => self.start(starting.slot, &container, at),
        }
    }

    fn start(&mut self, slot: usize, container: &Container, at: Timestamp) {
        self.life.free_at = at;
        self.life.refused.remove(&container.name);
        let waits = self.waits_for_probe(slot, container);
        let image_id = image_id(&container.image);
        let seed = self.place.seed;
        let uid = self.object.uid.clone();
        let is_regular_init = self.pod.spec.is_init(slot) && !container.is_sidecar();
        let Some(status) = self.pod.status.container_mut(slot) else {
            return;
        };
        let previous = status
            .state
            .terminated
            .take()
            .or(status.last_state.terminated.take());
        if previous.is_some() {
            let in_row = self.life.back_offs.get(&status.name).copied();
            let next = in_row.unwrap_or(status.restart_count) + 1;
            self.life.back_offs.insert(status.name.clone(), next);
            status.restart_count += 1;
        }
        status.last_state = State {
            terminated: previous,
            ..State::default()
        };
        status.state = State::running(whole_seconds(at));
        status.started = container.startup_probe.is_none();
        status.ready = !waits && !is_regular_init;
        status.image_id = image_id;
        status.container_id = container_id(seed, &uid.0, container, status.restart_count);
        self.normal_of(slot, "Created", "Container created".to_owned());
        self.normal_of(slot, "Started", "Container started".to_owned());
    }

    fn refuse_pull(&mut self, slot: usize, container: &Container, at: Timestamp) {
        let image = &container.image;
        let error = refusal(image);
        let attempts = self
            .life
            .refused
            .get(&container.name)
            .map_or(0, |(n, _)| *n)
            + 1;
        let retry_at = at + back_off_after(attempts);
        self.life
            .refused
            .insert(container.name.clone(), (attempts, retry_at));
        self.life.free_at = at;
        self.warning_of(
            slot,
            "Failed",
            format!("Failed to pull image \"{image}\": {error}"),
        );
        self.warning_of(slot, "Failed", "Error: ErrImagePull".to_owned());
        if let Some(status) = self.pod.status.container_mut(slot) {
            status.state = State::waiting("ErrImagePull", error);
        }
    }

    pub(super) fn back_off_pull(&mut self, slot: usize) {
        let Some(image) = self.pod.spec.container(slot).map(|it| it.image.clone()) else {
            return;
        };
        let message = format!("Back-off pulling image \"{image}\"");
        if let Some(status) = self.pod.status.container_mut(slot) {
            let detail = format!("{message}: ErrImagePull: {}", refusal(&image));
            status.state = State::waiting("ImagePullBackOff", detail);
        }
        self.normal_of(slot, "BackOff", message);
        self.warning_of(slot, "Failed", "Error: ImagePullBackOff".to_owned());
    }

    /// Notes how long an instance ran, for the next back-off.
    pub(super) fn note_run(&mut self, name: &Name, end: &Terminated) {
        let (Some(started), Some(finished)) = (end.started_at, end.finished_at) else {
            return;
        };
        if finished.duration_since(started) >= BACK_OFF_FORGOTTEN {
            self.life.back_offs.insert(name.clone(), 0);
        }
    }
}

/// When the last instance ended, if the container waits because it ended.
fn back_off_start(status: &ContainerStatus) -> Option<Timestamp> {
    if let Some(end) = &status.state.terminated {
        return end.finished_at;
    }
    let last = status.last_state.terminated.as_ref();
    last.filter(|_| status.state.waiting_reason() == "CrashLoopBackOff")?
        .finished_at
}

/// What containerd says of an image that the registry does not know.
fn refusal(image: &str) -> String {
    let full = reference(image);
    format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{full}\": failed to resolve reference \"{full}\": {full}: not found"
    )
}

/// The image's full reference: registry, repository and tag.
fn reference(image: &str) -> String {
    let first = image.split('/').next().unwrap_or_default();
    let has_registry = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let named = if has_registry {
        image.to_owned()
    } else if image.contains('/') {
        format!("docker.io/{image}")
    } else {
        format!("docker.io/library/{image}")
    };
    let last = named.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) {
        named
    } else {
        named + ":latest"
    }
}

/// The repository with a digest that follows from the image's name alone.
fn image_id(image: &str) -> String {
    let full = reference(image);
    if full.contains('@') {
        return full;
    }
    let repository = full
        .rsplit_once(':')
        .map_or(full.as_str(), |(name, _)| name);
    format!("{repository}@sha256:{}", hex(&mut Stream::new(0, &full)))
}

fn container_id(seed: u64, uid: &str, container: &Container, instance: u32) -> String {
    let name = format!("{uid}/{}/{instance}", container.name);
    format!("simulated://{}", hex(&mut Stream::new(seed, &name)))
}

/// 32 bytes in hexadecimal.
fn hex(stream: &mut Stream) -> String {
    let mut text = String::with_capacity(64);
    for _ in 0..4 {
        let _ = write!(text, "{:016x}", stream.next_u64());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_as_registries_do() {
        let check = |image, full| assert_eq!(reference(image), full);
        check("nginx", "docker.io/library/nginx:latest");
        check("bitnami/redis:7", "docker.io/bitnami/redis:7");
        check("localhost:5000/app", "localhost:5000/app:latest");
        check("quay.io/a/b@sha256:00", "quay.io/a/b@sha256:00");
    }
}
