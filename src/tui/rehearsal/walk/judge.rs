//! Whether reality goes as foretold.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Watch;
use crate::k8s::workload::Workload;
use crate::k8s::{Cluster, ObjectKey, Uid};
use crate::rehearse::outcome::WorkloadName;
use crate::rehearse::walk::{Deed, Real};
use crate::topology::WorkloadKey;
use crate::topology::budget::{self, Budget};
use crate::topology::workload::workload_of;

/// A pod that finds no node may be let in by preemption or by one that leaves: so long it is not
/// held against the rehearsal.
const UNSCHEDULED: SignedDuration = SignedDuration::from_secs(10);
/// Controllers need a moment to see a change: what looks as foretold must go on to.
const STEADY: SignedDuration = SignedDuration::from_secs(3);
/// Images are pulled and probes pass in their own time: reality may take this much longer,
const SLACK: SignedDuration = SignedDuration::from_mins(2);
/// or so many times as long.
const TIMES: i32 = 3;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// What is still waited for.
    Wait(String),
    AsForetold,
    Departs(String),
}

/// How things are before the step is sent.
pub fn baseline(number: u64, real: &Real, cluster: &Cluster, now: Timestamp) -> Watch {
    let mut short = BTreeMap::new();
    for (key, workload) in concerned(real, cluster) {
        short.insert(key, (workload.desired - workload.ready).max(0));
    }
    Watch {
        number,
        since: now,
        broken: broken(cluster).into_keys().collect(),
        waiting: unscheduled(cluster).into_keys().collect(),
        short,
        revision: cluster.get(&real.touched.key).map(|object| object.revision),
        seen: BTreeMap::new(),
        arrived: None,
        words: String::new(),
    }
}

/// Looks once. `is_under_way`: a drain still asks for evictions, or a write is not answered.
pub fn judge(
    watch: &mut Watch,
    real: &Real,
    cluster: &Cluster,
    is_under_way: bool,
    now: Timestamp,
) -> Verdict {
    if let Some(why) = departs(watch, real, cluster, now) {
        return Verdict::Departs(why);
    }
    let missing = if is_under_way {
        Some("the server's answers".to_owned())
    } else {
        missing(watch, real, cluster)
    };
    let Some(words) = missing else {
        let since = *watch.arrived.get_or_insert(now);
        let is_steady = now.duration_since(since) >= STEADY;
        return if is_steady {
            Verdict::AsForetold
        } else {
            Verdict::Wait("a moment of rest".to_owned())
        };
    };
    watch.arrived = None;
    let took = SignedDuration::from_secs(i64::try_from(real.foretold.took_s).unwrap_or(i64::MAX));
    let bound = took.saturating_mul(TIMES).max(took.saturating_add(SLACK));
    // A drain waits for budgets as long as it must, and says so itself.
    if now.duration_since(watch.since) > bound && !is_under_way {
        let bound = crate::rehearse::duration_text(bound);
        return Verdict::Departs(format!("not as foretold within {bound}: {words}"));
    }
    Verdict::Wait(words)
}

fn departs(watch: &mut Watch, real: &Real, cluster: &Cluster, now: Timestamp) -> Option<String> {
    let effects = &real.foretold.effects;
    for (key, budget) in broken(cluster) {
        let was_foretold = effects
            .budgets
            .iter()
            .any(|breach| breach.name == key.name && breach.namespace == key.namespace);
        if !was_foretold && !watch.broken.contains(&key) {
            return Some(format!(
                "budget {}/{} is broken, {} of {} needed, which was not foretold",
                key.namespace,
                key.name,
                budget.healthy,
                budget.needs()
            ));
        }
    }
    let waiting = unscheduled(cluster);
    watch.seen.retain(|uid, _| waiting.contains_key(uid));
    let mut counts: BTreeMap<WorkloadName, (usize, String)> = BTreeMap::new();
    for (uid, (workload, why)) in waiting {
        if watch.waiting.contains(&uid) {
            continue;
        }
        let since = *watch.seen.entry(uid).or_insert(now);
        if now.duration_since(since) >= UNSCHEDULED {
            let entry = counts.entry(workload).or_insert((0, why));
            entry.0 += 1;
        }
    }
    for (workload, (count, why)) in counts {
        let foretold = effects
            .pending
            .iter()
            .filter(|pending| pending.workload == workload)
            .count();
        if count > foretold {
            return Some(format!(
                "{count} of {workload} find no node, {foretold} were foretold: {why}"
            ));
        }
    }
    None
}

/// What is not yet as it was foretold to become.
fn missing(watch: &Watch, real: &Real, cluster: &Cluster) -> Option<String> {
    let key = &real.touched.key;
    if let Some(words) = not_seen(watch, real, cluster) {
        return Some(words);
    }
    for (concerned, workload) in concerned(real, cluster) {
        let name = format!("{}/{}", concerned.namespace, concerned.name);
        if concerned == *key && is_unobserved(cluster, key) {
            return Some(format!("{name} to be taken in by its controller"));
        }
        let foretold = pending(real, &workload);
        let before = watch.short.get(&concerned).copied().unwrap_or_default();
        let short = foretold.max(before);
        let ready = workload.ready;
        if ready < workload.desired - short {
            return Some(format!("{name} {ready} of {} ready", workload.desired));
        }
        if concerned == *key && workload.current > workload.desired {
            return Some(format!(
                "{name} {} pods, {} wanted",
                workload.current, workload.desired
            ));
        }
        if concerned == *key && workload.updated < workload.desired - short {
            return Some(format!(
                "{name} {} of {} updated",
                workload.updated, workload.desired
            ));
        }
    }
    None
}

