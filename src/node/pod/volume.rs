//! A pod's volumes as folders of this machine, and the files that every container is given.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, KeyToPath, Pod as PodObject, Volume, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::environment::field_of;
use super::ownership;
use crate::k8s::quantity::Quantity;
use crate::node::container::bundle::Mount;
use crate::node::kubelet::Shared;
use crate::node::service::DOMAIN;

const TERMINATION_LOG: &str = "/dev/termination-log";

/// Volumes that are there: name to folder or file.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    folders: BTreeMap<String, PathBuf>,
    sandbox: PathBuf,
}

impl Volumes {
    /// Makes all volumes of a pod, or says in words what is missing.
    pub async fn prepare(shared: &Shared, pod: &PodObject, folder: &Path) -> Result<Self, String> {
        let mut folders = BTreeMap::new();
        let spec = pod.spec.clone().unwrap_or_default();
        for volume in spec.volumes.iter().flatten() {
            let path = folder.join("volumes").join(&volume.name);
            let made = make(shared, pod, volume, &path).await;
            let made = made.and_then(|path| {
                owned(pod, volume, &path).map_err(|error| error.to_string())?;
                Ok(path)
            });
            let path = made.map_err(|why| {
                format!(
                    "MountVolume.SetUp failed for volume \"{}\" : {why}",
                    volume.name
                )
            })?;
            folders.insert(volume.name.clone(), path);
        }
        Ok(Self {
            folders,
            sandbox: folder.to_path_buf(),
        })
    }

    /// What one container sees, and its termination log on this side.
    pub fn mounts(
        &self,
        container: &Container,
        own: &Path,
    ) -> Result<(Vec<Mount>, Option<PathBuf>), String> {
        let mut all = Vec::new();
        for file in ["hosts", "resolv.conf", "hostname"] {
            all.push(Mount {
                source: self.sandbox.join(file),
                target: format!("/etc/{file}"),
                read_only: false,
            });
        }
        for mount in container.volume_mounts.iter().flatten() {
            let source = self
                .folders
                .get(&mount.name)
                .ok_or_else(|| format!("volume \"{}\" is not one of the pod's", mount.name))?;
            let source = match mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
                Some(path) => below(source, path).map_err(|error| error.to_string())?,
                None => source.clone(),
            };
            all.push(Mount {
                source,
                target: mount.mount_path.clone(),
                read_only: mount.read_only == Some(true),
            });
        }
        let log = own.join("termination-log");
        // Whoever the container runs as writes it.
        let made = fs::create_dir_all(own)
            .and_then(|()| fs::write(&log, ""))
            .and_then(|()| fs::set_permissions(&log, fs::Permissions::from_mode(0o666)));
        made.map_err(|error| error.to_string())?;
        all.push(Mount {
            source: log.clone(),
            target: container
                .termination_message_path
                .clone()
                .unwrap_or_else(|| TERMINATION_LOG.to_owned()),
            read_only: false,
        });
        Ok((all, Some(log)))
    }
}

async fn make(
    shared: &Shared,
    pod: &PodObject,
    volume: &Volume,
    path: &Path,
) -> Result<PathBuf, String> {
    let text = |error: io::Error| error.to_string();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(host) = &volume.host_path {
        let source = PathBuf::from(&host.path);
        if matches!(host.type_.as_deref(), Some("DirectoryOrCreate")) {
            fs::create_dir_all(&source).map_err(text)?;
        }
        if !source.exists() {
            return Err(format!(
                "hostPath type check failed: {} is not there",
                host.path
            ));
        }
        return Ok(source);
    }
    let claim = volume.persistent_volume_claim.as_ref();
    let claim = claim.map(|it| it.claim_name.clone());
    let own = volume.ephemeral.as_ref().map(|_| {
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        format!("{pod}-{}", volume.name)
    });
    if let Some(claim) = claim.or(own) {
        return shared.claims().folder(namespace, &claim).await;
    }
    fs::create_dir_all(path).map_err(text)?;
    if let Some(empty) = &volume.empty_dir {
        if empty.medium.as_deref() == Some("Memory") {
            in_memory(path, empty.size_limit.as_ref()).map_err(text)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(text)?;
    } else if let Some(map) = &volume.config_map {
        let files = shared
            .config_map(namespace, &map.name, map.optional)
            .await?;
        write(path, &select(files, map.items.as_deref())?).map_err(text)?;
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let files = shared.secret(namespace, name, secret.optional).await?;
        write(path, &select(files, secret.items.as_deref())?).map_err(text)?;
    } else if let Some(projected) = &volume.projected {
        for source in projected.sources.iter().flatten() {
            let files = project(shared, pod, namespace, source).await?;
            write(path, &files).map_err(text)?;
        }
    } else if let Some(downward) = &volume.downward_api {
        let items = downward.items.as_deref().unwrap_or_default();
        write(path, &fields(shared, pod, items)?).map_err(text)?;
    } else {
        return Err("volumes of its type are not supported on this node".to_owned());
    }
    Ok(path.to_path_buf())
}

/// Gives a volume to the pod's `fsGroup`; what is the machine's own stays as it is.
fn owned(pod: &PodObject, volume: &Volume, path: &Path) -> io::Result<()> {
    let security = pod.spec.as_ref();
    let security = security.and_then(|spec| spec.security_context.as_ref());
    match security.and_then(|security| Some((security, security.fs_group?))) {
        Some((security, group)) if volume.host_path.is_none() => {
            let policy = security.fs_group_change_policy.as_deref();
            ownership::give(path, group, policy)
        }
        _ => Ok(()),
    }
}

/// An `emptyDir` of memory, no larger than its limit. It stands already after a restart.
fn in_memory(path: &Path, limit: Option<&WireQuantity>) -> io::Result<()> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    if device(path)? != device(path.parent().unwrap_or(path))? {
        return Ok(());
    }
    let bytes = limit.and_then(|limit| Quantity::parse(&limit.0).ok());
    let options = match bytes {
        Some(bytes) => format!("mode=0777,size={}", bytes.value()),
        None => "mode=0777".to_owned(),
    };
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("tmpfs", path, "tmpfs", flags, options.as_c_str())?)
}

