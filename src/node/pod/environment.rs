//! A container's environment: its image's, its configuration maps and secrets, the pod's own fields.
//!
//! Source: the kubelet's `makeEnvironmentVariables` and the field paths of the downward API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod as PodObject};

use super::super::container::bundle::expand;
use crate::node::image::Image;
use crate::node::kubelet::Shared;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All variables, or what is missing in the kubelet's words.
pub async fn of(
    shared: &Shared,
    pod: &PodObject,
    container: &Container,
    image: &Image,
    address: Option<IpAddr>,
) -> Result<BTreeMap<String, String>, String> {
    let mut all = shared.service_variables(pod).await;
    all.insert("PATH".to_owned(), PATH.to_owned());
    let from_image = image
        .configuration
        .config()
        .as_ref()
        .and_then(|it| it.env().clone());
    for line in from_image.unwrap_or_default() {
        if let Some((name, value)) = line.split_once('=') {
            all.insert(name.to_owned(), value.to_owned());
        }
    }
    all.insert("HOSTNAME".to_owned(), super::volume::hostname(pod));
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let found = if let Some(map) = &source.config_map_ref {
            shared
                .config_map(namespace, &map.name, map.optional)
                .await?
        } else if let Some(secret) = &source.secret_ref {
            shared
                .secret(namespace, &secret.name, secret.optional)
                .await?
        } else {
            BTreeMap::new()
        };
        for (name, value) in found {
            all.insert(
                format!("{prefix}{name}"),
                String::from_utf8_lossy(&value).into_owned(),
            );
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, &all)),
            (None, Some(source)) => from(shared, pod, namespace, source, address).await?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            all.insert(variable.name.clone(), value);
        }
    }
    Ok(all)
}

async fn from(
    shared: &Shared,
    pod: &PodObject,
    namespace: &str,
    source: &EnvVarSource,
    address: Option<IpAddr>,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        let path = &field.field_path;
        return field_of(shared, pod, path, address)
            .map(Some)
            .ok_or_else(|| format!("unsupported fieldPath: {path}"));
    }
    let (kind, name, key, optional, found) = if let Some(it) = &source.config_map_key_ref {
        let found = shared.config_map(namespace, &it.name, it.optional).await?;
        ("ConfigMap", &it.name, &it.key, it.optional, found)
    } else if let Some(it) = &source.secret_key_ref {
        let found = shared.secret(namespace, &it.name, it.optional).await?;
        ("Secret", &it.name, &it.key, it.optional, found)
    } else {
        return Err("resourceFieldRef and fileKeyRef are not supported on this node".to_owned());
    };
    match found.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional == Some(true) => Ok(None),
        None => Err(format!(
            "couldn't find key {key} in {kind} {namespace}/{name}"
        )),
    }
}

/// A field of the downward API.
pub fn field_of(
    shared: &Shared,
    pod: &PodObject,
    path: &str,
    address: Option<IpAddr>,
) -> Option<String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let own = address
        .map(|address| address.to_string())
        .unwrap_or_default();
    let keyed = |prefix: &str, map: &Option<BTreeMap<String, String>>| {
        let key = path
            .strip_prefix(prefix)?
            .strip_prefix("['")?
            .strip_suffix("']")?;
        Some(map.as_ref()?.get(key).cloned().unwrap_or_default())
    };
    let lines = |map: &Option<BTreeMap<String, String>>| {
        let lines = map
            .iter()
            .flatten()
            .map(|(name, value)| format!("{name}={value:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    Some(match path {
        "metadata.name" => metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(&metadata.labels),
        "metadata.annotations" => lines(&metadata.annotations),
        "spec.nodeName" => spec.and_then(|it| it.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec
            .and_then(|it| it.service_account_name.clone())
            .unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => shared.address().to_string(),
        "status.podIP" | "status.podIPs" => own,
        _ => keyed("metadata.labels", &metadata.labels)
            .or_else(|| keyed("metadata.annotations", &metadata.annotations))?,
    })
}
