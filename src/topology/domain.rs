//! Capacity by failure domain: what is there, what is asked for, what is left and what of that is
//! of no use.

use std::collections::BTreeMap;

use super::amounts::Amounts;
use super::level::{Level, natural_order};
use super::survey::{NodeFacts, Row, Survey};
use crate::k8s::columns::NodeReady;
use crate::k8s::{Name, Object};

/// The fleet cut at one level.
#[derive(Clone, Debug)]
pub struct Domains {
    pub level: Level,
    /// In the order of their names, as people count.
    pub list: Vec<Domain>,
    /// The domain of each node row; `None` for nodes without the label.
    pub of_node: Vec<Option<Row>>,
    /// Nodes without the label: in no domain of this level.
    pub outside: Vec<Row>,
}

#[derive(Clone, Debug, Default)]
pub struct Domain {
    pub name: Name,
    pub nodes: Vec<Row>,
    /// Ready and open for new pods.
    pub open: u32,
    /// Ready or not, `spec.unschedulable`.
    pub cordoned: u32,
    pub not_ready: u32,
    pub allocatable: Amounts,
    pub requested: Amounts,
    pub limits: Amounts,
    /// What is free on open nodes.
    pub headroom: Amounts,
    pub stranded: Stranded,
    /// The open node where most typical pods still fit, and how many.
    pub hole: Option<(Row, u64)>,
}

/// Free capacity that typical pods cannot use.
///
/// A dimension of an open node is exhausted when less of it is free than a typical pod asks for
/// ([`Survey::typical`], the median request). Where memory is exhausted and cpu is not, the free
/// cpu is stranded; where cpu is exhausted and memory is not, the free memory; where the pod slots
/// are gone, both. Where both dimensions are exhausted the node is simply full. A node that is
/// cordoned or not ready strands nothing: its capacity is out for another reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stranded {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub nodes: u32,
}

impl Stranded {
    pub fn of(node: &NodeFacts, typical: Amounts) -> Self {
        if !node.is_open() {
            return Self::default();
        }
        let free = node.free();
        let cpu_gone = free.cpu_milli < typical.cpu_milli;
        let memory_gone = free.memory_bytes < typical.memory_bytes;
        let slots_gone = free.pods == 0;
        let cpu_milli = if !cpu_gone && (memory_gone || slots_gone) {
            free.cpu_milli
        } else {
            0
        };
        let memory_bytes = if !memory_gone && (cpu_gone || slots_gone) {
            free.memory_bytes
        } else {
            0
        };
        Self {
            cpu_milli,
            memory_bytes,
            nodes: u32::from(cpu_milli > 0 || memory_bytes > 0),
        }
    }

    pub fn is_none(self) -> bool {
        self.nodes == 0
    }

    fn add(&mut self, other: Self) {
        self.cpu_milli += other.cpu_milli;
        self.memory_bytes += other.memory_bytes;
        self.nodes += other.nodes;
    }
}

impl Domains {
    pub fn of(survey: &Survey, level: &Level) -> Self {
        let mut by_name: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        let mut outside = Vec::new();
        for (place, node) in survey.nodes.iter().enumerate() {
            let row = Row::try_from(place).unwrap_or(Row::MAX);
            match domain_name(node, level) {
                Some(name) => by_name.entry(name).or_default().push(row),
                None => outside.push(row),
            }
        }
        let mut list: Vec<Domain> = by_name
            .into_iter()
            .map(|(name, nodes)| sum(survey, Name::new(name), nodes))
            .collect();
        list.sort_by(|left, right| natural_order(&left.name, &right.name));
        let mut of_node = vec![None; survey.nodes.len()];
        for (place, domain) in list.iter().enumerate() {
            for &node in &domain.nodes {
                of_node[node as usize] = Row::try_from(place).ok();
            }
        }
        Self {
            level: level.clone(),
            list,
            of_node,
            outside,
        }
    }

    /// One domain of any nodes; all others are outside.
    pub fn chosen(survey: &Survey, is_in: impl Fn(&Object) -> bool) -> Self {
        let rows = (0..survey.nodes.len()).filter_map(|place| Row::try_from(place).ok());
        let (nodes, outside): (Vec<Row>, Vec<Row>) =
            rows.partition(|&row| is_in(&survey.node(row).object));
        let mut of_node = vec![None; survey.nodes.len()];
        for &node in &nodes {
            of_node[node as usize] = Some(0);
        }
        Self {
            level: Level::of(super::level::HOST),
            list: vec![sum(survey, Name::default(), nodes)],
            of_node,
            outside,
        }
    }

    /// The whole fleet as one domain, for totals.
    pub fn whole(survey: &Survey) -> Domain {
        let nodes = (0..survey.nodes.len()).filter_map(|place| Row::try_from(place).ok());
        sum(survey, Name::default(), nodes.collect())
    }

    /// Any nodes as one domain.
    pub fn sum(survey: &Survey, name: Name, nodes: Vec<Row>) -> Domain {
        sum(survey, name, nodes)
    }

    pub fn find(&self, name: &str) -> Option<Row> {
        let place = self.list.iter().position(|domain| domain.name == name)?;
        Row::try_from(place).ok()
    }

    /// For each domain the `outer` domain that holds all of its nodes, if there is one.
    pub fn parents(&self, outer: &Self) -> Vec<Option<Row>> {
        self.list
            .iter()
            .map(|domain| {
                let first = outer.of_node[*domain.nodes.first()? as usize]?;
                let same = |node: &Row| outer.of_node[*node as usize] == Some(first);
                domain.nodes.iter().all(same).then_some(first)
            })
            .collect()
    }

