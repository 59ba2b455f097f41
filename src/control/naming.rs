//! Names that controllers make up: hashes of templates and suffixes of generated names.
//!
//! Both are functions of what is in the view, never of chance: the same view gives the same names.
//! Alphabet and encoding are those of `k8s.io/apimachinery/pkg/util/rand`, no vowels and no
//! look-alikes.

use serde_json::Value;

use crate::k8s::{Cluster, Object, Resource};

const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Source: `maxNameLength` 63 less five random characters in `k8s.io/apiserver`'s name generator.
const PREFIX_LENGTH_MAX: usize = 58;
const SUFFIX_LENGTH: usize = 5;

/// A hash of a JSON value that does not depend on the order of its fields, safe-encoded. The
/// collision count makes it another one after a collision of names.
pub(super) fn hash(value: &Value, collisions: Option<i64>) -> String {
    let mut state = Fnv32::default();
    state.value(value);
    if let Some(count) = collisions {
        state.bytes(&count.to_le_bytes());
    }
    safe_encode(&state.0.to_string())
}

/// Each digit as a letter of the alphabet.
fn safe_encode(text: &str) -> String {
    text.bytes()
        .filter_map(|byte| ALPHABET.get(usize::from(byte) % ALPHABET.len()))
        .map(|letter| char::from(*letter))
        .collect()
}

/// A name with a suffix that nothing in the view has. `index` tells names of one run apart.
pub(super) fn generated(
    cluster: &Cluster,
    resource: &Resource,
    owner: &Object,
    index: usize,
) -> String {
    let prefix = format!("{}-", owner.name());
    with_suffix(cluster, resource, owner, (&prefix, index))
}

/// The same for a given prefix.
pub(super) fn with_suffix(
    cluster: &Cluster,
    resource: &Resource,
    owner: &Object,
    (prefix, index): (&str, usize),
) -> String {
    let prefix: String = prefix.chars().take(PREFIX_LENGTH_MAX).collect();
    let seed = fnv64(owner.uid.0.as_bytes()) ^ cluster.revision().0.rotate_left(20) ^ index as u64;
    let mut attempt = 0_u64;
    loop {
        let name = format!("{prefix}{}", suffix(mix(seed.wrapping_add(attempt << 40))));
        if cluster.find(resource, owner.namespace(), &name).is_none() {
            return name;
        }
        attempt += 1;
    }
}

fn suffix(mut bits: u64) -> String {
    let letters = ALPHABET.len() as u64;
    (0..SUFFIX_LENGTH)
        .filter_map(|_| {
            let place = usize::try_from(bits % letters).ok()?;
            bits /= letters;
            ALPHABET.get(place)
        })
        .map(|letter| char::from(*letter))
        .collect()
}

fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of `SplitMix64`: spreads neighbouring inputs over all bits.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

struct Fnv32(u32);

impl Default for Fnv32 {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv32 {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    /// Nulls and empty lists count as absent, as they do when templates are compared.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                let mut names: Vec<&String> = fields.keys().collect();
                names.sort_unstable();
                self.bytes(b"{");
                for name in names {
                    let Some(inner) = fields.get(name).filter(|inner| !is_absent(inner)) else {
                        continue;
                    };
                    self.bytes(name.as_bytes());
                    self.bytes(b":");
                    self.value(inner);
                }
                self.bytes(b"}");
            }
            Value::Array(entries) => {
                self.bytes(b"[");
                for entry in entries {
                    self.value(entry);
                    self.bytes(b",");
                }
                self.bytes(b"]");
            }
            scalar => self.bytes(scalar.to_string().as_bytes()),
        }
    }
}

/// Whether two templates mean the same: absent, null and empty lists count as equal.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    let (mut one, mut other) = (one.clone(), other.clone());
    prune(&mut one);
    prune(&mut other);
    one == other
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, inner| !is_absent(inner));
            fields.values_mut().for_each(prune);
        }
        Value::Array(entries) => entries.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Whether a field with this value means the same as no field.
fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::{build, resources};

    #[test]
    fn hash_ignores_field_order_and_absent_fields() {
        let one = json!({"a": 1, "b": {"c": [1, 2], "d": null}});
        let other: Value = serde_json::from_str(r#"{"b":{"c":[1,2],"e":[]},"a":1}"#).unwrap();
        assert_eq!(hash(&one, None), hash(&other, None));
        assert_ne!(hash(&one, None), hash(&json!({"a": 1}), None));
        assert_ne!(hash(&one, None), hash(&one, Some(1)));
        assert!(
            hash(&one, None)
                .bytes()
                .all(|byte| ALPHABET.contains(&byte))
        );
    }

    #[test]
    fn generated_names_differ_within_a_run_and_are_stable() {
        let owner = build::replica_set("web-abc").build();
        let cluster = Cluster::default();
        let name = |index| generated(&cluster, &resources::PODS, &owner, index);
        assert_eq!(name(0), name(0));
        assert_ne!(name(0), name(1));
        assert_eq!(name(0).len(), "web-abc-".len() + 5);
    }
}
