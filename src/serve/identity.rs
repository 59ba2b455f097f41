//! Who is at the other end of a connection.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::apiserver::User;
use crate::k8s::Name;

/// The group that may do everything, whatever the roles say.
pub const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";

/// The user that owns the machine's account: the unix socket and the memory connection are theirs
/// alone.
pub fn administrator() -> User {
    user("admin".into(), vec![Name::new_static(MASTERS)])
}

/// Somebody who showed nothing.
pub fn anonymous() -> User {
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

fn user(name: Name, mut groups: Vec<Name>) -> User {
    groups.push(Name::new_static(AUTHENTICATED));
    User {
        name,
        groups,
        ..User::default()
    }
}
