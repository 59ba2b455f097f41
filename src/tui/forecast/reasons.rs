//! Why pods stay pending, in few words: kube-scheduler's texts, reduced to what stands in the way
//! last.

use std::collections::BTreeMap;

/// One reason with how many pods it holds back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    pub text: String,
    pub pods: usize,
}

/// Groups the fit messages of pods by what holds each of them back, the most frequent first.
pub fn grouped<'a>(messages: impl IntoIterator<Item = &'a str>) -> Vec<Reason> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for message in messages {
        *counts.entry(main_reason(message)).or_default() += 1;
    }
    let mut reasons: Vec<Reason> = counts
        .into_iter()
        .map(|(text, pods)| Reason { text, pods })
        .collect();
    reasons.sort_by(|left, right| right.pods.cmp(&left.pods).then(left.text.cmp(&right.text)));
    reasons
}

/// `120 too little memory · 61 must stay apart from other pods`.
pub fn sentence(reasons: &[Reason]) -> String {
    let parts: Vec<String> = reasons
        .iter()
        .map(|reason| format!("{} {}", reason.pods, reason.text))
        .collect();
    parts.join(" · ")
}

/// The reason that came closest to a fit. Nodes that are out of the question for a pod (other
/// taints, other labels) say little about why it waits; nodes that it may use and that are full do.
fn main_reason(message: &str) -> String {
    let parts = parts(message);
    let best = parts
        .iter()
        .max_by_key(|(count, reason)| (weight(reason), *count));
    match best {
        Some((_, reason)) => in_few_words(reason),
        None if message.is_empty() => "unknown".to_owned(),
        None => message.to_owned(),
    }
}

/// `0/12 nodes are available: 10 Insufficient cpu, 2 Too many pods.` as counts and reasons.
fn parts(message: &str) -> Vec<(usize, &str)> {
    let Some((_, list)) = message.split_once("nodes are available: ") else {
        return Vec::new();
    };
    let list = list.split(" preemption:").next().unwrap_or(list);
    list.trim_end_matches('.')
        .split(", ")
        .filter_map(|part| {
            let (count, reason) = part.split_once(' ')?;
            Some((count.parse().ok()?, reason.trim_end_matches('.')))
        })
        .collect()
}

/// How close to a fit a node was that gave this reason: filters run in a fixed order, and what a
/// later one says weighs more.
fn weight(reason: &str) -> u8 {
    if reason.starts_with("node(s) were unschedulable") {
        0
    } else if reason.contains("taint") {
        1
    } else if reason.contains("node affinity/selector") || reason.contains("requested node name") {
        2
    } else if reason.contains("free ports") {
        3
    } else if reason.starts_with("Insufficient") || reason == "Too many pods" {
        4
    } else {
        // Volumes, spreading, affinity between pods: asked last.
        5
    }
}

fn in_few_words(reason: &str) -> String {
    if let Some(resource) = reason.strip_prefix("Insufficient ") {
        return format!("too little {resource}");
    }
    let words = match reason {
        "Too many pods" => "no pod slot left",
        text if text.contains("anti-affinity") => "must stay apart from other pods",
        text if text.contains("pod affinity") => "must be beside other pods",
        text if text.contains("topology spread") => "would be spread too unevenly",
        text if text.contains("volume node affinity") => "bound to a volume that is lost",
        text if text.contains("node affinity/selector") => {
            "whose node selector matches none of the rest"
        }
        text if text.contains("free ports") => "host port taken",
        text if text.contains("taint") => "taints they do not tolerate",
        text if text.contains("unschedulable") => "nodes are cordoned",
        text => text,
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_nearest_to_a_fit_is_told() {
        let rows = [
            (
                "0/12 nodes are available: 10 Insufficient cpu, 2 Too many pods.",
                "too little cpu",
            ),
            (
                "0/9 nodes are available: 2 Insufficient nvidia.com/gpu, 7 node(s) didn't match \
                 Pod's node affinity/selector.",
                "too little nvidia.com/gpu",
            ),
            (
                "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't \
                 match pod anti-affinity rules.",
                "must stay apart from other pods",
            ),
            (
                "0/3 nodes are available: 3 node(s) were unschedulable.",
                "nodes are cordoned",
            ),
            (
                "no nodes available to schedule pods",
                "no nodes available to schedule pods",
            ),
        ];
        for (message, expected) in rows {
            assert_eq!(main_reason(message), expected);
        }
    }

    #[test]
    fn reasons_are_counted_by_pod() {
        let memory = "0/2 nodes are available: 2 Insufficient memory.";
        let cpu = "0/2 nodes are available: 2 Insufficient cpu.";
        let found = grouped([memory, cpu, memory]);
        assert_eq!(sentence(&found), "2 too little memory · 1 too little cpu");
    }
}
