//! `pods/exec`, `pods/attach` and `pods/portforward`: a pod's processes, reached through the API
//! server.
//!
//! All that can be refused is refused before the connection is upgraded, because clients show only
//! such answers in the server's words. Who may do it is who may create the subresource, whatever
//! the method: upgrades of web sockets are GETs.
//!
//! Source: `pkg/registry/core/pod/strategy.go`, `staging/src/k8s.io/kubelet/pkg/cri/streaming`.

mod channels;
mod forward;
mod multiplexed;
mod raw;
mod spdy;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response as HttpResponse;
use http::{header, request};

use crate::apiserver::{self, Request, ResourceTarget, Status, Target, Verb};
use crate::k8s::columns::PodPhase;
use crate::k8s::{Cluster, Object, ObjectKey, resources};
use crate::plane::Published;

use super::driver::Driver;
use super::nodes::{Command, Kubelet};

/// Whether a request is for a stream to or from a pod.
pub fn is_asked(request: &Request) -> bool {
    let Target::Resource(target) = &request.target else {
        return false;
    };
    target.resource_type() == resources::PODS
        && matches!(request.verb, Verb::Get | Verb::Create)
        && matches!(
            target.subresource.as_str(),
            "exec" | "attach" | "portforward"
        )
}

pub async fn start(
    driver: &Driver,
    published: &Published,
    request: &Request,
    parts: &mut request::Parts,
) -> Result<HttpResponse, Status> {
    let Target::Resource(target) = &request.target else {
        return Err(Status::unknown_path());
    };
    let cluster = &published.snapshot.cluster;
    let creation = Request {
        verb: Verb::Create,
        ..request.clone()
    };
    apiserver::authorize(cluster, &request.user, &creation)?;
    let pod = find(cluster, target)?;
    let kubelet = kubelet(driver, cluster, pod, &target.subresource)?;
    match target.subresource.as_str() {
        "exec" | "attach" => converse(driver, &*kubelet, pod, request, parts).await,
        "portforward" => {
            let pod = forward::Pod {
                kubelet,
                object: Arc::clone(pod),
            };
            port_forward(driver, pod, request, parts).await
        }
        _ => Err(Status::unknown_path()),
    }
}

fn find<'a>(cluster: &'a Cluster, target: &ResourceTarget) -> Result<&'a Arc<Object>, Status> {
    let key = ObjectKey::new(resources::PODS, &target.namespace, &target.name);
    let found = cluster.get(&key);
    found.ok_or_else(|| Status::not_found(&resources::PODS, &target.name))
}

fn kubelet(
    driver: &Driver,
    cluster: &Cluster,
    pod: &Object,
    what: &str,
) -> Result<Arc<dyn Kubelet>, Status> {
    let name = pod.name();
    let Some(node) = pod.pod().and_then(|columns| columns.node.as_ref()) else {
        let message = format!("pod {name} does not have a host assigned");
        return Err(Status::bad_request(message));
    };
    driver.nodes().find(node).ok_or_else(|| {
        let machine = cluster.get(&ObjectKey::new(resources::NODES, "", node));
        let is_simulated = machine.is_some_and(|it| is_simulated(it));
        Status::bad_request(if is_simulated {
            format!(
                "pod {name} is simulated: its containers on node {node} have no process, so that there is \
                 nothing to {}",
                match what {
                    "exec" => "run a command in",
                    "attach" => "attach to",
                    _ => "forward a port to",
                }
            )
        } else {
            format!("node {node} of pod {name} has no kubelet that this server could ask")
        })
    })
}

fn is_simulated(node: &Object) -> bool {
    use crate::k8s::lab::{RUNTIME_LABEL, RUNTIME_SIMULATED};
    node.labels
        .get(RUNTIME_LABEL)
        .is_some_and(|it| it == RUNTIME_SIMULATED)
}

fn is_set(request: &Request, name: &str) -> bool {
    matches!(request.options.other(name), Some("true" | "1" | "True"))
}

/// The container that is meant; the pod's only one where none is named.
fn container(request: &Request, pod: &Object) -> Result<String, Status> {
    let columns = pod.pod().ok_or_else(Status::unknown_path)?;
    let wanted = request.options.other("container").unwrap_or_default();
    apiserver::choose_container(pod, columns, wanted)
}

/// Which streams a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a query parameter of its own"
)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    terminal: bool,
}

