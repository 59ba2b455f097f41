//! What effects answer. Pages that start work of their own add variants here.

use std::sync::Arc;

use crate::k8s::{Object, Uid};
use crate::topology::Survey;

use super::forecast::why_here::WhyHere;

#[derive(Debug)]
pub enum Answer {
    /// An object that was asked for with [`super::effect::Effect::Fetch`].
    Fetched(Result<Arc<Object>, String>),
    /// The fleet in rows, made away from the screen's thread.
    Survey(Arc<Survey>),
    /// Why the pod with this uid is where it is.
    WhyHere(Uid, WhyHere),
}
