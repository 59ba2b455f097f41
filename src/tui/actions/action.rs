//! What an operator may mean, the writes that do it and the action that takes it back.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::drain::Drain;
use super::machines::Machines;
use super::walked::Walked;
use crate::k8s::workload::Workload;
use crate::k8s::{
    Cluster, Name, Object, ObjectKey, Op, Patch, Preconditions, Propagation, Resource, Revision,
    Subresource, Uid, resources,
};
use crate::tui::diff;

#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    Scale {
        target: Target,
        from: i64,
        to: i64,
    },
    /// A new pod template revision with the same content, as `kubectl rollout restart` makes it.
    Restart {
        target: Target,
    },
    /// Stops or continues rollouts of a deployment, runs of a job or a cron job.
    Pause {
        target: Target,
        pause: bool,
    },
    /// Puts an earlier pod template in place.
    RollBack {
        target: Target,
        from_revision: i64,
        to_revision: i64,
        before: Value,
        template: Value,
    },
    Cordon {
        nodes: Vec<Target>,
        cordon: bool,
    },
    /// Cordons nodes; the plan then asks for the eviction of their pods, one after the other.
    Drain(Box<Drain>),
    /// Deletes a pod if its disruption budgets allow it.
    Evict {
        pod: Target,
    },
    Delete {
        targets: Vec<Target>,
    },
    /// Puts an edited object in the place of the one that was read.
    Replace {
        target: Target,
        before: Value,
        after: Value,
    },
    /// Runs a cron job's template now.
    Trigger {
        target: Target,
        name: Name,
        job: Box<Op>,
    },
    /// Stops simulated machines, or lets them answer again.
    Machines(Box<Machines>),
    /// What a rehearsal has tried, in reality.
    Walked(Box<Walked>),
    /// Creates what was deleted again, without what the server had added.
    Recreate {
        resource: Resource,
        objects: Vec<Value>,
    },
}

/// One life of one object: the target of an action never changes once its panel is open, and a
/// later object of the same name is never hit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Target {
    pub key: ObjectKey,
    pub uid: Uid,
}

impl Target {
    pub fn of(object: &Object) -> Self {
        Self {
            key: object.key.clone(),
            uid: object.uid.clone(),
        }
    }

    fn if_match(&self) -> Preconditions {
        Preconditions {
            uid: Some(self.uid.clone()),
            revision: None,
        }
    }

    /// `shop/cart`, `a01-h01`.
    pub fn path(&self) -> String {
        if self.key.namespace.is_empty() {
            self.key.name.to_string()
        } else {
            format!("{}/{}", self.key.namespace, self.key.name)
        }
    }
}

fn cordons(nodes: &[Target], cordon: bool) -> Vec<Op> {
    let value = if cordon { json!(true) } else { Value::Null };
    nodes
        .iter()
        .map(|node| patch(node, None, json!({"spec": {"unschedulable": value}})))
        .collect()
}

/// The reverse for those nodes that were not that way before.
fn uncordon(nodes: &[Target], before: &Cluster, cordon: bool) -> Option<Action> {
    let changed: Vec<Target> = nodes
        .iter()
        .filter(|node| {
            let columns = before.get(&node.key).and_then(|object| object.node());
            columns.is_none_or(|columns| columns.unschedulable != cordon)
        })
        .cloned()
        .collect();
    (!changed.is_empty()).then_some(Action::Cordon {
        nodes: changed,
        cordon: !cordon,
    })
}

/// Source: `kubectl rollout restart` (polymorphichelpers/objectrestarter.go).
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

impl Action {
    /// A new number of replicas for a workload; `None` where it cannot be scaled.
    pub fn scale(object: &Object, to: i64) -> Option<Self> {
        let workload = Workload::read(object).ok()??;
        workload.scalable.then(|| Self::Scale {
            target: Target::of(object),
            from: workload.desired,
            to: to.max(0),
        })
    }

