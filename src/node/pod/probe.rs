//! Startup, readiness and liveness: asking a container how it is, as often as its probes say.
//!
//! Source: "Configure Liveness, Readiness and Startup Probes", Kubernetes documentation: the startup
//! probe holds the others back; thresholds count in a row; a handler that takes longer than its
//! timeout has failed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::node::container::{Folder, exec};
use crate::node::kubelet::Shared;
use crate::serve::nodes::channel;

/// Of a command's output, the kubelet shows this much.
const OUTPUT_BYTES_MAX: usize = 1024;

/// What became of a probe; only changes are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Started,
    Ready,
    Unready(String),
    /// To be ended and started again.
    Dead(String),
}

/// The probes of one container.
#[derive(Clone, Debug)]
pub struct Probes {
    startup: Option<Check>,
    readiness: Option<Check>,
    liveness: Option<Check>,
}

#[derive(Clone, Debug)]
struct Check {
    kind: &'static str,
    question: Question,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    failures: u32,
    successes: u32,
}

#[derive(Clone, Debug)]
enum Question {
    Exec(Vec<String>),
    Http {
        to: SocketAddr,
        host: String,
        path: String,
        headers: Vec<(String, String)>,
    },
    Tcp(SocketAddr),
    /// A handler that cannot be asked here; says why.
    Unsupported(&'static str),
}

impl Probes {
    pub fn of(container: &Container, address: IpAddr) -> Self {
        let check = |kind, probe: &Option<Probe>| {
            probe
                .as_ref()
                .map(|probe| Check::of(kind, probe, container, address))
        };
        Self {
            startup: check("Startup", &container.startup_probe),
            readiness: check("Readiness", &container.readiness_probe),
            liveness: check("Liveness", &container.liveness_probe),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.startup.is_none() && self.readiness.is_none() && self.liveness.is_none()
    }

    /// Whether the container counts as started only when a probe says so.
    pub fn holds_start(&self) -> bool {
        self.startup.is_some()
    }

    pub fn holds_ready(&self) -> bool {
        self.readiness.is_some()
    }

    /// Asks until it is stopped, or `tell` says that nobody listens.
    pub async fn run(
        &self,
        shared: &Shared,
        folder: &Folder,
        tell: impl Fn(Verdict) -> bool + Copy,
    ) {
        while folder.started().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if let Some(startup) = &self.startup {
            match startup.until_decided(shared, folder).await {
                Ok(()) => {
                    tell(Verdict::Started);
                }
                Err(message) => {
                    tell(Verdict::Dead(message));
                    return;
                }
            }
        }
        let readiness = async {
            if let Some(check) = &self.readiness {
                check.watch_readiness(shared, folder, tell).await;
            }
        };
        let liveness = async {
            if let Some(check) = &self.liveness {
                check.watch_liveness(shared, folder, tell).await;
            }
        };
        tokio::join!(readiness, liveness);
    }
}

impl Check {
    fn of(kind: &'static str, probe: &Probe, container: &Container, address: IpAddr) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            let value = value.and_then(|value| u64::try_from(value).ok());
            Duration::from_secs(value.unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            value
                .and_then(|value| u32::try_from(value).ok())
                .unwrap_or(default)
                .max(1)
        };
        Self {
            kind,
            question: Question::of(probe, container, address),
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            timeout: seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1)),
            failures: count(probe.failure_threshold, 3),
            successes: count(probe.success_threshold, 1),
        }
    }

