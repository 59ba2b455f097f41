//! Which path serves a kind, asked from the server once a group and version.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::manifest::Document;

use super::{Notice, invalid, request, text};

/// How long a definition that was just applied may take to be served.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(100);

/// Where the kinds of the group `extensions` went.
/// Source: "Deprecated API Migration Guide", v1.16 and v1.22.
const MOVED_TO: [&str; 3] = ["apps", "networking.k8s.io", "policy"];

pub struct Catalogue {
    client: Client,
    known: BTreeMap<String, Vec<Served>>,
    /// Group and kind of the definitions in the same set.
    announced: BTreeSet<(String, String)>,
}

/// Where objects of a kind live.
#[derive(Clone, Debug, Deserialize)]
pub struct Served {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(skip)]
    root: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Served>,
}

impl Served {
    pub fn collection(&self, namespace: &str) -> String {
        if self.namespaced {
            format!("{}/namespaces/{namespace}/{}", self.root, self.name)
        } else {
            format!("{}/{}", self.root, self.name)
        }
    }
}

impl Catalogue {
    pub fn of(client: Client, documents: &[Document]) -> Self {
        let announced = documents
            .iter()
            .filter(|document| document.kind() == "CustomResourceDefinition")
            .map(|document| {
                let part = |pointer| text(&document.object, pointer).to_owned();
                (part("/spec/group"), part("/spec/names/kind"))
            })
            .collect();
        Self {
            client,
            known: BTreeMap::new(),
            announced,
        }
    }

    /// The place of this object's kind. Waits for kinds whose definition is in the same set.
    pub async fn find(&mut self, object: &Value) -> Result<Served, Notice> {
        let api_version = text(object, "/apiVersion");
        let kind = text(object, "/kind");
        if api_version.is_empty() || kind.is_empty() {
            return Err(invalid("apiVersion or kind is missing"));
        }
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let announced = self
            .announced
            .contains(&(group.to_owned(), kind.to_owned()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if !self.known.contains_key(api_version) {
                let served = self.ask(api_version).await?;
                self.known.insert(api_version.to_owned(), served);
            }
            let listed = self.known.get(api_version).into_iter().flatten();
            let found = listed
                .filter(|served| !served.name.contains('/'))
                .find(|served| served.kind == kind);
            match found {
                Some(served) => return Ok(served.clone()),
                None if announced && Instant::now() < deadline => {
                    self.known.remove(api_version);
                    tokio::time::sleep(RETRY).await;
                }
                None => {
                    let remedy = self.remedy(group, kind).await;
                    return Err(invalid(&format!(
                        "the cluster does not know kind `{kind}` in version `{api_version}`; \
                         {remedy}"
                    )));
                }
            }
        }
    }

    /// What to do about a kind that is not served as it is written.
    async fn remedy(&mut self, group: &str, kind: &str) -> String {
        if let Some(version) = self.version_served(group, kind).await {
            return format!(
                "it serves that kind as `{version}`, so write that as its `apiVersion`"
            );
        }
        if group.is_empty() {
            return "the core group has no such kind, and no definition can add one".to_owned();
        }
        format!("the definition of a kind of group `{group}` must be applied first")
    }

    /// Another version that serves a kind of this name: of the same group, or one that Kubernetes
    /// moved it to out of `extensions`.
    async fn version_served(&mut self, group: &str, kind: &str) -> Option<String> {
        let root = request(http::Method::GET, "/apis", "application/json", &Value::Null).ok()?;
        let listed: Value = self.client.request(root).await.ok()?;
        let groups = listed.get("groups")?.as_array()?.iter();
        let versions: Vec<String> = groups
            .filter(|entry| {
                let name = text(entry, "/name");
                name == group || group == "extensions" && MOVED_TO.contains(&name)
            })
            .filter_map(|entry| entry.get("versions")?.as_array())
            .flatten()
            .map(|version| text(version, "/groupVersion").to_owned())
            .collect();
        for version in versions {
            let served = self.ask(&version).await.unwrap_or_default();
            if served.iter().any(|served| served.kind == kind) {
                return Some(version);
            }
        }
        None
    }

    async fn ask(&self, api_version: &str) -> Result<Vec<Served>, Notice> {
        let root = if api_version.contains('/') {
            format!("/apis/{api_version}")
        } else {
            format!("/api/{api_version}")
        };
        let get = request(http::Method::GET, &root, "application/json", &Value::Null)?;
        match self.client.request::<Resources>(get).await {
            Ok(listed) => {
                let mut served = listed.resources;
                for entry in &mut served {
                    entry.root.clone_from(&root);
                }
                Ok(served)
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
