//! Reads: pure over a snapshot.

use jiff::Timestamp;

use super::accept;
use super::list;
use super::present::{self, Presentation};
use super::registry::{Registry, ResourceType};
use super::request::{Options, Request, ResourceTarget, Target, Verb};
use super::response::{JSON, Response};
use super::status::Status;
use super::subresource;
use super::{discovery, review};
use crate::k8s::{Object, ObjectKey};
use crate::store::Snapshot;

/// Answers get, list, reviews, and everything that is no resource (discovery, version, health).
///
/// Watches are answered by [`super::watch::Cursor`].
pub fn read(
    registry: &Registry,
    snapshot: &Snapshot,
    request: &Request,
    now: Timestamp,
) -> Response {
    let answer = match &request.target {
        Target::Path(path) => discovery::answer(registry, &snapshot.cluster, path, &request.accept),
        Target::Resource(target) => resource(registry, snapshot, request, target, now),
    };
    answer.unwrap_or_else(Response::from)
}

fn resource(
    registry: &Registry,
    snapshot: &Snapshot,
    request: &Request,
    target: &ResourceTarget,
    now: Timestamp,
) -> Result<Response, Status> {
    if review::is_review(target) {
        return review::answer(registry, &snapshot.cluster, target, request, now);
    }
    let resource_type = registry.target(target).ok_or_else(Status::unknown_path)?;
    let presentation = presentation(&request.options, &request.accept, now)?;
    match request.verb {
        Verb::Get if target.subresource.is_empty() => {
            require(resource_type, "get")?;
            let object = find(resource_type, snapshot, target)?;
            let body = present::single(resource_type, object, &presentation);
            Ok(Response::bytes(200, JSON, body))
        }
        Verb::Get => subresource::get(registry, resource_type, snapshot, request, target, now),
        Verb::List => {
            require(resource_type, "list")?;
            let page = list::page(resource_type, snapshot, target, &request.options)?;
            let body = present::list(resource_type, &page.objects, &page.metadata, &presentation);
            let continued = !page.metadata.continue_token.is_empty();
            Ok(Response {
                continued,
                ..Response::bytes(200, JSON, body)
            })
        }
        _ => Err(Status::method_not_allowed()),
    }
}

pub(super) fn presentation(
    options: &Options,
    accept: &str,
    now: Timestamp,
) -> Result<Presentation, Status> {
    Ok(Presentation {
        form: accept::form(accept)?,
        include: options.include_object.clone(),
        now,
    })
}

pub(super) fn require(resource_type: &ResourceType, verb: &str) -> Result<(), Status> {
    if resource_type.allows(verb) {
        Ok(())
    } else {
        Err(Status::method_not_allowed())
    }
}

pub(super) fn key(resource_type: &ResourceType, target: &ResourceTarget) -> ObjectKey {
    ObjectKey {
        resource: resource_type.storage.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
    }
}

pub(super) fn find<'a>(
    resource_type: &ResourceType,
    snapshot: &'a Snapshot,
    target: &ResourceTarget,
) -> Result<&'a Object, Status> {
    snapshot
        .cluster
        .get(&key(resource_type, target))
        .map(AsRef::as_ref)
        .ok_or_else(|| Status::not_found(&resource_type.resource(), &target.name))
}
