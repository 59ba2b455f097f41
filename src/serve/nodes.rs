//! Nodes that run something: what the API server asks the kubelet of a pod's node for.
//!
//! A simulated pod's log is told by the API server itself. A pod on a node that is registered here
//! has a real one, and its node is asked instead.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::response::Response as HttpResponse;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};

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

/// The face of a node's kubelet.
pub trait Kubelet: Send + Sync {
    /// A container's log, or why there is none in the kubelet's words.
    fn log(&self, pod: &Object, query: &LogQuery) -> Result<BoxStream<'static, Bytes>, String>;
}

/// The kubelets of this process, by their nodes' names. Clones share them.
#[derive(Clone, Default)]
pub struct Nodes(Arc<RwLock<BTreeMap<Name, Arc<dyn Kubelet>>>>);

impl Nodes {
    pub fn register(&self, node: Name, kubelet: Arc<dyn Kubelet>) {
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node, kubelet);
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
        let node = pod.pod()?.node.clone()?;
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let kubelet = Arc::clone(nodes.get(&node)?);
        drop(nodes);
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
