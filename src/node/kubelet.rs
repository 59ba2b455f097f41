//! This machine as a node: registered, alive, and given to the pods that are bound to it.
//!
//! A client of the cluster like any other. It says what the machine has, renews its lease, watches
//! the pods of its node and hands each to a [`Worker`]. What it finds on disk that no pod wants any
//! more is cleaned up.

mod images;
mod machine;
mod scans;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Event, Node, Pod as PodObject, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};

use super::container::cgroups;
use super::image::store::Store;
use super::image::{Image, ImageError, Name, own, registry};
use super::line::Line;
use super::network::{NAMESPACES, Network, NetworkError, Range, Seat};
use super::pod::claim::Claims;
use super::pod::{Trouble, Worker};
use super::policy::{self, Isolations};
use super::service::follow::Way;
use super::service::links::{self, Told};
use super::service::plan::{self, Ground, HostPorts};
use super::service::table::{Key, Table};
use super::service::{self, resolv_conf};
use crate::stdx::clock;

const LEASE_SECONDS: u64 = 10;
const STATUS_SECONDS: u64 = 60;
const RETRY: Duration = Duration::from_secs(1);
/// How long a container waits for the first list of services.
const SERVICES_PATIENCE: Duration = Duration::from_secs(5);

/// What the node is made with.
#[derive(Clone)]
pub struct Options {
    pub name: String,
    pub client: kube::Client,
    /// Where images are kept.
    pub images: PathBuf,
    /// What runs, and what it needs; found again by the next start.
    pub run: PathBuf,
    /// Where the API server listens on this machine, for `kubernetes.default`.
    pub api: Option<SocketAddr>,
    /// Whom this machine's user is to registries: those files that are there.
    pub auth_files: Vec<PathBuf>,
    /// Only pods that tolerate it come here: there are simulated machines for the others, whose
    /// images are not meant to be fetched.
    pub reserved: bool,
    /// What `client` goes over, and what else leaves the node.
    pub line: Line,
    pub among: Among,
}

/// A node and the others of this machine.
#[derive(Clone, Debug)]
pub struct Among {
    /// All of them, in order; one that is alone is its own only one.
    pub names: Vec<String>,
    pub index: usize,
    /// The namespace of the switch between them.
    pub underlay: PathBuf,
}

impl Among {
    /// Where the machine's own ports lead to this node: each has a loopback address of its own.
    fn loopback(&self) -> Ipv4Addr {
        let last = u8::try_from(self.index + 1).unwrap_or(u8::MAX);
        Ipv4Addr::new(127, 0, 0, last)
    }

    /// How many nodes share the machine.
    fn share(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX).max(1)
    }

    /// What there is to be joined to others; nothing for one that is alone.
    pub fn seat(&self, ranges: &[Range]) -> Option<Seat> {
        (self.names.len() > 1).then(|| Seat {
            underlay: self.underlay.clone(),
            index: u8::try_from(self.index).unwrap_or(u8::MAX),
            ranges: ranges.to_vec(),
        })
    }
}

