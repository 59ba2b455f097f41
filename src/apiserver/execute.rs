//! Ops of controllers, the scheduler and node agents, carried out like requests.

use serde_json::{Value, json};

use super::registry::{Registry, ResourceType};
use super::request::{Request, ResourceTarget, User};
use super::status::Status;
use super::write::{WriteContext, Writing};
use super::{create, decode, delete, events, patch, subresource, update};
use crate::k8s::{Name, ObjectKey, Op, Preconditions, Resource, Subresource};
use crate::store::Store;

/// Carries out one op with the author's identity (`deployment-controller`, `kubelet`, …).
///
/// A create of what exists already, and a delete of what is gone, are no errors: the author wanted
/// exactly that.
pub fn execute(
    store: &mut Store,
    registry: &Registry,
    op: Op,
    author: &str,
    context: &mut WriteContext,
) -> Result<(), Status> {
    let mut writing = Writing {
        store,
        registry,
        now: context.now,
        ids: context.ids,
        manager: Name::new(author),
        subresource: subresource_of(&op),
        dry_run: false,
        warnings: Vec::new(),
    };
    match carry_out(&mut writing, op) {
        Ok(()) => Ok(()),
        Err((Tolerates::Existing, status)) if status.reason == "AlreadyExists" => Ok(()),
        Err((Tolerates::Missing, status)) if status.is_not_found() => Ok(()),
        Err((_, status)) => Err(status),
    }
}

fn subresource_of(op: &Op) -> Name {
    let (Op::Update { subresource, .. } | Op::Patch { subresource, .. }) = op else {
        return Name::default();
    };
    match subresource {
        None => Name::default(),
        Some(Subresource::Status) => Name::new_static("status"),
        Some(Subresource::Scale) => Name::new_static("scale"),
    }
}

enum Tolerates {
    Nothing,
    Existing,
    Missing,
}

fn carry_out(writing: &mut Writing, op: Op) -> Result<(), (Tolerates, Status)> {
    let strict = |status| (Tolerates::Nothing, status);
    match op {
        Op::Create {
            resource,
            namespace,
            object,
        } => {
            let resource_type = stored(writing, &resource).map_err(strict)?;
            let target = ResourceTarget {
                namespace,
                ..address(&resource_type)
            };
            let object =
                decode::typed(writing, &resource_type, object, "Ignore").map_err(strict)?;
            create::create(writing, &resource_type, &target, object)
                .map(|_| ())
                .map_err(|status| (Tolerates::Existing, status))
        }
        Op::Update {
            key,
            subresource,
            object,
        } => update_op(writing, &key, subresource, object).map_err(strict),
        Op::Patch {
            key,
            subresource,
            patch,
            if_match,
        } => patch_op(writing, &key, subresource, &patch, &if_match).map_err(strict),
        Op::Delete {
            key,
            if_match,
            propagation,
            grace_period_s,
        } => {
            let resource_type = stored(writing, &key.resource).map_err(strict)?;
            let target = delete::target_of(&resource_type, &key);
            let options = delete::DeleteOptions {
                if_match,
                propagation: Some(propagation),
                grace_period_s,
            };
            delete::delete(writing, &resource_type, &target, &options)
                .map(|_| ())
                .map_err(|status| (Tolerates::Missing, status))
        }
        Op::Bind {
            pod,
            uid,
            node,
            annotations,
        } => {
            let annotation = |(name, value): (Name, Name)| (name.to_string(), json!(value));
            let annotations = annotations.into_iter().map(annotation).collect();
            let annotations = Some(Value::Object(annotations));
            subresource::binding::bind(writing, &pod, Some(&uid), &node, annotations)
                .map_err(strict)
        }
        Op::Evict {
            pod,
            grace_period_s,
        } => subresource::eviction::evict(
            writing,
            &pod,
            &delete::DeleteOptions {
                grace_period_s,
                ..delete::DeleteOptions::default()
            },
        )
        .map(|_| ())
        .map_err(|status| (Tolerates::Missing, status)),
        Op::Event(draft) => events::record(writing, &draft).map_err(strict),
    }
}

fn update_op(
    writing: &mut Writing,
    key: &ObjectKey,
    subresource: Option<Subresource>,
    object: Value,
) -> Result<(), Status> {
    let resource_type = stored(writing, &key.resource)?;
    let target = sub_target(&resource_type, key, subresource);
    if subresource == Some(Subresource::Scale) {
        let request = internal(&target, &object);
        return subresource::scale::write(writing, &resource_type, &target, &request).map(|_| ());
    }
    let object = decode::typed(writing, &resource_type, object, "Ignore")?;
    update::replace(writing, &resource_type, &target, object).map(|_| ())
}

fn patch_op(
    writing: &mut Writing,
    key: &ObjectKey,
    subresource: Option<Subresource>,
    patch: &crate::k8s::Patch,
    if_match: &Preconditions,
) -> Result<(), Status> {
    let resource_type = stored(writing, &key.resource)?;
    let target = sub_target(&resource_type, key, subresource);
    let current = writing.current(&resource_type, &target)?;
    let resource = resource_type.resource();
    if if_match.uid.as_ref().is_some_and(|uid| *uid != current.uid) {
        return Err(Status::conflict(
            &resource,
            current.name(),
            &format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                if_match.uid.clone().unwrap_or_default(),
                current.uid
            ),
        ));
    }
    if if_match
        .revision
        .is_some_and(|revision| revision != current.revision)
    {
        return Err(Status::stale(&resource, current.name()));
    }
    if subresource == Some(Subresource::Scale) {
        return subresource::scale::patch(writing, &resource_type, &target, patch).map(|_| ());
    }
    patch::apply(writing, &resource_type, &target, patch, "Ignore").map(|_| ())
}

fn stored(writing: &Writing, resource: &Resource) -> Result<std::sync::Arc<ResourceType>, Status> {
    writing
        .registry
        .stored(resource)
        .cloned()
        .ok_or_else(Status::unknown_path)
}

fn address(resource_type: &ResourceType) -> ResourceTarget {
    ResourceTarget {
        group: resource_type.group.clone(),
        version: resource_type.version.clone(),
        plural: resource_type.plural.clone(),
        ..ResourceTarget::default()
    }
}

fn sub_target(
    resource_type: &ResourceType,
    key: &ObjectKey,
    subresource: Option<Subresource>,
) -> ResourceTarget {
    let subresource = match subresource {
        None => Name::default(),
        Some(Subresource::Status) => Name::new_static("status"),
        Some(Subresource::Scale) => Name::new_static("scale"),
    };
    ResourceTarget {
        subresource,
        ..delete::target_of(resource_type, key)
    }
}

fn internal(target: &ResourceTarget, body: &Value) -> Request {
    Request::internal(
        super::Verb::Update,
        target.clone(),
        User::system("system:apiserver"),
    )
    .with_body("application/json", body.to_string())
}
