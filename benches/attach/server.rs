//! The server as a process of its own, what it is asked, and somebody else who changes its objects.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// Writers at work at the same time.
const WRITERS: usize = 24;

pub struct Server {
    child: Child,
    port: String,
    pub kubeconfig: PathBuf,
}

impl Server {
    /// Serves the cluster in `folder`; returns when it is ready.
    pub fn start(folder: &Path, root: &Path) -> Self {
        let kubeconfig = root.join("kubeconfig.yaml");
        let mut child = Command::new(env!("CARGO_BIN_EXE_bayplan"))
            .args([
                "serve",
                "--no-local-node",
                "--listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(folder)
            .arg("--write-kubeconfig")
            .arg(&kubeconfig)
            .env("XDG_DATA_HOME", root.join("server"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().to_owned();
        Self {
            child,
            port,
            kubeconfig,
        }
    }

    /// Connections to the server's port that stand, and the bytes that clients have sent over them,
    /// as the kernel counts them: without a request there is none.
    pub fn asked(&self) -> (usize, u64) {
        let output = Command::new("ss")
            .args([
                "-Htin",
                "state",
                "established",
                "dport",
                "=",
                &format!(":{}", self.port),
            ])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let sent = text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("bytes_sent:"));
        let sent: Vec<u64> = sent.map(|bytes| bytes.parse().unwrap()).collect();
        (sent.len(), sent.iter().sum())
    }

    pub async fn client(&self) -> kube::Client {
        let document = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(document, &options)
            .await
            .unwrap();
        kube::Client::try_from(config).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.child);
        let _unless_gone = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        let _ended = self.child.wait();
    }
}

/// Paths of some pods, from all over the cluster.
pub async fn pods(client: &kube::Client) -> Vec<String> {
    let mut paths = Vec::new();
    for index in 0..24 {
        let list = format!("/api/v1/namespaces/team-{index:02}/pods?limit=500");
        let list: Value = get(client, &list).await;
        for item in list["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            paths.push(format!("/api/v1/namespaces/team-{index:02}/pods/{name}"));
        }
    }
    paths
}

pub async fn get(client: &kube::Client, path: &str) -> Value {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    client.request(request).await.unwrap()
}

pub async fn merge(client: &kube::Client, path: &str, patch: &Value) {
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(patch.to_string().into_bytes())
        .unwrap();
    let _answer: Value = client.request(request).await.unwrap();
}

/// Somebody who changes pods, so many a second, until dropped.
pub struct Changes {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
}

impl Changes {
    pub fn begin(client: &kube::Client, paths: &[String], a_second: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let made = Arc::new(AtomicUsize::new(0));
        let pace = Duration::from_secs(1).mul_f64(WRITERS as f64 / a_second as f64);
        for writer in 0..WRITERS {
            let paths: Vec<String> = paths
                .iter()
                .skip(writer)
                .step_by(WRITERS)
                .cloned()
                .collect();
            let (client, stop, made) = (client.clone(), Arc::clone(&stop), Arc::clone(&made));
            tokio::spawn(async move {
                let mut clock = tokio::time::interval(pace);
                for (turn, path) in paths.iter().cycle().enumerate() {
                    clock.tick().await;
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let patch =
                        json!({"metadata": {"annotations": {"bench/turn": turn.to_string()}}});
                    merge(&client, path, &patch).await;
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { stop, made }
    }

    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