/// Why this machine cannot be a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("containers need root: run as root, or without --local-node")]
    NotRoot,
    #[error("the folder `{}` cannot be used: {source}", path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Images(#[from] ImageError),
    #[error("the node cannot be registered: {0}")]
    Register(#[source] Box<kube::Error>),
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// What all pods of the node share.
pub struct Shared {
    options: Options,
    images: Store,
    network: Network,
    claims: Claims,
    address: IpAddr,
    /// Held while an address is chosen.
    addresses: Mutex<BTreeMap<String, IpAddr>>,
    services: watch::Receiver<Table>,
    host_ports: watch::Sender<HostPorts>,
}

/// Runs the node until it is dropped. Containers keep running then; the next start finds them.
/// `ranges` are those of all nodes of this machine, as they were registered.
pub async fn run(options: Options, ranges: Vec<Range>) -> Result<(), NodeError> {
    if !rustix::process::geteuid().is_root() {
        return Err(NodeError::NotRoot);
    }
    let among = options.among.clone();
    let range = ranges.get(among.index).copied().ok_or(NetworkError::Full)?;
    let seat = among.seat(&ranges);
    let is_cut = options.line.is_cut();
    fs::create_dir_all(&options.run).map_err(|source| NodeError::Folder {
        path: options.run.clone(),
        source,
    })?;
    let images = Store::open(&options.images)?;
    let address = machine::address();
    let folder = options.run.join(NAMESPACES);
    let opened = tokio::task::spawn_blocking(move || {
        cgroups::sweep(clock::now());
        let network = Network::open(&folder, range)?;
        if let Some(seat) = seat {
            network.join(&seat)?;
            seat.connect(!is_cut)?;
        }
        let (base, prefix) = service::RANGE;
        network.claim(base, prefix)?;
        let door = network.door()?;
        Ok::<_, NetworkError>((network, door))
    });
    let (network, door) = opened.await.map_err(|panic| NetworkError::Failed {
        what: "the network",
        reason: panic.to_string(),
    })??;
    let ground = Ground {
        node: options.name.as_str().into(),
        machine: address,
        pods: range,
        nodes: among
            .names
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        ranges,
        loopback: among.loopback(),
        api: options.api,
    };
    let line = options.line.clone();
    let (isolations, isolated) = watch::channel(Isolations::default());
    let policies = policy::follow::Follower {
        client: options.client.clone(),
        network: network.clone(),
        nodes: among.names.clone(),
        ranges: ground.ranges.clone(),
        isolations,
    };
    let client = options.client.clone();
    let (table, services) = watch::channel(Table::default());
    let (host_ports, asked_ports) = watch::channel(HostPorts::new());
    let claims = Claims::new(options.client.clone(), &options.run);
    let shared = Arc::new(Shared {
        addresses: Mutex::new(taken(&options.run)),
        options,
        images,
        network,
        claims: claims.clone(),
        address,
        services,
        host_ports,
    });
    tokio::join!(
        heartbeat(Arc::clone(&shared)),
        follow(&shared),
        Box::pin(service::follow::run(
            client,
            ground,
            Way {
                door,
                line,
                isolated
            },
            table,
            asked_ports
        )),
        Box::pin(policies.run(Arc::clone(&shared))),
        Box::pin(claims.reclaim()),
        Box::pin(scans::tell(&shared)),
        Box::pin(async {
            // The nodes of a machine share its images; whose containers use them is known anyway.
            if among.index == 0 {
                images::collect_images(&shared).await;
            }
        }),
    );
    Ok(())
}

/// Addresses that an earlier life gave away.
fn taken(run: &Path) -> BTreeMap<String, IpAddr> {
    let entries = fs::read_dir(run.join("pods"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("address")).ok()?;
            Some((
                entry.file_name().to_string_lossy().into_owned(),
                text.parse().ok()?,
            ))
        })
        .collect()
}

/// Registers the node, with a range of pod addresses that no other node has: one node after the
/// other, and over a client that no outage cuts off.
pub async fn register(client: &kube::Client, options: &Options) -> Result<Range, NodeError> {
    let failed = |error| NodeError::Register(Box::new(error));
    let nodes: Api<Node> = Api::all(client.clone());
    let others = nodes.list(&ListParams::default()).await.map_err(failed)?;
    let taken: Vec<String> = others
        .items
        .iter()
        .filter_map(|node| node.spec.as_ref()?.pod_cidr.clone())
        .collect();
    let own = |node: &&Node| node.metadata.name.as_deref() == Some(&options.name);
    let known = others.items.iter().find(own);
    let known = known.and_then(|node| node.spec.as_ref()?.pod_cidr.clone());
    let range = known.or_else(|| machine::ranges().find(|range| !taken.contains(range)));
    let range = range.ok_or(NetworkError::Full)?;
    let is_alone = options.among.share() == 1;
    let object = machine::node(&options.name, &range, options.reserved, is_alone);
    let object: Node = serde_json::from_value(object).unwrap_or_default();
    match nodes.create(&PostParams::default(), &object).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(Range::parse(&range)?)
}

