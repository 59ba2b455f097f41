//! Services and ingresses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::status::Cause;
use super::super::tree;
use super::{metadata, names};

pub(super) fn service(object: &Value, causes: &mut Vec<Cause>) {
    let ports = tree::entries(object, "/spec/ports");
    let kind = tree::text(object, "/spec/type");
    let headless = tree::text(object, "/spec/clusterIP") == "None";
    if ports.is_empty() && kind != "ExternalName" && !headless {
        causes.push(Cause::required("spec.ports", ""));
    }
    if kind == "ExternalName" && tree::text(object, "/spec/externalName").is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let name = tree::text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{path}.name"), ""));
        }
        if !name.is_empty() {
            for problem in names::dns_label(name) {
                causes.push(Cause::invalid(
                    format!("{path}.name"),
                    &Value::from(name),
                    problem,
                ));
            }
            if !seen.insert(name) {
                causes.push(Cause::duplicate(format!("{path}.name"), &Value::from(name)));
            }
        }
        for field in ["port", "targetPort"] {
            let Some(number) = port.get(field).and_then(Value::as_i64) else {
                if field == "port" {
                    causes.push(Cause::invalid(
                        format!("{path}.port"),
                        &Value::from(0),
                        "must be between 1 and 65535, inclusive",
                    ));
                }
                continue;
            };
            if !(1..=65_535).contains(&number) {
                causes.push(Cause::invalid(
                    format!("{path}.{field}"),
                    &Value::from(number),
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
    }
    metadata::labels(object.pointer("/spec/selector"), "spec.selector", causes);
}

pub(super) fn ingress(object: &Value, causes: &mut Vec<Cause>) {
    let rules = tree::entries(object, "/spec/rules");
    if rules.is_empty() && object.pointer("/spec/defaultBackend").is_none() {
        causes.push(Cause::invalid(
            "spec",
            &object.get("spec").cloned().unwrap_or_default(),
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
}
