//! Server-side apply: a configuration with an owner, merged into what is there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::managed::{self, Author, Conflict};
use super::registry::ResourceType;
use super::request::{Request, ResourceTarget};
use super::status::{Details, Status};
use super::write::{Done, Writing};
use super::{Cause, create, decode, normalize, tree, update};
use crate::k8s::schema::Schema;

/// Creates the object or merges the configuration into it.
pub(super) fn request(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    let manager = request.options.field_manager.as_str();
    if manager.is_empty() {
        return Err(Status::bad_request(
            "fieldManager is required for apply patch",
        ));
    }
    let config = decode::yaml(&request.body)?;
    decode::check_kind(resource_type, &config)?;
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let config = decode::written(
        writing,
        resource_type,
        config,
        &request.options.field_validation,
    )?;
    let current = writing.current(resource_type, target);
    let live = match &current {
        Ok(current) => current.json(),
        Err(status) if status.is_not_found() && target.subresource.is_empty() => json!({}),
        Err(status) => return Err(status.clone()),
    };
    let any = Schema::default();
    let author = Author {
        manager,
        api_version: &resource_type.api_version(),
        subresource: &target.subresource,
        now: writing.now,
    };
    let schema = resource_type.schema().unwrap_or(&any);
    let merged = managed::apply(&live, &config, schema, author, request.options.force)
        .map_err(|conflicts| refused(&conflicts))?;
    let mut object = merged;
    create::stamp_type(resource_type, &mut object);
    normalize::fill(writing.registry, resource_type, &mut object);
    if let Ok(current) = current {
        return update::store(writing, resource_type, target, &current, object).map(Done::Updated);
    }
    if tree::text(&object, "/metadata/name").is_empty() {
        tree::set_meta(&mut object, "name", target.name.as_str());
    }
    create::create(writing, resource_type, target, object).map(Done::Created)
}

/// Source: the conflict error of server-side apply; one cause a field.
fn refused(conflicts: &[Conflict]) -> Status {
    let causes: Vec<Cause> = conflicts
        .iter()
        .map(|conflict| {
            Cause::of(
                "FieldManagerConflict",
                conflict.field.clone(),
                format!("conflict with {}", conflict.manager),
            )
        })
        .collect();
    let details = Details {
        causes,
        ..Details::default()
    };
    let mut status = Status::new(409, "Conflict", conflict_message(conflicts));
    status.details = Some(Box::new(details));
    status
}

/// Source: `getConflictMessage` of `managedfields/internal/conflict.go`.
fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            only.manager, only.field
        );
    }
    let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        let fields = by_manager.entry(&conflict.manager).or_default();
        fields.push(&conflict.field);
    }
    let mut message = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut lines = Vec::new();
    for (manager, fields) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(fields.into_iter().map(|field| format!("- {field}")));
    }
    message.push_str(&lines.join("\n"));
    message
}

/// Keeps the books for a write that is no apply, once somebody has applied to the object: before
/// that nobody's fields are told apart, as upstream's `before-first-apply` entry says later.
pub(super) fn record(
    writing: &Writing,
    resource_type: &ResourceType,
    old: &Value,
    object: &mut Value,
) {
    let tracked = old.pointer("/metadata/managedFields").is_some();
    let stated =
        object.pointer("/metadata/managedFields") != old.pointer("/metadata/managedFields");
    if !tracked || stated {
        return;
    }
    let any = Schema::default();
    let author = Author {
        manager: &writing.manager,
        api_version: &resource_type.api_version(),
        subresource: &writing.subresource,
        now: writing.now,
    };
    managed::record_update(old, object, resource_type.schema().unwrap_or(&any), author);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::contract::Server;
    use super::super::decode::APPLY_PATCH;

    const MAP: &str = "PATCH /api/v1/namespaces/default/configmaps/settings";

    fn config(data: &serde_json::Value) -> String {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data})
            .to_string()
    }

    #[track_caller]
    fn apply(
        server: &mut Server,
        query: &str,
        data: &serde_json::Value,
        code: u16,
    ) -> serde_json::Value {
        let response = server.send(&format!("{MAP}?{query}"), APPLY_PATCH, config(data));
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(response.status, code, "{body}");
        body
    }

    #[test]
    fn apply_creates_merges_prunes_and_refuses() {
        let mut server = Server::new();
        apply(
            &mut server,
            "fieldManager=ann",
            &json!({"a": "1", "b": "1"}),
            201,
        );
        let refused = apply(&mut server, "fieldManager=bob", &json!({"a": "2"}), 409);
        assert_eq!(
            refused["message"],
            "Apply failed with 1 conflict: conflict with \"ann\": .data.a"
        );
        assert_eq!(
            refused["details"]["causes"][0]["reason"],
            "FieldManagerConflict"
        );
        let forced = apply(
            &mut server,
            "fieldManager=bob&force=true",
            &json!({"a": "2"}),
            200,
        );
        assert_eq!(forced["data"], json!({"a": "2", "b": "1"}));
        let pruned = apply(
            &mut server,
            "fieldManager=ann&force=true",
            &json!({"a": "2"}),
            200,
        );
        assert_eq!(pruned["data"], json!({"a": "2"}));
        apply(&mut server, "", &json!({}), 400);
    }

    #[test]
    fn the_same_apply_again_is_no_write() {
        let mut server = Server::new();
        let first = apply(&mut server, "fieldManager=ann", &json!({"a": "1"}), 201);
        let second = apply(&mut server, "fieldManager=ann", &json!({"a": "1"}), 200);
        assert_eq!(
            first["metadata"]["resourceVersion"],
            second["metadata"]["resourceVersion"]
        );
    }

    #[test]
    fn what_was_not_applied_is_neither_owned_nor_reset() {
        let mut server = Server::new();
        let deployment = "/apis/apps/v1/namespaces/default/deployments/web";
        let config = |replicas: serde_json::Value| {
            let mut config = json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web"},
                "spec": {
                    "selector": {"matchLabels": {"app": "web"}},
                    "template": {
                        "metadata": {"labels": {"app": "web"}},
                        "spec": {"containers": [{"name": "web", "image": "web"}]},
                    },
                },
            });
            json_patch::merge(&mut config, &json!({"spec": {"replicas": replicas}}));
            config.to_string()
        };
        let mut send = |line: &str, content_type: &str, body: String| {
            let response = server.send(line, content_type, body);
            (response.status, response.value())
        };
        let apply = format!("PATCH {deployment}?fieldManager=ann");
        let (code, created) = send(&apply, APPLY_PATCH, config(json!(null)));
        assert_eq!((code, &created["spec"]["replicas"]), (201, &json!(1)));
        let owned = &created["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
        assert!(owned["f:selector"].is_object() && owned["f:progressDeadlineSeconds"].is_null());

        let scale = format!("PATCH {deployment}/scale?fieldManager=kubectl");
        let merge = "application/merge-patch+json";
        send(&scale, merge, json!({"spec": {"replicas": 5}}).to_string());
        let (_, again) = send(&apply, APPLY_PATCH, config(json!(null)));
        assert_eq!(again["spec"]["replicas"], 5);
        let (code, refused) = send(&apply, APPLY_PATCH, config(json!(2)));
        assert_eq!(code, 409);
        assert_eq!(
            refused["message"],
            "Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" \
             using apps/v1: .spec.replicas"
        );
    }
}
