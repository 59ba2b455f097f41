//! The scheduler against recorded decisions of the real kube-scheduler's own code.
//!
//! Prints one line a group: records compared, records that agree in every field, and the first
//! difference. Fails below 100%. `BAYPLAN_PARITY_DIR` names another directory of vectors.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken vector must fail the test where it is read"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use bayplan::k8s::{Cluster, Object, Resource, resources};
use bayplan::sched::explain::{Explanation, PreemptionReport};
use bayplan::sched::preemption::PreemptionOutcome;
use bayplan::sched::{Configuration, Refusal, Snapshot, Verdict};
use serde_json::{Value, json};

#[test]
fn decisions_are_those_of_kube_scheduler() {
    let mut report = String::new();
    let mut failed = 0;
    for path in vector_files() {
        let group = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = std::fs::File::open(&path).unwrap();
        let reader = BufReader::new(flate2::read::GzDecoder::new(file));
        let (mut compared, mut agreed, mut first) = (0, 0, None);
        for line in reader.lines() {
            let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
            compared += 1;
            match difference(&record) {
                None => agreed += 1,
                Some(text) if first.is_none() => {
                    first = Some(format!("{}: {text}", record["id"].as_str().unwrap()));
                }
                Some(_) => {}
            }
        }
        failed += compared - agreed;
        let first = first.unwrap_or_else(|| "no difference".to_owned());
        writeln!(
            report,
            "{group:34} compared {compared:3} agreed {agreed:3}  {first}"
        )
        .unwrap();
    }
    println!("{report}");
    assert!(!report.is_empty(), "no vectors found");
    assert_eq!(failed, 0, "records that differ\n{report}");
}

fn vector_files() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the one setting of this test")]
    let directory = std::env::var("BAYPLAN_PARITY_DIR")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/parity").to_owned());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".jsonl.gz"))
        .collect();
    files.sort();
    files
}

const LISTS: [(&str, Resource); 12] = [
    ("nodes", resources::NODES),
    ("pods", resources::PODS),
    ("namespaces", resources::NAMESPACES),
    ("services", resources::SERVICES),
    ("replicaSets", resources::REPLICA_SETS),
    ("statefulSets", resources::STATEFUL_SETS),
    ("replicationControllers", resources::REPLICATION_CONTROLLERS),
    ("podDisruptionBudgets", resources::POD_DISRUPTION_BUDGETS),
    ("persistentVolumes", resources::PERSISTENT_VOLUMES),
    (
        "persistentVolumeClaims",
        resources::PERSISTENT_VOLUME_CLAIMS,
    ),
    ("storageClasses", resources::STORAGE_CLASSES),
    ("csiNodes", resources::CSI_NODES),
];

fn explained(record: &Value) -> Explanation {
    let scenario = &record["scenario"];
    let mut cluster = Cluster::default();
    for (field, resource) in LISTS {
        for json in scenario[field].as_array().into_iter().flatten() {
            let object = Object::from_json(resource.clone(), json).unwrap();
            cluster.insert(&Arc::new(object));
        }
    }
    let configuration = match scenario["config"].get("pluginConfig") {
        None => Configuration::default(),
        Some(arguments) => Configuration::parse(
            &json!({"apiVersion": "kubescheduler.config.k8s.io/v1",
                    "kind": "KubeSchedulerConfiguration",
                    "profiles": [{"schedulerName": "default-scheduler", "pluginConfig": arguments}]})
            .to_string(),
        )
        .unwrap(),
    };
    let pending = Object::from_json(resources::PODS, &scenario["pending"]).unwrap();
    Snapshot::with(&cluster, configuration)
        .explain(&Arc::new(pending))
        .unwrap()
}

fn difference(record: &Value) -> Option<String> {
    let ours = shown(&explained(record), &record["expected"]);
    let mut theirs = record["expected"].clone();
    let fields = theirs.as_object_mut().unwrap();
    // Informational, says FORMAT.md.
    fields.remove("skippedFilters");
    first_difference("", &ours, &theirs)
}

