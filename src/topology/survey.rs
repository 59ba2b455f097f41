//! The cluster as dense rows: nodes, live pods, workloads and budgets, each known by its index.
//!
//! Made once for a revision; every picture and every answer of this module is arithmetic over it.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::amounts::Amounts;
use super::budget::{self, Budget};
use super::workload::{self, Class, Workload, WorkloadKey};
use crate::k8s::columns::{NodeReady, PodColumns};
use crate::k8s::{Cluster, Name, Object, Revision, Uid};

/// What an index into one of the survey's rows looks like. 4 billion pods are out of reach.
pub type Row = u32;

#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub revision: Revision,
    /// In the order of their names.
    pub nodes: Vec<NodeFacts>,
    /// Live pods: neither succeeded nor failed. In the order of namespace and name.
    pub pods: Vec<PodFacts>,
    pub workloads: Vec<Workload>,
    pub budgets: Vec<Budget>,
    /// The median requests of the replicas that ask for cpu, for memory; what "one more pod"
    /// means here. See [`Survey::typical_of`].
    pub typical: Amounts,
    by_node: Groups,
    by_workload: Groups,
    node_rows: FxHashMap<Name, Row>,
}

#[derive(Clone, Debug)]
pub struct NodeFacts {
    pub object: Arc<Object>,
    pub ready: NodeReady,
    pub cordoned: bool,
    pub allocatable: Amounts,
    /// Requests of the live pods on it.
    pub requested: Amounts,
    pub limits: Amounts,
}

#[derive(Clone, Debug)]
pub struct PodFacts {
    pub object: Arc<Object>,
    pub node: Option<Row>,
    pub workload: Row,
    pub budget: Option<Row>,
    pub request: Amounts,
    /// Ready and not terminating: it serves.
    pub serves: bool,
}

impl NodeFacts {
    pub fn name(&self) -> &str {
        self.object.name()
    }

    /// Ready and not cordoned: new pods may come.
    pub fn is_open(&self) -> bool {
        self.ready == NodeReady::True && !self.cordoned
    }

    pub fn free(&self) -> Amounts {
        (self.allocatable - self.requested).at_least_zero()
    }

    /// The share of the fullest dimension that is requested.
    pub fn fullest(&self) -> f64 {
        self.requested.fullest_of(self.allocatable)
    }
}

impl PodFacts {
    pub fn columns(&self) -> Option<&PodColumns> {
        self.object.pod()
    }
}

impl Survey {
    pub fn of(cluster: &Cluster) -> Self {
        let mut survey = Self {
            revision: cluster.revision(),
            ..Self::default()
        };
        survey.read_nodes(cluster);
        let owners = survey.read_pods(cluster);
        survey.by_node = Groups::of(survey.nodes.len(), survey.pods.iter().map(|pod| pod.node));
        survey.by_workload = Groups::of(
            survey.workloads.len(),
            survey.pods.iter().map(|pod| Some(pod.workload)),
        );
        survey.read_budgets(cluster, &owners);
        survey.typical = survey.typical_of(|_| true);
        survey
    }

    pub fn node_row(&self, name: &str) -> Option<Row> {
        self.node_rows.get(name).copied()
    }

    /// Rows of the live pods on a node.
    pub fn pods_on(&self, node: Row) -> &[Row] {
        self.by_node.of_group(node)
    }

    /// Rows of the live pods of a workload.
    pub fn pods_of(&self, workload: Row) -> &[Row] {
        self.by_workload.of_group(workload)
    }

    pub fn node(&self, row: Row) -> &NodeFacts {
        &self.nodes[row as usize]
    }

    pub fn pod(&self, row: Row) -> &PodFacts {
        &self.pods[row as usize]
    }

    pub fn workload(&self, row: Row) -> &Workload {
        &self.workloads[row as usize]
    }

    pub fn workload_row(&self, key: &WorkloadKey) -> Option<Row> {
        let place = self.workloads.iter().position(|entry| entry.key == *key)?;
        Row::try_from(place).ok()
    }

