//! Watches: a cursor over the change log.
//!
//! Source: "Efficient detection of changes" and "Streaming lists" of the Kubernetes API concepts
//! page. Stored bytes are spliced into the events, not serialised again. The cursor is a value: its
//! driver calls [`Cursor::next_events`] after every published snapshot and ends the watch when
//! `timeoutSeconds` have passed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::accept::Form;
use super::filter::Filter;
use super::list::{page, parse_revision};
use super::present::{self, ListMeta, Presentation};
use super::read::{presentation, require};
use super::registry::{Registry, ResourceType};
use super::request::{Options, Request, ResourceTarget, Target};
use super::status::Status;
use super::{convert, table};
use crate::k8s::{Change, ChangeKind, Object, Revision};
use crate::store::Snapshot;

/// One watch of one client.
#[derive(Clone, Debug)]
pub struct Cursor {
    resource_type: Arc<ResourceType>,
    target: ResourceTarget,
    filter: Filter,
    presentation: Presentation,
    /// Everything up to here has been sent or was known to the client.
    after: Revision,
    bookmarks: bool,
    state: State,
    /// Column definitions go with the first table only.
    headed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The present state is to be sent as `ADDED` events first.
    Initial {
        /// Whether a bookmark marks its end.
        marked: bool,
    },
    Following,
}

/// Chunks are cut at event borders near this size: large enough for few writes, small enough to
/// leave the first of many events without delay.
const CHUNK: usize = 64 * 1024;

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl Cursor {
    /// A cursor for a watch request, or why there can be none.
    pub fn open(
        registry: &Registry,
        snapshot: &Snapshot,
        request: &Request,
        now: Timestamp,
    ) -> Result<Self, Status> {
        let Target::Resource(target) = &request.target else {
            return Err(Status::unknown_path());
        };
        let resource_type = registry.target(target).ok_or_else(Status::unknown_path)?;
        require(resource_type, "watch")?;
        let options = &request.options;
        let (after, state) = start(options, snapshot)?;
        Ok(Self {
            resource_type: Arc::clone(resource_type),
            target: target.clone(),
            filter: Filter::parse(resource_type, options)?,
            presentation: presentation(options, &request.accept, now)?,
            after,
            bookmarks: options.allow_watch_bookmarks,
            state,
            headed: false,
        })
    }

    /// The resource type whose changes concern this cursor.
    pub fn resource(&self) -> &crate::k8s::Resource {
        &self.resource_type.storage
    }

    /// What happened since the last call, as chunks of whole lines of JSON.
    pub fn next_events(
        &mut self,
        registry: &Registry,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Vec<Bytes>, Status> {
        self.presentation.now = now;
        if registry.target(&self.target).is_none() {
            return Err(Status::expired("the resource type is no longer served"));
        }
        let mut chunks = Chunks::default();
        if let State::Initial { marked } = self.state {
            let everything = Options::default();
            let present = page(&self.resource_type, snapshot, &self.target, &everything)?;
            for object in &present.objects {
                if self.filter.matches(object) {
                    self.write("ADDED", object, &mut chunks);
                }
            }
            self.after = snapshot.revision();
            self.state = State::Following;
            if marked {
                chunks.push(&self.bookmark_line(true));
            }
        }
        let changes: Vec<&Change> = snapshot
            .changes_after(&self.resource_type.storage, self.after)
            .map_err(|expired| Status::expired(expired.to_string()))?
            .collect();
        for change in changes {
            self.follow(change, &mut chunks);
        }
        self.after = self.after.max(snapshot.revision());
        Ok(chunks.finish())
    }

    /// A bookmark for a client that asked for them; to be sent about once a minute, so that it
    /// can resume from a recent revision.
    pub fn bookmark(&self) -> Option<Bytes> {
        (self.bookmarks && self.state == State::Following)
            .then(|| Bytes::from(self.bookmark_line(false)))
    }

    /// The last line of a watch that cannot go on.
    pub fn error_line(status: &Status) -> Bytes {
        Bytes::from(format!(
            "{}\n",
            json!({"type": "ERROR", "object": status.json()})
        ))
    }

    /// An object that begins or ceases to match is added or deleted for this client.
    fn follow(&mut self, change: &Change, chunks: &mut Chunks) {
        if !self.concerns(&change.object) {
            return;
        }
        let matches = self.filter.matches(&change.object);
        let matched = change
            .previous
            .as_ref()
            .is_some_and(|previous| self.filter.matches(previous));
        let event = match change.kind {
            ChangeKind::Added if matches => "ADDED",
            ChangeKind::Modified => match (matched, matches) {
                (true, true) => "MODIFIED",
                (false, true) => "ADDED",
                (true, false) => "DELETED",
                (false, false) => return,
            },
            ChangeKind::Deleted if matched || matches => "DELETED",
            _ => return,
        };
        self.write(event, &change.object, chunks);
    }

    fn concerns(&self, object: &Object) -> bool {
        (self.target.namespace.is_empty() || self.target.namespace == object.key.namespace)
            && (self.target.name.is_empty() || self.target.name == object.key.name)
    }

    fn write(&mut self, event: &str, object: &Object, chunks: &mut Chunks) {
        let body = match self.presentation.form {
            Form::Object => convert::served(&self.resource_type, object),
            Form::Metadata => Bytes::from(present::partial(&object.json()).to_string()),
            Form::Table => {
                let metadata = ListMeta {
                    revision: object.revision.to_string(),
                    ..ListMeta::default()
                };
                let head = !std::mem::replace(&mut self.headed, true);
                table::render(
                    &self.resource_type,
                    &[object],
                    &metadata,
                    &self.presentation,
                    head,
                )
            }
        };
        chunks.event(event, &body);
    }

    fn bookmark_line(&self, initial_end: bool) -> String {
        let mut metadata = json!({
            "resourceVersion": self.after.to_string(),
            "creationTimestamp": null,
        });
        if initial_end && let Some(map) = metadata.as_object_mut() {
            map.insert("annotations".into(), json!({INITIAL_EVENTS_END: "true"}));
        }
        let object: Value = match self.presentation.form {
            Form::Object => json!({
                "kind": self.resource_type.kind.as_str(),
                "apiVersion": self.resource_type.api_version(),
                "metadata": metadata,
            }),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            Form::Table => json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": self.after.to_string()},
                "columnDefinitions": [],
                "rows": [],
            }),
        };
        format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
    }
}

