//! Bad input from outside: each is answered by one plain sentence (what, where, why, what next) and
//! exit code 1, and nothing is overwritten.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod manifests;
mod registry;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `bayplan` with every file of its own below `folder`.
fn bayplan(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bayplan"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null());
    command
}

/// Runs it, expects code 1 and exactly one line on the standard error, which has all these words.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], words: &[&str]) -> String {
    let output = bayplan(folder, arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
    String::from_utf8(output.stdout).unwrap()
}

/// A cluster without machines that is ready; ended when it is dropped.
struct Served(Child);

impl Served {
    fn begin(folder: &Path) -> Self {
        let arguments = [
            "serve",
            "--fleet",
            "none",
            "--data",
            ":memory:",
            "--listen",
            "127.0.0.1:0",
            "--write-kubeconfig",
            "kc",
        ];
        let mut child = bayplan(folder, &arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("ready "), "{line}");
        Self(child)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

const SERVE: [&str; 5] = ["serve", "--fleet", "none", "--listen", "127.0.0.1:0"];

fn serve_at(folder: &str) -> Vec<&str> {
    let mut arguments = SERVE.to_vec();
    arguments.extend(["--data", folder]);
    arguments
}

#[test]
fn manifests_that_cannot_be_are_named_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = Served::begin(at);
    let apply = |name: &str, text: &str, words: &[&str]| {
        std::fs::write(at.join(name), text).unwrap();
        refused(at, &["apply", "-f", name, "--kubeconfig", "kc"], words)
    };
    let map = |name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\n")
    };
    let broken = format!("{}---\na: 1\n  b: 2\n---\n{}", map("first"), map("last"));
    let said = apply(
        "broken.yaml",
        &broken,
        &["broken.yaml:6:", "mapping values"],
    );
    assert_eq!(said, "configmap/first created\nconfigmap/last created\n");
    apply(
        "kind.yaml",
        "apiVersion: v9\nkind: Frob\nmetadata: {name: a}\n",
        &[
            "kind.yaml:1: frob/a",
            "does not know kind `Frob` in version `v9`",
        ],
    );
    apply(
        "namespace.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: nowhere}\n",
        &[
            "namespace.yaml:1: configmap/a",
            "namespaces \"nowhere\" not found",
        ],
    );
    apply(
        "quantity.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: default}\nspec:\n  containers:\n  - {name: a, image: a, resources: {requests: {cpu: 12x}}}\n",
        &[
            "quantity.yaml:1: pod/p",
            "spec.containers[0].resources.requests.cpu: `12x`",
            "Ki Mi Gi",
        ],
    );
    apply(
        "selector.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: default}\nspec:\n  selector: {matchExpressions: [{key: a, operator: Foo}]}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a}]}}\n",
        &[
            "spec.selector.matchExpressions[0].operator",
            "\"DoesNotExist\", \"Exists\", \"In\", \"NotIn\"",
        ],
    );
    apply("empty.yaml", "", &["no objects were found"]);
    refused(
        at,
        &["apply", "-f", "nowhere.yaml"],
        &["`nowhere.yaml`", "No such file"],
    );
    refused(
        at,
        &[
            "apply",
            "-f",
            "empty.yaml",
            "--kubeconfig",
            "kc",
            "--context",
            "nope",
        ],
        &["context `nope` is not in the kubeconfig"],
    );
    std::fs::write(at.join("kc2"), "{{{").unwrap();
    std::fs::write(at.join("map.yaml"), map("a")).unwrap();
    refused(
        at,
        &["apply", "-f", "map.yaml", "--kubeconfig", "kc2"],
        &[
            "the kubeconfig cannot be used",
            "line 1 column 3",
            "--kubeconfig",
        ],
    );
}

#[test]
fn a_manifest_comes_from_a_url_to_a_context_of_a_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = Served::begin(at);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for answer in [
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: far, namespace: default}\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let url = format!("http://{address}/app.yaml");
    let kubeconfig = std::fs::read_to_string(at.join("kc")).unwrap();
    let context = kubeconfig
        .lines()
        .find_map(|line| line.trim().strip_prefix("current-context: "))
        .unwrap();
    let output = bayplan(
        at,
        &[
            "apply",
            "-f",
            &url,
            "--kubeconfig",
            "kc",
            "--context",
            context,
        ],
    )
    .output()
    .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "configmap/far created\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    refused(
        at,
        &["apply", "-f", &url, "--kubeconfig", "kc"],
        &["cannot be downloaded", "404"],
    );
    server.join().unwrap();
    // What the settings protect is not written to from the command line either.
    std::fs::create_dir_all(at.join("config/bayplan")).unwrap();
    std::fs::write(
        at.join("config/bayplan/settings.yaml"),
        format!("readOnly: ['{context}']\n"),
    )
    .unwrap();
    std::fs::write(
        at.join("map.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: default}\n",
    )
    .unwrap();
    refused(
        at,
        &[
            "apply",
            "-f",
            "map.yaml",
            "--kubeconfig",
            "kc",
            "--context",
            context,
        ],
        &["this session is read-only"],
    );
}

