//! The views. Each page keeps its own selection and position; objects live in the console's cache.

pub mod ages;
pub mod bays;
pub mod domains;
pub mod logs;
pub mod objects;
pub mod pods;
pub mod pulse;
pub mod queue;
pub mod services;
pub mod timeline;
pub mod travel;
pub mod workloads;

use super::page::{Context, Page};
use super::view::View;
use crate::k8s::resources;

/// The page of a view; `None` while a view is not built.
pub fn create(view: View) -> Option<Box<dyn Page>> {
    match view {
        View::Pulse => Some(Box::new(pulse::PulsePage::default())),
        View::Logs => Some(Box::new(logs::LogsPage::default())),
        View::Timeline => Some(Box::new(timeline::TimelinePage::default())),
        View::Queue => Some(Box::new(queue::QueuePage::default())),
        View::Services => Some(Box::new(services::ServicesPage::default())),
        View::Workloads => Some(Box::new(workloads::WorkloadsPage::default())),
        View::Pods => Some(Box::new(pods::PodsPage::default())),
        View::Bays => Some(Box::new(bays::Bays::default())),
        View::Objects => Some(Box::new(objects::ObjectsPage::default())),
        View::Domains => Some(Box::new(domains::DomainsPage::default())),
    }
}

/// Whether all nodes and pods are here. Before that nothing may be concluded from what is missing:
/// a half-loaded machine looks empty.
pub fn is_known(context: &Context) -> bool {
    [resources::NODES, resources::PODS]
        .iter()
        .all(|resource| context.cache.is_complete(resource))
}
