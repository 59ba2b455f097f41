//! The fleet file as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::position::{self, Position};
use crate::k8s::Name;
use crate::k8s::quantity::Quantity;
use crate::k8s::taint::Taint;

/// Machine type to how many of it.
pub type Machines = BTreeMap<String, u32>;
pub type Labels = BTreeMap<Name, Name>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    pub machine_types: BTreeMap<String, MachineType>,
    pub regions: Vec<Region>,
    #[serde(default)]
    pub workloads: Vec<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineType {
    pub cpu: Quantity,
    pub memory: Quantity,
    #[serde(default = "pods")]
    pub pods: u32,
    #[serde(default = "ephemeral_storage")]
    pub ephemeral_storage: Quantity,
    /// Extended resources: `nvidia.com/gpu: 4`.
    #[serde(default)]
    pub resources: BTreeMap<Name, Quantity>,
    /// What the machine keeps for itself.
    #[serde(default)]
    pub reserved: BTreeMap<Name, Quantity>,
    #[serde(default)]
    pub architecture: Name,
    #[serde(default)]
    pub labels: Labels,
    #[serde(default)]
    pub taints: Vec<Taint>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Region {
    pub name: Name,
    #[serde(default)]
    pub labels: Labels,
    pub zones: Vec<Zone>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Zone {
    pub name: Name,
    /// Power feeds; racks that name none take them in turn.
    #[serde(default)]
    pub power: Vec<Name>,
    #[serde(default)]
    pub labels: Labels,
    /// In every rack that does not say otherwise.
    #[serde(default)]
    pub machines: Machines,
    pub racks: Racks,
}

#[derive(Clone, Debug)]
pub struct Racks(pub Vec<Rack>);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rack {
    /// A name or a pattern.
    pub name: String,
    #[serde(default)]
    pub power: Option<Name>,
    #[serde(default)]
    pub labels: Labels,
    /// Instead of the zone's.
    #[serde(default)]
    pub machines: Option<Machines>,
}

/// Kubernetes' usual limit.
fn pods() -> u32 {
    110
}

fn ephemeral_storage() -> Quantity {
    Quantity::from_bytes(100 << 30)
}

pub fn read(text: &str) -> Result<File, (Position, String)> {
    serde_yaml::from_str(text).map_err(|error| position::message(&error))
}

impl<'de> Deserialize<'de> for Racks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RacksVisitor)
    }
}

struct RacksVisitor;

impl<'de> Visitor<'de> for RacksVisitor {
    type Value = Racks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern such as a[01-12], or a list of patterns and racks")
    }

    fn visit_str<E>(self, pattern: &str) -> Result<Racks, E> {
        Ok(Racks(vec![Rack {
            name: pattern.to_owned(),
            ..Rack::default()
        }]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Racks, A::Error> {
        let mut racks = Vec::new();
        while let Some(Entry(rack)) = items.next_element()? {
            racks.push(rack);
        }
        Ok(Racks(racks))
    }
}

struct Entry(Rack);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor).map(Entry)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Rack;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern such as a[01-12], or a rack with a `name`")
    }

    fn visit_str<E>(self, pattern: &str) -> Result<Rack, E> {
        Ok(Rack {
            name: pattern.to_owned(),
            ..Rack::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rack, A::Error> {
        Rack::deserialize(MapAccessDeserializer::new(map))
    }
}
