//! `KubeSchedulerConfiguration` files, version `kubescheduler.config.k8s.io/v1`.
//!
//! Profiles, plugin sets, weights and the arguments of plugins that have any. What a scheduler
//! inside one process has no use for (leader election, client connections) is accepted and not
//! read; everything else that is unknown or out of range is refused by name.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    Configuration, Counted, DefaultSpread, PreemptionArguments, Profile, Strategy, cpu_and_memory,
};
use crate::k8s::Name;
use crate::packing::gpu::Policy;
use crate::sched::plugins::gpu_share::POLICIES;
use crate::sched::spec::SpreadWire;
use crate::sched::verdict::Plugin;

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error("the scheduler configuration is not valid YAML of its kind")]
    Malformed(#[source] serde_yaml::Error),
    #[error("`apiVersion` must be `kubescheduler.config.k8s.io/v1`, not `{0}`")]
    Version(String),
    #[error("`kind` must be `KubeSchedulerConfiguration`, not `{0}`")]
    Kind(String),
    #[error("`{path}`: {problem}")]
    Field { path: String, problem: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileWire {
    #[serde(rename = "apiVersion")]
    version: String,
    kind: String,
    #[serde(default)]
    profiles: Vec<ProfileWire>,
    percentage_of_nodes_to_score: Option<i64>,
    #[serde(rename = "parallelism")]
    _parallelism: Option<IgnoredAny>,
    #[serde(rename = "leaderElection")]
    _leader_election: Option<IgnoredAny>,
    #[serde(rename = "clientConnection")]
    _client_connection: Option<IgnoredAny>,
    #[serde(rename = "enableProfiling")]
    _profiling: Option<IgnoredAny>,
    #[serde(rename = "enableContentionProfiling")]
    _contention_profiling: Option<IgnoredAny>,
    #[serde(rename = "podInitialBackoffSeconds")]
    _initial_back_off: Option<IgnoredAny>,
    #[serde(rename = "podMaxBackoffSeconds")]
    _max_back_off: Option<IgnoredAny>,
    #[serde(rename = "delayCacheUntilActive")]
    _delay_cache: Option<IgnoredAny>,
    extenders: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ProfileWire {
    scheduler_name: String,
    percentage_of_nodes_to_score: Option<i64>,
    plugins: PluginsWire,
    plugin_config: Vec<PluginConfigWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PluginsWire {
    multi_point: PluginSetWire,
    pre_enqueue: PluginSetWire,
    queue_sort: PluginSetWire,
    pre_filter: PluginSetWire,
    filter: PluginSetWire,
    post_filter: PluginSetWire,
    pre_score: PluginSetWire,
    score: PluginSetWire,
    reserve: PluginSetWire,
    permit: PluginSetWire,
    pre_bind: PluginSetWire,
    bind: PluginSetWire,
    post_bind: PluginSetWire,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct PluginSetWire {
    enabled: Vec<PluginWire>,
    disabled: Vec<PluginWire>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct PluginWire {
    name: String,
    weight: i64,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct PluginConfigWire {
    name: String,
    args: Value,
}

fn refuse<T>(path: impl Into<String>, problem: impl Into<String>) -> Result<T, ConfigurationError> {
    Err(ConfigurationError::Field {
        path: path.into(),
        problem: problem.into(),
    })
}

impl Configuration {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, ConfigurationError> {
        let file: FileWire = serde_yaml::from_str(text).map_err(ConfigurationError::Malformed)?;
        if file.version != "kubescheduler.config.k8s.io/v1" {
            return Err(ConfigurationError::Version(file.version));
        }
        if file.kind != "KubeSchedulerConfiguration" {
            return Err(ConfigurationError::Kind(file.kind));
        }
        if file.extenders.is_some_and(|list| !list.is_empty()) {
            return refuse("extenders", "extenders are not supported");
        }
        check_percentage(
            "percentageOfNodesToScore",
            file.percentage_of_nodes_to_score,
        )?;
        let mut configuration = Self {
            profiles: Vec::new(),
        };
        for (index, wire) in file.profiles.into_iter().enumerate() {
            let path = format!("profiles[{index}]");
            let percentage = wire
                .percentage_of_nodes_to_score
                .or(file.percentage_of_nodes_to_score);
            let mut profile = profile(&path, wire)?;
            profile.percentage_of_nodes_to_score = percentage;
            if configuration.profile(&profile.scheduler).is_some() {
                return refuse(
                    format!("{path}.schedulerName"),
                    format!("duplicate value `{}`", profile.scheduler),
                );
            }
            configuration.profiles.push(profile);
        }
        if configuration.profiles.is_empty() {
            configuration = Self::default();
            for profile in &mut configuration.profiles {
                profile.percentage_of_nodes_to_score = file.percentage_of_nodes_to_score;
            }
        }
        Ok(configuration)
    }
}

fn check_percentage(path: &str, percentage: Option<i64>) -> Result<(), ConfigurationError> {
    match percentage {
        Some(percentage) if !(0..=100).contains(&percentage) => refuse(
            path,
            format!("`{percentage}` is not a percentage from 0 to 100"),
        ),
        _ => Ok(()),
    }
}

fn profile(path: &str, wire: ProfileWire) -> Result<Profile, ConfigurationError> {
    check_percentage(
        &format!("{path}.percentageOfNodesToScore"),
        wire.percentage_of_nodes_to_score,
    )?;
    let name = if wire.scheduler_name.is_empty() {
        "default-scheduler"
    } else {
        &wire.scheduler_name
    };
    let mut profile = Profile::named(name);
    let plugins = wire.plugins;
    let sets = [
        ("multiPoint", &plugins.multi_point),
        ("preFilter", &plugins.pre_filter),
        ("filter", &plugins.filter),
        ("postFilter", &plugins.post_filter),
        ("preScore", &plugins.pre_score),
        ("score", &plugins.score),
        ("preEnqueue", &plugins.pre_enqueue),
        ("queueSort", &plugins.queue_sort),
        ("reserve", &plugins.reserve),
        ("permit", &plugins.permit),
        ("preBind", &plugins.pre_bind),
        ("bind", &plugins.bind),
        ("postBind", &plugins.post_bind),
    ];
    for (point, set) in sets {
        apply_set(&format!("{path}.plugins"), point, set, &mut profile)?;
    }
    for (index, entry) in wire.plugin_config.into_iter().enumerate() {
        let path = format!("{path}.pluginConfig[{index}]");
        apply_arguments(&path, entry, &mut profile)?;
    }
    Ok(profile)
}

fn known(path: &str, name: &str) -> Result<Plugin, ConfigurationError> {
    match Plugin::named(name) {
        Some(plugin) => Ok(plugin),
        None => refuse(path, format!("there is no plugin `{name}`")),
    }
}

/// Whether an extension point decides which plugins filter, score or preempt.
fn apply_set(
    path: &str,
    point: &str,
    set: &PluginSetWire,
    profile: &mut Profile,
) -> Result<(), ConfigurationError> {
    let all = point == "multiPoint";
    let (filters, scores, preempts) = (
        all || point == "filter",
        all || point == "score",
        all || point == "postFilter",
    );
    for (index, wire) in set.disabled.iter().enumerate() {
        let plugin = if wire.name == "*" {
            None
        } else {
            let path = format!("{path}.{point}.disabled[{index}].name");
            Some(known(&path, &wire.name)?)
        };
        let goes = |entry: Plugin| plugin.is_none_or(|plugin| plugin == entry);
        if filters {
            profile.filters.retain(|entry| !goes(*entry));
        }
        if scores {
            profile.scores.retain(|(entry, _)| !goes(*entry));
        }
        if preempts && goes(Plugin::DefaultPreemption) {
            profile.preempts = false;
        }
    }
    // Whatever may filter or score at all.
    let defaults = Profile::with_gpu_share("");
    for (index, wire) in set.enabled.iter().enumerate() {
        let path = format!("{path}.{point}.enabled[{index}]");
        let plugin = known(&format!("{path}.name"), &wire.name)?;
        if !(0..=100).contains(&wire.weight) {
            return refuse(
                format!("{path}.weight"),
                format!("`{}` is not a weight from 0 to 100", wire.weight),
            );
        }
        if filters && defaults.filters.contains(&plugin) && !profile.filters.contains(&plugin) {
            profile.add_filter(plugin);
        }
        let default = defaults.scores.iter().find(|(entry, _)| *entry == plugin);
        if scores && let Some((_, default)) = default {
            let weight = match (wire.weight, all) {
                (0, true) => *default,
                (0, false) => 1,
                (weight, _) => weight,
            };
            match profile
                .scores
                .iter_mut()
                .find(|(entry, _)| *entry == plugin)
            {
                Some(entry) => entry.1 = weight,
                None => profile.scores.push((plugin, weight)),
            }
        }
        if preempts && plugin == Plugin::DefaultPreemption {
            profile.preempts = true;
        }
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FitWire {
    ignored_resources: Vec<Name>,
    ignored_resource_groups: Vec<Name>,
    scoring_strategy: Option<StrategyWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StrategyWire {
    #[serde(rename = "type")]
    kind: String,
    resources: Vec<WeightWire>,
    requested_to_capacity_ratio: Option<ShapeWire>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WeightWire {
    name: Name,
    weight: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ShapeWire {
    shape: Vec<PointWire>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PointWire {
    utilization: i64,
    score: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BalancedWire {
    resources: Vec<WeightWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpreadArgumentsWire {
    default_constraints: Vec<SpreadWire>,
    defaulting_type: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodAffinityWire {
    hard_pod_affinity_weight: Option<i64>,
    ignore_preferred_terms_of_existing_pods: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct GpuShareWire {
    policy: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PreemptionWire {
    min_candidate_nodes_percentage: Option<usize>,
    min_candidate_nodes_absolute: Option<usize>,
}

fn arguments<T: serde::de::DeserializeOwned>(
    path: &str,
    args: Value,
) -> Result<T, ConfigurationError> {
    serde_json::from_value(args).or_else(|error| refuse(format!("{path}.args"), error.to_string()))
}

fn apply_arguments(
    path: &str,
    entry: PluginConfigWire,
    profile: &mut Profile,
) -> Result<(), ConfigurationError> {
    let args = match entry.args {
        Value::Null => Value::Object(serde_json::Map::new()),
        args => args,
    };
    match known(&format!("{path}.name"), &entry.name)? {
        Plugin::NodeResourcesFit => fit(path, arguments(path, args)?, profile)?,
        Plugin::NodeResourcesBalancedAllocation => {
            let wire: BalancedWire = arguments(path, args)?;
            if !wire.resources.is_empty() {
                let resources = wire.resources.into_iter();
                profile.balanced = resources.map(|entry| Counted::named(entry.name)).collect();
            }
        }
        Plugin::PodTopologySpread => {
            let wire: SpreadArgumentsWire = arguments(path, args)?;
            if wire.defaulting_type == "List" || !wire.default_constraints.is_empty() {
                let list = wire.default_constraints.into_iter();
                profile.spread = DefaultSpread::List(list.map(SpreadWire::constraint).collect());
            }
        }
        Plugin::InterPodAffinity => {
            let wire: PodAffinityWire = arguments(path, args)?;
            let weight = wire.hard_pod_affinity_weight.unwrap_or(1);
            if !(0..=100).contains(&weight) {
                return refuse(
                    format!("{path}.args.hardPodAffinityWeight"),
                    format!("`{weight}` is not a weight from 0 to 100"),
                );
            }
            profile.hard_pod_affinity_weight = weight;
            profile.ignores_preferred_terms_of_existing_pods =
                wire.ignore_preferred_terms_of_existing_pods;
        }
        Plugin::DefaultPreemption => {
            let wire: PreemptionWire = arguments(path, args)?;
            let known = profile.preemption;
            profile.preemption = PreemptionArguments {
                candidate_nodes_percentage_min: wire
                    .min_candidate_nodes_percentage
                    .unwrap_or(known.candidate_nodes_percentage_min),
                candidate_nodes_min: wire
                    .min_candidate_nodes_absolute
                    .unwrap_or(known.candidate_nodes_min),
            };
        }
        Plugin::GpuShare => {
            let wire: GpuShareWire = arguments(path, args)?;
            let Some(name) = wire.policy else {
                return Ok(());
            };
            let policy = POLICIES.iter().find(|policy| policy.name() == name);
            let Some(policy) = policy else {
                let names = POLICIES.map(Policy::name).join(", ");
                let problem = format!("`{name}` is none of {names}");
                return refuse(format!("{path}.args.policy"), problem);
            };
            profile.gpu_policy = *policy;
        }
        Plugin::NodeAffinity
            if args
                .get("addedAffinity")
                .is_some_and(|added| !added.is_null()) =>
        {
            return refuse(
                format!("{path}.args.addedAffinity"),
                "an added affinity is not supported",
            );
        }
        _ => {}
    }
    Ok(())
}

fn fit(path: &str, wire: FitWire, profile: &mut Profile) -> Result<(), ConfigurationError> {
    profile.fit.ignored_resources = wire.ignored_resources;
    profile.fit.ignored_resource_groups = wire.ignored_resource_groups;
    let Some(strategy) = wire.scoring_strategy else {
        return Ok(());
    };
    let path = format!("{path}.args.scoringStrategy");
    let mut resources = Vec::new();
    for (index, entry) in strategy.resources.into_iter().enumerate() {
        // A missing weight is one.
        let weight = if entry.weight == 0 { 1 } else { entry.weight };
        if !(1..=100).contains(&weight) {
            return refuse(
                format!("{path}.resources[{index}].weight"),
                format!("`{weight}` is not a weight from 1 to 100"),
            );
        }
        resources.push((Counted::named(entry.name), weight));
    }
    profile.fit.resources = if resources.is_empty() {
        cpu_and_memory()
    } else {
        resources
    };
    profile.fit.strategy = match strategy.kind.as_str() {
        "LeastAllocated" | "" => Strategy::LeastAllocated,
        "MostAllocated" => Strategy::MostAllocated,
        "RequestedToCapacityRatio" => {
            let shape = strategy.requested_to_capacity_ratio.unwrap_or_default();
            Strategy::RequestedToCapacityRatio(points(&path, &shape.shape)?)
        }
        other => {
            return refuse(
                format!("{path}.type"),
                format!(
                    "`{other}` is none of LeastAllocated, MostAllocated, RequestedToCapacityRatio"
                ),
            );
        }
    };
    Ok(())
}

fn points(path: &str, shape: &[PointWire]) -> Result<Vec<(i64, i64)>, ConfigurationError> {
    let path = format!("{path}.requestedToCapacityRatio.shape");
    if shape.is_empty() {
        return refuse(path, "at least one point must be specified");
    }
    let mut previous = -1;
    for (index, point) in shape.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !(0..=100).contains(&point.utilization) || point.utilization <= previous {
            return refuse(
                format!("{path}.utilization"),
                "utilization must be from 0 to 100 and increase from point to point",
            );
        }
        if !(0..=10).contains(&point.score) {
            return refuse(format!("{path}.score"), "score must be from 0 to 10");
        }
        previous = point.utilization;
    }
    Ok(shape
        .iter()
        .map(|point| (point.utilization, point.score))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(profiles: &str) -> Result<Configuration, ConfigurationError> {
        Configuration::parse(&format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
             profiles:\n{profiles}"
        ))
    }

    #[test]
    fn plugins_are_switched_and_weighted() {
        let configuration = parse(
            "- schedulerName: packing\n  plugins:\n    score:\n      disabled: [{name: ImageLocality}]\n      \
             enabled: [{name: NodeResourcesFit, weight: 5}]\n    filter:\n      disabled: [{name: NodePorts}]\n  \
             pluginConfig:\n  - name: NodeResourcesFit\n    args: {scoringStrategy: {type: MostAllocated}}\n\
             - schedulerName: default-scheduler\n",
        )
        .unwrap();
        let packing = configuration.profile("packing").unwrap();
        assert!(!packing.filters_with(Plugin::NodePorts));
        assert!(packing.scores.contains(&(Plugin::NodeResourcesFit, 5)));
        assert!(
            !packing
                .scores
                .iter()
                .any(|(plugin, _)| *plugin == Plugin::ImageLocality)
        );
        assert_eq!(packing.fit.strategy, Strategy::MostAllocated);
        let default = configuration.profile("default-scheduler").unwrap();
        assert_eq!(*default, Profile::named("default-scheduler"));
    }

    #[track_caller]
    fn check(profiles: &str, expected: &str) {
        let error = parse(profiles).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        check(
            "- plugins: {filter: {enabled: [{name: Nope}]}}",
            "`profiles[0].plugins.filter.enabled[0].name`: there is no plugin `Nope`",
        );
        check(
            "- plugins: {score: {enabled: [{name: ImageLocality, weight: 101}]}}",
            "profiles[0].plugins.score.enabled[0].weight",
        );
        check(
            "- schedulerName: a\n- schedulerName: a",
            "`profiles[1].schedulerName`: duplicate value `a`",
        );
        check(
            "- pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]",
            "scoringStrategy.type`: `Best` is none of",
        );
        assert!(Configuration::parse("kind: Pod").is_err());
    }
}
