//! Kinds with a life of their own: defined by users, services, roles.

use serde_json::{Value, json};

use super::super::*;
use super::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn ship_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ships.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "ships", "kind": "Ship"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Bays", "type": "integer", "jsonPath": ".spec.bays"},
                ],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["bays"], "properties": {
                        "bays": {"type": "integer", "minimum": 1},
                        "flag": {"type": "string", "default": "PA"},
                    }},
                    "status": {"type": "object", "properties": {"loaded": {"type": "boolean"}}},
                }}},
            }],
        },
    })
}

#[test]
fn custom_resources_live_and_die_with_their_definition() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {DEFINITIONS}"), &ship_definition());
    assert_eq!(created["status"]["conditions"][1]["type"], "Established");
    let ships = "/apis/example.com/v1/namespaces/default/ships";
    let ship = |spec: Value| {
        json!({
            "apiVersion": "example.com/v1",
            "kind": "Ship",
            "metadata": {"name": "ever"},
            "spec": spec,
        })
    };
    server.refused(
        &format!("POST {ships}"),
        &ship(json!({"bays": 0})),
        422,
        "Invalid",
        "Ship.example.com \"ever\" is invalid: spec.bays: Invalid value: 0: spec.bays in body \
         should be greater than or equal to 1",
    );
    let kept = server.ok(
        &format!("POST {ships}"),
        &ship(json!({"bays": 20, "crew": 3})),
    );
    assert_eq!(kept["spec"], json!({"bays": 20, "flag": "PA"}));
    let request = Request {
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io".into(),
        ..Request::parse("GET", ships, "").unwrap()
    };
    let table = read(&server.registry, server.store.view(), &request, server.now).value();
    assert_eq!(table["rows"][0]["cells"], json!(["ever", 20]));
    let (_, discovered) = server.get("/apis/example.com/v1");
    assert_eq!(discovered["resources"][1]["name"], "ships/status");
    let url = format!("DELETE {DEFINITIONS}/ships.example.com");
    server.ok(&url, &Value::Null);
    assert_eq!(server.get(ships).0, 404);
    let resource = crate::k8s::Resource::new("example.com", "ships");
    assert_eq!(server.store.cluster().count(&resource), 0);
}

#[test]
fn services_get_addresses_and_node_ports() {
    let mut server = Server::new();
    let services = "/api/v1/namespaces/default/services";
    let body = |kind: &str| {
        json!({
            "metadata": {"name": "web"},
            "spec": {"type": kind, "ports": [{"port": 80}], "selector": {"app": "web"}},
        })
    };
    let created = server.ok(&format!("POST {services}"), &body("NodePort"));
    let address = created["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    let port = created["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30_000..=32_767).contains(&port));
    let again = server.ok(&format!("PUT {services}/web"), &body("NodePort"));
    assert_eq!(again["spec"]["clusterIP"], address.as_str());
    assert_eq!(again["spec"]["ports"][0]["nodePort"], port);
    let inside = server.ok(&format!("PUT {services}/web"), &body("ClusterIP"));
    assert_eq!(inside["spec"]["ports"][0]["nodePort"], Value::Null);
}

#[test]
fn who_may_do_what_follows_roles_and_bindings() {
    let mut server = Server::new();
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    server.ok(
        &format!("POST {bindings}"),
        &json!({
            "metadata": {"name": "jane"},
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "jane"}],
        }),
    );
    let jane = User {
        name: "jane".into(),
        ..User::default()
    };
    let may = |server: &Server, method: &str, path: &str| {
        let request = Request::parse(method, path, "").unwrap();
        authorize(server.store.cluster(), &jane, &request).map_err(|status| status.message)
    };
    assert_eq!(may(&server, "GET", PODS), Ok(()));
    assert_eq!(
        may(&server, "DELETE", &format!("{PODS}/web")),
        Err(
            "pods \"web\" is forbidden: User \"jane\" cannot delete resource \"pods\" in API \
             group \"\" in the namespace \"default\""
                .to_owned()
        )
    );
    assert_eq!(
        may(&server, "GET", "/api/v1/nodes"),
        Err(
            "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" \
             at the cluster scope"
                .to_owned()
        )
    );
    let review = server.ok(
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
        &json!({"spec": {
            "user": "jane",
            "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"},
        }}),
    );
    assert_eq!(review["status"]["allowed"], true);
}
