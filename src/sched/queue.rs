//! Pods that wait to be scheduled.
//!
//! ```text
//!                 ┌──────── back-off over ────────┐
//!                 ▼                               │
//!  new pod ──► active ──pop──► cycle ──refused──► unschedulable ──event that may help──► backing off
//!                 ▲                               │                                        │
//!                 └────────── five minutes ───────┘◄───────────────────────────────────────┘
//! ```
//!
//! Source: kube-scheduler's scheduling queue: back-off from one second doubling to ten, counted from
//! the last attempt; leftovers are tried again after five minutes. One difference is meant: upstream
//! takes pods out of back-off early while nothing is active (KEP-5142). Here a refusal is a write to
//! the same process's store, so that a full cluster would spend its time on writing refusals.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::template::Template;
use super::verdict::{Plugin, PluginSet};
use crate::k8s::{Name, Object, Uid};

const BACK_OFF_MIN_S: i64 = 1;
const BACK_OFF_MAX_S: i64 = 10;
/// How long a pod stays unschedulable without any event that might help it.
const UNSCHEDULABLE_MAX_S: i64 = 300;

/// Namespace and name.
type PodName = (Name, Name);

/// Where a pod waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QueueState {
    /// To be tried as soon as its turn comes.
    Active,
    /// To be tried again at this time.
    BackingOff(Timestamp),
    /// To be tried again when something changes that may help.
    Unschedulable,
    /// Not to be tried while it has scheduling gates.
    Gated,
}

/// A waiting pod, for those who look at the queue.
#[derive(Clone, Debug)]
pub struct QueuedPod {
    pub object: Arc<Object>,
    pub state: QueueState,
    pub attempts: u32,
    /// When it was last tried.
    pub tried: Option<Timestamp>,
    /// Plugins that refused it the last time.
    pub refused_by: BTreeSet<Plugin>,
    /// kube-scheduler's text of the last attempt.
    pub message: Arc<str>,
    /// What the pod asked for at the last attempt.
    pub template: Option<Arc<Template>>,
    pub(super) order: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Queue {
    pods: BTreeMap<PodName, QueuedPod>,
    /// `PrioritySort`: high priority first, then in order of arrival.
    active: BTreeSet<(Reverse<i32>, u64, PodName)>,
    backing_off: BTreeSet<(Timestamp, PodName)>,
    /// The unschedulable ones by when they are tried again without any event.
    leftovers: BTreeSet<(Timestamp, PodName)>,
    /// The same by the plugins that refused them: most events help none of a whole group.
    parked: BTreeMap<PluginSet, BTreeSet<PodName>>,
    next_order: u64,
}

fn name_of(pod: &Object) -> PodName {
    (pod.key.namespace.clone(), pod.key.name.clone())
}

fn priority_of(pod: &Object) -> i32 {
    pod.pod().map_or(0, |columns| columns.priority)
}

fn is_gated(pod: &Object) -> bool {
    pod.pod().is_some_and(|columns| columns.scheduling_gated)
}

impl Queue {
    /// All waiting pods in the order of namespace and name.
    pub fn pods(&self) -> impl Iterator<Item = &QueuedPod> {
        self.pods.values()
    }

    pub fn get(&self, namespace: &Name, name: &Name) -> Option<&QueuedPod> {
        self.pods.get(&(namespace.clone(), name.clone()))
    }

