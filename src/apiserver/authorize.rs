//! May this request be answered at all? The question to the rules, and the text of a refusal.

use super::rbac::{self, Access, Asker, ResourceAccess};
use super::request::{Request, ResourceTarget, Target, User, Verb};
use super::status::Status;
use crate::k8s::{Cluster, Resource};

/// Refuses what no rule allows, in the words of `k8s.io/apiserver`.
pub fn authorize(cluster: &Cluster, user: &User, request: &Request) -> Result<(), Status> {
    let verb = verb(request.verb);
    let access = match &request.target {
        Target::Path(path) => Access::Path { verb, path },
        Target::Resource(target) => Access::Resource(of_target(verb, target)),
    };
    if rbac::allows(cluster, asker(user), access) {
        return Ok(());
    }
    Err(match &request.target {
        Target::Path(path) => Status::new(
            403,
            "Forbidden",
            format!(
                "forbidden: User \"{}\" cannot {verb} path \"{path}\"",
                user.name
            ),
        ),
        Target::Resource(target) => refusal(user, verb, target),
    })
}

pub(super) fn asker(user: &User) -> Asker<'_> {
    Asker {
        name: &user.name,
        groups: &user.groups,
    }
}

fn of_target<'a>(verb: &'a str, target: &'a ResourceTarget) -> ResourceAccess<'a> {
    ResourceAccess {
        verb,
        group: &target.group,
        plural: &target.plural,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: &target.name,
    }
}

pub(super) fn refusal(user: &User, verb: &str, target: &ResourceTarget) -> Status {
    let resource = if target.subresource.is_empty() {
        target.plural.to_string()
    } else {
        format!("{}/{}", target.plural, target.subresource)
    };
    let place = if target.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", target.namespace)
    };
    Status::forbidden(
        &Resource::new(&target.group, &target.plural),
        &target.name,
        &format!(
            "User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
            user.name, target.group
        ),
    )
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Watch => "watch",
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
        Verb::DeleteCollection => "deletecollection",
    }
}
