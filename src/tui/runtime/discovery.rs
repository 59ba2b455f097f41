//! Which kinds the server knows.
//!
//! Aggregated discovery answers in two requests; older servers are asked group by group.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::connect::Notice;
use crate::k8s::Resource;
use crate::tui::cache::KindInfo;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json";

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Aggregated { items: Vec<Group> },
    Groups { groups: Vec<PlainGroup> },
    Versions { versions: Vec<String> },
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
    #[serde(default)]
    resources: Vec<GroupResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupResource {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainGroup {
    name: String,
    preferred_version: PlainVersion,
}

#[derive(Deserialize)]
struct PlainVersion {
    version: String,
}

#[derive(Deserialize)]
struct PlainResources {
    resources: Vec<PlainResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainResource {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
}

/// All kinds in the version that the server prefers, core ones first, subresources left out.
///
/// A group that does not answer (a broken extension server) is left out; the others are there.
pub async fn discover(client: &kube::Client) -> Result<Vec<KindInfo>, Notice> {
    let mut kinds = of(client, "/api").await?;
    kinds.extend(of(client, "/apis").await?);
    Ok(kinds)
}

async fn of(client: &kube::Client, root: &str) -> Result<Vec<KindInfo>, Notice> {
    let mut kinds = Vec::new();
    match get(client, root, AGGREGATED).await? {
        Answer::Aggregated { items } => {
            for group in items {
                // The first version is the preferred one; older ones add kinds that it dropped.
                for version in group.versions {
                    add(&mut kinds, &group.metadata.name, version);
                }
            }
        }
        Answer::Groups { groups } => {
            for group in groups {
                let version = group.preferred_version.version;
                let path = format!("{root}/{}/{version}", group.name);
                match get(client, &path, "application/json").await {
                    Ok(resources) => add_plain(&mut kinds, &group.name, &version, resources),
                    Err(notice) => tracing::warn!(%path, %notice, "group left out"),
                }
            }
        }
        Answer::Versions { versions } => {
            if let Some(version) = versions.first() {
                let path = format!("{root}/{version}");
                let resources = get(client, &path, "application/json").await?;
                add_plain(&mut kinds, "", version, resources);
            }
        }
    }
    Ok(kinds)
}

fn add(kinds: &mut Vec<KindInfo>, group: &str, version: GroupVersion) {
    for entry in version.resources {
        let resource = Resource::new(group, &entry.resource);
        let Some(kind) = entry.response_kind else {
            continue;
        };
        if kinds.iter().any(|known| known.resource == resource) {
            continue;
        }
        kinds.push(KindInfo {
            resource,
            version: version.version.clone(),
            kind: kind.kind,
            namespaced: entry.scope == "Namespaced",
            short_names: entry.short_names,
            verbs: entry.verbs,
        });
    }
}

fn add_plain(kinds: &mut Vec<KindInfo>, group: &str, version: &str, list: PlainResources) {
    let whole = list
        .resources
        .into_iter()
        .filter(|entry| !entry.name.contains('/'));
    kinds.extend(whole.map(|entry| KindInfo {
        resource: Resource::new(group, &entry.name),
        version: version.to_owned(),
        kind: entry.kind,
        namespaced: entry.namespaced,
        short_names: entry.short_names,
        verbs: entry.verbs,
    }));
}

async fn get<T: DeserializeOwned>(
    client: &kube::Client,
    path: &str,
    accept: &str,
) -> Result<T, Notice> {
    let request = http::Request::get(path)
        .header(http::header::ACCEPT, accept)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await.map_err(Notice::from)
}
