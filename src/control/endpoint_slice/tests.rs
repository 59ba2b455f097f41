//! Tests of endpoint slices and endpoints.

use super::super::endpoints;
use super::super::harness::{Bench, check_order_independent};
use super::*;
use crate::k8s::Propagation;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 2] = [CONTROLLER, endpoints::CONTROLLER];

fn service() -> Draft {
    build::object(resources::SERVICES, "v1", "Service", "web")
        .label("team", "shop")
        .with(&json!({"spec": {
            "clusterIP": "10.96.0.9",
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
        }}))
}

fn backend(name: &str, ip: &str) -> Draft {
    let ports = json!({"spec": {"containers": [
        {"name": "app", "ports": [{"name": "web", "containerPort": 8080}]},
    ]}});
    build::pod(name)
        .label("app", "web")
        .with(&ports)
        .node("n1")
        .with(&json!({"status": {"podIP": ip}}))
}

fn slices(bench: &Bench) -> Vec<Value> {
    bench
        .all(&resources::ENDPOINT_SLICES)
        .iter()
        .map(|slice| slice.json())
        .collect()
}

#[test]
fn slice_tells_addresses_ports_and_zone() {
    let objects = [
        service(),
        build::node("n1").zone("a"),
        backend("web-1", "10.244.0.1"),
        backend("web-2", "10.244.0.2").not_ready(),
        backend("other", "10.244.0.3").label("app", "db"),
        backend("done", "10.244.0.4").phase("Succeeded"),
        backend("pending", "").phase("Pending"),
    ];
    let mut bench = Bench::new(&ALL, &objects);
    bench.settle();
    let slices = slices(&bench);
    assert_eq!(slices.len(), 1);
    let slice = &slices[0];
    assert_eq!(
        slice["ports"],
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}])
    );
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"team": "shop", SERVICE_NAME: "web", MANAGED_BY: MANAGER})
    );
    let endpoints = slice["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 2);
    let first = endpoints
        .iter()
        .find(|entry| entry["addresses"] == json!(["10.244.0.1"]))
        .unwrap();
    assert_eq!(
        first["conditions"],
        json!({"ready": true, "serving": true, "terminating": false})
    );
    assert_eq!(
        (&first["nodeName"], &first["zone"]),
        (&json!("n1"), &json!("a"))
    );
    let second = endpoints
        .iter()
        .find(|entry| entry["addresses"] == json!(["10.244.0.2"]))
        .unwrap();
    assert_eq!(second["conditions"]["ready"], false);
    let old = bench.find(&resources::ENDPOINTS, "web");
    assert_eq!(old["subsets"][0]["addresses"][0]["ip"], "10.244.0.1");
    assert_eq!(
        old["subsets"][0]["notReadyAddresses"][0]["ip"],
        "10.244.0.2"
    );
    assert_eq!(
        old["subsets"][0]["ports"],
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}])
    );
}

#[test]
fn terminating_pods_serve_without_being_ready() {
    let mut bench = Bench::new(&ALL, &[service(), backend("web-1", "10.244.0.1")]);
    bench.settle();
    bench.delete(&resources::PODS, "web-1", Propagation::Background);
    bench.settle();
    assert_eq!(
        slices(&bench)[0]["endpoints"][0]["conditions"],
        json!({"ready": false, "serving": true, "terminating": true})
    );
    assert_eq!(
        bench.find(&resources::ENDPOINTS, "web").get("subsets"),
        None
    );
    bench.run_pods("n1");
    assert_eq!(
        slices(&bench)[0]["endpoints"],
        json!([]),
        "one empty slice stays"
    );
}

#[test]
fn slices_hold_a_hundred_and_change_one_at_a_time() {
    let mut objects: Vec<Draft> = (0..250)
        .map(|n| backend(&format!("web-{n:03}"), &format!("10.244.1.{n}")))
        .collect();
    objects.push(service());
    let mut bench = Bench::new(&ALL, &objects);
    bench.settle();
    let mut sizes: Vec<usize> = slices(&bench)
        .iter()
        .map(|slice| slice["endpoints"].as_array().unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    let versions = |bench: &Bench| -> Vec<u64> {
        bench
            .all(&resources::ENDPOINT_SLICES)
            .iter()
            .map(|slice| slice.revision.0)
            .collect()
    };
    let before = versions(&bench);
    bench.delete(&resources::PODS, "web-007", Propagation::Background);
    bench.settle();
    let changed = before
        .iter()
        .zip(versions(&bench))
        .filter(|(old, new)| **old != *new)
        .count();
    assert_eq!(changed, 1);
}

#[test]
fn service_without_selector_is_left_alone() {
    let kubernetes = service().with(&json!({"spec": {"selector": null}}));
    let mut bench = Bench::new(&ALL, &[kubernetes, backend("web-1", "10.244.0.1")]);
    bench.settle();
    assert!(slices(&bench).is_empty());
    assert_eq!(bench.cluster.count(&resources::ENDPOINTS), 0);
}

#[test]
fn ends_the_same_in_any_order() {
    let objects = [
        service(),
        backend("web-1", "10.244.0.1"),
        backend("web-2", "10.244.0.2"),
    ];
    check_order_independent(&ALL, &objects, |bench| {
        bench.settle();
        bench.delete(&resources::PODS, "web-1", Propagation::Background);
        bench.run_pods("n1");
    });
}

#[test]
fn pods_are_named_in_the_headless_service_that_they_name() {
    let named = |hostname: &str, subdomain: &str| json!({"spec": {"hostname": hostname, "subdomain": subdomain}});
    let objects = [
        service().with(&json!({"spec": {"clusterIP": "None"}})),
        backend("web-1", "10.244.0.1").with(&named("first", "web")),
        backend("web-2", "10.244.0.2").with(&named("second", "db")),
        backend("web-3", "10.244.0.3"),
    ];
    let mut bench = Bench::new(&ALL, &objects);
    bench.settle();
    let slices = slices(&bench);
    let endpoints = slices[0]["endpoints"].as_array().unwrap();
    let names: Vec<&Value> = endpoints.iter().map(|it| &it["hostname"]).collect();
    assert_eq!(names, [&json!("first"), &Value::Null, &Value::Null]);
}
