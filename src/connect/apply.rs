//! Declarative apply, as `kubectl apply` does it on the client's side.
//!
//! What was applied last is kept in the object's annotation; fields that were in it and are in the
//! manifest no longer are removed, everything else that others wrote stays. Built-in kinds go as
//! strategic merge patches, custom ones as JSON merge patches.
//!
//! Source: "Declarative Management of Kubernetes Objects Using Configuration Files".

mod catalogue;
mod removal;

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::config::manifest::Document;

use super::notice::Notice;
use crate::k8s::quantity::Quantity;
use catalogue::Catalogue;
use removal::Merge;

/// kubectl's name, so that both can be used on the same object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The server refuses annotations above 256 KiB in total. A larger object goes without the memory
/// of what was applied, rather than not at all.
const LAST_APPLIED_BYTES_MAX: usize = 200 << 10;
const FIELD_MANAGER: &str = "bayplan-apply";

#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// The namespace given on the command line; objects that name another one are refused.
    pub namespace: Option<String>,
    pub dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Created,
    Configured,
    Unchanged,
}

/// What became of one object.
#[derive(Clone, Debug)]
pub struct Report {
    pub origin: String,
    /// `deployment.apps/cart`.
    pub name: String,
    pub outcome: Result<Verdict, Notice>,
    /// What the server did not take over as it stands: fields of a wrong name, for instance.
    pub warnings: Vec<String>,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Applies all documents, definitions and namespaces first, and reports each as it is done. A refused
/// one does not keep the others from going; when the server is gone, the number of those that were
/// not tried any more is returned.
pub async fn apply(
    client: &Client,
    mut documents: Vec<Document>,
    options: &ApplyOptions,
    mut report: impl FnMut(Report),
) -> usize {
    documents.sort_by_key(rank);
    let mut catalogue = Catalogue::of(client.clone(), &documents);
    let mut waiting = documents.into_iter();
    for document in waiting.by_ref() {
        let name = display_name(&document.object);
        let mut warnings = Vec::new();
        let object = &document.object;
        let mut outcome = apply_one(client, &mut catalogue, object, options, &mut warnings).await;
        // Kubernetes says that a quantity is wrong, and not which.
        if let Err(notice) = &mut outcome
            && notice.message.contains("quantit")
            && let Some((path, text)) = wrong_quantity(object, "")
        {
            notice.message = format!(
                "{} ({path}: `{text}`; a quantity is a number with at most one of n u m k M G T P E Ki Mi Gi Ti Pi Ei)",
                notice.message
            );
        }
        let is_gone = matches!(&outcome, Err(notice) if notice.is("Unreachable"));
        report(Report {
            origin: format!("{}:{}", document.file, document.line),
            name,
            outcome,
            warnings,
        });
        if is_gone {
            break;
        }
    }
    waiting.len()
}

/// The first value under `requests`, `limits`, `hard` or `capacity` that is no quantity, and where.
fn wrong_quantity(value: &Value, path: &str) -> Option<(String, String)> {
    const AMOUNTS: [&str; 5] = ["requests", "limits", "hard", "capacity", "overhead"];
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            let here = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let amounts = field
                .as_object()
                .filter(|_| AMOUNTS.contains(&name.as_str()));
            let wrong = amounts.and_then(|amounts| {
                amounts.iter().find_map(|(resource, amount)| {
                    let text = amount
                        .as_str()
                        .map_or_else(|| amount.to_string(), ToOwned::to_owned);
                    Quantity::parse(&text)
                        .is_err()
                        .then(|| (format!("{here}.{resource}"), text))
                })
            });
            wrong.or_else(|| wrong_quantity(field, &here))
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| wrong_quantity(item, &format!("{path}[{index}]"))),
        _ => None,
    }
}

