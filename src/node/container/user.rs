//! As whom a container's process runs: numbers, from what the pod asks and what the image says.
//!
//! Sources: `pkg/kubelet/kuberuntime/security_context.go` for what is refused and in which words;
//! containerd's `WithUser` and `WithAdditionalGIDs` for names, which are the image's own.

use std::fs;
use std::path::PathBuf;

use super::bundle::{BundleError, Parts};

/// User, group and further groups of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: i64,
    pub group: i64,
    pub groups: Vec<i64>,
}

/// One line of `/etc/passwd`.
struct Account {
    name: String,
    user: i64,
    group: i64,
}

pub fn identity(parts: &Parts<'_>) -> Result<Identity, BundleError> {
    let security = parts.container.security_context.as_ref();
    let pod = parts.pod_security;
    let asked = security
        .and_then(|it| it.run_as_user)
        .or_else(|| pod?.run_as_user);
    let asked_group = security
        .and_then(|it| it.run_as_group)
        .or_else(|| pod?.run_as_group);
    let image = parts.image.config().as_ref();
    let said = image.and_then(|image| image.user().clone());
    let said = said.unwrap_or_default();
    let (name, group) = said.split_once(':').unwrap_or((&said, ""));
    refuse_root(parts, asked, name)?;
    let number = asked.or_else(|| name.parse().ok()).or(match name {
        "" => Some(0),
        _ => None,
    });
    let account = account(parts.layers, |account| match number {
        Some(number) => account.user == number,
        None => account.name == name,
    });
    let user = match (number, &account) {
        (Some(number), _) => number,
        (None, Some(account)) => account.user,
        // An image without accounts is still root's.
        (None, None) if name == "root" => 0,
        (None, None) => return Err(BundleError::NoAccount(name.to_owned())),
    };
    let named_group = || match group {
        _ if asked.is_some() => None,
        "" => None,
        group => group
            .parse()
            .ok()
            .or_else(|| groups(parts.layers, |name, _| name == group).pop()),
    };
    let own_group = account.as_ref().map(|account| account.group);
    let group = asked_group.or_else(named_group).or(own_group).unwrap_or(0);
    let is_strict = pod.and_then(|pod| pod.supplemental_groups_policy.as_deref()) == Some("Strict");
    let mut all = match account {
        Some(account) if !is_strict => groups(parts.layers, |_, members| {
            members.split(',').any(|member| member == account.name)
        }),
        _ => Vec::new(),
    };
    if let Some(pod) = pod {
        all.extend(pod.supplemental_groups.iter().flatten());
        all.extend(pod.fs_group);
    }
    all.sort_unstable();
    all.dedup();
    Ok(Identity {
        user,
        group,
        groups: all,
    })
}

/// `runAsNonRoot`, of the container or its pod.
fn refuse_root(parts: &Parts<'_>, asked: Option<i64>, name: &str) -> Result<(), BundleError> {
    let security = parts.container.security_context.as_ref();
    let own = security.and_then(|it| it.run_as_non_root);
    let is_forbidden = own.or_else(|| parts.pod_security?.run_as_non_root) == Some(true);
    let about = || {
        format!(
            "(pod: {:?}, container: {})",
            parts.pod, parts.container.name
        )
    };
    match (asked, name.parse::<i64>()) {
        _ if !is_forbidden => Ok(()),
        (Some(0), _) => Err(BundleError::AsksForRoot(about())),
        (None, Ok(0)) => Err(BundleError::Root(about())),
        (None, Err(_)) if name.is_empty() => Err(BundleError::Root(about())),
        (None, Err(_)) => Err(BundleError::NamedUser(name.to_owned(), about())),
        _ => Ok(()),
    }
}

/// A file of the image, from the highest layer that has it. Links are not followed: they would
/// lead to this machine's own files.
fn file(layers: &[PathBuf], path: &str) -> String {
    let found = layers.iter().rev().map(|layer| layer.join(path));
    let mut found = found.filter(|path| path.symlink_metadata().is_ok());
    let plain = found
        .next()
        .filter(|path| path.symlink_metadata().is_ok_and(|it| it.is_file()));
    plain
        .and_then(|path| fs::read_to_string(path).ok())
        .unwrap_or_default()
}

fn account(layers: &[PathBuf], wanted: impl Fn(&Account) -> bool) -> Option<Account> {
    file(layers, "etc/passwd")
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some(Account {
                name: fields.next()?.to_owned(),
                user: fields.nth(1)?.parse().ok()?,
                group: fields.next()?.parse().ok()?,
            })
        })
        .find(wanted)
}

