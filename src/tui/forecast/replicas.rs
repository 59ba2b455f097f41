//! Another number of replicas: what would come of it.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use super::domain_loss::Load;
use super::landing;
use super::reasons::{Reason, grouped, sentence};
use crate::k8s::quantity::Quantity;
use crate::k8s::{Cluster, Name, Object, ObjectKey, resources};
use crate::sched::{PlaceOptions, PlaceOrder, Snapshot};
use crate::stdx::humanize::counted;
use crate::topology::spread::{percent, spread_of};
use crate::topology::{Amounts, Domains, Level, Survey, WorkloadKey};
use crate::tui::actions::proposal::{Consequence, Weight};

/// More new pods than this are not placed in thought; the answer says so.
const PLACED_MAX: u32 = 5_000;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReplicasForecast {
    pub from: u32,
    pub to: u32,
    /// New pods that find a node.
    pub placed: usize,
    pub refused: usize,
    pub reasons: Vec<Reason>,
    /// Where the new ones would go, the nodes with most of them first.
    pub landing: Vec<(Name, usize)>,
    /// The level that spread and loss are told for: racks of a zone tell little of the zone.
    pub level: Option<Level>,
    /// Replicas by domain of that level, after.
    pub spread: Vec<u32>,
    pub worst_before: Option<f64>,
    pub worst_after: Option<f64>,
    pub before: Load,
    pub after: Load,
    /// Quotas that would be exceeded, or how much they would be used.
    pub quotas: Vec<Note>,
    pub budget: Option<Note>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    pub text: String,
    pub is_bad: bool,
}

impl ReplicasForecast {
    /// Two lines for under the row: what happens to the pods, what happens around them.
    pub fn lines(&self) -> [String; 2] {
        [self.pods_line(), self.around_line()]
    }

    pub fn is_bad(&self) -> bool {
        self.refused > 0
            || self.quotas.iter().any(|note| note.is_bad)
            || self.budget.as_ref().is_some_and(|note| note.is_bad)
    }

    /// What speaks against it, in words; nothing, where all fit and no budget is broken.
    pub fn concerns(&self) -> Vec<Consequence> {
        let mut list = Vec::new();
        let mut warn = |text: String| {
            list.push(Consequence {
                weight: Weight::Warning,
                text,
            });
        };
        if self.refused > 0 {
            let what = counted(self.refused, "new pod would wait", "new pods would wait");
            warn(format!("{what}: {}", sentence(&self.reasons)));
        }
        let notes = self.quotas.iter().chain(&self.budget);
        notes
            .filter(|note| note.is_bad)
            .for_each(|note| warn(note.text.clone()));
        list
    }

    fn pods_line(&self) -> String {
        let mut parts = Vec::new();
        if self.to > self.from {
            let new = (self.to - self.from) as usize;
            let names: Vec<&str> = self
                .landing
                .iter()
                .take(2)
                .map(|(name, _)| &**name)
                .collect();
            let more = if self.landing.len() > 2 { ", …" } else { "" };
            let outcome = if self.refused == 0 {
                format!("all fit ({}{more})", names.join(", "))
            } else if self.placed == 0 {
                format!("none fits: {}", sentence(&self.reasons))
            } else {
                format!(
                    "{} fit, {} would wait: {}",
                    self.placed,
                    self.refused,
                    sentence(&self.reasons)
                )
            };
            parts.push(format!(
                "{}: {outcome}",
                counted(new, "new pod", "new pods")
            ));
        } else {
            let gone = (self.from - self.to) as usize;
            parts.push(format!("{} fewer", counted(gone, "pod", "pods")));
        }
        if let Some(level) = &self.level
            && !self.spread.is_empty()
        {
            let counts: Vec<String> = self.spread.iter().map(u32::to_string).collect();
            if counts.len() <= 8 {
                parts.push(format!("{}s {}", level.title, counts.join("/")));
            }
        }
        let share = |loss: Option<f64>| loss.map_or_else(|| "-".to_owned(), percent);
        parts.push(format!(
            "worst loss {} → {}",
            share(self.worst_before),
            share(self.worst_after)
        ));
        parts.join("   ")
    }

    fn around_line(&self) -> String {
        let (cpu_before, memory_before) = self.before.percents();
        let (cpu_after, memory_after) = self.after.percents();
        let mut parts = vec![
            format!("cpu {cpu_before:.0} → {cpu_after:.0}%"),
            format!("mem {memory_before:.0} → {memory_after:.0}%"),
        ];
        if let Some(budget) = &self.budget {
            parts.push(budget.text.clone());
        }
        parts.extend(self.quotas.iter().map(|note| note.text.clone()));
        parts.join("   ")
    }
}

