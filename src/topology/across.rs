//! Several clusters side by side: what each holds of the services that run in more than one, and
//! what is left when one of them, or a region that several share, is lost.
//!
//! A service over clusters is known by namespace, kind and name. Nothing moves from one cluster to
//! another by itself, so what a lost one held is gone until somebody acts: there is no scheduler to
//! ask here, only to count. A [`Share`] is all that is kept of a cluster for this, and it is small.

use std::collections::{BTreeMap, BTreeSet};

use super::amounts::Amounts;
use super::level::{Level, REGION, natural_order};
use super::survey::{PodFacts, Survey};
use super::workload::{Class, WorkloadKey};
use crate::k8s::Name;
use crate::k8s::columns::NodeReady;

/// What one cluster holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Share {
    pub whole: Holding,
    /// By the value of `topology.kubernetes.io/region`.
    pub regions: BTreeMap<Name, Holding>,
    pub services: BTreeMap<WorkloadKey, Replicas>,
}

/// Machines, and the pods on them that somebody would want elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holding {
    pub nodes: u32,
    pub not_ready: u32,
    pub allocatable: Amounts,
    pub requested: Amounts,
    /// On machines that are ready and open.
    pub free: Amounts,
    /// Neither daemons' pods nor static ones.
    pub pods: u32,
    /// What those ask for.
    pub asked: Amounts,
}

/// A service's replicas in one cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replicas {
    pub all: Count,
    /// Of those that are on a machine that says its region.
    pub regions: BTreeMap<Name, Count>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Count {
    pub replicas: u32,
    pub ready: u32,
}

/// How the clusters are cut into parts that are lost together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cut {
    /// One of them after the other.
    #[default]
    Cluster,
    /// A region, in every cluster that has machines there.
    Region,
}

/// No node carries these: they say which cut is meant where a level is chosen by its label.
const CLUSTERS: &str = "bayplan.dev/clusters";
const REGIONS: &str = "bayplan.dev/regions-of-clusters";

impl Cut {
    pub fn level(self) -> Level {
        let (label, title) = match self {
            Self::Cluster => (CLUSTERS, "cluster"),
            Self::Region => (REGIONS, "shared-region"),
        };
        Level {
            label: Name::new_static(label),
            title: Name::new_static(title),
        }
    }

    pub fn of(level: &Level) -> Option<Self> {
        [Self::Cluster, Self::Region]
            .into_iter()
            .find(|cut| cut.level() == *level)
    }
}

/// All clusters, cut one way.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Across {
    pub cut: Cut,
    /// Clusters as they were given; regions by name.
    pub domains: Vec<Domain>,
    /// Those of several clusters first, then by what the worst loss takes of them.
    pub services: Vec<Service>,
}

/// A cluster, or a region of several.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Domain {
    pub name: Name,
    /// Which clusters have machines here, by their place.
    pub clusters: Vec<usize>,
    pub holding: Holding,
    /// Free machines' room in all others.
    pub free_elsewhere: Amounts,
    /// The services that are hurt, as `services` orders them by what they lose here: the largest
    /// share first.
    pub losses: Vec<Loss>,
}

/// What a service loses with a domain.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Loss {
    /// Its place in [`Across::services`].
    pub service: usize,
    pub lost: u32,
    /// Ready replicas in all other domains.
    pub left: u32,
    pub share: f64,
}

/// One service, wherever it runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    pub key: WorkloadKey,
    /// One a domain, in the domains' order.
    pub cells: Vec<Count>,
    /// In no domain of this cut: not placed, or on a machine that says no region.
    pub elsewhere: u32,
    pub all: Count,
    /// How many clusters have it.
    pub clusters: usize,
    /// The domain whose loss takes most ready replicas; none where no replica is ready.
    pub worst: Option<Worst>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Worst {
    pub domain: usize,
    pub lost: u32,
    pub share: f64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.replicas += other.replicas;
        self.ready += other.ready;
    }
}

impl Holding {
    fn add(&mut self, other: &Self) {
        self.nodes += other.nodes;
        self.not_ready += other.not_ready;
        self.allocatable += other.allocatable;
        self.requested += other.requested;
        self.free += other.free;
        self.pods += other.pods;
        self.asked += other.asked;
    }

