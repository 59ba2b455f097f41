//! The ledger of a rehearsal: follows every change of the world and keeps for each workload how many
//! of its pods serve, and for how long they were too few.
//!
//! A pod on a machine without power serves nobody from that moment on, although the API calls it
//! ready until the node controller has waited its forty seconds.

mod gauge;
mod track;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use super::outcome::{Breach, Departure, Effects, Move, Pending, WorkloadName, sort};
use crate::k8s::columns::PodColumns;
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, ObjectKey, Resource, Uid, resources};
use crate::topology::workload::{desired_and_quorum, workload_of};
use crate::topology::{Class, WorkloadKey};
use gauge::{Broken, Gauge};
use track::Track;

/// Resource types whose `spec.replicas` is a target.
const SCALED: [Resource; 4] = [
    resources::DEPLOYMENTS,
    resources::STATEFUL_SETS,
    resources::REPLICA_SETS,
    resources::REPLICATION_CONTROLLERS,
];

#[derive(Clone, Debug)]
pub struct Ledger {
    began: Timestamp,
    pods: FxHashMap<Uid, PodState>,
    rows: FxHashMap<WorkloadKey, usize>,
    tracks: Vec<Track>,
    budgets: BTreeMap<ObjectKey, Gauge>,
    /// Machines without power.
    dark: BTreeSet<Name>,
    /// Pods that waited before anything was done.
    waiting: FxHashSet<Uid>,
    window: Window,
}

#[derive(Clone, Debug)]
struct PodState {
    row: usize,
    serves: bool,
    node: Option<Name>,
    leaving: bool,
}

/// What happened since the step began.
#[derive(Clone, Debug, Default)]
struct Window {
    departures: Vec<(usize, Departure)>,
    /// Workload, pod, machine.
    arrivals: Vec<(usize, Name, Name)>,
    preempted: Vec<Departure>,
    created: u64,
    budgets: Vec<Breach>,
    quorums: Vec<Breach>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BudgetWire {
    status: BudgetStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    current_healthy: u32,
    desired_healthy: u32,
}

impl Ledger {
    /// Takes stock of a cluster.
    pub fn of(cluster: &Cluster, now: Timestamp) -> Self {
        let mut ledger = Self {
            began: now,
            pods: FxHashMap::default(),
            rows: FxHashMap::default(),
            tracks: Vec::new(),
            budgets: BTreeMap::new(),
            dark: BTreeSet::new(),
            waiting: FxHashSet::default(),
            window: Window::default(),
        };
        for resource in &SCALED {
            for object in cluster.list(resource) {
                ledger.note_workload(cluster, object, now);
            }
        }
        let mut live: FxHashMap<usize, u32> = FxHashMap::default();
        for pod in cluster.pods() {
            ledger.note_pod(cluster, pod, now);
            if is_waiting(pod) {
                ledger.waiting.insert(pod.uid.clone());
            }
            if let Some(state) = ledger.pods.get(&pod.uid) {
                *live.entry(state.row).or_default() += 1;
            }
        }
        for budget in cluster.list(&resources::POD_DISRUPTION_BUDGETS) {
            ledger.note_budget(budget, now);
        }
        for (row, track) in ledger.tracks.iter_mut().enumerate() {
            // A kind whose replicas nobody here can read is meant to stay as it is.
            let known = track.key.resource().and_then(|resource| {
                cluster.find(&resource, &track.key.namespace, &track.key.name)
            });
            if track.class == Class::Service && known.is_none() {
                track.set_target(live.get(&row).copied().unwrap_or_default(), None, now);
            }
            track.take_stock(now);
        }
        ledger.window = Window::default();
        ledger
    }

    /// Notes what was written; says whether any of it matters to whoever waits for the dust to
    /// settle: pods that come, go or turn, machines that turn.
    pub fn observe(&mut self, journal: &[Change], cluster: &Cluster, now: Timestamp) -> bool {
        let mut matters = false;
        for change in journal {
            let object = &change.object;
            let resource = &object.key.resource;
            if *resource == resources::PODS {
                matters |= if change.kind == ChangeKind::Deleted {
                    self.note_gone(object, now)
                } else {
                    self.note_pod(cluster, object, now)
                };
            } else if *resource == resources::NODES {
                matters |= node_turned(change);
            } else if *resource == resources::POD_DISRUPTION_BUDGETS {
                self.note_budget(object, now);
            } else if SCALED.contains(resource) {
                self.note_workload(cluster, object, now);
            }
        }
        matters
    }

    /// Machines lose their power: what ran there serves nobody.
    pub fn darken(&mut self, cluster: &Cluster, nodes: &[Name], now: Timestamp) {
        self.dark.extend(nodes.iter().cloned());
        self.look_again(cluster, nodes, now);
    }

    pub fn lighten(&mut self, cluster: &Cluster, nodes: &[Name], now: Timestamp) {
        for node in nodes {
            self.dark.remove(node);
        }
        self.look_again(cluster, nodes, now);
    }

