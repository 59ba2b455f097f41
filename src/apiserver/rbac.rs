//! Role-based access control: may this user do this?
//!
//! Source: "Using RBAC Authorization". Rules only ever allow; what no rule allows is refused.
//! Members of `system:masters` may do everything, before any rule is read.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::k8s::resources::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
use crate::k8s::{Cluster, Name, Object};

/// Who asks, as RBAC sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub name: &'a str,
    pub groups: &'a [Name],
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    Resource(ResourceAccess<'a>),
    /// A path outside the resource tree: `/version`, `/apis`.
    Path {
        verb: &'a str,
        path: &'a str,
    },
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceAccess<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or a
    /// special one such as `impersonate`.
    pub verb: &'a str,
    pub group: &'a str,
    pub plural: &'a str,
    /// Empty: the resource itself.
    pub subresource: &'a str,
    /// Empty: cluster-scoped, or all namespaces.
    pub namespace: &'a str,
    /// Empty: no single object.
    pub name: &'a str,
}

/// A `PolicyRule` of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    pub verbs: Vec<Name>,
    pub api_groups: Vec<Name>,
    pub resources: Vec<Name>,
    pub resource_names: Vec<Name>,
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<Name>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Role {
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    subjects: Option<Vec<Subject>>,
    role_ref: RoleRef,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subject {
    kind: Name,
    name: Name,
    namespace: Name,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RoleRef {
    kind: Name,
    name: Name,
}

/// Whether some role bound to the asker allows the access.
pub fn allows(cluster: &Cluster, asker: Asker<'_>, access: Access<'_>) -> bool {
    if is_master(asker) {
        return true;
    }
    let namespace = match access {
        Access::Resource(access) => access.namespace,
        Access::Path { .. } => "",
    };
    bound_roles(cluster, asker, namespace)
        .iter()
        .any(|role| rules_of(role).iter().any(|rule| rule.allows(access)))
}

/// Every rule that holds for the asker in `namespace`, cluster-wide ones included.
pub fn rules_for(cluster: &Cluster, asker: Asker<'_>, namespace: &str) -> Vec<Rule> {
    if is_master(asker) {
        let all = || vec![Name::new_static("*")];
        return vec![
            Rule {
                verbs: all(),
                api_groups: all(),
                resources: all(),
                ..Rule::default()
            },
            Rule {
                verbs: all(),
                non_resource_urls: all(),
                ..Rule::default()
            },
        ];
    }
    bound_roles(cluster, asker, namespace)
        .iter()
        .flat_map(|role| rules_of(role))
        .collect()
}

fn is_master(asker: Asker<'_>) -> bool {
    asker.groups.iter().any(|group| group == "system:masters")
}

/// The roles that bindings give the asker: cluster-wide ones, and those of `namespace`.
fn bound_roles<'a>(cluster: &'a Cluster, asker: Asker<'_>, namespace: &str) -> Vec<&'a Object> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut take = |role: Option<&'a std::sync::Arc<Object>>| {
        if let Some(role) = role.filter(|role| seen.insert(role.key.clone())) {
            found.push(role.as_ref());
        }
    };
    for binding in cluster.list(&CLUSTER_ROLE_BINDINGS) {
        if let Some(role) = role_for(binding, asker) {
            take(cluster.find(&CLUSTER_ROLES, "", &role.name));
        }
    }
    if namespace.is_empty() {
        return found;
    }
    for binding in cluster
        .list(&ROLE_BINDINGS)
        .filter(|role| role.namespace() == namespace)
    {
        if let Some(role) = role_for(binding, asker) {
            take(if role.kind == "ClusterRole" {
                cluster.find(&CLUSTER_ROLES, "", &role.name)
            } else {
                cluster.find(&ROLES, namespace, &role.name)
            });
        }
    }
    found
}

/// The role that this binding names, if one of its subjects is the asker.
fn role_for(binding: &Object, asker: Asker<'_>) -> Option<RoleRef> {
    let parsed: Binding = binding.typed().ok()?;
    let named = parsed
        .subjects
        .iter()
        .flatten()
        .any(|subject| match subject.kind.as_str() {
            "User" => subject.name == asker.name,
            "Group" => asker.groups.contains(&subject.name),
            "ServiceAccount" => {
                let space = if subject.namespace.is_empty() {
                    binding.namespace()
                } else {
                    &subject.namespace
                };
                asker.name == format!("system:serviceaccount:{space}:{}", subject.name)
            }
            _ => false,
        });
    named.then_some(parsed.role_ref)
}

