//! The life of one pod on this machine: a task that brings what runs to what is asked for.
//!
//! Level-triggered: each round looks at the pod's object and at what runs, takes the next steps
//! (sandbox, volumes, containers in the kubelet's order), tells the API server what is new, and
//! waits for a change of either. Which container is next and how long one waits are the rules of
//! [`crate::agent::order`]; phase and conditions those of [`crate::agent::status`].

pub mod claim;
pub mod environment;
mod instance;
mod ownership;
pub mod probe;
mod question;
mod stop;
pub mod volume;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod as PodObject;
use tokio::sync::{mpsc, watch};

use super::container::sandbox::{self, Sandbox, is_namespace};
use super::container::{Input, Order, bundle};
use super::image::Image;
use super::kubelet::Shared;
use crate::agent::order::back_off_after;
use crate::agent::pod::{Address, ContainerStatus, Pod, Running, State, Terminated, Waiting};
use crate::agent::status;
use crate::stdx::clock;
pub use instance::layers_of_containers;
use instance::{Instance, Stage};
use probe::{Probes, Verdict};
use question::Question;

/// Without news a pod is looked at this often: files say what a lost event did not.
const LOOK: Duration = Duration::from_secs(5);
/// A problem that is not the container's (a volume, the network) is tried again after this long.
const RETRY: SignedDuration = SignedDuration::from_secs(2);
/// A container that ran this long starts with a fresh back-off: twice the longest one.
const BACK_OFF_FORGOTTEN: SignedDuration = SignedDuration::from_mins(10);

/// What happens to a pod's containers meanwhile.
#[derive(Debug)]
pub enum News {
    /// A container's files changed.
    Container,
    Probe {
        container: String,
        attempt: u32,
        verdict: Verdict,
    },
}

/// One pod's task.
pub struct Worker {
    shared: Arc<Shared>,
    uid: String,
    wanted: watch::Receiver<Arc<PodObject>>,
    news: mpsc::UnboundedReceiver<News>,
    tell: mpsc::UnboundedSender<News>,
    /// By container name.
    instances: BTreeMap<String, Instance>,
    /// Found running by this life of the program, and their probes not yet resumed.
    adopted: Vec<String>,
    address: Option<IpAddr>,
    mounts: Option<volume::Volumes>,
    started_at: Timestamp,
    not_before: Timestamp,
    sent: Option<serde_json::Value>,
}

