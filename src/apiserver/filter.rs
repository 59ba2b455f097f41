//! Label and field selectors of a list, watch or deletecollection.

use serde_json::Value;

use super::registry::ResourceType;
use super::request::Options;
use super::status::Status;
use crate::k8s::selector::LabelSelector;
use crate::k8s::selector_text::{FieldTerm, parse_fields, parse_labels};
use crate::k8s::{Object, columns::PodPhase, resources};

/// What of a collection is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    labels: Option<LabelSelector>,
    fields: Vec<FieldTerm>,
}

impl Filter {
    pub(super) fn parse(resource_type: &ResourceType, options: &Options) -> Result<Self, Status> {
        let labels = if options.label_selector.is_empty() {
            None
        } else {
            Some(parse_labels(&options.label_selector).map_err(|error| {
                Status::bad_request(format!("unable to parse requirement: {error}"))
            })?)
        };
        let fields = parse_fields(&options.field_selector)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        for term in &fields {
            if !is_supported(resource_type, &term.field) {
                return Err(unsupported(resource_type, options, &term.field));
            }
        }
        Ok(Self { labels, fields })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_none() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Object) -> bool {
        self.labels
            .as_ref()
            .is_none_or(|labels| labels.matches(&object.labels))
            && self.matches_fields(object)
    }

    fn matches_fields(&self, object: &Object) -> bool {
        let mut tree = None;
        self.fields.iter().all(|term| {
            let found = quick(object, &term.field).unwrap_or_else(|| {
                let tree = tree.get_or_insert_with(|| object.json());
                slow(tree, &term.field)
            });
            (found == term.value) == term.equal
        })
    }
}

/// Fields that the parsed header knows.
fn quick(object: &Object, field: &str) -> Option<String> {
    match field {
        "metadata.name" => return Some(object.name().to_owned()),
        "metadata.namespace" => return Some(object.namespace().to_owned()),
        _ => {}
    }
    let pod = object.pod()?;
    match field {
        "spec.nodeName" => Some(pod.node.as_deref().unwrap_or_default().to_owned()),
        "spec.schedulerName" => Some(pod.scheduler.to_string()),
        "status.podIP" => Some(pod.ip.to_string()),
        "status.phase" => Some(
            match pod.phase {
                PodPhase::Pending => "Pending",
                PodPhase::Running => "Running",
                PodPhase::Succeeded => "Succeeded",
                PodPhase::Failed => "Failed",
                PodPhase::Unknown => "Unknown",
            }
            .to_owned(),
        ),
        _ => None,
    }
}

fn slow(tree: &Value, field: &str) -> String {
    let path = match field {
        // Event's field selectors have their own names.
        "source" => "/source/component".to_owned(),
        "status.successful" => "/status/succeeded".to_owned(),
        field => format!("/{}", field.replace('.', "/")),
    };
    let found = tree.pointer(&path);
    match (found, field) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(other), _) => other.to_string(),
        (None, "spec.unschedulable" | "spec.hostNetwork") => "false".to_owned(),
        (None, "status.replicas" | "status.successful") => "0".to_owned(),
        (None, _) => String::new(),
    }
}

/// The field labels that `AddFieldLabelConversionFunc` registers upstream for each kind.
fn is_supported(resource_type: &ResourceType, field: &str) -> bool {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return true;
    }
    let resource = &resource_type.storage;
    let fields: &[&str] = if *resource == resources::PODS {
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ]
    } else if *resource == resources::EVENTS {
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "reason",
            "reportingComponent",
            "reportingController",
            "source",
            "type",
        ]
    } else if *resource == resources::NODES {
        &["spec.unschedulable"]
    } else if *resource == resources::NAMESPACES {
        &["status.phase"]
    } else if *resource == resources::SECRETS {
        &["type"]
    } else if *resource == resources::SERVICES {
        &["spec.clusterIP", "spec.type"]
    } else if *resource == resources::REPLICA_SETS
        || *resource == resources::REPLICATION_CONTROLLERS
    {
        &["status.replicas"]
    } else if *resource == resources::JOBS {
        &["status.successful"]
    } else if resource.plural == "certificatesigningrequests" {
        &["spec.signerName"]
    } else {
        &[]
    };
    fields.contains(&field)
}

fn unsupported(resource_type: &ResourceType, options: &Options, field: &str) -> Status {
    Status::bad_request(format!(
        "Unable to find \"{}, Resource={}\" that match label selector \"{}\", field selector \
         \"{}\": field label not supported: {field}",
        if resource_type.group.is_empty() {
            format!("/{}", resource_type.version)
        } else {
            resource_type.api_version()
        },
        resource_type.plural,
        options.label_selector,
        options.field_selector,
    ))
}
