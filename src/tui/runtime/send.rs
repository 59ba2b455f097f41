//! Carries an [`Op`] to the server over HTTP, or asks what it would do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::connect::Notice;
use crate::k8s::{Object, ObjectKey, Op, Patch, Preconditions, Propagation, Resource, Subresource};
use crate::tui::actions::drain::EvictionAnswer;
use crate::tui::cache::KindInfo;
use crate::tui::view::Target;

/// Whether a write takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Effective,
    /// `dryRun=All`: admitted and answered, never stored.
    DryRun,
}

/// Field manager of everything that the console writes.
const MANAGER: &str = "bayplan";

/// One HTTP request in parts.
struct Call {
    method: http::Method,
    path: String,
    content_type: &'static str,
    body: Value,
}

/// Sends one write and answers with the server's new state of the object.
pub async fn send(
    client: &kube::Client,
    kinds: &[KindInfo],
    op: &Op,
    mode: Mode,
) -> Result<Value, Notice> {
    let call = call(kinds, op)?;
    let dry_run = if mode == Mode::DryRun {
        "&dryRun=All"
    } else {
        ""
    };
    let request = http::Request::builder()
        .method(call.method)
        .uri(format!("{}?fieldManager={MANAGER}{dry_run}", call.path))
        .header(http::header::CONTENT_TYPE, call.content_type)
        .body(call.body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await.map_err(Notice::from)
}

/// Server-side apply. Fields that another manager owns are a conflict, and are left alone.
pub async fn apply(
    client: &kube::Client,
    kinds: &[KindInfo],
    key: &ObjectKey,
    object: &Value,
) -> Result<Value, Notice> {
    let path = object_path(kinds, key)?;
    let request = http::Request::patch(format!("{path}?fieldManager={MANAGER}"))
        .header(http::header::CONTENT_TYPE, "application/apply-patch+yaml")
        .body(object.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await.map_err(Notice::from)
}

/// One object as it is now, whole.
pub async fn fetch(
    client: &kube::Client,
    kinds: &[KindInfo],
    key: &ObjectKey,
) -> Result<Arc<Object>, Notice> {
    let path = object_path(kinds, key)?;
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    let json: Value = client.request(request).await?;
    let object = Object::from_json(key.resource.clone(), &json);
    object
        .map(Arc::new)
        .map_err(|error| local("Unreadable", error.to_string()))
}

/// Asks for the eviction of one pod, in the life of it that is meant.
pub async fn evict(client: &kube::Client, kinds: &[KindInfo], pod: &Target) -> EvictionAnswer {
    let request = object_path(kinds, &pod.key).and_then(|path| {
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod.key.name, "namespace": pod.key.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        });
        http::Request::post(format!("{path}/eviction?fieldManager={MANAGER}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|error| Notice::from(kube::Error::HttpError(error)))
    });
    let request = match request {
        Ok(request) => request,
        Err(notice) => return EvictionAnswer::Failed(notice.message),
    };
    match client.request::<Value>(request).await {
        Ok(_) => EvictionAnswer::Accepted,
        Err(error) => refusal(error),
    }
}

/// A budget's refusal says more in its cause than in its message.
fn refusal(error: kube::Error) -> EvictionAnswer {
    let status = match &error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    };
    let code = status.map(|status| status.code);
    let cause = status
        .and_then(|status| status.details.as_ref())
        .and_then(|details| {
            let mut causes = details.causes.iter();
            causes.find(|cause| cause.reason == "DisruptionBudget")
        })
        .map(|cause| cause.message.trim_end_matches('.').to_owned());
    let notice = Notice::from(error);
    match code {
        Some(404) => EvictionAnswer::NotFound,
        // Another life of this name: the one that was meant is gone.
        Some(409) if notice.message.contains("UID") || notice.message.contains("uid") => {
            EvictionAnswer::NotFound
        }
        Some(429) => EvictionAnswer::Refused(cause.unwrap_or(notice.message)),
        _ if notice.retryable => EvictionAnswer::Refused(notice.message),
        _ => EvictionAnswer::Failed(notice.message),
    }
}

fn call(kinds: &[KindInfo], op: &Op) -> Result<Call, Notice> {
    const JSON: &str = "application/json";
    Ok(match op {
        Op::Create {
            resource,
            namespace,
            object,
        } => Call {
            method: http::Method::POST,
            path: collection_path(kinds, resource, namespace)?,
            content_type: JSON,
            body: object.clone(),
        },
        Op::Update {
            key,
            subresource,
            object,
        } => Call {
            method: http::Method::PUT,
            path: subresource_path(kinds, key, *subresource)?,
            content_type: JSON,
            body: object.clone(),
        },
        Op::Patch {
            key,
            subresource,
            patch,
            if_match,
        } => {
            let (content_type, body) = match patch {
                Patch::Merge(body) => ("application/merge-patch+json", body),
                Patch::Json(body) => ("application/json-patch+json", body),
                Patch::Strategic(body) => ("application/strategic-merge-patch+json", body),
            };
            Call {
                method: http::Method::PATCH,
                path: subresource_path(kinds, key, *subresource)?,
                content_type,
                body: guarded(body, patch, if_match),
            }
        }
        Op::Delete {
            key,
            if_match,
            propagation,
            grace_period_s,
        } => Call {
            method: http::Method::DELETE,
            path: object_path(kinds, key)?,
            content_type: JSON,
            body: delete_options(if_match, *propagation, *grace_period_s),
        },
        Op::Bind {
            pod,
            uid,
            node,
            annotations,
        } => Call {
            method: http::Method::POST,
            path: format!("{}/binding", object_path(kinds, pod)?),
            content_type: JSON,
            body: json!({
                "apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": uid,
                    "annotations": annotations.iter().cloned().collect::<BTreeMap<_, _>>()},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            }),
        },
        Op::Evict {
            pod,
            grace_period_s,
        } => Call {
            method: http::Method::POST,
            path: format!("{}/eviction", object_path(kinds, pod)?),
            content_type: JSON,
            body: json!({
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": pod.name, "namespace": pod.namespace},
                "deleteOptions": {"gracePeriodSeconds": grace_period_s},
            }),
        },
        Op::Event(_) => {
            return Err(local(
                "Settings",
                "the console records no events".to_owned(),
            ));
        }
    })
}