    /// The verb, as the journal and the panel's title say it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Scale { .. } => "scale",
            Self::Restart { .. } => "restart",
            Self::Pause { pause: true, .. } => "pause",
            Self::Pause { pause: false, .. } => "resume",
            Self::RollBack { .. } => "roll back",
            Self::Cordon { cordon: true, .. } => "cordon",
            Self::Cordon { cordon: false, .. } => "uncordon",
            Self::Drain(_) => "drain",
            Self::Evict { .. } => "evict",
            Self::Delete { .. } => "delete",
            Self::Replace { .. } => "edit",
            Self::Trigger { .. } => "run",
            Self::Machines(machines) => machines.verb(),
            Self::Walked(walked) => walked.verb(),
            Self::Recreate { .. } => "create again",
        }
    }

    /// What it acts on.
    pub fn targets(&self) -> Vec<Target> {
        match self {
            Self::Scale { target, .. }
            | Self::Restart { target }
            | Self::Pause { target, .. }
            | Self::RollBack { target, .. }
            | Self::Replace { target, .. }
            | Self::Trigger { target, .. } => vec![target.clone()],
            Self::Cordon { nodes, .. } => nodes.clone(),
            Self::Drain(plan) => plan.nodes.clone(),
            Self::Evict { pod } => vec![pod.clone()],
            Self::Walked(walked) => vec![walked.target.clone()],
            Self::Delete { targets } => targets.clone(),
            Self::Machines(machines) => machines
                .targets()
                .into_iter()
                .map(|key| Target {
                    key,
                    uid: Uid::default(),
                })
                .collect(),
            Self::Recreate { resource, objects } => objects
                .iter()
                .map(|object| Target {
                    key: ObjectKey::new(
                        resource.clone(),
                        text(object, "/metadata/namespace"),
                        text(object, "/metadata/name"),
                    ),
                    uid: Uid::default(),
                })
                .collect(),
        }
    }

    /// What it acts on, where the objects it writes are not what the operator means.
    pub fn object_words(&self) -> String {
        match self {
            Self::Machines(machines) => machines.what.clone(),
            Self::Drain(plan) => plan.what.clone(),
            _ => String::new(),
        }
    }

    /// `scale shop/cart 12 → 20`: the line of the journal.
    pub fn sentence(&self) -> String {
        let targets = self.targets();
        let names = match targets.as_slice() {
            _ if matches!(self, Self::Machines(_) | Self::Drain(_)) => self.object_words(),
            [one] => one.path(),
            many => format!("{} objects", many.len()),
        };
        let detail = match self {
            Self::Scale { from, to, .. } => format!(" {from} → {to}"),
            Self::RollBack {
                from_revision,
                to_revision,
                ..
            } => format!(" revision {from_revision} → {to_revision}"),
            Self::Trigger { name, .. } => format!(" as {name}"),
            _ => String::new(),
        };
        format!("{} {names}{detail}", self.verb())
    }

    /// The writes. `now` stamps what carries a time.
    pub fn ops(&self, now: Timestamp) -> Vec<Op> {
        match self {
            Self::Scale { target, to, .. } => vec![patch(
                target,
                Some(Subresource::Scale),
                json!({"spec": {"replicas": to}}),
            )],
            Self::Restart { target } => {
                // Kubernetes writes RFC 3339 without fractions.
                let stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let template = json!({"metadata": {"annotations": {RESTARTED_AT: stamp}}});
                vec![patch(target, None, json!({"spec": {"template": template}}))]
            }
            Self::Pause { target, pause } => {
                let field = if target.key.resource == resources::DEPLOYMENTS {
                    "paused"
                } else {
                    "suspend"
                };
                vec![patch(target, None, json!({"spec": {field: pause}}))]
            }
            Self::RollBack {
                target, template, ..
            } => vec![Op::Patch {
                key: target.key.clone(),
                subresource: None,
                patch: Patch::Json(json!([
                    {"op": "replace", "path": "/spec/template", "value": template},
                ])),
                if_match: target.if_match(),
            }],
            Self::Cordon { nodes, cordon } => cordons(nodes, *cordon),
            // The evictions follow as the budgets allow them, each when the one before is answered.
            Self::Drain(plan) => cordons(&plan.nodes, true),
            Self::Evict { pod } => vec![Op::Evict {
                pod: pod.key.clone(),
                grace_period_s: None,
            }],
            Self::Delete { targets } => targets
                .iter()
                .map(|target| Op::Delete {
                    key: target.key.clone(),
                    if_match: target.if_match(),
                    propagation: Propagation::Background,
                    grace_period_s: None,
                })
                .collect(),
            Self::Replace { target, after, .. } => vec![Op::Update {
                key: target.key.clone(),
                subresource: None,
                object: after.clone(),
            }],
            Self::Trigger { job, .. } => vec![Op::clone(job)],
            Self::Machines(machines) => machines.ops(),
            Self::Walked(walked) => walked.ops(),
            Self::Recreate { resource, objects } => objects
                .iter()
                .map(|object| Op::Create {
                    resource: resource.clone(),
                    namespace: Name::new(text(object, "/metadata/namespace")),
                    object: object.clone(),
                })
                .collect(),
        }
    }

    /// What takes this back, from how things are before it is done; `None` where nothing can.
    pub fn undo(&self, before: &Cluster) -> Option<Self> {
        match self {
            Self::Scale { target, from, to } => Some(Self::Scale {
                target: target.clone(),
                from: *to,
                to: *from,
            }),
            Self::Pause { target, pause } => Some(Self::Pause {
                target: target.clone(),
                pause: !pause,
            }),
            Self::Cordon { nodes, cordon } => uncordon(nodes, before, *cordon),
            // The pods run elsewhere by then; what can be taken back is that none may return.
            Self::Drain(plan) => uncordon(&plan.nodes, before, true),
            Self::RollBack {
                target,
                from_revision,
                to_revision,
                before,
                template,
            } => Some(Self::RollBack {
                target: target.clone(),
                from_revision: *to_revision,
                to_revision: *from_revision,
                before: template.clone(),
                template: before.clone(),
            }),
            Self::Replace {
                target,
                before,
                after,
            } => Some(Self::Replace {
                target: target.clone(),
                before: after.clone(),
                after: without_revision(before),
            }),
            Self::Delete { targets } => recreate(targets, before),
            Self::Machines(machines) => Some(Self::Machines(Box::new(machines.undo()))),
            Self::Walked(walked) => walked.undo(),
            Self::Restart { .. }
            | Self::Evict { .. }
            | Self::Trigger { .. }
            | Self::Recreate { .. } => None,
        }
    }

    /// Running a cron job now.
    ///
    /// Source: `kubectl create job --from=cronjob/…` (the template's metadata, the annotation
    /// `cronjob.kubernetes.io/instantiate: manual`, a controller reference).
    pub fn trigger(cron_job: &Object, name: Name) -> Self {
        let json = cron_job.json();
        let template = json
            .pointer("/spec/jobTemplate")
            .cloned()
            .unwrap_or_default();
        let mut annotations = template
            .pointer("/metadata/annotations")
            .cloned()
            .unwrap_or_else(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert("cronjob.kubernetes.io/instantiate".into(), "manual".into());
        }
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "namespace": cron_job.namespace(),
                "annotations": annotations,
                "labels": template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({})),
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "CronJob", "name": cron_job.name(),
                    "uid": cron_job.uid, "controller": true,
                }],
            },
            "spec": template.pointer("/spec").cloned().unwrap_or_default(),
        });
        Self::Trigger {
            target: Target::of(cron_job),
            name,
            job: Box::new(Op::Create {
                resource: resources::JOBS,
                namespace: cron_job.key.namespace.clone(),
                object: job,
            }),
        }
    }

    /// The plan of draining nodes as they are now; `what` is what the operator calls them.
    pub fn drain(cluster: &Cluster, what: String, nodes: Vec<Target>) -> Self {
        Self::Drain(Box::new(Drain::plan(cluster, what, nodes)))
    }

    /// The edit of an object that was read at a certain revision. The revision goes along, so that
    /// an edit on top of another's is refused and never overwrites it.
    pub fn replace(object: &Object, after: Value) -> Self {
        let mut after = after;
        if let Some(metadata) = after.get_mut("metadata").and_then(Value::as_object_mut) {
            let revision = object.revision;
            if revision > Revision(0) && !metadata.contains_key("resourceVersion") {
                metadata.insert("resourceVersion".into(), revision.to_string().into());
            }
        }
        Self::Replace {
            target: Target::of(object),
            before: object.json(),
            after,
        }
    }
}

