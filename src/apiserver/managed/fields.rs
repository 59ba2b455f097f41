//! Sets of fields, as `FieldsV1` writes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::k8s::schema::{Schema, Type};

/// A set of field paths, as a tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldSet {
    /// The path that leads here is itself in the set (`"."` in `FieldsV1`).
    member: bool,
    children: BTreeMap<PathElement, FieldSet>,
}

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum PathElement {
    /// `f:<name>`: a field of an object, or a key of a map.
    Field(String),
    /// `k:<keys>`: an item of a list of type map; its key fields as canonical JSON.
    Key(String),
    /// `v:<value>`: an item of a list of type set, as canonical JSON.
    Value(String),
}

impl FieldSet {
    /// All fields that are set in `value`.
    pub fn of(value: &Value, schema: &Schema) -> Self {
        let mut set = Self::default();
        set.collect(value, schema);
        set
    }

    fn collect(&mut self, value: &Value, schema: &Schema) {
        match shape(value, schema) {
            Shape::Leaf => self.member = true,
            Shape::Fields(map) => {
                // An empty map is itself a value that somebody set.
                self.member = map.is_empty();
                for (name, value) in map {
                    let child = self.child(PathElement::Field(name.clone()));
                    match schema.field(name) {
                        Some(field) => child.collect(value, field),
                        None => child.collect(value, &Schema::default()),
                    }
                }
            }
            Shape::Items(items) => {
                self.member = items.is_empty();
                for item in items {
                    let element = path_element(item, schema);
                    let child = self.child(element);
                    child.member = true;
                    if let Some(items) = item_schema(schema)
                        && item.is_object()
                    {
                        child.collect(item, items);
                        child.member = true;
                    }
                }
            }
        }
    }

    fn child(&mut self, element: PathElement) -> &mut Self {
        self.children.entry(element).or_default()
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    pub(super) fn leaf() -> Self {
        Self {
            member: true,
            children: BTreeMap::new(),
        }
    }

    pub(super) fn is_member(&self) -> bool {
        self.member
    }

    pub(super) fn insert(&mut self, element: PathElement, child: Self) {
        if !child.is_empty() {
            self.children.insert(element, child);
        }
    }

    pub(super) fn get(&self, element: &PathElement) -> Option<&Self> {
        self.children.get(element)
    }

    /// Fields in both sets.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let mut set = Self {
            member: self.member && other.member,
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                set.insert(element.clone(), child.common(theirs));
            }
        }
        set
    }

    /// Fields of this set that are not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut set = Self {
            member: self.member && !other.member,
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            let rest = match other.children.get(element) {
                Some(theirs) => child.minus(theirs),
                None => child.clone(),
            };
            set.insert(element.clone(), rest);
        }
        set
    }

    /// Fields in either set.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut set = self.clone();
        set.member |= other.member;
        for (element, theirs) in &other.children {
            let merged = match set.children.get(element) {
                Some(own) => own.plus(theirs),
                None => theirs.clone(),
            };
            set.insert(element.clone(), merged);
        }
        set
    }

    /// Without the field `name` at this level.
    #[must_use]
    pub(super) fn without(mut self, name: &str) -> Self {
        self.children.remove(&PathElement::Field(name.to_owned()));
        self
    }

    /// Without these fields below the field `parent`.
    #[must_use]
    pub(super) fn without_in(mut self, parent: &str, names: &[&str]) -> Self {
        let parent = PathElement::Field(parent.to_owned());
        if let Some(mut child) = self.children.remove(&parent) {
            for name in names {
                child = child.without(name);
            }
            self.insert(parent, child);
        }
        self
    }

    /// The paths of all members, as conflict messages write them.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk(&mut String::new(), &mut paths);
        paths
    }

    fn walk(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.member {
            paths.push(path.clone());
        }
        for (element, child) in &self.children {
            let length = path.len();
            path.push_str(&element.text());
            child.walk(path, paths);
            path.truncate(length);
        }
    }

    /// The `fieldsV1` JSON.
    pub fn json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            map.insert(element.key(), child.json());
        }
        Value::Object(map)
    }

    /// Reads `fieldsV1` JSON; keys of unknown form are left out.
    pub fn parse(json: &Value) -> Self {
        let Some(map) = json.as_object() else {
            return Self::default();
        };
        let mut set = Self {
            member: map.is_empty(),
            children: BTreeMap::new(),
        };
        for (key, child) in map {
            if key == "." {
                set.member = true;
            } else if let Some(element) = PathElement::parse(key) {
                set.insert(element, Self::parse(child));
            }
        }
        set
    }
}

impl PathElement {
    fn key(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
        }
    }

    fn parse(key: &str) -> Option<Self> {
        let (kind, rest) = key.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => Some(Self::Key(canonical(rest)?)),
            "v" => Some(Self::Value(canonical(rest)?)),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Value(value) => format!("[={value}]"),
            Self::Key(keys) => {
                let parsed: Value = serde_json::from_str(keys).unwrap_or_default();
                let parts: Vec<String> = parsed
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                format!("[{}]", parts.join(","))
            }
        }
    }
}

fn canonical(json: &str) -> Option<String> {
    serde_json::from_str::<Value>(json)
        .ok()
        .map(|value| value.to_string())
}

/// How a value is owned: as a whole, by field, or by item.
pub(super) enum Shape<'a> {
    Leaf,
    Fields(&'a Map<String, Value>),
    Items(&'a [Value]),
}

/// Objects are owned by field unless their map type is atomic; lists only by item when they are
/// maps or sets. A list without a mark is atomic.
pub(super) fn shape<'a>(value: &'a Value, schema: &Schema) -> Shape<'a> {
    let atomic = schema.map_type == "atomic" || schema.resolved().map_type == "atomic";
    match value {
        Value::Object(map) if !atomic => Shape::Fields(map),
        Value::Array(items) if is_associative(schema) => Shape::Items(items),
        _ => Shape::Leaf,
    }
}

fn is_associative(schema: &Schema) -> bool {
    schema.list_type == "map" || schema.list_type == "set"
}

pub(super) fn item_schema(schema: &Schema) -> Option<&Schema> {
    schema.resolved().items.as_deref()
}

/// How an item of an associative list is named.
pub(super) fn path_element(item: &Value, schema: &Schema) -> PathElement {
    if schema.list_type == "set" {
        return PathElement::Value(item.to_string());
    }
    let mut keys = Map::new();
    for key in &schema.map_keys {
        let default = || item_schema(schema).and_then(|items| default_key(items, key));
        if let Some(value) = item.get(key.as_str()).cloned().or_else(default) {
            keys.insert(key.to_string(), value);
        }
    }
    PathElement::Key(Value::Object(keys).to_string())
}

/// Key fields may be left out where they have a default; `protocol` of ports is the one such key of
/// the built-in types, and its default is not always published in the schema.
fn default_key(items: &Schema, key: &str) -> Option<Value> {
    let field = items.field(key)?;
    let default = field.default_value.clone();
    default.or_else(|| (key == "protocol" && field.kind == Type::String).then(|| "TCP".into()))
}