    fn take(&mut self, pod: &PodFacts) {
        self.pods += 1;
        self.asked += pod.request;
    }
}

impl Share {
    pub fn of(survey: &Survey) -> Self {
        let mut share = Self::default();
        let region = |node: u32| survey.node(node).object.labels.get(REGION);
        for node in &survey.nodes {
            let holding = Holding {
                nodes: 1,
                not_ready: u32::from(node.ready != NodeReady::True),
                allocatable: node.allocatable,
                requested: node.requested,
                free: if node.is_open() {
                    node.free()
                } else {
                    Amounts::default()
                },
                ..Holding::default()
            };
            share.whole.add(&holding);
            if let Some(region) = node.object.labels.get(REGION) {
                share
                    .regions
                    .entry(region.clone())
                    .or_default()
                    .add(&holding);
            }
        }
        let mut services: Vec<Replicas> = vec![Replicas::default(); survey.workloads.len()];
        for pod in &survey.pods {
            if !survey.is_displaced(pod) {
                continue;
            }
            let region = pod.node.and_then(region);
            if pod.node.is_some() {
                share.whole.take(pod);
            }
            if let Some(holding) = region.and_then(|region| share.regions.get_mut(region)) {
                holding.take(pod);
            }
            let one = Count {
                replicas: 1,
                ready: u32::from(pod.serves),
            };
            if let Some(service) = services.get_mut(pod.workload as usize) {
                service.all.add(one);
                if let Some(region) = region {
                    service.regions.entry(region.clone()).or_default().add(one);
                }
            }
        }
        share.services = survey
            .workloads
            .iter()
            .zip(services)
            .filter(|(workload, replicas)| {
                workload.class == Class::Service && replicas.all.replicas > 0
            })
            .map(|(workload, replicas)| (workload.key.clone(), replicas))
            .collect();
        share
    }
}

/// Whether two of these clusters have machines in one region, so that its loss hits both.
pub fn share_a_region<'a>(shares: impl IntoIterator<Item = &'a Share>) -> bool {
    let mut seen = BTreeSet::new();
    shares
        .into_iter()
        .flat_map(|share| share.regions.keys())
        .any(|region| !seen.insert(region))
}

impl Across {
    pub fn of(clusters: &[(Name, &Share)], cut: Cut) -> Self {
        let mut domains = match cut {
            Cut::Cluster => by_cluster(clusters),
            Cut::Region => by_region(clusters),
        };
        let mut services = services(clusters, &domains, cut);
        services.sort_by(order);
        let free = domains.iter().map(|domain| domain.holding.free);
        let free = free.fold(Amounts::default(), |sum, each| sum + each);
        for (place, domain) in domains.iter_mut().enumerate() {
            domain.free_elsewhere = (free - domain.holding.free).at_least_zero();
            domain.losses = losses(&services, place);
        }
        Self {
            cut,
            domains,
            services,
        }
    }

    /// Services of which nothing would be left without a domain, the largest first: those that
    /// other domains have too, and those that only it has.
    pub fn gone_with(&self, domain: usize) -> (Vec<&Service>, Vec<&Service>) {
        let losses = self.domains.get(domain).map(|domain| &domain.losses);
        let gone = losses
            .into_iter()
            .flatten()
            .filter(|loss| loss.left == 0)
            .filter_map(|loss| self.services.get(loss.service));
        gone.partition(|service| service.clusters > 1)
    }
}

fn by_cluster(clusters: &[(Name, &Share)]) -> Vec<Domain> {
    let each = clusters.iter().enumerate();
    each.map(|(place, (name, share))| Domain {
        name: name.clone(),
        clusters: vec![place],
        holding: share.whole,
        ..Domain::default()
    })
    .collect()
}

fn by_region(clusters: &[(Name, &Share)]) -> Vec<Domain> {
    let mut found: BTreeMap<&Name, Domain> = BTreeMap::new();
    for (place, (_, share)) in clusters.iter().enumerate() {
        for (region, holding) in &share.regions {
            let domain = found.entry(region).or_insert_with(|| Domain {
                name: region.clone(),
                ..Domain::default()
            });
            domain.clusters.push(place);
            domain.holding.add(holding);
        }
    }
    let mut domains: Vec<Domain> = found.into_values().collect();
    domains.sort_by(|left, right| natural_order(&left.name, &right.name));
    domains
}