    /// The median cpu and memory requests of the services' and jobs' pods that `keep` accepts;
    /// pods that ask for none of a dimension do not count in it. 100m and 128Mi, a small web
    /// service, where nobody asks for anything.
    pub fn typical_of(&self, keep: impl Fn(&PodFacts) -> bool) -> Amounts {
        let mut cpu = Vec::new();
        let mut memory = Vec::new();
        for pod in self.pods.iter().filter(|pod| keep(pod)) {
            if self.workload(pod.workload).is_displaced_with_its_node() {
                cpu.push(pod.request.cpu_milli);
                memory.push(pod.request.memory_bytes);
            }
        }
        Amounts {
            cpu_milli: median_above_zero(cpu).unwrap_or(100),
            memory_bytes: median_above_zero(memory).unwrap_or(128 << 20),
            pods: 1,
        }
    }

    fn read_nodes(&mut self, cluster: &Cluster) {
        for object in cluster.nodes() {
            let Some(columns) = object.node() else {
                continue;
            };
            let row = row(self.nodes.len());
            self.node_rows.insert(object.key.name.clone(), row);
            self.nodes.push(NodeFacts {
                object: Arc::clone(object),
                ready: columns.ready,
                cordoned: columns.unschedulable,
                allocatable: Amounts::of(&columns.allocatable, columns.pod_limit),
                requested: Amounts::default(),
                limits: Amounts::default(),
            });
        }
    }

    /// Fills pods, workloads and the nodes' sums; returns the rows of pods that share a direct
    /// owner, by owner, because they share their labels too.
    fn read_pods(&mut self, cluster: &Cluster) -> Vec<Vec<Row>> {
        let mut by_owner: FxHashMap<&Uid, (Row, usize)> = FxHashMap::default();
        let mut by_key: FxHashMap<WorkloadKey, Row> = FxHashMap::default();
        let mut families: Vec<Vec<Row>> = Vec::new();
        self.pods
            .reserve(cluster.count(&crate::k8s::resources::PODS));
        for object in cluster.pods() {
            let Some(columns) = object.pod().filter(|pod| !pod.is_finished()) else {
                continue;
            };
            let pod_row = row(self.pods.len());
            let known = object
                .controller()
                .and_then(|owner| by_owner.get(&owner.uid).copied());
            let (workload, family) = known.unwrap_or_else(|| {
                let key = workload::workload_of(cluster, object);
                let workload = *by_key.entry(key).or_insert_with_key(|key| {
                    self.workloads.push(new_workload(cluster, key.clone()));
                    row(self.workloads.len() - 1)
                });
                families.push(Vec::new());
                let found = (workload, families.len() - 1);
                if let Some(owner) = object.controller() {
                    by_owner.insert(&owner.uid, found);
                }
                found
            });
            families[family].push(pod_row);
            let request = Amounts::of(&columns.requests, 1);
            let node = columns
                .node
                .as_ref()
                .and_then(|name| self.node_rows.get(name).copied());
            if let Some(node) = node {
                let facts = &mut self.nodes[node as usize];
                facts.requested += request;
                facts.limits += Amounts::of(&columns.limits, 1);
            }
            let serves = budget::is_healthy(object);
            let entry = &mut self.workloads[workload as usize];
            entry.replicas += 1;
            entry.ready += u32::from(serves);
            self.pods.push(PodFacts {
                object: Arc::clone(object),
                node,
                workload,
                budget: None,
                request,
                serves,
            });
        }
        families
    }

    /// A pod that several budgets cover belongs to the first of them; the eviction API refuses
    /// such pods altogether.
    fn read_budgets(&mut self, cluster: &Cluster, families: &[Vec<Row>]) {
        self.budgets = budget::unmatched(cluster);
        if self.budgets.is_empty() {
            return;
        }
        let mut by_namespace: FxHashMap<Name, Vec<usize>> = FxHashMap::default();
        for (place, family) in families.iter().enumerate() {
            if let Some(&first) = family.first() {
                let namespace = self.pod(first).object.key.namespace.clone();
                by_namespace.entry(namespace).or_default().push(place);
            }
        }
        for place in 0..self.budgets.len() {
            let Some(selector) = self.budgets[place].selector.clone() else {
                continue;
            };
            let each = selector.keys().any(|key| is_generated(key));
            let namespace = &self.budgets[place].key.namespace;
            for &family in by_namespace.get(namespace).into_iter().flatten() {
                let members = &families[family];
                let alike = members
                    .first()
                    .is_some_and(|&first| selector.matches(&self.pod(first).object.labels));
                for &member in members {
                    let matches = if each {
                        selector.matches(&self.pod(member).object.labels)
                    } else {
                        alike
                    };
                    if matches {
                        self.cover(member, place);
                    }
                }
            }
        }
    }