/// A refusal that concerns the whole pod, as the kubelet words it.
#[derive(Debug)]
pub struct Trouble {
    pub reason: &'static str,
    pub message: String,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, uid: String, wanted: watch::Receiver<Arc<PodObject>>) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        Self {
            shared,
            uid,
            wanted,
            news,
            tell,
            instances: BTreeMap::new(),
            adopted: Vec::new(),
            address: None,
            mounts: None,
            started_at: clock::now(),
            not_before: Timestamp::MIN,
            sent: None,
        }
    }

    /// Runs until the pod is gone.
    pub async fn run(mut self) {
        self.adopt();
        loop {
            let object = Arc::clone(&self.wanted.borrow_and_update());
            if object.metadata.deletion_timestamp.is_some() {
                self.stop(&object).await;
                return;
            }
            let wait = self.round(&object).await;
            tokio::select! {
                biased;
                changed = self.wanted.changed() => if changed.is_err() {
                    // The node ends, not the pod: the next one finds what runs.
                    return;
                },
                Some(news) = self.news.recv() => self.hear(news),
                () = tokio::time::sleep(wait) => {}
            }
            while let Ok(news) = self.news.try_recv() {
                self.hear(news);
            }
        }
    }

    /// Ends what an earlier life left of a pod that is gone.
    pub async fn run_down(mut self) {
        self.adopt();
        let object = Arc::clone(&self.wanted.borrow());
        self.stop_instances().await;
        self.forget(&object).await;
    }

    pub fn folder(&self) -> PathBuf {
        self.shared.pod_folder(&self.uid)
    }

    /// Finds again what an earlier life of this program left running.
    fn adopt(&mut self) {
        let folder = self.folder();
        self.address = fs::read_to_string(folder.join("address"))
            .ok()
            .and_then(|text| text.parse().ok());
        for instance in instance::find(&folder) {
            instance.watch(self.tell.clone());
            if instance.is_running() {
                self.adopted.push(instance.name.clone());
            }
            self.instances.insert(instance.name.clone(), instance);
        }
    }

    /// Asks again what an earlier life of this program asked; what it knew last is in the status.
    fn resume_probes(&mut self, object: &PodObject) {
        let Some(address) = self.address else {
            return;
        };
        if self.adopted.is_empty() {
            return;
        }
        let Some(mut pod) = Self::parse(object) else {
            return;
        };
        for name in std::mem::take(&mut self.adopted) {
            let Some(instance) = self.instances.get_mut(&name) else {
                continue;
            };
            let Some(container) = instance::container(object, &instance.name) else {
                continue;
            };
            let slot = (0..pod.spec.slots()).find(|slot| {
                let container = pod.spec.container(*slot);
                container.is_some_and(|it| it.name == instance.name)
            });
            let before = slot.and_then(|slot| pod.status.container_mut(slot));
            let probes = Probes::of(container, address);
            let shared = Arc::clone(&self.shared);
            instance.probe((None, probes), before.as_deref(), shared, self.tell.clone());
        }
    }

    fn hear(&mut self, news: News) {
        let News::Probe {
            container,
            attempt,
            verdict,
        } = news
        else {
            return;
        };
        let Some(instance) = self.instances.get_mut(&container) else {
            return;
        };
        if instance.attempt == attempt {
            instance.take(verdict);
        }
    }

    /// One look; says how long to wait for the next without news.
    async fn round(&mut self, object: &PodObject) -> Duration {
        for instance in self.instances.values_mut() {
            instance.look();
        }
        self.resume_probes(object);
        let Some(mut pod) = self.read(object) else {
            return LOOK;
        };
        if pod.status.is_finished() {
            return LOOK;
        }
        let now = clock::now();
        let mut wait = LOOK;
        if now >= self.not_before {
            match self.advance(object, &mut pod, now).await {
                Ok(next) => wait = next,
                Err(trouble) => {
                    self.shared
                        .warn(object, None, trouble.reason, &trouble.message)
                        .await;
                    self.not_before = now + RETRY;
                }
            }
        } else {
            wait = until(self.not_before, now);
        }
        self.kill_unhealthy(object).await;
        if let Some(mut pod) = self.read(object) {
            if pod.is_over() {
                self.stop_sidecars(object).await;
                pod = self.read(object).unwrap_or(pod);
            }
            self.report(object, pod).await;
        }
        wait
    }

    /// Takes the next steps towards what is asked for.
    async fn advance(
        &mut self,
        object: &PodObject,
        pod: &mut Pod,
        now: Timestamp,
    ) -> Result<Duration, Trouble> {
        self.make_sandbox(object).await?;
        if self.mounts.is_none() {
            let volumes = volume::Volumes::prepare(&self.shared, object, &self.folder()).await;
            self.mounts = Some(volumes.map_err(|message| Trouble {
                reason: "FailedMount",
                message,
            })?);
        }
        let mut wait = LOOK;
        for slot in pod.startable() {
            let Some(name) = pod.spec.container(slot).map(|it| it.name.to_string()) else {
                continue;
            };
            let at = self
                .instances
                .get(&name)
                .map_or(now, |it| it.may_start_at(now));
            if at > now {
                wait = wait.min(until(at, now));
                if let Some(instance) = self.instances.get_mut(&name) {
                    instance.hold_back();
                }
                continue;
            }
            self.start(object, &name).await;
            // A sidecar must be started before the next init container may.
            wait = wait.min(Duration::from_millis(20));
        }
        Ok(wait)
    }

    /// The pod's network and the files that every container sees.
    async fn make_sandbox(&mut self, object: &PodObject) -> Result<(), Trouble> {
        let spec = object.spec.clone().unwrap_or_default();
        let refused = |message: String| Trouble {
            reason: "FailedCreatePodSandBox",
            message: format!("Failed to create pod sandbox: {message}"),
        };
        let is_own = spec.host_network != Some(true);
        if is_own && self.address.is_some() && !is_namespace(&self.shared.namespace(&self.uid)) {
            self.lose_sandbox(object).await;
        }
        if let Some(address) = self.address {
            self.shared.open_ports(&self.uid, object, address);
            return Ok(());
        }
        let folder = self.folder();
        fs::create_dir_all(&folder).map_err(|error| refused(error.to_string()))?;
        let address = if is_own {
            let attached = self.shared.attach(&self.uid).await;
            attached.map_err(|error| refused(error.to_string()))?
        } else {
            self.shared.address()
        };
        volume::write_sandbox_files(&self.shared, object, address, &folder)
            .map_err(|error| refused(error.to_string()))?;
        fs::write(folder.join("address"), address.to_string())
            .map_err(|error| refused(error.to_string()))?;
        self.address = Some(address);
        self.shared.open_ports(&self.uid, object, address);
        Ok(())
    }

    /// The pod's network is gone, with a restart of the machine or by somebody's hand: it is made
    /// anew, with another address, and what still runs without it is started again.
    async fn lose_sandbox(&mut self, object: &PodObject) {
        let message = "Pod sandbox changed, it will be killed and re-created.";
        self.shared
            .pod_note(object, "SandboxChanged", message)
            .await;
        self.stop_instances().await;
        for instance in self.instances.values_mut() {
            instance.look();
        }
        self.shared.detach(&self.uid).await;
        let folder = self.folder();
        volume::unmount_all(&folder);
        sandbox::remove(&folder);
        self.address = None;
        self.mounts = None;
    }

    /// What its containers share beside their network; found again where it is there.
    async fn sandbox(&self, object: &PodObject) -> Result<Sandbox, Trouble> {
        let spec = object.spec.clone().unwrap_or_default();
        let (folder, hostname) = (self.folder(), volume::hostname(object));
        let network = self.shared.namespace(&self.uid);
        let made =
            tokio::task::spawn_blocking(move || sandbox::ensure(&folder, &spec, hostname, network));
        let made = made.await.unwrap_or_else(|panic| Err(panic.into()));
        made.map_err(|error| Trouble {
            reason: "RunContainerError",
            message: format!("Failed to create pod sandbox: {error}"),
        })
    }

    async fn start(&mut self, object: &PodObject, name: &str) {
        let attempt = self.instances.get(name).map_or(0, Instance::next_attempt);
        let before = self.instances.remove(name);
        let mut instance = Instance::new(name, attempt, before.as_ref(), &self.folder());
        if let Err(trouble) = self.prepare(object, &mut instance).await {
            let reason = trouble.reason;
            let event = if matches!(reason, "CreateContainerConfigError" | "RunContainerError") {
                format!("Error: {}", trouble.message)
            } else {
                trouble.message.clone()
            };
            self.shared.warn(object, Some(name), "Failed", &event).await;
            instance.refuse(reason, trouble.message, before.as_ref());
        }
        self.instances.insert(name.to_owned(), instance);
    }

    async fn prepare(&self, object: &PodObject, instance: &mut Instance) -> Result<(), Trouble> {
        let container = instance::container(object, &instance.name).ok_or_else(|| Trouble {
            reason: "CreateContainerConfigError",
            message: format!("the pod has no container \"{}\"", instance.name),
        })?;
        let image = self.shared.image(object, container).await?;
        instance.image = Some(image.clone());
        let environment = environment::of(&self.shared, object, container, &image, self.address)
            .await
            .map_err(|message| Trouble {
                reason: "CreateContainerConfigError",
                message,
            })?;
        let volumes = self.mounts.as_ref().ok_or_else(|| Trouble {
            reason: "CreateContainerConfigError",
            message: "volumes are not there yet".to_owned(),
        })?;
        let (mounts, termination_log) = volumes
            .mounts(container, &instance.folder_path())
            .map_err(|message| Trouble {
                reason: "CreateContainerConfigError",
                message,
            })?;
        let spec = object.spec.as_ref();
        let security = spec.and_then(|spec| spec.security_context.as_ref());
        let sandbox = self.sandbox(object).await?;
        let id = instance.id(&self.uid);
        let runtime = bundle::spec(&bundle::Parts {
            id: &id,
            pod: &described(object),
            container,
            image: &image.configuration,
            layers: &image.layers,
            rootfs: &instance.folder_path().join("rootfs"),
            environment: &environment,
            mounts: &mounts,
            sandbox: &sandbox,
            profiles: &self.shared.profiles_folder(),
            pod_security: security,
        })
        .map_err(|error| Trouble {
            // The runtime's refusals and the kubelet's own have different names upstream.
            reason: match error {
                bundle::BundleError::Seccomp(_) => "CreateContainerError",
                _ => "CreateContainerConfigError",
            },
            message: error.to_string(),
        })?;
        self.shared
            .note(object, &instance.name, "Created", "Container created")
            .await;
        let order = Order {
            id,
            layers: image.layers.clone(),
            log: instance.log(&self.folder()),
            state: self.shared.state_folder(),
            termination_log,
            input: match (container.stdin, container.stdin_once) {
                (Some(true), Some(true)) => Input::Once,
                (Some(true), _) => Input::Open,
                _ => Input::None,
            },
            terminal: container.tty == Some(true),
            stop_signal: stop_signal(&image),
            falls_back_to_log: container.termination_message_policy.as_deref()
                == Some("FallbackToLogsOnError"),
        };
        instance
            .spawn(&runtime, order)
            .await
            .map_err(|error| Trouble {
                reason: "RunContainerError",
                message: error.to_string(),
            })?;
        instance.watch(self.tell.clone());
        self.shared
            .note(object, &instance.name, "Started", "Container started")
            .await;
        if let Some(address) = self.address {
            let hook = container.lifecycle.as_ref();
            let hook = hook.and_then(|it| it.post_start.as_ref());
            let hook = hook.map(|hook| Question::of_hook(hook, container, address));
            let probes = Probes::of(container, address);
            let shared = Arc::clone(&self.shared);
            instance.probe((hook, probes), None, shared, self.tell.clone());
        }
        Ok(())
    }

    /// The pod as the agent's rules read it.
    fn parse(object: &PodObject) -> Option<Pod> {
        let mut pod: Pod = serde_json::from_value(serde_json::to_value(object).ok()?).ok()?;
        pod.align_statuses();
        Some(pod)
    }

    /// The same with the statuses of what really runs.
    fn read(&self, object: &PodObject) -> Option<Pod> {
        let mut pod = Self::parse(object)?;
        pod.status.start_time.get_or_insert(self.started_at);
        for slot in 0..pod.spec.slots() {
            let is_regular_init = pod.spec.is_init(slot)
                && pod.spec.container(slot).is_some_and(|it| !it.is_sidecar());
            let Some(status) = pod.status.container_mut(slot) else {
                continue;
            };
            if let Some(instance) = self.instances.get(status.name.as_str()) {
                show(instance, status, is_regular_init);
            } else {
                lose(status);
            }
        }
        Some(pod)
    }

    /// Writes the status where it is new.
    async fn report(&mut self, object: &PodObject, mut pod: Pod) {
        let now = clock::now();
        let host: IpAddr = self.shared.address();
        pod.status.host_ip = host.to_string().into();
        pod.status.host_ips = vec![Address {
            ip: pod.status.host_ip.clone(),
        }];
        if let Some(address) = self.address {
            pod.status.pod_ip = address.to_string().into();
            pod.status.pod_ips = vec![Address {
                ip: pod.status.pod_ip.clone(),
            }];
            let sandbox = status::plain("PodReadyToStartContainers", true);
            status::put(&mut pod.status.conditions, sandbox, now);
        }
        status::settle(&mut pod, object.metadata.deletion_timestamp.is_some(), now);
        let Ok(next) = serde_json::to_value(&pod.status) else {
            return;
        };
        if self.sent.as_ref() == Some(&next) {
            return;
        }
        if self.shared.patch_status(object, &next).await {
            self.sent = Some(next);
        }
    }
}