/// The numbers of the groups that are wanted by their name or members.
fn groups(layers: &[PathBuf], wanted: impl Fn(&str, &str) -> bool) -> Vec<i64> {
    file(layers, "etc/group")
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let number = fields.nth(1)?.parse().ok()?;
            wanted(name, fields.next().unwrap_or_default()).then_some(number)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use k8s_openapi::api::core::v1::{Container, PodSecurityContext};
    use oci_spec::image::ImageConfiguration;
    use serde_json::{Value, json};

    use super::super::sandbox::Sandbox;
    use super::*;

    /// User, group, groups; or the refusal.
    fn of(user: &str, container: &Value, pod: &Value) -> Result<(i64, i64, Vec<i64>), String> {
        let layer = tempfile::tempdir().unwrap();
        fs::create_dir(layer.path().join("etc")).unwrap();
        let accounts = "root:x:0:0::/:/bin/sh\nweb:x:101:102:Web:/srv:/bin/sh\n";
        fs::write(layer.path().join("etc/passwd"), accounts).unwrap();
        let groups = "root:x:0:\nweb:x:102:\nmail:x:8:root,web\n";
        fs::write(layer.path().join("etc/group"), groups).unwrap();
        let container: Container =
            serde_json::from_value(json!({"name": "app", "securityContext": container})).unwrap();
        let security: PodSecurityContext = serde_json::from_value(pod.clone()).unwrap();
        let image: ImageConfiguration = serde_json::from_value(json!({
            "architecture": "amd64", "os": "linux", "config": {"User": user},
            "rootfs": {"type": "layers", "diff_ids": []},
        }))
        .unwrap();
        let identity = identity(&Parts {
            id: "one",
            pod: "web_default(1)",
            container: &container,
            image: &image,
            layers: &[layer.path().to_path_buf()],
            rootfs: Path::new("/run/one/rootfs"),
            environment: &BTreeMap::new(),
            mounts: &[],
            sandbox: &Sandbox::default(),
            profiles: Path::new("/none"),
            pod_security: Some(&security),
        });
        identity
            .map(|it| (it.user, it.group, it.groups))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_the_images_own_and_numbers_of_the_pod_win() {
        let none = json!({});
        assert_eq!(of("", &none, &none), Ok((0, 0, vec![8])));
        assert_eq!(of("web", &none, &none), Ok((101, 102, vec![8])));
        assert_eq!(of("web:mail", &none, &none), Ok((101, 8, vec![8])));
        assert_eq!(of("1000:7", &none, &none), Ok((1000, 7, vec![])));
        let pod = json!({"runAsUser": 101, "fsGroup": 50, "supplementalGroups": [60]});
        assert_eq!(of("1000:7", &none, &pod), Ok((101, 102, vec![8, 50, 60])));
        let own = json!({"runAsUser": 5, "runAsGroup": 6});
        assert_eq!(of("web", &own, &pod), Ok((5, 6, vec![50, 60])));
        let strict = json!({"supplementalGroupsPolicy": "Strict"});
        assert_eq!(of("web", &none, &strict), Ok((101, 102, vec![])));
        assert_eq!(
            of("absent", &none, &none),
            Err("unable to find user absent: no matching entries in passwd file".to_owned())
        );
    }

    #[test]
    fn root_is_refused_in_the_kubelets_words() {
        let (none, pod) = (json!({}), json!({"runAsNonRoot": true}));
        let about = "(pod: \"web_default(1)\", container: app)";
        let refused = |user: &str, own: &Value| of(user, own, &pod).unwrap_err();
        let as_root = format!("container has runAsNonRoot and image will run as root {about}");
        assert_eq!(refused("", &none), as_root);
        assert_eq!(refused("0", &none), as_root);
        assert_eq!(
            refused("web", &none),
            format!(
                "container has runAsNonRoot and image has non-numeric user (web), cannot verify \
                 user is non-root {about}"
            )
        );
        assert_eq!(
            refused("1000", &json!({"runAsUser": 0})),
            format!("container's runAsUser breaks non-root policy {about}")
        );
        assert!(of("", &json!({"runAsUser": 9}), &pod).is_ok());
        assert!(of("", &json!({"runAsNonRoot": false}), &pod).is_ok());
    }
}
