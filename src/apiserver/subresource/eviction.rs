//! `pods/eviction`: a deletion that disruption budgets may refuse.
//!
//! Source: `pkg/registry/core/pod/storage/eviction.go` (which pods need no budget, what is counted
//! down, the texts of refusals).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::delete::{self, DeleteOptions};
use super::super::request::{Request, ResourceTarget};
use super::super::status::{Cause, Status};
use super::super::write::{Done, Writing};
use super::super::{decode, tree};
use crate::k8s::selector::LabelSelector;
use crate::k8s::{Object, ObjectKey, resources};
use crate::store::{Expect, Write};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Budget {
    spec: BudgetSpec,
    status: BudgetStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetSpec {
    selector: Option<LabelSelector>,
    unhealthy_pod_eviction_policy: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    observed_generation: i64,
    disruptions_allowed: i64,
    current_healthy: i64,
    desired_healthy: i64,
}

pub(in super::super) fn request(
    writing: &mut Writing,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    let body = decode::body(request)?;
    let options = Request {
        body: body
            .get("deleteOptions")
            .map(Value::to_string)
            .unwrap_or_default()
            .into(),
        content_type: "application/json".into(),
        ..request.clone()
    };
    if DeleteOptions::is_dry_run(&options) {
        writing.dry_run = true;
    }
    let options = DeleteOptions::of(&options)?;
    let pod = ObjectKey {
        resource: resources::PODS,
        namespace: target.namespace.clone(),
        name: target.name.clone(),
    };
    evict(writing, &pod, &options)
}

/// Evicts a pod, or says which budget forbids it.
pub(in super::super) fn evict(
    writing: &mut Writing,
    pod: &ObjectKey,
    options: &DeleteOptions,
) -> Result<Done, Status> {
    let current = writing
        .store
        .cluster()
        .get(pod)
        .cloned()
        .ok_or_else(|| Status::not_found(&resources::PODS, &pod.name))?;
    if !needs_no_budget(&current) {
        check_budgets(writing, &current)?;
    }
    let registry = writing.registry;
    let resource_type = registry
        .stored(&resources::PODS)
        .ok_or_else(Status::unknown_path)?;
    let target = delete::target_of(resource_type, pod);
    delete::delete(writing, resource_type, &target, options)?;
    Ok(Done::Status(Status::new(201, "", "")))
}

/// Pods that hold nothing up: finished, not yet running, or already going.
fn needs_no_budget(pod: &Object) -> bool {
    use crate::k8s::columns::PodPhase;
    pod.is_terminating()
        || pod
            .pod()
            .is_some_and(|columns| columns.is_finished() || columns.phase == PodPhase::Pending)
}

fn check_budgets(writing: &mut Writing, pod: &Object) -> Result<(), Status> {
    let matching: Vec<(Arc<Object>, Budget)> = writing
        .store
        .cluster()
        .list_in(&resources::POD_DISRUPTION_BUDGETS, pod.namespace())
        .filter_map(|object| {
            let budget: Budget = object.typed().ok()?;
            let selected = budget
                .spec
                .selector
                .as_ref()
                .is_some_and(|selector| selector.matches(&pod.labels));
            selected.then(|| (Arc::clone(object), budget))
        })
        .collect();
    let (object, budget) = match matching.as_slice() {
        [] => return Ok(()),
        [only] => only,
        _ => {
            return Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource \
                 does not support.",
            ));
        }
    };
    let ready = pod.pod().is_some_and(|columns| columns.ready);
    let policy = budget.spec.unhealthy_pod_eviction_policy.as_deref();
    if !ready {
        let enough = budget.status.current_healthy >= budget.status.desired_healthy
            && budget.status.desired_healthy > 0;
        if policy == Some("AlwaysAllow") || enough {
            return Ok(());
        }
    }
    if budget.status.observed_generation < object.generation {
        return Err(refused(
            format!(
                "The disruption budget {} is still being processed by the server.",
                object.name()
            ),
            10,
        ));
    }
    if budget.status.disruptions_allowed <= 0 {
        return Err(refused(
            format!(
                "The disruption budget {} needs {} healthy pods and has {} currently",
                object.name(),
                budget.status.desired_healthy,
                budget.status.current_healthy
            ),
            0,
        ));
    }
    spend(writing, object, pod, budget.status.disruptions_allowed)
}

fn refused(text: String, retry_after_seconds: u32) -> Status {
    let mut status = Status::too_many_requests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        vec![Cause::of("DisruptionBudget", "", text)],
    );
    if let Some(details) = &mut status.details {
        details.retry_after_seconds = retry_after_seconds;
    }
    status
}

/// Counts the disruption at once, so that the next eviction does not use it again before the
/// budget's controller has looked.
fn spend(writing: &mut Writing, budget: &Object, pod: &Object, allowed: i64) -> Result<(), Status> {
    let mut tree = budget.json();
    let now = writing.timestamp();
    if let Some(status) = tree::object(&mut tree, "status") {
        status.insert("disruptionsAllowed".into(), json!(allowed - 1));
        if let Some(disrupted) = status
            .entry("disruptedPods")
            .or_insert_with(|| json!({}))
            .as_object_mut()
        {
            disrupted.insert(pod.name().to_owned(), now);
        }
    }
    writing.commit(Write::Put {
        resource: resources::POD_DISRUPTION_BUDGETS,
        object: tree,
        expect: Expect::Revision(budget.revision),
    })?;
    Ok(())
}
