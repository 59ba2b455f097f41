//! Subresources other than `status`: scale, binding, eviction, log, token.

pub(super) mod binding;
pub(super) mod eviction;
pub(super) mod log;
pub(super) mod scale;
pub(super) mod token;

use jiff::Timestamp;

use super::registry::{Registry, ResourceType};
use super::request::{Request, ResourceTarget, Verb};
use super::response::{JSON, Response};
use super::status::Status;
use super::write::{Done, Writing};
use super::{present, read};
use crate::store::Snapshot;

pub(super) fn get(
    registry: &Registry,
    resource_type: &ResourceType,
    snapshot: &Snapshot,
    request: &Request,
    target: &ResourceTarget,
    now: Timestamp,
) -> Result<Response, Status> {
    let declared = resource_type
        .subresource(&target.subresource)
        .ok_or_else(Status::unknown_path)?;
    if !declared.verbs.iter().any(|verb| verb == "get") {
        return Err(Status::method_not_allowed());
    }
    let object = read::find(resource_type, snapshot, target)?;
    match target.subresource.as_str() {
        "scale" => Ok(Response::json(200, &scale::of(resource_type, object))),
        "log" => log::answer(registry, &snapshot.cluster, object, request, now),
        "status" | "approval" | "resize" | "ephemeralcontainers" => {
            let presentation = read::presentation(&request.options, &request.accept, now)?;
            let body = present::single(resource_type, object, &presentation);
            Ok(Response::bytes(200, JSON, body))
        }
        other => Err(not_built(resource_type, other)),
    }
}

pub(super) fn write(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    let declared = resource_type
        .subresource(&target.subresource)
        .ok_or_else(Status::unknown_path)?;
    let verb = match request.verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
        _ => return Err(Status::method_not_allowed()),
    };
    if !declared.verbs.iter().any(|own| own == verb) {
        return Err(Status::method_not_allowed());
    }
    match (target.subresource.as_str(), request.verb) {
        ("scale", Verb::Update) => scale::write(writing, resource_type, target, request),
        ("scale", Verb::Patch) => {
            let patch = super::patch::of_request(request)?;
            scale::patch(writing, resource_type, target, &patch)
        }
        ("binding", Verb::Create) => binding::request(writing, target, request),
        ("eviction", Verb::Create) => eviction::request(writing, target, request),
        ("token", Verb::Create) => token::request(writing, resource_type, target, request),
        ("finalize" | "approval", Verb::Update) => {
            let object = super::decode::object(writing, resource_type, request)?;
            finalize(writing, resource_type, target, object)
        }
        (other, _) => Err(not_built(resource_type, other)),
    }
}

/// `namespaces/finalize` changes `spec.finalizers` alone; `approval` the request's conditions.
fn finalize(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    object: serde_json::Value,
) -> Result<Done, Status> {
    let main = ResourceTarget {
        subresource: if target.subresource == "approval" {
            crate::k8s::Name::new_static("status")
        } else {
            crate::k8s::Name::default()
        },
        ..target.clone()
    };
    super::update::replace(writing, resource_type, &main, object).map(Done::Updated)
}

fn not_built(resource_type: &ResourceType, subresource: &str) -> Status {
    Status::new(
        501,
        "NotImplemented",
        format!(
            "{}/{subresource} is not served by this cluster",
            resource_type.plural
        ),
    )
}
