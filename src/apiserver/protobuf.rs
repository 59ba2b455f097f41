//! Request bodies in Kubernetes' protobuf encoding, which Go clients prefer (`kubectl create`,
//! `drain` and `auth can-i` send nothing else), into JSON trees. Answers are always JSON.
//!
//! Driven by the schema facts and a table of field numbers (`facts/protobuf-fields.json.gz`). Go
//! writes fields that are no pointers even when they hold their zero value; those are dropped, as
//! `omitempty` drops them from JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::status::Status;
use crate::k8s::facts::{self, ProtobufField, ProtobufFields};
use crate::k8s::schema::{Additional, Schema, Type};

pub(super) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Every body begins with this, then comes `runtime.Unknown`.
const MAGIC: &[u8] = b"k8s\0";

/// A body as JSON, with its `apiVersion` and `kind`.
pub(super) fn decode(body: &[u8]) -> Result<Value, Status> {
    tree(body).ok_or_else(|| {
        Status::bad_request("the object provided is unrecognized (must be of type Protobuf)")
    })
}

fn tree(body: &[u8]) -> Option<Value> {
    let unknown = body.strip_prefix(MAGIC)?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in Parts(unknown) {
        let (number, wire) = part?;
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => {
                for part in Parts(bytes) {
                    match part? {
                        (1, Wire::Bytes(text)) => version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (group, plain) = version.split_once('/').unwrap_or(("", &version));
    let definition = facts::definition_of(group, plain, &kind)?;
    let mut tree = message(definition, raw)?;
    tree.insert("apiVersion".into(), version.into());
    tree.insert("kind".into(), kind.into());
    Some(Value::Object(tree))
}

fn message(definition: &str, bytes: &[u8]) -> Option<Map<String, Value>> {
    let schema = facts::definition(definition)?;
    let mut map = Map::new();
    if let Some(fields) = facts::protobuf_fields().get(definition) {
        fill(schema, fields, bytes, &mut map)?;
    }
    Some(map)
}

fn fill(
    schema: &Schema,
    fields: &ProtobufFields,
    bytes: &[u8],
    map: &mut Map<String, Value>,
) -> Option<()> {
    for part in Parts(bytes) {
        let (number, wire) = part?;
        match (fields.get(number.to_string().as_str()), wire) {
            (Some(ProtobufField::Named(name)), wire) => {
                let field = schema.properties.get(name.as_str())?;
                add(name, field, wire, map)?;
            }
            (Some(ProtobufField::Inline(inner)), Wire::Bytes(bytes)) => {
                fill(schema, inner, bytes, map)?;
            }
            _ => {}
        }
    }
    Some(())
}

fn add(name: &str, field: &Schema, wire: Wire, map: &mut Map<String, Value>) -> Option<()> {
    let resolved = field.resolved();
    match (resolved.kind, resolved.items.as_deref(), wire) {
        (Type::Array, Some(items), wire) => {
            let value = single(items, wire)?;
            if let Some(list) = map.entry(name).or_insert_with(|| json!([])).as_array_mut() {
                list.push(value);
            }
        }
        (Type::Object, _, Wire::Bytes(bytes)) if resolved.properties.is_empty() => {
            if let Some(Additional::Values(values)) = &resolved.additional {
                let (key, value) = entry(values, bytes)?;
                if let Some(entries) = map.entry(name).or_insert_with(|| json!({})).as_object_mut()
                {
                    entries.insert(key, value);
                }
            } else {
                map.insert(name.into(), single(field, Wire::Bytes(bytes))?);
            }
        }
        (_, _, wire) => {
            let value = single(field, wire)?;
            if !is_unset(name, &value) {
                map.insert(name.into(), value);
            }
        }
    }
    Some(())
}

/// One entry of a map: key 1, value 2.
fn entry(values: &Schema, bytes: &[u8]) -> Option<(String, Value)> {
    let mut key = String::new();
    let mut value = None;
    for part in Parts(bytes) {
        match part? {
            (1, Wire::Bytes(text)) => key = utf8(text)?,
            (2, wire) => value = Some(map_value(values, wire)?),
            _ => {}
        }
    }
    Some((key, value.unwrap_or_else(|| json!(""))))
}

/// A list inside of a map is a message whose field 1 repeats.
fn map_value(schema: &Schema, wire: Wire) -> Option<Value> {
    match (schema.resolved().items.as_deref(), wire) {
        (Some(items), Wire::Bytes(bytes)) => {
            let list: Option<Vec<Value>> =
                Parts(bytes).map(|part| single(items, part?.1)).collect();
            list.map(Value::Array)
        }
        (_, wire) => single(schema, wire),
    }
}

fn single(schema: &Schema, wire: Wire) -> Option<Value> {
    if let (Some(name), Wire::Bytes(bytes)) = (schema.reference.as_deref(), wire)
        && let Some(read) = special(name)
    {
        return read(bytes);
    }
    let resolved = schema.resolved();
    match (resolved.kind, wire) {
        (Type::String, Wire::Bytes(bytes)) if resolved.format == "byte" => {
            Some(STANDARD.encode(bytes).into())
        }
        (Type::String, Wire::Bytes(bytes)) => Some(utf8(bytes)?.into()),
        (Type::Integer, Wire::Number(number)) => Some(signed(number).into()),
        (Type::Boolean, Wire::Number(number)) => Some((number != 0).into()),
        (Type::Number, Wire::Fixed(bits)) => Some(f64::from_bits(bits).into()),
        (Type::Object, Wire::Bytes(bytes)) => {
            let definition = schema.reference.as_deref()?;
            Some(Value::Object(message(definition, bytes)?))
        }
        _ => None,
    }
}

/// Reads a message into a value; `None` when it is malformed.
type Read = fn(&[u8]) -> Option<Value>;

/// How types are read whose JSON form is no object.
fn special(definition: &str) -> Option<Read> {
    Some(match definition.rsplit('.').next().unwrap_or_default() {
        "Time" | "MicroTime" => time,
        "Quantity" => quantity,
        "IntOrString" => int_or_string,
        "RawExtension" | "FieldsV1" | "JSON" => raw_json,
        "JSONSchemaPropsOrBool" => schema_or_bool,
        "JSONSchemaPropsOrArray" => schema_or_array,
        _ => return None,
    })
}

fn time(bytes: &[u8]) -> Option<Value> {
    let (mut seconds, mut nanos) = (None, 0);
    for part in Parts(bytes) {
        match part? {
            (1, Wire::Number(number)) => seconds = Some(signed(number)),
            (2, Wire::Number(number)) => nanos = i32::try_from(number).ok()?,
            _ => {}
        }
    }
    // The zero time of Go, or no time at all.
    let Some(seconds) = seconds.filter(|seconds| *seconds > 0) else {
        return Some(Value::Null);
    };
    Some(Timestamp::new(seconds, nanos).ok()?.to_string().into())
}

fn quantity(bytes: &[u8]) -> Option<Value> {
    let text = field(bytes, 1)?;
    Some(utf8(text)?.into())
}

fn int_or_string(bytes: &[u8]) -> Option<Value> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for part in Parts(bytes) {
        match part? {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = signed(value),
            (3, Wire::Bytes(value)) => text = utf8(value)?,
            _ => {}
        }
    }
    Some(if is_text { text.into() } else { number.into() })
}

fn raw_json(bytes: &[u8]) -> Option<Value> {
    match field(bytes, 1) {
        Some(raw) => serde_json::from_slice(raw).ok(),
        None => Some(Value::Null),
    }
}

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

fn schema_or_bool(bytes: &[u8]) -> Option<Value> {
    if let Some(schema) = field(bytes, 2) {
        return Some(Value::Object(message(SCHEMA, schema)?));
    }
    let allowed = Parts(bytes)
        .flatten()
        .any(|(number, wire)| number == 1 && matches!(wire, Wire::Number(1)));
    Some(allowed.into())
}

fn schema_or_array(bytes: &[u8]) -> Option<Value> {
    Some(Value::Object(message(SCHEMA, field(bytes, 1)?)?))
}

/// The bytes of the first field with this number.
fn field(bytes: &[u8], wanted: u32) -> Option<&[u8]> {
    Parts(bytes)
        .flatten()
        .find_map(|(number, wire)| match wire {
            Wire::Bytes(bytes) if number == wanted => Some(bytes),
            _ => None,
        })
}

/// Zero values that stand for "not set", because the field is no pointer in Go.
fn is_unset(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // An empty class means "no class", which is not the same as none at all.
        Value::String(text) => text.is_empty() && name != "storageClassName",
        Value::Number(number) => number.as_i64() == Some(0) && !ZERO_COUNTS.contains(&name),
        Value::Bool(false) => !FALSE_COUNTS.contains(&name),
        _ => false,
    }
}

/// Pointers to numbers, where zero is a wish.
const ZERO_COUNTS: [&str; 28] = [
    "activeDeadlineSeconds",
    "backoffLimit",
    "backoffLimitPerIndex",
    "completions",
    "defaultMode",
    "expirationSeconds",
    "failedJobsHistoryLimit",
    "fsGroup",
    "gracePeriodSeconds",
    "maxSurge",
    "maxUnavailable",
    "minAvailable",
    "minReplicas",
    "mode",
    "parallelism",
    "partition",
    "priority",
    "progressDeadlineSeconds",
    "replicas",
    "revisionHistoryLimit",
    "runAsGroup",
    "runAsUser",
    "startingDeadlineSeconds",
    "successfulJobsHistoryLimit",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "ttlSecondsAfterFinished",
    "value",
];

/// Pointers to booleans, where false is a wish.
const FALSE_COUNTS: [&str; 19] = [
    "allocateLoadBalancerNodePorts",
    "allowPrivilegeEscalation",
    "allowVolumeExpansion",
    "attachRequired",
    "automountServiceAccountToken",
    "blockOwnerDeletion",
    "controller",
    "enableServiceLinks",
    "hostUsers",
    "immutable",
    "manualSelector",
    "optional",
    "orphanDependents",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsNonRoot",
    "served",
    "storage",
    "suspend",
];

/// Two's complement, as protobuf writes negative numbers.
fn signed(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}

fn utf8(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A field's value before its type is known.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in order; ends with `None` at the first malformed one.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Option<(u32, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_none() {
            self.0 = &[];
        }
        Some(part)
    }
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> Option<(u32, Wire<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok()?;
        let wire = match key & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Fixed(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed(u64::from(u32::from_le_bytes(*self.take(4)?.first_chunk()?))),
            _ => return None,
        };
        Some((number, wire))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with bytes.
    fn bytes(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(inner.len()).unwrap()];
        out.extend_from_slice(inner);
        out
    }

    fn number(field: u8, value: u8) -> Vec<u8> {
        vec![field << 3, value]
    }

    fn body(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let kind = [bytes(1, version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &kind), bytes(2, raw)].concat()
    }

    #[test]
    fn a_config_map_as_kubectl_sends_it() {
        let metadata = [bytes(1, b"settings"), bytes(2, b""), bytes(8, b"")].concat();
        let entry = [bytes(1, b"key"), bytes(2, b"value")].concat();
        let raw = [bytes(1, &metadata), bytes(2, &entry)].concat();
        assert_eq!(
            decode(&body("v1", "ConfigMap", &raw)).unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "settings"},
                "data": {"key": "value"},
            })
        );
    }

    #[test]
    fn inlined_structs_and_zero_counts() {
        let source = bytes(2, b"");
        let volume = [bytes(1, b"scratch"), bytes(2, &source)].concat();
        let pod = bytes(1, &volume);
        let template = bytes(2, &pod);
        let spec = [number(1, 0), bytes(3, &template)].concat();
        let raw = bytes(2, &spec);
        let tree = decode(&body("apps/v1", "Deployment", &raw)).unwrap();
        assert_eq!(tree["spec"]["replicas"], 0);
        assert_eq!(
            tree["spec"]["template"]["spec"]["volumes"],
            json!([{"name": "scratch", "emptyDir": {}}])
        );
    }

    #[test]
    fn broken_bodies_are_refused() {
        assert!(decode(b"").is_err());
        assert!(decode(b"k8s\0\xff\xff").is_err());
        assert!(decode(&body("v1", "Nothing", b"")).is_err());
        assert!(decode(&body("v1", "ConfigMap", b"\x0a\x7f")).is_err());
    }
}
