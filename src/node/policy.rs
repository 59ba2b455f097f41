//! What network policies allow each pod, as a value.
//!
//! A pod is isolated in a direction once any policy of its namespace selects it for that direction;
//! what all those policies allow adds up. Source: Kubernetes documentation, "Network Policies". A
//! pure function of the objects; [`follow`] brings it to the kernel.

pub mod follow;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use super::service::table::Protocol;

/// The addresses that one rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    pub base: Ipv4Addr,
    pub prefix: u8,
    pub except: Vec<(Ipv4Addr, u8)>,
}

/// Something that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allow {
    pub peer: Block,
    /// None: every protocol and port.
    pub ports: Option<(Protocol, u16, u16)>,
}

/// What a pod may receive and send; none: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    pub ingress: Option<BTreeSet<Allow>>,
    pub egress: Option<BTreeSet<Allow>>,
}

/// By the pods' addresses; pods that nothing isolates are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolations(BTreeMap<Ipv4Addr, Isolation>);

/// What the rules are computed from.
pub struct Picture<'a> {
    pub policies: &'a [NetworkPolicy],
    /// Those that can be reached: of the nodes of this machine.
    pub pods: &'a [Pod],
    pub namespaces: &'a [Namespace],
}

const EVERYTHING: Block = Block {
    base: Ipv4Addr::UNSPECIFIED,
    prefix: 0,
    except: Vec::new(),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

pub fn compile(picture: &Picture<'_>) -> Isolations {
    let mut isolations = BTreeMap::<Ipv4Addr, Isolation>::new();
    for policy in picture.policies {
        let Some(spec) = &policy.spec else { continue };
        let namespace = policy.namespace().unwrap_or_default();
        let selected = picture.pods.iter().filter(|pod| {
            pod.namespace().as_deref() == Some(namespace.as_str())
                && selects(spec.pod_selector.as_ref(), pod.labels())
        });
        for pod in selected {
            let Some(address) = address(pod) else {
                continue;
            };
            let isolation = isolations.entry(address).or_default();
            if concerns(policy, Direction::Ingress) {
                let allowed = isolation.ingress.get_or_insert_default();
                for rule in spec.ingress.iter().flatten() {
                    let (peers, ports) = (rule.from.as_deref(), rule.ports.as_deref());
                    picture.allow(allowed, &namespace, peers, ports, Some(pod));
                }
            }
            if concerns(policy, Direction::Egress) {
                let allowed = isolation.egress.get_or_insert_default();
                for rule in spec.egress.iter().flatten() {
                    let (peers, ports) = (rule.to.as_deref(), rule.ports.as_deref());
                    picture.allow(allowed, &namespace, peers, ports, None);
                }
            }
        }
    }
    Isolations(isolations)
}

impl Isolations {
    pub fn get(&self, address: Ipv4Addr) -> Option<&Isolation> {
        self.0.get(&address)
    }

    /// Whether a pod may send there.
    pub fn sends(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: Protocol, port: u16) -> bool {
        let allowed = self.get(from).and_then(|it| it.egress.as_ref());
        permits(allowed, to, protocol, port)
    }

    /// Whether a pod may receive what comes from there.
    pub fn receives(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: Protocol, port: u16) -> bool {
        let allowed = self.get(to).and_then(|it| it.ingress.as_ref());
        permits(allowed, from, protocol, port)
    }
}

fn permits(
    allowed: Option<&BTreeSet<Allow>>,
    peer: Ipv4Addr,
    protocol: Protocol,
    port: u16,
) -> bool {
    allowed.is_none_or(|allowed| {
        allowed.iter().any(|allow| {
            let is_port = allow.ports.is_none_or(|(kind, first, last)| {
                kind == protocol && (first..=last).contains(&port)
            });
            is_port && allow.peer.holds(peer)
        })
    })
}

impl Block {
    fn one(address: Ipv4Addr) -> Self {
        Self {
            base: address,
            prefix: 32,
            except: Vec::new(),
        }
    }

    fn of(block: &IPBlock) -> Option<Self> {
        let (base, prefix) = range(&block.cidr)?;
        let except = block.except.iter().flatten();
        Some(Self {
            base,
            prefix,
            except: except.filter_map(|text| range(text)).collect(),
        })
    }

    fn holds(&self, address: Ipv4Addr) -> bool {
        let inside = |(base, prefix): (Ipv4Addr, u8)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            u32::from(base) & mask == u32::from(address) & mask
        };
        inside((self.base, self.prefix)) && !self.except.iter().any(|it| inside(*it))
    }
}

