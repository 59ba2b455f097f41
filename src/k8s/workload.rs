//! How a workload is: what is desired, how far it is, what its worst pod suffers from.
//!
//! [`Workload::read`] decodes one object (a slim part of it); [`Workload::observe`] adds its pods
//! from their header columns. Sources: `kubectl rollout status` for when a rollout is over and when
//! it is stuck; the status fields of apps/v1 and batch/v1 for the counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::cluster::Cluster;
use super::columns::ContainerRole;
use super::key::{Name, ObjectKey, Resource, Uid};
use super::object::{Object, ObjectError};
use super::resources;
use super::status::{self, Health};

mod wire;

/// The resource types that this module understands, the important ones first.
pub const WORKLOADS: [Resource; 7] = [
    resources::DEPLOYMENTS,
    resources::STATEFUL_SETS,
    resources::DAEMON_SETS,
    resources::JOBS,
    resources::CRON_JOBS,
    resources::REPLICA_SETS,
    resources::REPLICATION_CONTROLLERS,
];

/// One workload and how it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Workload {
    pub key: ObjectKey,
    pub uid: Uid,
    pub created: Option<Timestamp>,
    pub desired: i64,
    pub ready: i64,
    pub updated: i64,
    pub available: i64,
    /// Pods that exist, of every revision.
    pub current: i64,
    pub paused: bool,
    /// `spec.replicas` may be set, and there is a `scale` subresource.
    pub scalable: bool,
    /// The template's containers in the order init, sidecar, app.
    pub images: Box<[Image]>,
    pub rollout: Rollout,
    pub restarts: u32,
    /// What its worst pod suffers from.
    pub problem: Option<Problem>,
    /// A cron job's schedule, a job's completions: what the kind has to say beside counts.
    pub detail: Name,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    pub container: Name,
    pub role: ContainerRole,
    pub image: Name,
}

/// Where a rollout is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rollout {
    /// Everything that should run does, in the newest revision.
    Complete,
    /// The controller has not seen the newest specification.
    NotObserved,
    Paused,
    Updating {
        updated: i64,
        of: i64,
    },
    /// All are updated, old ones are on their way out.
    Retiring {
        old: i64,
    },
    /// All are updated, some are not available yet.
    Waiting {
        available: i64,
        of: i64,
    },
    /// The controller has given up waiting, or a job has failed.
    Stuck {
        reason: Name,
        message: Name,
    },
    /// Pods cannot be created: quota, admission.
    Refused {
        reason: Name,
        message: Name,
    },
    /// A job that has ended well.
    Finished,
    /// Nothing is desired.
    Idle,
    /// A daemon set that no node matches.
    NoNode,
}

/// The most serious state among the pods, and how many share it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub health: Health,
    /// As `kubectl get pods` prints it.
    pub word: Name,
    pub pods: usize,
    /// One of them.
    pub example: ObjectKey,
    /// What upstream says about it: the scheduler's refusal, how the last instance ended.
    pub message: Name,
}

impl Workload {
    /// Reads what the object itself says; `None` where its kind is no workload.
    pub fn read(object: &Object) -> Result<Option<Self>, ObjectError> {
        wire::read(object)
    }

    /// The object and its pods.
    pub fn of(cluster: &Cluster, object: &Object) -> Result<Option<Self>, ObjectError> {
        Ok(Self::read(object)?.map(|mut workload| {
            workload.observe(pods_of(cluster, object).into_iter());
            workload
        }))
    }

    /// Adds what the pods' header columns say.
    pub fn observe<'a>(&mut self, pods: impl Iterator<Item = &'a Arc<Object>>) {
        let mut groups: BTreeMap<(Health, Name), Problem> = BTreeMap::new();
        self.restarts = 0;
        for object in pods {
            let Some(status) = status::of_pod(object) else {
                continue;
            };
            self.restarts = self.restarts.saturating_add(status.restarts);
            if !status.health.is_trouble() && status.health != Health::Waiting {
                continue;
            }
            groups
                .entry((status.health, status.word.clone()))
                .and_modify(|problem| problem.pods += 1)
                .or_insert_with(|| Problem {
                    health: status.health,
                    word: status.word,
                    pods: 1,
                    example: object.key.clone(),
                    message: pod_message(object),
                });
        }
        self.problem = groups.pop_last().map(|(_, problem)| problem);
    }

    /// How serious the workload's state is, as a whole.
    pub fn health(&self) -> Health {
        match &self.rollout {
            Rollout::Stuck { .. } | Rollout::Refused { .. } => Health::Bad,
            Rollout::Finished | Rollout::Idle | Rollout::NoNode => Health::Done,
            _ if self.desired > 0 && self.ready == 0 => match &self.problem {
                Some(problem) if problem.health == Health::Waiting => Health::Waiting,
                Some(_) => Health::Bad,
                None => Health::Waiting,
            },
            _ if self.ready < self.desired => Health::Partly,
            Rollout::Complete | Rollout::Paused => match &self.problem {
                Some(problem) if problem.health.is_trouble() => Health::Partly,
                _ => Health::Good,
            },
            _ => Health::Partly,
        }
    }

    /// The state in words: `rollout 3 of 6, 2 waiting: ImagePullBackOff`.
    pub fn words(&self) -> String {
        let problem = self.problem.as_ref().map(|problem| {
            let detail = if problem.message.is_empty() {
                String::new()
            } else {
                format!(" ({})", problem.message)
            };
            format!("{} {}{detail}", problem.pods, problem.word)
        });
        let progress = self.rollout.words();
        match (progress.is_empty(), problem) {
            (true, None) => String::new(),
            (true, Some(problem)) => problem,
            (false, None) => progress,
            (false, Some(problem)) => format!("{progress}, {problem}"),
        }
    }
}

