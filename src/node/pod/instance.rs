//! One run of one container: its folder, how far it is, and what its probes said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod as PodObject};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::probe::{self, Probes, Verdict};
use super::question::Question;
use super::{News, back_off};
use crate::agent::pod::{ContainerStatus, Terminated};
use crate::node::container::{Folder, Order, Started, cgroups, log_file, runs_folder};
use crate::node::image::Image;
use crate::node::kubelet::Shared;
use crate::stdx::clock;

/// How often the shim's files are looked for while a container starts.
const START_LOOK: Duration = Duration::from_millis(5);

/// One run of one container.
#[derive(Debug)]
pub struct Instance {
    pub name: String,
    /// How often it was started before: Kubernetes' restart count.
    pub attempt: u32,
    pub stage: Stage,
    /// How the run before ended.
    pub last: Option<Terminated>,
    pub image: Option<Image>,
    pub has_started: bool,
    pub is_ready: bool,
    /// Its `postStart` hook is done, if it has one; until then it counts as being created.
    pub is_hooked: bool,
    /// What a probe or its hook said that means its end.
    pub unhealthy: Option<Verdict>,
    /// Ends in a row that were soon.
    in_row: u32,
    /// When it may be started again after its end.
    restart_at: Timestamp,
    folder: Folder,
    probes: Option<JoinHandle<()>>,
}

/// How far a run is.
#[derive(Clone, Debug)]
pub enum Stage {
    Creating,
    /// It cannot be made; tried again later.
    Refused {
        reason: &'static str,
        message: String,
        retry_at: Timestamp,
    },
    Running(Started),
    Ended(Terminated),
    /// Ended, and held back for a while.
    BackingOff {
        until: Timestamp,
        wait: SignedDuration,
    },
}

