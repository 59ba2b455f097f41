//! A step taken once more, for whoever will take it in reality.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::step::Step;
use super::super::walk::{Deed, Real, Stride, Touched};
use super::{BOUND, Fork, StepRefused, Taken};
use crate::apiserver::{Request, Target, Verb};
use crate::k8s::{ObjectKey, Patch, Resource, resources};

/// What the server writes into objects: no change of an operator.
const SERVERS_OWN: [&str; 6] = [
    "resourceVersion",
    "managedFields",
    "generation",
    "uid",
    "creationTimestamp",
    "selfLink",
];

impl Fork {
    /// Takes what was taken, and tells how it would be taken in reality.
    pub fn strides(&mut self, taken: &Taken, strides: &mut Vec<Stride>) {
        match (&taken.step, &taken.request) {
            // Every object of a manifest is a change of its own.
            (
                Some(Step::Apply {
                    from,
                    objects,
                    namespace,
                }),
                _,
            ) => {
                for object in objects {
                    let one = Step::Apply {
                        from: from.clone(),
                        objects: vec![object.clone()],
                        namespace: namespace.clone(),
                    };
                    let text = format!("apply {from}: {}", words(object));
                    strides.push(self.stride(text, &one));
                }
            }
            (Some(step), _) => strides.push(self.stride(taken.text.clone(), step)),
            (None, Some(request)) => strides.push(self.repeated(taken.text.clone(), request)),
            (None, None) => strides.push(skipped(taken.text.clone(), "it has no name")),
        }
    }

    fn stride(&mut self, text: String, step: &Step) -> Stride {
        let why = match step {
            Step::Lose(_) | Step::Restore(_) => "no machine loses its power by being asked to",
            Step::Add { .. } | Step::Remove { .. } => {
                "machines come and go with whoever runs them, not with this cluster's API"
            }
            Step::Pack(_) => "the scheduler's preference is in its own configuration",
            Step::Rebalance { .. } => "its moves are made in waves (!n shows them)",
            Step::Wait(_) => "time passes by itself",
            _ => return self.really(text, step),
        };
        skipped(text, why)
    }

    fn really(&mut self, text: String, step: &Step) -> Stride {
        let meant = match self.meant(step) {
            Ok(meant) => meant,
            Err(refused) => return skipped(text, &refused.to_string()),
        };
        let (deed, key) = meant;
        let before = self.object(&key);
        let foretold = match self.take(step) {
            Ok(foretold) => foretold.clone(),
            Err(refused) => return skipped(text, &refused.to_string()),
        };
        let touched = Touched {
            after: self.object(&key),
            before,
            key,
        };
        Stride {
            text,
            real: Ok(Box::new(Real {
                deed,
                touched,
                foretold,
            })),
        }
    }

    fn object(&self, key: &ObjectKey) -> Option<Value> {
        self.cluster().get(key).map(|object| object.json())
    }

    /// What a step is in reality, and what it changes.
    fn meant(&self, step: &Step) -> Result<(Deed, ObjectKey), StepRefused> {
        let node = |name: &str| {
            let node = self.node(name)?;
            Ok::<_, StepRefused>(node.key.clone())
        };
        Ok(match step {
            Step::Cordon { node: name } | Step::Uncordon { node: name } => {
                let deed = Deed::Cordon {
                    node: name.clone(),
                    cordon: matches!(step, Step::Cordon { .. }),
                };
                (deed, node(name)?)
            }
            Step::Drain { node: name } => (Deed::Drain { node: name.clone() }, node(name)?),
            Step::Evict { namespace, pod } => (Deed::Evict, self.pod(namespace, pod)?.key.clone()),
            Step::Scale { workload, replicas } => {
                let (_, object) = self.workload(workload)?;
                let replicas = i64::from(*replicas);
                (Deed::Scale { replicas }, object.key.clone())
            }
            Step::Set { workload, setting } => {
                let (_, object) = self.workload(workload)?;
                let patch = self.patch_of(&object, setting)?;
                (Deed::Patch(Patch::Strategic(patch)), object.key.clone())
            }
            Step::Patch { workload, patch } => {
                let (_, object) = self.workload(workload)?;
                let patch = Patch::Strategic(patch.clone());
                (Deed::Patch(patch), object.key.clone())
            }
            Step::Apply {
                objects, namespace, ..
            } => {
                let object = objects.first().cloned().unwrap_or_default();
                let (_, target) = self.applied(&object, namespace)?;
                let key = ObjectKey::new(
                    Resource::new(&target.group, &target.plural),
                    &target.namespace,
                    &target.name,
                );
                (Deed::Apply(object), key)
            }
            step => return Err(StepRefused::Nothing(format!("`{step}` is never real"))),
        })
    }

