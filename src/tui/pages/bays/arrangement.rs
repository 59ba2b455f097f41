//! Which node stands where on the map: blocks of rows of nodes, by failure domain, in an order.

use std::cmp::Ordering;

use crate::k8s::Name;
use crate::topology::level::natural_order;
use crate::topology::survey::Row;
use crate::topology::{Domain, Domains, Level, Stranded, Survey};

/// How the nodes of a row are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    #[default]
    FullestFirst,
    EmptiestFirst,
    StrandedFirst,
    MostPodsFirst,
    Name,
}

impl Order {
    pub const ALL: [Self; 5] = [
        Self::FullestFirst,
        Self::EmptiestFirst,
        Self::StrandedFirst,
        Self::MostPodsFirst,
        Self::Name,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::FullestFirst => "fullest first",
            Self::EmptiestFirst => "emptiest first",
            Self::StrandedFirst => "most stranded first",
            Self::MostPodsFirst => "most pods first",
            Self::Name => "by name",
        }
    }

    pub fn next(self) -> Self {
        next_of(&Self::ALL, self)
    }

    fn compare(self, survey: &Survey, left: Row, right: Row) -> Ordering {
        let by_name = || natural_order(survey.node(left).name(), survey.node(right).name());
        let fullest = |row: Row| survey.node(row).fullest();
        let stranded = |row: Row| {
            let node = survey.node(row);
            let stranded = Stranded::of(node, survey.typical);
            let cpu =
                crate::topology::amounts::share(stranded.cpu_milli, node.allocatable.cpu_milli);
            let memory = crate::topology::amounts::share(
                stranded.memory_bytes,
                node.allocatable.memory_bytes,
            );
            cpu.max(memory)
        };
        match self {
            Self::FullestFirst => fullest(right).total_cmp(&fullest(left)),
            Self::EmptiestFirst => fullest(left).total_cmp(&fullest(right)),
            Self::StrandedFirst => stranded(right).total_cmp(&stranded(left)),
            Self::MostPodsFirst => survey.pods_on(right).len().cmp(&survey.pods_on(left).len()),
            Self::Name => Ordering::Equal,
        }
        .then_with(by_name)
    }
}

/// The element after `current`, the first after the last.
pub fn next_of<T: Copy + PartialEq>(all: &[T], current: T) -> T {
    let place = all.iter().position(|entry| *entry == current);
    let next = place.map_or(0, |place| (place + 1) % all.len().max(1));
    all.get(next).copied().unwrap_or(current)
}

/// The nodes of the fleet as blocks of rows.
#[derive(Clone, Debug, Default)]
pub struct Arrangement {
    /// `zone › rack`, `rack`, `all nodes`.
    pub title: String,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Sums over the block's nodes; its name is the block's.
    pub domain: Domain,
    pub rows: Vec<RowOfNodes>,
}

#[derive(Clone, Debug, Default)]
pub struct RowOfNodes {
    /// Empty where the block has one row only.
    pub label: Name,
    pub nodes: Vec<Row>,
}

