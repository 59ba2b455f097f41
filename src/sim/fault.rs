//! What a simulation does to its cluster, as values, and how each is done.

use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::workload::{DEPLOYMENTS, MACHINES, NAMESPACE};
use super::{Simulation, Violation};
use crate::k8s::lab::{self, RACK_LABEL};
use crate::k8s::{Cluster, Name, Object, Resource, resources};
use crate::stdx::rng::Stream;

/// One thing that goes wrong, or that an operator does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    PowerOff {
        node: Name,
    },
    Partition {
        node: Name,
    },
    RackOutage {
        rack: Name,
    },
    /// The oldest outage ends.
    EndOutage,
    DeletePod {
        pod: Name,
    },
    Scale {
        deployment: &'static str,
        replicas: u64,
    },
    /// A new image.
    Rollout {
        deployment: &'static str,
        version: u64,
    },
    Cordon {
        node: Name,
    },
    Uncordon {
        node: Name,
    },
    ResizePool {
        pool: Name,
        count: u64,
    },
    /// A copy of the world goes its own way for a while; one of the two goes on.
    Fork {
        keep_copy: bool,
    },
    /// The process ends and starts again.
    Restart,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff { node } => write!(f, "power off {node}"),
            Self::Partition { node } => write!(f, "partition {node}"),
            Self::RackOutage { rack } => write!(f, "lose rack {rack}"),
            Self::EndOutage => write!(f, "end the oldest outage"),
            Self::DeletePod { pod } => write!(f, "delete pod {pod}"),
            Self::Scale {
                deployment,
                replicas,
            } => write!(f, "scale {deployment} to {replicas}"),
            Self::Rollout {
                deployment,
                version,
            } => write!(f, "roll out {deployment}:{version}"),
            Self::Cordon { node } => write!(f, "cordon {node}"),
            Self::Uncordon { node } => write!(f, "uncordon {node}"),
            Self::ResizePool { pool, count } => write!(f, "resize pool {pool} to {count}"),
            Self::Fork { keep_copy } => write!(
                f,
                "fork, go on with the {}",
                if *keep_copy { "copy" } else { "original" }
            ),
            Self::Restart => write!(f, "restart from the journal"),
        }
    }
}

impl Fault {
    /// Draws one that makes sense on this cluster.
    pub fn draw(cluster: &Cluster, chance: &mut Stream) -> Self {
        let node = pick(cluster, &resources::NODES, chance);
        let outages = cluster.count(&resources::OUTAGES);
        // Outages end as often as they begin, or nothing would be left to observe.
        if outages >= 3 || (outages > 0 && chance.chance(1, 4)) {
            return Self::EndOutage;
        }
        let deployment = chance.pick(&DEPLOYMENTS).map_or("web", |(name, _)| *name);
        match chance.below(20) {
            0 | 1 => Self::PowerOff { node },
            2 | 3 => Self::Partition { node },
            4 => Self::RackOutage {
                rack: pick(cluster, &resources::NODE_POOLS, chance),
            },
            5..=7 => Self::DeletePod {
                pod: pick(cluster, &resources::PODS, chance),
            },
            8..=10 => Self::Scale {
                deployment,
                replicas: chance.below(12),
            },
            11..=13 => Self::Rollout {
                deployment,
                version: chance.below(1_000),
            },
            14 => Self::Cordon { node },
            15 => Self::Uncordon { node },
            16 | 17 => Self::ResizePool {
                pool: pick(cluster, &resources::NODE_POOLS, chance),
                count: chance.below(u64::from(MACHINES) + 2),
            },
            18 => Self::Fork {
                keep_copy: chance.chance(1, 2),
            },
            _ => Self::Restart,
        }
    }
}

fn pick(cluster: &Cluster, resource: &Resource, chance: &mut Stream) -> Name {
    let all: Vec<&Arc<Object>> = cluster.list(resource).collect();
    chance
        .pick(&all)
        .map(|object| object.key.name.clone())
        .unwrap_or_default()
}