    async fn until_decided(&self, shared: &Shared, folder: &Folder) -> Result<(), String> {
        tokio::time::sleep(self.delay).await;
        let mut failed = 0;
        loop {
            match self.ask(shared, folder).await {
                Ok(()) => return Ok(()),
                Err(message) => {
                    failed += 1;
                    if failed >= self.failures {
                        return Err(message);
                    }
                }
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn watch_readiness(
        &self,
        shared: &Shared,
        folder: &Folder,
        tell: impl Fn(Verdict) -> bool,
    ) {
        tokio::time::sleep(self.delay).await;
        let (mut good, mut bad, mut is_ready) = (0, 0, false);
        loop {
            let answer = self.ask(shared, folder).await;
            (good, bad) = if answer.is_ok() {
                (good + 1, 0)
            } else {
                (0, bad + 1)
            };
            let heard = match answer {
                Ok(()) if !is_ready && good >= self.successes => {
                    is_ready = true;
                    tell(Verdict::Ready)
                }
                Err(message) if bad == self.failures => {
                    is_ready = false;
                    tell(Verdict::Unready(message))
                }
                _ => true,
            };
            if !heard {
                return;
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn watch_liveness(
        &self,
        shared: &Shared,
        folder: &Folder,
        tell: impl Fn(Verdict) -> bool,
    ) {
        tokio::time::sleep(self.delay).await;
        let mut bad = 0;
        loop {
            match self.ask(shared, folder).await {
                Ok(()) => bad = 0,
                Err(message) => {
                    bad += 1;
                    if bad >= self.failures {
                        tell(Verdict::Dead(message));
                        return;
                    }
                }
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn ask(&self, shared: &Shared, folder: &Folder) -> Result<(), String> {
        let answer = tokio::time::timeout(self.timeout, self.question.ask(shared, folder)).await;
        let answer = answer.unwrap_or_else(|_elapsed| Err("command timed out".to_owned()));
        answer.map_err(|why| format!("{} probe failed: {why}", self.kind))
    }
}

impl Question {
    fn of(probe: &Probe, container: &Container, address: IpAddr) -> Self {
        let port = |port: &IntOrString| match port {
            IntOrString::Int(number) => u16::try_from(*number).ok(),
            IntOrString::String(name) => container
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_deref() == Some(name))
                .and_then(|port| u16::try_from(port.container_port).ok()),
        };
        let host = |host: &Option<String>| {
            host.as_ref()
                .and_then(|host| host.parse().ok())
                .unwrap_or(address)
        };
        if let Some(exec) = &probe.exec {
            return Self::Exec(exec.command.clone().unwrap_or_default());
        }
        if let Some(http) = &probe.http_get {
            let Some(number) = port(&http.port) else {
                return Self::Unsupported("the port is not one of the container's");
            };
            if http.scheme.as_deref() == Some("HTTPS") {
                return Self::Unsupported("HTTPS probes are not supported on this node");
            }
            let to = SocketAddr::new(host(&http.host), number);
            let headers = http.http_headers.iter().flatten();
            return Self::Http {
                to,
                host: to.to_string(),
                path: http.path.clone().unwrap_or_else(|| "/".to_owned()),
                headers: headers
                    .map(|header| (header.name.clone(), header.value.clone()))
                    .collect(),
            };
        }
        if let Some(tcp) = &probe.tcp_socket {
            return port(&tcp.port).map_or(
                Self::Unsupported("the port is not one of the container's"),
                |number| Self::Tcp(SocketAddr::new(host(&tcp.host), number)),
            );
        }
        Self::Unsupported("gRPC probes are not supported on this node")
    }

    async fn ask(&self, shared: &Shared, folder: &Folder) -> Result<(), String> {
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
            Self::Http {
                to,
                host,
                path,
                headers,
            } => {
                let code = http_get(shared, *to, host, path, headers).await;
                match code.map_err(|error| format!("Get \"http://{to}{path}\": {error}"))? {
                    200..=399 => Ok(()),
                    code => Err(format!("HTTP probe failed with statuscode: {code}")),
                }
            }
            Self::Unsupported(why) => Err((*why).to_owned()),
        }
    }
}

/// The status code of one request on a connection made inside the node's network.
async fn http_get(
    shared: &Shared,
    to: SocketAddr,
    host: &str,
    path: &str,
    headers: &[(String, String)],
) -> std::io::Result<u16> {
    let mut stream = shared.connect(to).await?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut request = format!(
        "GET {slash}{path} HTTP/1.1\r\nConnection: close\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\n"
    );
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request.extend(["Host: ", host, "\r\n"]);
    }
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let mut buffer = [0; 512];
    // `HTTP/1.1 200`: what follows does not matter.
    while head.len() < 12 {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            break;
        }
        head.extend_from_slice(buffer.get(..length).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&head);
    let code = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok());
    code.filter(|_| text.starts_with("HTTP/"))
        .ok_or_else(|| std::io::Error::other("malformed HTTP response"))
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
