//! Completion indexes: of a pod, in a status (`0-2,5`), and in what a pod is told of its own.
//!
//! Source: `indexed_job_utils.go` of Kubernetes 1.36.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::field;
use crate::k8s::Object;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const VARIABLE: &str = "JOB_COMPLETION_INDEX";

pub(super) fn of(pod: &Object) -> Option<i64> {
    pod.labels.get(INDEX)?.parse().ok()
}

pub(super) fn parse(text: &str) -> BTreeSet<i64> {
    text.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<i64>().ok()?..=last.parse::<i64>().ok()?)
        })
        .flatten()
        .collect()
}

pub(super) fn print(indexes: &BTreeSet<i64>) -> String {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for &index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let texts: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}-{last}"),
        })
        .collect();
    texts.join(",")
}

/// Gives a new pod its index: label, annotation, host name, and a variable in each container.
pub(super) fn mark(pod: &mut Value, job: &str, index: i64) {
    let text = index.to_string();
    let patch = json!({
        "metadata": {
            "labels": {INDEX: text},
            "annotations": {INDEX: text},
            "generateName": format!("{job}-{index}-"),
        },
        "spec": {"hostname": format!("{job}-{index}")},
    });
    json_patch::merge(pod, &patch);
    let variable = json!({
        "name": VARIABLE,
        "valueFrom": {"fieldRef": {
            "apiVersion": "v1",
            "fieldPath": format!("metadata.labels['{INDEX}']"),
        }},
    });
    for list in ["/spec/containers", "/spec/initContainers"] {
        let containers = pod.pointer_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mut variables = field::list(container, "/env").to_vec();
            if variables
                .iter()
                .all(|entry| field::text(entry, "/name") != VARIABLE)
            {
                variables.push(variable.clone());
                field::put(container, "env", variables.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_as_ranges() {
        for text in ["", "0", "0,1", "0-2", "1,3-5,7", "0,2,4"] {
            assert_eq!(print(&parse(text)), text);
        }
    }
}
