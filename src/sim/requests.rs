//! Requests of a simulation's operator: ordinary ones, through the API server.

use serde_json::Value;

use super::Simulation;
use crate::apiserver::{Request, ResourceTarget, Response, Target, User, Verb};
use crate::k8s::{Resource, resources};

impl Simulation {
    pub(super) fn create(
        &mut self,
        resource: &Resource,
        namespace: &str,
        object: &Value,
    ) -> Response {
        let target = target(resource, namespace, "");
        self.send(Verb::Create, target, "application/json", object)
    }

    /// A merge patch.
    pub(super) fn patch(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Response {
        let target = target(resource, namespace, name);
        self.send(Verb::Patch, target, "application/merge-patch+json", patch)
    }

    pub(super) fn delete(&mut self, resource: &Resource, namespace: &str, name: &str) -> Response {
        let target = target(resource, namespace, name);
        self.send(Verb::Delete, target, "application/json", &Value::Null)
    }

    fn send(&mut self, verb: Verb, target: ResourceTarget, media: &str, body: &Value) -> Response {
        let mut request = Request::internal(verb, target, User::system("operator"));
        if !body.is_null() {
            request = request.with_body(media, body.to_string());
        }
        self.world.handle(&request, self.now)
    }
}

fn target(resource: &Resource, namespace: &str, name: &str) -> ResourceTarget {
    let version = if *resource == resources::NODE_POOLS || *resource == resources::OUTAGES {
        "v1alpha1"
    } else {
        "v1"
    };
    ResourceTarget {
        namespace: namespace.into(),
        name: name.into(),
        ..Target::resource(&resource.group, version, &resource.plural)
    }
}
