//! One scheduling cycle, plugin by plugin over every node.
//!
//! This is the reference: it computes everything anew from a snapshot and serves explanations, dry
//! runs of preemption and the tests. [`super::fast`] arrives at the same decisions from what it kept
//! of earlier ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::configuration::Profile;
use super::gpu::DeviceSet;
use super::node_info::{NodeInfo, PodEntry};
use super::plugins::inter_pod_affinity::{self, PodAffinity};
use super::plugins::pod_topology_spread::{self, HardSpread};
use super::plugins::volume_binding::{self, Claims};
use super::plugins::volume_restrictions::{self, SinglePodClaims};
use super::plugins::volume_zone::{self, Zones};
use super::plugins::{
    gpu_share, image_locality, node_affinity, node_name, node_ports,
    node_resources_balanced_allocation, node_resources_fit, node_unschedulable, node_volume_limits,
    taint_toleration,
};
use super::snapshot::{NodeId, Snapshot};
use super::template::{Template, TemplateId};
use super::verdict::{Plugin, Refusal};
use crate::k8s::{Name, Object};

/// The pod that a cycle is about.
#[derive(Clone, Debug)]
pub struct Subject {
    pub object: Arc<Object>,
    pub id: TemplateId,
    pub template: Arc<Template>,
    /// `spec.nodeName` of a pod that asks for its node by name.
    pub node_name: Option<Name>,
    pub nominated_node: Option<Name>,
}

impl Subject {
    pub fn priority(&self) -> i32 {
        self.template.spec.priority
    }

    /// The same pod as an entry of a node.
    pub fn entry(&self) -> PodEntry {
        PodEntry {
            object: Arc::clone(&self.object),
            id: self.id,
            template: Arc::clone(&self.template),
            preempted: false,
            devices: DeviceSet::default(),
        }
    }
}

/// What the pre-filters found out for one pod. A part that is `None` is skipped.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// The only nodes in question.
    pub nodes: Option<BTreeSet<Name>>,
    single_pod_claims: Option<SinglePodClaims>,
    counts_volumes: bool,
    claims: Option<Claims>,
    zones: Option<Zones>,
    spread: Option<HardSpread>,
    pods: Option<PodAffinity>,
}

/// A pre-filter refused the pod for every node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    pub refusal: Refusal,
    /// Whether the pre-filters stopped before that of `DynamicResources`.
    ///
    /// Quirk: its post-filter then fails with `not found`, and preemption is not tried.
    pub cut_short: bool,
}

/// Why a node outside the pre-filters' set is refused.
pub const REASON_OUTSIDE: &str = "node(s) didn't satisfy plugin(s) [NodeAffinity]";

/// Runs the pre-filters.
pub fn prepare(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
) -> Result<Prepared, Rejection> {
    let cut_short = |refusal| Rejection {
        refusal,
        cut_short: profile.filters_with(Plugin::DynamicResources),
    };
    let mut prepared = Prepared::default();
    for plugin in &profile.filters {
        match plugin {
            Plugin::NodeAffinity => {
                prepared.nodes =
                    node_affinity::pre_filter(&subject.template.spec).map_err(cut_short)?;
            }
            Plugin::VolumeRestrictions => {
                prepared.single_pod_claims =
                    volume_restrictions::pre_filter(snapshot, subject).map_err(cut_short)?;
            }
            Plugin::NodeVolumeLimits => {
                prepared.counts_volumes = node_volume_limits::applies(&subject.template);
            }
            Plugin::VolumeBinding => {
                prepared.claims =
                    volume_binding::pre_filter(snapshot, subject).map_err(cut_short)?;
            }
            Plugin::VolumeZone => {
                prepared.zones = volume_zone::pre_filter(snapshot, subject).map_err(cut_short)?;
            }
            Plugin::PodTopologySpread => {
                prepared.spread = pod_topology_spread::pre_filter(snapshot, profile, subject);
            }
            Plugin::InterPodAffinity => {
                prepared.pods = inter_pod_affinity::pre_filter(snapshot, subject);
            }
            _ => {}
        }
    }
    Ok(prepared)
}

impl Prepared {
    /// Whether a pod's coming or going on one node may change the verdict on others.
    pub fn minds_others(&self) -> bool {
        self.spread.is_some() || self.pods.is_some() || self.single_pod_claims.is_some()
    }

    /// A pod comes to (+1) or leaves (-1) a node in thought.
    pub fn shift(&mut self, subject: &Subject, entry: &PodEntry, node: &NodeInfo, delta: i64) {
        if let Some(claims) = &mut self.single_pod_claims {
            claims.shift(subject, entry, delta);
        }
        if let Some(spread) = &mut self.spread {
            spread.shift(subject, entry, node, delta);
        }
        if let Some(pods) = &mut self.pods {
            pods.shift(subject, entry, node, delta);
        }
    }
}

