//! Stopping simulated machines, and letting them answer again: objects of our own API group, so
//! that it is a write like any other, recorded and undone like any other.

use serde_json::json;

use super::action::Target;
use super::proposal::Confirmation;
use crate::k8s::lab::{self, OutageSpec};
use crate::k8s::{Cluster, Name, Object, ObjectKey, Op, Preconditions, Propagation, resources};
use crate::stdx::humanize::counted;
use crate::topology::Level;
use crate::tui::cache::Cache;

/// Outages that are to begin, or to end.
#[derive(Clone, PartialEq, Debug)]
pub struct Machines {
    pub stop: bool,
    /// `rack b07`, `node a01-h01`, `3 nodes`: what it is about.
    pub what: String,
    /// What has to be typed before machines are stopped.
    pub typed: String,
    pub nodes: usize,
    /// How many of them are real: cut off, and not powered off.
    pub real: usize,
    pub outages: Vec<(Name, OutageSpec)>,
}

impl Machines {
    /// The machines of a domain, as the cluster's labels name them.
    pub fn stop_domain(
        cache: &Cache,
        level: &Level,
        domain: &Name,
        nodes: usize,
    ) -> Result<Self, String> {
        is_possible(cache)?;
        let spec = OutageSpec {
            node_selector: [(level.label.clone(), domain.clone())].into(),
            ..OutageSpec::default()
        };
        Ok(Self {
            stop: true,
            what: format!("{} {domain}", level.title),
            typed: domain.to_string(),
            nodes,
            real: real(&cache.cluster, |node| spec.concerns(node)),
            outages: vec![(outage_name(&format!("{}-{domain}", level.title)), spec)],
        })
    }

    /// Single machines.
    pub fn stop_nodes(cache: &Cache, nodes: &[Target]) -> Result<Self, String> {
        is_possible(cache)?;
        let first = nodes.first().ok_or("no node is selected")?;
        let spec = OutageSpec {
            nodes: nodes.iter().map(|node| node.key.name.clone()).collect(),
            ..OutageSpec::default()
        };
        let (what, typed) = if nodes.len() == 1 {
            (
                format!("node {}", first.key.name),
                first.key.name.to_string(),
            )
        } else {
            (
                counted(nodes.len(), "node", "nodes"),
                nodes.len().to_string(),
            )
        };
        Ok(Self {
            stop: true,
            what,
            typed,
            nodes: nodes.len(),
            real: real(&cache.cluster, |node| spec.concerns(node)),
            outages: vec![(outage_name(&format!("node-{}", first.key.name)), spec)],
        })
    }

    /// Ends every outage that concerns one of these machines.
    pub fn start(cluster: &Cluster, nodes: &[Target]) -> Result<Self, String> {
        let objects: Vec<_> = nodes
            .iter()
            .filter_map(|node| cluster.get(&node.key))
            .collect();
        let outages: Vec<(Name, OutageSpec)> = cluster
            .list(&resources::OUTAGES)
            .map(|outage| (outage.key.name.clone(), lab::spec::<OutageSpec>(outage)))
            .filter(|(_, spec)| objects.iter().any(|node| spec.concerns(node)))
            .collect();
        if outages.is_empty() {
            return Err("none of these machines was stopped here".to_owned());
        }
        let concerned = |node: &&std::sync::Arc<crate::k8s::Object>| {
            outages.iter().any(|(_, spec)| spec.concerns(node))
        };
        let nodes = cluster.nodes().filter(concerned).count();
        let real = real(cluster, |node| {
            outages.iter().any(|(_, spec)| spec.concerns(node))
        });
        let names: Vec<&str> = outages.iter().map(|(name, _)| name.as_str()).collect();
        Ok(Self {
            stop: false,
            what: names.join(", "),
            typed: String::new(),
            nodes,
            real,
            outages,
        })
    }

