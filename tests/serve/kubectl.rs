//! kubectl 1.32 against a served cluster: what the README promises.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::served::Served;

const MACHINES: &str = r#"
apiVersion: lab.bayplan.dev/v1alpha1
kind: NodePool
metadata: {name: a01}
spec:
  count: 3
  machineType: {name: std, capacity: {cpu: "16", memory: 64Gi, pods: "110"}}
  region: eu
  zone: eu-a
  rack: a01
"#;

struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn follow(&self, deployment: &str) -> Child {
        Command::new(&self.program)
            .args(["logs", "--follow", &format!("deployment/{deployment}")])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        match self.run(&arguments) {
            Ok(output) => output,
            Err(error) => panic!("kubectl {line}: {error}"),
        }
    }
}

/// `kubectl` may be a dispatcher over several versions; 1.32 is asked for by name.
pub fn program() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test looks for a program of its machine"
    )]
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("kubectl"))
        .find(|candidate| candidate.is_file())?;
    let real = found.canonicalize().ok()?;
    let named = real.with_file_name("kubectl.1.32");
    Some(if named.is_file() { named } else { found })
}

/// The published manifests lie beside the repository, or above it in a work tree.
fn boutique() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("shared/manifests/online-boutique/kubernetes-manifests.yaml"))
        .find(|path| path.is_file())
}

#[test]
fn kubectl_runs_the_online_boutique() {
    let (Some(program), Some(manifest)) = (program(), boutique()) else {
        println!("skipped: kubectl or the published manifests are not on this machine");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let machines = folder.path().join("machines.yaml");
    std::fs::write(&machines, MACHINES).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let _served = Served::start(
        Path::new(":memory:"),
        &[
            "--write-kubeconfig",
            kubeconfig.to_str().unwrap(),
            "--apply",
            machines.to_str().unwrap(),
        ],
    );
    let kubectl = Kubectl {
        program,
        kubeconfig,
        home: folder.path().to_owned(),
    };
    let manifest = manifest.display();

    assert!(kubectl.ok("version").contains("Server Version: v1.36"));
    let applied = kubectl.ok(&format!("apply -f {manifest}"));
    assert!(
        applied.contains("deployment.apps/frontend created"),
        "{applied}"
    );
    assert!(
        !kubectl
            .ok(&format!("apply -f {manifest}"))
            .contains("configured")
    );
    kubectl.ok("wait --for=condition=Available deployment --all --timeout=60s");

    let wide = kubectl.ok("get deploy,rs,pods -o wide");
    assert!(wide.contains("deployment.apps/frontend"), "{wide}");
    let pods = kubectl.ok("get pods");
    assert!(pods.starts_with("NAME") && pods.contains("READY"), "{pods}");
    assert!(
        pods.lines().skip(1).all(|line| line.contains("Running")),
        "{pods}"
    );

    kubectl.ok("scale deployment frontend --replicas=3");
    kubectl.ok("rollout status deployment/frontend --timeout=60s");
    let count = kubectl
        .ok("get pods -l app=frontend -o name")
        .lines()
        .count();
    assert_eq!(count, 3);
    let described = kubectl.ok("describe deployment frontend");
    assert!(described.contains("Scaled up replica set"), "{described}");
    let logs = kubectl.ok("logs deployment/cartservice");
    assert!(logs.contains("is simulated"), "{logs}");
    let refused = kubectl.run(&["exec", "deployment/cartservice", "--", "ls"]);
    let refused = refused.unwrap_err();
    assert!(
        refused.contains("is simulated") && refused.contains("(BadRequest)"),
        "{refused}"
    );
    let followed = kubectl.follow("cartservice");
    let dry =
        kubectl.ok("set image deployment/frontend server=example.org/x --dry-run=server -o yaml");
    assert!(dry.contains("example.org/x"));
    assert!(
        !kubectl
            .ok("get deployment frontend -o yaml")
            .contains("example.org/x")
    );

    kubectl.ok("delete deployment frontend cartservice");
    kubectl.ok("wait --for=delete pod -l app=frontend --timeout=60s");
    // Following ends with the pod, after its last line.
    let output = followed.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.ends_with("terminated: Completed, exit code 0\n"),
        "{text}"
    );
    let missing = kubectl.run(&["get", "deployment", "frontend"]).unwrap_err();
    assert_eq!(
        missing.trim(),
        "Error from server (NotFound): deployments.apps \"frontend\" not found"
    );
}
