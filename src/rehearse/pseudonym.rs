//! Other names for everything that has a name, the same everywhere: an outcome can be shown without
//! showing whose it is.
//!
//! Names are taken apart at everything that is no letter or digit, and the parts are replaced, so
//! that what belongs together still does: the pods of a stateful set, the claims of its pods, a
//! label and what selects it. Which parts are names is learned from the objects: names, namespaces,
//! label values, images, hosts. Numbers, amounts and Kubernetes' own words stay.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::k8s::quantity::Quantity;
use crate::stdx::rng::Stream;

/// Parts that mean something to Kubernetes or to us.
const KEPT: &[&str] = &[
    "default",
    "kube",
    "system",
    "public",
    "node",
    "lease",
    "scheduler",
    "kubernetes",
    "k8s",
    "io",
    "dev",
    "bayplan",
    "simulated",
    "linux",
    "windows",
    "amd64",
    "arm64",
    "cpu",
    "memory",
    "pods",
    "ephemeral",
    "storage",
    "hugepages",
    "true",
    "false",
    "cluster",
    "critical",
    "v1",
    "apps",
    "batch",
    "policy",
    "pod",
    "foreground",
    "orphan",
    "pv",
    "pvc",
    "protection",
    "rehearsed",
];
/// Fields whose texts are versions, kinds, times and identities.
const SKIPPED: &[&str] = &[
    "apiVersion",
    "kind",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "fieldPath",
    "finalizers",
    "capacity",
    "allocatable",
    "resources",
    "requests",
    "limits",
    "hard",
    "used",
    "nodeInfo",
];
/// Fields that hold the key of a label, not a value.
const LABEL_KEYS: &[&str] = &["topologyKey", "key", "labelKey", "matchLabelKeys"];
/// Texts written for people: they name things in sentences.
const DROPPED: &[&str] = &["message", "annotations", "images", "managedFields"];

/// Which parts are names, and what stands for them.
pub struct Pseudonyms {
    names: BTreeSet<String>,
    seed: u64,
}

impl Pseudonyms {
    /// Learns the names in these objects. The seed keeps two files from being compared.
    pub fn of(objects: &[Value], seed: u64) -> Self {
        let mut names = BTreeSet::new();
        for object in objects {
            learn(object, false, &mut names);
        }
        Self { names, seed }
    }

    pub fn rename(&self, object: &mut Value) {
        match object {
            Value::Object(fields) => {
                let old = std::mem::take(fields);
                *fields = self.fields(old);
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item)),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    fn fields(&self, old: Map<String, Value>) -> Map<String, Value> {
        let mut fields = Map::new();
        for (name, mut value) in old {
            if DROPPED.contains(&name.as_str()) {
                continue;
            }
            if LABEL_KEYS.contains(&name.as_str()) {
                self.rename_keys(&mut value);
            } else if !SKIPPED.contains(&name.as_str()) {
                self.rename(&mut value);
            }
            fields.insert(self.key(&name), value);
        }
        fields
    }

    fn rename_keys(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.key(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename_keys(item)),
            _ => {}
        }
    }

    /// Words of a step that are names; its verbs and amounts stay.
    pub fn rename_step(&self, step: &str) -> String {
        let words = step.split(' ').enumerate();
        let words = words.map(|(place, word)| match word.split_once('=') {
            _ if place == 0 => word.to_owned(),
            // A goal is no name, and a level's word stays.
            _ if step.starts_with("rebalance ") => self.key(word),
            Some((key, value)) if value.parse::<u32>().is_err() => {
                format!("{}={}", self.key(key), self.text(value))
            }
            _ => self.text(word),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// A label's key: its own word stays, a domain that is not Kubernetes' is somebody's name.
    fn key(&self, key: &str) -> String {
        match key.split_once('/') {
            Some((domain, word)) if !is_known(domain) => format!("{}/{word}", self.text(domain)),
            _ => key.to_owned(),
        }
    }

    fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut part = String::new();
        for letter in text.chars() {
            if letter.is_ascii_alphanumeric() {
                part.push(letter);
                continue;
            }
            out.push_str(&self.part(&part));
            part.clear();
            out.push(letter);
        }
        out.push_str(&self.part(&part));
        out
    }

    /// As long as before, where that is long enough to be unique: lengths of names are limited.
    fn part(&self, part: &str) -> String {
        if !self.names.contains(part) {
            return part.to_owned();
        }
        let suffix = Stream::new(self.seed, part).suffix(5);
        format!("x{suffix}")
    }
}

fn is_known(domain: &str) -> bool {
    ["kubernetes.io", "k8s.io", "bayplan.dev"]
        .iter()
        .any(|known| domain == *known || domain.ends_with(&format!(".{known}")))
}

/// `named`: inside of a field whose texts are names.
fn learn(value: &Value, named: bool, names: &mut BTreeSet<String>) {
    const NAMED: [&str; 8] = [
        "name",
        "namespace",
        "labels",
        "image",
        "nodeName",
        "hostname",
        "matchLabels",
        "serviceName",
    ];
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name.contains('/') && !is_known(name.split('/').next().unwrap_or_default()) {
                    add(name.split('/').next().unwrap_or_default(), names);
                }
                if !SKIPPED.contains(&name.as_str()) && !DROPPED.contains(&name.as_str()) {
                    learn(field, named || NAMED.contains(&name.as_str()), names);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| learn(item, named, names)),
        Value::String(text) if named => add(text, names),
        _ => {}
    }
}

fn add(text: &str, names: &mut BTreeSet<String>) {
    for part in text.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        // Kubernetes' words in values begin with capitals, names never do; amounts are no names.
        let is_name = part.starts_with(|letter: char| letter.is_ascii_lowercase())
            && part.len() > 1
            && Quantity::parse(part).is_err()
            && !KEPT.contains(&part);
        if is_name {
            names.insert(part.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_belongs_together_still_does() {
        let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "ledger", "namespace": "payments", "uid": "u-1",
                "labels": {"app": "ledger", "acme.example/team": "payments"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "ledger"}},
                "template": {"spec": {"containers": [{"name": "db", "image": "acme/ledger:1.2",
                    "imagePullPolicy": "Always",
                    "resources": {"requests": {"cpu": "500m"}}}]}}}});
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "ledger-0", "namespace": "payments", "labels": {"app": "ledger"}},
            "spec": {"nodeName": "acme-a01"}});
        let names = Pseudonyms::of(&[set.clone(), pod.clone()], 7);
        names.rename(&mut set);
        names.rename(&mut pod);
        let text = format!("{set}{pod}");
        for word in ["ledger", "payments", "acme"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        let name = set["metadata"]["name"].as_str().unwrap();
        assert_eq!(pod["metadata"]["name"], json!(format!("{name}-0")));
        assert_eq!(set["spec"]["selector"]["matchLabels"]["app"], json!(name));
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["imagePullPolicy"], json!("Always"));
        assert_eq!(container["resources"]["requests"]["cpu"], json!("500m"));
        assert_eq!(set["kind"], json!("StatefulSet"));
        let step = names.rename_step("scale sts/ledger=5 -n payments");
        assert!(
            step.starts_with(&format!("scale sts/{name}=5 -n x")),
            "{step}"
        );
        let lost = names.rename_step("lose node=acme-a01");
        assert!(
            !lost.contains("acme") && lost.starts_with("lose node=x"),
            "{lost}"
        );
    }
}