impl Picture<'_> {
    /// Adds what one rule allows. Ports' names are looked up in the receiving pod: `receiver`, or
    /// where there is none each of the peers.
    fn allow(
        &self,
        allowed: &mut BTreeSet<Allow>,
        namespace: &str,
        peers: Option<&[NetworkPolicyPeer]>,
        ports: Option<&[NetworkPolicyPort]>,
        receiver: Option<&Pod>,
    ) {
        let no_ports: &[NetworkPolicyPort] = &[];
        let ports = ports.unwrap_or(no_ports);
        for (peer, pod) in self.peers(namespace, peers) {
            if ports.is_empty() {
                allowed.insert(Allow { peer, ports: None });
                continue;
            }
            for port in ports {
                let numbers = numbers(port, receiver.or(pod));
                allowed.extend(numbers.into_iter().map(|ports| Allow {
                    peer: peer.clone(),
                    ports: Some(ports),
                }));
            }
        }
    }

    /// The addresses that peers mean, with their pods where they are pods.
    fn peers(
        &self,
        namespace: &str,
        peers: Option<&[NetworkPolicyPeer]>,
    ) -> Vec<(Block, Option<&Pod>)> {
        let Some(peers) = peers.filter(|peers| !peers.is_empty()) else {
            let everybody = self
                .pods
                .iter()
                .filter_map(|pod| Some((Block::one(address(pod)?), Some(pod))));
            // Pods are named beside everything for the sake of ports' names.
            return std::iter::once((EVERYTHING, None))
                .chain(everybody)
                .collect();
        };
        let mut found = Vec::new();
        for peer in peers {
            if let Some(block) = &peer.ip_block {
                found.extend(Block::of(block).map(|block| (block, None)));
                continue;
            }
            for pod in self.pods {
                let there = pod.namespace().unwrap_or_default();
                let is_namespace = match &peer.namespace_selector {
                    None => there == namespace,
                    Some(selector) => self
                        .namespaces
                        .iter()
                        .any(|it| it.name_any() == there && selects(Some(selector), it.labels())),
                };
                let is_pod = peer
                    .pod_selector
                    .as_ref()
                    .is_none_or(|selector| selects(Some(selector), pod.labels()));
                if is_namespace
                    && is_pod
                    && let Some(address) = address(pod)
                {
                    found.push((Block::one(address), Some(pod)));
                }
            }
        }
        found
    }
}

/// Policies without types are about ingress, and about egress where they have rules for it.
fn concerns(policy: &NetworkPolicy, direction: Direction) -> bool {
    let Some(spec) = &policy.spec else {
        return false;
    };
    match (&spec.policy_types, direction) {
        (Some(types), Direction::Ingress) if !types.is_empty() => {
            types.iter().any(|it| it == "Ingress")
        }
        (Some(types), Direction::Egress) if !types.is_empty() => {
            types.iter().any(|it| it == "Egress")
        }
        (_, Direction::Ingress) => true,
        (_, Direction::Egress) => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    }
}

fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    let selector = selector.cloned().unwrap_or_default();
    Selector::try_from(selector).is_ok_and(|selector| selector.matches(labels))
}

/// The address of a pod with a network of its own that has not ended.
fn address(pod: &Pod) -> Option<Ipv4Addr> {
    let is_host = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let status = pod.status.as_ref()?;
    let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let address = status.pod_ip.as_deref()?.parse().ok()?;
    (!is_host && !is_over).then_some(address)
}

fn numbers(port: &NetworkPolicyPort, receiver: Option<&Pod>) -> Vec<(Protocol, u16, u16)> {
    let wanted = port.protocol.as_deref().unwrap_or("TCP");
    let protocol = Protocol::of(wanted);
    match &port.port {
        None => vec![(protocol, 0, u16::MAX)],
        Some(IntOrString::Int(first)) => {
            let last = port.end_port.unwrap_or(*first);
            let ends = u16::try_from(*first).ok().zip(u16::try_from(last).ok());
            ends.map(|(first, last)| (protocol, first, last))
                .into_iter()
                .collect()
        }
        Some(IntOrString::String(name)) => {
            let spec = receiver.and_then(|pod| pod.spec.as_ref());
            let containers = spec.into_iter().flat_map(|spec| {
                let sidecars = spec.init_containers.iter().flatten();
                spec.containers.iter().chain(sidecars)
            });
            let ports = containers.flat_map(|container| container.ports.iter().flatten());
            let named = ports.filter(|it| {
                it.name.as_deref() == Some(name)
                    && it.protocol.as_deref().unwrap_or("TCP") == wanted
            });
            named
                .filter_map(|it| u16::try_from(it.container_port).ok())
                .map(|number| (protocol, number, number))
                .collect()
        }
    }
}

fn range(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (base, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    Some((base.parse().ok()?, prefix))
}
