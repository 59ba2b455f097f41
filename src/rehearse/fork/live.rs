//! A fork that somebody works in: writes come from outside at any time, time passes as it likes,
//! and what was done is told apart afterwards.
//!
//! [`Fork::take`] lets the dust of each step settle before the next; here a step lasts until the
//! next one begins. What a client writes is named by what it changed, so that a console, kubectl and
//! a step that is typed leave the same trace.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::super::outcome::Outcome;
use super::super::step::{Domain, Reference, Step};
use super::{BOUND, Fork, HORIZON, StepRefused};
use crate::apiserver::{Request, Response, Target, Verb};
use crate::k8s::lab::{self, OutageSpec};
use crate::k8s::{Cluster, Name, Object, resources};
use crate::stdx::humanize::counted;

/// The step that is under way.
#[derive(Clone, Debug)]
pub(super) struct Under {
    taken: Taken,
    began: Timestamp,
    notes: Vec<String>,
}

/// Something that was done in a fork.
#[derive(Clone, Debug)]
pub struct Taken {
    pub text: String,
    /// Absent: it was done, and has no name in the grammar.
    pub step: Option<Step>,
    /// What was sent, where there is no name for it.
    pub request: Option<Arc<Request>>,
}

/// What a write was, in words and in the grammar of steps.
struct Named {
    text: String,
    step: Option<Step>,
}

impl Taken {
    pub fn of(step: &Step) -> Self {
        Self {
            text: step.to_string(),
            step: Some(step.clone()),
            request: None,
        }
    }
}

impl Named {
    fn of(step: Step) -> Self {
        Self {
            text: step.to_string(),
            step: Some(step),
        }
    }
}

impl Fork {
    /// A client's write, at the fork's present time.
    pub fn handle(&mut self, request: &Request) -> Response {
        self.make_ready();
        let before = self.concerned(request);
        let response = self.world.handle(request, self.now);
        if !response.is_success() || request.options.dry_run {
            return response;
        }
        if let Some(named) = self.name(request, before.as_deref(), &response) {
            let unnamed = named.step.is_none();
            self.begin(Taken {
                text: named.text,
                step: named.step,
                request: unnamed.then(|| Arc::new(request.clone())),
            });
        }
        if is_outage(request) {
            self.follow_outages();
        }
        response
    }

    /// Begins a step without waiting for what comes of it.
    pub fn start(&mut self, step: &Step) -> Result<(), StepRefused> {
        self.make_ready();
        // What came before belongs to the step before; a refused step leaves it as it was told.
        self.finish();
        self.last = self.now;
        let began = self.now;
        let notes = self.act(step)?;
        self.under = Some(Under {
            taken: Taken::of(step),
            began,
            notes,
        });
        Ok(())
    }

    /// A portion of letting time pass until nothing is due any more; `Some` at the end, and then
    /// whether it came to that before `bound`.
    pub fn rest(&mut self, bound: Timestamp) -> Option<bool> {
        let end = (self.last.max(self.began()) + HORIZON).min(bound);
        let is_over = !self.advance(end);
        let same = end == (self.last.max(self.began()) + HORIZON).min(bound);
        if !is_over || !same {
            return None;
        }
        // What is quiet for so long is told as settled.
        self.stand_at(end);
        Some(end < bound)
    }

    /// How far a rest goes at most.
    pub fn bound(&self) -> Timestamp {
        self.now.saturating_add(BOUND).unwrap_or(self.now)
    }

    fn began(&self) -> Timestamp {
        let under = self.under.as_ref().map(|under| under.began);
        under.unwrap_or(self.options.now)
    }

    /// Everything so far, the step that is under way included, which stays under way.
    pub fn so_far(&self, grace_s: u64) -> Outcome {
        let mut copy = self.clone();
        copy.make_ready();
        copy.finish();
        copy.outcome(grace_s)
    }

    /// What was done, in order.
    pub fn done(&self) -> Vec<String> {
        let closed = self.steps.iter().map(|step| step.step.clone());
        let under = self.under.iter().map(|under| under.taken.text.clone());
        closed.chain(under).collect()
    }

