//! Makes clusters of running pods and saves them, for the benches of the console.

use std::path::Path;
use std::time::Duration;

use bayplan::config::fleet::Fleet;
use bayplan::connect::{self, Access};
use bayplan::serve::{Host, HostOptions, Seed};
use bayplan::stdx::clock;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(15);
/// Looking costs the host time that it needs for growing.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Hosts a cluster of these objects until so many pods are ready, and leaves it in `folder`.
pub fn grow(folder: &Path, seed: Vec<Value>, pods: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let host = Host::open(HostOptions {
            cluster: "default".into(),
            folder: Some(folder.to_owned()),
            command: "bench".into(),
            listen: None,
            seed: Seed::Objects(seed),
            scheduler: None,
            companion: None,
            logs: bayplan::serve::logs::Bounds::default(),
        })
        .await
        .unwrap();
        let client = connect::in_process(&host, Access::ReadOnly);
        let deadline = clock::instant() + PATIENCE;
        while ready(&client).await < pods {
            assert!(clock::instant() < deadline, "the pods do not become ready");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        host.stop().await.unwrap();
    });
}

async fn ready(client: &kube::Client) -> usize {
    let path = "/apis/apps/v1/deployments";
    let list: Value = client
        .request(http::Request::get(path).body(Vec::new()).unwrap())
        .await
        .unwrap();
    let items = list["items"].as_array().unwrap();
    let ready = |item: &Value| item["status"]["readyReplicas"].as_u64().unwrap_or(0);
    usize::try_from(items.iter().map(ready).sum::<u64>()).unwrap()
}

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// So many machines in three zones, each of so many racks.
pub fn fleet(nodes: usize, racks: usize) -> Vec<Value> {
    let racks_all = 3 * racks;
    let zones: Vec<String> = (0..3)
        .map(|zone| {
            let racks: Vec<String> = (0..racks)
                .map(|rack| {
                    let index = zone * racks + rack;
                    let count = nodes / racks_all + usize::from(index < nodes % racks_all);
                    format!("    - {{name: r{index:02}, machines: {{std: {count}}}}}\n")
                })
                .collect();
            format!("  - name: zone-{zone}\n    racks:\n{}", racks.concat())
        })
        .collect();
    let text = format!(
        "machineTypes:\n  std: {{cpu: 32, memory: 128Gi}}\nregions:\n- name: bench\n  zones:\n{}",
        zones.concat()
    );
    Fleet::parse(&text, "bench.yaml", Path::new("."))
        .unwrap()
        .objects()
}