fn start(options: &Options, snapshot: &Snapshot) -> Result<(Revision, State), Status> {
    if let Some(send) = options.send_initial_events {
        if options.resource_version_match != "NotOlderThan" {
            return Err(Status::bad_request(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
                 resourceVersionMatch to NotOlderThan",
            ));
        }
        if send {
            let marked = options.allow_watch_bookmarks;
            return Ok((Revision(0), State::Initial { marked }));
        }
    }
    match options.resource_version.as_str() {
        "" | "0" if options.send_initial_events.is_none() => {
            Ok((Revision(0), State::Initial { marked: false }))
        }
        "" | "0" => Ok((snapshot.revision(), State::Following)),
        text => {
            let after = parse_revision(text)?;
            if after > snapshot.revision() {
                // A revision of another life of this cluster: the client must list again.
                return Err(Status::expired(format!(
                    "too large resource version: {after}, current: {}",
                    snapshot.revision()
                )));
            }
            Ok((after, State::Following))
        }
    }
}

#[derive(Default)]
struct Chunks {
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Chunks {
    fn event(&mut self, event: &str, object: &[u8]) {
        self.open.extend_from_slice(b"{\"type\":\"");
        self.open.extend_from_slice(event.as_bytes());
        self.open.extend_from_slice(b"\",\"object\":");
        self.open.extend_from_slice(object);
        self.open.extend_from_slice(b"}\n");
        self.cut();
    }

    fn push(&mut self, line: &str) {
        self.open.extend_from_slice(line.as_bytes());
        self.cut();
    }

    fn cut(&mut self) {
        if self.open.len() >= CHUNK {
            self.done.push(self.open.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.done.push(self.open.freeze());
        }
        self.done
    }
}