    /// The same as steps that can be taken again; or the first one that cannot.
    pub fn again(&self) -> Result<Vec<Step>, String> {
        let all = self.taken().into_iter();
        all.map(|taken| taken.step.ok_or(taken.text)).collect()
    }

    /// Everything that was done, with what it takes to do it once more.
    pub fn taken(&self) -> Vec<Taken> {
        let under = self.under.iter().map(|under| under.taken.clone());
        self.taken.iter().cloned().chain(under).collect()
    }

    fn begin(&mut self, next: Taken) {
        if let Some(under) = &mut self.under
            && let Some(joined) = joined(under, &next)
        {
            under.taken = Taken::of(&joined);
            return;
        }
        self.finish();
        self.last = self.now;
        self.under = Some(Under {
            taken: next,
            began: self.now,
            notes: Vec::new(),
        });
    }

    /// The step that is under way is over.
    fn finish(&mut self) {
        let Some(under) = self.under.take() else {
            return;
        };
        let settled = self.now.duration_since(self.last) >= HORIZON;
        let text = under.taken.text.clone();
        self.taken.push(under.taken);
        self.record(text, under.began, under.notes, settled);
    }

    fn concerned(&self, request: &Request) -> Option<Arc<Object>> {
        let Target::Resource(target) = &request.target else {
            return None;
        };
        let resource = crate::k8s::Resource::new(&target.group, &target.plural);
        let found = self
            .cluster()
            .find(&resource, &target.namespace, &target.name);
        found.cloned()
    }

    /// `None`: nothing that somebody did on purpose.
    fn name(
        &self,
        request: &Request,
        before: Option<&Object>,
        response: &Response,
    ) -> Option<Named> {
        let Target::Resource(target) = &request.target else {
            return None;
        };
        let cluster = self.cluster();
        let resource = crate::k8s::Resource::new(&target.group, &target.plural);
        if super::super::kinds::is_left_behind(&resource)
            || matches!(target.subresource.as_str(), "status" | "binding" | "token")
        {
            return None;
        }
        if target.subresource == "eviction" {
            return Some(Named::of(Step::Evict {
                namespace: target.namespace.clone(),
                pod: target.name.clone(),
            }));
        }
        let what = |name: &str| match target.namespace.as_str() {
            "" => format!("{}/{name}", target.plural),
            namespace => format!("{}/{name} -n {namespace}", target.plural),
        };
        match request.verb {
            Verb::Create if resource == resources::OUTAGES => {
                let value = response.value();
                let name = value.pointer("/metadata/name").and_then(Value::as_str)?;
                let outage = cluster.find(&resource, "", name)?;
                Some(lost(cluster, &lab::spec(outage), Step::Lose, "lose"))
            }
            Verb::Delete if resource == resources::OUTAGES => {
                let spec = before.map(lab::spec).unwrap_or_default();
                Some(lost(cluster, &spec, Step::Restore, "restore"))
            }
            Verb::Create => {
                let value = response.value();
                let name = value.pointer("/metadata/name").and_then(Value::as_str);
                Some(Named {
                    text: format!("create {}", what(name.unwrap_or(&target.name))),
                    step: None,
                })
            }
            Verb::Delete if resource == resources::NODES => Some(Named::of(Step::Remove {
                node: target.name.clone(),
            })),
            Verb::Delete => Some(Named {
                text: format!("delete {}", what(&target.name)),
                step: None,
            }),
            Verb::Update | Verb::Patch => {
                let after = cluster.find(&resource, &target.namespace, &target.name)?;
                let Some(before) = before else {
                    return Some(Named {
                        text: format!("apply {}", what(&target.name)),
                        step: None,
                    });
                };
                if before.bytes() == after.bytes() {
                    return None;
                }
                Some(changed(request, before, after).unwrap_or_else(|| Named {
                    text: format!("change {}", what(&target.name)),
                    step: None,
                }))
            }
            _ => None,
        }
    }

