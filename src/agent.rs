//! The node agent: pod and container life cycles on simulated machines.
//!
//! [`Agents`] stands for the kubelets of all nodes labelled `bayplan.dev/runtime=simulated`. It is
//! told of changes ([`Agents::observe`]), and when it is stepped it answers with what the kubelets
//! would write: leases, node status, pod status, events, the final deletion of a stopped pod.
//!
//! A pod's life is read from its object each time ([`life`]), so that an agent that starts late, or
//! again after a restart, finds its way from the status alone. What is believed rather than read
//! (how long a pull takes, when an application is ready) is drawn from the seed, the pod's uid and
//! the node ([`delay`]), never from the order of events. Nothing here reads a clock.
//!
//! Start with [`life`] for the state machine, [`trouble`] for what can be made to fail.

mod delay;
mod life;
pub mod log;
mod machine;
pub mod order;
mod outage;
pub mod pod;
mod queue;
pub mod status;
#[cfg(test)]
mod tests;
pub mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jiff::Timestamp;

use crate::k8s::columns::{NodeReady, PodColumns, PodPhase};
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, Op, lab, resources};
use life::Life;
use machine::{Link, Machine};
use outage::Outages;
use queue::DelayQueue;

/// Pods looked at in one step. It bounds how long a waiting write waits: after a start, all pods of
/// the fleet are to be looked at.
const PODS_MAX: usize = 256;

/// Namespace and name of a pod.
type PodName = (Name, Name);