/// Preconditions travel inside merge patches as the metadata that they are about; a JSON patch tests
/// them first.
fn guarded(body: &Value, patch: &Patch, if_match: &Preconditions) -> Value {
    let mut body = body.clone();
    let conditions = [
        ("uid", if_match.uid.as_ref().map(ToString::to_string)),
        (
            "resourceVersion",
            if_match.revision.map(|revision| revision.to_string()),
        ),
    ];
    for (field, value) in conditions {
        let Some(value) = value else { continue };
        match (patch, &mut body) {
            (Patch::Json(_), Value::Array(operations)) => {
                let path = format!("/metadata/{field}");
                operations.insert(0, json!({"op": "test", "path": path, "value": value}));
            }
            (_, Value::Object(_)) => {
                json_patch::merge(&mut body, &json!({"metadata": {field: value}}));
            }
            _ => {}
        }
    }
    body
}

fn delete_options(
    if_match: &Preconditions,
    propagation: Propagation,
    grace_period_s: Option<i64>,
) -> Value {
    let policy = match propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    };
    let uid = if_match.uid.as_ref().map(ToString::to_string);
    let revision = if_match.revision.map(|revision| revision.to_string());
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy,
        "preconditions": {"uid": uid, "resourceVersion": revision},
        "gracePeriodSeconds": grace_period_s,
    });
    without_nulls(&mut options);
    options
}

fn without_nulls(tree: &mut Value) {
    if let Value::Object(map) = tree {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(without_nulls);
    }
}

fn collection_path(
    kinds: &[KindInfo],
    resource: &Resource,
    namespace: &str,
) -> Result<String, Notice> {
    let kind = kinds
        .iter()
        .find(|kind| kind.resource == *resource)
        .ok_or_else(|| local("NotFound", format!("the server does not know `{resource}`")))?;
    let root = if resource.group.is_empty() {
        format!("/api/{}", kind.version)
    } else {
        format!("/apis/{}/{}", resource.group, kind.version)
    };
    Ok(if kind.namespaced && !namespace.is_empty() {
        format!("{root}/namespaces/{namespace}/{}", resource.plural)
    } else {
        format!("{root}/{}", resource.plural)
    })
}

fn object_path(kinds: &[KindInfo], key: &ObjectKey) -> Result<String, Notice> {
    let collection = collection_path(kinds, &key.resource, &key.namespace)?;
    Ok(format!("{collection}/{}", key.name))
}

fn subresource_path(
    kinds: &[KindInfo],
    key: &ObjectKey,
    subresource: Option<Subresource>,
) -> Result<String, Notice> {
    let path = object_path(kinds, key)?;
    Ok(match subresource {
        None => path,
        Some(Subresource::Status) => format!("{path}/status"),
        Some(Subresource::Scale) => format!("{path}/scale"),
    })
}

fn local(reason: &str, message: String) -> Notice {
    Notice {
        code: None,
        reason: reason.to_owned(),
        message,
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::resources::{DEPLOYMENTS, NODES};
    use crate::k8s::{Revision, Uid};

    fn kinds() -> Vec<KindInfo> {
        let kind = |resource: Resource, kind: &str, namespaced| KindInfo {
            resource,
            version: "v1".into(),
            kind: kind.into(),
            namespaced,
            short_names: Vec::new(),
            verbs: Vec::new(),
        };
        vec![
            kind(DEPLOYMENTS, "Deployment", true),
            kind(NODES, "Node", false),
        ]
    }

    #[test]
    fn a_scale_patch_goes_to_the_scale_subresource_with_its_precondition() {
        let op = Op::Patch {
            key: ObjectKey::new(DEPLOYMENTS, "shop", "cart"),
            subresource: Some(Subresource::Scale),
            patch: Patch::Merge(json!({"spec": {"replicas": 5}})),
            if_match: Preconditions {
                uid: None,
                revision: Some(Revision(7)),
            },
        };
        let call = call(&kinds(), &op).unwrap();
        assert_eq!(
            call.path,
            "/apis/apps/v1/namespaces/shop/deployments/cart/scale"
        );
        assert_eq!(
            call.body,
            json!({"spec": {"replicas": 5}, "metadata": {"resourceVersion": "7"}})
        );
    }

    #[test]
    fn a_deletion_names_the_life_that_it_means() {
        let op = Op::Delete {
            key: ObjectKey::cluster_scoped(NODES, "a01"),
            if_match: Preconditions {
                uid: Some(Uid("u1".into())),
                revision: None,
            },
            propagation: Propagation::Background,
            grace_period_s: None,
        };
        let call = call(&kinds(), &op).unwrap();
        assert_eq!(call.path, "/api/v1/nodes/a01");
        assert_eq!(call.body["preconditions"], json!({"uid": "u1"}));
    }

    #[test]
    fn an_unknown_kind_is_refused_by_name() {
        let key = ObjectKey::new(Resource::of("x.example", "things"), "shop", "t");
        let refused = object_path(&kinds(), &key).unwrap_err();
        assert_eq!(
            refused.message,
            "the server does not know `things.x.example`"
        );
    }
}