    fn look_again(&mut self, cluster: &Cluster, nodes: &[Name], now: Timestamp) {
        for node in nodes {
            for pod in cluster.pods_on(node) {
                self.note_pod(cluster, pod, now);
            }
        }
    }

    fn note_workload(&mut self, cluster: &Cluster, object: &Object, now: Timestamp) {
        // A replica set of a deployment is the deployment's.
        if object.controller().is_some() {
            return;
        }
        let kind = match object.key.resource.plural.as_str() {
            "deployments" => "Deployment",
            "statefulsets" => "StatefulSet",
            "replicasets" => "ReplicaSet",
            _ => "ReplicationController",
        };
        let key = WorkloadKey {
            namespace: object.key.namespace.clone(),
            kind: Name::new_static(kind),
            name: object.key.name.clone(),
        };
        let (desired, quorum) = desired_and_quorum(cluster, &key);
        let row = self.row(key, now);
        if let Some(track) = self.tracks.get_mut(row) {
            track.set_target(desired.unwrap_or_default(), quorum, now);
        }
    }

    fn row(&mut self, key: WorkloadKey, now: Timestamp) -> usize {
        if let Some(row) = self.rows.get(&key) {
            return *row;
        }
        let row = self.tracks.len();
        let mut track = Track::new(key.clone(), now);
        if track.class == Class::Bare {
            track.set_target(1, None, now);
        }
        self.tracks.push(track);
        self.rows.insert(key, row);
        row
    }

    fn note_pod(&mut self, cluster: &Cluster, object: &Object, now: Timestamp) -> bool {
        let Some(columns) = object.pod() else {
            return false;
        };
        let node = columns.node.clone();
        let finished = columns.is_finished();
        let is_dark = node.as_ref().is_some_and(|node| self.dark.contains(node));
        let serves = columns.ready && !finished && !object.is_terminating() && !is_dark;
        let Some(state) = self.pods.get(&object.uid) else {
            if finished {
                return false;
            }
            let row = self.row(workload_of(cluster, object), now);
            let state = PodState {
                row,
                serves: false,
                node: None,
                leaving: false,
            };
            self.pods.insert(object.uid.clone(), state);
            self.window.created += 1;
            self.note_pod(cluster, object, now);
            return self.is_lasting(row);
        };
        let row = state.row;
        let (did_serve, had_node, was_leaving) =
            (state.serves, state.node.is_some(), state.leaving);
        let leaves = !was_leaving && object.is_terminating();
        let arrives = !had_node && node.is_some();
        if serves != did_serve {
            self.count(row, serves, now);
        }
        if let Some(node) = node.clone().filter(|_| arrives) {
            let arrival = (row, object.key.name.clone(), node);
            self.window.arrivals.push(arrival);
        }
        if leaves {
            self.note_departure(row, object);
        }
        if finished
            && let Some(track) = self
                .tracks
                .get_mut(row)
                .filter(|track| track.class == Class::Bare)
        {
            // It was meant to end.
            track.set_target(0, None, now);
        }
        if let Some(state) = self.pods.get_mut(&object.uid) {
            state.serves = serves;
            state.node = node;
            state.leaving |= leaves;
        }
        (serves != did_serve || arrives || leaves) && self.is_lasting(row)
    }

    fn note_gone(&mut self, object: &Object, now: Timestamp) -> bool {
        let Some(state) = self.pods.remove(&object.uid) else {
            return false;
        };
        if state.serves {
            self.count(state.row, false, now);
        }
        let finished = object.pod().is_some_and(PodColumns::is_finished);
        if !state.leaving && !finished {
            self.note_departure(state.row, object);
        }
        self.is_lasting(state.row)
    }

    fn note_departure(&mut self, row: usize, object: &Object) {
        let (Some(track), Some(columns)) = (self.tracks.get(row), object.pod()) else {
            return;
        };
        let departure = Departure {
            workload: WorkloadName::of(&track.key),
            pod: object.key.name.clone(),
            from: columns.node.clone().unwrap_or_default(),
        };
        if is_preempted(object) {
            self.window.preempted.push(departure.clone());
        }
        self.window.departures.push((row, departure));
    }

    /// Jobs come and go by themselves: nobody waits for them.
    fn is_lasting(&self, row: usize) -> bool {
        let class = self.tracks.get(row).map(|track| track.class);
        class != Some(Class::Batch)
    }

    fn count(&mut self, row: usize, serves: bool, now: Timestamp) {
        let began = self.began;
        let Some(track) = self.tracks.get_mut(row) else {
            return;
        };
        let ready = if serves {
            track.ready + 1
        } else {
            track.ready.saturating_sub(1)
        };
        if let Some(broken) = track.set_ready(ready, now) {
            let breach = breach(&track.key.namespace, &track.key.name, broken, began);
            self.window.quorums.push(breach);
        }
    }

