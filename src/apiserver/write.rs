//! Writes: one request, one answer, at most a few commits.

use jiff::Timestamp;
use serde_json::Value;

use super::read::{presentation, require};
use super::registry::{Registry, ResourceType};
use super::request::{Request, ResourceTarget, Target, Verb};
use super::response::{JSON, Response};
use super::status::Status;
use super::{create, decode, delete, patch, present, read, subresource, update};
use crate::k8s::{Change, Name, Object, Resource};
use crate::stdx::rng;
use crate::store::{CommitError, Store, Write};

/// What a write may not find out by itself.
#[derive(Debug)]
pub struct WriteContext<'a> {
    pub now: Timestamp,
    /// Uids and generated names.
    pub ids: &'a mut rng::Stream,
}

/// A write under way: where it goes, on whose behalf, and what there is to say about it.
pub(super) struct Writing<'a, 'c> {
    pub store: &'a mut Store,
    pub registry: &'a Registry,
    pub now: Timestamp,
    pub ids: &'c mut rng::Stream,
    /// Who owns the fields that this write changes.
    pub manager: Name,
    /// Through which subresource it goes; empty: the object itself.
    pub subresource: Name,
    pub dry_run: bool,
    pub warnings: Vec<String>,
}

/// Carries out a create, update, patch or delete.
pub fn write(
    store: &mut Store,
    registry: &Registry,
    request: &Request,
    context: &mut WriteContext,
) -> Response {
    let Target::Resource(target) = &request.target else {
        return Status::method_not_allowed().into();
    };
    let Some(resource_type) = registry.target(target) else {
        return Status::unknown_path().into();
    };
    let mut writing = Writing {
        store,
        registry,
        now: context.now,
        ids: context.ids,
        manager: Name::new(manager_of(request)),
        subresource: target.subresource.clone(),
        dry_run: request.options.dry_run,
        warnings: Vec::new(),
    };
    let outcome = match dispatch(&mut writing, resource_type, target, request) {
        Ok(done) => answer(resource_type, &done, request, writing.now),
        Err(status) => Err(status),
    };
    outcome
        .unwrap_or_else(Response::from)
        .with_warnings(&writing.warnings)
}

/// The stated manager, or the program that asks. Source: `managerOrUserAgent` of
/// `k8s.io/apiserver`.
fn manager_of(request: &Request) -> &str {
    if !request.options.field_manager.is_empty() {
        return &request.options.field_manager;
    }
    request.agent.split('/').next().unwrap_or_default()
}

/// What a write led to.
pub(super) enum Done {
    Created(std::sync::Arc<Object>),
    Updated(std::sync::Arc<Object>),
    /// Deletion has begun: finalizers or a grace period hold the object.
    Deleting(std::sync::Arc<Object>),
    Status(Status),
    /// A body of another kind (scales, evictions, tokens).
    Other(u16, Value),
    /// Many objects (deletecollection).
    Many(Vec<std::sync::Arc<Object>>),
}

fn dispatch(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    if !target.subresource.is_empty() && !is_status(target) {
        return subresource::write(writing, resource_type, target, request);
    }
    if is_status(target) && !resource_type.has_status() {
        return Err(Status::unknown_path());
    }
    match request.verb {
        Verb::Create => {
            require(resource_type, "create")?;
            if !target.name.is_empty() && resource_type.namespaced == target.namespace.is_empty() {
                return Err(Status::method_not_allowed());
            }
            let object = decode::object(writing, resource_type, request)?;
            create::create(writing, resource_type, target, object).map(Done::Created)
        }
        Verb::Update => {
            require(resource_type, "update")?;
            let object = decode::object(writing, resource_type, request)?;
            update::replace(writing, resource_type, target, object).map(Done::Updated)
        }
        Verb::Patch => {
            require(resource_type, "patch")?;
            patch::request(writing, resource_type, target, request)
        }
        Verb::Delete => {
            require(resource_type, "delete")?;
            let options = delete::DeleteOptions::of(request)?;
            delete::delete(writing, resource_type, target, &options)
        }
        Verb::DeleteCollection => {
            require(resource_type, "deletecollection")?;
            let options = delete::DeleteOptions::of(request)?;
            delete::collection(writing, resource_type, target, &request.options, &options)
        }
        Verb::Get | Verb::List | Verb::Watch => Err(Status::method_not_allowed()),
    }
}

fn answer(
    resource_type: &ResourceType,
    done: &Done,
    request: &Request,
    now: Timestamp,
) -> Result<Response, Status> {
    let presentation = presentation(&request.options, &request.accept, now)?;
    let object = |code, object: &Object| {
        Response::bytes(
            code,
            JSON,
            present::single(resource_type, object, &presentation),
        )
    };
    Ok(match done {
        Done::Created(created) => object(201, created),
        Done::Updated(updated) => object(200, updated),
        Done::Deleting(held) => object(200, held),
        Done::Status(status) => Response::json(status.code, &status.json()),
        Done::Other(code, body) => Response::json(*code, body),
        Done::Many(objects) => {
            let metadata = present::ListMeta::default();
            Response::bytes(
                200,
                JSON,
                present::list(resource_type, objects, &metadata, &presentation),
            )
        }
    })
}

pub(super) fn is_status(target: &ResourceTarget) -> bool {
    target.subresource == "status"
}

impl Writing<'_, '_> {
    /// Commits, unless this is a dry run; then the write is tried on a fork that is thrown away.
    pub(super) fn commit(&mut self, write: Write) -> Result<Change, Status> {
        let (resource, name) = match &write {
            Write::Put {
                resource, object, ..
            } => {
                let name = object
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                (resource.clone(), name.to_owned())
            }
            Write::Delete { key, .. } => (key.resource.clone(), key.name.to_string()),
        };
        let outcome = if self.dry_run {
            self.store.clone().commit(write)
        } else {
            self.store.commit(write)
        };
        outcome.map_err(|error| commit_status(error, &resource, &name))
    }

    pub(super) fn timestamp(&self) -> Value {
        second(self.now)
    }

    pub(super) fn current(
        &self,
        resource_type: &ResourceType,
        target: &ResourceTarget,
    ) -> Result<std::sync::Arc<Object>, Status> {
        self.store
            .cluster()
            .get(&read::key(resource_type, target))
            .cloned()
            .ok_or_else(|| Status::not_found(&resource_type.resource(), &target.name))
    }
}

/// `metav1.Time`: whole seconds, UTC.
pub(super) fn second(time: Timestamp) -> Value {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string().into()
}

fn commit_status(error: CommitError, resource: &Resource, name: &str) -> Status {
    match error {
        CommitError::Exists(_) => Status::already_exists(resource, name),
        CommitError::Missing(_) => Status::not_found(resource, name),
        CommitError::Conflict { .. } => Status::stale(resource, name),
        CommitError::Malformed(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            Status::bad_request(text)
        }
    }
}
