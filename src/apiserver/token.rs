//! Service account tokens: what is in them, how they are signed, whose they are.
//!
//! A token is a JWT over the claims of Kubernetes' bound service account tokens, signed with the
//! cluster's own Ed25519 key (upstream signs with RSA or ECDSA; Ed25519 needs no randomness, so that
//! the same request at the same time gives the same token). The key comes from whoever serves the
//! cluster; nothing here reads or keeps a file.
//!
//! Sources: `pkg/serviceaccount/claims.go` and `pkg/registry/core/serviceaccount/storage/token.go`
//! of Kubernetes 1.36; RFC 7519, RFC 8037.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::request::User;
use crate::k8s::{Cluster, Name, Object, Resource, resources};

/// Issuer of every token, and the audience of those that are meant for this API server.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
pub(super) const AUTHENTICATED: &str = "system:authenticated";
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";
const ALGORITHM: &str = "EdDSA";
/// How far clocks may be apart: `jwt.DefaultLeeway` of the library that upstream verifies with.
const LEEWAY_S: i64 = 60;

/// The key that a cluster signs its tokens with.
pub struct TokenKey {
    pair: Ed25519KeyPair,
    id: String,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the key for service account tokens is no Ed25519 key in PKCS #8")]
pub struct NoKey;

/// Why a token opens nothing. The texts are those of a `TokenReview`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("invalid bearer token")]
    Malformed,
    #[error("invalid bearer token, service account token has expired")]
    Expired,
    #[error("invalid bearer token, service account token is not valid yet")]
    TooEarly,
    #[error("token audiences {audiences:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        audiences: Vec<String>,
        wanted: Vec<String>,
    },
    #[error("invalid bearer token, service account token has been invalidated")]
    Invalidated,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub private: Private,
    pub nbf: i64,
    pub sub: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
pub(super) struct Private {
    pub namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    pub serviceaccount: Reference,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
pub(super) struct Reference {
    pub name: String,
    pub uid: String,
}

impl Reference {
    pub fn to(object: &Object) -> Self {
        Self {
            name: object.name().to_owned(),
            uid: object.uid.0.to_string(),
        }
    }
}

impl std::fmt::Debug for TokenKey {
    /// The private half is never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl TokenKey {
    /// From a private key in PKCS #8.
    pub fn parse(der: &[u8]) -> Result<Self, NoKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_rejected| NoKey)?;
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(pair.public_key().as_ref()));
        Ok(Self { pair, id })
    }

    pub(super) fn sign(&self, claims: &Claims) -> String {
        let header = json!({"alg": ALGORITHM, "kid": self.id, "typ": "JWT"});
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }

    /// The public half as a JSON Web Key set (RFC 7517), for `/openid/v1/jwks`.
    pub(super) fn public_keys(&self) -> Value {
        let point = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"keys": [{
            "use": "sig",
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": ALGORITHM,
            "kid": self.id,
            "x": point,
        }]})
    }

    /// The claims of a token that this key has signed.
    fn verify(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.get("alg").and_then(Value::as_str) != Some(ALGORITHM) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref());
        key.verify(signed.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// Whose token this is. It must be meant for one of `audiences` (none: for this API server), and
    /// what it is bound to must still be there.
    pub fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<(User, Vec<String>), Refused> {
        let claims = self.verify(token).ok_or(Refused::Malformed)?;
        if claims.iss != ISSUER {
            return Err(Refused::Malformed);
        }
        if now.as_second() > claims.exp + LEEWAY_S {
            return Err(Refused::Expired);
        }
        if now.as_second() < claims.nbf - LEEWAY_S {
            return Err(Refused::TooEarly);
        }
        let own = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() {
            &own
        } else {
            audiences
        };
        let fitting: Vec<String> = wanted
            .iter()
            .filter(|audience| claims.aud.contains(audience))
            .cloned()
            .collect();
        if fitting.is_empty() {
            return Err(Refused::Audience {
                audiences: claims.aud,
                wanted: wanted.to_vec(),
            });
        }
        let private = &claims.private;
        let bound = [
            (&resources::SERVICE_ACCOUNTS, Some(&private.serviceaccount)),
            (&resources::PODS, private.pod.as_ref()),
            (&resources::SECRETS, private.secret.as_ref()),
        ];
        let is_there = |(resource, reference): (&Resource, Option<&Reference>)| {
            reference.is_none_or(|reference| {
                cluster
                    .find(resource, &private.namespace, &reference.name)
                    .is_some_and(|found| found.uid.0 == reference.uid)
            })
        };
        if !bound.into_iter().all(is_there) {
            return Err(Refused::Invalidated);
        }
        Ok((user(&claims), fitting))
    }
}

fn user(claims: &Claims) -> User {
    let private = &claims.private;
    let mut extra = vec![(
        Name::new_static("authentication.kubernetes.io/credential-id"),
        vec![Name::from(format!("JTI={}", claims.jti))],
    )];
    for (kind, reference) in [("node", &private.node), ("pod", &private.pod)] {
        if let Some(reference) = reference {
            for (part, value) in [("name", &reference.name), ("uid", &reference.uid)] {
                let key = format!("authentication.kubernetes.io/{kind}-{part}");
                extra.push((key.into(), vec![value.into()]));
            }
        }
    }
    let mut groups = account_groups(&private.namespace);
    groups.push(Name::new_static(AUTHENTICATED));
    User {
        name: user_name(&private.namespace, &private.serviceaccount.name).into(),
        uid: private.serviceaccount.uid.as_str().into(),
        groups,
        extra,
    }
}

/// `system:serviceaccount:NAMESPACE:NAME`.
pub(super) fn user_name(namespace: &str, name: &str) -> String {
    format!("{ACCOUNT_PREFIX}{namespace}:{name}")
}

/// Namespace and name of an account's user name.
pub(super) fn split_user_name(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(ACCOUNT_PREFIX)?.split_once(':')?;
    let is_plain = |part: &str| !part.is_empty() && !part.contains(':');
    (is_plain(namespace) && is_plain(name)).then_some((namespace, name))
}

/// The groups that every account of a namespace is in.
pub(super) fn account_groups(namespace: &str) -> Vec<Name> {
    vec![
        Name::new_static("system:serviceaccounts"),
        format!("system:serviceaccounts:{namespace}").into(),
    ]
}

#[cfg(test)]
mod tests;