/// Cuts the fleet by `level`, inside the next larger level that holds it, if there is one. `keep`
/// says which nodes are shown; domains without any are left out.
pub fn arrange(
    survey: &Survey,
    levels: &[Level],
    level: Option<&Level>,
    order: Order,
    keep: impl Fn(Row) -> bool,
) -> Arrangement {
    let Some(level) = level.filter(|level| !level.is_host()) else {
        let all: Vec<Row> = rows_of(survey).filter(|&row| keep(row)).collect();
        return Arrangement {
            title: "all nodes".to_owned(),
            blocks: vec![block(
                survey,
                Name::default(),
                vec![(Name::default(), all)],
                order,
            )],
        };
    };
    let inner = Domains::of(survey, level);
    let outer = levels
        .iter()
        .rev()
        .skip_while(|entry| *entry != level)
        .skip(1)
        .map(|larger| Domains::of(survey, larger))
        .find(|larger| larger.list.len() > 1 && inner.nests_in(larger));
    let shown = |domain: &Domain| -> Vec<Row> {
        domain
            .nodes
            .iter()
            .copied()
            .filter(|&row| keep(row))
            .collect()
    };
    let mut blocks = Vec::new();
    let title = if let Some(outer) = outer {
        let parents = inner.parents(&outer);
        for (place, larger) in outer.list.iter().enumerate() {
            let rows: Vec<(Name, Vec<Row>)> = inner
                .list
                .iter()
                .zip(&parents)
                .filter(|(_, parent)| parent.is_some_and(|row| row as usize == place))
                .map(|(domain, _)| (domain.name.clone(), shown(domain)))
                .collect();
            blocks.push(block(survey, larger.name.clone(), rows, order));
        }
        format!("{} › {}", outer.level.title, level.title)
    } else {
        for domain in &inner.list {
            let rows = vec![(Name::default(), shown(domain))];
            blocks.push(block(survey, domain.name.clone(), rows, order));
        }
        level.title.to_string()
    };
    let outside: Vec<Row> = inner
        .outside
        .iter()
        .copied()
        .filter(|&row| keep(row))
        .collect();
    if !outside.is_empty() {
        let name = Name::new(format!("no {}", level.title));
        blocks.push(block(survey, name, vec![(Name::default(), outside)], order));
    }
    blocks.retain(|block| !block.rows.is_empty());
    Arrangement { title, blocks }
}

fn rows_of(survey: &Survey) -> impl Iterator<Item = Row> + use<> {
    (0..survey.nodes.len()).filter_map(|place| Row::try_from(place).ok())
}

fn block(survey: &Survey, name: Name, rows: Vec<(Name, Vec<Row>)>, order: Order) -> Block {
    let nodes: Vec<Row> = rows.iter().flat_map(|(_, nodes)| nodes).copied().collect();
    let rows = rows
        .into_iter()
        .filter(|(_, nodes)| !nodes.is_empty())
        .map(|(label, mut nodes)| {
            nodes.sort_by(|&left, &right| order.compare(survey, left, right));
            RowOfNodes { label, nodes }
        })
        .collect();
    Block {
        domain: Domains::sum(survey, name, nodes),
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, node, pod};
    use crate::topology::level::levels;

    #[track_caller]
    fn check(label: &str, order: Order, expected: &str) {
        let cluster = cluster(&[
            node("n1").zone("a").rack("a1").power("p1"),
            node("n2").zone("a").rack("a1").power("p2"),
            node("n3").zone("a").rack("a2").power("p1"),
            node("n4").zone("b").rack("b1").power("p2"),
            node("n5"),
            pod("x").cpu("8").node("n2"),
        ]);
        let survey = Survey::of(&cluster);
        let levels = levels(&cluster, &[]);
        let level = levels.iter().find(|level| level.title == label);
        let arrangement = arrange(&survey, &levels, level, order, |_| true);
        let shown: Vec<String> = arrangement
            .blocks
            .iter()
            .map(|block| {
                let rows: Vec<String> = block
                    .rows
                    .iter()
                    .map(|row| {
                        let names: Vec<&str> = row
                            .nodes
                            .iter()
                            .map(|&node| survey.node(node).name())
                            .collect();
                        format!("{}[{}]", row.label, names.join(" "))
                    })
                    .collect();
                format!("{}:{}", block.domain.name, rows.join(""))
            })
            .collect();
        assert_eq!(
            format!("{}| {}", arrangement.title, shown.join(" ")),
            expected
        );
    }

    #[test]
    fn racks_stand_in_their_zones_and_power_feeds_across_them() {
        check(
            "rack",
            Order::Name,
            "zone › rack| a:a1[n1 n2]a2[n3] b:b1[n4] no rack:[n5]",
        );
        check(
            "rack",
            Order::FullestFirst,
            "zone › rack| a:a1[n2 n1]a2[n3] b:b1[n4] no rack:[n5]",
        );
        check(
            "power",
            Order::Name,
            "power| p1:[n1 n3] p2:[n2 n4] no power:[n5]",
        );
        check(
            "zone",
            Order::Name,
            "zone| a:[n1 n2 n3] b:[n4] no zone:[n5]",
        );
        check("host", Order::Name, "all nodes| :[n1 n2 n3 n4 n5]");
    }
}
