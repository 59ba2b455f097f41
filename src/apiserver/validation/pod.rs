//! Pod specifications: of pods and of every template.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::status::Cause;
use super::super::tree;
use super::names;
use crate::k8s::quantity::Quantity;

pub(super) fn check(object: &Value, causes: &mut Vec<Cause>) {
    match object.get("spec") {
        Some(spec) => spec_of(spec, "spec", causes),
        None => causes.push(Cause::required("spec.containers", "")),
    }
}

/// A pod specification at a path.
pub(super) fn spec_of(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    if spec.get("containers").is_none() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let volumes = volumes(spec, path, causes);
    let mut seen = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in tree::entries(spec, &format!("/{list}")).iter().enumerate() {
            let path = format!("{path}.{list}[{index}]");
            container_name(container, &path, &mut seen, causes);
            self::container(container, &path, &volumes, causes);
        }
    }
    for field in ["terminationGracePeriodSeconds", "activeDeadlineSeconds"] {
        if let Some(seconds) = spec.get(field).and_then(Value::as_i64)
            && seconds < 0
        {
            causes.push(Cause::invalid(
                format!("{path}.{field}"),
                &Value::from(seconds),
                "must be greater than or equal to 0",
            ));
        }
    }
    super::metadata::labels(
        spec.get("nodeSelector"),
        &format!("{path}.nodeSelector"),
        causes,
    );
    tolerations(spec, path, causes);
    spread(spec, path, causes);
}

fn volumes<'a>(spec: &'a Value, path: &str, causes: &mut Vec<Cause>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for (index, volume) in tree::entries(spec, "/volumes").iter().enumerate() {
        let name = volume
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let path = format!("{path}.volumes[{index}].name");
        if name.is_empty() {
            continue;
        }
        for problem in names::dns_label(name) {
            causes.push(Cause::invalid(path.clone(), &Value::from(name), problem));
        }
        if !found.insert(name) {
            causes.push(Cause::duplicate(path, &Value::from(name)));
        }
    }
    found
}

fn container_name<'a>(
    container: &'a Value,
    path: &str,
    seen: &mut BTreeSet<&'a str>,
    causes: &mut Vec<Cause>,
) {
    let name = container
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if name.is_empty() {
        return;
    }
    let value = Value::from(name);
    for problem in names::dns_label(name) {
        causes.push(Cause::invalid(format!("{path}.name"), &value, problem));
    }
    if !seen.insert(name) {
        causes.push(Cause::duplicate(format!("{path}.name"), &value));
    }
}

fn container(container: &Value, path: &str, volumes: &BTreeSet<&str>, causes: &mut Vec<Cause>) {
    let image = tree::text(container, "/image");
    if image.is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        causes.push(Cause::invalid(
            format!("{path}.image"),
            &Value::from(image),
            "must not have leading or trailing whitespace",
        ));
    }
    for (index, port) in tree::entries(container, "/ports").iter().enumerate() {
        for field in ["containerPort", "hostPort"] {
            let Some(number) = port.get(field).and_then(Value::as_i64) else {
                continue;
            };
            if !((1..=65_535).contains(&number) || field == "hostPort" && number == 0) {
                causes.push(Cause::invalid(
                    format!("{path}.ports[{index}].{field}"),
                    &Value::from(number),
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
    }
    let mut mounted = BTreeSet::new();
    // Claims of a stateful set's templates become volumes of its pods.
    for (index, mount) in tree::entries(container, "/volumeMounts").iter().enumerate() {
        let name = tree::text(mount, "/name");
        let path = format!("{path}.volumeMounts[{index}]");
        if !name.is_empty() && !volumes.contains(name) {
            causes.push(Cause::not_found(format!("{path}.name"), &Value::from(name)));
        }
        let at = tree::text(mount, "/mountPath");
        if !at.is_empty() && !mounted.insert(at) {
            causes.push(Cause::invalid(
                format!("{path}.mountPath"),
                &Value::from(at),
                "must be unique",
            ));
        }
    }
    resources(container, path, causes);
}

fn resources(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let amounts = |field: &str| {
        container
            .pointer("/resources")
            .and_then(|all| all.get(field))
            .and_then(Value::as_object)
    };
    for field in ["limits", "requests"] {
        for (resource, amount) in amounts(field).into_iter().flatten() {
            let parsed = Quantity::parse(amount.as_str().unwrap_or_default());
            if parsed.is_ok_and(Quantity::is_negative) {
                causes.push(Cause::invalid(
                    format!("{path}.resources.{field}[{resource}]"),
                    amount,
                    "must be greater than or equal to 0",
                ));
            }
        }
    }
    for (resource, request) in amounts("requests").into_iter().flatten() {
        let Some(limit) = amounts("limits").and_then(|limits| limits.get(resource)) else {
            continue;
        };
        let parse = |value: &Value| Quantity::parse(value.as_str().unwrap_or_default());
        let (Ok(requested), Ok(limited)) = (parse(request), parse(limit)) else {
            continue;
        };
        let native = matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage");
        let field = format!("{path}.resources.requests");
        if native && requested.nano() > limited.nano() {
            causes.push(Cause::invalid(
                field,
                request,
                &format!(
                    "must be less than or equal to {resource} limit of {}",
                    limit.as_str().unwrap_or_default()
                ),
            ));
        } else if !native && requested.nano() != limited.nano() {
            causes.push(Cause::invalid(
                field,
                request,
                &format!(
                    "must be equal to {resource} limit of {}",
                    limit.as_str().unwrap_or_default()
                ),
            ));
        }
    }
}

fn tolerations(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (index, toleration) in tree::entries(spec, "/tolerations").iter().enumerate() {
        let path = format!("{path}.tolerations[{index}]");
        let operator = tree::text(toleration, "/operator");
        if tree::text(toleration, "/key").is_empty() && operator != "Exists" {
            causes.push(Cause::invalid(
                format!("{path}.operator"),
                &Value::from(operator),
                "operator must be Exists when `key` is empty, which means \"match all values and \
                 all keys\"",
            ));
        }
        if operator == "Exists" && !tree::text(toleration, "/value").is_empty() {
            causes.push(Cause::invalid(
                format!("{path}.operator"),
                &Value::from(tree::text(toleration, "/value")),
                "value must be empty when `operator` is 'Exists'",
            ));
        }
    }
}

fn spread(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (index, rule) in tree::entries(spec, "/topologySpreadConstraints")
        .iter()
        .enumerate()
    {
        let skew = rule.get("maxSkew").cloned().unwrap_or_else(|| 0.into());
        if skew.as_i64().is_none_or(|skew| skew <= 0) {
            causes.push(Cause::invalid(
                format!("{path}.topologySpreadConstraints[{index}].maxSkew"),
                &skew,
                "must be greater than zero",
            ));
        }
    }
}
