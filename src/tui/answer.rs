//! What effects answer. Pages that start work of their own add variants here.

use std::sync::Arc;

use serde_json::Value;

use crate::k8s::{Object, ObjectKey, Uid};
use crate::topology::Survey;

use super::effect::LogOrder;
use super::forecast::why_here::WhyHere;

#[derive(Debug)]
pub enum Answer {
    /// An object that was asked for with [`super::effect::Effect::Fetch`], whole.
    Fetched {
        key: ObjectKey,
        result: Result<Arc<Object>, String>,
    },
    /// What the server would make of [`super::effect::Effect::DryRun`].
    DryRun(Result<Value, String>),
    LogLines {
        order: LogOrder,
        lines: Vec<String>,
    },
    /// A log stream is over; `failure` says why it ended early.
    LogEnded {
        order: LogOrder,
        failure: Option<String>,
    },
    /// The fleet in rows, made away from the screen's thread.
    Survey(Arc<Survey>),
    /// Why the pod with this uid is where it is.
    WhyHere(Uid, WhyHere),
}
