//! Who belongs to a controller: its own objects, those it adopts and those it lets go.
//!
//! Source: `ControllerRefManager.ClaimObject`. A controller never takes an object that another one
//! controls, adopts nothing while it is being deleted itself, and releases what its selector no
//! longer matches.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kind::Kind;
use super::{field, write};
use crate::k8s::{LabelSelector, Object, Op, OwnerRef};

/// What a controller works with, and the writes that make it so.
#[derive(Default)]
pub(super) struct Claimed<'a> {
    pub objects: Vec<&'a Arc<Object>>,
    pub ops: Vec<Op>,
}

pub(super) fn claim<'a>(
    owner: &Object,
    kind: &Kind,
    selector: &LabelSelector,
    candidates: impl Iterator<Item = &'a Arc<Object>>,
) -> Claimed<'a> {
    let mut claimed = Claimed::default();
    for object in candidates {
        let matches = selector.matches(&object.labels);
        match object.controller() {
            Some(controller) if controller.uid != owner.uid => {}
            Some(_) if matches => claimed.objects.push(object),
            Some(_) if owner.is_terminating() => {}
            Some(_) => claimed.ops.push(release(object, owner)),
            None if !matches || owner.is_terminating() || object.is_terminating() => {}
            None => {
                claimed.ops.push(adopt(object, owner, kind));
                claimed.objects.push(object);
            }
        }
    }
    claimed
}

fn adopt(object: &Object, owner: &Object, kind: &Kind) -> Op {
    let references: Vec<Value> = object
        .owners
        .iter()
        .filter(|reference| reference.uid != owner.uid)
        .map(reference)
        .chain([write::controller_reference(owner, kind)])
        .collect();
    write::merge_unchanged(object, json!({"metadata": {"ownerReferences": references}}))
}

fn release(object: &Object, owner: &Object) -> Op {
    let references: Vec<Value> = object
        .owners
        .iter()
        .filter(|reference| reference.uid != owner.uid)
        .map(reference)
        .collect();
    write::merge_unchanged(object, json!({"metadata": {"ownerReferences": references}}))
}

/// An owner reference as JSON, without the flags that are off.
pub(super) fn reference(owner: &OwnerRef) -> Value {
    let mut reference = json!({
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid.0,
    });
    if owner.controller {
        field::put(&mut reference, "controller", true.into());
    }
    if owner.block_owner_deletion {
        field::put(&mut reference, "blockOwnerDeletion", true.into());
    }
    reference
}
