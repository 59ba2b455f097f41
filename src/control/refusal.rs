//! What a controller says when the API server refuses what it wanted to create: by quota, by
//! admission, as invalid.
//!
//! Sources: the `FailedCreate` events of `pkg/controller`, and the condition `ReplicaFailure` of
//! `pkg/controller/replicaset`. The next run that gets through takes the condition away.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::condition::{self, Condition, Times};
use super::kind::{self, Kind};
use super::write::Reporter;
use super::{field, write};
use crate::k8s::{Cluster, Object, ObjectKey, Op, resources};

/// The ops that tell of a refusal of this key's run, for kinds that create others. An event is
/// among them each time: equal ones are counted up on one Event object.
pub fn refused(
    controller: &'static str,
    cluster: &Cluster,
    key: &ObjectKey,
    message: &str,
    now: Timestamp,
) -> Vec<Op> {
    let (Some(object), Some((kind, text))) = (cluster.get(key), told(key, message)) else {
        return Vec::new();
    };
    let report = Reporter {
        name: controller,
        object,
        kind,
    };
    let mut ops = vec![report.warning("FailedCreate", text)];
    let counts_replicas = key.resource == resources::REPLICA_SETS
        || key.resource == resources::REPLICATION_CONTROLLERS;
    if counts_replicas {
        ops.extend(replica_failure(object, message, now));
    }
    ops
}

fn told(key: &ObjectKey, message: &str) -> Option<(&'static Kind, String)> {
    let creating = format!("Error creating: {message}");
    let resource = &key.resource;
    Some(if *resource == resources::REPLICA_SETS {
        (&kind::REPLICA_SET, creating)
    } else if *resource == resources::REPLICATION_CONTROLLERS {
        (&kind::REPLICATION_CONTROLLER, creating)
    } else if *resource == resources::JOBS {
        (&kind::JOB, creating)
    } else if *resource == resources::DAEMON_SETS {
        (&kind::DAEMON_SET, creating)
    } else if *resource == resources::STATEFUL_SETS {
        let text = format!(
            "create Pod in StatefulSet {} failed error: {message}",
            key.name
        );
        (&kind::STATEFUL_SET, text)
    } else if *resource == resources::CRON_JOBS {
        (&kind::CRON_JOB, format!("Error creating job: {message}"))
    } else {
        return None;
    })
}

fn replica_failure(object: &Object, message: &str, now: Timestamp) -> Option<Op> {
    let json = object.json();
    let status = match field::tree(&json, "/status") {
        Value::Object(fields) => Value::Object(fields.clone()),
        _ => json!({}),
    };
    let mut conditions = field::list(&status, "/conditions").to_vec();
    let condition = Condition {
        kind: "ReplicaFailure",
        status: "True",
        reason: "FailedCreate",
        message,
    };
    condition::set(&mut conditions, condition, Times::Transition, now);
    let mut wanted = status.clone();
    field::put(&mut wanted, "conditions", conditions.into());
    // `replicas` is required, also in a status that nobody has written yet.
    let replicas = field::count(&status, "/replicas");
    field::put(&mut wanted, "replicas", replicas.into());
    write::status(object, &status, &wanted)
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::super::{deployment, replica_set};
    use super::*;
    use crate::k8s::build;

    #[test]
    fn refusal_is_told_until_a_run_gets_through() {
        let controllers = [deployment::CONTROLLER, replica_set::CONTROLLER];
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}});
        let set = build::deployment("web")
            .replicas(1)
            .with(&json!({"spec": {"template": template, "progressDeadlineSeconds": 600}}));
        let mut bench = Bench::new(&controllers[..1], &[set]);
        bench.settle();
        let set = bench.all(&resources::REPLICA_SETS).remove(0);
        let message = "pods \"web-1\" is forbidden: exceeded quota: small";
        let ops = refused(
            "replicaset-controller",
            &bench.cluster,
            &set.key,
            message,
            bench.now,
        );
        for op in ops {
            assert!(bench.apply(op));
        }
        bench.settle();
        assert_eq!(
            bench.events.last().unwrap().message,
            format!("Error creating: {message}")
        );
        let failing = |bench: &Bench| {
            let status = bench.find(&resources::DEPLOYMENTS, "web")["status"].clone();
            condition::is_true(field::list(&status, "/conditions"), "ReplicaFailure")
        };
        assert!(failing(&bench));
        let again = refused(
            "replicaset-controller",
            &bench.cluster,
            &set.key,
            message,
            bench.now,
        );
        assert_eq!(again.len(), 1, "the event alone: the condition stands");
        let mut bench = Bench::new(&controllers, &[]).resumed(&bench);
        bench.run_pods("n1");
        assert!(!failing(&bench));
    }
}
