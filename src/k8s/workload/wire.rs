//! The part of a workload's JSON that its status is derived from, and the derivation.

use serde::Deserialize;

use super::super::columns::ContainerRole;
use super::super::key::Name;
use super::super::object::{Object, ObjectError};
use super::super::resources;
use super::{Image, Rollout, Workload};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    spec: Spec,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i64>,
    paused: bool,
    suspend: bool,
    schedule: Name,
    parallelism: Option<i64>,
    completions: Option<i64>,
    update_strategy: Strategy,
    template: Template,
    job_template: JobTemplate,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Strategy {
    #[serde(rename = "type")]
    kind: Name,
    rolling_update: RollingUpdate,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RollingUpdate {
    partition: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JobTemplate {
    spec: JobTemplateSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JobTemplateSpec {
    template: Template,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: Name,
    image: Name,
    restart_policy: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: Option<i64>,
    replicas: i64,
    ready_replicas: i64,
    updated_replicas: i64,
    available_replicas: i64,
    current_revision: Name,
    update_revision: Name,
    desired_number_scheduled: i64,
    current_number_scheduled: i64,
    number_ready: i64,
    updated_number_scheduled: i64,
    number_available: i64,
    active: JobActive,
    ready: i64,
    succeeded: i64,
    failed: i64,
    conditions: Vec<Condition>,
}

/// `status.active` is a count in a job and a list in a cron job.
#[derive(Deserialize)]
#[serde(untagged)]
enum JobActive {
    Count(i64),
    Jobs(Vec<serde::de::IgnoredAny>),
}

impl Default for JobActive {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl JobActive {
    fn count(&self) -> i64 {
        match self {
            Self::Count(count) => *count,
            Self::Jobs(jobs) => i64::try_from(jobs.len()).unwrap_or(i64::MAX),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: Name,
    status: Name,
    reason: Name,
    message: Name,
}

/// What the kind says, before images and identity are added.
#[derive(Default)]
struct Figures {
    desired: i64,
    ready: i64,
    updated: i64,
    available: i64,
    current: i64,
    detail: Name,
}

pub(super) fn read(object: &Object) -> Result<Option<Workload>, ObjectError> {
    let resource = &object.key.resource;
    let derive: fn(&Object, &Wire) -> (Figures, Rollout) = if *resource == resources::DEPLOYMENTS {
        deployment
    } else if *resource == resources::STATEFUL_SETS {
        stateful_set
    } else if *resource == resources::DAEMON_SETS {
        daemon_set
    } else if *resource == resources::REPLICA_SETS
        || *resource == resources::REPLICATION_CONTROLLERS
    {
        replica_set
    } else if *resource == resources::JOBS {
        job
    } else if *resource == resources::CRON_JOBS {
        cron_job
    } else {
        return Ok(None);
    };
    let wire: Wire = object.typed()?;
    let (figures, rollout) = derive(object, &wire);
    let pods = if *resource == resources::CRON_JOBS {
        &wire.spec.job_template.spec.template.spec
    } else {
        &wire.spec.template.spec
    };
    Ok(Some(Workload {
        key: object.key.clone(),
        uid: object.uid.clone(),
        created: object.created,
        desired: figures.desired,
        ready: figures.ready,
        updated: figures.updated,
        available: figures.available,
        current: figures.current,
        paused: wire.spec.paused || wire.spec.suspend,
        scalable: is_scalable(object),
        images: images(pods),
        rollout,
        restarts: 0,
        problem: None,
        detail: figures.detail,
    }))
}

fn is_scalable(object: &Object) -> bool {
    [
        resources::DEPLOYMENTS,
        resources::STATEFUL_SETS,
        resources::REPLICA_SETS,
        resources::REPLICATION_CONTROLLERS,
    ]
    .contains(&object.key.resource)
}

fn images(spec: &PodSpec) -> Box<[Image]> {
    let init = spec.init_containers.iter().map(|container| {
        let sidecar = container.restart_policy == "Always";
        let role = if sidecar {
            ContainerRole::Sidecar
        } else {
            ContainerRole::Init
        };
        (container, role)
    });
    let app = spec
        .containers
        .iter()
        .map(|container| (container, ContainerRole::App));
    init.chain(app)
        .map(|(container, role)| Image {
            container: container.name.clone(),
            role,
            image: container.image.clone(),
        })
        .collect()
}

impl Wire {
    fn condition(&self, kind: &str, status: &str) -> Option<&Condition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.kind == kind && condition.status == status)
    }

    fn is_observed(&self, object: &Object) -> bool {
        self.status.observed_generation.unwrap_or_default() >= object.generation
    }

    fn refused(&self) -> Option<Rollout> {
        let failure = self.condition("ReplicaFailure", "True")?;
        Some(Rollout::Refused {
            reason: failure.reason.clone(),
            message: failure.message.clone(),
        })
    }

    fn replicas(&self) -> Figures {
        Figures {
            desired: self.spec.replicas.unwrap_or(1),
            ready: self.status.ready_replicas,
            updated: self.status.updated_replicas,
            available: self.status.available_replicas,
            current: self.status.replicas,
            detail: Name::default(),
        }
    }
}

fn deployment(object: &Object, wire: &Wire) -> (Figures, Rollout) {
    let figures = wire.replicas();
    let stuck = wire
        .condition("Progressing", "False")
        .filter(|condition| condition.reason == "ProgressDeadlineExceeded");
    let rollout = if !wire.is_observed(object) {
        Rollout::NotObserved
    } else if let Some(condition) = stuck {
        Rollout::Stuck {
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
    } else if let Some(refused) = wire.refused() {
        refused
    } else if figures.updated < figures.desired && wire.spec.paused {
        Rollout::Paused
    } else if figures.updated < figures.desired {
        Rollout::Updating {
            updated: figures.updated,
            of: figures.desired,
        }
    } else if figures.current > figures.updated {
        Rollout::Retiring {
            old: figures.current - figures.updated,
        }
    } else {
        settled(&figures, wire.spec.paused)
    };
    (figures, rollout)
}

/// The states after every pod is of the newest revision.
fn settled(figures: &Figures, paused: bool) -> Rollout {
    if figures.available < figures.desired {
        Rollout::Waiting {
            available: figures.available,
            of: figures.desired,
        }
    } else if paused {
        Rollout::Paused
    } else if figures.desired == 0 {
        Rollout::Idle
    } else {
        Rollout::Complete
    }
}

fn replica_set(object: &Object, wire: &Wire) -> (Figures, Rollout) {
    let mut figures = wire.replicas();
    figures.updated = figures.current;
    let rollout = if !wire.is_observed(object) {
        Rollout::NotObserved
    } else if let Some(refused) = wire.refused() {
        refused
    } else if figures.current > figures.desired {
        Rollout::Retiring {
            old: figures.current - figures.desired,
        }
    } else {
        settled(&figures, false)
    };
    (figures, rollout)
}

fn stateful_set(object: &Object, wire: &Wire) -> (Figures, Rollout) {
    let figures = wire.replicas();
    let strategy = &wire.spec.update_strategy;
    let due = (figures.desired - strategy.rolling_update.partition).max(0);
    let rolling = strategy.kind != "OnDelete";
    let revised = wire.status.update_revision != wire.status.current_revision;
    let rollout = if !wire.is_observed(object) {
        Rollout::NotObserved
    } else if rolling && revised && figures.updated < due {
        Rollout::Updating {
            updated: figures.updated,
            of: due,
        }
    } else if figures.current > figures.desired {
        Rollout::Retiring {
            old: figures.current - figures.desired,
        }
    } else {
        // Availability is counted only since minReadySeconds came to stateful sets.
        let counted = Figures {
            available: figures.available.max(figures.ready),
            desired: figures.desired,
            ..Figures::default()
        };
        settled(&counted, false)
    };
    (figures, rollout)
}

fn daemon_set(object: &Object, wire: &Wire) -> (Figures, Rollout) {
    let status = &wire.status;
    let figures = Figures {
        desired: status.desired_number_scheduled,
        ready: status.number_ready,
        updated: status.updated_number_scheduled,
        available: status.number_available,
        current: status.current_number_scheduled,
        detail: Name::default(),
    };
    let rolling = wire.spec.update_strategy.kind != "OnDelete";
    let rollout = if !wire.is_observed(object) {
        Rollout::NotObserved
    } else if figures.desired == 0 {
        Rollout::NoNode
    } else if rolling && figures.updated < figures.desired {
        Rollout::Updating {
            updated: figures.updated,
            of: figures.desired,
        }
    } else {
        settled(&figures, false)
    };
    (figures, rollout)
}

fn job(_object: &Object, wire: &Wire) -> (Figures, Rollout) {
    let (spec, status) = (&wire.spec, &wire.status);
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = spec.completions.unwrap_or(parallelism);
    let left = (wanted - status.succeeded).max(0);
    let figures = Figures {
        desired: parallelism.min(left),
        ready: status.ready,
        updated: status.active.count(),
        available: status.ready,
        current: status.active.count(),
        detail: Name::from(format!("{}/{wanted} done", status.succeeded)),
    };
    let rollout = if let Some(failed) = wire.condition("Failed", "True") {
        Rollout::Stuck {
            reason: failed.reason.clone(),
            message: failed.message.clone(),
        }
    } else if wire.condition("Complete", "True").is_some() {
        Rollout::Finished
    } else if spec.suspend {
        Rollout::Paused
    } else {
        Rollout::Updating {
            updated: status.succeeded,
            of: wanted,
        }
    };
    let ended = matches!(rollout, Rollout::Finished | Rollout::Stuck { .. });
    let figures = Figures {
        desired: if ended { 0 } else { figures.desired },
        ..figures
    };
    (figures, rollout)
}

fn cron_job(_object: &Object, wire: &Wire) -> (Figures, Rollout) {
    let active = wire.status.active.count();
    let figures = Figures {
        current: active,
        detail: wire.spec.schedule.clone(),
        ..Figures::default()
    };
    let rollout = if wire.spec.suspend {
        Rollout::Paused
    } else {
        Rollout::Complete
    };
    (figures, rollout)
}
