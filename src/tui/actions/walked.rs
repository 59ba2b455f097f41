//! A write that a rehearsal has tried: a patch, a manifest, an object that it created.

use serde_json::Value;

use super::action::{Action, Target};
use crate::k8s::Op;
use crate::tui::diff::{self, Diff, Noise};

#[derive(Clone, PartialEq, Debug)]
pub struct Walked {
    pub target: Target,
    /// The step, as the rehearsal calls it.
    pub step: String,
    pub write: Write,
    /// The object that is there now.
    pub before: Option<Value>,
    /// What the rehearsal had before and after.
    pub rehearsed: (Option<Value>, Option<Value>),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    Op(Box<Op>),
    /// Server-side apply, without force: a field of somebody else's is a conflict.
    Apply(Value),
}

impl Walked {
    pub fn verb(&self) -> &'static str {
        match &self.write {
            Write::Apply(_) => "apply",
            Write::Op(op) if matches!(**op, Op::Create { .. }) => "create",
            Write::Op(_) => "change",
        }
    }

    pub fn ops(&self) -> Vec<Op> {
        match &self.write {
            Write::Op(op) => vec![Op::clone(op)],
            Write::Apply(_) => Vec::new(),
        }
    }

    pub fn diff(&self) -> Diff {
        let (before, after) = &self.rehearsed;
        let nothing = Value::Null;
        let before = before.as_ref().unwrap_or(&nothing);
        let after = after.as_ref().unwrap_or(&nothing);
        diff::objects(before, after, Noise::Hidden)
    }

    pub fn undo(&self) -> Option<Action> {
        let before = self.before.clone()?;
        let after = self.rehearsed.1.clone().unwrap_or_default();
        Some(Action::Replace {
            target: self.target.clone(),
            before: after,
            after: super::action::without_revision(&before),
        })
    }
}
