//! Keeps the rules of this node's pods at what the cluster's policies say.
//!
//! Everything is read again each second, which costs one empty list while there are no policies. A
//! pod that begins under a policy may be open for that long, as the documentation allows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use serde_json::json;
use tokio::sync::watch;

use super::{Isolation, Isolations, Picture, compile};
use crate::node::kubelet::Shared;
use crate::node::network::{Network, NetworkError, Range};
use crate::node::service::NAME_SERVER;

const LOOK: Duration = Duration::from_secs(1);

/// What the rules of a node's pods follow from.
pub struct Follower {
    pub client: kube::Client,
    pub network: Network,
    /// All nodes of this machine, and their ranges.
    pub nodes: Vec<String>,
    pub ranges: Vec<Range>,
    /// For connections that the services' proxy makes.
    pub isolations: watch::Sender<Isolations>,
}

/// By pod uid: the address and what was last written for it.
type Written = BTreeMap<String, (Ipv4Addr, Isolation)>;

impl Follower {
    /// Runs until it is dropped.
    pub async fn run(self, shared: Arc<Shared>) {
        let mut written = Written::new();
        let mut is_well = true;
        loop {
            match self.compute().await {
                Ok(isolations) => {
                    let addresses = shared.given().await;
                    match self.write(&isolations, &addresses, &mut written).await {
                        Ok(()) => is_well = true,
                        Err(error) if is_well => {
                            is_well = false;
                            tracing::warn!(
                                "network policies are not enforced on this node: {error}"
                            );
                        }
                        Err(_) => {}
                    }
                    self.isolations.send_if_modified(|old| {
                        let is_new = *old != isolations;
                        *old = isolations;
                        is_new
                    });
                }
                Err(error) => tracing::debug!(%error, "network policies cannot be read"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn compute(&self) -> Result<Isolations, kube::Error> {
        let everything = ListParams::default();
        let policies: Api<NetworkPolicy> = Api::all(self.client.clone());
        let policies = policies.list(&everything).await?.items;
        if policies.is_empty() {
            return Ok(Isolations::default());
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespaces = namespaces.list(&everything).await?.items;
        let all: Api<Pod> = Api::all(self.client.clone());
        let mut pods = vec![name_server()];
        for node in &self.nodes {
            let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
            pods.extend(all.list(&here).await?.items);
        }
        Ok(compile(&Picture {
            policies: &policies,
            pods: &pods,
            namespaces: &namespaces,
        }))
    }

    /// Brings the pods' rules to what they are to be; those that are right are left alone.
    async fn write(
        &self,
        isolations: &Isolations,
        own: &BTreeMap<String, IpAddr>,
        written: &mut Written,
    ) -> Result<(), NetworkError> {
        written.retain(|uid, _| own.contains_key(uid));
        let gateways: Arc<[Ipv4Addr]> = self.ranges.iter().map(|range| range.gateway()).collect();
        for (uid, address) in own {
            let IpAddr::V4(address) = *address else {
                continue;
            };
            let wanted = isolations.get(address).cloned().unwrap_or_default();
            let known = written.get(uid);
            // One of which nothing is known may have rules of an earlier life of this program.
            if known.is_some_and(|(at, isolation)| *at == address && *isolation == wanted) {
                continue;
            }
            let (network, pod) = (self.network.clone(), uid.clone());
            let (rules, gateways) = (wanted.clone(), Arc::clone(&gateways));
            let done =
                tokio::task::spawn_blocking(move || network.isolate(&pod, &rules, &gateways));
            let done = done.await.map_err(|panic| NetworkError::Failed {
                what: "a pod's rules",
                reason: panic.to_string(),
            });
            // Where there is no nf_tables there are no rules to take away either.
            if wanted != Isolation::default() {
                done??;
            }
            written.insert(uid.clone(), (address, wanted));
        }
        Ok(())
    }
}

/// The name server as the pod that policies commonly allow: it is no pod here.
fn name_server() -> Pod {
    let pod = json!({
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"},
        },
        "spec": {"containers": [{"name": "dns", "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ]}]},
        "status": {"phase": "Running", "podIP": NAME_SERVER.to_string()},
    });
    serde_json::from_value(pod).unwrap_or_default()
}
