//! A workload's revisions: from its replica sets, or from its controller revisions.

use jiff::Timestamp;
use serde_json::Value;

use crate::k8s::{Cluster, Name, Object, resources};
use crate::tui::actions::Action;
use crate::tui::actions::action::Target;
use crate::tui::diff::{self, Diff, Noise};

#[derive(Clone, PartialEq, Debug)]
pub struct RevisionEntry {
    pub number: i64,
    pub created: Option<Timestamp>,
    /// The object that keeps it.
    pub name: Name,
    /// Pods of this revision, where they are counted.
    pub pods: Option<i64>,
    pub images: Vec<String>,
    /// `kubernetes.io/change-cause`.
    pub cause: String,
    pub current: bool,
    pub template: Value,
}

/// Source: the deployment controller.
const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";
const CHANGE_CAUSE: &str = "/metadata/annotations/kubernetes.io~1change-cause";

/// The revisions that are kept, the newest first.
pub fn revisions(cluster: &Cluster, workload: &Object) -> Vec<RevisionEntry> {
    let mut found: Vec<RevisionEntry> = cluster
        .owned_by(&workload.uid)
        .filter_map(|object| {
            let json = object.json();
            if object.key.resource == resources::REPLICA_SETS {
                of_replica_set(object, &json)
            } else if object.key.resource == resources::CONTROLLER_REVISIONS {
                of_controller_revision(object, &json)
            } else {
                None
            }
        })
        .collect();
    found.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    if let Some(newest) = found.first_mut() {
        newest.current = true;
    }
    found
}

/// Going back to an earlier revision; `None` where that is the one in place.
pub fn roll_back(workload: &Object, revisions: &[RevisionEntry], to: i64) -> Option<Action> {
    let current = revisions.iter().find(|revision| revision.current)?;
    let wanted = revisions.iter().find(|revision| revision.number == to)?;
    let before = workload.json().pointer("/spec/template")?.clone();
    (!wanted.current).then(|| Action::RollBack {
        target: Target::of(workload),
        from_revision: current.number,
        to_revision: wanted.number,
        before,
        template: wanted.template.clone(),
    })
}

/// What going from one revision to another changes.
pub fn compare(from: &RevisionEntry, to: &RevisionEntry) -> Diff {
    diff::objects(&from.template, &to.template, Noise::Shown)
}

fn of_replica_set(object: &Object, json: &Value) -> Option<RevisionEntry> {
    let number = json.pointer(REVISION)?.as_str()?.parse().ok()?;
    let mut template = json.pointer("/spec/template")?.clone();
    // The controller's own label: it belongs to the replica set, not to the template.
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove("pod-template-hash");
    }
    Some(RevisionEntry {
        number,
        created: object.created,
        name: object.key.name.clone(),
        pods: json.pointer("/status/replicas").and_then(Value::as_i64),
        images: images(&template),
        cause: text(json, CHANGE_CAUSE),
        current: false,
        template,
    })
}

fn of_controller_revision(object: &Object, json: &Value) -> Option<RevisionEntry> {
    let mut template = json.pointer("/data/spec/template")?.clone();
    // A strategic merge patch says that it replaces; a template does not.
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    Some(RevisionEntry {
        number: json.pointer("/revision")?.as_i64()?,
        created: object.created,
        name: object.key.name.clone(),
        pods: None,
        images: images(&template),
        cause: text(json, CHANGE_CAUSE),
        current: false,
        template,
    })
}

fn images(template: &Value) -> Vec<String> {
    template
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|container| Some(container.get("image")?.as_str()?.to_owned()))
        .collect()
}

fn text(json: &Value, pointer: &str) -> String {
    json.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    fn template(tag: &str) -> Value {
        json!({"metadata": {"labels": {"app": "cart"}},
               "spec": {"containers": [{"name": "app", "image": format!("cart:{tag}")}]}})
    }

    fn revision(name: &str, number: i64, tag: &str) -> build::Draft {
        build::replica_set(name)
            .owner("Deployment", "cart")
            .annotation("deployment.kubernetes.io/revision", &number.to_string())
            .with(&json!({"spec": {"template": template(tag)}}))
            .with(&json!({"spec": {"template": {"metadata": {"labels": {"pod-template-hash": name}}}}}))
    }

    #[test]
    fn earlier_revision_can_be_put_back() {
        let cart = build::deployment("cart").with(&json!({"spec": {"template": template("2")}}));
        let cluster = build::cluster(&[
            cart.clone(),
            revision("cart-a", 9, "1"),
            revision("cart-b", 10, "2"),
        ]);
        let cart = cart.build();
        let found = revisions(&cluster, &cart);
        let numbers: Vec<(i64, bool)> = found
            .iter()
            .map(|entry| (entry.number, entry.current))
            .collect();
        assert_eq!(numbers, [(10, true), (9, false)]);
        let diff = compare(&found[0], &found[1]);
        assert_eq!((diff.removed, diff.added), (1, 1));
        let action = roll_back(&cart, &found, 9).unwrap();
        assert_eq!(action.sentence(), "roll back default/cart revision 10 → 9");
        let Action::RollBack {
            template: wanted, ..
        } = action
        else {
            panic!()
        };
        assert_eq!(wanted, template("1"));
        assert_eq!(roll_back(&cart, &found, 10), None);
    }
}