    fn note_budget(&mut self, object: &Object, now: Timestamp) {
        let Ok(BudgetWire { status }) = object.typed::<BudgetWire>() else {
            return;
        };
        let (healthy, needs) = (status.current_healthy, status.desired_healthy);
        let gauge = self
            .budgets
            .entry(object.key.clone())
            .or_insert_with(|| Gauge::new(healthy, needs, now));
        if let Some(broken) = gauge.set(healthy, needs, now) {
            let breach = breach(object.namespace(), object.name(), broken, self.began);
            self.window.budgets.push(breach);
        }
    }

    /// Ends a step and says what came of it.
    pub fn close(&mut self, cluster: &Cluster, now: Timestamp) -> Effects {
        let window = std::mem::take(&mut self.window);
        let mut effects = Effects {
            created: window.created,
            deleted: window.departures.len() as u64,
            preempted: window.preempted,
            budgets: window.budgets,
            quorums: window.quorums,
            ..Effects::default()
        };
        effects.moved = pair(window.departures, window.arrivals);
        for (key, gauge) in &mut self.budgets {
            let broken = gauge.read(now);
            let open = broken.map(|broken| breach(&key.namespace, &key.name, broken, self.began));
            effects.budgets.extend(open);
        }
        for track in &mut self.tracks {
            let (effect, broken) = track.close(now);
            effects.workloads.extend(effect);
            let open = broken
                .map(|broken| breach(&track.key.namespace, &track.key.name, broken, self.began));
            effects.quorums.extend(open);
        }
        sort(&mut effects.workloads);
        self.read_waiting(cluster, &mut effects);
        effects
    }

    fn read_waiting(&self, cluster: &Cluster, effects: &mut Effects) {
        for pod in cluster.pods() {
            let Some(columns) = pod.pod() else { continue };
            let node = columns.node.as_ref();
            if pod.is_terminating() && node.is_some_and(|node| self.dark.contains(node)) {
                effects.stuck += 1;
            }
            if !is_waiting(pod) || self.waiting.contains(&pod.uid) {
                continue;
            }
            let why = match &columns.unscheduled {
                Some(refusal) => refusal.1.to_string(),
                None if columns.scheduling_gated => "its scheduling gates are not lifted".into(),
                None if columns.scheduler != "default-scheduler" => {
                    format!("it is left to the scheduler `{}`", columns.scheduler)
                }
                None => "the scheduler has not tried it yet".into(),
            };
            effects.pending.push(Pending {
                workload: WorkloadName::of(&workload_of(cluster, pod)),
                pod: pod.key.name.clone(),
                why,
            });
        }
    }
}

fn is_waiting(pod: &Object) -> bool {
    let waits = pod
        .pod()
        .is_some_and(|columns| columns.node.is_none() && !columns.is_finished());
    waits && !pod.is_terminating()
}

/// The scheduler says so on the pod before it deletes it.
fn is_preempted(pod: &Object) -> bool {
    const MARK: &[u8] = b"PreemptionByScheduler";
    pod.bytes().windows(MARK.len()).any(|part| part == MARK)
}

fn node_turned(change: &Change) -> bool {
    let (Some(node), Some(before)) = (
        change.object.node(),
        change.previous.as_ref().and_then(|old| old.node()),
    ) else {
        return true;
    };
    change.kind != ChangeKind::Modified
        || node.ready != before.ready
        || node.unschedulable != before.unschedulable
        || node.taints != before.taints
}

fn breach(namespace: &str, name: &str, broken: Broken, began: Timestamp) -> Breach {
    let after = |at: Timestamp| u64::try_from(at.duration_since(began).as_secs()).unwrap_or(0);
    Breach {
        namespace: namespace.into(),
        name: name.into(),
        lowest: broken.lowest,
        needs: broken.needs,
        from_s: after(broken.from),
        until_s: broken.until.map(after),
    }
}

/// Each pod that left with one of the same workload that came: of the same name (stateful sets), or
/// in the order of their coming.
fn pair(departures: Vec<(usize, Departure)>, arrivals: Vec<(usize, Name, Name)>) -> Vec<Move> {
    let mut by_row: FxHashMap<usize, Vec<(Name, Name)>> = FxHashMap::default();
    for (row, pod, node) in arrivals {
        by_row.entry(row).or_default().push((pod, node));
    }
    let mut moves = Vec::new();
    for (row, left) in departures {
        let Some(came) = by_row.get_mut(&row).filter(|came| !came.is_empty()) else {
            continue;
        };
        if left.from.is_empty() {
            continue;
        }
        let same = came.iter().position(|(pod, _)| *pod == left.pod);
        let (replacement, to) = came.remove(same.unwrap_or(0));
        moves.push(Move {
            workload: left.workload,
            pod: left.pod,
            from: left.from,
            replacement,
            to,
        });
    }
    moves
}
