//! Persistent volumes on this machine: the folder behind a claim, and its end.
//!
//! The control plane binds claims and makes volumes in the shape of the local-path provisioner: a
//! folder of the node that the pod was scheduled to. Here it is made when a pod first mounts it, and
//! removed when its volume is deleted. Which folders are ours to remove stands in a note for each,
//! so that a volume that was deleted while no kubelet ran is found by the next one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const PROVISIONER: &str = "bayplan.dev/local-path";
const CLASS: &str = "local-path";
/// Where the control plane puts what it provisions.
const ROOT: &str = "/opt/local-path-provisioner";
const RETRY: Duration = Duration::from_secs(1);

/// The persistent volumes of one node.
#[derive(Clone)]
pub struct Claims {
    client: kube::Client,
    /// A note for each folder that was made here, by its volume's name.
    notes: PathBuf,
}

impl Claims {
    pub fn new(client: kube::Client, run: &Path) -> Self {
        Self {
            client,
            notes: run.join("volumes"),
        }
    }

    /// The class by the name that manifests for small clusters use; the default one does the same.
    async fn offer(&self) {
        let class = serde_json::from_value(json!({
            "metadata": {"name": CLASS},
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        }));
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let made = classes
            .create(&PostParams::default(), &class.unwrap_or_default())
            .await;
        match made {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => tracing::warn!(%error, "the storage class `{CLASS}` cannot be made"),
            Ok(_) => {}
        }
    }

    /// The folder behind a claim, made where it is ours to make.
    pub async fn folder(&self, namespace: &str, claim: &str) -> Result<PathBuf, String> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let found = api
            .get_opt(claim)
            .await
            .map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("persistentvolumeclaim \"{claim}\" not found"))?;
        let phase = found.status.and_then(|status| status.phase);
        let volume = found.spec.and_then(|spec| spec.volume_name);
        let volume = volume.filter(|_| phase.as_deref() == Some("Bound"));
        let volume = volume
            .ok_or_else(|| format!("error processing PVC {namespace}/{claim}: PVC is not bound"))?;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let found = volumes
            .get_opt(&volume)
            .await
            .map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("persistentvolume \"{volume}\" not found"))?;
        self.prepare(&found).map_err(|error| error.to_string())
    }

    fn prepare(&self, volume: &PersistentVolume) -> io::Result<PathBuf> {
        let spec = volume.spec.clone().unwrap_or_default();
        if let Some(local) = spec.local {
            let path = PathBuf::from(&local.path);
            if !path.exists() {
                let message = format!("path \"{}\" does not exist", local.path);
                return Err(io::Error::other(message));
            }
            return Ok(path);
        }
        let Some(host) = spec.host_path else {
            let message = "persistent volumes of its type are not supported on this node";
            return Err(io::Error::other(message));
        };
        let path = PathBuf::from(&host.path);
        if removable(volume).is_some() && !path.exists() {
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
            self.note(volume)?;
        } else if host.type_.as_deref() == Some("DirectoryOrCreate") {
            fs::create_dir_all(&path)?;
        } else if !path.exists() {
            let message = format!("hostPath type check failed: {} is not there", host.path);
            return Err(io::Error::other(message));
        }
        Ok(path)
    }

    fn note(&self, volume: &PersistentVolume) -> io::Result<()> {
        fs::create_dir_all(&self.notes)?;
        let path = removable(volume).unwrap_or_default();
        fs::write(self.notes.join(volume.name_any()), path)
    }

    /// Offers the class, then removes folders whose volumes are deleted, for ever.
    pub async fn reclaim(&self) {
        self.offer().await;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        loop {
            if let Err(error) = self.reclaim_once(&volumes).await {
                tracing::warn!(%error, "the persistent volumes cannot be followed");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn reclaim_once(&self, volumes: &Api<PersistentVolume>) -> Result<(), kube::Error> {
        let list = volumes.list(&ListParams::default()).await?;
        let mut left = self.noted();
        for volume in &list.items {
            left.remove(&volume.name_any());
            self.keep(volume);
        }
        for name in left.into_keys() {
            self.remove(&name);
        }
        let since = list.metadata.resource_version.unwrap_or_default();
        let mut events = volumes
            .watch(&WatchParams::default(), &since)
            .await?
            .boxed();
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(volume) | WatchEvent::Modified(volume) => self.keep(&volume),
                WatchEvent::Deleted(volume) => {
                    self.keep(&volume);
                    self.remove(&volume.name_any());
                }
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        Ok(())
    }

    fn noted(&self) -> BTreeMap<String, PathBuf> {
        let entries = fs::read_dir(&self.notes).into_iter().flatten().flatten();
        entries
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = fs::read_to_string(entry.path()).unwrap_or_default();
                (name, PathBuf::from(path))
            })
            .collect()
    }

    /// Whoever says `Retain` meanwhile keeps the folder: its note says nothing then.
    fn keep(&self, volume: &PersistentVolume) {
        if self.notes.join(volume.name_any()).exists()
            && let Err(error) = self.note(volume)
        {
            tracing::warn!(%error, volume = volume.name_any(), "a volume's note cannot be written");
        }
    }

    fn remove(&self, name: &str) {
        let note = self.notes.join(name);
        let Ok(path) = fs::read_to_string(&note) else {
            return;
        };
        if is_ours(Path::new(&path))
            && let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path, "a deleted volume's folder cannot be removed");
            return;
        }
        let _gone = fs::remove_file(note);
    }
}

/// The folder of a volume that goes with it.
fn removable(volume: &PersistentVolume) -> Option<String> {
    let made_by = volume.annotations().get(PROVISIONED_BY)?;
    let spec = volume.spec.as_ref()?;
    let goes = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
    let path = spec.host_path.as_ref()?.path.clone();
    (made_by == PROVISIONER && goes && is_ours(Path::new(&path))).then_some(path)
}

/// Whether a path is a folder of its own among those that are provisioned, and nothing else.
fn is_ours(path: &Path) -> bool {
    path.strip_prefix(ROOT).is_ok_and(|inside| {
        let mut parts = inside.components();
        matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_their_own_are_removed() {
        let check = |path: &str| is_ours(Path::new(path));
        assert!(check("/opt/local-path-provisioner/pvc-1_shop_data"));
        for path in [
            "",
            "/",
            "/opt/local-path-provisioner",
            "/opt/local-path-provisioner/",
            "/opt/local-path-provisioner/..",
            "/opt/local-path-provisioner/a/b",
            "/opt/local-path-provisioner/../../etc",
            "/etc",
        ] {
            assert!(!check(path), "{path}");
        }
    }
}
