//! Revisions of a template as `ControllerRevision` objects, for the kinds without replica sets.
//!
//! Source: `pkg/controller/history` of Kubernetes 1.36: a revision holds the template as a patch; a
//! template that comes back gets its old revision with a new number; beyond the history limit the
//! oldest unused ones go.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::claim;
use super::kind::{self, Kind};
use super::{Outcome, field, naming, write};
use crate::k8s::{Cluster, LabelSelector, Object, resources};

const HASH_LABEL: &str = "controller.kubernetes.io/hash";
/// Names are cut to leave room for the hash.
const NAME_LENGTH_MAX: usize = 223;

/// One revision, existing or about to.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub name: String,
    pub hash: String,
    pub number: i64,
    pub template: Value,
    object: Option<Arc<Object>>,
}

pub(super) struct History {
    /// The oldest number first; the last one is the update revision.
    pub revisions: Vec<Revision>,
}

impl History {
    /// Reads the revisions of `owner`, and writes the one for `template` if it is new or has come
    /// back.
    pub fn keep(
        cluster: &Cluster,
        (owner, kind, selector): (&Object, &Kind, &LabelSelector),
        (template, collisions): (&Value, Option<i64>),
        outcome: &mut Outcome,
    ) -> Self {
        let unowned = cluster
            .list_in(&resources::CONTROLLER_REVISIONS, owner.namespace())
            .filter(|revision| revision.controller().is_none());
        let owned = cluster.owned_by(&owner.uid).filter(|object| {
            object.key.resource == resources::CONTROLLER_REVISIONS && object.controller().is_some()
        });
        let claimed = claim::claim(owner, kind, selector, owned.chain(unowned));
        outcome.ops.extend(claimed.ops);
        let mut revisions: Vec<Revision> =
            claimed.objects.into_iter().map(Revision::read).collect();
        revisions.sort_by(|one, other| (one.number, &one.name).cmp(&(other.number, &other.name)));
        let next = revisions.last().map_or(0, |last| last.number) + 1;
        let same = revisions
            .iter()
            .rposition(|revision| is_same(&revision.template, template));
        match same {
            Some(index) if index + 1 == revisions.len() => {}
            Some(index) => {
                let mut revision = revisions.remove(index);
                revision.number = next;
                if let Some(object) = &revision.object {
                    outcome
                        .ops
                        .push(write::merge(object, json!({ "revision": next })));
                }
                revisions.push(revision);
            }
            None => {
                let revision = Revision::new(owner, template, (next, collisions));
                outcome.ops.push(write::create(
                    resources::CONTROLLER_REVISIONS,
                    owner.namespace(),
                    revision.json(owner, kind),
                ));
                revisions.push(revision);
            }
        }
        Self { revisions }
    }

    pub fn find(&self, name: &str) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.name == name)
    }

    /// Deletes the oldest revisions beyond the limit that are not in `live` use.
    pub fn clean_up(&self, limit: i64, live: &BTreeSet<String>, outcome: &mut Outcome) {
        let Some((_, old)) = self.revisions.split_last() else {
            return;
        };
        let unused: Vec<&Arc<Object>> = old
            .iter()
            .filter(|revision| !live.contains(&revision.name) && !live.contains(&revision.hash))
            .filter_map(|revision| revision.object.as_ref())
            .collect();
        let surplus = unused
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or_default());
        outcome.ops.extend(
            unused
                .into_iter()
                .take(surplus)
                .map(|object| write::delete(object)),
        );
    }
}

impl Revision {
    fn read(object: &Arc<Object>) -> Self {
        let json = object.json();
        let hash = object.labels.get(HASH_LABEL).map(ToString::to_string);
        Self {
            name: object.name().to_owned(),
            hash: hash.unwrap_or_default(),
            number: field::count(&json, "/revision"),
            template: field::tree(&json, "/data/spec/template").clone(),
            object: Some(Arc::clone(object)),
        }
    }

    fn new(owner: &Object, template: &Value, (number, collisions): (i64, Option<i64>)) -> Self {
        let hash = naming::hash(template, collisions);
        let base: String = owner.name().chars().take(NAME_LENGTH_MAX).collect();
        Self {
            name: format!("{base}-{hash}"),
            hash,
            number,
            template: template.clone(),
            object: None,
        }
    }

    fn json(&self, owner: &Object, kind: &Kind) -> Value {
        let mut labels = field::tree(&self.template, "/metadata/labels").clone();
        if !labels.is_object() {
            labels = json!({});
        }
        field::put(&mut labels, HASH_LABEL, json!(self.hash));
        let mut template = self.template.clone();
        field::put(&mut template, "$patch", json!("replace"));
        json!({
            "apiVersion": kind::CONTROLLER_REVISION.api_version,
            "kind": kind::CONTROLLER_REVISION.name,
            "metadata": {
                "name": self.name,
                "namespace": owner.namespace(),
                "labels": labels,
                "ownerReferences": [write::controller_reference(owner, kind)],
            },
            "data": {"spec": {"template": template}},
            "revision": self.number,
        })
    }
}

fn is_same(stored: &Value, template: &Value) -> bool {
    let mut stored = stored.clone();
    if let Some(fields) = stored.as_object_mut() {
        fields.remove("$patch");
    }
    naming::is_same(&stored, template)
}