impl Instance {
    pub fn new(name: &str, attempt: u32, before: Option<&Self>, pod: &Path) -> Self {
        let ended = before.and_then(|before| match &before.stage {
            Stage::Ended(end) => Some(end.clone()),
            _ => before.last.clone(),
        });
        Self {
            name: name.to_owned(),
            attempt,
            stage: Stage::Creating,
            last: ended,
            image: None,
            has_started: false,
            is_ready: false,
            is_hooked: true,
            unhealthy: None,
            in_row: before.map_or(0, |before| before.in_row),
            restart_at: Timestamp::MIN,
            folder: Folder::of(pod, name, attempt),
            probes: None,
        }
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn folder_path(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    pub fn id(&self, uid: &str) -> String {
        format!("{uid}-{}-{}", self.name, self.attempt)
    }

    pub fn container_id(&self) -> String {
        let order = self.folder.order();
        order.map_or_else(|_| String::new(), |order| format!("bayplan://{}", order.id))
    }

    pub fn log(&self, pod: &Path) -> PathBuf {
        log_file(pod, &self.name, self.attempt)
    }

    pub fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    /// A run that was refused is tried again as the same one.
    pub fn next_attempt(&self) -> u32 {
        match self.stage {
            Stage::Refused { .. } | Stage::Creating => self.attempt,
            _ => self.attempt + 1,
        }
    }

    pub fn may_start_at(&self, now: Timestamp) -> Timestamp {
        match &self.stage {
            Stage::Refused { retry_at, .. } => *retry_at,
            Stage::BackingOff { until, .. } => *until,
            // The shim has not spoken yet.
            Stage::Creating | Stage::Running(_) => now + SignedDuration::from_secs(1),
            Stage::Ended(_) => self.restart_at.max(now),
        }
    }

    pub fn refuse(&mut self, reason: &'static str, message: String, before: Option<&Self>) {
        let tries = before.map_or(0, |before| before.in_row) + 1;
        self.in_row = tries;
        let wait = crate::agent::order::back_off_after(tries);
        self.stage = Stage::Refused {
            reason,
            message,
            retry_at: clock::now() + wait,
        };
    }

    pub async fn spawn(&self, spec: &oci_spec::runtime::Spec, order: Order) -> io::Result<()> {
        let (folder, spec) = (self.folder.clone(), spec.clone());
        tokio::task::spawn_blocking(move || {
            folder.write(&order, &spec)?;
            folder.spawn()
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Tells of the container's start and end as they happen.
    pub fn watch(&self, tell: UnboundedSender<News>) {
        let folder = self.folder.clone();
        tokio::spawn(async move {
            while folder.started().is_none() && folder.exit().is_none() {
                tokio::time::sleep(START_LOOK).await;
                if tell.is_closed() {
                    return;
                }
            }
            let _nobody_listens = tell.send(News::Container);
            if folder.exit().is_none() {
                ended(&folder).await;
            }
            let _nobody_listens = tell.send(News::Container);
        });
    }

    /// Begins its hook and probes; what it was before is known of a container that is adopted.
    pub fn probe(
        &mut self,
        (hook, probes): (Option<Question>, Probes),
        before: Option<&ContainerStatus>,
        shared: Arc<Shared>,
        tell: UnboundedSender<News>,
    ) {
        self.is_hooked = hook.is_none();
        self.has_started = before.map_or(!probes.holds_start(), |it| it.started);
        self.is_ready = before.map_or(!probes.holds_ready(), |it| it.ready);
        let probes = if self.has_started && before.is_some() {
            probes.of_started()
        } else {
            probes
        };
        if hook.is_none() && probes.is_empty() {
            return;
        }
        let (name, attempt, folder) = (self.name.clone(), self.attempt, self.folder.clone());
        self.probes = Some(tokio::spawn(async move {
            let tell = |verdict| {
                let container = name.clone();
                tell.send(News::Probe {
                    container,
                    attempt,
                    verdict,
                })
                .is_ok()
            };
            if let Some(hook) = hook {
                probe::started(&folder).await;
                match hook.carry_out(&shared, &folder).await {
                    Ok(()) => tell(Verdict::Hooked),
                    Err(why) => {
                        tell(Verdict::HookFailed(why));
                        return;
                    }
                };
            }
            probes.run(&shared, &folder, tell).await;
        }));
    }

    pub fn take(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Started => self.has_started = true,
            Verdict::Ready => self.is_ready = true,
            Verdict::Unready(_) => self.is_ready = false,
            Verdict::Hooked => self.is_hooked = true,
            Verdict::Dead(_) | Verdict::HookFailed(_) => self.unhealthy = Some(verdict),
        }
    }

    /// Reads the shim's files.
    pub fn look(&mut self) {
        match &self.stage {
            Stage::Creating | Stage::Running(_) => self.look_at_files(),
            Stage::Ended(_) | Stage::Refused { .. } | Stage::BackingOff { .. } => {}
        }
    }

    fn look_at_files(&mut self) {
        let exit = self.folder.exit();
        let started = self.folder.started();
        // How it ended is written before its keeper is gone: one that ended between the two looks
        // has told it by now.
        let is_kept = exit.is_none() && self.folder.is_kept();
        let exit = exit.or_else(|| (!is_kept).then(|| self.folder.exit()).flatten());
        if let Some(exit) = exit {
            self.end(
                exit.code,
                reason(exit.code, exit.out_of_memory, exit.error.is_some()),
                exit.at,
                exit.error.unwrap_or(exit.message),
            );
        } else if let Some(started) = started {
            if is_kept {
                self.stage = Stage::Running(started);
            } else {
                // Nobody else takes it away now.
                if let Ok(order) = self.folder.order() {
                    cgroups::remove(&order.id);
                }
                let message = "The process that kept the container is gone".to_owned();
                self.end(137, "ContainerStatusUnknown", clock::now(), message);
            }
        }
    }

    fn end(&mut self, exit_code: i32, reason: &str, at: Timestamp, message: String) {
        if let Some(probes) = self.probes.take() {
            probes.abort();
        }
        let started = self.folder.started().map(|started| started.at);
        self.has_started = false;
        self.is_ready = false;
        self.unhealthy = None;
        let end = Terminated {
            exit_code,
            reason: reason.into(),
            message,
            started_at: started.or(Some(at)).and_then(super::whole),
            finished_at: super::whole(at),
            container_id: self.container_id(),
        };
        let (in_row, wait) = back_off(self.in_row, &end);
        self.in_row = in_row + 1;
        self.restart_at = at + wait;
        self.stage = Stage::Ended(end);
    }

    /// An ended run that is to be started again, later.
    pub fn hold_back(&mut self) {
        if let Stage::Ended(end) = &self.stage {
            let ended = end.finished_at.unwrap_or(self.restart_at);
            self.last = Some(end.clone());
            self.stage = Stage::BackingOff {
                until: self.restart_at,
                wait: self.restart_at.duration_since(ended),
            };
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(probes) = self.probes.take() {
            probes.abort();
        }
    }
}

fn reason(code: i32, out_of_memory: bool, refused: bool) -> &'static str {
    match code {
        _ if refused => "StartError",
        0 => "Completed",
        _ if out_of_memory => "OOMKilled",
        _ => "Error",
    }
}

/// Waits for the end of a shim, which is no child of this process: it holds one end of a pipe.
async fn ended(folder: &Folder) {
    use tokio::io::AsyncReadExt;
    let pipe = tokio::net::unix::pipe::OpenOptions::new().open_receiver(folder.alive());
    // Gone already: the caller looks at the files then.
    if let Ok(mut pipe) = pipe {
        let _nothing_comes = pipe.read(&mut [0]).await;
    }
}

/// The container of this name, init containers included.
pub fn container<'a>(pod: &'a PodObject, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    let inits = spec.init_containers.iter().flatten();
    inits
        .chain(&spec.containers)
        .find(|container| container.name == name)
}

/// Layers that the containers in a pod's folder stand on, whether they run or not.
pub fn layers_of_containers(pod: &Path) -> Vec<PathBuf> {
    let runs = fs::read_dir(runs_folder(pod)).into_iter().flatten();
    let orders = runs.filter_map(|run| Folder::new(run.ok()?.path()).order().ok());
    orders.flat_map(|order| order.layers).collect()
}

/// The last run of each container in a pod's folder.
pub fn find(pod: &Path) -> Vec<Instance> {
    let mut found: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
    let entries = fs::read_dir(runs_folder(pod))
        .into_iter()
        .flatten()
        .flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((name, attempt)) = name.rsplit_once('-') else {
            continue;
        };
        if let Ok(attempt) = attempt.parse::<u32>() {
            let last = found.entry(name.to_owned()).or_default();
            *last = attempt.max(*last);
        }
    }
    found
        .into_iter()
        .map(|(name, attempt)| {
            let mut instance = Instance::new(&name, attempt, None, pod);
            instance.look();
            instance
        })
        .collect()
}
