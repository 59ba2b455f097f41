//! Hosting a cluster in this process: opens or makes it, runs it, serves it.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::apiserver::request::{ResourceTarget, Target, Verb};
use crate::apiserver::{Request, Response};
use crate::config::fleet::{self, Fleet};
use crate::k8s::lab;
use crate::logstore::Bounds;
use crate::plane::{SchedulerConfiguration, World};
use crate::stdx::clock;
use crate::store::Store;

use super::certificates::{self, Authority, CertificateError};
use super::driver::{Connector, Driver, DriverError, Driving};
use super::holder::{self, Holder};
use super::journal::{Journal, JournalError, Restored};
#[cfg(unix)]
use super::local;
use super::logs::Logs;
use super::nodes::Nodes;
use super::{files, identity, kubeconfig, listener};

const STORE: &str = "store.redb";
const LOGS: &str = "logs";

/// Where a cluster is kept and how it is served.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// The cluster's name, for people.
    pub cluster: String,
    /// The cluster's folder; `None` keeps nothing.
    pub folder: Option<PathBuf>,
    /// The command that hosts, for people who find the cluster in use.
    pub command: String,
    /// Where to serve TLS, if at all.
    pub listen: Option<SocketAddr>,
    pub seed: Seed,
    /// `None`: kube-scheduler's default.
    pub scheduler: Option<SchedulerConfiguration>,
    pub companion: Option<Companion>,
    /// How much of the containers' lines is kept.
    pub logs: Bounds,
}

/// What lives beside every host that is opened with it, and ends before the host does: the node of
/// this machine. It is dropped where it waits.
#[derive(Clone)]
pub struct Companion(Arc<Start>);

type Start = dyn Fn(&Host) -> BoxFuture<'static, ()> + Send + Sync;

impl Companion {
    pub fn new(start: impl Fn(&Host) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(start))
    }
}

impl std::fmt::Debug for Companion {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Companion")
    }
}

/// What a new cluster begins with; one that is there is left as it is.
#[derive(Clone, Debug)]
pub enum Seed {
    /// A whole fleet with an application on it. Read only when it is planted.
    Sample,
    Objects(Vec<Value>),
}

impl Seed {
    fn objects(&self) -> Cow<'_, [Value]> {
        match self {
            Self::Objects(objects) => Cow::Borrowed(objects),
            Self::Sample => {
                let mut objects = Fleet::standard().objects();
                let sample = fleet::sample().documents;
                objects.extend(sample.into_iter().map(|document| document.object));
                Cow::Owned(objects)
            }
        }
    }
}

/// A running cluster. Dropping it stops the cluster without waiting for it.
pub struct Host {
    options: HostOptions,
    driver: Driver,
    task: Driving,
    authority: Authority,
    address: Option<SocketAddr>,
    stop: CancellationToken,
    companion: Option<Beside>,
}

struct Beside {
    stop: CancellationToken,
    task: JoinHandle<Option<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(
        "the cluster's folder `{}` cannot be used: {reason}; choose another with --data, or see who owns it",
        path.display()
    )]
    Folder { path: PathBuf, reason: io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("reading the cluster's store `{}` failed; nothing was changed", path.display())]
    Unreadable { path: PathBuf },
    #[error("a new cluster cannot begin with {object}: {message}")]
    Seed { object: String, message: String },
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    #[error("cannot listen on {address}: {}", plain(reason))]
    Listen {
        address: SocketAddr,
        reason: io::Error,
    },
    #[error("the local endpoint in `{}` cannot be opened", path.display())]
    Local {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; choose another with --listen".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

impl HostError {
    /// Another process has the cluster open.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Journal(JournalError::Held { .. }))
    }
}