    pub fn len(&self) -> usize {
        self.pods.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Adds a pod, or takes in its new version where it waits.
    pub fn insert(&mut self, object: &Arc<Object>) {
        let name = name_of(object);
        let known = self.remove(object);
        let order = known.as_ref().map_or(self.next_order, |known| known.order);
        self.next_order += 1;
        let fresh = |state| QueuedPod {
            object: Arc::clone(object),
            state,
            attempts: 0,
            tried: None,
            refused_by: BTreeSet::new(),
            message: Arc::from(""),
            template: None,
            order,
        };
        let pod = match known {
            _ if is_gated(object) => fresh(QueueState::Gated),
            Some(known) if known.state != QueueState::Gated && known.object.uid == object.uid => {
                // A change of what the pod itself asks for may help it; its status never does.
                let is_changed = known.object.labels != object.labels
                    || known.object.generation != object.generation;
                let state = match known.state {
                    QueueState::Unschedulable if is_changed => woken_state(&known),
                    state => state,
                };
                QueuedPod {
                    object: Arc::clone(object),
                    state,
                    ..known
                }
            }
            _ => fresh(QueueState::Active),
        };
        self.put(name, pod);
    }

    /// Takes a pod out.
    pub fn remove(&mut self, object: &Object) -> Option<QueuedPod> {
        let name = name_of(object);
        let pod = self.pods.remove(&name)?;
        match pod.state {
            QueueState::Active => {
                self.active
                    .remove(&(Reverse(priority_of(&pod.object)), pod.order, name));
            }
            QueueState::BackingOff(until) => {
                self.backing_off.remove(&(until, name));
            }
            QueueState::Unschedulable => self.unpark(&name, &pod),
            QueueState::Gated => {}
        }
        Some(pod)
    }

    fn put(&mut self, name: PodName, pod: QueuedPod) {
        match pod.state {
            QueueState::Active => {
                let place = (Reverse(priority_of(&pod.object)), pod.order, name.clone());
                self.active.insert(place);
            }
            QueueState::BackingOff(until) => {
                self.backing_off.insert((until, name.clone()));
            }
            QueueState::Unschedulable => {
                self.leftovers.insert((leftover_at(&pod), name.clone()));
                let plugins = PluginSet::of(&pod.refused_by);
                self.parked.entry(plugins).or_default().insert(name.clone());
            }
            QueueState::Gated => {}
        }
        self.pods.insert(name, pod);
    }

    fn unpark(&mut self, name: &PodName, pod: &QueuedPod) {
        self.leftovers.remove(&(leftover_at(pod), name.clone()));
        let plugins = PluginSet::of(&pod.refused_by);
        if let Some(group) = self.parked.get_mut(&plugins) {
            group.remove(name);
            if group.is_empty() {
                self.parked.remove(&plugins);
            }
        }
    }

    /// Takes the next pod to try.
    pub fn pop(&mut self, now: Timestamp) -> Option<QueuedPod> {
        self.flush(now);
        let (_, _, name) = self.active.pop_first()?;
        let mut pod = self.pods.remove(&name)?;
        pod.attempts = pod.attempts.saturating_add(1);
        pod.tried = Some(now);
        Some(pod)
    }

    /// Puts a refused pod back, behind all of its priority that are waiting already.
    pub fn park(&mut self, pod: QueuedPod) {
        let name = name_of(&pod.object);
        let order = self.next_order;
        self.next_order += 1;
        let pod = QueuedPod {
            state: QueueState::Unschedulable,
            order,
            ..pod
        };
        self.put(name, pod);
    }

    /// Moves the unschedulable pods that an event may help; they wait out their back-off first.
    /// `concerns` says whether the event may help any pod that these plugins refused.
    pub fn wake(
        &mut self,
        concerns: impl Fn(PluginSet) -> bool,
        mut may_help: impl FnMut(&QueuedPod) -> bool,
    ) {
        let groups = self
            .parked
            .iter()
            .filter(|(plugins, _)| concerns(**plugins));
        let woken: Vec<PodName> = groups
            .flat_map(|(_, names)| names)
            .filter(|name| self.pods.get(*name).is_some_and(&mut may_help))
            .cloned()
            .collect();
        for name in woken {
            if let Some(mut pod) = self.pods.remove(&name) {
                self.unpark(&name, &pod);
                pod.state = woken_state(&pod);
                self.put(name, pod);
            }
        }
    }

    /// Whether any pod could be woken.
    pub fn has_unschedulable(&self) -> bool {
        !self.leftovers.is_empty()
    }

    /// Moves pods whose time has come to the active part.
    fn flush(&mut self, now: Timestamp) {
        while let Some((until, _)) = self.backing_off.first()
            && *until <= now
            && let Some((_, name)) = self.backing_off.pop_first()
        {
            self.activate(name);
        }
        while let Some((at, name)) = self.leftovers.first().cloned()
            && at <= now
        {
            if let Some(pod) = self.pods.get(&name).cloned() {
                self.unpark(&name, &pod);
            }
            // Also when the pod is gone against all expectation: this loop must end.
            self.leftovers.remove(&(at, name.clone()));
            self.activate(name);
        }
    }

    fn activate(&mut self, name: PodName) {
        if let Some(mut pod) = self.pods.remove(&name) {
            pod.state = QueueState::Active;
            self.put(name, pod);
        }
    }

    /// When [`Self::pop`] may have something; `None`: only an event can bring it.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.active.is_empty() {
            return Some(Timestamp::MIN);
        }
        let back_off = self.backing_off.first().map(|(until, _)| *until);
        let leftover = self.leftovers.first().map(|(at, _)| *at);
        back_off.into_iter().chain(leftover).min()
    }
}

