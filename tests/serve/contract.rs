//! The same requests over every kind of connection: memory, unix socket, TLS; and consoles that
//! come and go around one cluster.

use std::path::Path;

use bayplan::connect::{Access, Kind, Session, Target};
use bayplan::serve::{Host, HostOptions, Seed, kubeconfig};
use futures::{StreamExt, TryStreamExt};
use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

fn options(folder: Option<&Path>, is_served: bool) -> HostOptions {
    HostOptions {
        cluster: "test".to_owned(),
        folder: folder.map(Path::to_owned),
        command: "a test".to_owned(),
        listen: is_served.then(|| ([127, 0, 0, 1], 0).into()),
        seed: Seed::Objects(Vec::new()),
        scheduler: None,
        companion: None,
        logs: bayplan::serve::logs::Bounds::default(),
    }
}

fn install_tls() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}

async fn open(folder: &Path) -> Session {
    let target = Target::Embedded(options(Some(folder), false));
    Session::open(target, Access::ReadWrite, None)
        .await
        .unwrap()
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": "value"}})).unwrap()
}

/// Rows that hold on every connection.
async fn check(client: &kube::Client, name: &str) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let created = maps
        .create(&PostParams::default(), &config_map(name))
        .await
        .unwrap();
    let version = created.metadata.resource_version.clone().unwrap();

    let again = maps.create(&PostParams::default(), &config_map(name)).await;
    assert!(matches!(again, Err(kube::Error::Api(status)) if status.reason == "AlreadyExists"));
    assert!(maps.get_opt("absent").await.unwrap().is_none());

    let mut stale = created.clone();
    stale
        .data
        .get_or_insert_default()
        .insert("key".into(), "newer".into());
    maps.replace(name, &PostParams::default(), &stale)
        .await
        .unwrap();
    let conflict = maps.replace(name, &PostParams::default(), &stale).await;
    assert!(matches!(conflict, Err(kube::Error::Api(status)) if status.code == 409));

    let listed = maps.list(&ListParams::default()).await.unwrap();
    assert!(
        listed
            .items
            .iter()
            .any(|item| item.metadata.name.as_deref() == Some(name))
    );

    let fields = format!("metadata.name={name}");
    let parameters = WatchParams::default().fields(&fields).timeout(5);
    let mut events = std::pin::pin!(maps.watch(&parameters, &version).await.unwrap());
    let event = events.try_next().await.unwrap();
    assert!(matches!(event, Some(WatchEvent::Modified(_))), "{event:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_socket_and_tls_answer_alike() {
    install_tls();
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(options(Some(folder.path()), true))
        .await
        .unwrap();
    check(
        &bayplan::connect::in_process(&host, Access::ReadWrite),
        "memory",
    )
    .await;

    let joined = open(folder.path()).await;
    assert_eq!(joined.identity().kind, Kind::Joined);
    check(joined.client(), "socket").await;

    let file = folder.path().join("kubeconfig");
    kubeconfig::write(&file, &host.kubeconfig().unwrap().unwrap()).unwrap();
    let target = Target::Kubeconfig {
        context: None,
        file: Some(file),
    };
    let session = Session::open(target, Access::ReadWrite, None)
        .await
        .unwrap();
    assert_eq!(session.identity().cluster, "bayplan-test");
    check(session.client(), "tls").await;
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_certificate() {
    install_tls();
    let host = Host::open(options(None, true)).await.unwrap();
    let mut config = kube::Config::new(host.server_url().unwrap().parse().unwrap());
    config.accept_invalid_certs = true;
    let stranger = kube::Client::try_from(config.clone()).unwrap();
    let get = |path: &str| Request::get(path).body(Vec::new()).unwrap();
    assert_eq!(stranger.request_text(get("/readyz")).await.unwrap(), "ok");
    let refused = stranger.request_text(get("/api/v1/nodes")).await;
    assert!(
        matches!(refused, Err(kube::Error::Api(status)) if status.code == 403
        && status.message.contains("User \"system:anonymous\" cannot list resource \"nodes\""))
    );

    // A token that nobody gave out opens nothing either, not even what is public.
    config.auth_info.token = Some("invented".to_owned().into());
    let liar = kube::Client::try_from(config).unwrap();
    let refused = liar.request_text(get("/readyz")).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 401));
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_token_opens_what_its_roles_allow() {
    install_tls();
    let host = Host::open(options(None, true)).await.unwrap();
    let admin = bayplan::connect::in_process(&host, Access::ReadWrite);
    let send = |method: &str, path: &str, body: Value| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        request.body(body.to_string().into_bytes()).unwrap()
    };
    for (path, body) in [
        (
            "/api/v1/namespaces/default/serviceaccounts",
            json!({"metadata": {"name": "reader"}}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            json!({
                "metadata": {"name": "reader"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}],
            }),
        ),
    ] {
        admin
            .request::<Value>(send("POST", path, body))
            .await
            .unwrap();
    }
    let path = "/api/v1/namespaces/default/serviceaccounts/reader/token";
    let issued: Value = admin.request(send("POST", path, json!({}))).await.unwrap();
    let token = issued["status"]["token"].as_str().unwrap().to_owned();

    let mut config = kube::Config::new(host.server_url().unwrap().parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(token.into());
    let reader = kube::Client::try_from(config).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(reader, "default");
    maps.list(&ListParams::default()).await.unwrap();
    let refused = maps.create(&PostParams::default(), &config_map("no")).await;
    assert!(
        matches!(refused, Err(kube::Error::Api(status)) if status.code == 403
        && status.message.contains("User \"system:serviceaccount:default:reader\" cannot create"))
    );
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_reach_the_server_through_memory() {
    let host = Host::open(options(None, false)).await.unwrap();
    let client = bayplan::connect::in_process(&host, Access::ReadWrite);
    // There is nothing to execute in: what counts is that the refusal is the API's own, and not
    // that of a connection that cannot be upgraded.
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client, "default");
    let refused = pods
        .exec("absent", ["true"], &kube::api::AttachParams::default())
        .await;
    let text = format!("{:?}", refused.err().unwrap());
    assert!(text.contains("404") || text.contains("NotFound"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_console_takes_over_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).await;
    let second = open(folder.path()).await;
    assert_eq!(first.identity().kind, Kind::Embedded);
    assert_eq!(second.identity().kind, Kind::Joined);
    let maps: Api<ConfigMap> = Api::namespaced(first.client().clone(), "default");
    maps.create(&PostParams::default(), &config_map("kept"))
        .await
        .unwrap();

    first.close().await;
    let maps: Api<ConfigMap> = Api::namespaced(second.client().clone(), "default");
    let kept = maps.get("kept").await.unwrap();
    assert_eq!(kept.metadata.name.as_deref(), Some("kept"));
    // Now the second one hosts, and a third one joins it.
    let third = open(folder.path()).await;
    assert_eq!(third.identity().kind, Kind::Joined);
    check(third.client(), "after").await;
    second.close().await;
    third.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_session_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(options(Some(folder.path()), false))
        .await
        .unwrap();
    let target = Target::Embedded(options(Some(folder.path()), false));
    let session = Session::open(target, Access::ReadOnly, None).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(session.client().clone(), "default");
    let refused = maps.create(&PostParams::default(), &config_map("no")).await;
    let notice = bayplan::connect::Notice::from(refused.unwrap_err());
    assert_eq!(notice.reason, "ReadOnly");
    assert!(maps.get_opt("no").await.unwrap().is_none());
    host.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_sends_what_is_there_then_what_changes_and_ends_in_time() {
    let host = Host::open(options(None, false)).await.unwrap();
    let client = bayplan::connect::in_process(&host, Access::ReadWrite);
    let request = Request::get("/api/v1/namespaces?watch=true&timeoutSeconds=1")
        .body(Vec::new())
        .unwrap();
    let events = client.request_events::<Value>(request).await.unwrap();
    let events: Vec<WatchEvent<Value>> = events.map(Result::unwrap).collect().await;
    assert!(events.len() >= 4);
    assert!(
        events
            .iter()
            .all(|event| matches!(event, WatchEvent::Added(_) | WatchEvent::Modified(_)))
    );
    host.stop().await.unwrap();
}