/// What the image wants to be stopped with.
fn stop_signal(image: &Image) -> Option<String> {
    let configuration = image.configuration.config().as_ref();
    configuration.and_then(|it| it.stop_signal().clone())
}

/// Source: `pkg/kubelet/util/format`.
fn described(pod: &PodObject) -> String {
    let metadata = &pod.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (name, namespace) = (text(&metadata.name), text(&metadata.namespace));
    format!("{name}_{namespace}({})", text(&metadata.uid))
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// A container that ran by the last that was said of it, and of which this machine knows nothing.
/// The words are the kubelet's (`convertStatusToAPIStatus`).
fn lose(status: &mut ContainerStatus) {
    if !status.state.is_running() {
        return;
    }
    status.started = false;
    status.ready = false;
    status.state = State::terminated(Terminated {
        exit_code: 137,
        reason: "ContainerStatusUnknown".into(),
        message: "The container could not be located when the pod was terminated".to_owned(),
        ..Terminated::default()
    });
}

/// What an instance makes of its container's status.
fn show(instance: &Instance, to: &mut ContainerStatus, is_regular_init: bool) {
    to.restart_count = instance.attempt;
    if let Some(image) = &instance.image {
        to.image = image.name.to_string().into();
        to.image_id = format!("{}@{}", image.name.repository(), image.digest);
    }
    to.last_state = instance
        .last
        .clone()
        .map_or_else(State::default, State::terminated);
    to.started = false;
    to.ready = false;
    match &instance.stage {
        Stage::Running(_) if !instance.is_hooked => {
            to.container_id = instance.container_id();
            to.state = State::waiting("ContainerCreating", String::new());
        }
        Stage::Creating => to.state = State::waiting("ContainerCreating", String::new()),
        Stage::Refused {
            reason, message, ..
        } => {
            to.state = State {
                waiting: Some(Waiting {
                    reason: (*reason).into(),
                    message: message.clone(),
                }),
                ..State::default()
            };
        }
        Stage::Running(started) => {
            to.container_id = instance.container_id();
            to.state = State {
                running: Some(Running {
                    started_at: whole(started.at),
                }),
                ..State::default()
            };
            to.started = instance.has_started;
            to.ready = instance.has_started && instance.is_ready && !is_regular_init;
        }
        Stage::Ended(end) => {
            to.container_id = instance.container_id();
            to.state = State::terminated(end.clone());
            to.ready = is_regular_init && end.exit_code == 0;
        }
        Stage::BackingOff { wait, .. } => {
            let message = format!(
                "back-off {}s restarting failed container={}",
                wait.as_secs(),
                instance.name
            );
            to.state = State::waiting("CrashLoopBackOff", message);
        }
    }
}

fn whole(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(at.as_second()).ok()
}

/// The back-off after an instance that ended, given how many did in a row.
fn back_off(in_row: u32, end: &Terminated) -> (u32, SignedDuration) {
    let ran = end.finished_at.zip(end.started_at);
    let ran_long = ran.is_some_and(|(to, from)| to.duration_since(from) >= BACK_OFF_FORGOTTEN);
    let in_row = if ran_long { 0 } else { in_row };
    (in_row, back_off_after(in_row))
}
