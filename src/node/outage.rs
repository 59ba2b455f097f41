//! Cuts a local node off while an Outage concerns it.
//!
//! The machine stays what it is: its containers run on, in a power cut too, since this program does
//! not turn its own machine off. What ends is every way to the node and from it.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, Node};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::line::Line;
use super::network::Seat;
use crate::k8s::lab::{self, OutageSpec};
use crate::k8s::{Object, resources};
use crate::stdx::clock;

const RETRY: Duration = Duration::from_secs(1);
/// A node's labels may change meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Who is cut off, and how.
pub struct Watched {
    /// Over a connection that no outage cuts: it stands for who pulls the cable.
    pub client: kube::Client,
    pub node: String,
    pub line: Line,
    /// Its link to the other nodes of this machine, if there are any.
    pub seat: Option<Seat>,
}

impl Watched {
    /// Follows the cluster's outages, for ever.
    pub async fn follow(&self) {
        loop {
            match self.look().await {
                Ok(since) => match self.wait(&since).await {
                    Ok(()) => continue,
                    Err(error) => tracing::debug!(%error, "outages cannot be watched"),
                },
                Err(error) => tracing::warn!(%error, "outages cannot be read"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Brings the node's connections to what the outages say now; the revision that was read.
    pub async fn look(&self) -> Result<String, kube::Error> {
        let list = self.outages().list(&ListParams::default()).await?;
        let since = list.metadata.resource_version.clone().unwrap_or_default();
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = nodes.get_opt(&self.node).await?;
        let by = node.as_ref().and_then(|node| {
            let mut outages = list.items.iter();
            outages.find(|it| concerns(it, node))
        });
        if self.connect(by.is_some()).await
            && let Some(node) = &node
        {
            self.tell(node, by).await;
        }
        Ok(since)
    }

    /// Says whether that was new.
    async fn connect(&self, is_cut: bool) -> bool {
        if let Some(seat) = self.seat.clone() {
            let connected = tokio::task::spawn_blocking(move || seat.connect(!is_cut)).await;
            if let Ok(Err(error)) = connected {
                tracing::warn!(%error, node = self.node, "a node's link cannot be switched");
            }
        }
        self.line.set(is_cut)
    }

    /// An event on the node: its own word does not come through, and its lease is missed later.
    async fn tell(&self, node: &Node, by: Option<&DynamicObject>) {
        let (severity, reason, message) = match by.map(ResourceExt::name_any) {
            Some(outage) => (
                "Warning",
                "NetworkUnavailable",
                format!("cut off by outage {outage}: its containers run on, and reach nobody"),
            ),
            None => (
                "Normal",
                "NetworkAvailable",
                "connected again, with the containers that ran on".to_owned(),
            ),
        };
        let now = format!("{:.0}", clock::now());
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": format!("{}.", self.node), "namespace": "default"},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Node", "name": self.node, "uid": node.metadata.uid,
            },
            "type": severity,
            "reason": reason,
            "message": message,
            "source": {"component": "lab", "host": self.node},
            "reportingComponent": "lab",
            "reportingInstance": self.node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        });
        let Ok(event) = serde_json::from_value::<Event>(event) else {
            return;
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), "default");
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::debug!(%error, "an event was not taken");
        }
    }

    /// Until an outage begins, changes or ends, or it is time to look again.
    async fn wait(&self, since: &str) -> Result<(), kube::Error> {
        let outages = self.outages();
        let parameters = WatchParams::default();
        let change = async {
            let mut events = outages.watch(&parameters, since).await?.boxed();
            while let Some(event) = events.try_next().await? {
                match event {
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
                    _ => return Ok(()),
                }
            }
            Ok(())
        };
        tokio::time::timeout(LOOK_AGAIN, change)
            .await
            .unwrap_or(Ok(()))
    }

    fn outages(&self) -> Api<DynamicObject> {
        let (group, version) = lab::API_VERSION.split_once('/').unwrap_or_default();
        let kind = GroupVersionKind::gvk(group, version, lab::OUTAGE);
        let resource = ApiResource::from_gvk_with_plural(&kind, "outages");
        Api::all_with(self.client.clone(), &resource)
    }
}

fn concerns(outage: &DynamicObject, node: &Node) -> bool {
    let spec = outage.data.get("spec").cloned().unwrap_or(Value::Null);
    let Ok(spec) = serde_json::from_value::<OutageSpec>(spec) else {
        return false;
    };
    let json = serde_json::to_value(node).unwrap_or_default();
    Object::from_json(resources::NODES, &json).is_ok_and(|node| spec.concerns(&node))
}
