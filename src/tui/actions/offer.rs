//! Which action a changing command means for the selected objects, or why none.

use serde_json::Value;

use super::action::{Action, Target};
use crate::k8s::workload::{self, Workload};
use crate::k8s::{Cluster, Name, Object, resources};
use crate::tui::command::ChangeKind;
use crate::tui::pages::workloads::history;

/// The action, ready to be proposed; a sentence where the selection cannot be meant.
pub fn offer(
    kind: ChangeKind,
    targets: &[Target],
    cluster: &Cluster,
    suffix: &str,
) -> Result<Action, String> {
    let Some(target) = targets.first() else {
        return Err("nothing is selected".to_owned());
    };
    if kind == ChangeKind::Delete {
        return delete(targets);
    }
    if matches!(
        kind,
        ChangeKind::Cordon | ChangeKind::Uncordon | ChangeKind::Drain
    ) {
        return nodes(kind, targets, cluster);
    }
    if targets.len() > 1 {
        return Err(format!(
            "{} are marked; this acts on one at a time (`ctrl-space` drops the marks)",
            targets.len()
        ));
    }
    let object = cluster
        .get(&target.key)
        .filter(|object| object.uid == target.uid)
        .ok_or_else(|| format!("{} is gone", target.path()))?;
    match kind {
        ChangeKind::Evict if object.pod().is_some() => Ok(Action::Evict {
            pod: target.clone(),
        }),
        ChangeKind::Evict => Err(not_for(object, "only pods can be evicted")),
        ChangeKind::Restart => restart(cluster, object),
        ChangeKind::Pause | ChangeKind::Resume => pause(object, kind == ChangeKind::Pause),
        ChangeKind::RollBack => roll_back(cluster, object),
        ChangeKind::Trigger => trigger(object, suffix),
        ChangeKind::Delete => delete(targets),
        ChangeKind::Cordon
        | ChangeKind::Uncordon
        | ChangeKind::Drain
        | ChangeKind::StopMachine
        | ChangeKind::StartMachine => {
            Err(not_for(object, "machines are stopped in bays and domains"))
        }
    }
}

fn not_for(object: &Object, rule: &str) -> String {
    format!(
        "{rule}; {} is one of {}",
        object.name(),
        object.key.resource
    )
}

/// Cordoning and draining take any number of nodes at once.
fn nodes(kind: ChangeKind, targets: &[Target], cluster: &Cluster) -> Result<Action, String> {
    for target in targets {
        let object = cluster
            .get(&target.key)
            .filter(|object| object.uid == target.uid)
            .ok_or_else(|| format!("{} is gone", target.path()))?;
        if object.node().is_none() {
            return Err(not_for(object, "only nodes can be cordoned or drained"));
        }
    }
    let nodes = targets.to_vec();
    Ok(match (kind, targets) {
        (ChangeKind::Drain, [one]) => Action::drain(cluster, one.path(), nodes),
        (ChangeKind::Drain, many) => Action::drain(cluster, format!("{} nodes", many.len()), nodes),
        _ => Action::Cordon {
            nodes,
            cordon: kind == ChangeKind::Cordon,
        },
    })
}

fn delete(targets: &[Target]) -> Result<Action, String> {
    let kinds: std::collections::BTreeSet<_> =
        targets.iter().map(|target| &target.key.resource).collect();
    if kinds.len() > 1 {
        return Err("objects of several kinds are marked; delete one kind at a time".to_owned());
    }
    Ok(Action::Delete {
        targets: targets.to_vec(),
    })
}

/// A pod's restart means its workload's.
fn restart(cluster: &Cluster, object: &std::sync::Arc<Object>) -> Result<Action, String> {
    let root = workload::root_of(cluster, object);
    let restartable = [
        resources::DEPLOYMENTS,
        resources::STATEFUL_SETS,
        resources::DAEMON_SETS,
    ];
    if restartable.contains(&root.key.resource) {
        Ok(Action::Restart {
            target: Target::of(root),
        })
    } else {
        Err(not_for(
            root,
            "only deployments, stateful sets and daemon sets can be restarted",
        ))
    }
}

fn pause(object: &Object, pause: bool) -> Result<Action, String> {
    let pausable = [
        resources::DEPLOYMENTS,
        resources::JOBS,
        resources::CRON_JOBS,
    ];
    if !pausable.contains(&object.key.resource) {
        return Err(not_for(
            object,
            "only deployments, jobs and cron jobs can be paused",
        ));
    }
    let paused = matches!(Workload::read(object), Ok(Some(workload)) if workload.paused);
    if paused == pause {
        let state = if pause {
            "already paused"
        } else {
            "not paused"
        };
        return Err(format!("{} is {state}", object.name()));
    }
    Ok(Action::Pause {
        target: Target::of(object),
        pause,
    })
}

fn roll_back(cluster: &Cluster, object: &Object) -> Result<Action, String> {
    let revisions = history::revisions(cluster, object);
    let before = revisions.iter().find(|revision| !revision.current);
    before
        .and_then(|revision| history::roll_back(object, &revisions, revision.number))
        .ok_or_else(|| format!("no earlier revision of {} is kept", object.name()))
}

fn trigger(object: &Object, suffix: &str) -> Result<Action, String> {
    if object.key.resource != resources::CRON_JOBS {
        return Err(not_for(object, "only cron jobs can be run"));
    }
    // A job's name may have 63 characters; the suffix tells runs apart.
    let stem: String = object.name().chars().take(50).collect();
    let name = Name::from(format!("{stem}-{suffix}"));
    let uses_template = object
        .json()
        .pointer("/spec/jobTemplate")
        .is_some_and(Value::is_object);
    uses_template
        .then(|| Action::trigger(object, name))
        .ok_or_else(|| format!("{} has no job template", object.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build;

    #[test]
    fn selection_decides_what_a_command_means() {
        let pod = build::pod("cart-1-a")
            .owner("ReplicaSet", "cart-1")
            .node("n1");
        let drafts = [
            build::deployment("cart"),
            build::replica_set("cart-1").owner("Deployment", "cart"),
            pod.clone(),
            build::node("n1"),
        ];
        let cluster = build::cluster(&drafts);
        let target = |draft: &build::Draft| vec![Target::of(&draft.build())];
        let check = |kind, draft: &build::Draft| {
            offer(kind, &target(draft), &cluster, "x")
                .map_or_else(|why| why, |action| action.sentence())
        };
        assert_eq!(check(ChangeKind::Restart, &pod), "restart default/cart");
        assert_eq!(check(ChangeKind::Evict, &pod), "evict default/cart-1-a");
        assert_eq!(check(ChangeKind::Cordon, &drafts[3]), "cordon n1");
        assert_eq!(
            check(ChangeKind::Cordon, &pod),
            "only nodes can be cordoned or drained; cart-1-a is one of pods"
        );
        assert_eq!(check(ChangeKind::Resume, &drafts[0]), "cart is not paused");
        assert_eq!(
            check(ChangeKind::RollBack, &drafts[0]),
            "no earlier revision of cart is kept"
        );
    }
}
