//! Objects as YAML that `kubectl` reads back as the same object.

use serde_json::Value;

/// The object as YAML, lists not indented below their key, as `kubectl get -o yaml` prints them.
///
/// Fields keep the order of the JSON they came from.
pub fn to_yaml(object: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: true,
        prefer_block_scalars: true,
    };
    // A JSON tree has nothing that YAML cannot say; JSON is YAML, too, if that ever were untrue.
    serde_saphyr::to_string_with_options(object, options).unwrap_or_else(|_| object.to_string())
}
