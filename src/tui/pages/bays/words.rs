//! Short texts about nodes and amounts that all zooms share.

use jiff::Timestamp;

use super::colouring::NodeState;
use crate::k8s::lab;
use crate::stdx::humanize;
use crate::topology::{Amounts, Level, NodeFacts, Stranded};
use crate::tui::columns::REAL;
use crate::tui::forecast::need::Figure;
use crate::tui::text::{Line, Role};

/// `14.2/16`.
pub fn cores_of(part: i64, whole: i64) -> String {
    format!("{}/{}", humanize::milli(part), humanize::milli(whole))
}

/// `212 cores, 3.1 Ti`; empty where nothing is stranded.
pub fn stranded(stranded: Stranded) -> String {
    let mut parts = Vec::new();
    if stranded.cpu_milli > 0 {
        parts.push(format!("{} cores", humanize::milli(stranded.cpu_milli)));
    }
    if stranded.memory_bytes > 0 {
        parts.push(humanize::bytes(stranded.memory_bytes));
    }
    parts.join(", ")
}

/// `needs 212 of 312 machines   `; in words where it is not known here.
pub fn need(figure: Figure, roomy: bool) -> Line {
    match figure {
        Figure::None => Line::default(),
        Figure::Computing => Line::of("needs … machines   ", Role::Dim),
        Figure::Known { needs, machines } => Line::of("needs ", Role::Dim)
            .with(humanize::thousands(needs as u64), Role::Strong)
            .with(
                format!(" of {} machines   ", humanize::thousands(machines as u64)),
                Role::Dim,
            ),
        Figure::TooLarge if roomy => {
            Line::of("machines needed: run bayplan plan --compact   ", Role::Dim)
        }
        Figure::TooLarge => Line::of("needs: plan --compact   ", Role::Dim),
    }
}

/// `Ready`, `NotReady 4m12s`.
pub fn state(node: &NodeFacts, now: Timestamp) -> String {
    let state = NodeState::of(node);
    match (
        state,
        node.object.node().and_then(|columns| columns.ready_since),
    ) {
        (NodeState::NotReady | NodeState::Unknown, Some(since)) => {
            format!("{} {}", state.title(), humanize::age(since, now))
        }
        _ => state.title().to_owned(),
    }
}

/// After the state of a node that is a real machine among simulated ones; else empty.
pub fn real(node: &NodeFacts) -> String {
    if lab::is_real(&node.object) {
        return format!(" {REAL} real");
    }
    String::new()
}

pub fn state_glyph(state: NodeState) -> &'static str {
    match state {
        NodeState::Ready => "●",
        NodeState::Cordoned => "⊘",
        NodeState::NotReady | NodeState::Unknown => "✕",
    }
}

pub fn state_role(state: NodeState) -> Role {
    match state {
        NodeState::Ready => Role::Good,
        NodeState::Cordoned => Role::Warning,
        NodeState::NotReady => Role::Bad,
        NodeState::Unknown => Role::Unknown,
    }
}

/// `rack a01, power p2`: the domains that a node is in, the smallest first.
pub fn domains(node: &NodeFacts, levels: &[Level]) -> String {
    let parts: Vec<String> = levels
        .iter()
        .rev()
        .filter(|level| !level.is_host())
        .filter_map(|level| {
            let value = node.object.labels.get(&level.label)?;
            Some(format!("{} {value}", level.title))
        })
        .collect();
    parts.join(", ")
}

/// `500m, 1 Gi`: a request in the form that people write.
pub fn shape(amounts: Amounts) -> String {
    let cores = humanize::milli(amounts.cpu_milli);
    let noun = if cores == "1" { "core" } else { "cores" };
    format!("{cores} {noun}, {}", humanize::bytes(amounts.memory_bytes))
}