    fn cover(&mut self, pod: Row, budget: usize) {
        let pod = &mut self.pods[pod as usize];
        if pod.budget.is_none() {
            pod.budget = Some(row(budget));
            let budget = &mut self.budgets[budget];
            budget.covered += 1;
            budget.healthy += u32::from(pod.serves);
        }
    }
}

/// Labels that differ between the pods of one owner.
fn is_generated(label: &str) -> bool {
    matches!(
        label,
        "statefulset.kubernetes.io/pod-name"
            | "apps.kubernetes.io/pod-index"
            | "controller-revision-hash"
            | "batch.kubernetes.io/job-completion-index"
    )
}

fn new_workload(cluster: &Cluster, key: WorkloadKey) -> Workload {
    let (desired, quorum) = workload::desired_and_quorum(cluster, &key);
    Workload {
        class: key.class(),
        hue: key.hue(),
        key,
        replicas: 0,
        ready: 0,
        desired,
        quorum,
    }
}

fn row(place: usize) -> Row {
    Row::try_from(place).unwrap_or(Row::MAX)
}

fn median_above_zero(mut amounts: Vec<i64>) -> Option<i64> {
    amounts.retain(|amount| *amount > 0);
    if amounts.is_empty() {
        return None;
    }
    let middle = amounts.len() / 2;
    Some(*amounts.select_nth_unstable(middle).1)
}

/// Rows by group, packed: two vectors however many groups there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    starts: Vec<Row>,
    rows: Vec<Row>,
}

