//! What happens to fields and their owners.

use serde_json::{Value, json};

use super::*;
use crate::k8s::facts;

fn deployment() -> &'static Schema {
    facts::definition("io.k8s.api.apps.v1.Deployment").unwrap()
}

fn author(manager: &'static str) -> Author<'static> {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    Author {
        manager,
        api_version: "apps/v1",
        subresource: "",
        now,
    }
}

fn with_replicas(replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart"},
           "spec": {"replicas": replicas}})
}

fn containers(list: &Value) -> Value {
    json!({"metadata": {"name": "cart"}, "spec": {"template": {"spec": {"containers": list}}}})
}

#[test]
fn a_field_of_another_manager_is_a_conflict_unless_forced() {
    let live = apply(
        &json!({}),
        &with_replicas(3),
        deployment(),
        author("ann"),
        false,
    )
    .unwrap();
    let refused = apply(&live, &with_replicas(5), deployment(), author("bob"), false).unwrap_err();
    let expected = Conflict {
        manager: "\"ann\"".into(),
        field: ".spec.replicas".into(),
    };
    assert_eq!(refused, vec![expected]);
    let forced = apply(&live, &with_replicas(5), deployment(), author("bob"), true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 5);
    let names: Vec<String> = managers(&forced)
        .into_iter()
        .map(|manager| manager.name)
        .collect();
    assert_eq!(names, ["bob"], "ann owned nothing else");
}

#[test]
fn equal_values_are_shared() {
    let live = apply(
        &json!({}),
        &with_replicas(3),
        deployment(),
        author("ann"),
        false,
    )
    .unwrap();
    let shared = apply(&live, &with_replicas(3), deployment(), author("bob"), false).unwrap();
    assert_eq!(managers(&shared).len(), 2);
}

#[test]
fn what_its_only_owner_stops_applying_is_removed() {
    let two =
        containers(&json!([{"name": "app", "image": "a:1"}, {"name": "log", "image": "l:1"}]));
    let live = apply(&json!({}), &two, deployment(), author("ann"), false).unwrap();
    let one = containers(&json!([{"name": "app", "image": "a:2"}]));
    let after = apply(&live, &one, deployment(), author("ann"), false).unwrap();
    assert_eq!(
        after["spec"]["template"]["spec"]["containers"],
        json!([{"name": "app", "image": "a:2"}])
    );
}

#[test]
fn what_is_no_longer_applied_goes_with_the_defaults_below_it() {
    let template =
        |spec: Value| json!({"metadata": {"name": "cart"}, "spec": {"template": {"spec": spec}}});
    let config = template(json!({
        "containers": [{"name": "app", "image": "a:1"}, {"name": "log", "image": "l:1"}],
        "volumes": [{"name": "input", "downwardAPI": {"items": []}}],
    }));
    let mut live = apply(&json!({}), &config, deployment(), author("ann"), false).unwrap();
    let spec = &mut live["spec"]["template"]["spec"];
    spec["containers"][1]["imagePullPolicy"] = json!("Always");
    spec["volumes"][0]["downwardAPI"]["defaultMode"] = json!(420);
    spec["restartPolicy"] = json!("Always");
    let config = template(json!({
        "containers": [{"name": "app", "image": "a:1"}],
        "volumes": [{"name": "input", "emptyDir": {}}],
    }));
    let after = apply(&live, &config, deployment(), author("ann"), false).unwrap();
    assert_eq!(
        after["spec"]["template"]["spec"],
        json!({
            "containers": [{"name": "app", "image": "a:1"}],
            "volumes": [{"name": "input", "emptyDir": {}}],
            "restartPolicy": "Always",
        })
    );
}

#[test]
fn what_another_owns_below_an_abandoned_field_stays() {
    let live =
        containers(&json!([{"name": "app", "image": "a:1"}, {"name": "log", "image": "l:1"}]));
    let live = apply(&json!({}), &live, deployment(), author("ann"), false).unwrap();
    let theirs = containers(&json!([{"name": "log", "imagePullPolicy": "Never"}]));
    let live = apply(&live, &theirs, deployment(), author("bob"), false).unwrap();
    let bare = json!({"metadata": {"name": "cart"}});
    let after = apply(&live, &bare, deployment(), author("ann"), false).unwrap();
    assert_eq!(
        after["spec"]["template"]["spec"]["containers"],
        json!([{"name": "log", "imagePullPolicy": "Never"}])
    );
}

#[test]
fn what_others_own_too_stays() {
    let live = apply(
        &json!({}),
        &with_replicas(3),
        deployment(),
        author("ann"),
        false,
    )
    .unwrap();
    let live = apply(&live, &with_replicas(3), deployment(), author("bob"), false).unwrap();
    let bare = json!({"metadata": {"name": "cart"}});
    let after = apply(&live, &bare, deployment(), author("ann"), false).unwrap();
    assert_eq!(after["spec"]["replicas"], 3);
}

#[test]
fn fields_that_nobody_applied_are_left_alone() {
    let live = containers(&json!([{"name": "app", "image": "a:1", "imagePullPolicy": "Always"}]));
    let config = containers(&json!([{"name": "app", "image": "a:2"}]));
    let after = apply(&live, &config, deployment(), author("ann"), false).unwrap();
    let container = &after["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "a:2");
    assert_eq!(container["imagePullPolicy"], "Always");
}

#[test]
fn applying_the_same_again_changes_nothing_at_all() {
    let live = apply(
        &json!({}),
        &with_replicas(3),
        deployment(),
        author("ann"),
        false,
    )
    .unwrap();
    let later = Author {
        now: "2027-01-01T00:00:00Z".parse().unwrap(),
        ..author("ann")
    };
    let again = apply(&live, &with_replicas(3), deployment(), later, false).unwrap();
    assert_eq!(again, live);
}

#[test]
fn an_update_takes_over_what_it_changes() {
    let live = apply(
        &json!({}),
        &with_replicas(3),
        deployment(),
        author("ann"),
        false,
    )
    .unwrap();
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(7);
    record_update(&live, &mut scaled, deployment(), author("kubectl"));
    let owners = managers(&scaled);
    assert_eq!(owners.len(), 1);
    assert_eq!(
        (owners[0].name.as_str(), owners[0].operation),
        ("kubectl", Operation::Update)
    );
    assert_eq!(owners[0].fields.paths(), [".spec.replicas"]);
}

#[test]
fn field_sets_survive_their_json_form() {
    let object = containers(&json!([{"name": "app", "ports": [{"containerPort": 80}]}]));
    let set = FieldSet::of(&object, deployment());
    assert_eq!(FieldSet::parse(&set.json()), set);
    let json = set.json().to_string();
    assert!(
        json.contains(r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}""#),
        "{json}"
    );
}
