//! What effects answer. Pages that start work of their own add variants here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::k8s::{Name, Object, ObjectKey, Uid};
use crate::topology::{Share, Survey};
use crate::tui::pages::bays::gpus::Gpus;

use super::effect::LogOrder;
use super::forecast::need::Needed;
use super::forecast::replicas::ReplicasForecast;
use super::forecast::why_here::WhyHere;
use super::pages::domains::DomainLosses;
use super::pages::logs::past::PastLine;
use super::pages::queue::reasons::Reasons;
use super::pages::queue::waiting::WaitingPod;
use super::summary::Summary;
use super::view::Target;

#[derive(Debug)]
pub enum Answer {
    /// An object that was asked for with [`super::effect::Effect::Fetch`], whole.
    Fetched {
        key: ObjectKey,
        result: Result<Arc<Object>, String>,
    },
    /// What the user's own editor made of a text, or why there is nothing.
    Composed(Result<String, String>),
    /// What the server would make of [`super::effect::Effect::DryRun`].
    DryRun(Result<Value, String>),
    LogLines {
        order: LogOrder,
        lines: Vec<String>,
    },
    /// Lines of the cluster's log store, or why there are none.
    Past(Result<Vec<PastLine>, String>),
    /// A log stream is over; `failure` says why it ended early.
    LogEnded {
        order: LogOrder,
        failure: Option<String>,
    },
    /// The fleet in rows, made away from the screen's thread; with what it holds beside other
    /// clusters, where there are any.
    Survey(Arc<Survey>, Option<Arc<Share>>),
    /// The same with what is free of the fleet's GPUs.
    Bays(Arc<Survey>, Gpus),
    /// How few machines the workload needs.
    Needed(Box<Needed>),
    /// Why the pod with this uid is where it is.
    WhyHere(Uid, WhyHere),
    /// What another number of replicas would do; `None` where it cannot be told.
    ReplicasForecast {
        target: Target,
        to: i64,
        outcome: Option<Box<ReplicasForecast>>,
    },
    /// What the worst failure takes from each workload.
    Losses(BTreeMap<ObjectKey, (Name, f64)>),
    /// Pressure and problems of the whole cluster.
    Summary(Box<Summary>),
    /// The pods that wait.
    Waiting(Vec<WaitingPod>),
    /// Why a pod is where it is, or waits; the error says why that cannot be told.
    Explained {
        pod: Target,
        outcome: Box<Result<Reasons, String>>,
    },
    /// Where the pods of lost domains would go.
    DomainLosses(Box<DomainLosses>),
}