/// The explanation in the vectors' form.
fn shown(explanation: &Explanation, expected: &Value) -> Value {
    let mut shown = json!({});
    let outcome = if explanation.is_schedulable() {
        "Scheduled"
    } else {
        "Unschedulable"
    };
    shown["outcome"] = json!(outcome);
    if let Some(rejection) = &explanation.rejection {
        shown["preFilter"] = refusal(&rejection.refusal);
    }
    if let Some(nodes) = &explanation.candidates {
        shown["preFilterNodes"] = json!(nodes);
    }
    let (mut feasible, mut infeasible, mut scores) = (vec![], BTreeMap::new(), BTreeMap::new());
    for node in &explanation.nodes {
        match &node.verdict {
            Verdict::Feasible {
                raw,
                normalized,
                total,
            } => {
                feasible.push(node.node.as_str());
                let row = json!({"raw": raw, "norm": normalized, "total": total});
                scores.insert(node.node.as_str(), row);
            }
            Verdict::Refused { refusal: by, also } => {
                let mut verdict = refusal(by);
                if !also.is_empty() {
                    verdict["also"] = also.iter().map(refusal).collect();
                }
                infeasible.insert(node.node.as_str(), verdict);
            }
        }
    }
    feasible.sort_unstable();
    // Absent where there is nothing to tell; an empty list and an absent one are the same.
    for (field, value) in [
        ("feasible", json!(feasible)),
        ("infeasible", json!(infeasible)),
        ("scores", json!(scores)),
        ("best", json!(explanation.best)),
        ("fitMessage", json!(explanation.fit_message)),
        ("message", json!(explanation.message)),
    ] {
        let is_empty = value == json!([]) || value == json!({}) || value == json!("");
        // Without a preemption part (the pod names its node) the vectors leave the message out.
        let is_left_out = field == "message" && expected.get("preemption").is_none();
        if expected.get(field).is_some() || !(is_empty || is_left_out) {
            shown[field] = value;
        }
    }
    if expected.get("scorePlugins").is_some() {
        shown["scorePlugins"] = explanation
            .columns
            .iter()
            .map(|column| {
                let mut entry = json!({"name": column.plugin.name(), "weight": column.weight});
                if column.skipped {
                    entry["skipped"] = json!(true);
                }
                entry
            })
            .collect();
    }
    if explanation.preemption.outcome != PreemptionOutcome::NotTried {
        shown["preemption"] = preemption(&explanation.preemption, &expected["preemption"]);
    }
    shown
}

fn refusal(refusal: &Refusal) -> Value {
    json!({"plugin": refusal.plugin.name(), "code": refusal.code.name(), "reasons": refusal.reasons})
}

fn preemption(report: &PreemptionReport, expected: &Value) -> Value {
    let status = match &report.outcome {
        PreemptionOutcome::Success => "Success",
        PreemptionOutcome::Unschedulable(_) => "Unschedulable",
        PreemptionOutcome::Error(_) => "Error",
        PreemptionOutcome::NotTried => "",
    };
    let mut shown = json!({"status": status});
    let candidates: BTreeMap<&str, Value> = report
        .candidates
        .iter()
        .map(|candidate| {
            let victims: Vec<String> = candidate
                .victims
                .iter()
                .map(|key| format!("{}/{}", key.namespace, key.name))
                .collect();
            let entry = json!({"node": candidate.node, "victims": victims,
                               "pdbViolations": candidate.violations});
            (candidate.node.as_str(), entry)
        })
        .collect();
    let candidates: Vec<Value> = candidates.into_values().collect();
    let rejected: BTreeMap<&str, Value> = report
        .rejected
        .iter()
        .map(|(node, by)| (node.as_str(), refusal(by)))
        .collect();
    for (field, value) in [
        ("message", json!(report.outcome.message())),
        ("ineligible", json!(report.ineligible.unwrap_or_default())),
        ("potentialNodes", json!(report.potential)),
        ("candidates", json!(candidates)),
        ("rejected", json!(rejected)),
        ("best", json!(report.best)),
    ] {
        let is_empty = value == json!([]) || value == json!({}) || value == json!("");
        if expected.get(field).is_some() || !is_empty {
            shown[field] = value;
        }
    }
    shown
}

fn first_difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    if let (Value::Object(one), Value::Object(other)) = (ours, theirs) {
        let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        return keys.into_iter().find_map(|key| {
            let at = format!("{path}/{key}");
            match (one.get(key), other.get(key)) {
                (Some(one), Some(other)) => first_difference(&at, one, other),
                (one, other) => Some(format!("{at}: ours {one:?}, theirs {other:?}")),
            }
        });
    }
    (ours != theirs).then(|| format!("{path}: ours {ours}, theirs {theirs}"))
}