    /// The ledger hears of machines without power: what runs there serves nobody from now on.
    fn follow_outages(&mut self) {
        let cluster = self.world.cluster();
        let specs: Vec<OutageSpec> = cluster
            .list(&resources::OUTAGES)
            .map(|object| lab::spec(object))
            .collect();
        let (dark, lit): (Vec<_>, Vec<_>) = cluster
            .nodes()
            .partition(|node| specs.iter().any(|spec| spec.concerns(node)));
        let names = |nodes: Vec<&Arc<Object>>| -> Vec<Name> {
            nodes.iter().map(|node| node.key.name.clone()).collect()
        };
        let (dark, lit) = (names(dark), names(lit));
        self.ledger.lighten(cluster, &lit, self.now);
        self.ledger.darken(cluster, &dark, self.now);
    }
}

fn is_outage(request: &Request) -> bool {
    matches!(&request.target, Target::Resource(target)
        if target.plural == resources::OUTAGES.plural && target.group == resources::OUTAGES.group)
}

/// A cordon and the evictions after it are one drain, as the console and kubectl do it.
fn joined(under: &Under, next: &Taken) -> Option<Step> {
    let node = match under.taken.step.as_ref()? {
        Step::Cordon { node } | Step::Drain { node } => node.clone(),
        _ => return None,
    };
    let is_eviction = matches!(next.step, Some(Step::Evict { .. }));
    is_eviction.then_some(Step::Drain { node })
}

/// Machines that an outage concerns: one of them, or those of a label, have a name as a step.
fn lost(cluster: &Cluster, spec: &OutageSpec, step: fn(Domain) -> Step, verb: &str) -> Named {
    let mut labels = spec.node_selector.iter();
    let domain = match (labels.next(), labels.next(), spec.nodes.as_slice()) {
        (Some((label, value)), None, []) => {
            let levels = crate::topology::level::levels(cluster, &[]);
            let level = levels.iter().find(|level| level.label == *label);
            Some(Domain {
                level: level.map_or_else(|| label.clone(), |level| Name::new(&level.title)),
                value: value.clone(),
            })
        }
        (None, None, [node]) => Some(Domain {
            level: Name::new_static("node"),
            value: node.clone(),
        }),
        _ => None,
    };
    if let Some(domain) = domain {
        return Named::of(step(domain));
    }
    let concerned = cluster.nodes().filter(|node| spec.concerns(node)).count();
    Named {
        text: format!("{verb} {}", counted(concerned, "machine", "machines")),
        step: None,
    }
}

/// Workloads as people write them.
pub fn short_kind(plural: &str) -> Option<&'static str> {
    match plural {
        "deployments" => Some("deploy"),
        "statefulsets" => Some("sts"),
        "replicasets" => Some("rs"),
        "daemonsets" => Some("ds"),
        "jobs" => Some("job"),
        _ => None,
    }
}

/// A change of an object that has a name as a step.
fn changed(request: &Request, before: &Object, after: &Object) -> Option<Named> {
    let (old, new) = (before.json(), after.json());
    if after.key.resource == resources::NODES {
        let is_cordoned = |node: &Object| node.node().is_some_and(|node| node.unschedulable);
        let node = after.key.name.clone();
        return match (is_cordoned(before), is_cordoned(after)) {
            (false, true) => Some(Named::of(Step::Cordon { node })),
            (true, false) => Some(Named::of(Step::Uncordon { node })),
            _ => None,
        };
    }
    let replicas = |object: &Value| object.pointer("/spec/replicas").and_then(Value::as_u64);
    let without = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("replicas");
        }
        spec
    };
    let workload = Reference {
        namespace: after.key.namespace.clone(),
        kind: Name::new_static(short_kind(&after.key.resource.plural)?),
        name: after.key.name.clone(),
    };
    if replicas(&old) != replicas(&new) && without(&old) == without(&new) {
        let replicas = u32::try_from(replicas(&new)?).ok()?;
        return Some(Named::of(Step::Scale { workload, replicas }));
    }
    let is_strategic = request.content_type == "application/strategic-merge-patch+json";
    let is_workload = new.pointer("/spec/template").is_some();
    if is_strategic && is_workload {
        let patch = serde_json::from_slice(&request.body).ok()?;
        return Some(Named::of(Step::Patch { workload, patch }));
    }
    None
}
