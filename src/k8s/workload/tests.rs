//! Workload states as rows: what the object and its pods say, what a person reads.

use serde_json::{Value, json};

use super::*;

fn object(resource: &Resource, json: &Value) -> Arc<Object> {
    Arc::new(Object::from_json(resource.clone(), json).unwrap())
}

#[expect(clippy::needless_pass_by_value, reason = "rows of a table read better")]
#[track_caller]
fn check(resource: &Resource, spec: Value, status: Value, words: &str, health: Health) {
    let json = json!({"metadata": {"name": "a", "uid": "u", "generation": 2},
                      "spec": spec, "status": status});
    let workload = Workload::read(&object(resource, &json)).unwrap().unwrap();
    assert_eq!(workload.words(), words);
    assert_eq!(workload.health(), health);
}

#[test]
fn deployment_states_follow_rollout_status() {
    let resource = &resources::DEPLOYMENTS;
    let six = || json!({"replicas": 6});
    let status = |updated: i64, replicas: i64, ready: i64| {
        json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": replicas,
               "readyReplicas": ready, "availableReplicas": ready})
    };
    check(resource, six(), status(6, 6, 6), "", Health::Good);
    check(
        resource,
        six(),
        status(3, 7, 6),
        "rollout 3 of 6",
        Health::Partly,
    );
    check(
        resource,
        six(),
        status(6, 7, 6),
        "rollout done, 1 old pending termination",
        Health::Partly,
    );
    check(
        resource,
        six(),
        status(6, 6, 4),
        "4 of 6 available",
        Health::Partly,
    );
    check(
        resource,
        six(),
        status(6, 6, 0),
        "0 of 6 available",
        Health::Waiting,
    );
    check(
        resource,
        six(),
        json!({"observedGeneration": 1}),
        "waiting for the specification to be observed",
        Health::Waiting,
    );
    check(
        resource,
        json!({"replicas": 0}),
        status(0, 0, 0),
        "scaled to 0",
        Health::Done,
    );
    check(
        resource,
        six(),
        json!({"observedGeneration": 2, "readyReplicas": 3, "conditions": [{"type": "Progressing",
            "status": "False", "reason": "ProgressDeadlineExceeded"}]}),
        "stuck: ProgressDeadlineExceeded",
        Health::Bad,
    );
    check(
        resource,
        six(),
        json!({"observedGeneration": 2, "readyReplicas": 3, "conditions": [{"type": "ReplicaFailure",
            "status": "True", "reason": "FailedCreate", "message": "exceeded quota: shop"}]}),
        "refused: FailedCreate (exceeded quota: shop)",
        Health::Bad,
    );
}

#[test]
fn other_kinds_have_their_own_counts() {
    check(
        &resources::STATEFUL_SETS,
        json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
        json!({"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 1,
               "currentRevision": "a", "updateRevision": "b"}),
        "rollout 1 of 2",
        Health::Partly,
    );
    check(
        &resources::DAEMON_SETS,
        json!({}),
        json!({"observedGeneration": 2, "desiredNumberScheduled": 5, "updatedNumberScheduled": 5,
               "numberReady": 5, "numberAvailable": 5}),
        "",
        Health::Good,
    );
    check(
        &resources::JOBS,
        json!({"completions": 4, "parallelism": 2}),
        json!({"active": 2, "ready": 2, "succeeded": 1}),
        "rollout 1 of 4",
        Health::Partly,
    );
    check(
        &resources::JOBS,
        json!({}),
        json!({"failed": 7, "conditions": [{"type": "Failed", "status": "True",
               "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]}),
        "stuck: BackoffLimitExceeded (Job has reached the specified backoff limit)",
        Health::Bad,
    );
    check(
        &resources::CRON_JOBS,
        json!({"schedule": "*/5 * * * *", "suspend": true}),
        json!({"active": [{"name": "x"}]}),
        "paused",
        Health::Good,
    );
}

#[test]
fn worst_pod_is_named_with_its_cause() {
    let mut cluster = Cluster::default();
    let deployment = object(
        &resources::DEPLOYMENTS,
        &json!({"metadata": {"name": "checkout", "namespace": "shop", "uid": "d"},
                "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "app", "image": "checkout:2"}]}}},
                "status": {"updatedReplicas": 2, "replicas": 3, "readyReplicas": 1, "availableReplicas": 1}}),
    );
    let owner = |kind: &str, name: &str, uid: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
    let replica_set = object(
        &resources::REPLICA_SETS,
        &json!({"metadata": {"name": "checkout-1", "namespace": "shop", "uid": "r",
                             "ownerReferences": owner("Deployment", "checkout", "d")}}),
    );
    cluster.insert(&deployment);
    cluster.insert(&replica_set);
    let states = [
        json!({"running": {}}),
        json!({"waiting": {"reason": "ImagePullBackOff"}}),
        json!({"waiting": {"reason": "ImagePullBackOff"}}),
    ];
    for (index, state) in states.iter().enumerate() {
        let ready = state.get("running").is_some();
        cluster.insert(&object(
            &resources::PODS,
            &json!({"metadata": {"name": format!("checkout-1-{index}"), "namespace": "shop",
                                 "uid": format!("p{index}"),
                                 "ownerReferences": owner("ReplicaSet", "checkout-1", "r")},
                    "spec": {"nodeName": "n", "containers": [{"name": "app", "image": "checkout:2"}]},
                    "status": {"phase": if ready { "Running" } else { "Pending" },
                               "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                               "containerStatuses": [{"name": "app", "ready": ready, "state": state}]}}),
        ));
    }
    let workload = Workload::of(&cluster, &deployment).unwrap().unwrap();
    assert_eq!(
        workload.words(),
        "rollout 2 of 3, 2 ImagePullBackOff (checkout:2)"
    );
    assert_eq!(workload.health(), Health::Partly);
    let pod = cluster
        .find(&resources::PODS, "shop", "checkout-1-0")
        .unwrap();
    assert_eq!(root_of(&cluster, pod).key, deployment.key);
}

#[test]
fn a_ring_of_owners_ends() {
    use crate::k8s::build;
    let drafts = [
        build::replica_set("one").owner("ReplicaSet", "two"),
        build::replica_set("two").owner("ReplicaSet", "one"),
        build::pod("one-a").owner("ReplicaSet", "one"),
    ];
    let cluster = build::cluster(&drafts);
    let pod = drafts[2].build();
    let chain: Vec<&str> = chain_of(&cluster, &pod)
        .map(|object| object.name())
        .collect();
    assert_eq!(chain[..3], ["one-a", "one", "two"]);
    assert_eq!(chain.len(), CHAIN_MAX + 1);
    assert!(["one", "two"].contains(&root_of(&cluster, &pod).name()));
}
