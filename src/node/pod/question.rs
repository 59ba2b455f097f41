//! What probes ask a container, and what hooks have it do: commands, HTTP, TCP, gRPC.
//!
//! Connections are made inside the node's network, where the pods' addresses are. What is said when
//! they fail are the kubelet's words.
//!
//! Sources: `pkg/probe/*` and `pkg/kubelet/lifecycle/handlers.go`.

mod grpc;
mod http;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::node::container::{Folder, exec};
use crate::node::kubelet::Shared;
use crate::serve::nodes::channel;

/// Of a command's output, the kubelet shows this much.
const OUTPUT_BYTES_MAX: usize = 1024;

#[derive(Clone, Debug)]
pub enum Question {
    Exec(Vec<String>),
    Http(http::Get),
    Tcp(SocketAddr),
    Grpc {
        to: SocketAddr,
        service: String,
    },
    Sleep(Duration),
    /// A handler that cannot be asked; says why.
    Unsupported(&'static str),
}

const NO_PORT: Question = Question::Unsupported("the port is not one of the container's");

impl Question {
    pub fn of_probe(probe: &Probe, container: &Container, address: IpAddr) -> Self {
        if let Some(exec) = &probe.exec {
            return Self::Exec(exec.command.clone().unwrap_or_default());
        }
        if let Some(http) = &probe.http_get {
            return Self::http(http, container, address);
        }
        if let Some(tcp) = &probe.tcp_socket {
            let to = destination(tcp.host.as_deref(), &tcp.port, container, address);
            return to.map_or(NO_PORT, Self::Tcp);
        }
        if let Some(grpc) = &probe.grpc {
            let port = IntOrString::Int(grpc.port);
            return destination(None, &port, container, address).map_or(NO_PORT, |to| Self::Grpc {
                to,
                service: grpc.service.clone().unwrap_or_default(),
            });
        }
        Self::Unsupported("missing probe handler")
    }

    pub fn of_hook(hook: &LifecycleHandler, container: &Container, address: IpAddr) -> Self {
        if let Some(exec) = &hook.exec {
            return Self::Exec(exec.command.clone().unwrap_or_default());
        }
        if let Some(http) = &hook.http_get {
            return Self::http(http, container, address);
        }
        if let Some(sleep) = &hook.sleep {
            return Self::Sleep(Duration::from_secs(
                u64::try_from(sleep.seconds).unwrap_or(0),
            ));
        }
        Self::Unsupported("cannot run handler")
    }

    fn http(http: &HTTPGetAction, container: &Container, address: IpAddr) -> Self {
        let to = destination(http.host.as_deref(), &http.port, container, address);
        to.map_or(NO_PORT, |to| Self::Http(http::Get::new(http, to)))
    }

    /// Whether a container is well.
    pub async fn ask(&self, shared: &Shared, folder: &Folder) -> Result<(), String> {
        match self {
            Self::Http(get) => match get.status(shared).await? {
                200..=399 => Ok(()),
                code => Err(format!("HTTP probe failed with statuscode: {code}")),
            },
            _ => self.carry_out(shared, folder).await,
        }
    }

    /// Has it done; any answer over HTTP is one.
    pub async fn carry_out(&self, shared: &Shared, folder: &Folder) -> Result<(), String> {
        match self {
            Self::Exec(command) => match run_command(folder, command).await {
                Ok((0, _)) => Ok(()),
                Ok((_, output)) => Err(output),
                Err(error) => Err(error.to_string()),
            },
            Self::Tcp(to) => {
                let connected = shared.connect(*to).await;
                connected
                    .map(drop)
                    .map_err(|error| format!("dial tcp {to}: {error}"))
            }
            Self::Http(get) => get.status(shared).await.map(drop),
            Self::Grpc { to, service } => grpc::check(shared, *to, service).await,
            Self::Sleep(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Self::Unsupported(why) => Err((*why).to_owned()),
        }
    }

    /// What is said when the answer takes longer than it may.
    pub fn too_slow(&self, timeout: Duration) -> String {
        match self {
            Self::Http(get) => get.failed(&"context deadline exceeded"),
            Self::Tcp(to) => format!("dial tcp {to}: i/o timeout"),
            Self::Grpc { .. } => {
                format!("timeout: health rpc did not complete within {timeout:?}")
            }
            _ => format!("command timed out after {timeout:?}"),
        }
    }
}

/// The pod's own address, unless another host is named; ports may be named by the container.
fn destination(
    host: Option<&str>,
    port: &IntOrString,
    container: &Container,
    address: IpAddr,
) -> Option<SocketAddr> {
    let number = match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name))
            .and_then(|port| u16::try_from(port.container_port).ok()),
    }?;
    let host = host.and_then(|host| host.parse().ok()).unwrap_or(address);
    Some(SocketAddr::new(host, number))
}

/// Runs a command in a running container; its exit code and what it said. Given up, it is killed.
pub async fn run_command(folder: &Folder, command: &[String]) -> std::io::Result<(i32, String)> {
    let ask = exec::Ask {
        command: command.to_vec(),
        ..exec::Ask::default()
    };
    let conversation = exec::start(folder, &ask)?;
    let mut frames = Framed::new(conversation, LengthDelimitedCodec::new());
    let mut text = Vec::new();
    while let Some(frame) = frames.next().await {
        let frame = frame?;
        match frame.split_first() {
            Some((&(channel::STDOUT | channel::STDERR), said)) => {
                let room = OUTPUT_BYTES_MAX.saturating_sub(text.len());
                text.extend_from_slice(said.get(..room).unwrap_or(said));
            }
            Some((&channel::STATUS, status)) => {
                let text = String::from_utf8_lossy(&text).trim_end().to_owned();
                return Ok(exec::ended(status).map_or_else(|why| (126, why), |code| (code, text)));
            }
            _ => {}
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}