#[test]
fn a_store_that_cannot_be_used_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("damaged")).unwrap();
    let bytes: Vec<u8> = (0..50_000_u32)
        .map(|number| u8::try_from(number % 251).unwrap())
        .collect();
    let store = at.join("damaged/store.redb");
    std::fs::write(&store, &bytes).unwrap();
    refused(
        at,
        &serve_at("damaged"),
        &["store.redb` is damaged", "nothing was changed"],
    );
    assert_eq!(std::fs::read(&store).unwrap(), bytes);
    std::fs::write(at.join("file"), "mine").unwrap();
    refused(at, &serve_at("file"), &["`file` cannot be used", "--data"]);
    assert_eq!(std::fs::read(at.join("file")).unwrap(), b"mine");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        at,
        &["serve", "--data", "other", "--listen", &address],
        &["the port is in use; choose another with --listen"],
    );
    assert!(!at.join("other").exists(), "nothing was begun");
}

#[test]
fn words_that_mean_nothing_are_answered_with_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    refused(
        at,
        &["bayz"],
        &["there is no view `bayz`; the views are pulse, bays"],
    );
    refused(at, &["--cluster", "../x"], &["letters, digits"]);
    refused(
        at,
        &["snapshot", "pods", "--size", "5x5"],
        &["20x5 to 1000x500"],
    );
    refused(
        at,
        &["fleet", "check", "fleet.yaml"],
        &["`fleet.yaml`", "No such file"],
    );
    std::fs::write(
        at.join("fleet.yaml"),
        "\
machineTypes:
  std: {cpu: 16, memory: 64Gi, labels: {example.com/gen: g3}}
  gpu: {cpu: 32, memory: 128Gi, resources: {nvidia.com/gpu: 4}}
regions:
- name: eu
  zones:
  - name: eu-a
    power: [p1, p2]
    machines: {huge: 3}
    labels: {example.com/hall: h1}
    racks:
    - a[1-2]
    - {name: a3, machines: {std: 1, gpu: 1}, power: p9}
workloads: [shop/]
",
    )
    .unwrap();
    refused(
        at,
        &["fleet", "check", "fleet.yaml"],
        &[
            "fleet.yaml:9:22:",
            "no machine type `huge`; allowed: gpu, std",
        ],
    );
}

/// Needs another user: only root can become one.
#[cfg(unix)]
#[test]
fn a_server_that_is_gone_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    drop(Served::begin(at));
    let map =
        |name: &str| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    std::fs::write(at.join("maps.yaml"), ["a", "b", "c"].map(map).concat()).unwrap();
    let output = bayplan(at, &["apply", "-f", "maps.yaml", "--kubeconfig", "kc"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let lines = said.lines().count();
    assert_eq!((output.status.code(), lines), (Some(1), 2), "{said}");
    for words in [
        "configmap/a: the server cannot be reached",
        "2 more objects were not sent",
    ] {
        assert!(said.contains(words), "`{words}` is missing: {said}");
    }
}

#[test]
fn a_rehearsal_makes_no_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    refused(
        at,
        &["plan", "--drain", "a1"],
        &["there is no cluster `default`", "--from-dump"],
    );
    assert!(!at.join("data").exists());
}

