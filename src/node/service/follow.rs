//! Follows the cluster's services, and keeps sockets and names at what they say.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::Resource;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::name_server::{self, Desk};
use super::plan::{self, Ground, HostPorts};
use super::proxy::Proxy;
use super::table::{Key, Table};
use crate::node::line::Line;
use crate::node::network::Door;
use crate::node::policy::Isolations;
use crate::stdx::clock;

const RETRY: Duration = Duration::from_secs(1);
/// Changes come in bursts; what they say together is done at once.
const BURST: Duration = Duration::from_millis(20);
const PAGE: u32 = 500;
/// Changes that wait to be read; a watch waits behind them.
const CHANGES_MAX: usize = 1_024;
const ASKED_MAX: usize = 64;

/// What a watch says.
enum News<K> {
    /// Everything; what is not in it is gone.
    All(Vec<K>),
    Is(Box<K>),
    Gone(Box<K>),
}

enum Change {
    Service(News<Service>),
    Slice(News<EndpointSlice>),
}

/// How the node's services are reached, and by whom.
pub struct Way {
    pub door: Door,
    pub line: Line,
    pub isolated: watch::Receiver<Isolations>,
}

/// Serves addresses and names until it is dropped.
pub async fn run(
    client: kube::Client,
    ground: Ground,
    way: Way,
    table: watch::Sender<Table>,
    host_ports: watch::Receiver<HostPorts>,
) {
    let Way {
        door,
        line,
        isolated,
    } = way;
    let (changes, changed) = mpsc::channel(CHANGES_MAX);
    let (asked, asks) = mpsc::channel(ASKED_MAX);
    let desk = Desk {
        table: table.subscribe(),
        ground: ground.clone(),
        asked,
    };
    let names = match name_server::open(&door, desk).await {
        Ok(server) => Some(server),
        Err(error) => {
            tracing::error!("pods of this node have no names: {error}");
            None
        }
    };
    let mut proxy = Proxy::new(door, line, isolated);
    if let Err(error) = proxy.lead_out(&ground, table.subscribe()).await {
        tracing::warn!("pods of this node do not reach the outside: {error}");
    }
    let keeper = Keeper {
        client: &client,
        ground: &ground,
        proxy,
        table: &table,
        told: Told::default(),
    };
    tokio::join!(
        feed(&client, &changes, Change::Service),
        feed(&client, &changes, Change::Slice),
        keeper.run(changed, asks, host_ports),
    );
    drop(names);
}

/// Keeps the table, and what follows from it.
struct Keeper<'a> {
    client: &'a kube::Client,
    ground: &'a Ground,
    proxy: Proxy,
    table: &'a watch::Sender<Table>,
    told: Told,
}

impl Keeper<'_> {
    async fn run(
        mut self,
        mut changed: mpsc::Receiver<Change>,
        mut asks: mpsc::Receiver<Key>,
        mut host_ports: watch::Receiver<HostPorts>,
    ) {
        loop {
            tokio::select! {
                biased;
                Some(change) = changed.recv() => {
                    self.table.send_modify(|table| take(table, change));
                    tokio::time::sleep(BURST).await;
                    while let Ok(change) = changed.try_recv() {
                        self.table.send_modify(|table| take(table, change));
                    }
                    let ports = host_ports.borrow().clone();
                    self.follow(&ports).await;
                }
                Ok(()) = host_ports.changed() => {
                    let ports = host_ports.borrow_and_update().clone();
                    self.follow(&ports).await;
                }
                Some(key) = asks.recv() => self.asked(key).await,
                else => return,
            }
        }
    }

    /// Brings the sockets to what the table and the pods say.
    async fn follow(&mut self, host_ports: &HostPorts) {
        let table = self.table.borrow().clone();
        let mut plan = plan::plan(&table, self.ground);
        plan.extend(host_ports.values().flatten().cloned());
        for (listen, target, error) in self.proxy.follow(plan).await {
            let Key { namespace, name } = &target.owner;
            if self.told.sockets.insert(listen) {
                tracing::warn!("{namespace}/{name} is not served at {}: {error}", listen.at);
            }
        }
        let is_out_of_reach = |key: &Key| plan::is_out_of_reach(&table, self.ground, key);
        self.told.reaches.retain(is_out_of_reach);
    }

    /// A pod asked for a service by name.
    async fn asked(&mut self, key: Key) {
        let table = self.table.borrow().clone();
        let is_new = plan::is_out_of_reach(&table, self.ground, &key)
            && self.told.reaches.insert(key.clone());
        if is_new {
            warn(self.client, self.ground, &table, &key).await;
        }
    }
}

