//! Follows what the server prints of one kind: its list and its watch as `Table`s, as
//! `kubectl get --watch` asks for them.
//!
//! Beside the feed of the objects themselves: describing, filtering and changing need those. A server
//! that knows no tables answers with plain objects; then there is nothing to show, and it ends.

use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::feed::Followed;
use crate::connect::Notice;
use crate::k8s::{Name, Resource, Uid};
use crate::tui::msg::Msg;
use crate::tui::printed::{PrintedColumn, PrintedEvent};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PAGE: usize = 500;
/// Ends a watch before proxies do.
const WATCH_SECONDS: u64 = 290;
/// Before it is listed again.
const PAUSE: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableWire {
    kind: String,
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    column_definitions: Vec<ColumnWire>,
    #[serde(default)]
    rows: Vec<RowWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: String,
}

#[derive(Deserialize)]
struct ColumnWire {
    name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    priority: i64,
}

#[derive(Deserialize)]
struct RowWire {
    #[serde(default)]
    cells: Vec<Value>,
    #[serde(default)]
    object: PartialWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PartialWire {
    metadata: MetadataWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MetadataWire {
    uid: String,
    resource_version: String,
}

#[derive(Deserialize)]
struct EventWire {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// Runs until nobody listens or the server knows no tables.
pub async fn follow(client: kube::Client, followed: Followed, out: Sender<Msg>) {
    let tables = Tables {
        client,
        followed,
        out,
    };
    while let Some(revision) = tables.list().await {
        if tables.watch(revision).await.is_none() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Tables {
    client: kube::Client,
    followed: Followed,
    out: Sender<Msg>,
}

impl Tables {
    /// `None`: nobody listens any more.
    async fn send(&self, event: PrintedEvent) -> Option<()> {
        let resource: Resource = self.followed.resource.clone();
        self.out.send(Msg::Printed(resource, event)).await.ok()
    }

    /// All rows; answers where a watch goes on.
    async fn list(&self) -> Option<String> {
        let mut continue_token = String::new();
        let mut first = true;
        loop {
            let mut query = format!("limit={PAGE}");
            if !continue_token.is_empty() {
                query = format!("{query}&continue={}", super::feed::escaped(&continue_token));
            }
            let table = match self.get(&query).await {
                Ok(table) if table.kind == "Table" => table,
                Ok(_) => return None,
                Err(notice) => {
                    tracing::warn!(resource = %self.followed.resource, %notice, "no table");
                    return None;
                }
            };
            if first {
                self.send(PrintedEvent::Columns(columns(table.column_definitions)))
                    .await?;
                first = false;
            }
            self.send(PrintedEvent::Rows(rows(table.rows))).await?;
            continue_token = table.metadata.continue_token;
            if continue_token.is_empty() {
                return Some(table.metadata.resource_version);
            }
        }
    }

    /// Until the watch ends, from wherever the list ended.
    async fn watch(&self, mut revision: String) -> Option<()> {
        loop {
            let query = format!(
                "watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
                super::feed::escaped(&revision)
            );
            let Ok(request) = self.request(&query) else {
                return None;
            };
            let Ok(stream) = self.client.request_stream(request).await else {
                return Some(());
            };
            let mut lines = stream.lines();
            while let Some(Ok(line)) = lines.next().await {
                if line.trim().is_empty() {
                    continue;
                }
                let Some((event, seen)) = event(&line) else {
                    // The revision is too old, or what came is no table: list again.
                    return Some(());
                };
                if let Some(seen) = seen {
                    revision = seen;
                }
                if let Some(event) = event {
                    self.send(event).await?;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn get(&self, query: &str) -> Result<TableWire, Notice> {
        let request = self.request(query)?;
        self.client.request(request).await.map_err(Notice::from)
    }

    fn request(&self, query: &str) -> Result<http::Request<Vec<u8>>, Notice> {
        http::Request::get(format!("{}?{query}", self.followed.path()))
            .header(http::header::ACCEPT, TABLE)
            .body(Vec::new())
            .map_err(|error| Notice::from(kube::Error::HttpError(error)))
    }
}

fn columns(definitions: Vec<ColumnWire>) -> Vec<PrintedColumn> {
    definitions
        .into_iter()
        .map(|column| PrintedColumn {
            name: column.name,
            kind: column.kind,
            priority: column.priority,
        })
        .collect()
}

fn rows(rows: Vec<RowWire>) -> Vec<(Uid, Vec<Value>)> {
    rows.into_iter().map(|row| (uid(&row), row.cells)).collect()
}

fn uid(row: &RowWire) -> Uid {
    Uid(Name::new(&row.object.metadata.uid))
}

/// One line of a watch: what it means, and the revision it brings. `None`: the watch is over.
fn event(line: &str) -> Option<(Option<PrintedEvent>, Option<String>)> {
    let event: EventWire = serde_json::from_str(line).ok()?;
    let table: TableWire = serde_json::from_value(event.object).ok()?;
    if table.kind != "Table" || event.kind == "ERROR" {
        return None;
    }
    let seen = table
        .rows
        .iter()
        .map(|row| row.object.metadata.resource_version.clone())
        .chain([table.metadata.resource_version.clone()])
        .rfind(|revision| !revision.is_empty());
    let meant = match event.kind.as_str() {
        "ADDED" | "MODIFIED" => Some(PrintedEvent::Rows(rows(table.rows))),
        "DELETED" => Some(PrintedEvent::Gone(table.rows.iter().map(uid).collect())),
        _ => None,
    };
    Some((meant, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_watch_are_read() {
        let line = r#"{"type":"MODIFIED","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"columnDefinitions":[],"rows":[{"cells":["a",2],"object":{"metadata":{"uid":"u1","resourceVersion":"7"}}}]}}"#;
        let (meant, seen) = event(line).unwrap();
        assert_eq!(seen.as_deref(), Some("7"));
        let Some(PrintedEvent::Rows(rows)) = meant else {
            panic!("no rows");
        };
        assert_eq!(rows[0].0, Uid("u1".into()));
        assert!(event(r#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#).is_none());
    }
}