fn wanted(request: &Request) -> Result<Wanted, Status> {
    let terminal = is_set(request, "tty");
    let wanted = Wanted {
        stdin: is_set(request, "stdin"),
        stdout: is_set(request, "stdout"),
        // A terminal is one stream.
        stderr: is_set(request, "stderr") && !terminal,
        terminal,
    };
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        let message = "you must specify at least 1 of stdin, stdout, stderr";
        return Err(Status::bad_request(message));
    }
    Ok(wanted)
}

/// A command of its own, or the container's process.
async fn converse(
    driver: &Driver,
    kubelet: &dyn Kubelet,
    pod: &Object,
    request: &Request,
    parts: &mut request::Parts,
) -> Result<HttpResponse, Status> {
    let wanted = wanted(request)?;
    let options = request.options.other.iter();
    let command = Command {
        container: container(request, pod)?,
        arguments: options
            .filter(|(name, _)| name == "command")
            .map(|(_, value)| value.clone())
            .collect(),
        stdin: wanted.stdin,
        terminal: wanted.terminal,
    };
    let attaches = matches!(&request.target, Target::Resource(it) if it.subresource == "attach");
    if command.arguments.is_empty() && !attaches {
        return Err(Status::bad_request("you must specify at least 1 command"));
    }
    let start = || {
        let started = if attaches {
            kubelet.attach(pod, &command)
        } else {
            kubelet.exec(pod, &command)
        };
        started.map_err(|why| not_upgraded(&why))
    };
    let stopped = driver.stopped().clone();
    if let Some(raw) = raw::upgrade(parts) {
        let conversation = start()?;
        return raw.answer(multiplexed::PROTOCOL, move |connection| async move {
            let talk = multiplexed::talk(connection, conversation, wanted);
            let _server_stops = stopped.run_until_cancelled(talk).await;
        });
    }
    let upgrade = upgrade(parts).await?;
    let conversation = start()?;
    channels::serve(upgrade, conversation, wanted, stopped)
}

fn not_upgraded(why: &str) -> Status {
    Status::internal(format_args!("unable to upgrade connection: {why}"))
}

async fn upgrade(parts: &mut request::Parts) -> Result<WebSocketUpgrade, Status> {
    if !parts.headers.contains_key(header::UPGRADE) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    upgrade.map_err(|refused| Status::bad_request(refused.body_text()))
}

async fn port_forward(
    driver: &Driver,
    pod: forward::Pod,
    request: &Request,
    parts: &mut request::Parts,
) -> Result<HttpResponse, Status> {
    const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
    const CHANNELS: &str = "v4.channel.k8s.io";
    let columns = pod.object.pod();
    if columns.is_none_or(|columns| columns.phase != PodPhase::Running) {
        let why = format!(
            "unable to forward port because pod is not running. Current status={:?}",
            columns.map(|it| it.phase).unwrap_or_default()
        );
        return Err(Status::bad_request(why));
    }
    let stopped = driver.stopped().clone();
    if let Some(connection) = raw::upgrade(parts) {
        return connection.answer("portforward.k8s.io", move |connection| async move {
            stopped
                .run_until_cancelled(forward::multiplex(connection, pod))
                .await;
        });
    }
    let upgrade = upgrade(parts).await?.protocols([TUNNEL, CHANNELS]);
    let protocol = upgrade.selected_protocol().and_then(|it| it.to_str().ok());
    match protocol {
        Some(TUNNEL) => Ok(upgrade.on_upgrade(move |socket| async move {
            stopped
                .run_until_cancelled(forward::tunnel(socket, pod))
                .await;
        })),
        Some(_) => {
            let ports = ports(request)?;
            Ok(upgrade.on_upgrade(move |socket| async move {
                stopped
                    .run_until_cancelled(forward::channels(socket, pod, ports))
                    .await;
            }))
        }
        None => Err(Status::bad_request(format!(
            "unable to upgrade: this server speaks {TUNNEL}, {CHANNELS}"
        ))),
    }
}

/// `ports=80&ports=8080`, or with commas between them.
fn ports(request: &Request) -> Result<Vec<u16>, Status> {
    let options = request.options.other.iter();
    let texts = options
        .filter(|(name, _)| name == "ports")
        .flat_map(|(_, value)| value.split(','));
    let ports: Result<Vec<u16>, Status> = texts
        .map(|text| match text.parse() {
            Ok(port @ 1..) => Ok(port),
            _ => Err(Status::bad_request(format!("invalid port: {text}"))),
        })
        .collect();
    match ports?.as_slice() {
        [] => Err(Status::bad_request("at least one port must be specified")),
        ports => Ok(ports.to_vec()),
    }
}