fn patch(target: &Target, subresource: Option<Subresource>, body: Value) -> Op {
    Op::Patch {
        key: target.key.clone(),
        subresource,
        patch: Patch::Merge(body),
        // A scale has the uid of its workload.
        if_match: target.if_match(),
    }
}

/// Objects that nothing would bring back by itself can be created again.
fn recreate(targets: &[Target], before: &Cluster) -> Option<Action> {
    let resource = targets.first()?.key.resource.clone();
    // What lives on other state than its specification would come back as something else.
    let irretrievable = [
        resources::NAMESPACES,
        resources::PERSISTENT_VOLUME_CLAIMS,
        resources::PERSISTENT_VOLUMES,
        resources::NODES,
        resources::CUSTOM_RESOURCE_DEFINITIONS,
    ];
    if irretrievable.contains(&resource) {
        return None;
    }
    let objects: Vec<Value> = targets
        .iter()
        .filter_map(|target| before.get(&target.key))
        .filter(|object| object.controller().is_none())
        .map(|object| clean(&object.json()))
        .collect();
    (objects.len() == targets.len()).then_some(Action::Recreate { resource, objects })
}

/// An object as it would be written by hand.
fn clean(object: &Value) -> Value {
    let mut object = object.clone();
    diff::remove_noise(&mut object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("ownerReferences");
        metadata.remove("deletionTimestamp");
        metadata.remove("deletionGracePeriodSeconds");
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("nodeName");
    }
    object
}

