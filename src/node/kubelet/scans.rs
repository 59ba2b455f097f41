//! Tells on this node's pods what scans of their images found.
//!
//! Whoever scans keeps the result in the store that the node runs images from; the node looks there
//! from time to time. Nothing is scanned here, and nothing asked of the cluster while there is no scan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::Shared;
use crate::k8s::scanned;
use crate::node::image::registry::blocking;
use crate::node::image::scan::kept;

const LOOK: Duration = Duration::from_secs(15);

/// Tells for ever.
pub(super) async fn tell(shared: &Arc<Shared>) {
    let mut period = tokio::time::interval(LOOK);
    // An earlier life may have told what is no longer so.
    let mut may_be_told = true;
    loop {
        period.tick().await;
        let store = shared.images.clone();
        let Ok(kept) = blocking(move || Ok(kept::all(&store))).await else {
            continue;
        };
        if kept.is_empty() && !may_be_told {
            continue;
        }
        match tell_all(shared, &kept).await {
            Ok(()) => may_be_told = !kept.is_empty(),
            // It is tried again soon anyway.
            Err(error) => tracing::debug!(%error, "scans of images cannot be told"),
        }
    }
}

async fn tell_all(shared: &Shared, kept: &BTreeMap<String, String>) -> Result<(), kube::Error> {
    let client = shared.options.client.clone();
    let fields = format!("spec.nodeName={}", shared.options.name);
    let pods: Api<PodObject> = Api::all(client.clone());
    let list = pods.list(&ListParams::default().fields(&fields)).await?;
    for pod in list.items {
        let news = news(&pod, kept);
        let (Some(namespace), Some(name)) = (&pod.metadata.namespace, &pod.metadata.name) else {
            continue;
        };
        if news.is_empty() {
            continue;
        }
        // One that was made anew under the name is another pod.
        let uid = &pod.metadata.uid;
        let patch = json!({"metadata": {"uid": uid, "annotations": news}});
        let patched = Api::<PodObject>::namespaced(client.clone(), namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        match patched {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            patched => drop(patched?),
        }
    }
    Ok(())
}

/// Annotations of this pod that are not as they should be.
fn news(pod: &PodObject, kept: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let Some(status) = &pod.status else {
        return BTreeMap::new();
    };
    let inits = status.init_container_statuses.iter().flatten();
    let all = inits.chain(status.container_statuses.iter().flatten());
    let news = all.filter_map(|container| {
        let digest = container.image_id.rsplit('@').next().unwrap_or_default();
        let found = kept.get(digest);
        let key = scanned::key(&container.name);
        let annotations = pod.metadata.annotations.as_ref();
        let told = annotations.and_then(|told| told.get(&key));
        let text = found.map_or(Value::Null, |found| Value::from(found.as_str()));
        (told != found).then_some((key, text))
    });
    news.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let kept: BTreeMap<String, String> =
            [("sha256:1".to_owned(), "2 high (x)".to_owned())].into();
        let pod = |annotations: Value| -> PodObject {
            let status = |name: &str, digest: &str| {
                json!({
                    "name": name, "imageID": format!("shop/{name}@sha256:{digest}"), "image": "",
                    "ready": true, "restartCount": 0,
                })
            };
            serde_json::from_value(json!({
                "metadata": {"annotations": annotations},
                "status": {"containerStatuses": [status("app", "1"), status("side", "2")]},
            }))
            .unwrap()
        };
        let (app, side) = (scanned::key("app"), scanned::key("side"));
        let told = [(app.clone(), Value::from("2 high (x)"))];
        assert_eq!(news(&pod(json!({"else": "x"})), &kept), told.into());
        assert_eq!(news(&pod(json!({&app: "2 high (x)"})), &kept), [].into());
        let old = pod(json!({&app: "2 high (x)", &side: "1 low (x)"}));
        assert_eq!(news(&old, &kept), [(side, Value::Null)].into());
    }
}
