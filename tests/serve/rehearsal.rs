//! A rehearsal as its client sees it: a fork of its own, and nothing written to the cluster that was
//! forked.

use std::time::Duration;

use bayplan::connect::rehearsal::{AtHand, Order};
use bayplan::connect::{Access, Kind, Notice, Session, Target};
use bayplan::rehearse::archive::Archive;
use bayplan::rehearse::{Fork, Options, Step};
use bayplan::serve::{HostOptions, Seed};
use http::Request;
use serde_json::{Value, json};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/cart";

fn seed() -> Seed {
    let pool = |rack: &str| {
        json!({"apiVersion": "lab.bayplan.dev/v1alpha1", "kind": "NodePool",
            "metadata": {"name": rack}, "spec": {"count": 2, "zone": "za", "rack": rack,
                "machineType": {"name": "m", "capacity":
                    {"cpu": "4", "memory": "16Gi", "pods": "20"}}}})
    };
    let labels = json!({"app": "cart"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cart"},
        "spec": {"replicas": 4, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app",
                "image": "cart:1", "resources": {"requests": {"cpu": "500m"}}}]}}}});
    Seed::Objects(vec![pool("r1"), pool("r2"), deployment])
}

async fn open(folder: &std::path::Path, access: Access) -> Session {
    let target = Target::Embedded(HostOptions {
        cluster: "prod".into(),
        folder: Some(folder.to_path_buf()),
        command: "test".into(),
        listen: None,
        seed: seed(),
        scheduler: None,
        companion: None,
        logs: bayplan::serve::logs::Bounds::default(),
    });
    Session::open(target, access, None).await.unwrap()
}

async fn get(session: &Session, path: &str) -> Value {
    let request = Request::get(path).body(Vec::new()).unwrap();
    session.client().request(request).await.unwrap()
}

async fn replicas(session: &Session, field: &str) -> i64 {
    let cart = get(session, DEPLOYMENT).await;
    cart.pointer(field).and_then(Value::as_i64).unwrap_or(0)
}

async fn scale(session: &Session, count: i64) -> Result<Value, Notice> {
    let request = Request::patch(format!("{DEPLOYMENT}/scale"))
        .header("content-type", "application/merge-patch+json")
        .body(
            json!({"spec": {"replicas": count}})
                .to_string()
                .into_bytes(),
        )
        .unwrap();
    session
        .client()
        .request(request)
        .await
        .map_err(Notice::from)
}

async fn settled(session: &Session) {
    for _ in 0..600 {
        if replicas(session, "/status/readyReplicas").await == 4 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the cluster does not come to rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_in_a_fork_is_told_and_never_reaches_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let real = open(folder.path(), Access::ReadWrite).await;
    settled(&real).await;
    let fork = real.rehearse(AtHand::default(), 0).await.unwrap();
    real.hold(true);
    assert_eq!(fork.identity().kind, Kind::Rehearsal);
    assert_eq!(fork.identity().cluster, "prod");
    assert_eq!(replicas(&fork, "/status/readyReplicas").await, 4);

    scale(&fork, 6).await.unwrap();
    let rehearsal = fork.rehearsal().unwrap();
    let told = rehearsal.order(Order::Rest).await.unwrap();
    let pods = get(&fork, "/api/v1/namespaces/default/pods").await;
    assert_eq!(
        replicas(&fork, "/status/readyReplicas").await,
        6,
        "{told:?}: {pods:#}"
    );
    let step = Step::parse("lose rack=r1", "default").unwrap();
    rehearsal.order(Order::Take(Box::new(step))).await.unwrap();
    let told = rehearsal.order(Order::Rest).await.unwrap();
    assert!(told.unwrap().starts_with("settled: "));
    let steps = rehearsal.progress().borrow().steps.clone();
    assert_eq!(steps, ["scale deploy/cart=6 -n default", "lose rack=r1"]);
    let outcome = rehearsal.outcome().await.unwrap();
    assert_eq!(outcome.steps.len(), 2);
    assert!(outcome.steps[0].settled);
    assert_eq!(outcome.steps[0].effects.created, 2);
    assert!(!outcome.steps[1].effects.moved.is_empty());
    assert!(outcome.falls_below_target);

    // The file says the same steps, and taken again they come to the same moves.
    let saved = Archive::decode(&rehearsal.archive(false).await.unwrap()).unwrap();
    let options = Options {
        source: saved.source,
        seed: saved.seed,
        now: saved.forked_at,
    };
    let mut again = Fork::of(&saved.cluster, options, Vec::new());
    for step in &saved.steps {
        again.take(step).unwrap();
    }
    let again = again.outcome(0);
    let moves = |outcome: &bayplan::rehearse::Outcome| outcome.total.moved.len();
    assert_eq!(moves(&again), moves(&outcome));

    // Behind it the real session refuses every write, and says why.
    let refused = scale(&real, 9).await.unwrap_err();
    assert_eq!(
        refused.message,
        format!("a rehearsal of this cluster is under way: PATCH {DEPLOYMENT}/scale was not sent")
    );
    assert_eq!(replicas(&real, "/spec/replicas").await, 4);
    let nodes = get(&real, "/api/v1/nodes").await.to_string();
    assert!(!nodes.contains("unreachable"), "the rack is there");
    real.hold(false);
    fork.close().await;
    scale(&real, 5).await.unwrap();
    assert_eq!(replicas(&real, "/spec/replicas").await, 5);
    real.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_and_its_evictions_are_one_drain_and_time_runs_as_fast_as_one_likes() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever may only read there may do everything here.
    let real = open(folder.path(), Access::ReadOnly).await;
    settled(&real).await;
    let fork = real.rehearse(AtHand::default(), 0).await.unwrap();
    let rehearsal = fork.rehearsal().unwrap();
    let pods = get(&fork, "/api/v1/namespaces/default/pods").await;
    let pods = pods.get("items").and_then(Value::as_array).unwrap();
    let text = |pod: &Value, pointer: &str| {
        let text = pod.pointer(pointer).and_then(Value::as_str);
        text.unwrap().to_owned()
    };
    let node = text(&pods[0], "/spec/nodeName");
    let cordon = Request::patch(format!("/api/v1/nodes/{node}"))
        .header("content-type", "application/merge-patch+json")
        .body(br#"{"spec":{"unschedulable":true}}"#.to_vec())
        .unwrap();
    fork.client().request::<Value>(cordon).await.unwrap();
    let name = text(&pods[0], "/metadata/name");
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    for dry in ["?dryRun=All", ""] {
        let path = format!("/api/v1/namespaces/default/pods/{name}/eviction{dry}");
        let eviction = Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .unwrap();
        fork.client().request::<Value>(eviction).await.unwrap();
    }
    let steps = rehearsal.progress().borrow().steps.clone();
    assert_eq!(steps, [format!("drain {node}")]);

    rehearsal.order(Order::Rate(600)).await.unwrap();
    let began = rehearsal.progress().borrow().forked_at;
    let mut passed = false;
    for _ in 0..600 {
        let now = rehearsal
            .progress()
            .borrow()
            .clock
            .read(bayplan::stdx::clock::now());
        passed = now.duration_since(began).as_secs() > 120;
        if passed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(passed, "two minutes pass in less than one");
    let outcome = rehearsal.outcome().await.unwrap();
    assert_eq!(outcome.total.moved.len(), 1);
    assert_eq!(outcome.after.cordoned, 1);
    fork.close().await;
    real.close().await;
}
