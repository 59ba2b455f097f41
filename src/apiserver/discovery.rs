//! Discovery, version and health: everything that is no resource.

mod aggregated;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::openapi;
use super::registry::{Registry, ResourceType};
use super::response::Response;
use super::status::Status;
use super::token;
use crate::k8s::{Cluster, facts};

pub(super) fn answer(
    registry: &Registry,
    cluster: &Cluster,
    path: &str,
    accept: &str,
) -> Result<Response, Status> {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let body = match segments.as_slice() {
        ["healthz" | "readyz" | "livez", ..] => return Ok(Response::text(200, "ok")),
        [".well-known", "openid-configuration"] => openid_configuration(),
        ["openid", "v1", "jwks"] => match &registry.token_key {
            Some(key) => key.public_keys(),
            None => return Err(Status::unknown_path()),
        },
        ["version"] => version(),
        ["api"] if aggregated::is_asked(accept) => return Ok(aggregated::core(registry)),
        ["apis"] if aggregated::is_asked(accept) => return Ok(aggregated::groups(registry)),
        ["api"] => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        ["apis"] => groups(registry),
        ["api", "v1"] => resources(registry, "", "v1")?,
        ["apis", group, version] => resources(registry, group, version)?,
        ["apis", group] => one_group(registry, group)?,
        ["openapi", "v2"] => return Ok(openapi::v2(registry, cluster, accept)),
        ["openapi", "v3"] => openapi::v3_index(registry),
        ["openapi", "v3", "api", version] => openapi::v3(registry, cluster, "", version)?,
        ["openapi", "v3", "apis", group, version] => {
            openapi::v3(registry, cluster, group, version)?
        }
        [] => {
            json!({"paths": ["/.well-known/openid-configuration", "/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3",
            "/openid/v1/jwks", "/readyz", "/version"]})
        }
        _ => return Err(Status::unknown_path()),
    };
    Ok(Response::json(200, &body))
}

/// Where those who check service account tokens themselves find the keys. Source: `OpenID Connect
/// Discovery 1.0` and `pkg/serviceaccount/openidmetadata.go`.
fn openid_configuration() -> Value {
    json!({
        "issuer": token::ISSUER,
        "jwks_uri": format!("{}/openid/v1/jwks", token::ISSUER),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    })
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": facts::GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// Groups and their versions, the preferred version first.
fn by_group(registry: &Registry) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource_type in registry.all() {
        let versions = groups.entry(&resource_type.group).or_default();
        if !versions.contains(&resource_type.version.as_str()) {
            versions.push(&resource_type.version);
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    groups
}

/// Kubernetes' version order: `v2` before `v1` before `v1beta1` before `v1alpha1`, others last.
fn priority(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits = |text: &str| text.parse().ok();
    if let Some(major) = digits(rest) {
        return (3, major, 0);
    }
    for (mark, rank) in [("beta", 2), ("alpha", 1)] {
        if let Some((major, minor)) = rest.split_once(mark)
            && let (Some(major), Some(minor)) = (digits(major), digits(minor))
        {
            return (rank, major, minor);
        }
    }
    (0, 0, 0)
}

fn group_json(group: &str, versions: &[&str]) -> Value {
    let entry =
        |version: &str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({
        "name": group,
        "versions": versions.iter().map(|version| entry(version)).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(|version| entry(version)),
    })
}

fn groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = by_group(registry)
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_json(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn one_group(registry: &Registry, group: &str) -> Result<Value, Status> {
    let groups = by_group(registry);
    let versions = groups.get(group).ok_or_else(Status::unknown_path)?;
    let mut body = group_json(group, versions);
    if let Some(map) = body.as_object_mut() {
        map.insert("kind".into(), "APIGroup".into());
        map.insert("apiVersion".into(), "v1".into());
    }
    Ok(body)
}

fn types_of<'a>(
    registry: &'a Registry,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a ResourceType> {
    registry
        .all()
        .map(AsRef::as_ref)
        .filter(move |candidate| candidate.group == group && candidate.version == version)
}

fn resources(registry: &Registry, group: &str, version: &str) -> Result<Value, Status> {
    let resources: Vec<Value> = types_of(registry, group, version)
        .flat_map(resource_json)
        .collect();
    if resources.is_empty() {
        return Err(Status::unknown_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

fn resource_json(resource_type: &ResourceType) -> Vec<Value> {
    let mut main = json!({
        "name": resource_type.plural.as_str(),
        "singularName": resource_type.singular.as_str(),
        "namespaced": resource_type.namespaced,
        "kind": resource_type.kind.as_str(),
        "verbs": resource_type.verbs,
    });
    if let Some(map) = main.as_object_mut() {
        if !resource_type.short_names.is_empty() {
            map.insert("shortNames".into(), json!(resource_type.short_names));
        }
        if !resource_type.categories.is_empty() {
            map.insert("categories".into(), json!(resource_type.categories));
        }
    }
    let mut all = vec![main];
    for subresource in &resource_type.subresources {
        let mut entry = json!({
            "name": format!("{}/{}", resource_type.plural, subresource.name),
            "singularName": "",
            "namespaced": resource_type.namespaced,
            "kind": subresource.kind.as_str(),
            "verbs": subresource.verbs,
        });
        if let Some(map) = entry.as_object_mut()
            && !subresource.version.is_empty()
        {
            map.insert("group".into(), subresource.group.as_str().into());
            map.insert("version".into(), subresource.version.as_str().into());
        }
        all.push(entry);
    }
    all
}
