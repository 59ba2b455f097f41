//! Into a container: whether there is a process to lend the terminal to, and which.
//!
//! Everything that can be refused is refused here, in one sentence, while the screen stands.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};

use crate::k8s::columns::ContainerState;
use crate::k8s::lab::{RUNTIME_LABEL, RUNTIME_SIMULATED};
use crate::k8s::{Object, resources};
use crate::tui::effect::{Effect, Visit, VisitKind};
use crate::tui::model::{MenuChoice, Model, Open, Then};
use crate::tui::notice::Notice;

use super::tell;

/// A shell in the container under the cursor; a menu where a pod has several.
pub fn shell(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    begin(model, now, effects, "a shell in", |_| VisitKind::Shell);
}

/// The same for what the container's own process says and reads.
pub fn attach(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    begin(model, now, effects, "attach to", |container| {
        VisitKind::Attach {
            stdin: container.stdin == Some(true),
            terminal: container.tty == Some(true),
        }
    });
}

fn begin(
    model: &mut Model,
    now: Timestamp,
    effects: &mut Vec<Effect>,
    what: &str,
    kind: fn(&Container) -> VisitKind,
) {
    let mut visits = match visits(model, now, kind) {
        Ok(visits) => visits,
        Err(why) => return tell(model, Notice::warning(why), now),
    };
    if visits.len() == 1 {
        effects.extend(visits.pop().map(Effect::Lend));
        return;
    }
    let pod = visits.first().map(|visit| visit.pod.name.clone());
    let choices = visits.into_iter().map(|visit| MenuChoice {
        name: visit.container.clone(),
        about: String::new(),
        keys: String::new(),
        then: Then::Visit(visit),
    });
    model.open = Some(Open::Menu {
        title: format!("{what} {}", pod.unwrap_or_default()),
        choices: choices.collect(),
        chosen: 0,
    });
}

/// Where the terminal could go: the container under the cursor, else all that run.
fn visits(
    model: &Model,
    now: Timestamp,
    kind: fn(&Container) -> VisitKind,
) -> Result<Vec<Visit>, String> {
    if model.read_only() {
        return Err("this session is read-only: a container is not entered".to_owned());
    }
    if model.rehearsal.is_some() {
        return Err("this is a rehearsal: no container runs in it".to_owned());
    }
    let page = model.page();
    let targets = page.map(|page| page.selection(&model.context(now)));
    let targets = targets.unwrap_or_default();
    let chosen = page.and_then(crate::tui::page::Page::container);
    let pod = match targets.as_slice() {
        [] => return Err("no pod is selected".to_owned()),
        [target] => model.cache.cluster.get(&target.key),
        several => return Err(format!("{} pods are marked; one at a time", several.len())),
    };
    let pod = pod.filter(|pod| pod.key.resource == resources::PODS);
    let pod = pod.ok_or("the selected pod is gone")?;
    let name = pod.name();
    if is_simulated(model, pod) {
        return Err(format!(
            "pod {name} is simulated: its containers have no process to enter"
        ));
    }
    let running = running(pod);
    if let Some(chosen) = &chosen
        && !running.contains(chosen)
    {
        return Err(format!("container {chosen} of pod {name} is not running"));
    }
    if running.is_empty() {
        return Err(format!("no container of pod {name} is running"));
    }
    let wanted = |container: &&Container| match &chosen {
        Some(chosen) => container.name == *chosen,
        None => running.contains(&container.name),
    };
    let object: Pod = serde_json::from_slice(&pod.bytes()).map_err(|error| error.to_string())?;
    let spec = object.spec.unwrap_or_default();
    // The app's containers first: one of them is mostly meant.
    let all = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let visits = all.filter(wanted).map(|container| Visit {
        pod: pod.key.clone(),
        container: container.name.clone(),
        kind: kind(container),
    });
    Ok(visits.collect())
}

fn running(pod: &Object) -> Vec<String> {
    let containers = pod.pod().map(|columns| columns.containers.iter());
    containers
        .into_iter()
        .flatten()
        .filter(|container| matches!(container.state, ContainerState::Running { .. }))
        .map(|container| container.name.to_string())
        .collect()
}

fn is_simulated(model: &Model, pod: &Object) -> bool {
    let node = pod.pod().and_then(|columns| columns.node.as_ref());
    let cluster = &model.cache.cluster;
    let node = node.and_then(|name| cluster.find(&resources::NODES, "", name));
    let runtime = node.and_then(|node| node.labels.get(RUNTIME_LABEL));
    runtime.is_some_and(|runtime| runtime == RUNTIME_SIMULATED)
}