pub(super) fn without_revision(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    object
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05.678Z".parse().unwrap()
    }

    #[test]
    fn scale_goes_to_the_subresource_and_back() {
        let cart = build::deployment("shop/cart")
            .with(&json!({"spec": {"replicas": 12}}))
            .build();
        let action = Action::scale(&cart, 20).unwrap();
        assert_eq!(action.sentence(), "scale shop/cart 12 → 20");
        let [
            Op::Patch {
                subresource,
                patch,
                if_match,
                ..
            },
        ] = &action.ops(now())[..]
        else {
            panic!("one patch");
        };
        assert_eq!(*subresource, Some(Subresource::Scale));
        assert_eq!(*patch, Patch::Merge(json!({"spec": {"replicas": 20}})));
        assert_eq!(if_match.uid, Some(cart.uid.clone()));
        let undo = action.undo(&Cluster::default()).unwrap();
        assert_eq!(undo.sentence(), "scale shop/cart 20 → 12");
        assert!(Action::scale(&build::daemon_set("log").build(), 3).is_none());
    }

    #[test]
    fn restart_stamps_the_template_as_kubectl_does() {
        let action = Action::Restart {
            target: Target::of(&build::deployment("cart").build()),
        };
        let Some(Op::Patch {
            patch: Patch::Merge(body),
            ..
        }) = action.ops(now()).pop()
        else {
            panic!("a merge patch");
        };
        assert_eq!(
            body.pointer("/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"),
            Some(&json!("2026-01-02T03:04:05Z"))
        );
        assert_eq!(action.undo(&Cluster::default()), None);
    }

    #[test]
    fn deleted_object_can_be_created_again_unless_it_holds_state() {
        let map = build::object(resources::CONFIG_MAPS, "v1", "ConfigMap", "shop/flags")
            .with(&json!({"data": {"a": "1"}}));
        let claim = build::object(
            resources::PERSISTENT_VOLUME_CLAIMS,
            "v1",
            "PersistentVolumeClaim",
            "shop/db",
        );
        let cluster = build::cluster([&map, &claim]);
        let delete = |draft: &build::Draft| Action::Delete {
            targets: vec![Target::of(&draft.build())],
        };
        let Some(Action::Recreate { objects, .. }) = delete(&map).undo(&cluster) else {
            panic!("can be undone");
        };
        assert_eq!(objects[0].pointer("/data/a"), Some(&json!("1")));
        assert_eq!(objects[0].pointer("/metadata/uid"), None);
        assert_eq!(delete(&claim).undo(&cluster), None);
    }

    #[test]
    fn edit_carries_the_revision_it_was_read_at() {
        let cart = build::deployment("shop/cart").build();
        let Action::Replace { after, .. } =
            Action::replace(&cart, json!({"metadata": {"name": "cart"}}))
        else {
            panic!("a replacement");
        };
        assert_eq!(
            after.pointer("/metadata/resourceVersion"),
            Some(&json!("1"))
        );
    }
}