/// The agents of all simulated machines.
#[derive(Clone, Debug)]
pub struct Agents {
    seed: u64,
    /// What only says "still here" is not written; see [`Agents::quiet`].
    quiet: bool,
    /// False until the first step has read the whole cluster.
    loaded: bool,
    machines: BTreeMap<Name, Machine>,
    lives: BTreeMap<PodName, Life>,
    outages: Outages,
    dirty_nodes: BTreeSet<Name>,
    dirty_pods: BTreeSet<PodName>,
    /// The pod that was looked at last.
    last_pod: PodName,
    outages_changed: bool,
    wakes: DelayQueue<Wake>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Wake {
    Lease(Name),
    Status(Name),
    Pod(PodName),
}

impl Agents {
    /// Agents whose believable delays follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            quiet: false,
            loaded: false,
            machines: BTreeMap::new(),
            lives: BTreeMap::new(),
            outages: Outages::default(),
            dirty_nodes: BTreeSet::new(),
            dirty_pods: BTreeSet::new(),
            last_pod: PodName::default(),
            outages_changed: false,
            wakes: DelayQueue::default(),
        }
    }

    /// Agents of a rehearsal. A machine that is well writes nothing: its lease is held far into the
    /// future and dropped when the machine is lost, so that the node controller's time begins then,
    /// and its status is not repeated. Pods that already run, ready or finished, are left as they
    /// are until something befalls them.
    ///
    /// Without this, 5,000 machines write 500 leases in each second of virtual time.
    pub fn quiet(seed: u64) -> Self {
        Self {
            quiet: true,
            ..Self::new(seed)
        }
    }

    /// Notes what a change concerns. Cheap: nothing is decided before [`Self::step`].
    pub fn observe(&mut self, change: &Change) {
        let object = &change.object;
        let resource = &object.key.resource;
        if *resource == resources::PODS {
            self.observe_pod(change);
        } else if *resource == resources::NODES {
            self.dirty_nodes.insert(object.key.name.clone());
        } else if *resource == resources::OUTAGES {
            self.outages_changed = true;
        }
    }

    fn observe_pod(&mut self, change: &Change) {
        let object = &change.object;
        let Some(pod) = object.pod().filter(|pod| pod.node.is_some()) else {
            return;
        };
        if self.quiet && change.kind == ChangeKind::Added && is_settled(object) {
            return;
        }
        let name = (object.key.namespace.clone(), object.key.name.clone());
        if change.kind == ChangeKind::Deleted {
            self.forget(&name, object, pod.node.as_ref());
        }
        self.dirty_pods.insert(name);
    }

    fn forget(&mut self, name: &PodName, object: &Object, node: Option<&Name>) {
        if self
            .lives
            .get(name)
            .is_some_and(|life| life.uid == object.uid)
        {
            self.lives.remove(name);
            self.wakes.cancel(&Wake::Pod(name.clone()));
        }
        if let Some(machine) = node.and_then(|node| self.machines.get_mut(node)) {
            machine.release(&object.uid);
        }
    }

    /// When [`Self::step`] has something to do even if nothing changes.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.loaded
            || self.outages_changed
            || !self.dirty_nodes.is_empty()
            || !self.dirty_pods.is_empty()
        {
            return Some(Timestamp::MIN);
        }
        self.wakes.next()
    }

    /// What the agents want written now. Their next look at the same pods sees the outcome.
    pub fn step(&mut self, cluster: &Cluster, now: Timestamp) -> Vec<Op> {
        let mut ops = Vec::new();
        if !self.loaded {
            self.load(cluster);
        }
        if std::mem::take(&mut self.outages_changed) {
            self.outages = Outages::of(cluster);
            self.dirty_nodes.extend(self.machines.keys().cloned());
        }
        for node in std::mem::take(&mut self.dirty_nodes) {
            self.sync_node(cluster, &node, now, &mut ops);
        }
        while let Some(wake) = self.wakes.pop_due(now) {
            match wake {
                Wake::Lease(node) => self.renew_lease(cluster, &node, now, &mut ops),
                Wake::Status(node) => self.post_status(cluster, &node, now, &mut ops),
                Wake::Pod(name) => {
                    self.dirty_pods.insert(name);
                }
            }
        }
        for _ in 0..PODS_MAX {
            let Some(name) = self.next_dirty_pod() else {
                break;
            };
            self.sync_pod(cluster, &name, now, &mut ops);
        }
        ops
    }

    /// Goes round in the order of names, so that pods that change all the time hold nobody up.
    fn next_dirty_pod(&mut self) -> Option<PodName> {
        let after = (Bound::Excluded(&self.last_pod), Bound::Unbounded);
        let next = self.dirty_pods.range(after).next();
        let name = next.or_else(|| self.dirty_pods.first()).cloned()?;
        self.dirty_pods.remove(&name);
        self.last_pod = name.clone();
        Some(name)
    }

    fn load(&mut self, cluster: &Cluster) {
        self.loaded = true;
        self.outages = Outages::of(cluster);
        self.outages_changed = false;
        self.dirty_nodes
            .extend(cluster.nodes().map(|node| node.key.name.clone()));
    }

    /// Brings one machine in line with its Node object and with the outages.
    fn sync_node(&mut self, cluster: &Cluster, name: &Name, now: Timestamp, ops: &mut Vec<Op>) {
        let node = cluster
            .find(&resources::NODES, "", name)
            .filter(|node| is_simulated(node));
        let Some(node) = node else {
            if self.machines.remove(name).is_some() {
                self.wakes.cancel(&Wake::Lease(name.clone()));
                self.wakes.cancel(&Wake::Status(name.clone()));
            }
            return;
        };
        let is_same = self
            .machines
            .get(name)
            .is_some_and(|machine| machine.uid == node.uid);
        if !is_same {
            self.adopt(cluster, node, now);
        }
        let (link, since) = self.outages.link(node);
        let Some(machine) = self.machines.get_mut(name) else {
            return;
        };
        machine.set_pod_range(node);
        let before = std::mem::replace(&mut machine.link, link);
        if link != Link::Up {
            if self.quiet && is_same && before == Link::Up {
                ops.push(machine::drop_lease(name));
            }
            if before == Link::Up || link == Link::Off {
                machine.down_since = since.or(machine.down_since).or(Some(now));
            }
            return;
        }
        if before != Link::Up {
            let lost_power = (before == Link::Off)
                .then(|| machine.down_since.take())
                .flatten();
            machine.down_since = None;
            if lost_power.is_some() {
                machine.restart(now);
                ops.push(machine.event_rebooted(node));
            }
            self.wakes.set(Wake::Lease(name.clone()), now);
            self.return_pods(cluster, name, lost_power);
        }
        if node.node().map(|columns| columns.ready) != Some(NodeReady::True) {
            let at = self.machines.get(name).map_or(now, |machine| machine.up_at);
            self.wakes.advance(Wake::Status(name.clone()), at.max(now));
        }
    }

    /// A machine is seen for the first time: since the start of the program, or at all.
    fn adopt(&mut self, cluster: &Cluster, node: &Object, now: Timestamp) {
        let name = node.key.name.clone();
        let mut machine = Machine::new(node, self.seed, now);
        for pod in cluster.pods_on(&name) {
            if let Some(columns) = pod.pod().filter(|columns| !columns.is_finished()) {
                machine.addresses.hold(&columns.ip, &pod.uid);
            }
            if !(self.quiet && is_settled(pod)) {
                self.dirty_pods
                    .insert((pod.key.namespace.clone(), pod.key.name.clone()));
            }
        }
        if !(self.quiet && machine::has_lease(cluster, &name)) {
            self.wakes
                .set(Wake::Lease(name.clone()), machine.first_lease_at);
        }
        if !self.quiet {
            self.wakes
                .set(Wake::Status(name.clone()), machine.heartbeat_at);
        }
        self.machines.insert(name, machine);
    }

    fn return_pods(&mut self, cluster: &Cluster, node: &Name, lost_power: Option<Timestamp>) {
        for pod in cluster.pods_on(node) {
            let name = (pod.key.namespace.clone(), pod.key.name.clone());
            if let Some(time) = lost_power {
                let life = self
                    .lives
                    .entry(name.clone())
                    .or_insert_with(|| Life::new(&pod.uid, time));
                life.lose_power(time);
            }
            self.dirty_pods.insert(name);
        }
    }

    fn renew_lease(&mut self, cluster: &Cluster, name: &Name, now: Timestamp, ops: &mut Vec<Op>) {
        let Some(machine) = self
            .machines
            .get_mut(name)
            .filter(|machine| machine.link == Link::Up)
        else {
            return;
        };
        if self.quiet {
            ops.push(machine.lease(cluster, name, now + machine::LEASE_HELD));
            return;
        }
        ops.push(machine.lease(cluster, name, now));
        let next = machine::whole_second(now + machine::LEASE_INTERVAL);
        self.wakes.set(Wake::Lease(name.clone()), next);
    }

    fn post_status(&mut self, cluster: &Cluster, name: &Name, now: Timestamp, ops: &mut Vec<Op>) {
        let Some(machine) = self.machines.get_mut(name) else {
            return;
        };
        let node = cluster.find(&resources::NODES, "", name);
        let Some(node) = node.filter(|_| machine.link == Link::Up) else {
            return;
        };
        if now < machine.up_at {
            self.wakes.set(Wake::Status(name.clone()), machine.up_at);
            return;
        }
        machine.post_status(node, now, ops);
        if !self.quiet {
            self.wakes
                .set(Wake::Status(name.clone()), machine.heartbeat_at);
        }
    }

    fn sync_pod(&mut self, cluster: &Cluster, name: &PodName, now: Timestamp, ops: &mut Vec<Op>) {
        let wake = Wake::Pod(name.clone());
        let Some(object) = cluster.find(&resources::PODS, &name.0, &name.1) else {
            self.lives.remove(name);
            self.wakes.cancel(&wake);
            return;
        };
        let node = object.pod().and_then(|pod| pod.node.clone());
        let Some(node) = node else { return };
        let Some(machine) = self
            .machines
            .get_mut(&node)
            .filter(|machine| machine.link == Link::Up)
        else {
            self.wakes.cancel(&wake);
            return;
        };
        let Some(node_object) = cluster.find(&resources::NODES, "", &node) else {
            return;
        };
        if self
            .lives
            .get(name)
            .is_none_or(|life| life.uid != object.uid)
        {
            self.lives.insert(name.clone(), Life::new(&object.uid, now));
        }
        let Some(life) = self.lives.get_mut(name) else {
            return;
        };
        let place = life::Place {
            cluster,
            node: node_object,
            seed: self.seed,
        };
        let next = life::advance(life, object, machine, &place, now, ops);
        match next {
            Some(at) => self.wakes.set(wake, at),
            None => self.wakes.cancel(&wake),
        }
        if let Some(at) = machine.status_due(now) {
            self.wakes.advance(Wake::Status(node), at);
        }
    }
}

/// Whether nothing is to be expected of a pod by itself: it runs and is ready, or has ended.
fn is_settled(pod: &Object) -> bool {
    let settled = |columns: &PodColumns| {
        columns.is_finished() || (columns.phase == PodPhase::Running && columns.ready)
    };
    !pod.is_terminating() && pod.pod().is_some_and(settled)
}

/// Whether a node belongs to these agents.
pub fn is_simulated(node: &Object) -> bool {
    let runtime = node.labels.get(lab::RUNTIME_LABEL);
    runtime.is_some_and(|runtime| runtime == lab::RUNTIME_SIMULATED)
}
