//! A small cluster: two zones, four racks, twelve machines, a shop.

use std::sync::Arc;

use bayplan::k8s::Object;
use bayplan::k8s::build::{self, Draft};
use serde_json::json;

const CREATED: &str = "2026-02-20T08:00:00Z";

pub fn pod(name: &str, node: &str) -> Arc<Object> {
    draft(name, node).build()
}

fn draft(name: &str, node: &str) -> Draft {
    build::pod(name)
        .with(&json!({"metadata": {"namespace": "shop"}}))
        .created(CREATED)
        .cpu("1500m")
        .memory("2Gi")
        .image("shop/app:1.8.2")
        .node(node)
        .running()
}

pub fn pending(name: &str) -> Arc<Object> {
    build::pod(name)
        .with(&json!({"metadata": {"namespace": "shop"}}))
        .created("2026-03-01T14:00:00Z")
        .cpu("6")
        .memory("80Gi")
        .phase("Pending")
        .build()
}

pub fn shop() -> Vec<Arc<Object>> {
    let mut objects = vec![
        build::object(
            bayplan::k8s::resources::NAMESPACES,
            "v1",
            "Namespace",
            "shop",
        )
        .with(&json!({"metadata": {"namespace": null}}))
        .build(),
        build::object(
            bayplan::k8s::resources::NAMESPACES,
            "v1",
            "Namespace",
            "ops",
        )
        .with(&json!({"metadata": {"namespace": null}}))
        .build(),
    ];
    for (rack, zone) in [
        ("a01", "eu-a"),
        ("a02", "eu-a"),
        ("b01", "eu-b"),
        ("b02", "eu-b"),
    ] {
        for host in 1..=3 {
            let node = build::node(&format!("{rack}-h{host:02}"))
                .created(CREATED)
                .cpu("16")
                .memory("64Gi")
                .region("eu")
                .zone(zone)
                .rack(rack);
            objects.push(if (rack, host) == ("b02", 3) {
                node.not_ready().build()
            } else {
                node.build()
            });
        }
    }
    for (service, replicas) in [("cart", 4), ("checkout", 3), ("search", 6)] {
        let deployment = build::deployment(service)
            .with(&json!({"metadata": {"namespace": "shop"}}))
            .created(CREATED)
            .replicas(replicas)
            .build();
        objects.push(deployment);
        for replica in 0..replicas {
            let rack = ["a01", "b01", "a02", "b02"][replica as usize % 4];
            let name = format!("{service}-7f9c6d5b8-{replica:05}");
            objects.push(pod(&name, &format!("{rack}-h01")));
        }
    }
    objects.push(pending("report-0"));
    objects
}
