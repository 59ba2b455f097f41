//! All objects of some kinds, read once by paged lists: what a rehearsal of a real cluster begins
//! with. Nothing is watched and nothing is written.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::k8s::{Cluster, Object, Resource, trim};

use super::notice::Notice;

/// Objects of one answer. Servers are asked for no more at once than kubectl asks for.
const PAGE: usize = 500;
/// A list that expires this often while it is read is given up.
const RESTARTS_MAX: usize = 3;

/// One kind, in the version to ask for it in.
#[derive(Clone, Debug)]
pub struct Asked {
    pub resource: Resource,
    pub version: &'static str,
    pub kind: &'static str,
}

/// What was there to be read.
#[derive(Clone, Debug, Default)]
pub struct Census {
    pub cluster: Cluster,
    /// Kinds that the user may not list.
    pub forbidden: Vec<Resource>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: String,
}

/// Reads every kind. One that the server does not know is left out, one that the user may not list
/// is named; any other failure ends the census.
pub async fn take(client: &kube::Client, kinds: &[Asked]) -> Result<Census, Notice> {
    add(client, kinds, Cluster::default()).await
}

/// The same, in addition to what is known.
pub async fn add(client: &kube::Client, kinds: &[Asked], known: Cluster) -> Result<Census, Notice> {
    let mut census = Census {
        cluster: known,
        ..Census::default()
    };
    for kind in kinds {
        match list(client, kind, &mut census.cluster).await {
            Ok(()) => {}
            Err(notice) if notice.code == Some(404) => {}
            Err(notice) if notice.code == Some(403) => census.forbidden.push(kind.resource.clone()),
            Err(notice) => return Err(notice),
        }
    }
    Ok(census)
}

async fn list(client: &kube::Client, kind: &Asked, cluster: &mut Cluster) -> Result<(), Notice> {
    let mut restarts = 0;
    let mut next = String::new();
    loop {
        let text = match client.request_text(request(kind, &next)?).await {
            Ok(text) => text,
            Err(error) => {
                let notice = Notice::from(error);
                // The snapshot that the pages were of is gone: from the beginning again.
                if notice.code == Some(410) && restarts < RESTARTS_MAX {
                    restarts += 1;
                    next.clear();
                    cluster.clear(&kind.resource);
                    continue;
                }
                return Err(notice);
            }
        };
        let page: Page<'_> = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
        for item in page.items {
            let bytes = trim::trimmed(item.get(), &api_version(kind), kind.kind);
            match Object::parse(kind.resource.clone(), bytes) {
                Ok(object) => {
                    cluster.insert(&Arc::new(object));
                }
                Err(error) => {
                    tracing::warn!(resource = %kind.resource, %error, "object left out");
                }
            }
        }
        next = page.metadata.next;
        if next.is_empty() {
            return Ok(());
        }
    }
}

fn api_version(kind: &Asked) -> String {
    if kind.resource.group.is_empty() {
        kind.version.to_owned()
    } else {
        format!("{}/{}", kind.resource.group, kind.version)
    }
}

fn request(kind: &Asked, next: &str) -> Result<http::Request<Vec<u8>>, Notice> {
    let root = if kind.resource.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let mut uri = format!(
        "{root}/{}/{}?limit={PAGE}",
        api_version(kind),
        kind.resource.plural
    );
    if !next.is_empty() {
        uri.push_str("&continue=");
        // Tokens are base64, of which these have a meaning in a query.
        for letter in next.chars() {
            match letter {
                '+' => uri.push_str("%2B"),
                '/' => uri.push_str("%2F"),
                '=' => uri.push_str("%3D"),
                '&' => uri.push_str("%26"),
                letter => uri.push(letter),
            }
        }
    }
    http::Request::get(uri)
        .body(Vec::new())
        .map_err(|error| Notice::from(kube::Error::HttpError(error)))
}