/// What others in the same set need comes first; the rest stays in the order it was written in.
fn rank(document: &Document) -> u8 {
    match document.kind() {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "PriorityClass" | "StorageClass" | "IngressClass" | "RuntimeClass" => 2,
        "ServiceAccount" | "ClusterRole" | "Role" | "ClusterRoleBinding" | "RoleBinding" => 3,
        _ => 4,
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// `deployment.apps/cart`, as kubectl prints it.
fn display_name(object: &Value) -> String {
    let kind = text(object, "/kind").to_lowercase();
    let name = match text(object, "/metadata/name") {
        "" => text(object, "/metadata/generateName"),
        name => name,
    };
    match text(object, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

async fn apply_one(
    client: &Client,
    catalogue: &mut Catalogue,
    object: &Value,
    options: &ApplyOptions,
    warnings: &mut Vec<String>,
) -> Result<Verdict, Notice> {
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        return Err(invalid("metadata.name is missing; apply needs a name"));
    }
    let place = catalogue.find(object).await?;
    let namespace = namespace_of(object, options, client.default_namespace())?;
    let collection = place.collection(namespace);
    let url = format!("{collection}/{name}");
    let wanted = remember(object);
    let live = get(client, &url).await?;
    let dry_run = if options.dry_run { "&dryRun=All" } else { "" };
    let query = format!("fieldManager={FIELD_MANAGER}{dry_run}");
    let Some(live) = live else {
        let post = request(
            Method::POST,
            &format!("{collection}?{query}"),
            "application/json",
            &wanted,
        )?;
        let answer = write(client, post).await?;
        warnings.extend(answer.warnings);
        return Ok(Verdict::Created);
    };
    let uri = format!("{url}?{query}");
    let mut merge = Merge::for_kind(object);
    let mut answer = patch(client, &uri, &wanted, &live, merge).await;
    if let (Merge::Strategic(_), Err(notice)) = (merge, &answer)
        && notice.code == Some(415)
    {
        // An older or foreign server keeps this kind as a custom resource.
        merge = Merge::Json;
        answer = patch(client, &uri, &wanted, &live, merge).await;
    }
    let answer = answer?;
    warnings.extend(answer.warnings);
    let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
    Ok(if version(&answer.object) == version(&live) {
        Verdict::Unchanged
    } else {
        Verdict::Configured
    })
}

async fn patch(
    client: &Client,
    uri: &str,
    wanted: &Value,
    live: &Value,
    merge: Merge,
) -> Result<Answer, Notice> {
    let last = live
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(LAST_APPLIED))
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null);
    let body = merge.patch(&last, wanted);
    let request = request(Method::PATCH, uri, merge.content_type(), &body)?;
    write(client, request).await
}

struct Answer {
    object: Value,
    warnings: Vec<String>,
}

/// Sends a write and keeps the `Warning` headers of its answer, which `Client::request` drops.
async fn write(client: &Client, request: Request<Vec<u8>>) -> Result<Answer, Notice> {
    let response = client.send(request.map(Body::from)).await?;
    let is_done = response.status().is_success();
    let code = response.status().as_u16();
    let warnings = response
        .headers()
        .get_all(http::header::WARNING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(warning_text)
        .collect();
    let body = response.into_body().collect_bytes().await?;
    let object = serde_json::from_slice(&body).map_err(kube::Error::SerdeError);
    if is_done {
        let object = object?;
        return Ok(Answer { object, warnings });
    }
    // What is no `Status` comes from something between here and the server.
    let status = object
        .ok()
        .and_then(|object: Value| serde_json::from_value(object).ok())
        .unwrap_or_else(|| {
            kube::core::Status::failure(String::from_utf8_lossy(&body).trim(), "").with_code(code)
        });
    Err(kube::Error::Api(status.boxed()).into())
}

/// `299 - "unknown field \"spec.x\""` without its code, agent and quoting.
fn warning_text(header: &str) -> String {
    let quoted = header.split_once('"').map_or(header, |(_, rest)| rest);
    let text = quoted.strip_suffix('"').unwrap_or(quoted);
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

async fn get(client: &Client, url: &str) -> Result<Option<Value>, Notice> {
    let request = request(Method::GET, url, "application/json", &Value::Null)?;
    match client.request(request).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn request(
    method: Method,
    uri: &str,
    content_type: &str,
    body: &Value,
) -> Result<Request<Vec<u8>>, Notice> {
    let body = match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    Request::builder()
        .method(method)
        .uri(uri)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(body)
        .map_err(|error| invalid(&format!("`{uri}` cannot be asked for: {error}")))
}

fn namespace_of<'a>(
    object: &'a Value,
    options: &'a ApplyOptions,
    default: &'a str,
) -> Result<&'a str, Notice> {
    match (text(object, "/metadata/namespace"), &options.namespace) {
        ("", Some(given)) => Ok(given),
        ("", None) => Ok(default),
        (own, Some(given)) if own != given => Err(invalid(&format!(
            "the object says namespace `{own}`, the command line `{given}`"
        ))),
        (own, _) => Ok(own),
    }
}

/// The object with the memory of itself in its annotations.
fn remember(object: &Value) -> Value {
    let mut plain = object.clone();
    if let Some(metadata) = plain.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.get_mut("annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
        let empty = |annotations: &Value| {
            annotations.is_null()
                || annotations
                    .as_object()
                    .is_some_and(serde_json::Map::is_empty)
        };
        if metadata.get("annotations").is_some_and(empty) {
            metadata.remove("annotations");
        }
    }
    let memory = format!("{plain}\n");
    if memory.len() > LAST_APPLIED_BYTES_MAX {
        return plain;
    }
    if let Some(metadata) = plain.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(LAST_APPLIED.to_owned(), memory.into());
        }
    }
    plain
}

fn invalid(message: &str) -> Notice {
    Notice {
        code: None,
        reason: "Invalid".to_owned(),
        message: message.to_owned(),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_goes_first_and_the_rest_stays_in_order() {
        let kinds = |text: &str| -> Vec<String> {
            let mut documents = crate::config::manifest::parse(text, "a.yaml").documents;
            documents.sort_by_key(rank);
            documents
                .iter()
                .map(|found| found.kind().to_owned())
                .collect()
        };
        let head = "apiVersion: v1\nmetadata: {name: a}\nkind: ";
        let text = format!("{head}Pod\n---\n{head}ConfigMap\n---\n{head}Namespace\n");
        assert_eq!(kinds(&text), ["Namespace", "Pod", "ConfigMap"]);
    }

    #[test]
    fn memory_is_kept_unless_it_is_too_large() {
        let object = json!({"kind": "ConfigMap", "metadata": {"name": "a", "annotations": null}});
        let wanted = remember(&object);
        assert!(wanted["metadata"]["annotations"][LAST_APPLIED].is_string());
        assert_eq!(remember(&wanted), wanted);
        let large = json!({"metadata": {"name": "a"}, "data": {"x": "y".repeat(300_000)}});
        assert_eq!(remember(&large), large);
    }

    #[test]
    fn warnings_are_told_in_their_own_words() {
        let header = r#"299 - "unknown field \"spec.replica\"""#;
        assert_eq!(warning_text(header), r#"unknown field "spec.replica""#);
        assert_eq!(warning_text("plain"), "plain");
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let name = |api: &str, kind: &str| {
            display_name(&json!({"apiVersion": api, "kind": kind, "metadata": {"name": "x"}}))
        };
        assert_eq!(name("apps/v1", "Deployment"), "deployment.apps/x");
        assert_eq!(name("v1", "Service"), "service/x");
    }
}
