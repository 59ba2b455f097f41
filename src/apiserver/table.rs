//! Server-side tables: what `kubectl get` prints.
//!
//! Columns are facts or come from a custom resource definition; cells follow
//! `pkg/printers/internalversion/printers.go` for built-in kinds and JSON paths for custom ones.

mod batch;
mod cell;
mod core;
mod json_path;
mod network;
mod pod;
mod storage;
mod workload;

use bytes::Bytes;
use serde_json::{Value, json};

use super::convert;
use super::present::{ListMeta, Presentation, partial};
use super::registry::{Origin, PrintColumn, ResourceType};
use crate::k8s::Object;
use cell::Row;

/// A `Table` of these objects; `head` says whether the columns are described, which a watch does
/// only once.
pub(super) fn render(
    resource_type: &ResourceType,
    objects: &[&Object],
    metadata: &ListMeta,
    presentation: &Presentation,
    head: bool,
) -> Bytes {
    let printer = Printer::of(resource_type);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| row(resource_type, &printer, object, presentation))
        .collect();
    let columns: Vec<Value> = if head {
        printer.columns.iter().map(column).collect()
    } else {
        Vec::new()
    };
    let table = json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata.json(),
        "columnDefinitions": columns,
        "rows": rows,
    });
    Bytes::from(table.to_string())
}

type Cells = fn(&Row) -> Vec<Value>;

struct Printer<'a> {
    columns: Vec<&'a PrintColumn>,
    cells: Option<Cells>,
}

impl<'a> Printer<'a> {
    fn of(resource_type: &'a ResourceType) -> Self {
        let cells = printer(resource_type);
        let custom = resource_type.origin != Origin::Builtin;
        let columns = resource_type
            .columns
            .iter()
            .filter(|column| custom || cells.is_some() || is_plain(&column.column.name))
            .collect();
        Self { columns, cells }
    }
}

/// Columns that can be filled for every kind.
fn is_plain(name: &str) -> bool {
    matches!(name, "Name" | "Age" | "Created At")
}

fn printer(resource_type: &ResourceType) -> Option<Cells> {
    Some(
        match (resource_type.group.as_str(), resource_type.plural.as_str()) {
            ("", "pods") => pod::pod,
            ("", "nodes") => core::node,
            ("", "namespaces") => core::namespace,
            ("" | "events.k8s.io", "events") => core::event,
            ("", "configmaps") => core::config_map,
            ("", "secrets") => core::secret,
            ("", "resourcequotas") => core::resource_quota,
            ("", "services") => network::service,
            ("", "endpoints") => network::endpoints,
            ("", "persistentvolumeclaims") => storage::claim,
            ("", "persistentvolumes") => storage::volume,
            ("", "replicationcontrollers") => workload::replication_controller,
            ("apps", "deployments") => workload::deployment,
            ("apps", "replicasets") => workload::replica_set,
            ("apps", "statefulsets") => workload::stateful_set,
            ("apps", "daemonsets") => workload::daemon_set,
            ("apps", "controllerrevisions") => workload::controller_revision,
            ("autoscaling", "horizontalpodautoscalers") => workload::autoscaler,
            ("batch", "jobs") => batch::job,
            ("batch", "cronjobs") => batch::cron_job,
            ("policy", "poddisruptionbudgets") => workload::disruption_budget,
            ("discovery.k8s.io", "endpointslices") => network::endpoint_slice,
            ("networking.k8s.io", "ingresses") => network::ingress,
            ("networking.k8s.io", "ingressclasses") => network::ingress_class,
            ("networking.k8s.io", "networkpolicies") => network::network_policy,
            ("storage.k8s.io", "storageclasses") => storage::class,
            ("scheduling.k8s.io", "priorityclasses") => core::priority_class,
            ("coordination.k8s.io", "leases") => core::lease,
            ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => {
                core::role_binding
            }
            _ => return None,
        },
    )
}

fn column(column: &&PrintColumn) -> Value {
    json!({
        "name": column.column.name,
        "type": column.column.kind,
        "format": column.column.format,
        "description": "",
        "priority": column.column.priority,
    })
}

fn row(
    resource_type: &ResourceType,
    printer: &Printer,
    object: &Object,
    presentation: &Presentation,
) -> Value {
    let mut tree = object.json();
    let line = Row {
        object,
        tree: &tree,
        now: presentation.now,
    };
    let cells = match printer.cells {
        Some(cells) => cells(&line),
        None => printer
            .columns
            .iter()
            .map(|column| plain(&line, column))
            .collect(),
    };
    match presentation.include.as_str() {
        "None" => json!({"cells": cells}),
        "Object" => {
            convert::to_served(resource_type, &mut tree);
            json!({"cells": cells, "object": tree})
        }
        _ => json!({"cells": cells, "object": partial(&tree)}),
    }
}

/// A cell that needs no knowledge of the kind.
fn plain(line: &Row, column: &PrintColumn) -> Value {
    match &column.json_path {
        Some(path) => json_path::cell(line, &column.column.kind, path),
        None => match column.column.name.as_str() {
            "Age" => line.age(),
            "Created At" => line.tree["metadata"]["creationTimestamp"].clone(),
            _ => line.name(),
        },
    }
}