#[test]
fn a_folder_without_permission_is_said_so() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    std::fs::create_dir(at.join("closed")).unwrap();
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(at, mode(0o755)).unwrap();
    std::fs::set_permissions(at.join("closed"), mode(0o000)).unwrap();
    // The program itself must be within that user's reach.
    let program = at.join("bayplan");
    std::fs::copy(env!("CARGO_BIN_EXE_bayplan"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(serve_at("closed/cluster")).current_dir(at);
    if is_root {
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Permission denied"), "{said}");
    assert!(said.contains("choose another with --data"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    std::fs::set_permissions(at.join("closed"), mode(0o755)).unwrap();
}

/// Six machines of 8 cores without a pod range, a service of six pods with a budget that lets two go,
/// and a daemon everywhere: what `kubectl get -A -o json` would print of them.
fn half_empty() -> String {
    let mut items = Vec::new();
    let owner = |kind: &str, name: &str| {
        serde_json::json!([{"apiVersion": "apps/v1", "kind": kind, "name": name,
            "uid": format!("uid-{name}"), "controller": true}])
    };
    let pod = |name: String, app: &str, kind: &str, node: usize, cpu: &str| {
        serde_json::json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": name,
                "labels": {"app": app}, "ownerReferences": owner(kind, app)},
            "spec": {"nodeName": format!("m{node}"), "containers": [{"name": "app",
                "image": "app:1", "resources": {"requests": {"cpu": cpu, "memory": "256Mi"}}}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    };
    for node in 0..6 {
        let offer = serde_json::json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
        items.push(serde_json::json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("m{node}"), "uid": format!("m{node}"),
                "labels": {"kubernetes.io/hostname": format!("m{node}")}},
            "status": {"capacity": offer, "allocatable": offer,
                "conditions": [{"type": "Ready", "status": "True"}]}}));
        items.push(pod(
            format!("logs-{node}"),
            "logs",
            "DaemonSet",
            node,
            "500m",
        ));
        items.push(pod(format!("web-{node}"), "web", "ReplicaSet", node, "1"));
    }
    let app = "web";
    let labels = serde_json::json!({"app": app});
    let template = serde_json::json!({"metadata": {"labels": labels}, "spec": {
        "containers": [{"name": "app", "image": "app:1", "resources":
            {"requests": {"cpu": "1", "memory": "256Mi"}}}]}});
    items.push(
        serde_json::json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": app, "namespace": "shop", "uid": format!("uid-{app}")},
        "spec": {"replicas": 6, "selector": {"matchLabels": labels}, "template": template},
        "status": {"replicas": 6, "readyReplicas": 6}}),
    );
    items.push(
        serde_json::json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": app, "namespace": "shop", "uid": "budget"},
        "spec": {"maxUnavailable": 2, "selector": {"matchLabels": labels}},
        "status": {"disruptionsAllowed": 2, "currentHealthy": 6, "desiredHealthy": 4,
            "expectedPods": 6}}),
    );
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

#[test]
fn a_plan_says_how_few_machines_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("dump.json"), half_empty()).unwrap();
    let plan = |more: &[&str]| {
        let mut arguments = vec!["plan", "--from-dump", "dump.json"];
        arguments.extend(more);
        let output = bayplan(at, &arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.is_empty(), "{said}");
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = plan(&["--compact"]);
    assert_eq!(code, Some(0), "{text}");
    // 7.5 cores a machine without the daemon: six pods of one core fit one.
    for words in [
        "this workload needs 1 of your 6 machines",
        "6 machines are in use; 5 moves in 3 waves free 5 of them, within the budgets",
        "nothing falls below its target",
    ] {
        assert!(text.contains(words), "`{words}` is missing: {text}");
    }
    let (_, again) = plan(&["--compact"]);
    assert_eq!(text, again, "the same seed gives the same proposal");
    let (code, json) = plan(&["--compact", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["need"]["needs"]), (Some(0), &1.into()));
    for wave in json["need"]["waves"].as_array().unwrap() {
        let moves = wave.as_array().unwrap();
        assert!(moves.len() <= 2, "the budget lets two go: {wave}");
        assert!(moves.iter().all(|one| one["budget"] == "web"), "{wave}");
    }
    let (_, markdown) = plan(&["--compact", "-o", "markdown"]);
    assert!(markdown.contains("| wave | pod |"), "{markdown}");
    // Carried out, pods are missing for as long as they need to start.
    let (code, text) = plan(&["--rebalance", "machines"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("5 moves in 3 waves shall free 5 machines"),
        "{text}"
    );
    assert!(!text.contains("BUDGETS BROKEN"), "{text}");
    let (code, text) = plan(&["--rebalance", "machines", "--allow-dip", "5m"]);
    assert_eq!(code, Some(0), "{text}");
    refused(
        at,
        &["plan", "--from-dump", "dump.json", "--rebalance", "racks"],
        &["`racks` is no goal; machines and spread are"],
    );
}