impl Host {
    /// Opens the cluster and serves it on all endpoints that the options name.
    pub async fn open(options: HostOptions) -> Result<Self, HostError> {
        // The port first: nothing has been touched when it turns out to be taken.
        let tcp = match options.listen {
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .map_err(|reason| HostError::Listen { address, reason })?,
            ),
            None => None,
        };
        let (mut world, journal) = open_world(&options).await?;
        let authority = match &options.folder {
            Some(folder) => Authority::open(folder, clock::now())?,
            None => Authority::in_memory(clock::now())?,
        };
        let token_key = certificates::token_key(options.folder.as_deref())?;
        world.set_token_key(Arc::new(token_key));
        publish_authority(&mut world, &authority)?;
        let stop = CancellationToken::new();
        let (driver, task) = Driver::start(world, journal, stop.clone());
        if let Some(folder) = &options.folder {
            driver.logs().place(folder.join(LOGS), options.logs);
        }
        let mut host = Self {
            options,
            driver,
            task,
            authority,
            address: None,
            stop,
            companion: None,
        };
        if let Some(tcp) = tcp {
            host.serve_tls(tcp)?;
        }
        host.serve_local()?;
        if let Some(companion) = &host.options.companion {
            let life = (companion.0)(&host);
            let stop = host.stop.child_token();
            let task = tokio::spawn(stop.clone().run_until_cancelled_owned(life));
            host.companion = Some(Beside { stop, task });
        }
        Ok(host)
    }

    fn serve_tls(&mut self, tcp: TcpListener) -> Result<(), HostError> {
        let address = tcp.local_addr().map_err(|source| HostError::Listen {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            reason: source,
        })?;
        let host_name = host_name();
        let config = self
            .authority
            .server(address.ip(), host_name.as_deref(), clock::now())?;
        tokio::spawn(listener::serve_tls(tcp, config, self.driver.clone()));
        self.address = Some(address);
        Ok(())
    }

    #[cfg(unix)]
    fn serve_local(&self) -> Result<(), HostError> {
        let Some(folder) = &self.options.folder else {
            return Ok(());
        };
        let local = local::bind(folder).map_err(|source| HostError::Local {
            path: folder.clone(),
            source,
        })?;
        tokio::spawn(local::serve(local, self.driver.clone()));
        let holder = Holder {
            pid: std::process::id(),
            command: self.options.command.clone(),
            server: self.server_url(),
        };
        holder::write(folder, &holder);
        Ok(())
    }

    #[cfg(not(unix))]
    fn serve_local(&self) -> Result<(), HostError> {
        Ok(())
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.options.cluster
    }

    /// The cluster's folder; `None` where nothing is kept.
    pub fn folder(&self) -> Option<&Path> {
        self.options.folder.as_deref()
    }

    /// Where nodes of this process are made known.
    pub fn nodes(&self) -> &Nodes {
        self.driver.nodes()
    }

    /// The log store.
    pub fn logs(&self) -> &Logs {
        self.driver.logs()
    }

    /// How much of the log store is kept.
    pub fn log_bounds(&self) -> Bounds {
        self.options.logs
    }

    /// Opens connections to the cluster inside this process.
    pub fn connector(&self) -> Connector {
        self.driver.connector()
    }

    /// Where TLS is served. An unspecified address is reached by loopback.
    pub fn address(&self) -> Option<SocketAddr> {
        let mut address = self.address?;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(address)
    }

    /// `https://127.0.0.1:6443`, where TLS is served.
    pub fn server_url(&self) -> Option<String> {
        Some(format!("https://{}", self.address()?))
    }

    /// A kubeconfig for the administrator, with a certificate made for it; needs TLS.
    pub fn kubeconfig(&self) -> Result<Option<Value>, HostError> {
        let Some(server) = self.server_url() else {
            return Ok(None);
        };
        let credentials = self
            .authority
            .client("admin", &[identity::MASTERS], clock::now())?;
        let cluster = &self.options.cluster;
        Ok(Some(kubeconfig::document(
            cluster,
            &server,
            self.authority.certificate_pem(),
            &credentials,
        )))
    }

    /// Whether it still answers.
    pub fn is_running(&self) -> bool {
        !self.stop.is_cancelled() && !self.task.is_finished()
    }

    /// Cancelled when the cluster has stopped, by itself or by [`Host::stop`].
    pub fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// Stops serving, answers what was taken, closes the store.
    pub async fn stop(mut self) -> Result<(), DriverError> {
        if let Some(Beside { stop, task }) = self.companion.take() {
            stop.cancel();
            let _ended = task.await;
        }
        self.driver.logs().close();
        self.stop.cancel();
        let result = (&mut self.task).await;
        if let Some(folder) = &self.options.folder {
            leave(folder);
        }
        result.map_err(|error| DriverError::Bug(error.to_string()))?
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(unix)]
fn leave(folder: &Path) {
    local::remove(folder);
    holder::remove(folder);
}

#[cfg(not(unix))]
fn leave(folder: &Path) {
    holder::remove(folder);
}

fn host_name() -> Option<String> {
    #[cfg(unix)]
    {
        let name = rustix::system::uname();
        name.nodename().to_str().ok().map(ToOwned::to_owned)
    }
    #[cfg(not(unix))]
    None
}

/// Different at each start, so that no uid is given out twice.
fn seed_of_this_start() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

