//! Failure-domain levels: which labels of nodes say what may be lost together.
//!
//! A domain is a label's value, as the scheduler's topology keys see it: two racks that are both
//! called `r1` are one domain. Fleets that number racks anew in each zone should say so in the
//! name.

use std::collections::BTreeMap;

use crate::k8s::{Cluster, Name};

pub const REGION: &str = "topology.kubernetes.io/region";
pub const ZONE: &str = "topology.kubernetes.io/zone";
pub const RACK: &str = "topology.bayplan.dev/rack";
pub const POWER: &str = "topology.bayplan.dev/power";
pub const HOST: &str = "kubernetes.io/hostname";

/// From the largest to the smallest, power feeds, which may cross racks, after them: title, and
/// the labels that may carry it, best first.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "region",
        &[REGION, "failure-domain.beta.kubernetes.io/region"],
    ),
    ("zone", &[ZONE, "failure-domain.beta.kubernetes.io/zone"]),
    ("rack", &[RACK, "topology.kubernetes.io/rack", "rack"]),
    ("power", &[POWER]),
    ("host", &[HOST]),
];

/// One way of cutting the fleet into parts that fail together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Level {
    /// The node label whose values are the domains.
    pub label: Name,
    /// `rack`; for labels that nobody knows the part after the slash.
    pub title: Name,
}

impl Level {
    pub fn of(label: &str) -> Self {
        let known = KNOWN
            .iter()
            .find(|(_, labels)| labels.contains(&label))
            .map(|(title, _)| Name::new_static(title));
        Self {
            label: Name::new(label),
            title: known.unwrap_or_else(|| {
                Name::new(label.rsplit_once('/').map_or(label, |(_, short)| short))
            }),
        }
    }

    pub fn is_host(&self) -> bool {
        self.label == HOST
    }

    /// `3 racks`, `1 rack`.
    pub fn counted(&self, count: usize) -> String {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {}{plural}", self.title)
    }
}

/// The levels that this cluster's nodes carry, largest first, hosts last. `extra` are labels that
/// the user declared as levels; they stand before hosts and are left out where no node has them.
pub fn levels(cluster: &Cluster, extra: &[Name]) -> Vec<Level> {
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for node in cluster.nodes() {
        for (label, _) in node.labels.iter() {
            *used.entry(label.as_str()).or_default() += 1;
        }
    }
    let mut found: Vec<Level> = Vec::new();
    for (title, labels) in KNOWN.iter().filter(|(title, _)| *title != "host") {
        let best = labels
            .iter()
            .filter(|label| used.contains_key(**label))
            .max_by_key(|label| used.get(**label).copied().unwrap_or_default());
        if let Some(label) = best {
            found.push(Level {
                label: Name::new_static(label),
                title: Name::new_static(title),
            });
        }
    }
    for label in extra {
        let is_new = found.iter().all(|level| level.label != *label);
        if is_new && used.contains_key(label.as_str()) && label != HOST {
            found.push(Level::of(label));
        }
    }
    if cluster.nodes().next().is_some() {
        found.push(Level::of(HOST));
    }
    found
}

/// Orders names as people count: `a2` before `a10`.
pub fn natural_order(left: &str, right: &str) -> std::cmp::Ordering {
    let mut left = left.as_bytes();
    let mut right = right.as_bytes();
    loop {
        match (left.split_first(), right.split_first()) {
            (None, None) => return std::cmp::Ordering::Equal,
            (None, Some(_)) => return std::cmp::Ordering::Less,
            (Some(_), None) => return std::cmp::Ordering::Greater,
            (Some((first, rest_left)), Some((second, rest_right))) => {
                if first.is_ascii_digit() && second.is_ascii_digit() {
                    let (number_left, after_left) = number(left);
                    let (number_right, after_right) = number(right);
                    let order = number_left.cmp(&number_right);
                    if order.is_ne() {
                        return order;
                    }
                    left = after_left;
                    right = after_right;
                } else {
                    let order = first.cmp(second);
                    if order.is_ne() {
                        return order;
                    }
                    left = rest_left;
                    right = rest_right;
                }
            }
        }
    }
}

/// The number at the front and what follows it; more digits than fit count as the largest number.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    let value = digits.iter().fold(0_u64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit.wrapping_sub(b'0')))
    });
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, node};

    #[track_caller]
    fn check(nodes: &[crate::k8s::build::Draft], extra: &[&str], expected: &str) {
        let extra: Vec<Name> = extra.iter().map(Name::new).collect();
        let titles: Vec<Name> = levels(&cluster(nodes), &extra)
            .into_iter()
            .map(|level| level.title)
            .collect();
        assert_eq!(titles.join(" "), expected);
    }

    #[test]
    fn only_levels_that_nodes_carry_are_there() {
        check(&[], &[], "");
        check(&[node("n1")], &[], "host");
        check(
            &[node("n1").zone("a").rack("a1"), node("n2")],
            &[],
            "zone rack host",
        );
        check(
            &[node("n1").label("failure-domain.beta.kubernetes.io/zone", "a")],
            &[],
            "zone host",
        );
        check(
            &[node("n1").zone("a").power("p1").region("eu")],
            &[],
            "region zone power host",
        );
        check(
            &[node("n1").label("example.com/row", "7")],
            &["example.com/row", "example.com/hall"],
            "row host",
        );
    }

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = ["a10", "a2", "b1", "a1", "a"];
        names.sort_by(|left, right| natural_order(left, right));
        assert_eq!(names, ["a", "a1", "a2", "a10", "b1"]);
    }
}