/// Takes down what stands in memory, before a pod's folder is removed.
pub fn unmount_all(pod: &Path) {
    let entries = fs::read_dir(pod.join("volumes")).into_iter().flatten();
    for entry in entries.flatten() {
        let _most_are_folders = unmount(entry.path(), UnmountFlags::DETACH);
    }
}

async fn project(
    shared: &Shared,
    pod: &PodObject,
    namespace: &str,
    source: &VolumeProjection,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    if let Some(map) = &source.config_map {
        let files = shared
            .config_map(namespace, &map.name, map.optional)
            .await?;
        return select(files, map.items.as_deref());
    }
    if let Some(secret) = &source.secret {
        let files = shared
            .secret(namespace, &secret.name, secret.optional)
            .await?;
        return select(files, secret.items.as_deref());
    }
    if let Some(downward) = &source.downward_api {
        let items = downward.items.as_deref().unwrap_or_default();
        return fields(shared, pod, items);
    }
    if let Some(token) = &source.service_account_token {
        let value = shared
            .token(pod, token.audience.as_deref(), token.expiration_seconds)
            .await?;
        return Ok(BTreeMap::from([(token.path.clone(), value.into_bytes())]));
    }
    Err("a projected source of its kind is not supported on this node".to_owned())
}

/// Fields of the pod as files.
fn fields(
    shared: &Shared,
    pod: &PodObject,
    items: &[DownwardAPIVolumeFile],
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::new();
    for item in items {
        let field = item
            .field_ref
            .as_ref()
            .map(|it| it.field_path.as_str())
            .unwrap_or_default();
        let value = field_of(shared, pod, field, None)
            .ok_or_else(|| format!("unsupported fieldPath: {field}"))?;
        files.insert(item.path.clone(), value.into_bytes());
    }
    Ok(files)
}

/// All keys as files, or those that are named at their paths.
fn select(
    files: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(files);
    };
    let named = items.iter().map(|item| {
        let bytes = files.get(&item.key).cloned();
        let bytes =
            bytes.ok_or_else(|| format!("references non-existent config key: {}", item.key))?;
        Ok((item.path.clone(), bytes))
    });
    named.collect()
}

fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for (path, bytes) in files {
        let path = below(folder, path)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// A path that cannot leave its folder.
fn below(folder: &Path, path: &str) -> io::Result<PathBuf> {
    let path = Path::new(path);
    if path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Ok(folder.join(path));
    }
    Err(io::Error::other(format!(
        "`{}` leaves its volume",
        path.display()
    )))
}

/// The name that a pod knows itself by: `spec.hostname`, or its own name. One on the machine's
/// network has the machine's.
pub fn hostname(pod: &PodObject) -> String {
    let spec = pod.spec.as_ref();
    if spec.and_then(|spec| spec.host_network) == Some(true) {
        let machine = rustix::system::uname();
        return machine.nodename().to_string_lossy().into_owned();
    }
    let asked = spec.and_then(|spec| spec.hostname.clone());
    let name = asked
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    name.chars().take(63).collect()
}

/// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a pod.
pub fn write_sandbox_files(
    shared: &Shared,
    pod: &PodObject,
    address: IpAddr,
    folder: &Path,
) -> io::Result<()> {
    let name = hostname(pod);
    let spec = pod.spec.as_ref();
    let names = match spec.and_then(|spec| spec.subdomain.as_deref()) {
        Some(subdomain) => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            format!("{name}.{subdomain}.{namespace}.svc.{DOMAIN}\t{name}")
        }
        None => name.clone(),
    };
    let mut hosts = format!(
        "# written by the kubelet\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{address}\t{names}\n"
    );
    for alias in pod
        .spec
        .iter()
        .flat_map(|spec| spec.host_aliases.iter().flatten())
    {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        hosts.extend([alias.ip.as_str(), "\t", &names, "\n"]);
    }
    fs::write(folder.join("hosts"), hosts)?;
    fs::write(folder.join("hostname"), format!("{name}\n"))?;
    fs::write(folder.join("resolv.conf"), shared.resolver(pod))
}
