//! Takes what the containers of this node say into the cluster's log store.
//!
//! It reads the files that the containers' shims write, from where it stopped: how far it came is
//! kept in the store itself, together with the lines, so that a line is taken in once, whatever is
//! killed in between. It holds every file open that it reads: a pod's folder may be deleted, and what
//! was written is read to its end all the same. A container that writes faster than is read here is
//! not slowed down; what its log rotates away unread is told.

mod follower;
mod parse;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use super::container::logs_folder;
use crate::logstore::{Labels, Store, StoreError, nanos};
use crate::serve::logs::Logs;
use crate::stdx::clock;
use follower::Follower;

/// How soon a line is found in the store.
const LOOK: Duration = Duration::from_millis(200);
/// How long lines wait to become a block together. They are found meanwhile, and are still in the
/// container's own log.
const FLUSH: SignedDuration = SignedDuration::from_secs(5);
const TRIM: SignedDuration = SignedDuration::from_secs(30);
/// After a failure of the disk.
const RETRY: Duration = Duration::from_secs(2);
/// Without an answer of the API server for this long, a pod's lines are taken in as far as they are known.
const UNKNOWN: SignedDuration = SignedDuration::from_secs(5);

/// One run of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    uid: String,
    container: String,
    attempt: u32,
}

impl Run {
    /// The container of the pod.
    fn of(&self) -> (String, String) {
        (self.uid.clone(), self.container.clone())
    }

    /// Its note in the store.
    fn key(&self) -> String {
        format!("{}/{}/{}", self.uid, self.container, self.attempt)
    }
}

/// What is known of a pod: its namespace, its name, its labels.
type Known = BTreeMap<String, Labels>;

struct Collector {
    logs: Logs,
    /// The node's folder.
    run: PathBuf,
    node: String,
    followers: BTreeMap<Run, Follower>,
    known: Known,
    /// Pods whose labels are not known yet, since when.
    unknown: BTreeMap<String, Timestamp>,
    flushed_at: Timestamp,
    trimmed_at: Timestamp,
}