    pub fn verb(&self) -> &'static str {
        match (self.stop, self.are_all_real()) {
            (true, true) => "cut off",
            (true, false) => "stop machines of",
            (false, true) => "connect again",
            (false, false) => "start machines of",
        }
    }

    fn are_all_real(&self) -> bool {
        self.real > 0 && self.real == self.nodes
    }

    /// The outages themselves; those that begin are not there yet.
    pub fn targets(&self) -> Vec<ObjectKey> {
        self.outages.iter().map(|(name, _)| key(name)).collect()
    }

    pub fn from_to(&self) -> (String, String) {
        let nodes = counted(self.nodes, "machine", "machines");
        let (from, to) = match (self.stop, self.are_all_real()) {
            (true, false) => (
                "answer",
                "powered off: their containers are gone".to_owned(),
            ),
            (false, false) => (
                "stopped",
                "powered on, and ready when they answer".to_owned(),
            ),
            (true, true) => (
                "answer",
                "without network: their containers run on, and reach nobody".to_owned(),
            ),
            (false, true) => (
                "cut off",
                "reached again, with the same containers".to_owned(),
            ),
        };
        let apart = match (self.stop, self.are_all_real(), self.real) {
            (true, false, real) if real > 0 => {
                format!("; {real} real: cut off, their containers run on")
            }
            _ => String::new(),
        };
        (format!("{nodes} {from}"), to + &apart)
    }

    pub fn confirmation(&self) -> Confirmation {
        if self.stop {
            Confirmation::Typed(self.typed.clone())
        } else {
            Confirmation::Enter
        }
    }

    pub fn ops(&self) -> Vec<Op> {
        self.outages
            .iter()
            .map(|(name, spec)| {
                if self.stop {
                    Op::Create {
                        resource: resources::OUTAGES,
                        namespace: Name::default(),
                        object: json!({
                            "apiVersion": lab::API_VERSION,
                            "kind": lab::OUTAGE,
                            "metadata": {"name": name},
                            "spec": spec,
                        }),
                    }
                } else {
                    Op::Delete {
                        key: key(name),
                        if_match: Preconditions::default(),
                        propagation: Propagation::Background,
                        grace_period_s: None,
                    }
                }
            })
            .collect()
    }

    pub fn undo(&self) -> Self {
        Self {
            stop: !self.stop,
            typed: self.nodes.to_string(),
            ..self.clone()
        }
    }
}

fn key(name: &Name) -> ObjectKey {
    ObjectKey::cluster_scoped(resources::OUTAGES, name)
}

/// How many of the machines that an outage concerns are real ones of this embedded cluster.
fn real(cluster: &Cluster, concerns: impl Fn(&Object) -> bool) -> usize {
    let nodes = cluster.nodes();
    nodes
        .filter(|node| concerns(node) && lab::is_real(node))
        .count()
}

/// Only an embedded cluster has machines that can be stopped from here.
fn is_possible(cache: &Cache) -> Result<(), String> {
    match cache.kind(&resources::OUTAGES) {
        Some(_) => Ok(()),
        None => Err("this cluster has no simulated machines (no lab.bayplan.dev)".to_owned()),
    }
}

/// A name that the API takes: lower case, digits, `-` and `.`.
fn outage_name(text: &str) -> Name {
    let letters = text.to_ascii_lowercase();
    let name: String = letters
        .chars()
        .map(|letter| {
            let is_allowed =
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '.';
            if is_allowed { letter } else { '-' }
        })
        .collect();
    Name::new(name.trim_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build;
    use crate::topology::level::RACK;
    use crate::tui::cache::KindInfo;

    fn cache() -> Cache {
        let mut cache = Cache::default();
        cache.set_kinds(vec![KindInfo {
            resource: resources::OUTAGES,
            version: "v1alpha1".into(),
            kind: "Outage".into(),
            namespaced: false,
            short_names: Vec::new(),
            verbs: Vec::new(),
        }]);
        cache
    }

    #[test]
    fn a_rack_is_stopped_by_its_label_and_started_by_its_nodes() {
        let level = Level::of(RACK);
        let stop = Machines::stop_domain(&cache(), &level, &"B07".into(), 5).unwrap();
        assert_eq!(stop.confirmation(), Confirmation::Typed("B07".into()));
        let Some(Op::Create { object, .. }) = stop.ops().pop() else {
            panic!("stopping creates an outage");
        };
        assert_eq!(object["metadata"]["name"], "rack-b07");
        assert_eq!(object["spec"]["nodeSelector"][RACK], "B07");
        let outage = build::object(resources::OUTAGES, lab::API_VERSION, "Outage", "/rack-b07")
            .with(&object);
        let node = build::node("n1").rack("B07");
        let cluster = build::cluster([&outage, &node]);
        let start = Machines::start(&cluster, &[Target::of(&node.build())]).unwrap();
        assert_eq!((start.nodes, start.outages.len()), (1, 1));
        assert!(matches!(start.ops().as_slice(), [Op::Delete { .. }]));
        assert_eq!(start.undo().ops(), stop.ops());
        let other = build::node("n2").rack("a01");
        assert!(Machines::start(&cluster, &[Target::of(&other.build())]).is_err());
    }

    #[test]
    fn a_real_machine_is_cut_off_and_not_said_to_be_powered_off() {
        let real = build::node("here").rack("B07");
        let real = real.label(lab::RUNTIME_LABEL, "container");
        let outage = build::object(resources::OUTAGES, lab::API_VERSION, "Outage", "/rack-b07")
            .with(&json!({"spec": {"nodeSelector": {RACK: "B07"}}}));
        let cluster = build::cluster([&outage, &real]);
        let start = Machines::start(&cluster, &[Target::of(&real.build())]).unwrap();
        assert_eq!(start.verb(), "connect again");
        let stop = start.undo();
        assert_eq!(stop.verb(), "cut off");
        assert!(stop.from_to().1.contains("run on"));
    }

    #[test]
    fn a_real_cluster_has_no_machines_to_stop() {
        let level = Level::of(RACK);
        assert!(Machines::stop_domain(&Cache::default(), &level, &"a".into(), 1).is_err());
    }
}
