//! What a write leaves behind: generations, patches, deletion, budgets, rehearsed writes.

use serde_json::{Value, json};

use super::*;

#[test]
fn create_get_update_delete() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {CONFIG_MAPS}"), &config_map("settings"));
    assert_eq!(created["kind"], "ConfigMap");
    assert_eq!(created["metadata"]["namespace"], "default");
    assert!(created["metadata"]["uid"].is_string());
    server.refused(
        &format!("POST {CONFIG_MAPS}"),
        &config_map("settings"),
        409,
        "AlreadyExists",
        "configmaps \"settings\" already exists",
    );
    let mut changed = created.clone();
    changed["data"]["key"] = json!("other");
    let updated = server.ok(&format!("PUT {CONFIG_MAPS}/settings"), &changed);
    assert_ne!(
        updated["metadata"]["resourceVersion"],
        created["metadata"]["resourceVersion"]
    );
    server.refused(
        &format!("PUT {CONFIG_MAPS}/settings"),
        &changed,
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"settings\": the object has been modified; \
         please apply your changes to the latest version and try again",
    );
    let again = server.ok(&format!("PUT {CONFIG_MAPS}/settings"), &updated);
    assert_eq!(
        again["metadata"]["resourceVersion"], updated["metadata"]["resourceVersion"],
        "an update that changes nothing writes nothing"
    );
    server.ok(&format!("DELETE {CONFIG_MAPS}/settings"), &Value::Null);
    server.refused(
        &format!("GET {CONFIG_MAPS}/settings"),
        &Value::Null,
        404,
        "NotFound",
        "configmaps \"settings\" not found",
    );
}

#[test]
fn pods_have_the_pull_secrets_of_their_account() {
    let mut server = Server::new();
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"},
        "imagePullSecrets": [{"name": "registry"}],
    });
    server.ok("POST /api/v1/namespaces/default/serviceaccounts", &account);
    let mut check = |name: &str, spec: Value, expected: Value| {
        let mut pod = pod(name);
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        let made = server.ok("POST /api/v1/namespaces/default/pods", &pod);
        assert_eq!(made["spec"]["imagePullSecrets"], expected, "{name}");
    };
    let of_account = json!({"serviceAccountName": "puller"});
    check("plain", json!({}), Value::Null);
    check("given", of_account, json!([{"name": "registry"}]));
    let own = json!({"serviceAccountName": "puller", "imagePullSecrets": [{"name": "own"}]});
    check("own", own, json!([{"name": "own"}]));
}

#[test]
fn namespaces_must_exist() {
    let mut server = Server::new();
    server.refused(
        "POST /api/v1/namespaces/nowhere/configmaps",
        &config_map("settings"),
        404,
        "NotFound",
        "namespaces \"nowhere\" not found",
    );
}

#[test]
fn generation_counts_what_is_wanted_and_status_goes_its_own_way() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {DEPLOYMENTS}"), &deployment("web"));
    assert_eq!(created["metadata"]["generation"], 1);
    let url = format!("PATCH {DEPLOYMENTS}/web");
    let labelled = server.ok(&url, &json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(labelled["metadata"]["generation"], 1);
    let ignored = server.ok(&url, &json!({"status": {"replicas": 7}}));
    assert_eq!(ignored["status"]["replicas"], Value::Null);
    let status = server.ok(
        &format!("{url}/status"),
        &json!({"status": {"replicas": 7}, "spec": {"replicas": 9}}),
    );
    assert_eq!(status["status"]["replicas"], 7);
    assert_eq!(status["spec"]["replicas"], 2);
    assert_eq!(status["metadata"]["generation"], 1);
    let scaled = server.ok(&format!("{url}/scale"), &json!({"spec": {"replicas": 5}}));
    assert_eq!(scaled["kind"], "Scale");
    assert_eq!(scaled["spec"]["replicas"], 5);
    assert_eq!(scaled["status"]["selector"], "app=web");
    let (_, now) = server.get(&format!("{DEPLOYMENTS}/web"));
    assert_eq!(now["metadata"]["generation"], 2);
    server.refused(
        &url,
        &json!({"spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}},
        }}),
        422,
        "Invalid",
        "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: \
         {\"matchLabels\":{\"app\":\"x\"}}: field is immutable",
    );
}

