//! Acting as somebody else: `kubectl --as` and the `Impersonate-*` headers.
//!
//! Source: `endpoints/filters/impersonation.go` of `k8s.io/apiserver` 1.36: every part of the other
//! identity needs the verb `impersonate` on a resource of its own.

use super::authorize::{asker, refusal};
use super::rbac::{self, Access, ResourceAccess};
use super::request::{ResourceTarget, User};
use super::status::Status;
use super::token::{self, AUTHENTICATED, UNAUTHENTICATED};
use crate::k8s::{Cluster, Name};

const ANONYMOUS: &str = "system:anonymous";
const VERB: &str = "impersonate";

/// Whom the request's headers ask to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Impersonation {
    pub user: String,
    pub uid: String,
    pub groups: Vec<String>,
    /// Keys in lower case.
    pub extra: Vec<(String, String)>,
}

impl Impersonation {
    pub fn is_asked(&self) -> bool {
        *self != Self::default()
    }
}

/// The identity that `user` acts as from here on, if every part of it is allowed.
pub fn impersonate(cluster: &Cluster, user: &User, wanted: &Impersonation) -> Result<User, Status> {
    if wanted.user.is_empty() {
        return Err(Status::new(
            500,
            "InternalError",
            "Internal error occurred: requested impersonation without impersonating a user name",
        ));
    }
    for target in targets(wanted) {
        check(cluster, user, &target)?;
    }
    let account = token::split_user_name(&wanted.user);
    let mut groups: Vec<Name> = wanted.groups.iter().map(Name::new).collect();
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups.extend(token::account_groups(namespace));
    }
    let known = |group: &Name| *group == AUTHENTICATED || *group == UNAUTHENTICATED;
    if !groups.iter().any(known) {
        groups.push(Name::new_static(if wanted.user == ANONYMOUS {
            UNAUTHENTICATED
        } else {
            AUTHENTICATED
        }));
    }
    let mut extra: Vec<(Name, Vec<Name>)> = Vec::new();
    for (key, value) in &wanted.extra {
        match extra.iter_mut().find(|(known, _)| known == key) {
            Some((_, values)) => values.push(value.into()),
            None => extra.push((key.into(), vec![value.into()])),
        }
    }
    Ok(User {
        name: wanted.user.as_str().into(),
        uid: wanted.uid.as_str().into(),
        groups,
        extra,
    })
}

/// What the verb `impersonate` must be allowed on.
fn targets(wanted: &Impersonation) -> Vec<ResourceTarget> {
    let target = |group: &str, plural: &str, name: &str| ResourceTarget {
        group: group.into(),
        plural: plural.into(),
        name: name.into(),
        ..ResourceTarget::default()
    };
    let mut targets = Vec::new();
    targets.push(match token::split_user_name(&wanted.user) {
        Some((namespace, name)) => ResourceTarget {
            namespace: namespace.into(),
            ..target("", "serviceaccounts", name)
        },
        None => target("", "users", &wanted.user),
    });
    targets.extend(wanted.groups.iter().map(|name| target("", "groups", name)));
    targets.extend(wanted.extra.iter().map(|(key, value)| ResourceTarget {
        subresource: key.as_str().into(),
        ..target("authentication.k8s.io", "userextras", value)
    }));
    if !wanted.uid.is_empty() {
        targets.push(target("authentication.k8s.io", "uids", &wanted.uid));
    }
    targets
}

fn check(cluster: &Cluster, user: &User, target: &ResourceTarget) -> Result<(), Status> {
    let access = Access::Resource(ResourceAccess {
        verb: VERB,
        group: &target.group,
        plural: &target.plural,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: &target.name,
    });
    if rbac::allows(cluster, asker(user), access) {
        Ok(())
    } else {
        Err(refusal(user, VERB, target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_user(name: &str) -> Impersonation {
        Impersonation {
            user: name.to_owned(),
            ..Impersonation::default()
        }
    }

    #[test]
    fn an_account_brings_its_groups_and_nobody_else_is_let_through() {
        let cluster = Cluster::default();
        let admin = User::system("admin");
        let account =
            impersonate(&cluster, &admin, &as_user("system:serviceaccount:t:web")).unwrap();
        assert_eq!(
            account.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:t",
                "system:authenticated"
            ]
        );
        let nobody = impersonate(&cluster, &admin, &as_user(ANONYMOUS)).unwrap();
        assert_eq!(nobody.groups, [UNAUTHENTICATED]);
        let refused = impersonate(&cluster, &account, &as_user("ann")).unwrap_err();
        assert_eq!(
            refused.message,
            "users \"ann\" is forbidden: User \"system:serviceaccount:t:web\" cannot impersonate \
             resource \"users\" in API group \"\" at the cluster scope"
        );
        let unnamed = Impersonation {
            groups: vec!["ops".to_owned()],
            ..Impersonation::default()
        };
        assert_eq!(
            impersonate(&cluster, &admin, &unnamed).unwrap_err().code,
            500
        );
    }
}
