//! From the selected object to another view of it: one meaning for each key, in every page.

use crate::k8s::workload::{owner_of, pods_of};
use crate::k8s::{Resource, resources};
use crate::tui::actions::Action;
use crate::tui::actions::offer::offer;
use crate::tui::command::{ChangeKind, Command, PageCommand};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context};
use crate::tui::view::{Aspect, Opening, Place, Target, View};

/// Carries out the commands that mean the same for every selected object. `None`: it is not one of
/// them.
pub fn travel(command: &Command, targets: &[Target], context: &Context) -> Option<Vec<Ask>> {
    let aspect = match command {
        Command::Describe => Some(Aspect::Describe),
        Command::Yaml => Some(Aspect::Yaml),
        Command::Edit if context.read_only => None,
        Command::Edit => Some(Aspect::Edit),
        Command::Page(PageCommand::Tree) => Some(Aspect::Tree),
        _ => None,
    };
    if let Some(aspect) = aspect {
        return Some(with_one(targets, |target| vec![look(target, aspect)]));
    }
    let asks = match command {
        Command::Logs => logs(targets, context),
        Command::ObjectTimeline => with_one(targets, |target| {
            vec![Ask::Go(Place {
                view: View::Timeline,
                with: Opening {
                    of: vec![target.clone()],
                    ..Opening::default()
                },
            })]
        }),
        Command::Why => with_one(targets, |target| why(target, context)),
        Command::Away => away(targets, context),
        Command::Owner => with_one(targets, |target| owner(target, context)),
        Command::Node => with_one(targets, |target| node(target, context)),
        Command::Replicas(Some(to)) => with_one(targets, |target| scale(target, *to, context)),
        Command::Change(kind) if !context.read_only => {
            let suffix = context.now.as_second().to_string();
            match offer(*kind, targets, context.cluster, &suffix) {
                Ok(action) => vec![Ask::Propose(Box::new(action))],
                Err(why) => note(why),
            }
        }
        _ => return None,
    };
    Some(asks)
}

/// What draining the nodes, or those of the pods, would bring with it.
fn away(targets: &[Target], context: &Context) -> Vec<Ask> {
    let of = |target: &Target| {
        let object = context.cluster.get(&target.key)?;
        match object.pod() {
            Some(pod) => {
                let name = pod.node.as_ref()?;
                let node = context.cluster.find(&resources::NODES, "", name)?;
                Some(Target::of(node))
            }
            None => Some(target.clone()),
        }
    };
    let mut nodes: Vec<Target> = targets.iter().filter_map(of).collect();
    nodes.sort_by(|one, other| one.key.cmp(&other.key));
    nodes.dedup();
    match offer(ChangeKind::Drain, &nodes, context.cluster, "") {
        Ok(action) => vec![Ask::Wonder(Box::new(action))],
        Err(why) => note(why),
    }
}

pub fn note(text: impl Into<String>) -> Vec<Ask> {
    vec![Ask::Notice(Notice::note(text))]
}

fn with_one(targets: &[Target], go: impl FnOnce(&Target) -> Vec<Ask>) -> Vec<Ask> {
    targets
        .first()
        .map_or_else(|| note("nothing is selected"), go)
}

/// The objects view on one object.
pub fn look(target: &Target, aspect: Aspect) -> Ask {
    Ask::Go(Place {
        view: View::Objects,
        with: Opening {
            of: vec![target.clone()],
            resource: Some(target.key.resource.clone()),
            aspect,
            ..Opening::default()
        },
    })
}

/// A view that lists this kind, with the cursor on the object.
pub fn to_row(target: &Target) -> Ask {
    let view = view_of(&target.key.resource);
    Ask::Go(Place {
        view,
        with: Opening {
            select: Some(target.uid.clone()),
            resource: (view == View::Objects).then(|| target.key.resource.clone()),
            ..Opening::default()
        },
    })
}

fn view_of(resource: &Resource) -> View {
    if *resource == resources::PODS {
        View::Pods
    } else if *resource == resources::SERVICES {
        View::Services
    } else if *resource == resources::NODES {
        View::Bays
    } else if [
        resources::DEPLOYMENTS,
        resources::STATEFUL_SETS,
        resources::DAEMON_SETS,
        resources::JOBS,
        resources::CRON_JOBS,
    ]
    .contains(resource)
    {
        View::Workloads
    } else {
        View::Objects
    }
}

/// Workloads stay workloads there, so that their new pods join.
fn logs(targets: &[Target], context: &Context) -> Vec<Ask> {
    let with_pods: Vec<Target> = targets
        .iter()
        .filter(|target| {
            context.cluster.get(&target.key).is_some_and(|object| {
                object.pod().is_some() || !pods_of(context.cluster, object).is_empty()
            })
        })
        .cloned()
        .collect();
    if with_pods.is_empty() {
        return note("no pods, so no logs");
    }
    vec![Ask::Go(Place {
        view: View::Logs,
        with: Opening {
            of: with_pods,
            ..Opening::default()
        },
    })]
}

/// Pending pods are explained in the queue; for everything else its description says why.
fn why(target: &Target, context: &Context) -> Vec<Ask> {
    let pod = context.cluster.get(&target.key);
    let waits = pod
        .and_then(|object| object.pod())
        .is_some_and(|pod| !pod.is_finished());
    if waits {
        return vec![Ask::Go(Place {
            view: View::Queue,
            with: Opening {
                of: vec![target.clone()],
                select: Some(target.uid.clone()),
                aspect: Aspect::Why,
                ..Opening::default()
            },
        })];
    }
    vec![look(target, Aspect::Describe)]
}

fn owner(target: &Target, context: &Context) -> Vec<Ask> {
    let Some(object) = context.cluster.get(&target.key) else {
        return note(format!("{} is gone", target.path()));
    };
    match (owner_of(context.cluster, object), object.controller()) {
        // A replica set is a deployment's detail: the deployment is what a person means.
        (Some(owner), _) => {
            let owner = owner_of(context.cluster, owner).unwrap_or(owner);
            vec![to_row(&Target::of(owner))]
        }
        (None, Some(owner)) => note(format!(
            "its owner, {} {}, is not among the kinds in view",
            owner.kind, owner.name
        )),
        (None, None) => note(format!("{} has no owner", target.path())),
    }
}

fn node(target: &Target, context: &Context) -> Vec<Ask> {
    let node = context
        .cluster
        .get(&target.key)
        .and_then(|object| object.pod()?.node.clone())
        .and_then(|name| context.cluster.find(&resources::NODES, "", &name));
    match node {
        Some(node) => vec![to_row(&Target::of(node))],
        None => note(format!("{} is on no node", target.path())),
    }
}

fn scale(target: &Target, to: i64, context: &Context) -> Vec<Ask> {
    if context.read_only {
        return Vec::new();
    }
    let action = context
        .cluster
        .get(&target.key)
        .and_then(|object| Action::scale(object, to));
    match action {
        Some(action) => vec![Ask::Propose(Box::new(action))],
        None => note(format!("{} has no replicas to set", target.path())),
    }
}