fn after(from: Timestamp, seconds: i64) -> Timestamp {
    from.saturating_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

/// Where a pod goes that a change may help.
fn woken_state(pod: &QueuedPod) -> QueueState {
    back_off_end(pod).map_or(QueueState::Active, QueueState::BackingOff)
}

fn back_off_end(pod: &QueuedPod) -> Option<Timestamp> {
    let doublings = pod.attempts.saturating_sub(1).min(10);
    let seconds = (BACK_OFF_MIN_S << doublings).min(BACK_OFF_MAX_S);
    Some(after(pod.tried?, seconds))
}

fn leftover_at(pod: &QueuedPod) -> Timestamp {
    pod.tried
        .map_or(Timestamp::MIN, |tried| after(tried, UNSCHEDULABLE_MAX_S))
}

/// The life that a queued pod belongs to.
impl QueuedPod {
    pub fn uid(&self) -> &Uid {
        &self.object.uid
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::resources;

    fn pod(name: &str, priority: i32) -> Arc<Object> {
        let json = json!({"metadata": {"namespace": "a", "name": name, "uid": name},
                          "spec": {"priority": priority}});
        Arc::new(Object::from_json(resources::PODS, &json).unwrap())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn popped(queue: &mut Queue, second: i64) -> Option<String> {
        let pod = queue.pop(at(second))?;
        let name = pod.object.name().to_owned();
        queue.park(pod);
        Some(name)
    }

    #[test]
    fn high_priority_comes_first_and_then_who_came_first() {
        let mut queue = Queue::default();
        for (name, priority) in [("x", 0), ("y", 5), ("z", 0)] {
            queue.insert(&pod(name, priority));
        }
        let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue, 0)).collect();
        assert_eq!(order, ["y", "x", "z"]);
    }

    #[test]
    fn a_refused_pod_stands_behind_those_that_wait() {
        let mut queue = Queue::default();
        queue.insert(&pod("x", 0));
        queue.insert(&pod("y", 0));
        assert_eq!(popped(&mut queue, 0).as_deref(), Some("x"));
        queue.wake(|_| true, |_| true);
        let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue, 9)).collect();
        assert_eq!(order, ["y", "x"]);
    }

    #[test]
    fn back_off_doubles_from_one_second_to_ten() {
        let mut queue = Queue::default();
        queue.insert(&pod("x", 0));
        let mut second = 0;
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(popped(&mut queue, second).as_deref(), Some("x"));
            queue.wake(|_| true, |_| true);
            assert_eq!(queue.next_wake(), Some(at(second + wait)));
            assert_eq!(popped(&mut queue, second + wait - 1), None);
            second += wait;
        }
    }

    #[test]
    fn leftovers_are_tried_again_after_five_minutes() {
        let mut queue = Queue::default();
        queue.insert(&pod("x", 0));
        assert!(popped(&mut queue, 0).is_some());
        queue.wake(|_| true, |_| false);
        assert_eq!(queue.next_wake(), Some(at(300)));
        assert_eq!(popped(&mut queue, 299), None);
        assert!(popped(&mut queue, 300).is_some());
    }

    #[test]
    fn a_status_update_does_not_wake_a_pod_but_new_labels_do() {
        let mut queue = Queue::default();
        queue.insert(&pod("x", 0));
        assert!(popped(&mut queue, 0).is_some());
        queue.insert(&pod("x", 0));
        assert!(popped(&mut queue, 9).is_none());
        let mut relabelled = Object::clone(&pod("x", 0));
        relabelled.labels = [("app".into(), "web".into())].into_iter().collect();
        queue.insert(&Arc::new(relabelled));
        assert!(popped(&mut queue, 9).is_some());
    }

    #[test]
    fn gated_pods_wait_until_the_gates_are_gone() {
        let mut queue = Queue::default();
        let json = json!({"metadata": {"namespace": "a", "name": "x", "uid": "x"},
                          "spec": {"schedulingGates": [{"name": "g"}]}});
        queue.insert(&Arc::new(
            Object::from_json(resources::PODS, &json).unwrap(),
        ));
        assert!(popped(&mut queue, 0).is_none());
        assert_eq!(queue.next_wake(), None);
        queue.insert(&pod("x", 0));
        assert!(popped(&mut queue, 0).is_some());
    }
}