    /// Whether every domain of this level lies in one of the `outer` level.
    pub fn nests_in(&self, outer: &Self) -> bool {
        !self.list.is_empty() && self.parents(outer).iter().all(Option::is_some)
    }

    /// How many domains could take a new pod.
    pub fn open_count(&self) -> usize {
        self.list.iter().filter(|domain| domain.open > 0).count()
    }
}

/// Hosts without the label are domains under their own name; at other levels a node without the
/// label is in none.
fn domain_name<'a>(node: &'a NodeFacts, level: &Level) -> Option<&'a str> {
    let label = node.object.labels.get(&level.label).map(Name::as_str);
    match label.filter(|value| !value.is_empty()) {
        Some(value) => Some(value),
        None if level.is_host() => Some(node.name()),
        None => None,
    }
}

fn sum(survey: &Survey, name: Name, nodes: Vec<Row>) -> Domain {
    let mut domain = Domain {
        name,
        ..Domain::default()
    };
    for &row in &nodes {
        let node = survey.node(row);
        domain.allocatable += node.allocatable;
        domain.requested += node.requested;
        domain.limits += node.limits;
        domain.cordoned += u32::from(node.cordoned);
        domain.not_ready += u32::from(node.ready != NodeReady::True);
        domain.stranded.add(Stranded::of(node, survey.typical));
        if node.is_open() {
            domain.open += 1;
            domain.headroom += node.free();
            let fits = node.free().fits(survey.typical);
            if domain.hole.is_none_or(|(_, best)| fits > best) {
                domain.hole = Some((row, fits));
            }
        }
    }
    domain.nodes = nodes;
    domain
}

/// How many pods of `shape` the open ones of these nodes still take, each on one node.
pub fn fits(survey: &Survey, nodes: &[Row], shape: Amounts) -> u64 {
    nodes
        .iter()
        .map(|&row| survey.node(row))
        .filter(|node| node.is_open())
        .map(|node| node.free().fits(shape))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, cluster, node, pod};

    fn fleet() -> Vec<Draft> {
        vec![
            node("n1").zone("a").rack("a1").cpu("10").memory("10Gi"),
            node("n2")
                .zone("a")
                .rack("a2")
                .cpu("10")
                .memory("10Gi")
                .cordoned(),
            node("n3").zone("b").rack("b1").cpu("10").memory("10Gi"),
            node("n4").cpu("10").memory("10Gi"),
            pod("w1").cpu("1").memory("1Gi").node("n3"),
            pod("w2").cpu("1").memory("1Gi").node("n3"),
            pod("w3").cpu("1").memory("1Gi").node("n3"),
            pod("big").cpu("2").memory("7Gi").node("n3"),
        ]
    }

    #[test]
    fn domains_sum_their_nodes_and_leave_out_the_unlabelled() {
        let survey = Survey::of(&cluster(&fleet()));
        let zones = Domains::of(&survey, &Level::of(super::super::level::ZONE));
        let names: Vec<&str> = zones.list.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(zones.outside.len(), 1);
        let zone_a = &zones.list[0];
        assert_eq!(
            (zone_a.nodes.len(), zone_a.open, zone_a.cordoned),
            (2, 1, 1)
        );
        assert_eq!(
            zone_a.headroom.cpu_milli, 10_000,
            "a cordoned node has no headroom"
        );
        assert_eq!(zone_a.hole, Some((0, 10)));
        let racks = Domains::of(&survey, &Level::of(super::super::level::RACK));
        assert!(racks.nests_in(&zones) && !zones.nests_in(&racks));
        assert_eq!(racks.parents(&zones), [Some(0), Some(0), Some(1)]);
        let hosts = Domains::of(&survey, &Level::of(super::super::level::HOST));
        assert_eq!(hosts.list.len(), 4);
    }

    #[track_caller]
    fn check_stranded(node: Draft, cpu_milli: i64, memory_gi: i64) {
        let mut fleet = vec![node.cpu("10").memory("10Gi")];
        fleet.extend((0..3).map(|n| pod(&format!("t{n}")).cpu("1").memory("1Gi")));
        fleet.push(pod("x").cpu("4").memory("9500Mi").node("n"));
        let survey = Survey::of(&cluster(&fleet));
        let stranded = Stranded::of(&survey.nodes[0], survey.typical);
        assert_eq!(
            (stranded.cpu_milli, stranded.memory_bytes >> 30),
            (cpu_milli, memory_gi)
        );
    }

    #[test]
    fn capacity_is_stranded_where_the_other_dimension_is_exhausted() {
        check_stranded(node("n"), 6000, 0);
        check_stranded(node("n").cordoned(), 0, 0);
        check_stranded(node("n").not_ready(), 0, 0);
        check_stranded(node("other"), 0, 0);
    }

    #[test]
    fn exhausted_pod_slots_strand_both_dimensions() {
        let fleet = [
            node("n").cpu("10").memory("10Gi").pod_limit(1),
            pod("x").cpu("1").memory("1Gi").node("n"),
        ];
        let survey = Survey::of(&cluster(&fleet));
        let stranded = Stranded::of(&survey.nodes[0], survey.typical);
        assert_eq!((stranded.cpu_milli, stranded.memory_bytes >> 30), (9000, 9));
    }

    #[test]
    fn holes_are_counted_node_by_node() {
        let survey = Survey::of(&cluster(&fleet()));
        let shape = Amounts {
            cpu_milli: 6000,
            memory_bytes: 1 << 30,
            pods: 1,
        };
        assert_eq!(
            fits(&survey, &[0, 1, 2, 3], shape),
            2,
            "n1 and n4, one each"
        );
    }
}
