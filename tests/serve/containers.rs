//! The local node: a pod with an init container and a sidecar really runs, outlives a kill of the
//! control plane, and leaves nothing behind.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for what other processes do"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bayplan::node::leftover;
use rustix::mount::UnmountFlags;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::served::{Local, Served, command};

pub const PATIENCE: Duration = Duration::from_mins(1);
pub const IMAGE: &str = "localhost/shell:1";

/// A shell that needs no libraries: Debian's `busybox-static`.
pub fn shell() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| fs::read(path).is_ok_and(|bytes| is_static(&bytes)))
}

/// Whether no program header of a 64-bit ELF file names an interpreter.
fn is_static(elf: &[u8]) -> bool {
    let short = |at: usize| usize::from(u16::from_le_bytes(elf[at..at + 2].try_into().unwrap()));
    let long = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap());
    let first = usize::try_from(long(32)).unwrap();
    (0..short(56)).all(|n| long(first + n * short(54)) != 3)
}

/// An archive as `docker save` writes it, of one layer with a shell.
fn archive(folder: &Path, shell: &Path) -> PathBuf {
    let mut layer = tar::Builder::new(Vec::new());
    layer.append_path_with_name(shell, "bin/sh").unwrap();
    for name in [
        "cat", "httpd", "mkdir", "nc", "nslookup", "sleep", "tar", "timeout", "wget",
    ] {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_uid(0);
        link.set_gid(0);
        link.set_size(0);
        link.set_mode(0o777);
        layer
            .append_link(&mut link, format!("bin/{name}"), "sh")
            .unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let mut digest = String::new();
    for byte in Sha256::digest(&layer) {
        write!(digest, "{byte:02x}").unwrap();
    }
    let configuration = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "c.json", "RepoTags": [IMAGE], "Layers": ["l.tar"]}]);
    let path = folder.join("image.tar");
    let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
    let files = [
        ("manifest.json", manifest.to_string().into_bytes()),
        ("c.json", configuration.to_string().into_bytes()),
        ("l.tar", layer),
    ];
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive
            .append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    archive.finish().unwrap();
    path
}

fn pod() -> Value {
    let says = |script: &str| json!(["/bin/sh", "-c", script]);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "initContainers": [
                {"name": "first", "image": IMAGE, "command": says("echo prepared > /data/file"),
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                {"name": "beside", "image": IMAGE, "restartPolicy": "Always",
                 "command": says("while true; do sleep 1; done")},
            ],
            "containers": [
                {"name": "app", "image": IMAGE, "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                 "command": says("cat /data/file; echo I am $NAME; while true; do sleep 1; done"),
                 "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                 "readinessProbe": {"exec": {"command": says("test -f /data/file")}, "periodSeconds": 1}},
            ],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    })
}

/// Reads the pod until it is as wanted; what it was at last otherwise.
pub fn wait(local: &mut Local, wanted: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, pod) = local
            .send("GET", "/api/v1/namespaces/default/pods/web", "")
            .unwrap();
        if wanted(code, &pod) {
            return pod;
        }
        assert!(Instant::now() < deadline, "{code} {pod:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn is_ready(_code: u16, pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "Ready" && it["status"] == "True")
}

fn container(pod: &Value) -> (&Value, &Value) {
    let app = &pod["status"]["containerStatuses"][0];
    (&app["containerID"], &app["restartCount"])
}

/// Whether a shim has this file open.
fn is_kept_by_a_shim(path: &Path) -> bool {
    let shims = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        fs::read_to_string(process.path().join("cmdline"))
            .is_ok_and(|line| line.contains("container-shim\0--keep"))
    });
    shims
        .filter_map(|shim| fs::read_dir(shim.path().join("fd")).ok())
        .flat_map(Iterator::flatten)
        .any(|open| fs::read_link(open.path()).is_ok_and(|target| target == path))
}

/// Dropping it ends what a cluster runs on this machine, however its test ended. It must outlive the
/// process that serves, which would start it again.
pub struct Runs(pub PathBuf);

impl Drop for Runs {
    fn drop(&mut self) {
        const GRACE: Duration = Duration::from_secs(1);
        let node = self.0.join("node");
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let (_ended, left) = runtime.block_on(leftover::stop(&node, GRACE));
            leftover::clear_networks(&node);
            left
        });
        let left = ended.join().unwrap();
        // Such as volumes in memory, of pods that were not deleted.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let targets = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let targets: Vec<&str> = targets.collect();
        for target in targets
            .iter()
            .rev()
            .filter(|it| Path::new(it).starts_with(&self.0))
        {
            let _best_effort = rustix::mount::unmount(*target, UnmountFlags::DETACH);
        }
        assert!(left == 0 || std::thread::panicking(), "{left} still run");
    }
}

/// Loads the image; why containers cannot be run here otherwise.
pub fn prepare(folder: &Path, home: &Path) -> Result<(), &'static str> {
    if !rustix::process::geteuid().is_root() {
        return Err("containers need root");
    }
    let namespaces = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .status();
    if !namespaces.is_ok_and(|status| status.success()) {
        return Err("root may not make namespaces here, or there is no `unshare`");
    }
    let shell = shell().ok_or("no static busybox on this machine (Debian: busybox-static)")?;
    let loaded = Command::new(env!("CARGO_BIN_EXE_bayplan"))
        .env("XDG_DATA_HOME", home)
        .args(["image", "load"])
        .arg(archive(folder, &shell))
        .output()
        .unwrap();
    assert!(
        loaded.status.success(),
        "{}",
        String::from_utf8_lossy(&loaded.stderr)
    );
    Ok(())
}

#[test]
fn a_pod_runs_outlives_a_kill_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    if let Err(why) = prepare(folder.path(), &home) {
        println!("skipped: {why}");
        return;
    }

    // A lock that whoever starts the program holds, and gives it open, is free when both have ended.
    let held = folder.path().join("lock");
    let lock = fs::File::create(&held).unwrap();
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).unwrap();

    let data = folder.path().join("data");
    let _runs = Runs(data.clone());
    let start = || {
        let mut command = command(&data, &["--local-node"]);
        Served::spawn(&data, command.env("XDG_DATA_HOME", &home))
    };
    let mut served = start();
    let mut local = served.local();
    let pods = "/api/v1/namespaces/default/pods";
    let deadline = Instant::now() + PATIENCE;
    // The service account that admission asks for is made by a controller.
    while local.send("POST", pods, &pod().to_string()).unwrap().0 != 201 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    let before = wait(&mut local, is_ready);
    assert_eq!(
        before["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"],
        0
    );
    assert_eq!(
        before["status"]["initContainerStatuses"][1]["started"],
        true
    );
    let uid = before["metadata"]["uid"].as_str().unwrap();
    let log = fs::read_to_string(data.join(format!("node/pods/{uid}/logs/app/0.log"))).unwrap();
    let said: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(" F ").nth(1))
        .collect();
    assert_eq!(said, ["prepared", "I am web"]);
    assert!(!is_kept_by_a_shim(&held));

    served.kill();
    let served = start();
    let mut local = served.local();
    // Time for a node that does not know what runs to start it again.
    std::thread::sleep(Duration::from_secs(2));
    let after = wait(&mut local, is_ready);
    assert_eq!(
        container(&after),
        container(&before),
        "it was started again"
    );

    local.send("DELETE", &format!("{pods}/web"), "").unwrap();
    wait(&mut local, |code, _| code == 404);
    assert_eq!(fs::read_dir(data.join("node/pods")).unwrap().count(), 0);
    assert!(!data.join(format!("node/netns/{uid}")).exists());
}