fn services(clusters: &[(Name, &Share)], domains: &[Domain], cut: Cut) -> Vec<Service> {
    let mut found: BTreeMap<&WorkloadKey, Service> = BTreeMap::new();
    for (place, (_, share)) in clusters.iter().enumerate() {
        for (key, replicas) in &share.services {
            let service = found.entry(key).or_insert_with(|| Service {
                key: key.clone(),
                cells: vec![Count::default(); domains.len()],
                elsewhere: 0,
                all: Count::default(),
                clusters: 0,
                worst: None,
            });
            service.clusters += 1;
            service.all.add(replicas.all);
            let mut placed = 0;
            for (cell, domain) in service.cells.iter_mut().zip(domains) {
                let here = match cut {
                    Cut::Cluster if domain.clusters.contains(&place) => replicas.all,
                    Cut::Cluster => continue,
                    Cut::Region => match replicas.regions.get(&domain.name) {
                        Some(count) => *count,
                        None => continue,
                    },
                };
                cell.add(here);
                placed += here.replicas;
            }
            service.elsewhere += replicas.all.replicas.saturating_sub(placed);
        }
    }
    let mut services: Vec<Service> = found.into_values().collect();
    for service in &mut services {
        service.worst = worst(service);
    }
    services
}

fn worst(service: &Service) -> Option<Worst> {
    let cells = service.cells.iter().enumerate();
    let (domain, cell) = cells
        .filter(|(_, cell)| cell.ready > 0)
        .max_by_key(|(place, cell)| (cell.ready, std::cmp::Reverse(*place)))?;
    Some(Worst {
        domain,
        lost: cell.ready,
        share: f64::from(cell.ready) / f64::from(service.all.ready.max(1)),
    })
}

/// A service of one cluster is lost with it whatever one does; what can be balanced comes first.
fn order(left: &Service, right: &Service) -> std::cmp::Ordering {
    let alone = |service: &Service| service.clusters < 2;
    let share = |service: &Service| service.worst.map_or(1.0, |worst| worst.share);
    alone(left)
        .cmp(&alone(right))
        .then(share(right).total_cmp(&share(left)))
        .then(right.all.replicas.cmp(&left.all.replicas))
        .then_with(|| left.key.cmp(&right.key))
}

