//! Custom resource definitions.

use serde_json::Value;

use super::super::status::Cause;
use super::super::tree;

pub(super) fn check(object: &Value, causes: &mut Vec<Cause>) {
    let name = tree::text(object, "/metadata/name");
    let group = tree::text(object, "/spec/group");
    let plural = tree::text(object, "/spec/names/plural");
    let expected = format!("{plural}.{group}");
    if name != expected {
        causes.push(Cause::invalid(
            "metadata.name",
            &Value::from(name),
            &format!("must be spec.names.plural+\".\"+spec.group ({expected:?})"),
        ));
    }
    for (pointer, field) in [
        ("/spec/group", "spec.group"),
        ("/spec/names/plural", "spec.names.plural"),
        ("/spec/names/kind", "spec.names.kind"),
        ("/spec/scope", "spec.scope"),
    ] {
        if tree::text(object, pointer).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    let versions = tree::entries(object, "/spec/versions");
    let stored = versions
        .iter()
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
        .count();
    if stored != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &Value::from(versions),
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            causes.push(Cause::required(
                format!("spec.versions[{index}].schema.openAPIV3Schema"),
                "schemas are required",
            ));
        }
    }
}