/// Collects until it is dropped.
pub async fn run(logs: Logs, client: kube::Client, run: &Path, node: &str) {
    let mut collector = Collector {
        logs,
        run: run.to_path_buf(),
        node: node.to_owned(),
        followers: BTreeMap::new(),
        known: Known::new(),
        unknown: BTreeMap::new(),
        flushed_at: clock::now(),
        trimmed_at: Timestamp::MIN,
    };
    let mut is_well = true;
    loop {
        let round = tokio::task::spawn_blocking(move || {
            let result = collector.round(clock::now());
            (collector, result)
        });
        let Ok((returned, result)) = round.await else {
            return;
        };
        collector = returned;
        match result {
            Ok(is_behind) => {
                is_well = true;
                if collector.asks() {
                    collector.learn(&client).await;
                }
                if !is_behind {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Err(error) => {
                if std::mem::replace(&mut is_well, false) {
                    tracing::warn!(%error, "the log store takes no lines");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

impl Collector {
    /// One look at everything; says whether there is more to read at once.
    fn round(&mut self, now: Timestamp) -> Result<bool, RoundError> {
        let logs = self.logs.clone();
        self.find(now);
        let mut is_behind = false;
        let runs: Vec<Run> = self.followers.keys().cloned().collect();
        let mut latest: BTreeMap<(String, String), u32> = BTreeMap::new();
        for run in &runs {
            // Runs are sorted: the last one wins.
            latest.insert(run.of(), run.attempt);
        }
        for run in runs {
            let Some(labels) = self.labels(&run, &logs, now)? else {
                continue;
            };
            let Some(follower) = self.followers.get_mut(&run) else {
                continue;
            };
            // One portion at a time: those who search get the store in between.
            let progress = logs.with(|store| follower.read(store, &labels, &run.key()));
            let progress = progress?.unwrap_or(Ok(follower::Progress::Waits))?;
            match progress {
                follower::Progress::Behind => is_behind = true,
                follower::Progress::Waits if latest.get(&run.of()) > Some(&run.attempt) => {
                    follower.rest();
                }
                follower::Progress::Waits => {}
                follower::Progress::Over => {
                    self.followers.remove(&run);
                    logs.with(|store| store.mark(&run.key(), None))?;
                    // No file has these lines any more.
                    self.flushed_at = Timestamp::MIN;
                }
            }
        }
        self.keep(&logs, now)?;
        Ok(is_behind)
    }

    /// Makes durable what was taken in, in good time, and drops what is too old.
    fn keep(&mut self, logs: &Logs, now: Timestamp) -> Result<(), RoundError> {
        let is_due = |last: Timestamp| last == Timestamp::MIN || now.duration_since(last) >= FLUSH;
        if is_due(self.flushed_at) {
            let flushed = logs.with(|store| store.flush().and_then(|()| store.sync()))?;
            flushed.unwrap_or(Ok(()))?;
            self.flushed_at = now;
        }
        if self.trimmed_at == Timestamp::MIN || now.duration_since(self.trimmed_at) >= TRIM {
            let trimmed = logs.with(|store| store.trim(nanos(now)))?;
            let dropped = trimmed.unwrap_or(Ok(0))?;
            if dropped > 0 {
                tracing::debug!(dropped, "the log store let its oldest lines go");
            }
            self.trimmed_at = now;
        }
        Ok(())
    }

    /// Finds logs that are new, and opens them.
    fn find(&mut self, now: Timestamp) {
        let mut uids = BTreeSet::new();
        for (uid, pod) in folders(&self.run.join("pods")) {
            let logs = logs_folder(&pod, "");
            for (container, folder) in folders(&logs) {
                for attempt in attempts(&folder) {
                    let run = Run {
                        uid: uid.clone(),
                        container: container.clone(),
                        attempt,
                    };
                    if let std::collections::btree_map::Entry::Vacant(place) =
                        self.followers.entry(run)
                    {
                        place.insert(Follower::new(folder.join(format!("{attempt}.log"))));
                    }
                }
            }
            if !self.known.contains_key(&uid) {
                self.unknown.entry(uid.clone()).or_insert(now);
            }
            uids.insert(uid);
        }
        let followed: BTreeSet<&str> = self.followers.keys().map(|run| run.uid.as_str()).collect();
        self.known
            .retain(|uid, _| uids.contains(uid) || followed.contains(uid.as_str()));
        self.unknown
            .retain(|uid, _| uids.contains(uid) || followed.contains(uid.as_str()));
    }

    /// What a run's lines are kept with; `None` while it is not known.
    fn labels(
        &mut self,
        run: &Run,
        logs: &Logs,
        now: Timestamp,
    ) -> Result<Option<Labels>, StoreError> {
        let of_container = |labels: &Labels| Labels {
            container: run.container.clone(),
            ..labels.clone()
        };
        if let Some(labels) = self.known.get(&run.uid) {
            return Ok(Some(of_container(labels)));
        }
        let since = *self.unknown.entry(run.uid.clone()).or_insert(now);
        if now.duration_since(since) < UNKNOWN {
            return Ok(None);
        }
        // A pod that is gone may have been here before the last start.
        let earlier = logs.with(|store: &mut Store| store.labels_of(&run.uid))?;
        let labels = earlier.flatten().unwrap_or_else(|| Labels {
            pod: run.uid.clone(),
            uid: run.uid.clone(),
            node: self.node.clone(),
            ..Labels::default()
        });
        let found = of_container(&labels);
        self.known.insert(run.uid.clone(), labels);
        self.unknown.remove(&run.uid);
        Ok(Some(found))
    }

    fn asks(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Asks whose pods these are.
    async fn learn(&mut self, client: &kube::Client) {
        let pods: Api<Pod> = Api::all(client.clone());
        let fields = format!("spec.nodeName={}", self.node);
        let list = match pods.list(&ListParams::default().fields(&fields)).await {
            Ok(list) => list,
            Err(error) => {
                tracing::debug!(%error, "the pods of this node cannot be listed");
                return;
            }
        };
        for pod in list.items {
            let metadata = pod.metadata;
            let uid = metadata.uid.unwrap_or_default();
            if self.unknown.remove(&uid).is_some() {
                let labels = Labels {
                    namespace: metadata.namespace.unwrap_or_default(),
                    pod: metadata.name.unwrap_or_default(),
                    uid: uid.clone(),
                    container: String::new(),
                    node: self.node.clone(),
                    labels: metadata.labels.unwrap_or_default(),
                };
                self.known.insert(uid, labels);
            }
        }
        // A pod is here because it was in such a list: one that is in none any more is gone.
        for since in self.unknown.values_mut() {
            *since = Timestamp::MIN;
        }
    }
}

fn folders(of: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path())))
        .collect();
    found.sort();
    found
}

fn attempts(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".log")?.parse().ok()
        })
        .collect()
}