async fn heartbeat(shared: Arc<Shared>) {
    let line = &shared.options.line;
    let mut lease = tokio::time::interval(Duration::from_secs(LEASE_SECONDS));
    let mut status = tokio::time::interval(Duration::from_secs(STATUS_SECONDS));
    let mut was_cut = false;
    loop {
        let is_cut = line.is_cut();
        if std::mem::replace(&mut was_cut, is_cut) && !is_cut {
            // A node that is reached again says so at once.
            lease.reset_immediately();
            status.reset_immediately();
        }
        tokio::select! {
            biased;
            () = line.becomes(!is_cut) => {}
            _ = lease.tick() => renew(&shared.options).await,
            _ = status.tick() => beat(&shared.options, shared.address).await,
        }
    }
}

/// The node's lease, made or renewed.
async fn renew(options: &Options) {
    use k8s_openapi::api::coordination::v1::Lease;
    let leases: Api<Lease> = Api::namespaced(options.client.clone(), "kube-node-lease");
    let lease = machine::lease(&options.name, clock::now());
    let patched = leases
        .patch(
            &options.name,
            &PatchParams::default(),
            &Patch::Merge(&lease),
        )
        .await;
    if let Err(kube::Error::Api(status)) = &patched
        && status.code == 404
    {
        let object: Lease = serde_json::from_value(lease).unwrap_or_default();
        match leases.create(&PostParams::default(), &object).await {
            // The cluster made it meanwhile; it is renewed next time.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            created => told(created.map(drop), "the node's lease cannot be made"),
        }
        return;
    }
    told(patched.map(drop), "the node's lease cannot be renewed");
}

async fn beat(options: &Options, address: IpAddr) {
    let nodes: Api<Node> = Api::all(options.client.clone());
    let share = options.among.share();
    let status = machine::status(&options.name, address, share, clock::now());
    let patched = nodes
        .patch_status(
            &options.name,
            &PatchParams::default(),
            &Patch::Strategic(&status),
        )
        .await;
    told(patched.map(drop), "the node's status cannot be written");
}

fn told(result: Result<(), kube::Error>, what: &str) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what}");
    }
}

type Desks = BTreeMap<String, watch::Sender<Arc<PodObject>>>;