    /// A change that has no name as a step: sent once more.
    fn repeated(&mut self, text: String, request: &Arc<Request>) -> Stride {
        let Target::Resource(target) = &request.target else {
            return skipped(text, "it concerns no object");
        };
        let resource = Resource::new(&target.group, &target.plural);
        if resource == resources::OUTAGES || resource == resources::NODE_POOLS {
            return skipped(
                text,
                "real machines do not lose their power by being asked to",
            );
        }
        let mut key = ObjectKey::new(resource, &target.namespace, &target.name);
        let before = self.object(&key);
        let began = self.now;
        self.last = began;
        let response = self.world.handle(request, began);
        let answer = response.value();
        if !response.is_success() {
            let message = answer.get("message").and_then(Value::as_str);
            let message = message.unwrap_or("no reason was given");
            return skipped(text, &format!("the rehearsal refuses it: {message}"));
        }
        if let Some(name) = answer.pointer("/metadata/name").and_then(Value::as_str)
            && key.name.is_empty()
        {
            key.name = name.into();
        }
        // Before controllers answer it: what they write is not of this change.
        let written = self.object(&key);
        let Some(deed) = deed_of(request, before.as_ref(), written.as_ref()) else {
            return skipped(text, "how it was written cannot be repeated");
        };
        let settled = self.settle(began + BOUND);
        let foretold = self.record(text.clone(), began, Vec::new(), settled);
        let foretold = foretold.clone();
        let after = self.object(&key);
        Stride {
            text,
            real: Ok(Box::new(Real {
                deed,
                touched: Touched { key, before, after },
                foretold,
            })),
        }
    }
}

fn skipped(text: String, why: &str) -> Stride {
    Stride {
        text,
        real: Err(why.to_owned()),
    }
}

fn words(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    format!(
        "{} {}",
        text("/kind").unwrap_or("object").to_lowercase(),
        text("/metadata/name").unwrap_or_default()
    )
}

/// The same change, apart from the state of the fork that it was made against.
fn deed_of(request: &Request, before: Option<&Value>, after: Option<&Value>) -> Option<Deed> {
    match request.verb {
        Verb::Create => serde_json::from_slice(&request.body).ok().map(Deed::Create),
        Verb::Delete => Some(Deed::Delete),
        Verb::Patch if request.content_type == "application/apply-patch+yaml" => {
            serde_json::from_slice(&request.body).ok().map(Deed::Apply)
        }
        Verb::Patch | Verb::Update => {
            let (before, after) = (before?, after?);
            Some(Deed::Patch(Patch::Merge(difference(before, after)?)))
        }
        _ => None,
    }
}

/// A merge patch (RFC 7386) from one object to the other, without what is the server's to write.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    let own = |object: &Value| {
        let mut object = object.clone();
        let fields = object.as_object_mut()?;
        fields.remove("status");
        let metadata = fields.get_mut("metadata").and_then(Value::as_object_mut)?;
        for field in SERVERS_OWN {
            metadata.remove(field);
        }
        Some(object)
    };
    Some(merge_patch(&own(before)?, &own(after)?).unwrap_or_else(|| Value::Object(Map::new())))
}

/// `None`: they are alike.
fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in new {
        match old.get(name) {
            Some(known) => {
                if let Some(part) = merge_patch(known, value) {
                    patch.insert(name.clone(), part);
                }
            }
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}
