//! `serviceaccounts/token`: a bearer token for an account.
//!
//! Source: `pkg/registry/core/serviceaccount/storage/token.go` and `ValidateTokenRequest` of
//! Kubernetes 1.36.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::registry::ResourceType;
use super::super::request::{Request, ResourceTarget};
use super::super::status::{Cause, Status};
use super::super::token::{Claims, ISSUER, Private, Reference, user_name};
use super::super::write::{Done, Writing, second};
use super::super::{decode, tree};
use crate::k8s::{Object, Resource, resources};

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const LIFE_DEFAULT_S: i64 = 3600;
const LIFE_LEAST_S: i64 = 600;
const LIFE_MOST_S: i64 = 1 << 32;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    audiences: Vec<String>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<Bound>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Bound {
    kind: String,
    name: String,
    uid: String,
}

pub(in super::super) fn request(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    let account = writing.current(resource_type, target)?;
    let mut body = decode::body(request)?;
    let mut spec: Spec = match body.get("spec") {
        Some(spec) => serde_json::from_value(spec.clone())
            .map_err(|error| Status::bad_request(error.to_string()))?,
        None => Spec::default(),
    };
    let life_s = life_s(&spec)?;
    if spec.audiences.is_empty() {
        spec.audiences.push(ISSUER.to_owned());
    }
    let mut private = Private {
        namespace: account.namespace().to_owned(),
        serviceaccount: Reference::to(&account),
        ..Private::default()
    };
    if let Some(bound) = &spec.bound_object_ref {
        bind(writing, &account, bound, &mut private)?;
    }
    let Some(key) = &writing.registry.token_key else {
        return Err(Status::internal(
            "this cluster has no key to sign tokens with",
        ));
    };
    let now = writing.now;
    let expires = now
        .checked_add(SignedDuration::from_secs(life_s))
        .unwrap_or(now);
    let token = key.sign(&Claims {
        aud: spec.audiences.clone(),
        exp: expires.as_second(),
        iat: now.as_second(),
        iss: ISSUER.to_owned(),
        jti: writing.ids.uuid(),
        nbf: now.as_second(),
        sub: user_name(account.namespace(), account.name()),
        private,
    });
    tree::set_meta(&mut body, "name", account.name());
    tree::set_meta(&mut body, "namespace", account.namespace());
    tree::set_meta(&mut body, "creationTimestamp", second(now));
    if let Some(root) = body.as_object_mut() {
        root.insert("kind".into(), KIND.into());
        root.insert("apiVersion".into(), format!("{GROUP}/v1").into());
        let stated = root.entry("spec").or_insert_with(|| json!({}));
        if let Some(stated) = stated.as_object_mut() {
            stated.insert("audiences".into(), json!(spec.audiences));
            stated.insert("expirationSeconds".into(), json!(life_s));
        }
        root.insert(
            "status".into(),
            json!({"token": token, "expirationTimestamp": second(expires)}),
        );
    }
    Ok(Done::Other(201, body))
}

fn life_s(spec: &Spec) -> Result<i64, Status> {
    let life_s = spec.expiration_seconds.unwrap_or(LIFE_DEFAULT_S);
    let complaint = if life_s < LIFE_LEAST_S {
        "may not specify a duration less than 10 minutes"
    } else if life_s > LIFE_MOST_S {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(life_s);
    };
    let cause = Cause::invalid("spec.expirationSeconds", &json!(life_s), complaint);
    Err(Status::invalid(GROUP, KIND, "", vec![cause]))
}

/// Ties the token to an object: it ends with it.
fn bind(
    writing: &Writing,
    account: &Object,
    bound: &Bound,
    private: &mut Private,
) -> Result<(), Status> {
    let cluster = writing.store.cluster();
    let find = |resource: &Resource, namespace: &str| {
        let found = cluster.find(resource, namespace, &bound.name);
        let found = found.ok_or_else(|| Status::not_found(resource, &bound.name))?;
        if !bound.uid.is_empty() && found.uid.0 != bound.uid {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The \
                 object might have been deleted and then recreated",
                bound.uid
            );
            return Err(Status::conflict(resource, &bound.name, &why));
        }
        Ok(found)
    };
    match bound.kind.as_str() {
        "Pod" => {
            let pod = find(&resources::PODS, account.namespace())?;
            let json: Value = pod.json();
            if tree::text(&json, "/spec/serviceAccountName") != account.name() {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount \"{}\" to pod running with different \
                     serviceaccount name.",
                    account.name()
                )));
            }
            private.pod = Some(Reference::to(pod));
            let node = pod.pod().and_then(|columns| columns.node.as_ref());
            let node = node.and_then(|node| cluster.find(&resources::NODES, "", node));
            private.node = node.map(|node| Reference::to(node));
        }
        "Secret" => {
            private.secret = Some(Reference::to(find(
                &resources::SECRETS,
                account.namespace(),
            )?));
        }
        "Node" => private.node = Some(Reference::to(find(&resources::NODES, "")?)),
        other => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {other}"
            )));
        }
    }
    Ok(())
}
