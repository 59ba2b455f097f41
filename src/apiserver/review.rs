//! Reviews: questions about who may do what, asked as POSTs of objects that are not kept.

use serde_json::{Value, json};

use super::decode;
use super::request::{Request, ResourceTarget, Verb};
use super::response::Response;
use super::status::Status;
use crate::k8s::Cluster;

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
    cluster: &Cluster,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Response, Status> {
    if request.verb != Verb::Create {
        return Err(Status::method_not_allowed());
    }
    let _ = cluster;
    let mut body = decode::body(request)?;
    let status = match target.plural.as_str() {
        "selfsubjectreviews" => json!({"userInfo": {
            "username": request.user.name.as_str(),
            "uid": request.user.uid.as_str(),
            "groups": request.user.groups,
        }}),
        _ => json!({"allowed": true}),
    };
    if let Some(root) = body.as_object_mut() {
        root.insert("status".into(), status);
    }
    Ok(Response::json(201, &Value::clone(&body)))
}