impl Groups {
    pub(crate) fn of(groups: usize, group_of: impl Iterator<Item = Option<Row>> + Clone) -> Self {
        let mut starts = vec![0; groups + 1];
        for group in group_of.clone().flatten() {
            starts[group as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts.last().copied().unwrap_or_default() as usize];
        for (place, group) in group_of.enumerate() {
            if let Some(group) = group {
                let slot = &mut next[group as usize];
                rows[*slot as usize] = row(place);
                *slot += 1;
            }
        }
        Self { starts, rows }
    }

    pub(crate) fn of_group(&self, group: Row) -> &[Row] {
        let from = self.starts[group as usize] as usize;
        let to = self.starts[group as usize + 1] as usize;
        &self.rows[from..to]
    }
}

impl Survey {
    /// Whether a pod leaves when its node is lost and somebody would want it elsewhere.
    pub fn is_displaced(&self, pod: &PodFacts) -> bool {
        let class = self.workload(pod.workload).class;
        !matches!(class, Class::Daemon | Class::Static) && !pod.object.is_terminating()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{budget, cluster, node, pod};

    #[test]
    fn rows_add_up() {
        let cluster = cluster(&[
            node("n1").cpu("4").memory("8Gi"),
            node("n2").cpu("4").memory("8Gi").cordoned(),
            pod("a")
                .cpu("1")
                .memory("1Gi")
                .node("n1")
                .owner("ReplicaSet", "web"),
            pod("b")
                .cpu("2")
                .memory("1Gi")
                .node("n1")
                .owner("ReplicaSet", "web")
                .not_ready(),
            pod("c").cpu("1").owner("ReplicaSet", "web"),
            pod("d").cpu("1").node("n1").phase("Succeeded"),
            pod("e").cpu("500m").node("n2").owner("DaemonSet", "logs"),
        ]);
        let survey = Survey::of(&cluster);
        assert_eq!((survey.nodes.len(), survey.pods.len()), (2, 4));
        assert_eq!(survey.nodes[0].requested.cpu_milli, 3000);
        assert_eq!(survey.nodes[0].free().cpu_milli, 1000);
        assert_eq!(survey.pods_on(0).len(), 2);
        assert!(survey.nodes[0].is_open() && !survey.nodes[1].is_open());
        let web = &survey.workloads[survey.pods[0].workload as usize];
        assert_eq!((web.replicas, web.ready), (3, 1));
        assert_eq!(survey.pods_of(survey.pods[0].workload), &[0, 1, 2]);
        assert_eq!(survey.typical.cpu_milli, 1000, "the daemon does not count");
    }

    #[test]
    fn budgets_cover_pods_by_their_labels() {
        let member = |name: &str| {
            pod(name)
                .label("app", "web")
                .owner("ReplicaSet", "web")
                .running()
        };
        let cluster = cluster(&[
            budget("web").min_available("50%"),
            member("web-1"),
            member("web-2"),
            member("web-3").not_ready(),
            pod("other").label("app", "api").running(),
            pod("elsewhere/web-9").label("app", "web").running(),
        ]);
        let survey = Survey::of(&cluster);
        let budget = &survey.budgets[0];
        assert_eq!((budget.covered, budget.healthy, budget.needs()), (3, 2, 2));
        let counted = &budget::budgets(&cluster)[0];
        assert_eq!((counted.covered, counted.healthy), (3, 2));
        assert_eq!(counted.room(), 0);
    }

    #[test]
    fn a_budget_over_one_pod_of_a_stateful_set_covers_one() {
        let member = |name: &str| {
            pod(name)
                .label("app", "db")
                .label("statefulset.kubernetes.io/pod-name", name)
                .owner("StatefulSet", "db")
                .running()
        };
        let budget = budget("db-0").with(&serde_json::json!({"spec": {"selector": {
            "matchLabels": {"app": null, "statefulset.kubernetes.io/pod-name": "db-0"},
        }}}));
        let survey = Survey::of(&cluster(&[budget, member("db-0"), member("db-1")]));
        assert_eq!(survey.budgets[0].covered, 1);
        assert_eq!(survey.pods[1].budget, None);
    }

    /// 5,000 nodes and 150,000 pods; run with `--ignored` in an optimised build.
    #[test]
    #[ignore = "a measurement"]
    fn a_large_fleet_is_surveyed_quickly() {
        let mut drafts = Cluster::default();
        for n in 0..5000 {
            let draft = node(&format!("n{n:04}"))
                .zone(&format!("z{}", n % 3))
                .rack(&format!("r{}", n % 120));
            drafts.insert(&draft.build());
        }
        for n in 0..3000 {
            let name = format!("team-{}/app-{n}-abc", n % 24);
            let owner = format!("app-{n}");
            drafts.insert(
                &crate::k8s::build::replica_set(&name)
                    .owner("Deployment", &owner)
                    .build(),
            );
            drafts.insert(
                &crate::k8s::build::deployment(&format!("team-{}/app-{n}", n % 24))
                    .replicas(50)
                    .build(),
            );
            if n % 3 == 0 {
                drafts.insert(
                    &budget(&format!("team-{}/app-{n}", n % 24))
                        .max_unavailable("1")
                        .build(),
                );
            }
        }
        for n in 0..150_000 {
            let app = n % 3000;
            let draft = pod(&format!("team-{}/app-{app}-abc-{n}", app % 24))
                .label("app", &format!("app-{app}"))
                .owner("ReplicaSet", &format!("app-{app}-abc"))
                .cpu("500m")
                .memory("1Gi")
                .node(&format!("n{:04}", (n * 7919) % 5000));
            drafts.insert(&draft.build());
        }
        #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
        let clock = std::time::Instant::now;
        let start = clock();
        let survey = Survey::of(&drafts);
        println!("survey {:?}", start.elapsed());
        for label in [
            super::super::level::ZONE,
            super::super::level::RACK,
            super::super::level::HOST,
        ] {
            let level = super::super::Level::of(label);
            let start = clock();
            let domains = super::super::Domains::of(&survey, &level);
            let summed = start.elapsed();
            let spreads = super::super::spreads(&survey, &domains);
            let rated = start.elapsed();
            let blasts = super::super::blasts(&survey, &domains);
            println!(
                "{} {summed:?}, spread {rated:?}, blast {:?}",
                level.title,
                start.elapsed()
            );
            assert_eq!(spreads.len(), 3000);
            assert_eq!(
                blasts
                    .iter()
                    .map(|blast| blast.displaced.len())
                    .sum::<usize>(),
                150_000
            );
        }
    }
}