impl Simulation {
    /// Does it. What the API server refuses (a pod that is gone meanwhile) does not happen.
    pub(super) fn throw(&mut self, fault: &Fault) -> Result<(), Violation> {
        match fault {
            Fault::PowerOff { node } => {
                self.begin_outage(&json!({"nodes": [node], "mode": "PowerOff"}));
            }
            Fault::Partition { node } => {
                self.begin_outage(&json!({"nodes": [node], "mode": "Partition"}));
            }
            Fault::RackOutage { rack } => {
                self.begin_outage(&json!({"nodeSelector": {RACK_LABEL: rack}, "mode": "PowerOff"}));
            }
            Fault::EndOutage => self.end_oldest_outage(),
            Fault::DeletePod { pod } => {
                self.delete(&resources::PODS, NAMESPACE, pod);
            }
            Fault::Scale {
                deployment,
                replicas,
            } => {
                let patch = json!({"spec": {"replicas": replicas}});
                self.patch(&resources::DEPLOYMENTS, NAMESPACE, deployment, &patch);
            }
            Fault::Rollout {
                deployment,
                version,
            } => {
                self.roll_out(deployment, *version);
            }
            Fault::Cordon { node } => self.set_unschedulable(node, true),
            Fault::Uncordon { node } => self.set_unschedulable(node, false),
            Fault::ResizePool { pool, count } => {
                let patch = json!({"spec": {"count": count}});
                self.patch(&resources::NODE_POOLS, "", pool, &patch);
            }
            Fault::Fork { keep_copy } => {
                let before = self.state();
                let mut copy = self.clone();
                copy.roll_out("web", 7);
                copy.run(SignedDuration::from_secs(20))?;
                if self.state() != before {
                    return Err(self.violation("a fork changed what it was forked from".to_owned()));
                }
                if *keep_copy {
                    *self = copy;
                }
            }
            Fault::Restart => self.restart(),
        }
        Ok(())
    }

    fn begin_outage(&mut self, spec: &Value) {
        let outage = json!({
            "apiVersion": lab::API_VERSION, "kind": lab::OUTAGE,
            "metadata": {"generateName": "outage-"}, "spec": spec,
        });
        self.create(&resources::OUTAGES, "", &outage);
    }

    fn end_oldest_outage(&mut self) {
        let outages = self.world.cluster().list(&resources::OUTAGES);
        let oldest = outages.min_by_key(|outage| (outage.created, outage.key.name.clone()));
        if let Some(name) = oldest.map(|outage| outage.key.name.clone()) {
            self.delete(&resources::OUTAGES, "", &name);
        }
    }

    fn set_unschedulable(&mut self, node: &str, unschedulable: bool) {
        let patch = json!({"spec": {"unschedulable": unschedulable}});
        self.patch(&resources::NODES, "", node, &patch);
    }

    fn roll_out(&mut self, deployment: &str, version: u64) {
        // A merge patch replaces lists: the container is changed where it stands.
        let found = self
            .world
            .cluster()
            .find(&resources::DEPLOYMENTS, NAMESPACE, deployment)
            .map(|object| object.json());
        let mut containers = found
            .and_then(|json| json.pointer("/spec/template/spec/containers").cloned())
            .unwrap_or_default();
        if let Some(image) = containers.pointer_mut("/0/image") {
            *image = format!("{deployment}:{version}").into();
        }
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        self.patch(&resources::DEPLOYMENTS, NAMESPACE, deployment, &patch);
    }

    /// All machines are there, answer, and take pods.
    pub(super) fn end_faults(&mut self) {
        let names = |resource: &Resource| -> Vec<Name> {
            let objects = self.world.cluster().list(resource);
            objects.map(|object| object.key.name.clone()).collect()
        };
        let (outages, pools, nodes) = (
            names(&resources::OUTAGES),
            names(&resources::NODE_POOLS),
            names(&resources::NODES),
        );
        for name in outages {
            self.delete(&resources::OUTAGES, "", &name);
        }
        for name in pools {
            let patch = json!({"spec": {"count": MACHINES}});
            self.patch(&resources::NODE_POOLS, "", &name, &patch);
        }
        for name in nodes {
            self.set_unschedulable(&name, false);
        }
    }
}
