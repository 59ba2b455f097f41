//! What the server prints of objects: the rows of its `Table`s, for kinds that have no columns here.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::k8s::Uid;

/// The server's table of one kind, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Printed {
    pub columns: Arc<Vec<PrintedColumn>>,
    /// Rises with everything that is taken in.
    pub version: u64,
    rows: FxHashMap<Uid, Arc<Vec<Value>>>,
}

/// A column definition of a `Table` (meta.k8s.io/v1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrintedColumn {
    pub name: String,
    /// `integer`, `number`, `string`, `date`, …
    pub kind: String,
    /// Above 0: only in the wide form, as `kubectl get -o wide` has it.
    pub priority: i64,
}

/// What a table brought.
#[derive(Clone, Debug)]
pub enum PrintedEvent {
    /// The columns, before rows of a new list.
    Columns(Vec<PrintedColumn>),
    Rows(Vec<(Uid, Vec<Value>)>),
    Gone(Vec<Uid>),
}

impl Printed {
    pub fn take(&mut self, event: PrintedEvent) {
        self.version += 1;
        match event {
            PrintedEvent::Columns(columns) => {
                self.rows.clear();
                self.columns = Arc::new(columns);
            }
            PrintedEvent::Rows(rows) => {
                let rows = rows.into_iter().map(|(uid, cells)| (uid, Arc::new(cells)));
                self.rows.extend(rows);
            }
            PrintedEvent::Gone(uids) => {
                for uid in uids {
                    self.rows.remove(&uid);
                }
            }
        }
    }

    pub fn row(&self, uid: &Uid) -> Option<&Arc<Vec<Value>>> {
        self.rows.get(uid)
    }
}

/// A cell as kubectl writes it.
pub fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