/// One filter on one node.
pub fn filter_with(
    plugin: Plugin,
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    prepared: &Prepared,
    node: &NodeInfo,
) -> Option<Refusal> {
    let spec = &subject.template.spec;
    match plugin {
        Plugin::NodeUnschedulable => node_unschedulable::filter(&spec.tolerations, node),
        Plugin::NodeName => node_name::filter(subject.node_name.as_ref(), &node.name),
        Plugin::TaintToleration => taint_toleration::filter(&spec.tolerations, &node.taints),
        Plugin::NodeAffinity => node_affinity::filter(spec, node),
        Plugin::NodePorts => node_ports::filter(&spec.ports, node),
        Plugin::NodeResourcesFit => {
            node_resources_fit::filter(&profile.fit, &spec.requests.wanted, node)
        }
        Plugin::GpuShare => gpu_share::filter(spec, node),
        Plugin::VolumeRestrictions => {
            let claims = prepared.single_pod_claims.as_ref()?;
            claims.filter(subject, node)
        }
        Plugin::NodeVolumeLimits if prepared.counts_volumes => {
            node_volume_limits::filter(snapshot, subject, node)
        }
        Plugin::VolumeBinding => prepared.claims.as_ref()?.filter(snapshot, subject, node),
        Plugin::VolumeZone => volume_zone::filter(prepared.zones.as_ref()?, node),
        Plugin::PodTopologySpread => prepared.spread.as_ref()?.filter(node),
        Plugin::InterPodAffinity => prepared.pods.as_ref()?.filter(subject, node),
        _ => None,
    }
}

/// The first filter that refuses the node as it is.
pub fn filter(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    prepared: &Prepared,
    node: &NodeInfo,
) -> Option<Refusal> {
    profile
        .filters
        .iter()
        .find_map(|plugin| filter_with(*plugin, snapshot, profile, subject, prepared, node))
}

/// Other pods of at least the same priority that are promised the node.
pub fn nominated<'a>(
    snapshot: &'a Snapshot,
    subject: &'a Subject,
    node: &NodeInfo,
) -> impl Iterator<Item = &'a PodEntry> {
    let own = &subject.object.key;
    snapshot.nominated_to(&node.name).filter(move |entry| {
        let key = &entry.object.key;
        entry.priority() >= subject.priority()
            && (key.name != own.name || key.namespace != own.namespace)
    })
}

/// The same, with pods of at least the same priority that are nominated to the node counted first
/// as if they ran there already, and then once more without them.
pub fn filter_with_nominated(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    prepared: &Prepared,
    node: &NodeInfo,
) -> Option<Refusal> {
    let nominated: Vec<&PodEntry> = nominated(snapshot, subject, node).collect();
    if !nominated.is_empty() {
        let mut prepared = prepared.clone();
        let mut fuller = node.clone();
        for entry in nominated {
            prepared.shift(subject, entry, node, 1);
            fuller.add(entry.clone());
        }
        let refusal = filter(snapshot, profile, subject, &prepared, &fuller);
        if refusal.is_some() {
            return refusal;
        }
    }
    filter(snapshot, profile, subject, prepared, node)
}

/// The verdict on one node, the pre-filters' node set included.
pub fn verdict(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    prepared: &Prepared,
    node: &NodeInfo,
) -> Option<Refusal> {
    if let Some(names) = &prepared.nodes
        && !names.contains(&node.name)
    {
        return Some(Refusal::unresolvable(Plugin::Framework, REASON_OUTSIDE));
    }
    filter_with_nominated(snapshot, profile, subject, prepared, node)
}

/// A score plugin's part in a cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScoreColumn {
    pub plugin: Plugin,
    pub weight: i64,
    /// The plugin has nothing to say about this pod.
    pub skipped: bool,
}

/// A feasible node's scores, one per column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScoreRow {
    pub node: NodeId,
    pub raw: Vec<i64>,
    /// After normalisation, before the weight.
    pub normalized: Vec<i64>,
    pub total: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScoreTable {
    pub columns: Vec<ScoreColumn>,
    pub rows: Vec<ScoreRow>,
}

impl ScoreTable {
    /// All nodes with the highest total.
    pub fn best(&self) -> Vec<NodeId> {
        let max = self.rows.iter().map(|row| row.total).max();
        self.rows
            .iter()
            .filter(|row| Some(row.total) == max)
            .map(|row| row.node)
            .collect()
    }
}

/// Raw and normalised scores of one plugin.
struct Column {
    raw: Vec<i64>,
    normalized: Vec<i64>,
}