fn rules_of(role: &Object) -> Vec<Rule> {
    role.typed::<Role>()
        .ok()
        .and_then(|role| role.rules)
        .unwrap_or_default()
}

impl Rule {
    pub fn allows(&self, access: Access<'_>) -> bool {
        match access {
            Access::Path { verb, path } => {
                names(&self.verbs, verb)
                    && self
                        .non_resource_urls
                        .iter()
                        .any(|pattern| path_matches(pattern, path))
            }
            Access::Resource(access) => {
                names(&self.verbs, access.verb)
                    && names(&self.api_groups, access.group)
                    && self
                        .resources
                        .iter()
                        .any(|pattern| resource_matches(pattern, &access))
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|name| name == access.name))
            }
        }
    }
}

fn names(list: &[Name], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

/// `*`, `pods`, `pods/log`, `*/scale`.
fn resource_matches(pattern: &str, access: &ResourceAccess<'_>) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        Some((plural, subresource)) => {
            subresource == access.subresource && (plural == "*" || plural == access.plural)
        }
        None => access.subresource.is_empty() && pattern == access.plural,
    }
}

/// A path, or a prefix that ends in `*`.
fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::k8s::Resource;

    fn cluster(objects: &[(Resource, Value)]) -> Cluster {
        let mut cluster = Cluster::default();
        for (resource, json) in objects {
            cluster.insert(&Arc::new(
                Object::from_json(resource.clone(), json).unwrap(),
            ));
        }
        cluster
    }

    fn shop() -> Cluster {
        cluster(&[
            (
                CLUSTER_ROLES,
                json!({"metadata": {"name": "view"}, "rules": [
                {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
                {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/apis/*"]}]}),
            ),
            (
                ROLES,
                json!({"metadata": {"name": "scaler", "namespace": "shop"}, "rules": [
                {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"], "resourceNames": ["cart"]}]}),
            ),
            (
                CLUSTER_ROLE_BINDINGS,
                json!({"metadata": {"name": "all"},
                "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "Group", "name": "ops"}]}),
            ),
            (
                ROLE_BINDINGS,
                json!({"metadata": {"name": "one", "namespace": "shop"},
                "roleRef": {"kind": "Role", "name": "scaler"},
                "subjects": [{"kind": "ServiceAccount", "name": "robot"}]}),
            ),
        ])
    }

    #[track_caller]
    fn check(user: &str, groups: &[&str], access: Access<'_>, expected: bool) {
        let groups: Vec<Name> = groups.iter().map(Name::new).collect();
        let asker = Asker {
            name: user,
            groups: &groups,
        };
        assert_eq!(
            allows(&shop(), asker, access),
            expected,
            "{user} {access:?}"
        );
    }

    fn on<'a>(verb: &'a str, group: &'a str, plural: &'a str, subresource: &'a str) -> Access<'a> {
        let access = ResourceAccess {
            verb,
            group,
            plural,
            subresource,
            namespace: "shop",
            name: "cart",
        };
        Access::Resource(access)
    }

    #[test]
    fn rules_allow_exactly_what_they_name() {
        check("ann", &["ops"], on("list", "", "pods", ""), true);
        check("ann", &["ops"], on("get", "", "pods", "log"), true);
        check("ann", &["ops"], on("get", "", "pods", "exec"), false);
        check("ann", &["ops"], on("delete", "", "pods", ""), false);
        check("ann", &["ops"], on("get", "apps", "pods", ""), false);
        check("bob", &["dev"], on("list", "", "pods", ""), false);
        check(
            "root",
            &["system:masters"],
            on("delete", "x", "anything", ""),
            true,
        );
    }

    #[test]
    fn role_bindings_hold_in_their_namespace_and_for_service_accounts() {
        let robot = "system:serviceaccount:shop:robot";
        check(
            robot,
            &[],
            on("patch", "apps", "deployments", "scale"),
            true,
        );
        check(robot, &[], on("patch", "apps", "deployments", ""), false);
        let elsewhere = ResourceAccess {
            verb: "patch",
            group: "apps",
            plural: "deployments",
            subresource: "scale",
            namespace: "default",
            name: "cart",
        };
        check(robot, &[], Access::Resource(elsewhere), false);
    }

    #[test]
    fn paths_match_whole_or_by_prefix() {
        check(
            "ann",
            &["ops"],
            Access::Path {
                verb: "get",
                path: "/apis/apps/v1",
            },
            true,
        );
        check(
            "ann",
            &["ops"],
            Access::Path {
                verb: "get",
                path: "/healthz/etcd",
            },
            false,
        );
    }
}