/// What `to` replicas of a workload would mean; `None` where the object is no workload with
/// replicas. `level` is the failure-domain level to tell spread and loss for.
pub fn forecast(
    cluster: &Cluster,
    snapshot: &Snapshot,
    target: &ObjectKey,
    to: u32,
    level: Option<&Level>,
) -> Option<ReplicasForecast> {
    let object = cluster.get(target)?;
    let json = object.json();
    let template = json.pointer("/spec/template")?;
    let from = json
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(1);
    let survey = Survey::of(cluster);
    let key = WorkloadKey {
        namespace: target.namespace.clone(),
        kind: Name::new(json.get("kind").and_then(Value::as_str).unwrap_or_default()),
        name: target.name.clone(),
    };
    let mut answer = ReplicasForecast {
        from,
        to,
        level: level.cloned(),
        before: load(&survey),
        ..ReplicasForecast::default()
    };
    answer.worst_before = worst(&survey, &key, level);
    let after = if to > from {
        let pods = new_pods(&json, template, &key, (to - from).min(PLACED_MAX));
        grow(cluster, snapshot, &pods, &mut answer)
    } else {
        shrink(cluster, &survey, &key, from - to)
    };
    let survey_after = Survey::of(&after);
    answer.after = load(&survey_after);
    answer.worst_after = worst(&survey_after, &key, level);
    answer.spread = spread(&survey_after, &key, level);
    let each = pod_of(&json, template, &key, 0)
        .and_then(|pod| Some(Amounts::of(&pod.pod()?.requests, 1)))
        .unwrap_or_default();
    answer.quotas = quotas(cluster, &target.namespace, each, from, to);
    answer.budget = budget(&survey, &key, from, to);
    Some(answer)
}

fn load(survey: &Survey) -> Load {
    let mut load = Load::default();
    for node in survey.nodes.iter().filter(|node| node.is_open()) {
        load.requested += node.requested;
        load.allocatable += node.allocatable;
    }
    load
}

fn worst(survey: &Survey, key: &WorkloadKey, level: Option<&Level>) -> Option<f64> {
    let domains = Domains::of(survey, level?);
    let row = survey.workload_row(key)?;
    Some(spread_of(survey, &domains, row).worst?.share)
}

fn spread(survey: &Survey, key: &WorkloadKey, level: Option<&Level>) -> Vec<u32> {
    let (Some(level), Some(row)) = (level, survey.workload_row(key)) else {
        return Vec::new();
    };
    let domains = Domains::of(survey, level);
    let row = spread_of(survey, &domains, row);
    let mut counts: Vec<u32> = (0..domains.list.len())
        .filter_map(|place| u32::try_from(place).ok())
        .map(|domain| row.cell(domain).replicas)
        .collect();
    counts.sort_by_key(|count| Reverse(*count));
    counts
}

fn new_pods(json: &Value, template: &Value, key: &WorkloadKey, count: u32) -> Vec<Arc<Object>> {
    (0..count)
        .filter_map(|number| pod_of(json, template, key, number))
        .map(Arc::new)
        .collect()
}

/// A pod as the workload's controller would create it.
fn pod_of(json: &Value, template: &Value, key: &WorkloadKey, number: u32) -> Option<Object> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{}+{}", key.name, number + 1),
            "namespace": key.namespace,
            "uid": format!("{}+{}", key.name, number + 1),
            "labels": template.pointer("/metadata/labels").cloned().unwrap_or_default(),
            "ownerReferences": [{
                "apiVersion": json.get("apiVersion").cloned().unwrap_or_default(),
                "kind": key.kind,
                "name": key.name,
                "uid": json.pointer("/metadata/uid").cloned().unwrap_or_default(),
                "controller": true,
            }],
        },
        "spec": template.get("spec").cloned().unwrap_or_default(),
        "status": {"phase": "Pending"},
    });
    Object::from_json(resources::PODS, &pod).ok()
}

/// Places the new pods and returns the cluster with them, ready.
fn grow(
    cluster: &Cluster,
    snapshot: &Snapshot,
    pods: &[Arc<Object>],
    answer: &mut ReplicasForecast,
) -> Cluster {
    let options = PlaceOptions {
        order: PlaceOrder::AsGiven,
        ..PlaceOptions::default()
    };
    let placement = snapshot.place(pods, options);
    answer.placed = placement.placed.len();
    answer.refused = placement.refused.len();
    answer.reasons = grouped(
        placement
            .refused
            .iter()
            .map(|refused| refused.message.as_str()),
    );
    answer.landing = landing::of(&placement);
    let mut after = cluster.clone();
    for (key, node) in &placement.placed {
        let Some(pod) = pods.iter().find(|pod| pod.key == *key) else {
            continue;
        };
        let mut pod = Object::clone(pod);
        if let crate::k8s::columns::Columns::Pod(columns) = &mut pod.columns {
            columns.node = Some(node.clone());
            columns.ready = true;
        }
        after.insert(&Arc::new(pod));
    }
    after
}

