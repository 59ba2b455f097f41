//! Nodes that run something: what the API server asks the kubelet of a pod's node for.
//!
//! A simulated pod's log is told by the API server itself. A pod on a node that is registered here
//! has a real one, and processes that can be spoken to; its node is asked instead.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::apiserver::{Request, Status, Target, Verb};
use crate::k8s::{Cluster, Name, Object, ObjectKey, resources};
use crate::stdx::clock;

use super::http::streamed;

/// Which part of a log, as `GET …/pods/NAME/log` asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Empty: the pod's only container, or its first.
    pub container: String,
    pub tail: Option<usize>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
    /// The instance before the present one.
    pub previous: bool,
    pub follow: bool,
}

/// What is said on which channel, as in Kubernetes' remote command protocol
/// (`v5.channel.k8s.io`).
pub mod channel {
    pub const STDIN: u8 = 0;
    pub const STDOUT: u8 = 1;
    pub const STDERR: u8 = 2;
    /// A `metav1.Status` of how it ended; the last that is said.
    pub const STATUS: u8 = 3;
    /// `{"Width":80,"Height":24}`
    pub const RESIZE: u8 = 4;
    /// The number of a channel on which nothing more is said.
    pub const CLOSE: u8 = 255;
}

/// A command to run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    pub container: String,
    pub arguments: Vec<String>,
    pub stdin: bool,
    pub terminal: bool,
}

/// What something uses: CPU as nanoseconds a second, memory as its working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub cpu_nanos: u64,
    pub memory_bytes: u64,
}

/// What a node and the containers of its pods use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub at: Timestamp,
    /// Over which time the CPU was measured.
    pub window: SignedDuration,
    pub node: Option<Used>,
    /// By the pod's uid and the container's name.
    pub pods: BTreeMap<String, BTreeMap<String, Used>>,
}

/// Both directions of a stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A process that is spoken with in frames: a length in four bytes, a channel, what was said.
/// Dropping it ends the process, or lets go of it where it was only joined.
pub type Conversation = Box<dyn Duplex>;

/// The face of a node's kubelet.
pub trait Kubelet: Send + Sync {
    /// A container's log, or why there is none in the kubelet's words.
    fn log(&self, pod: &Object, query: &LogQuery) -> Result<BoxStream<'static, Bytes>, String>;

    /// Runs a command in a running container.
    fn exec(&self, pod: &Object, command: &Command) -> Result<Conversation, String>;

    /// Joins the streams of a running container; of the command, its arguments mean nothing here.
    fn attach(&self, pod: &Object, command: &Command) -> Result<Conversation, String>;

    /// What was measured last, if anything.
    fn usage(&self) -> Option<Usage>;

    /// Connects to a port of the pod's own loopback.
    fn connect(&self, pod: &Object, port: u16) -> BoxFuture<'static, io::Result<TcpStream>>;
}

/// The kubelets of this process, by their nodes' names. Clones share them.
#[derive(Clone, Default)]
pub struct Nodes(Arc<RwLock<BTreeMap<Name, Arc<dyn Kubelet>>>>);

impl Nodes {
    pub fn register(&self, node: Name, kubelet: Arc<dyn Kubelet>) {
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node, kubelet);
    }

    /// What the nodes measured last, by their names.
    pub(super) fn usages(&self) -> Vec<(String, Usage)> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes
            .iter()
            .filter_map(|(name, kubelet)| Some((name.to_string(), kubelet.usage()?)))
            .collect()
    }

    pub(super) fn find(&self, node: &Name) -> Option<Arc<dyn Kubelet>> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes.get(node).map(Arc::clone)
    }

    /// The answer of the pod's kubelet, if the request is for one.
    pub(super) fn answer(
        &self,
        cluster: &Cluster,
        request: &Request,
    ) -> Option<Result<HttpResponse, Status>> {
        let Target::Resource(target) = &request.target else {
            return None;
        };
        let is_log = request.verb == Verb::Get
            && target.subresource == "log"
            && target.resource_type() == resources::PODS;
        if !is_log {
            return None;
        }
        let key = ObjectKey::new(resources::PODS, &target.namespace, &target.name);
        let pod = cluster.get(&key)?;
        let kubelet = self.find(pod.pod()?.node.as_ref()?)?;
        let log = kubelet.log(pod, &query(request));
        Some(
            log.map(|chunks| streamed(chunks, "text/plain"))
                .map_err(|message| Status::new(400, "BadRequest", message)),
        )
    }
}

fn query(request: &Request) -> LogQuery {
    let option = |name: &str| request.options.other(name).unwrap_or_default();
    let is_set = |name: &str| matches!(option(name), "true" | "1" | "True");
    let seconds = option("sinceSeconds")
        .parse()
        .ok()
        .map(SignedDuration::from_secs);
    let ago = seconds.and_then(|seconds| clock::now().checked_sub(seconds).ok());
    LogQuery {
        container: option("container").to_owned(),
        tail: option("tailLines").parse().ok(),
        since: ago.or_else(|| option("sinceTime").parse().ok()),
        timestamps: is_set("timestamps"),
        previous: is_set("previous"),
        follow: is_set("follow"),
    }
}