/// Scores all feasible nodes.
pub fn score(
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    feasible: &[NodeId],
) -> ScoreTable {
    let nodes: Vec<&NodeInfo> = feasible
        .iter()
        .filter_map(|id| snapshot.node(*id))
        .collect();
    let mut table = ScoreTable {
        columns: Vec::with_capacity(profile.scores.len()),
        rows: feasible
            .iter()
            .map(|node| ScoreRow {
                node: *node,
                raw: Vec::with_capacity(profile.scores.len()),
                normalized: Vec::with_capacity(profile.scores.len()),
                total: 0,
            })
            .collect(),
    };
    for &(plugin, weight) in &profile.scores {
        let column = column(plugin, snapshot, profile, subject, &nodes);
        table.columns.push(ScoreColumn {
            plugin,
            weight,
            skipped: column.is_none(),
        });
        for (index, row) in table.rows.iter_mut().enumerate() {
            let at = |values: &[i64]| values.get(index).copied().unwrap_or(0);
            let (raw, normalized) = column
                .as_ref()
                .map_or((0, 0), |column| (at(&column.raw), at(&column.normalized)));
            row.raw.push(raw);
            row.normalized.push(normalized);
            row.total += normalized * weight;
        }
    }
    table
}

fn column(
    plugin: Plugin,
    snapshot: &Snapshot,
    profile: &Profile,
    subject: &Subject,
    nodes: &[&NodeInfo],
) -> Option<Column> {
    let spec = &subject.template.spec;
    let raw_of = |score: &dyn Fn(&NodeInfo) -> i64| -> Vec<i64> {
        nodes.iter().map(|node| score(node)).collect()
    };
    match plugin {
        Plugin::TaintToleration => {
            let raw = raw_of(&|node| taint_toleration::score(&spec.tolerations, &node.taints));
            let normalized = scaled_down(&raw);
            Some(Column { raw, normalized })
        }
        Plugin::NodeAffinity if !spec.preferred_nodes.is_empty() => {
            let raw = raw_of(&|node| node_affinity::score(spec, node));
            let normalized = scaled_up(&raw);
            Some(Column { raw, normalized })
        }
        Plugin::NodeResourcesFit => Some(plain(raw_of(&|node| {
            node_resources_fit::score(&profile.fit, &spec.requests, node)
        }))),
        Plugin::PodTopologySpread => {
            let spread = pod_topology_spread::pre_score(snapshot, profile, subject, nodes)?;
            let raw: Vec<Option<i64>> = nodes
                .iter()
                .map(|node| spread.score(subject, node))
                .collect();
            Some(Column {
                normalized: pod_topology_spread::normalize(&raw),
                raw: raw.into_iter().map(Option::unwrap_or_default).collect(),
            })
        }
        Plugin::InterPodAffinity => {
            let preferences = inter_pod_affinity::pre_score(snapshot, profile, subject)?;
            let raw = raw_of(&|node| preferences.score(node));
            let min = raw.iter().copied().min().unwrap_or(0);
            let max = raw.iter().copied().max().unwrap_or(0);
            let normalized = raw
                .iter()
                .map(|raw| inter_pod_affinity::normalized(*raw, min, max))
                .collect();
            Some(Column { raw, normalized })
        }
        Plugin::DynamicResources => Some(plain(vec![0; nodes.len()])),
        Plugin::NodeResourcesBalancedAllocation => {
            let wanted = &spec.requests.wanted;
            let resources = &profile.balanced;
            node_resources_balanced_allocation::applies(resources, wanted).then(|| {
                plain(raw_of(&|node| {
                    node_resources_balanced_allocation::score(resources, wanted, node)
                }))
            })
        }
        Plugin::GpuShare => {
            let typical = snapshot.typical_gpu_pods();
            Some(plain(raw_of(&|node| {
                gpu_share::score(profile.gpu_policy, typical, spec, node)
            })))
        }
        Plugin::ImageLocality => Some(plain(raw_of(&|node| {
            image_locality::score(snapshot.images(), snapshot.node_count(), spec, node)
        }))),
        _ => None,
    }
}

fn plain(raw: Vec<i64>) -> Column {
    Column {
        normalized: raw.clone(),
        raw,
    }
}

/// The largest becomes 100; all 0 when nothing scores.
fn scaled_up(raw: &[i64]) -> Vec<i64> {
    let max = raw.iter().copied().max().unwrap_or(0);
    raw.iter().map(|raw| share_up(*raw, max)).collect()
}

/// The largest becomes 0; all 100 when nothing scores.
fn scaled_down(raw: &[i64]) -> Vec<i64> {
    let max = raw.iter().copied().max().unwrap_or(0);
    raw.iter().map(|raw| share_down(*raw, max)).collect()
}

pub fn share_up(raw: i64, max: i64) -> i64 {
    if max == 0 { 0 } else { 100 * raw / max }
}

pub fn share_down(raw: i64, max: i64) -> i64 {
    100 - share_up(raw, max)
}