#[test]
fn strategic_patches_merge_lists_by_key() {
    let mut server = Server::new();
    let mut object = deployment("web");
    object["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "app", "image": "web:1", "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "2"},
        ]},
        {"name": "proxy", "image": "proxy:1"},
    ]);
    server.ok(&format!("POST {DEPLOYMENTS}"), &object);
    let patched = server.ok(
        &format!("PATCH {DEPLOYMENTS}/web"),
        &json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "log"}, {"name": "app"}],
            "containers": [
                {"name": "app", "env": [
                    {"name": "A", "$patch": "delete"}, {"name": "C", "value": "3"},
                ]},
                {"name": "proxy", "$patch": "delete"},
                {"name": "log", "image": "log:1"},
            ],
        }}}}),
    );
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["name"], "log");
    assert_eq!(containers[1]["name"], "app");
    assert_eq!(containers[2], Value::Null);
    assert_eq!(
        containers[1]["env"],
        json!([{"name": "B", "value": "2"}, {"name": "C", "value": "3"}])
    );
    let strategy = server.ok(
        &format!("PATCH {DEPLOYMENTS}/web"),
        &json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
    );
    assert_eq!(strategy["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn pods_are_deleted_gracefully_where_a_node_has_them() {
    let mut server = Server::new();
    server.ok(&format!("POST {PODS}"), &pod("web"));
    let binding = json!({"target": {"kind": "Node", "name": "n1"}});
    server.ok(&format!("POST {PODS}/web/binding"), &binding);
    let held = server.ok(&format!("DELETE {PODS}/web"), &Value::Null);
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(server.get(&format!("{PODS}/web")).0, 200);
    let url = format!("DELETE {PODS}/web?gracePeriodSeconds=0");
    server.ok(&url, &Value::Null);
    assert_eq!(server.get(&format!("{PODS}/web")).0, 404);
}

#[test]
fn an_update_of_a_pod_keeps_what_admission_added_to_it() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {PODS}"), &pod("web"));
    let own = json!([{"key": "gpu", "operator": "Exists"}]);
    let patch = json!({"spec": {"tolerations": own}});
    let patched = server.ok(&format!("PATCH {PODS}/web"), &patch);
    let tolerations = patched["spec"]["tolerations"].as_array().unwrap();
    assert_eq!((tolerations.len(), &tolerations[0]), (3, &own[0]));
    let mut longer = patched.clone();
    longer["spec"]["tolerations"][2]["tolerationSeconds"] = json!(900);
    server.ok(&format!("PUT {PODS}/web"), &longer);
    let mut without = created;
    without["metadata"]["resourceVersion"] = Value::Null;
    without["spec"]["priority"] = Value::Null;
    server.refused(
        &format!("PUT {PODS}/web"),
        &without,
        422,
        "Invalid",
        "Pod \"web\" is invalid: spec.tolerations: Forbidden: existing toleration can not be \
         modified except its tolerationSeconds",
    );
}

#[test]
fn finalizers_hold_an_object_until_they_are_gone() {
    let mut server = Server::new();
    let mut object = config_map("settings");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.ok(&format!("POST {CONFIG_MAPS}"), &object);
    let held = server.ok(&format!("DELETE {CONFIG_MAPS}/settings"), &Value::Null);
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    server.ok(
        &format!("PATCH {CONFIG_MAPS}/settings"),
        &json!({"metadata": {"finalizers": null}}),
    );
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/settings")).0, 404);
}

#[test]
fn evictions_stop_at_the_budget() {
    let mut server = Server::new();
    server.ok(&format!("POST {PODS}"), &pod("web"));
    let binding = json!({"target": {"name": "n1"}});
    server.ok(&format!("POST {PODS}/web/binding"), &binding);
    server.ok(
        &format!("PATCH {PODS}/web/status"),
        &json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        }}),
    );
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    server.ok(
        &format!("POST {budgets}"),
        &json!({
            "metadata": {"name": "web"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }),
    );
    server.ok(
        &format!("PATCH {budgets}/web/status"),
        &json!({"status": {
            "observedGeneration": 1,
            "disruptionsAllowed": 0,
            "currentHealthy": 1,
            "desiredHealthy": 1,
        }}),
    );
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    server.refused(
        &format!("POST {PODS}/web/eviction"),
        &eviction,
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    server.ok(
        &format!("PATCH {budgets}/web/status"),
        &json!({"status": {"disruptionsAllowed": 1}}),
    );
    server.ok(&format!("POST {PODS}/web/eviction"), &eviction);
    let (_, budget) = server.get(&format!("{budgets}/web"));
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
}

#[test]
fn dry_runs_change_nothing() {
    let mut server = Server::new();
    let before = server.store.revision();
    let url = format!("POST {DEPLOYMENTS}?dryRun=All");
    let answer = server.ok(&url, &deployment("web"));
    assert_eq!(answer["spec"]["revisionHistoryLimit"], 10);
    assert_eq!(server.store.revision(), before);
}