/// What has been said once.
#[derive(Default)]
struct Told {
    sockets: BTreeSet<plan::Listen>,
    reaches: BTreeSet<Key>,
}

fn take(table: &mut Table, change: Change) {
    match change {
        Change::Service(News::All(services)) => {
            table.forget_services();
            for service in &services {
                table.put_service(service);
            }
        }
        Change::Service(News::Is(service)) => table.put_service(&service),
        Change::Service(News::Gone(service)) => table.remove_service(&service),
        Change::Slice(News::All(slices)) => {
            table.forget_slices();
            for slice in &slices {
                table.put_slice(slice);
            }
        }
        Change::Slice(News::Is(slice)) => table.put_slice(&slice),
        Change::Slice(News::Gone(slice)) => table.remove_slice(&slice),
    }
}

/// Says that a service which a pod here asked for leads nowhere that can be reached.
async fn warn(client: &kube::Client, ground: &Ground, table: &Table, key: &Key) {
    let Some(service) = table.service(key) else {
        return;
    };
    let now = format!("{:.0}", clock::now());
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": format!("{}.", key.name), "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Service", "namespace": key.namespace,
            "name": key.name, "uid": service.uid,
        },
        "type": "Warning",
        "reason": "EndpointsUnreachable",
        "message": format!(
            "a pod of node {} asked for this service, whose endpoints are all on simulated machines: \
             its connections are refused",
            ground.node
        ),
        "source": {"component": "kube-proxy", "host": ground.node},
        "reportingComponent": "kube-proxy",
        "reportingInstance": ground.node,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    });
    let Ok(event) = serde_json::from_value::<Event>(event) else {
        return;
    };
    let api: Api<Event> = Api::namespaced(client.clone(), &key.namespace);
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        tracing::debug!(%error, "an event was not taken");
    }
}

/// Lists and watches all objects of a kind, for ever.
async fn feed<K>(client: &kube::Client, changes: &mpsc::Sender<Change>, wrap: fn(News<K>) -> Change)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    loop {
        if let Err(error) = feed_once(&api, changes, wrap).await {
            let kind = K::kind(&());
            tracing::warn!(%error, %kind, "services cannot be followed");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn feed_once<K>(
    api: &Api<K>,
    changes: &mpsc::Sender<Change>,
    wrap: fn(News<K>) -> Change,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut page = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    let mut since = loop {
        let list = api.list(&page).await?;
        all.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break list.metadata.resource_version.unwrap_or_default(),
        }
    };
    let _nobody_reads = changes.send(wrap(News::All(all))).await;
    let parameters = WatchParams::default();
    loop {
        let mut events = api.watch(&parameters, &since).await?.boxed();
        while let Some(event) = events.try_next().await? {
            let news = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    News::Is(Box::new(object))
                }
                WatchEvent::Deleted(object) => News::Gone(Box::new(object)),
                WatchEvent::Bookmark(mark) => {
                    since = mark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            };
            if let News::Is(object) | News::Gone(object) = &news
                && let Some(version) = &object.meta().resource_version
            {
                since.clone_from(version);
            }
            let _nobody_reads = changes.send(wrap(news)).await;
        }
    }
}
