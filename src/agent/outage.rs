//! Which machines do not answer: the Outage objects of a cluster, read once a change.

use jiff::Timestamp;

use super::machine::Link;
use crate::k8s::lab::{self, OutageMode, OutageSpec};
use crate::k8s::{Cluster, Object, resources};

/// All outages that are in force.
#[derive(Clone, Debug, Default)]
pub struct Outages(Vec<Outage>);

#[derive(Clone, Debug)]
struct Outage {
    spec: OutageSpec,
    since: Option<Timestamp>,
}

impl Outages {
    pub fn of(cluster: &Cluster) -> Self {
        let outages = cluster.list(&resources::OUTAGES).map(|object| Outage {
            spec: lab::spec(object),
            since: object.created,
        });
        Self(outages.collect())
    }

    /// How a machine is connected and since when it is not. A machine without power is off, however
    /// its network is.
    pub fn link(&self, node: &Object) -> (Link, Option<Timestamp>) {
        let mut link = (Link::Up, None);
        for outage in self.0.iter().filter(|outage| outage.spec.concerns(node)) {
            match (outage.spec.mode, link.0) {
                (OutageMode::PowerOff, Link::Off) => {
                    link.1 = link.1.min(outage.since);
                }
                (OutageMode::PowerOff, _) => link = (Link::Off, outage.since),
                (OutageMode::Partition, Link::Up) => link = (Link::Cut, outage.since),
                (OutageMode::Partition, _) => {}
            }
        }
        link
    }
}