async fn open_world(options: &HostOptions) -> Result<(World, Option<Journal>), HostError> {
    let Some(folder) = &options.folder else {
        let mut world = World::new(seed_of_this_start(), before_planting());
        plant(&mut world, &options.seed)?;
        configure(&mut world, options);
        return Ok((world, None));
    };
    files::make_private_folder(folder).map_err(|reason| HostError::Folder {
        path: folder.clone(),
        reason,
    })?;
    let path = folder.join(STORE);
    let reading = path.clone();
    let opened = tokio::task::spawn_blocking(move || Journal::open(&reading)).await;
    // The store's library asserts on some kinds of damage.
    let (journal, restored) = opened.map_err(|_panic| HostError::Unreadable { path })??;
    let mut world = if restored.objects.is_empty() {
        let mut world = World::new(seed_of_this_start(), before_planting());
        plant(&mut world, &options.seed)?;
        world
    } else {
        let Restored {
            objects,
            revision,
            history,
        } = restored;
        let store = Store::resume(objects, revision, history);
        World::resume(store, seed_of_this_start(), clock::now())
    };
    configure(&mut world, options);
    Ok((world, Some(journal)))
}

fn configure(world: &mut World, options: &HostOptions) {
    if let Some(scheduler) = &options.scheduler {
        world.set_scheduler(scheduler.clone(), seed_of_this_start());
    }
}

/// Puts the authority's certificate where controllers copy it from into every namespace; nothing
/// is written when it is there already.
fn publish_authority(world: &mut World, authority: &Authority) -> Result<(), HostError> {
    let namespace = "kube-system";
    let name = "kube-root-ca.crt";
    let bundle = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"ca.crt": authority.certificate_pem()},
    });
    let target = ResourceTarget {
        namespace: namespace.into(),
        name: name.into(),
        ..Target::resource("", "v1", "configmaps")
    };
    let mut request = Request::internal(Verb::Patch, target, identity::administrator())
        .with_body("application/apply-patch+yaml", bundle.to_string());
    "bayplan".clone_into(&mut request.options.field_manager);
    request.options.force = true;
    let response = world.handle(&request, clock::now());
    if response.is_success() {
        return Ok(());
    }
    Err(HostError::Seed {
        object: format!("ConfigMap `{namespace}/{name}`"),
        message: message_of(&response),
    })
}

/// Machines of a new cluster register within two seconds; they are given this long before the rest
/// is planted.
const BOOTED_BEFORE: SignedDuration = SignedDuration::from_secs(5);

fn before_planting() -> Timestamp {
    let now = clock::now();
    now.checked_sub(BOOTED_BEFORE).unwrap_or(now)
}

/// Creates the objects that a new cluster begins with. They become durable together, with the
/// first round: a new cluster has all of them or none.
///
/// The machines have been up for a moment when the rest comes: where workloads go must not depend
/// on how fast this computer is.
fn plant(world: &mut World, seed: &Seed) -> Result<(), HostError> {
    let objects = seed.objects();
    let is_machine = |object: &&Value| {
        let kind = object.get("kind").and_then(Value::as_str);
        matches!(kind, Some("Node" | lab::NODE_POOL))
    };
    let began = before_planting();
    for machine in objects.iter().filter(is_machine) {
        create(world, machine, began)?;
    }
    let now = clock::now();
    world.pass(began, now);
    for object in objects.iter().filter(|object| !is_machine(object)) {
        create(world, object, now)?;
    }
    Ok(())
}

fn create(world: &mut World, object: &Value, now: Timestamp) -> Result<(), HostError> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (group, version) = text("/apiVersion")
        .split_once('/')
        .unwrap_or(("", text("/apiVersion")));
    let name = format!("{} `{}`", text("/kind"), text("/metadata/name"));
    let refused = |message: String| HostError::Seed {
        object: name.clone(),
        message,
    };
    let published = world.published();
    let found = published.registry.by_kind(group, version, text("/kind"));
    let Some(resource_type) = found else {
        return Err(refused("its kind is not known".to_owned()));
    };
    let namespace = if resource_type.namespaced {
        let named = text("/metadata/namespace");
        if named.is_empty() { "default" } else { named }
    } else {
        ""
    };
    let target = ResourceTarget {
        group: group.into(),
        version: version.into(),
        plural: resource_type.plural.clone(),
        namespace: namespace.into(),
        ..ResourceTarget::default()
    };
    let request = Request::internal(Verb::Create, target, identity::administrator())
        .with_body("application/json", object.to_string());
    let response = world.handle(&request, now);
    if !response.is_success() {
        return Err(refused(message_of(&response)));
    }
    Ok(())
}

fn message_of(response: &Response) -> String {
    let status = response.value();
    let message = status.get("message").and_then(Value::as_str);
    message.unwrap_or("it was refused").to_owned()
}
