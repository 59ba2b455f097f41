//! The life of one pod on its machine, as a state machine over the pod's own status.
//!
//! ```text
//! bound → accepted → sandbox → init 1 → … → sidecar → … → containers → ready
//!                       ▲        each: [pulling →] creating → running → terminated
//!                       │                  ▲                              │ restart policy
//!   power came back ────┘                  └──── CrashLoopBackOff ◄───────┘
//! deletionTimestamp → stopping → terminated → deleted with grace 0
//! ```
//!
//! [`advance`] reads the pod, carries out every transition that is due and says when the next one
//! is. Transitions carry the time at which they were due, so that a pod whose machine was cut off
//! shows the right times when it is heard of again. What a status does not tell (a pull that is
//! running) is kept in [`Life`] and simply begins again when it is lost.
//!
//! Source: the kubelet's pod worker and its events, Kubernetes 1.36. Not simulated: volumes and
//! configuration that are missing do not hold a container back.

mod admission;
mod end;
mod start;
mod stop;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::delay::{self, Between, draw};
use super::machine::Machine;
use super::pod::{Address, Pod};
use super::status;
use super::trouble::Trouble;
use crate::k8s::op::{EventDraft, EventSeverity};
use crate::k8s::{Cluster, Name, Object, Op, Patch, Preconditions, Subresource, Uid};
use start::Starting;
use stop::Stopping;

/// How long to wait for the effect of an own write before looking again: it may have met a conflict.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// More transitions than any pod takes at once; a bound against a rule that contradicts itself.
const TRANSITIONS_MAX: usize = 1_000;

/// What the agent remembers of a pod beside its status.
#[derive(Clone, Debug)]
pub struct Life {
    pub uid: Uid,
    seen_at: Timestamp,
    /// When the pod's worker ended its last piece of work.
    free_at: Timestamp,
    starting: Option<Starting>,
    /// Image pulls that failed, by container: how often, and when the next try is.
    refused: BTreeMap<Name, (u32, Timestamp)>,
    /// How often in a row a container ended soon, where that differs from its restart count.
    back_offs: BTreeMap<Name, u32>,
    /// When a failing probe is reported next, by container.
    unhealthy_at: BTreeMap<Name, Timestamp>,
    stopping: Option<Stopping>,
    /// When its final deletion was asked for.
    deleted_at: Option<Timestamp>,
    /// Instances that started up to here were lost with the machine's power.
    lost_power_at: Option<Timestamp>,
    /// Annotations that are not understood are reported once.
    warned: bool,
}

/// Where a pod lives.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub cluster: &'a Cluster,
    pub node: &'a Object,
    pub seed: u64,
}

/// One look at one pod.
struct Visit<'a> {
    life: &'a mut Life,
    machine: &'a mut Machine,
    place: Place<'a>,
    object: &'a Object,
    pod: Pod,
    trouble: Trouble,
    now: Timestamp,
    events: Vec<Op>,
    /// Set when the pod's object is to be removed.
    vanished: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Action {
    /// Containers that ran when power was lost are gone.
    Reboot,
    Accept,
    Sandbox,
    Begin(usize),
    FinishStage,
    PullBackOff(usize),
    Started(usize),
    Ready(usize),
    Unhealthy(usize),
    End(usize),
    CrashBackOff(usize),
    BeginStop,
    FinishStop,
    Vanish,
}

impl Life {
    pub fn new(uid: &Uid, now: Timestamp) -> Self {
        Self {
            uid: uid.clone(),
            seen_at: now,
            free_at: now,
            starting: None,
            refused: BTreeMap::new(),
            back_offs: BTreeMap::new(),
            unhealthy_at: BTreeMap::new(),
            stopping: None,
            deleted_at: None,
            lost_power_at: None,
            warned: false,
        }
    }

    /// The machine lost its power at that time and is back.
    pub fn lose_power(&mut self, at: Timestamp) {
        self.lost_power_at = Some(at);
        self.starting = None;
        self.stopping = None;
    }
}

/// Carries out what is due for one pod and says when to look again.
pub fn advance(
    life: &mut Life,
    object: &Object,
    machine: &mut Machine,
    place: &Place<'_>,
    now: Timestamp,
    ops: &mut Vec<Op>,
) -> Option<Timestamp> {
    let pod: Pod = object.typed().ok()?;
    if pod.status.is_finished() && !object.is_terminating() {
        machine.release(&object.uid);
        return None;
    }
    let before = pod.status.clone();
    let mut visit = Visit {
        life,
        machine,
        place: *place,
        object,
        pod,
        trouble: Trouble::default(),
        now,
        events: Vec::new(),
        vanished: false,
    };
    visit.read_annotations();
    if visit.is_accepted() {
        visit.pod.align_statuses();
    }
    let next = visit.run();
    visit.settle();
    let Visit {
        pod,
        events,
        vanished,
        ..
    } = visit;
    let is_changed = pod.status != before;
    if is_changed {
        ops.push(patch_status(object, &before, &pod));
    }
    ops.extend(events);
    if vanished {
        ops.push(stop::delete(object));
    }
    if is_changed || vanished {
        let look = now + LOOK_AGAIN;
        return Some(next.map_or(look, |at| at.min(look)));
    }
    next
}