/// The write has been answered, but this picture is older.
fn not_seen(watch: &Watch, real: &Real, cluster: &Cluster) -> Option<String> {
    let touched = &real.touched;
    let name = &touched.key.name;
    let there = cluster.get(&touched.key);
    let is_there = match (&real.deed, there) {
        (Deed::Delete | Deed::Evict, found) => found.is_none_or(|object| {
            object.is_terminating() || !same_uid(touched.before.as_ref(), object.uid.0.as_str())
        }),
        (Deed::Scale { replicas }, Some(object)) => {
            let wanted = Workload::read(object).ok().flatten();
            wanted.is_some_and(|workload| workload.desired == *replicas)
        }
        (Deed::Cordon { cordon, .. }, Some(object)) => object
            .node()
            .is_some_and(|node| node.unschedulable == *cordon),
        (Deed::Drain { .. }, Some(object)) => object.node().is_some_and(|node| node.unschedulable),
        (Deed::Patch(_) | Deed::Apply(_) | Deed::Create(_), found) => {
            !super::is_compared(&touched.key.resource)
                || found.is_some_and(|object| {
                    watch.revision != Some(object.revision)
                        || touched.before.as_ref().map(spec) == touched.after.as_ref().map(spec)
                })
        }
        (_, None) => true,
    };
    (!is_there).then(|| format!("{name} to be seen changed"))
}

fn spec(object: &Value) -> Option<&Value> {
    object.get("spec")
}

fn same_uid(before: Option<&Value>, uid: &str) -> bool {
    before
        .and_then(|before| before.pointer("/metadata/uid"))
        .and_then(Value::as_str)
        == Some(uid)
}

/// Its controller has not seen its last change.
fn is_unobserved(cluster: &Cluster, key: &ObjectKey) -> bool {
    let Some(json) = cluster.get(key).map(|object| object.json()) else {
        return false;
    };
    let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_i64);
    match (
        number("/metadata/generation"),
        number("/status/observedGeneration"),
    ) {
        (Some(generation), Some(observed)) => observed < generation,
        _ => false,
    }
}

/// The services whose pods the step was foretold to move, and the one that it changes.
fn concerned(real: &Real, cluster: &Cluster) -> BTreeMap<ObjectKey, Workload> {
    let effects = &real.foretold.effects;
    let moved = effects.moved.iter().map(|moved| &moved.workload);
    let pending = effects.pending.iter().map(|pending| &pending.workload);
    let fallen = effects.workloads.iter().map(|fallen| &fallen.workload);
    let names: BTreeSet<&WorkloadName> = moved.chain(pending).chain(fallen).collect();
    let keys = names.into_iter().filter_map(|name| {
        let key = WorkloadKey {
            namespace: name.namespace.clone(),
            kind: name.kind.clone(),
            name: name.name.clone(),
        };
        Some(ObjectKey::new(key.resource()?, &key.namespace, &key.name))
    });
    keys.chain(std::iter::once(real.touched.key.clone()))
        .filter_map(|key| {
            let workload = Workload::read(cluster.get(&key)?).ok()??;
            Some((key, workload))
        })
        .collect()
}

/// Its pods that the rehearsal left pending.
fn pending(real: &Real, workload: &Workload) -> i64 {
    let key = &workload.key;
    let is_its = |name: &WorkloadName| {
        let named = WorkloadKey {
            namespace: name.namespace.clone(),
            kind: name.kind.clone(),
            name: name.name.clone(),
        };
        let resource = named.resource();
        name.name == key.name
            && name.namespace == key.namespace
            && resource.as_ref() == Some(&key.resource)
    };
    let count = real
        .foretold
        .effects
        .pending
        .iter()
        .filter(|pending| is_its(&pending.workload))
        .count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn broken(cluster: &Cluster) -> BTreeMap<ObjectKey, Budget> {
    budget::budgets(cluster)
        .into_iter()
        .filter(|budget| budget.healthy < budget.needs())
        .map(|budget| (budget.key.clone(), budget))
        .collect()
}

fn unscheduled(cluster: &Cluster) -> BTreeMap<Uid, (WorkloadName, String)> {
    let waits = cluster.pods().filter_map(|object| {
        let pod = object.pod()?;
        let refused = pod.unscheduled.as_ref()?;
        let (reason, why) = refused.as_ref();
        let is_refused =
            pod.node.is_none() && !object.is_terminating() && reason == "Unschedulable";
        is_refused.then(|| {
            let name = WorkloadName::of(&workload_of(cluster, object));
            (object.uid.clone(), (name, why.to_string()))
        })
    });
    waits.collect()
}
