//! Where the pods of each template run, so that what they mean to another pod is worked out once a
//! template, and only for those templates that can mean anything to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::snapshot::NodeId;
use super::template::{Template, TemplateId};
use crate::k8s::Name;

/// How many pods of one template a node has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    pub node: NodeId,
    pub live: u32,
    pub terminating: u32,
}

/// Templates without pods are not in it.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    /// By template, each in the order of the nodes' ids.
    spots: Vec<Arc<Vec<Spot>>>,
    by_namespace: FxHashMap<Name, BTreeSet<TemplateId>>,
    /// Those with terms about other pods.
    outspoken: BTreeSet<TemplateId>,
}

impl Whereabouts {
    /// A pod came to a node (+1) or left it (-1).
    pub fn count(
        &mut self,
        (id, template): (TemplateId, &Template),
        node: NodeId,
        delta: i8,
        is_live: bool,
    ) {
        if self.spots.len() <= id.index() {
            self.spots.resize_with(id.index() + 1, Arc::default);
        }
        let Some(spots) = self.spots.get_mut(id.index()).map(Arc::make_mut) else {
            return;
        };
        let was_empty = spots.is_empty();
        let place = match spots.binary_search_by_key(&node, |spot| spot.node) {
            Ok(place) => place,
            Err(place) => {
                let spot = Spot {
                    node,
                    live: 0,
                    terminating: 0,
                };
                spots.insert(place, spot);
                place
            }
        };
        if let Some(spot) = spots.get_mut(place) {
            let count = if is_live {
                &mut spot.live
            } else {
                &mut spot.terminating
            };
            *count = count.saturating_add_signed(delta.into());
            if spot.live == 0 && spot.terminating == 0 {
                spots.remove(place);
            }
        }
        let is_empty = spots.is_empty();
        if was_empty && !is_empty {
            self.enter(id, template);
        } else if is_empty && !was_empty {
            self.leave(id, template);
        }
    }

    fn enter(&mut self, id: TemplateId, template: &Template) {
        let namespace = self.by_namespace.entry(template.namespace.clone());
        namespace.or_default().insert(id);
        let spec = &template.spec;
        if !(spec.affinity.is_empty()
            && spec.anti_affinity.is_empty()
            && spec.preferred_pods.is_empty())
        {
            self.outspoken.insert(id);
        }
    }

    fn leave(&mut self, id: TemplateId, template: &Template) {
        self.outspoken.remove(&id);
        if let Some(ids) = self.by_namespace.get_mut(&template.namespace) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_namespace.remove(&template.namespace);
            }
        }
    }

    pub fn of(&self, id: TemplateId) -> &[Spot] {
        self.spots
            .get(id.index())
            .map_or(&[], |spots| spots.as_slice())
    }

    /// Templates whose pods may bear on a pod of this one: spreading looks at its own namespace,
    /// others' terms may name any pod, and its own terms may name pods of any namespace.
    pub fn bearing_on(&self, template: &Template) -> Vec<TemplateId> {
        let spec = &template.spec;
        let asks_about_others = !(spec.affinity.is_empty()
            && spec.anti_affinity.is_empty()
            && spec.preferred_pods.is_empty());
        if asks_about_others {
            let ids = (0..).map(TemplateId).zip(&self.spots);
            return ids
                .filter(|(_, spots)| !spots.is_empty())
                .map(|(id, _)| id)
                .collect();
        }
        let near = self.by_namespace.get(&template.namespace);
        let mut ids: Vec<TemplateId> = near.into_iter().flatten().copied().collect();
        let far = self.outspoken.iter().copied();
        ids.extend(far.filter(|id| near.is_none_or(|near| !near.contains(id))));
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::spec::PodSpec;

    fn template(namespace: &str) -> Template {
        Template {
            namespace: namespace.into(),
            labels: crate::k8s::object::Labels::default(),
            spec: Arc::new(PodSpec::default()),
            controller: None,
        }
    }

    #[test]
    fn only_templates_that_have_pods_bear_on_others_of_their_namespace() {
        let (shop, other) = (template("shop"), template("other"));
        let mut known = Whereabouts::default();
        known.count((TemplateId(0), &shop), NodeId(4), 1, true);
        known.count((TemplateId(0), &shop), NodeId(2), 1, false);
        known.count((TemplateId(1), &other), NodeId(2), 1, true);
        let spots = |known: &Whereabouts| -> Vec<(u32, u32, u32)> {
            let spots = known.of(TemplateId(0)).iter();
            spots
                .map(|spot| (spot.node.0, spot.live, spot.terminating))
                .collect()
        };
        assert_eq!(spots(&known), [(2, 0, 1), (4, 1, 0)]);
        assert_eq!(known.bearing_on(&shop), [TemplateId(0)]);
        known.count((TemplateId(0), &shop), NodeId(4), -1, true);
        assert_eq!(spots(&known), [(2, 0, 1)]);
        known.count((TemplateId(0), &shop), NodeId(2), -1, false);
        assert_eq!(known.bearing_on(&shop), []);
        assert_eq!(known.bearing_on(&other), [TemplateId(1)]);
    }
}