/// Lists the node's pods, then follows what happens to them, for ever.
async fn follow(shared: &Arc<Shared>) {
    let pods: Api<PodObject> = Api::all(shared.options.client.clone());
    let fields = format!("spec.nodeName={}", shared.options.name);
    let mut desks = Desks::default();
    loop {
        if let Err(error) = follow_once(shared, &pods, &fields, &mut desks).await {
            tracing::warn!(%error, "the pods of this node cannot be followed");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_once(
    shared: &Arc<Shared>,
    pods: &Api<PodObject>,
    fields: &str,
    desks: &mut Desks,
) -> Result<(), kube::Error> {
    let list = pods.list(&ListParams::default().fields(fields)).await?;
    let here: Vec<String> = list
        .items
        .iter()
        .filter_map(|pod| pod.metadata.uid.clone())
        .collect();
    let gone: Vec<String> = desks
        .keys()
        .filter(|uid| !here.contains(uid))
        .cloned()
        .collect();
    for uid in gone {
        take_leave(desks, &uid);
    }
    shared.sweep(&here);
    for pod in list.items {
        give(shared, desks, pod);
    }
    let since = list.metadata.resource_version.unwrap_or_default();
    let parameters = WatchParams::default().fields(fields);
    let mut events = pods.watch(&parameters, &since).await?.boxed();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => give(shared, desks, pod),
            WatchEvent::Deleted(pod) => {
                take_leave(desks, &pod.metadata.uid.unwrap_or_default());
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
    }
    Ok(())
}

/// Tells a worker that its pod is gone. One that hears nothing more leaves everything running.
fn take_leave(desks: &mut Desks, uid: &str) {
    let Some(desk) = desks.remove(uid) else {
        return;
    };
    desk.send_modify(|pod| {
        let deleted = &mut Arc::make_mut(pod).metadata.deletion_timestamp;
        deleted.get_or_insert_with(|| Time(clock::now()));
    });
}

/// Hands a pod to its worker, with a new one where there is none.
fn give(shared: &Arc<Shared>, desks: &mut Desks, pod: PodObject) {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let pod = Arc::new(pod);
    if let Some(desk) = desks.get(&uid)
        && desk.send(Arc::clone(&pod)).is_ok()
    {
        return;
    }
    let (desk, wanted) = watch::channel(pod);
    desks.insert(uid.clone(), desk);
    tokio::spawn(Worker::new(Arc::clone(shared), uid, wanted).run());
}

impl Shared {
    pub fn pod_folder(&self, uid: &str) -> PathBuf {
        self.options.run.join("pods").join(uid)
    }

    pub fn state_folder(&self) -> PathBuf {
        self.options.run.join("runtime")
    }

    /// Where the machine's own seccomp profiles are looked for (`Localhost`).
    pub fn profiles_folder(&self) -> PathBuf {
        self.options.run.join("seccomp")
    }

    /// The machine's own address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The addresses of the pods that have networks of their own, by uid.
    pub async fn given(&self) -> BTreeMap<String, IpAddr> {
        self.addresses.lock().await.clone()
    }

    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    pub fn namespace(&self, uid: &str) -> PathBuf {
        self.network.pod(uid)
    }

    /// Gives a pod its address and its network.
    pub async fn attach(&self, uid: &str) -> Result<IpAddr, NetworkError> {
        let mut addresses = self.addresses.lock().await;
        let given: Vec<IpAddr> = addresses.values().copied().collect();
        let address: Ipv4Addr = self
            .network
            .range()
            .free(&given)
            .ok_or(NetworkError::Full)?;
        let (network, pod) = (self.network.clone(), uid.to_owned());
        tokio::task::spawn_blocking(move || network.attach(&pod, address))
            .await
            .map_err(|panic| NetworkError::Failed {
                what: "the network",
                reason: panic.to_string(),
            })??;
        addresses.insert(uid.to_owned(), IpAddr::V4(address));
        Ok(IpAddr::V4(address))
    }

    pub async fn detach(&self, uid: &str) {
        if let Err(error) = self.network.detach(uid) {
            tracing::warn!(%error, "a pod's network cannot be taken down");
        }
        self.addresses.lock().await.remove(uid);
        self.host_ports
            .send_if_modified(|all| all.remove(uid).is_some());
    }

    /// Opens the ports of the machine that a pod asks for, until it is detached.
    pub fn open_ports(&self, uid: &str, pod: &PodObject, address: IpAddr) {
        let loopback = self.options.among.loopback();
        let ports = plan::host_ports(pod, address, loopback);
        self.host_ports.send_if_modified(|all| {
            let is_new = !ports.is_empty() && all.get(uid) != Some(&ports);
            if is_new {
                all.insert(uid.to_owned(), ports);
            }
            is_new
        });
    }

    /// The variables that tell a pod of services. Services must have been read once.
    pub async fn service_variables(&self, pod: &PodObject) -> BTreeMap<String, String> {
        let mut services = self.services.clone();
        let known =
            services.wait_for(|table| table.service(&Key::new("default", "kubernetes")).is_some());
        let _without_them = tokio::time::timeout(SERVICES_PATIENCE, known).await;
        let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links);
        let told = match links {
            Some(false) => Told::Api,
            _ => Told::Namespace,
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let table = self.services.borrow().clone();
        links::variables(&table, namespace, told)
    }

    pub async fn connect(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        self.network.connect(to).await
    }

    /// The image of a container, pulled if its policy says so.
    pub async fn image(&self, pod: &PodObject, container: &Container) -> Result<Image, Trouble> {
        let text = container.image.as_deref().unwrap_or_default();
        let name = Name::parse(text).map_err(|error| Trouble {
            reason: "InvalidImageName",
            message: format!("Failed to apply default image tag \"{text}\": {error}"),
        })?;
        let (store, wanted) = (self.images.clone(), name.clone());
        let found = registry::blocking(move || {
            if own::is_own(&wanted) {
                return own::ensure(&store, &wanted);
            }
            store.find(&wanted)
        });
        let found = found.await;
        let policy = container
            .image_pull_policy
            .as_deref()
            .unwrap_or("IfNotPresent");
        match (found, policy) {
            (Ok(image), "Never" | "IfNotPresent") => {
                let message = format!("Container image \"{text}\" already present on machine");
                self.note(pod, &container.name, "Pulled", &message).await;
                return Ok(image);
            }
            (Err(error), _) if own::is_own(&name) => {
                return Err(Trouble {
                    reason: "ErrImagePull",
                    message: error.to_string(),
                });
            }
            (Err(_), "Never") => {
                return Err(Trouble {
                    reason: "ErrImageNeverPull",
                    message: format!(
                        "Container image \"{text}\" is not present with pull policy of Never"
                    ),
                });
            }
            _ => {}
        }
        self.note(
            pod,
            &container.name,
            "Pulling",
            &format!("Pulling image \"{text}\""),
        )
        .await;
        let began = clock::now();
        let options = registry::Options {
            keyring: self.keyring(pod).await,
            ..registry::Options::default()
        };
        let pulled = registry::pull(&self.images, &name, &options).await;
        let image = pulled.map_err(|error| Trouble {
            reason: "ErrImagePull",
            message: error.to_string(),
        })?;
        let took = clock::now().duration_since(began);
        let message = format!(
            "Successfully pulled image \"{text}\" in {}ms. Image size: {} bytes.",
            took.as_millis(),
            image.bytes
        );
        self.note(pod, &container.name, "Pulled", &message).await;
        Ok(image)
    }

    /// What a pod's `/etc/resolv.conf` says.
    pub fn resolver(&self, pod: &PodObject) -> String {
        let machine = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let spec = pod.spec.clone().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        resolv_conf::text(&spec, namespace, &machine)
    }

    pub async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        optional: Option<bool>,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.options.client.clone(), namespace);
        match api.get_opt(name).await {
            Ok(Some(map)) => {
                let binary = map
                    .binary_data
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(key, bytes)| (key, bytes.0));
                let text = map
                    .data
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(key, text)| (key, text.into_bytes()));
                Ok(text.chain(binary).collect())
            }
            Ok(None) if optional == Some(true) => Ok(BTreeMap::new()),
            Ok(None) => Err(format!("configmap \"{name}\" not found")),
            Err(error) => Err(error.to_string()),
        }
    }

    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
        optional: Option<bool>,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let api: Api<Secret> = Api::namespaced(self.options.client.clone(), namespace);
        match api.get_opt(name).await {
            Ok(Some(secret)) => Ok(secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, bytes)| (key, bytes.0))
                .collect()),
            Ok(None) if optional == Some(true) => Ok(BTreeMap::new()),
            Ok(None) => Err(format!("secret \"{name}\" not found")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A token of the pod's service account.
    pub async fn token(
        &self,
        pod: &PodObject,
        audience: Option<&str>,
        seconds: Option<i64>,
    ) -> Result<String, String> {
        let account = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.clone());
        let account = account.unwrap_or_else(|| "default".to_owned());
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let mut request = TokenRequest::default();
        let spec = request.spec.get_or_insert_default();
        spec.audiences = audience.map(|audience| vec![audience.to_owned()]);
        spec.expiration_seconds = seconds;
        let api: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(self.options.client.clone(), namespace);
        let made = api
            .create_token_request(&account, &PostParams::default(), &request)
            .await;
        let made = made.map_err(|error| error.to_string())?;
        made.status
            .and_then(|status| status.token)
            .ok_or_else(|| "the server gave no token".to_owned())
    }

    /// Writes the part of a pod's status that is the node's; says whether it was taken.
    pub async fn patch_status(&self, pod: &PodObject, status: &Value) -> bool {
        let metadata = &pod.metadata;
        let api: Api<PodObject> = Api::namespaced(
            self.options.client.clone(),
            metadata.namespace.as_deref().unwrap_or_default(),
        );
        let patch = json!({"metadata": {"uid": metadata.uid}, "status": status});
        let name = metadata.name.as_deref().unwrap_or_default();
        let patched = api
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        if let Err(error) = &patched {
            tracing::debug!(%error, pod = name, "a pod's status was not taken");
        }
        patched.is_ok()
    }

    /// The last word on a pod: its containers are gone.
    pub async fn delete(&self, pod: &PodObject) {
        let metadata = &pod.metadata;
        let api: Api<PodObject> = Api::namespaced(
            self.options.client.clone(),
            metadata.namespace.as_deref().unwrap_or_default(),
        );
        let mut parameters = DeleteParams::default().grace_period(0);
        parameters.preconditions = Some(kube::api::Preconditions {
            uid: metadata.uid.clone(),
            resource_version: None,
        });
        let deleted = api
            .delete(metadata.name.as_deref().unwrap_or_default(), &parameters)
            .await;
        match deleted {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            other => told(other.map(drop), "a stopped pod cannot be removed"),
        }
    }

    pub async fn note(&self, pod: &PodObject, container: &str, reason: &str, message: &str) {
        self.event(pod, Some(container), "Normal", reason, message)
            .await;
    }

    /// The same of the pod as a whole.
    pub async fn pod_note(&self, pod: &PodObject, reason: &str, message: &str) {
        self.event(pod, None, "Normal", reason, message).await;
    }

    pub async fn warn(
        &self,
        pod: &PodObject,
        container: Option<&str>,
        reason: &str,
        message: &str,
    ) {
        self.event(pod, container, "Warning", reason, message).await;
    }

    async fn event(
        &self,
        pod: &PodObject,
        container: Option<&str>,
        severity: &str,
        reason: &str,
        message: &str,
    ) {
        let metadata = &pod.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let now = clock::now();
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "generateName": format!("{}.", metadata.name.as_deref().unwrap_or_default()),
                "namespace": namespace,
            },
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "namespace": namespace,
                "name": metadata.name, "uid": metadata.uid,
                "fieldPath": container.map(|name| format!("spec.containers{{{name}}}")),
            },
            "type": severity,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.options.name},
            "reportingComponent": "kubelet",
            "reportingInstance": self.options.name,
            "firstTimestamp": seconds(now),
            "lastTimestamp": seconds(now),
            "count": 1,
        });
        let Ok(event) = serde_json::from_value::<Event>(event) else {
            return;
        };
        let api: Api<Event> = Api::namespaced(self.options.client.clone(), namespace);
        told(
            api.create(&PostParams::default(), &event).await.map(drop),
            "an event was not taken",
        );
    }

    /// Ends what runs for pods that are not here any more.
    fn sweep(self: &Arc<Self>, here: &[String]) {
        let entries = fs::read_dir(self.options.run.join("pods"))
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let uid = entry.file_name().to_string_lossy().into_owned();
            if here.contains(&uid) {
                continue;
            }
            // A worker whose pod is gone before it looks stops what it adopts and ends.
            let mut pod = PodObject::default();
            pod.metadata.uid = Some(uid.clone());
            pod.metadata.deletion_grace_period_seconds = Some(0);
            let (desk, wanted) = watch::channel(Arc::new(pod));
            drop(desk);
            tokio::spawn(Worker::new(Arc::clone(self), uid, wanted).run_down());
        }
    }
}

fn seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}