/// The cluster without the pods that would go first.
///
/// Source: the order of a replica set's deletions (`ActivePodsWithRanks`): pods that do not serve,
/// then those with most siblings on their node, then the youngest. A stateful set removes the
/// highest ordinals.
fn shrink(cluster: &Cluster, survey: &Survey, key: &WorkloadKey, count: u32) -> Cluster {
    let mut after = cluster.clone();
    let Some(row) = survey.workload_row(key) else {
        return after;
    };
    let pods = survey.pods_of(row);
    let siblings = |node: Option<u32>| {
        pods.iter()
            .filter(|&&pod| survey.pod(pod).node == node)
            .count()
    };
    let mut order = pods.to_vec();
    if key.kind == "StatefulSet" {
        let ordinal = |pod: u32| {
            let name = survey.pod(pod).object.name();
            name.rsplit('-')
                .next()
                .and_then(|digits| digits.parse::<u32>().ok())
        };
        order.sort_by_key(|&pod| Reverse(ordinal(pod)));
    } else {
        order.sort_by_key(|&pod| {
            let facts = survey.pod(pod);
            (
                facts.serves,
                Reverse(siblings(facts.node)),
                Reverse(facts.object.created),
            )
        });
    }
    for pod in order.into_iter().take(count as usize) {
        after.remove(&survey.pod(pod).object.key);
    }
    after
}

/// What quotas of the namespace say about the change.
fn quotas(cluster: &Cluster, namespace: &str, each: Amounts, from: u32, to: u32) -> Vec<Note> {
    let more = i64::from(to) - i64::from(from);
    let mut notes = Vec::new();
    for quota in cluster.list_in(&resources::RESOURCE_QUOTAS, namespace) {
        let json = quota.json();
        let amount = |part: &str, name: &str| {
            let text = json.pointer(&format!("/status/{part}/{name}"))?.as_str()?;
            Quantity::parse(text).ok()
        };
        for (name, short, added) in [
            (
                "requests.cpu",
                "cpu",
                Quantity::from_milli(each.cpu_milli * more),
            ),
            ("cpu", "cpu", Quantity::from_milli(each.cpu_milli * more)),
            (
                "requests.memory",
                "mem",
                Quantity::from_bytes(each.memory_bytes * more),
            ),
            (
                "memory",
                "mem",
                Quantity::from_bytes(each.memory_bytes * more),
            ),
            ("pods", "pods", Quantity::from_units(more)),
        ] {
            let (Some(hard), Some(used)) = (amount("hard", name), amount("used", name)) else {
                continue;
            };
            let after = used.plus(added);
            let over = if after > hard { " exceeded" } else { "" };
            notes.push(Note {
                text: format!("quota {short} {after}/{hard}{over}"),
                is_bad: after > hard && more > 0,
            });
        }
    }
    notes
}

/// Scaling does not ask budgets; it may leave one broken.
fn budget(survey: &Survey, key: &WorkloadKey, from: u32, to: u32) -> Option<Note> {
    let row = survey.workload_row(key)?;
    let pods = survey.pods_of(row);
    let budget = pods.iter().find_map(|&pod| survey.pod(pod).budget)?;
    let budget = survey.budgets.get(budget as usize)?;
    let covered = budget.covered.saturating_add(to).saturating_sub(from);
    let needs = budget.rule.needs(covered);
    let is_bad = needs > covered;
    let text = if is_bad {
        format!("budget {} needs {needs}", budget.key.name)
    } else {
        let spare = covered - needs;
        format!("budget ok, {spare} may go")
    };
    Some(Note { text, is_bad })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, cluster, deployment, node, pod, replica_set};
    use crate::topology::level::RACK;

    fn fleet() -> Vec<Draft> {
        let template = json!({"spec": {"template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "app:1", "resources": {
                "requests": {"cpu": "2", "memory": "1Gi"},
            }}]},
        }}});
        let member = |name: &str, node: &str| {
            pod(name)
                .label("app", "web")
                .owner("ReplicaSet", "web-abc")
                .cpu("2")
                .memory("1Gi")
                .node(node)
        };
        vec![
            node("n1").rack("r1").cpu("8"),
            node("n2").rack("r2").cpu("8"),
            deployment("web").replicas(3).with(&template),
            replica_set("web-abc").owner("Deployment", "web"),
            member("web-1", "n1"),
            member("web-2", "n1"),
            member("web-3", "n2"),
        ]
    }

    #[track_caller]
    fn check(to: u32, expected: [&str; 2]) {
        let cluster = cluster(&fleet());
        let target = ObjectKey::new(resources::DEPLOYMENTS, "default", "web");
        let level = Level::of(RACK);
        let found = forecast(&cluster, &Snapshot::of(&cluster), &target, to, Some(&level));
        assert_eq!(found.unwrap().lines(), expected);
    }

    #[test]
    fn more_replicas_are_placed_by_the_scheduler() {
        check(
            4,
            [
                "1 new pod: all fit (n2)   racks 2/2   worst loss 67% → 50%",
                "cpu 38 → 50%   mem 2 → 3%",
            ],
        );
        check(
            10,
            [
                "7 new pods: 5 fit, 2 would wait: 2 too little cpu   racks 4/4   worst loss 67% → 50%",
                "cpu 38 → 100%   mem 2 → 6%",
            ],
        );
    }

    #[test]
    fn fewer_replicas_leave_where_most_are() {
        check(
            2,
            [
                "1 pod fewer   racks 1/1   worst loss 67% → 50%",
                "cpu 38 → 25%   mem 2 → 2%",
            ],
        );
    }
}
