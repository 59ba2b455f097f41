//! `pods/log`: what a pod's containers have said. The text comes from whoever runs the pods; this
//! module knows the parameters and the refusals.

use jiff::Timestamp;

use super::super::registry::Registry;
use super::super::request::Request;
use super::super::response::Response;
use super::super::status::Status;
use crate::k8s::columns::{ContainerRole, ContainerState, PodColumns};
use crate::k8s::{Cluster, Object};

/// Answers log requests: a function over the pod, set by who runs the node agents.
pub type PodLog = fn(&Cluster, &Object, &LogQuery, Timestamp) -> Result<String, Status>;

/// The parameters of a log request; `container` is always filled in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogQuery {
    pub container: String,
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since_seconds: Option<i64>,
    pub since_time: Option<Timestamp>,
    pub tail_lines: Option<usize>,
    pub limit_bytes: Option<usize>,
}

impl LogQuery {
    /// Reads the parameters and chooses the container, as kube-apiserver does.
    pub fn of(request: &Request, pod: &Object) -> Result<Self, Status> {
        let option = |key: &str| request.options.other(key).unwrap_or_default();
        let flag = |key: &str| matches!(option(key), "true" | "1" | "True");
        let columns = pod
            .pod()
            .ok_or_else(|| Status::bad_request("only pods have logs"))?;
        let container = choose(pod, columns, option("container"))?;
        Ok(Self {
            container,
            follow: flag("follow"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            since_seconds: option("sinceSeconds").parse().ok(),
            since_time: option("sinceTime").parse().ok(),
            tail_lines: option("tailLines").parse().ok(),
            limit_bytes: option("limitBytes").parse().ok(),
        })
    }
}

/// The log of a pod in a state that it has or had, for who follows it.
pub fn pod_log(
    registry: &Registry,
    cluster: &Cluster,
    pod: &Object,
    request: &Request,
    now: Timestamp,
) -> Response {
    answer(registry, cluster, pod, request, now).unwrap_or_else(Response::from)
}

pub(super) fn answer(
    registry: &Registry,
    cluster: &Cluster,
    pod: &Object,
    request: &Request,
    now: Timestamp,
) -> Result<Response, Status> {
    let query = LogQuery::of(request, pod)?;
    refuse_too_early(pod, &query)?;
    let Some(source) = registry.pod_log else {
        return Err(Status::bad_request(format!(
            "no logs are kept for container \"{}\" in pod \"{}\"",
            query.container,
            pod.name()
        )));
    };
    source(cluster, pod, &query, now).map(|text| Response::text(200, text))
}

/// The container that is meant, named or the only one; refused as kube-apiserver does.
pub fn choose(pod: &Object, columns: &PodColumns, wanted: &str) -> Result<String, Status> {
    let names = |role: fn(ContainerRole) -> bool| -> Vec<&str> {
        columns
            .containers
            .iter()
            .filter(|container| role(container.role))
            .map(|container| container.name.as_str())
            .collect()
    };
    let apps = names(|role| role == ContainerRole::App);
    let inits = names(|role| role != ContainerRole::App);
    if wanted.is_empty() {
        if let [only] = apps.as_slice() {
            return Ok((*only).to_owned());
        }
        let extra = if inits.is_empty() {
            String::new()
        } else {
            format!(" or one of the init containers: [{}]", inits.join(" "))
        };
        return Err(Status::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]{extra}",
            pod.name(),
            apps.join(" ")
        )));
    }
    if apps.contains(&wanted) || inits.contains(&wanted) {
        return Ok(wanted.to_owned());
    }
    Err(Status::bad_request(format!(
        "container {wanted} is not valid for pod {}",
        pod.name()
    )))
}

/// A container that has not started has no log yet.
fn refuse_too_early(pod: &Object, query: &LogQuery) -> Result<(), Status> {
    let Some(columns) = pod.pod() else {
        return Ok(());
    };
    let name = &query.container;
    let Some(container) = columns
        .containers
        .iter()
        .find(|container| container.name == name.as_str())
    else {
        return Ok(());
    };
    if columns.node.is_none() {
        return Err(Status::bad_request(format!(
            "pod {} does not have a host assigned",
            pod.name()
        )));
    }
    if query.previous && container.last_end.is_none() {
        return Err(Status::bad_request(format!(
            "previous terminated container \"{name}\" in pod \"{}\" not found",
            pod.name()
        )));
    }
    match &container.state {
        ContainerState::Waiting { reason } if container.last_end.is_none() => {
            let reason = if reason.is_empty() {
                "ContainerCreating"
            } else {
                reason.as_str()
            };
            Err(Status::bad_request(format!(
                "container \"{name}\" in pod \"{}\" is waiting to start: {reason}",
                pod.name()
            )))
        }
        _ => Ok(()),
    }
}
