//! The node's images: who asks registries for them, and which go when the disk fills up.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Pod as PodObject, Secret};
use kube::api::{Api, PostParams};
use serde_json::json;

use super::{Shared, seconds, told};
use crate::node::image::ImageError;
use crate::node::image::collect::{Collected, Collector, Disk, Policy, mounted_layers};
use crate::node::image::credentials::Keyring;
use crate::node::image::registry::blocking;
use crate::node::pod::layers_of_containers;
use crate::stdx::clock;

/// The forms of pull secrets, with the key that holds them.
const SECRETS: [(&str, &str); 2] = [
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
    ("kubernetes.io/dockercfg", ".dockercfg"),
];

/// Collects images for ever.
pub(super) async fn collect_images(shared: &Arc<Shared>) {
    let mut collector = Collector::default();
    let mut period = tokio::time::interval(Policy::PERIOD);
    loop {
        period.tick().await;
        let (store, pods) = (shared.images.clone(), shared.options.run.join("pods"));
        let round = blocking(move || {
            let mut in_use = mounted_layers();
            in_use.extend(named_layers(&pods));
            let given = (Disk::of(&store)?, Policy::default());
            let collected = collector.round(&store, &in_use, given, clock::now());
            Ok((collector, collected))
        });
        match round.await {
            Ok((kept, collected)) => {
                collector = kept;
                shared.tell_collected(collected).await;
            }
            Err(error) => {
                collector = Collector::default();
                shared.tell_collected(Err(error)).await;
            }
        }
    }
}

/// Layers of every container that this node keeps, running or not.
fn named_layers(pods: &std::path::Path) -> BTreeSet<String> {
    let folders = fs::read_dir(pods).into_iter().flatten().flatten();
    let layers = folders.flat_map(|pod| layers_of_containers(&pod.path()));
    let names = layers.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
    names.collect()
}

impl Shared {
    /// Who may ask for a pod's images: its pull secrets first, then this machine's user.
    pub(super) async fn keyring(&self, pod: &PodObject) -> Keyring {
        let mut keyring = Keyring::default();
        let mut missing = Vec::new();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(self.options.client.clone(), namespace);
        let asked = pod
            .spec
            .iter()
            .flat_map(|spec| spec.image_pull_secrets.iter().flatten());
        for name in asked.map(|reference| reference.name.as_str()) {
            let taken = match secrets.get(name).await {
                Ok(secret) => take_in(&mut keyring, &secret),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = taken {
                tracing::warn!(name, namespace, %error, "a pull secret cannot be used");
                missing.push(name);
            }
        }
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.warn(pod, None, "FailedToRetrieveImagePullSecret", &message)
                .await;
        }
        for path in &self.options.auth_files {
            if let Ok(text) = fs::read(path)
                && let Err(error) = keyring.add(&text)
            {
                tracing::warn!(path = %path.display(), %error, "an auth file cannot be used");
            }
        }
        keyring
    }

    /// What a round came to; the node is told only when there was not enough to remove.
    async fn tell_collected(&self, collected: Result<Collected, ImageError>) {
        let (reason, message) = match collected {
            Ok(collected) => {
                for name in &collected.images {
                    tracing::info!(name, "the disk fills up: an unused image was removed");
                }
                let Some(message) = collected.complaint() else {
                    return;
                };
                ("FreeDiskSpaceFailed", message)
            }
            Err(error) => ("ImageGCFailed", error.to_string()),
        };
        tracing::warn!(reason, "{message}");
        let node = &self.options.name;
        let at = seconds(clock::now());
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": format!("{node}."), "namespace": "default"},
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": node},
            "reportingComponent": "kubelet",
            "reportingInstance": node,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        });
        let Ok(event) = serde_json::from_value::<Event>(event) else {
            return;
        };
        let events: Api<Event> = Api::namespaced(self.options.client.clone(), "default");
        let created = events.create(&PostParams::default(), &event).await;
        told(created.map(drop), "an event was not taken");
    }
}

fn take_in(keyring: &mut Keyring, secret: &Secret) -> Result<(), String> {
    let data = secret.data.as_ref();
    let bytes = |key: &str| {
        data.and_then(|data| data.get(key))
            .map(|bytes| bytes.0.as_slice())
    };
    let kind = secret.type_.as_deref().unwrap_or_default();
    let form = SECRETS.iter().find(|(name, _)| *name == kind);
    let (_, key) = form.ok_or_else(|| format!("its type `{kind}` is none of a pull secret"))?;
    let json = bytes(key).ok_or_else(|| format!("it has no `{key}`"))?;
    let taken = if *key == ".dockercfg" {
        keyring.add_old(json)
    } else {
        keyring.add(json)
    };
    taken.map_err(|error| error.to_string())
}