impl Rollout {
    /// Empty where there is nothing to say.
    pub fn words(&self) -> String {
        match self {
            Self::Complete => String::new(),
            Self::NotObserved => "waiting for the specification to be observed".to_owned(),
            Self::Paused => "paused".to_owned(),
            Self::Updating { updated, of } => format!("rollout {updated} of {of}"),
            Self::Retiring { old } => format!("rollout done, {old} old pending termination"),
            Self::Waiting { available, of } => format!("{available} of {of} available"),
            Self::Stuck { reason, message } | Self::Refused { reason, message } => {
                let verb = if matches!(self, Self::Stuck { .. }) {
                    "stuck"
                } else {
                    "refused"
                };
                if message.is_empty() {
                    format!("{verb}: {reason}")
                } else {
                    format!("{verb}: {reason} ({message})")
                }
            }
            Self::Finished => "complete".to_owned(),
            Self::Idle => "scaled to 0".to_owned(),
            Self::NoNode => "no node matches".to_owned(),
        }
    }

    /// How far a rollout is, for a bar; `None` where none is under way.
    pub fn progress(&self) -> Option<(i64, i64)> {
        match self {
            Self::Updating { updated, of } => Some((*updated, *of)),
            Self::Waiting { available, of } => Some((*available, *of)),
            _ => None,
        }
    }
}

/// The pods that a workload owns, directly or through its replica sets and jobs.
pub fn pods_of<'a>(cluster: &'a Cluster, object: &Object) -> Vec<&'a Arc<Object>> {
    let mut pods = Vec::new();
    collect(cluster, &object.uid, 2, &mut pods);
    pods
}

/// Owners above an object: Kubernetes has two, custom resources put some more on top.
const CHAIN_MAX: usize = 8;

/// The workload at the top of a pod's chain of owners, and the pod itself where it has none.
pub fn root_of<'a>(cluster: &'a Cluster, object: &'a Arc<Object>) -> &'a Arc<Object> {
    chain_of(cluster, object).last().unwrap_or(object)
}

/// An object, its owner, the owner's owner: pod, replica set, deployment. Ends after
/// [`CHAIN_MAX`] owners, because those of a broken cluster may form a ring.
pub fn chain_of<'a>(
    cluster: &'a Cluster,
    object: &'a Arc<Object>,
) -> impl Iterator<Item = &'a Arc<Object>> {
    std::iter::successors(Some(object), |current| owner_of(cluster, current)).take(CHAIN_MAX + 1)
}

/// The object that controls this one, where the cluster value holds it.
pub fn owner_of<'a>(cluster: &'a Cluster, object: &Object) -> Option<&'a Arc<Object>> {
    let owner = object.controller()?;
    let resource = resource_of_kind(owner.api_version.as_str(), owner.kind.as_str())?;
    // Owners live in the namespace of what they own, or in none.
    [object.namespace(), ""]
        .into_iter()
        .find_map(|namespace| cluster.find(&resource, namespace, &owner.name))
        .filter(|found| found.uid == owner.uid)
}

/// The resource of the kinds that own pods, directly or not.
fn resource_of_kind(api_version: &str, kind: &str) -> Option<Resource> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let found = match (group, kind) {
        ("apps", "Deployment") => resources::DEPLOYMENTS,
        ("apps", "ReplicaSet") => resources::REPLICA_SETS,
        ("apps", "StatefulSet") => resources::STATEFUL_SETS,
        ("apps", "DaemonSet") => resources::DAEMON_SETS,
        ("batch", "Job") => resources::JOBS,
        ("batch", "CronJob") => resources::CRON_JOBS,
        ("", "ReplicationController") => resources::REPLICATION_CONTROLLERS,
        ("", "Node") => resources::NODES,
        _ => return None,
    };
    Some(found)
}

fn collect<'a>(cluster: &'a Cluster, uid: &Uid, depth: usize, pods: &mut Vec<&'a Arc<Object>>) {
    for owned in cluster.owned_by(uid) {
        if owned.pod().is_some() {
            pods.push(owned);
        } else if depth > 0 {
            collect(cluster, &owned.uid, depth - 1, pods);
        }
    }
}

fn pod_message(object: &Object) -> Name {
    let Some(pod) = object.pod() else {
        return Name::default();
    };
    if let Some(refusal) = &pod.unscheduled {
        // The first sentence says why; what preemption tried comes after it.
        let first = refusal
            .1
            .split_once(". ")
            .map_or(&*refusal.1, |(first, _)| first);
        return Name::new(first.trim_end_matches('.'));
    }
    pod.containers
        .iter()
        .filter_map(|container| Some((container, container.last_end.as_deref()?)))
        .map(|(container, end)| {
            Name::from(format!(
                "{} ended: {}, exit code {}",
                container.name, end.reason, end.exit_code
            ))
        })
        .next()
        .or_else(|| waiting_image(pod))
        .unwrap_or_default()
}

/// The image that cannot be had.
fn waiting_image(pod: &super::columns::PodColumns) -> Option<Name> {
    use super::columns::ContainerState;
    pod.containers
        .iter()
        .find(|container| {
            matches!(&container.state, ContainerState::Waiting { reason }
                if reason.contains("Image"))
        })
        .map(|container| container.image.clone())
}

#[cfg(test)]
mod tests;