fn losses(services: &[Service], domain: usize) -> Vec<Loss> {
    let mut losses: Vec<Loss> = services
        .iter()
        .enumerate()
        .filter_map(|(place, service)| {
            let lost = service.cells.get(domain)?.ready;
            (lost > 0).then(|| Loss {
                service: place,
                lost,
                left: service.all.ready.saturating_sub(lost),
                share: f64::from(lost) / f64::from(service.all.ready.max(1)),
            })
        })
        .collect();
    // Stable: equal ones stay in the services' order.
    losses.sort_by(|left, right| {
        let alone = |loss: &Loss| {
            let service = services.get(loss.service);
            service.is_some_and(|service| service.clusters < 2)
        };
        alone(left)
            .cmp(&alone(right))
            .then(right.share.total_cmp(&left.share))
    });
    losses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, cluster, node, pod, replica_set};

    /// Replicas of services by node; a node is `name@region`.
    fn share(placed: &[(&str, &[(&str, usize)])]) -> Share {
        let mut drafts: Vec<Draft> = Vec::new();
        for (place, services) in placed {
            let (name, region) = place.split_once('@').unwrap_or((place, ""));
            let machine = node(name).cpu("10").memory("10Gi");
            drafts.push(if region.is_empty() {
                machine
            } else {
                machine.region(region)
            });
            for (service, count) in *services {
                // Each cluster names the replica set anew; the deployment is what they share.
                let set = format!("{service}-{name}");
                drafts.push(replica_set(&set).owner("Deployment", service));
                for number in 0..*count {
                    let replica = pod(&format!("{set}-{number}")).cpu("1").node(name);
                    drafts.push(replica.owner("ReplicaSet", &set));
                }
            }
        }
        Share::of(&Survey::of(&cluster(&drafts)))
    }

    fn told(across: &Across) -> Vec<String> {
        let name = |place: usize| across.domains[place].name.as_str();
        across
            .services
            .iter()
            .map(|service| {
                let cells: Vec<String> = service
                    .cells
                    .iter()
                    .map(|cell| cell.ready.to_string())
                    .collect();
                let worst = service.worst.map_or("nothing to lose".to_owned(), |worst| {
                    let share = super::super::spread::percent(worst.share);
                    format!("{share} with {}", name(worst.domain))
                });
                format!("{} {}: {worst}", service.key.name, cells.join("+"))
            })
            .collect()
    }

    #[test]
    fn a_service_is_one_over_clusters_and_the_worst_spread_comes_first() {
        let east = share(&[("n1", &[("cart", 3), ("search", 2), ("ledger", 2)])]);
        let west = share(&[("n1", &[("cart", 1), ("search", 2)])]);
        let across = Across::of(
            &[("east".into(), &east), ("west".into(), &west)],
            Cut::Cluster,
        );
        assert_eq!(
            told(&across),
            [
                "cart 3+1: 75% with east",
                "search 2+2: 50% with east",
                "ledger 2+0: 100% with east",
            ]
        );
        let lost: Vec<(u32, u32)> = across.domains[0]
            .losses
            .iter()
            .map(|loss| (loss.lost, loss.left))
            .collect();
        assert_eq!(lost, [(3, 1), (2, 2), (2, 0)]);
        let names = |services: Vec<&Service>| -> Vec<String> {
            let names = services.iter().map(|service| service.key.name.to_string());
            names.collect()
        };
        let (shared, only_here) = across.gone_with(0);
        assert!(shared.is_empty());
        assert_eq!(names(only_here), ["ledger"]);
        assert_eq!(across.gone_with(1), (Vec::new(), Vec::new()));
        assert_eq!(across.domains[0].holding.asked.cpu_milli, 7_000);
        assert_eq!(across.domains[0].free_elsewhere.cpu_milli, 7_000);
    }

    #[test]
    fn replicas_that_are_not_ready_save_nothing() {
        let east = share(&[("n1", &[("cart", 2)])]);
        let set = || replica_set("cart-x").owner("Deployment", "cart");
        let waiting = cluster(&[
            node("n1"),
            set(),
            pod("cart-x-1").owner("ReplicaSet", "cart-x"),
        ]);
        let west = Share::of(&Survey::of(&waiting));
        let across = Across::of(
            &[("east".into(), &east), ("west".into(), &west)],
            Cut::Cluster,
        );
        let cart = &across.services[0];
        assert_eq!(
            (cart.all.replicas, cart.all.ready, cart.clusters),
            (3, 2, 2)
        );
        let (shared, only_here) = across.gone_with(0);
        assert_eq!((shared.len(), only_here.len()), (1, 0));
    }

    #[test]
    fn a_region_is_lost_in_every_cluster_that_is_there() {
        let one = share(&[("n1@eu", &[("cart", 2)]), ("n2@us", &[("cart", 1)])]);
        let two = share(&[("n1@eu", &[("cart", 3)]), ("n2", &[("cart", 1)])]);
        assert!(share_a_region([&one, &two]));
        assert!(!share_a_region([&one]));
        let across = Across::of(&[("one".into(), &one), ("two".into(), &two)], Cut::Region);
        assert_eq!(told(&across), ["cart 5+1: 71% with eu"]);
        assert_eq!(across.services[0].elsewhere, 1, "a machine without region");
        let eu = &across.domains[0];
        assert_eq!((eu.clusters.as_slice(), eu.holding.nodes), (&[0, 1][..], 2));
        assert_eq!(across.domains[1].clusters, [0]);
    }

    #[test]
    fn a_cluster_of_nothing_is_there_and_takes_nothing() {
        let one = share(&[("n1", &[("cart", 2)])]);
        let empty = Share::default();
        let across = Across::of(
            &[("one".into(), &one), ("two".into(), &empty)],
            Cut::Cluster,
        );
        assert_eq!(across.domains.len(), 2);
        assert!(across.domains[1].losses.is_empty());
        assert_eq!(told(&across), ["cart 2+0: 100% with one"]);
    }
}
