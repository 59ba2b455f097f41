//! Rows after the recipes of the documentation's page on network policies.

use serde_json::{Value, json};

use super::*;

const WEB: &str = "10.88.0.2";
const CLIENT: &str = "10.88.0.3";
const OTHER: &str = "10.88.1.2";
const STRANGER: &str = "10.88.1.3";
const OUTSIDE: &str = "203.0.113.7";

fn pod(namespace: &str, app: &str, address: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": app, "namespace": namespace, "labels": {"app": app}},
        "spec": {"containers": [{"name": "app", "ports": [
            {"name": "http", "containerPort": 8080},
            {"name": "names", "containerPort": 53, "protocol": "UDP"},
        ]}]},
        "status": {"phase": "Running", "podIP": address},
    }))
    .unwrap()
}

fn isolations(specs: &[Value]) -> Isolations {
    let policies: Vec<NetworkPolicy> = specs
        .iter()
        .map(|spec| json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}))
        .map(|policy| serde_json::from_value(policy).unwrap())
        .collect();
    let namespaces = ["shop", "desk"].map(|name| {
        let object = json!({"metadata": {"name": name, "labels": {"team": name}}});
        serde_json::from_value::<Namespace>(object).unwrap()
    });
    let mut host = pod("shop", "web", "192.0.2.5");
    host.spec.as_mut().unwrap().host_network = Some(true);
    let pods = [
        pod("shop", "web", WEB),
        pod("shop", "client", CLIENT),
        pod("shop", "other", OTHER),
        pod("desk", "client", STRANGER),
        host,
    ];
    compile(&Picture {
        policies: &policies,
        pods: &pods,
        namespaces: &namespaces,
    })
}

/// Who of client, other, stranger and outside reaches the web pod so.
fn reach(specs: &[Value], protocol: Protocol, port: u16) -> String {
    let isolations = isolations(specs);
    let web = WEB.parse().unwrap();
    let row = [(CLIENT, 'c'), (OTHER, 'o'), (STRANGER, 's'), (OUTSIDE, 'x')];
    let reached = row
        .iter()
        .filter(|(from, _)| isolations.receives(from.parse().unwrap(), web, protocol, port));
    reached.map(|(_, letter)| *letter).collect()
}

#[track_caller]
fn check(spec: &Value, wanted: &str) {
    let reached = reach(std::slice::from_ref(spec), Protocol::Tcp, 8080);
    assert_eq!(reached, wanted, "{spec}");
}

fn from(peers: &Value) -> Value {
    json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": peers}]})
}

#[test]
fn peers_are_chosen_as_documented() {
    check(&json!({"podSelector": {}}), "");
    check(&json!({"podSelector": {}, "ingress": []}), "");
    check(&json!({"podSelector": {}, "ingress": [{}]}), "cosx");
    check(
        &json!({"podSelector": {"matchLabels": {"app": "client"}}}),
        "cosx",
    );
    check(
        &json!({"podSelector": {}, "policyTypes": ["Egress"]}),
        "cosx",
    );
    check(&from(&json!([{"podSelector": {}}])), "co");
    check(
        &from(&json!([{"podSelector": {"matchLabels": {"app": "client"}}}])),
        "c",
    );
    check(&from(&json!([{"namespaceSelector": {}}])), "cos");
    check(
        &from(&json!([{"namespaceSelector": {"matchLabels": {"team": "desk"}}}])),
        "s",
    );
    let client = json!({"matchLabels": {"app": "client"}});
    let desk = json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["desk"]}]});
    check(
        &from(&json!([{"namespaceSelector": desk, "podSelector": client}])),
        "s",
    );
    check(
        &from(&json!([{"namespaceSelector": desk}, {"podSelector": client}])),
        "cs",
    );
    check(
        &from(&json!([{"namespaceSelector": {}, "podSelector": client}])),
        "cs",
    );
    check(
        &from(&json!([{"ipBlock": {"cidr": "203.0.113.0/24"}}])),
        "x",
    );
    let except = json!(["10.88.1.0/24", "203.0.113.7/32"]);
    check(
        &from(&json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": except}}])),
        "c",
    );
}

#[test]
fn policies_add_up() {
    let client = from(&json!([{"podSelector": {"matchLabels": {"app": "client"}}}]));
    let outside = from(&json!([{"ipBlock": {"cidr": "203.0.113.0/24"}}]));
    let nothing = json!({"podSelector": {}});
    let all = [nothing, client, outside];
    assert_eq!(reach(&all, Protocol::Tcp, 8080), "cx");
}

#[test]
fn ports_are_chosen_as_documented() {
    let at = |ports: Value, protocol, port| {
        let spec = json!({"podSelector": {}, "ingress": [{"ports": ports}]});
        !reach(&[spec], protocol, port).is_empty()
    };
    assert!(at(json!([{"port": 8080}]), Protocol::Tcp, 8080));
    assert!(!at(json!([{"port": 8080}]), Protocol::Tcp, 8081));
    assert!(!at(json!([{"port": 8080}]), Protocol::Udp, 8080));
    assert!(at(json!([{"protocol": "UDP"}]), Protocol::Udp, 9));
    assert!(!at(json!([{"protocol": "UDP"}]), Protocol::Tcp, 9));
    let range = json!([{"port": 8000, "endPort": 8100}]);
    assert!(at(range.clone(), Protocol::Tcp, 8000) && at(range.clone(), Protocol::Tcp, 8100));
    assert!(!at(range, Protocol::Tcp, 8101));
    assert!(at(json!([{"port": "http"}]), Protocol::Tcp, 8080));
    assert!(!at(json!([{"port": "http"}]), Protocol::Tcp, 53));
    assert!(!at(json!([{"port": "names"}]), Protocol::Tcp, 53));
    assert!(at(
        json!([{"port": "names", "protocol": "UDP"}]),
        Protocol::Udp,
        53
    ));
    assert!(!at(json!([{"port": "unknown"}]), Protocol::Tcp, 8080));
}

#[test]
fn egress_is_apart_from_ingress() {
    let spec = json!({
        "podSelector": {"matchLabels": {"app": "client"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "http"}]}],
    });
    let isolations = isolations(&[spec]);
    let [client, web, other] = [CLIENT, WEB, OTHER].map(|it| it.parse().unwrap());
    assert!(isolations.sends(client, web, Protocol::Tcp, 8080));
    assert!(!isolations.sends(client, web, Protocol::Tcp, 80));
    assert!(!isolations.sends(client, other, Protocol::Tcp, 8080));
    assert!(isolations.sends(other, client, Protocol::Tcp, 1));
    assert!(isolations.receives(other, client, Protocol::Tcp, 1));
    assert!(isolations.get(client).unwrap().ingress.is_none());
}

#[test]
fn pods_of_the_machines_network_are_not_isolated() {
    let all = isolations(&[json!({"podSelector": {}})]);
    assert!(all.get("192.0.2.5".parse().unwrap()).is_none());
}
