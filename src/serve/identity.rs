//! Who is at the other end of a connection, and as whom a request is to be answered.

use http::{HeaderMap, header};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::apiserver::{Impersonation, Status, User, impersonate};
use crate::k8s::Name;
use crate::plane::Published;
use crate::stdx::clock;

/// The group that may do everything, whatever the roles say.
pub const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";

/// The user that owns the machine's account: the unix socket and the memory connection are theirs
/// alone.
pub fn administrator() -> User {
    user("admin".into(), vec![Name::new_static(MASTERS)])
}

/// Somebody who showed nothing.
fn anonymous() -> User {
    User {
        name: Name::new_static("system:anonymous"),
        groups: vec![Name::new_static("system:unauthenticated")],
        ..User::default()
    }
}

/// The user of a verified client certificate: its common name, its organisations as groups.
///
/// Source: Kubernetes' documentation on X509 client certificates.
pub fn of_certificate(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups = subject
        .iter_organization()
        .filter_map(|organisation| organisation.as_str().ok())
        .map(Name::new)
        .collect();
    Some(user(name.into(), groups))
}

/// Whom a request is from: the owner of the connection, else of the bearer token, else nobody; and
/// whom it acts as, if its headers ask for that.
///
/// Source: the order of authenticators in `pkg/kubeapiserver/authenticator/config.go`; rules decide
/// what nobody may read.
pub fn of_request(
    published: &Published,
    peer: Option<&User>,
    headers: &HeaderMap,
) -> Result<User, Status> {
    let cluster = &published.snapshot.cluster;
    let user = match (peer, bearer_token(headers)) {
        (Some(user), _) => user.clone(),
        (None, Some(token)) => published
            .registry
            .authenticate(token, cluster, clock::now())
            .map_err(|refused| {
                tracing::debug!(%refused, "a bearer token was refused");
                Status::new(401, "Unauthorized", "Unauthorized")
            })?,
        (None, None) => anonymous(),
    };
    let wanted = impersonation(headers);
    if wanted.is_asked() {
        return impersonate(cluster, &user, &wanted);
    }
    Ok(user)
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn impersonation(headers: &HeaderMap) -> Impersonation {
    let mut wanted = Impersonation::default();
    for (name, value) in headers {
        let Some(part) = name.as_str().strip_prefix("impersonate-") else {
            continue;
        };
        let value = value.to_str().unwrap_or_default().to_owned();
        match part.strip_prefix("extra-") {
            Some(key) => wanted.extra.push((key.to_owned(), value)),
            None if part == "user" => wanted.user = value,
            None if part == "uid" => wanted.uid = value,
            None if part == "group" => wanted.groups.push(value),
            None => {}
        }
    }
    wanted
}

fn user(name: Name, mut groups: Vec<Name>) -> User {
    groups.push(Name::new_static(AUTHENTICATED));
    User {
        name,
        groups,
        ..User::default()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_say_who_asks_and_as_whom() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer_token(&headers), None);
        assert!(!impersonation(&headers).is_asked());
        let mut put = |name: &'static str, value| {
            headers.append(name, HeaderValue::from_static(value));
        };
        put("authorization", "Bearer abc");
        put("impersonate-user", "ann");
        put("impersonate-group", "ops");
        put("impersonate-group", "dev");
        put("impersonate-extra-reason", "test");
        assert_eq!(bearer_token(&headers), Some("abc"));
        let wanted = impersonation(&headers);
        assert_eq!((wanted.user.as_str(), wanted.groups.len()), ("ann", 2));
        assert_eq!(wanted.extra, [("reason".to_owned(), "test".to_owned())]);
    }
}
