//! What may not enter: every field that is wrong is named.

use serde_json::{Value, json};

use super::*;

#[track_caller]
fn invalid(object: &Value, url: &str, causes: &[(&str, &str, &str)]) {
    let mut server = Server::new();
    let (code, answer) = server.json(&format!("POST {url}"), object);
    assert_eq!(
        (code, answer["reason"].as_str()),
        (422, Some("Invalid")),
        "{answer:#}"
    );
    let found: Vec<(&str, &str, &str)> = answer["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| {
            (
                cause["reason"].as_str().unwrap(),
                cause["field"].as_str().unwrap(),
                cause["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, causes);
}

#[test]
fn invalid_objects_name_every_field() {
    invalid(
        &with(deployment("web"), "/spec/replicas", json!(-1)),
        DEPLOYMENTS,
        &[(
            "FieldValueInvalid",
            "spec.replicas",
            "Invalid value: -1: must be greater than or equal to 0",
        )],
    );
    invalid(
        &with(
            deployment("web"),
            "/spec/selector/matchLabels/app",
            json!("db"),
        ),
        DEPLOYMENTS,
        &[(
            "FieldValueInvalid",
            "spec.template.metadata.labels",
            "Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
        )],
    );
    let mut greedy = pod("web");
    greedy["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}});
    invalid(
        &greedy,
        PODS,
        &[(
            "FieldValueInvalid",
            "spec.containers[0].resources.requests",
            "Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        )],
    );
    invalid(
        &with(pod("web"), "/spec/containers", json!([{"name": "app"}])),
        PODS,
        &[(
            "FieldValueRequired",
            "spec.containers[0].image",
            "Required value",
        )],
    );
}

#[test]
fn wrong_types_and_unknown_fields_are_told_apart() {
    let mut server = Server::new();
    server.refused(
        &format!("POST {DEPLOYMENTS}"),
        &with(deployment("web"), "/spec/replicas", json!("two")),
        400,
        "BadRequest",
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal \
         string into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    let mut odd = deployment("web");
    odd["spec"]["replica"] = json!(3);
    server.refused(
        &format!("POST {DEPLOYMENTS}?fieldValidation=Strict"),
        &odd,
        400,
        "BadRequest",
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
         unknown field \"spec.replica\"",
    );
    let url = format!("POST {DEPLOYMENTS}");
    let response = server.send(&url, "application/json", odd.to_string());
    assert_eq!(response.status, 201);
    let warning = "299 - \"unknown field \\\"spec.replica\\\"\"".to_owned();
    assert!(
        response.headers.contains(&("warning", warning)),
        "{:?}",
        response.headers
    );
    let mut wrong = pod("web");
    wrong["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "lots"}});
    let (code, answer) = server.json(&format!("POST {PODS}"), &wrong);
    assert_eq!(code, 400, "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("unable to parse quantity") || message.contains("quantities must match"),
        "{message}"
    );
}
