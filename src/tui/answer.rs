//! What effects answer. Pages that start work of their own add variants here.

use std::sync::Arc;

use crate::k8s::Object;

#[derive(Debug)]
pub enum Answer {
    /// An object that was asked for with [`super::effect::Effect::Fetch`].
    Fetched(Result<Arc<Object>, String>),
}
