//! Reviews: questions about who may do what, asked as POSTs of objects that are not kept.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorize::asker;
use super::decode;
use super::rbac::{self, Access, Asker, ResourceAccess, Rule};
use super::registry::Registry;
use super::request::{Request, ResourceTarget, User, Verb};
use super::response::Response;
use super::status::Status;
use super::token::Refused;
use super::tree;
use crate::k8s::{Cluster, Name};

pub(super) fn is_review(target: &ResourceTarget) -> bool {
    matches!(
        (target.group.as_str(), target.plural.as_str()),
        (
            "authorization.k8s.io",
            "selfsubjectaccessreviews"
                | "subjectaccessreviews"
                | "localsubjectaccessreviews"
                | "selfsubjectrulesreviews"
        ) | (
            "authentication.k8s.io",
            "tokenreviews" | "selfsubjectreviews"
        )
    )
}

pub(super) fn answer(
    registry: &Registry,
    cluster: &Cluster,
    target: &ResourceTarget,
    request: &Request,
    now: Timestamp,
) -> Result<Response, Status> {
    if request.verb != Verb::Create {
        return Err(Status::method_not_allowed());
    }
    let mut body = decode::body(request)?;
    let user = &request.user;
    let status = match target.plural.as_str() {
        "selfsubjectreviews" => json!({"userInfo": user_info(user)}),
        "selfsubjectaccessreviews" => access(cluster, asker(user), &body)?,
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            let groups: Vec<Name> = tree::entries(&body, "/spec/groups")
                .iter()
                .filter_map(Value::as_str)
                .map(Name::from)
                .collect();
            let other = Asker {
                name: tree::text(&body, "/spec/user"),
                groups: &groups,
            };
            access(cluster, other, &body)?
        }
        "selfsubjectrulesreviews" => {
            let namespace = tree::text(&body, "/spec/namespace");
            rules(&rbac::rules_for(cluster, asker(user), namespace))
        }
        _ => token(registry, cluster, &body, now)?,
    };
    if let Some(root) = body.as_object_mut() {
        root.insert("status".into(), status);
    }
    Ok(Response::json(201, &body))
}

/// Source: `pkg/registry/authentication/tokenreview/storage.go`.
fn token(
    registry: &Registry,
    cluster: &Cluster,
    body: &Value,
    now: Timestamp,
) -> Result<Value, Status> {
    let token = tree::text(body, "/spec/token");
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let audiences: Vec<String> = tree::entries(body, "/spec/audiences")
        .iter()
        .filter_map(|audience| audience.as_str().map(str::to_owned))
        .collect();
    let found = match &registry.token_key {
        Some(key) => key.authenticate(token, &audiences, cluster, now),
        None => Err(Refused::Malformed),
    };
    Ok(match found {
        Ok((user, audiences)) => json!({
            "authenticated": true,
            "user": user_info(&user),
            "audiences": audiences,
        }),
        Err(refused) => json!({"user": {}, "error": format!("[{refused}]")}),
    })
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name.as_str(), "groups": user.groups});
    if !user.uid.is_empty()
        && let Some(map) = info.as_object_mut()
    {
        map.insert("uid".into(), user.uid.as_str().into());
    }
    if !user.extra.is_empty()
        && let Some(map) = info.as_object_mut()
    {
        let extra = user.extra.iter();
        let extra = extra.map(|(key, values)| (key.to_string(), json!(values)));
        map.insert("extra".into(), extra.collect());
    }
    info
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    resource_attributes: Option<Attributes>,
    non_resource_attributes: Option<PathAttributes>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Attributes {
    namespace: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PathAttributes {
    path: String,
    verb: String,
}

fn access(cluster: &Cluster, asker: Asker, body: &Value) -> Result<Value, Status> {
    let spec: Spec = body
        .get("spec")
        .cloned()
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| Status::bad_request(error.to_string()))?
        .unwrap_or_default();
    let access = match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(asked), None) => Access::Resource(ResourceAccess {
            verb: &asked.verb,
            group: &asked.group,
            plural: &asked.resource,
            subresource: &asked.subresource,
            namespace: &asked.namespace,
            name: &asked.name,
        }),
        (None, Some(asked)) => Access::Path {
            verb: &asked.verb,
            path: &asked.path,
        },
        _ => {
            return Err(Status::bad_request(
                "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or \
                 resourceAttributes must be specified",
            ));
        }
    };
    Ok(json!({"allowed": rbac::allows(cluster, asker, access)}))
}

fn rules(rules: &[Rule]) -> Value {
    let resource: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.resources.is_empty())
        .map(|rule| {
            let mut entry = json!({
                "verbs": rule.verbs,
                "apiGroups": rule.api_groups,
                "resources": rule.resources,
            });
            if !rule.resource_names.is_empty()
                && let Some(map) = entry.as_object_mut()
            {
                map.insert("resourceNames".into(), json!(rule.resource_names));
            }
            entry
        })
        .collect();
    let paths: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.non_resource_urls.is_empty())
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    json!({"resourceRules": resource, "nonResourceRules": paths, "incomplete": false})
}