/// The status that the agent owns, as a merge patch; what is gone becomes `null`.
fn patch_status(object: &Object, before: &super::pod::Status, pod: &Pod) -> Op {
    let mut after = serde_json::to_value(&pod.status).unwrap_or_default();
    let before = serde_json::to_value(before).unwrap_or_default();
    if let (Some(after), Some(before)) = (after.as_object_mut(), before.as_object()) {
        for field in before.keys() {
            after.entry(field.clone()).or_insert(Value::Null);
        }
    }
    Op::Patch {
        key: object.key.clone(),
        subresource: Some(Subresource::Status),
        patch: Patch::Merge(json!({ "status": after })),
        if_match: Preconditions {
            uid: Some(object.uid.clone()),
            revision: Some(object.revision),
        },
    }
}

impl Visit<'_> {
    /// Carries out transitions until none is due; returns when the next one is.
    fn run(&mut self) -> Option<Timestamp> {
        for _ in 0..TRANSITIONS_MAX {
            let (at, action) = self.next_action()?;
            if at > self.now {
                return Some(at);
            }
            self.apply(action, at);
        }
        Some(self.now + LOOK_AGAIN)
    }

    fn next_action(&self) -> Option<(Timestamp, Action)> {
        if self.vanished {
            return None;
        }
        if self.object.is_terminating() {
            return Some(self.next_of_stopping());
        }
        if self.pod.status.is_finished() {
            return None;
        }
        if !self.is_accepted() {
            let at = self.life.seen_at + self.draw("notice", delay::NOTICE);
            return Some((at.max(self.machine.up_at), Action::Accept));
        }
        if self.has_lost_instances() {
            return Some((self.now, Action::Reboot));
        }
        if !self.has_sandbox() {
            let at = self.life.free_at.max(self.machine.up_at);
            return Some((at + self.draw("sandbox", delay::SANDBOX), Action::Sandbox));
        }
        let mut candidates: Vec<(Timestamp, Action)> = Vec::new();
        self.add_starts(&mut candidates);
        for slot in 0..self.pod.spec.slots() {
            self.add_turns(slot, &mut candidates);
        }
        candidates.into_iter().min()
    }

    fn apply(&mut self, action: Action, at: Timestamp) {
        match action {
            Action::Reboot => self.reboot(),
            Action::Accept => self.accept(at),
            Action::Sandbox => self.make_sandbox(at),
            Action::Begin(slot) => self.begin(slot, at),
            Action::FinishStage => self.finish_stage(at),
            Action::PullBackOff(slot) => self.back_off_pull(slot),
            Action::Started(slot) => self.mark_started(slot),
            Action::Ready(slot) => self.mark_ready(slot),
            Action::Unhealthy(slot) => self.report_unhealthy(slot, at),
            Action::End(slot) => self.end(slot, at),
            Action::CrashBackOff(slot) => self.back_off_crash(slot),
            Action::BeginStop => self.begin_stop(),
            Action::FinishStop => self.finish_stop(at),
            Action::Vanish => self.vanish(),
        }
    }

    fn read_annotations(&mut self) {
        match Trouble::parse(&self.pod.metadata.annotations) {
            Ok(trouble) => self.trouble = trouble,
            Err(error) if !self.life.warned => {
                self.life.warned = true;
                let message = format!("annotations of simulated trouble are ignored: {error}");
                self.event(EventSeverity::Warning, "InvalidSimulation", message);
            }
            Err(_) => {}
        }
    }

    fn is_accepted(&self) -> bool {
        self.pod.status.start_time.is_some()
    }

    fn has_sandbox(&self) -> bool {
        status::is_true(&self.pod.status.conditions, "PodReadyToStartContainers")
    }

    fn accept(&mut self, at: Timestamp) {
        self.life.free_at = at;
        self.pod.status.start_time = Some(whole_seconds(at));
        if let Some(refusal) = self.refusal() {
            self.refuse(refusal);
            return;
        }
        self.machine.taken.insert(self.object.uid.clone());
        self.set_host();
        self.pod.align_statuses();
    }

    fn set_host(&mut self) {
        let host = self.place.node.node().map(|node| node.internal_ip.clone());
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return;
        };
        self.pod.status.host_ips = vec![Address { ip: host.clone() }];
        self.pod.status.host_ip = host;
    }

    /// Gives the pod its network: an address out of the node's range, or the node's own.
    fn make_sandbox(&mut self, at: Timestamp) {
        self.set_host();
        let address = if self.pod.spec.host_network {
            Some(self.pod.status.host_ip.clone())
        } else {
            let free = self.machine.addresses.take(&self.object.uid);
            free.map(|address| address.to_string().into())
        };
        let Some(address) = address else {
            let message = "Failed to create pod sandbox: rpc error: code = Unknown desc = \
                           failed to setup network for sandbox: no IP addresses available in range"
                .to_owned();
            self.event(EventSeverity::Warning, "FailedCreatePodSandBox", message);
            self.life.free_at = self.now + SignedDuration::from_secs(10);
            return;
        };
        if !address.is_empty() {
            self.pod.status.pod_ips = vec![Address {
                ip: address.clone(),
            }];
        }
        self.pod.status.pod_ip = address;
        status::put(
            &mut self.pod.status.conditions,
            status::plain("PodReadyToStartContainers", true),
            at,
        );
        self.life.free_at = at;
    }

    /// Whether a container is shown as running that was lost with the machine's power.
    fn has_lost_instances(&self) -> bool {
        let Some(lost_at) = self.life.lost_power_at else {
            return false;
        };
        let status = &self.pod.status;
        status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .filter_map(|container| container.state.running_since())
            .any(|since| since <= lost_at)
    }

    /// Phase and conditions follow from the containers.
    fn settle(&mut self) {
        if self.is_accepted() && self.pod.status.reason.is_empty() {
            self.stop_idle_sidecars();
            status::settle(&mut self.pod, self.object.is_terminating(), self.now);
        }
        if self.pod.status.is_finished() {
            self.machine.release(&self.object.uid);
        }
    }

    /// A believable duration of this pod on this node.
    fn draw(&self, what: &str, between: Between) -> SignedDuration {
        let name = format!("{}/{}/{what}", self.object.uid, self.machine.name);
        draw(self.place.seed, &name, between)
    }

    fn event(&mut self, severity: EventSeverity, reason: &str, message: String) {
        let draft = self.draft(severity, reason, message);
        self.events.push(Op::Event(draft));
    }

    fn draft(&self, severity: EventSeverity, reason: &str, message: String) -> EventDraft {
        EventDraft {
            regarding: self.object.key.clone(),
            uid: self.object.uid.clone(),
            api_version: "v1".into(),
            kind: "Pod".into(),
            field_path: Name::default(),
            severity,
            reason: reason.into(),
            message,
            reporter: "kubelet".into(),
            host: self.machine.name.clone(),
        }
    }

    /// An event about one container, which `involvedObject.fieldPath` names. Source:
    /// `GenerateContainerRef` of the kubelet.
    fn container_event(
        &mut self,
        slot: usize,
        severity: EventSeverity,
        reason: &str,
        message: String,
    ) {
        let list = if self.pod.spec.is_init(slot) {
            "initContainers"
        } else {
            "containers"
        };
        let mut draft = self.draft(severity, reason, message);
        if let Some(container) = self.pod.spec.container(slot) {
            draft.field_path = format!("spec.{list}{{{}}}", container.name).into();
        }
        self.events.push(Op::Event(draft));
    }

    fn normal(&mut self, reason: &str, message: String) {
        self.event(EventSeverity::Normal, reason, message);
    }

    fn warning(&mut self, reason: &str, message: String) {
        self.event(EventSeverity::Warning, reason, message);
    }

    fn normal_of(&mut self, slot: usize, reason: &str, message: String) {
        self.container_event(slot, EventSeverity::Normal, reason, message);
    }

    fn warning_of(&mut self, slot: usize, reason: &str, message: String) {
        self.container_event(slot, EventSeverity::Warning, reason, message);
    }

    /// How the kubelet names a pod in its messages: `name_namespace(uid)`.
    fn full_name(&self) -> String {
        format!(
            "{}_{}({})",
            self.object.key.name, self.object.key.namespace, self.object.uid
        )
    }
}

/// The precision of times in a status.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A duration as Go prints it: `460ms`, `2.134s`, `1m20s`.
fn go_duration(length: SignedDuration) -> String {
    let millis = length.as_millis();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let mut text = String::new();
    if seconds >= 3_600 {
        let _ = write!(text, "{}h", seconds / 3_600);
    }
    if seconds >= 60 {
        let _ = write!(text, "{}m", seconds / 60 % 60);
    }
    let fraction = format!("{millis:03}");
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        text + &format!("{}s", seconds % 60)
    } else {
        text + &format!("{}.{fraction}s", seconds % 60)
    }
}
