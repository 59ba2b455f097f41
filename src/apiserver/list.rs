//! Lists: selection, paging, and the rules for `resourceVersion`.
//!
//! Source: "Resource versions" and "Retrieving large results sets in chunks" of the Kubernetes API
//! concepts page. A continued list, and one with `resourceVersionMatch=Exact`, sees the collection
//! as it was at its revision. The server keeps the snapshots of lists under way for that
//! ([`continued_at`]); in another one, later changes are undone from the watch log, as far as it
//! reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::present::ListMeta;
use super::registry::ResourceType;
use super::request::{Options, Request, ResourceTarget};
use super::status::Status;
use crate::k8s::{Name, Object, Revision};
use crate::store::Snapshot;

/// What a continue token says.
#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "v")]
    version: String,
    /// [`INCONSISTENT`]: whatever is there now.
    #[serde(rename = "rv")]
    revision: i64,
    /// Namespace and name of the last object of the page before.
    start: (Name, Name),
    /// How many objects come after that one, where it was counted; a page need not count again.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
}

const INCONSISTENT: i64 = -1;

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// The objects of one page.
pub(super) struct Page {
    pub objects: Vec<Arc<Object>>,
    pub metadata: ListMeta,
}

pub(super) fn page(
    resource_type: &ResourceType,
    snapshot: &Snapshot,
    target: &ResourceTarget,
    options: &Options,
) -> Result<Page, Status> {
    let filter = Filter::parse(resource_type, options)?;
    let (at, token) = position(options)?;
    let current = snapshot.revision();
    let revision = match at {
        At::Least(asked) | At::Exactly(asked) if asked > current => {
            return Err(too_large(asked, current));
        }
        At::Exactly(asked) => asked,
        At::Now | At::Least(_) => current,
    };
    let past =
        past(resource_type, snapshot, revision).map_err(|expired| gone(expired, token.as_ref()))?;
    let whole = target.namespace.is_empty() && target.name.is_empty() && past.is_empty();
    let counted = match &token {
        _ if !filter.is_empty() => None,
        Some(token) => token.left,
        None => whole.then(|| snapshot.cluster.count(&resource_type.storage)),
    };
    let start = token.map(|token| token.start);
    let limit = if options.limit == 0 {
        usize::MAX
    } else {
        options.limit
    };
    let mut objects = Vec::new();
    let mut remaining = 0_usize;
    for object in walk(resource_type, snapshot, target, start, &past) {
        if !filter.matches(object) {
            continue;
        }
        if objects.len() < limit {
            objects.push(Arc::clone(object));
            continue;
        }
        remaining += 1;
        // The rest is only counted where that costs nothing but a walk, as upstream does.
        if counted.is_some() || !filter.is_empty() {
            break;
        }
    }
    if let Some(counted) = counted.filter(|_| remaining > 0) {
        // There is at least the one that was met, whatever a token says.
        remaining = counted.saturating_sub(limit).max(remaining);
    }
    let mut metadata = ListMeta {
        revision: revision.to_string(),
        ..ListMeta::default()
    };
    if remaining > 0
        && let Some(last) = objects.last()
    {
        metadata.remaining = filter.is_empty().then_some(remaining);
        metadata.continue_token = Token {
            version: TOKEN_VERSION.into(),
            revision: i64::try_from(revision.0).unwrap_or(i64::MAX),
            start: (last.key.namespace.clone(), last.key.name.clone()),
            left: metadata.remaining,
        }
        .encode();
    }
    Ok(Page { objects, metadata })
}

#[derive(Clone, Copy)]
enum At {
    Now,
    Least(Revision),
    Exactly(Revision),
}

/// The revision that a continued list reads at, if this is one: its answer comes from the snapshot
/// of that revision, where it is still there.
pub fn continued_at(request: &Request) -> Option<Revision> {
    let token = Token::decode(&request.options.continue_token)?;
    u64::try_from(token.revision).ok().map(Revision)
}

fn position(options: &Options) -> Result<(At, Option<Token>), Status> {
    if !options.continue_token.is_empty() {
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let token = Token::decode(&options.continue_token)
            .ok_or_else(|| Status::bad_request("continue key is not valid: illegal base64 data"))?;
        let at = u64::try_from(token.revision)
            .map_or(At::Now, |revision| At::Exactly(Revision(revision)));
        return Ok((at, Some(token)));
    }
    let at = match (
        options.resource_version.as_str(),
        options.resource_version_match.as_str(),
    ) {
        ("", "") => At::Now,
        ("", _) => {
            return Err(Status::bad_request(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        ("0", "Exact") => {
            return Err(Status::bad_request(
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
        ("0", _) => At::Now,
        (text, "Exact") => At::Exactly(parse_revision(text)?),
        (text, "" | "NotOlderThan") => At::Least(parse_revision(text)?),
        (_, other) => {
            return Err(Status::bad_request(format!(
                "resourceVersionMatch: Unsupported value: \"{other}\": supported values: \
                 \"Exact\", \"NotOlderThan\""
            )));
        }
    };
    Ok((at, None))
}

pub(super) fn parse_revision(text: &str) -> Result<Revision, Status> {
    text.parse().map(Revision).map_err(|_malformed| {
        Status::bad_request(format!(
            "Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        ))
    })
}

type Past = BTreeMap<(Name, Name), Option<Arc<Object>>>;

/// What objects looked like at `revision` that have changed since; `None` for those that were not
/// there.
fn past(
    resource_type: &ResourceType,
    snapshot: &Snapshot,
    revision: Revision,
) -> Result<Past, crate::store::Expired> {
    let mut past = Past::new();
    if revision == snapshot.revision() {
        return Ok(past);
    }
    for change in snapshot.changes_after(&resource_type.storage, revision)? {
        let key = &change.object.key;
        past.entry((key.namespace.clone(), key.name.clone()))
            .or_insert_with(|| change.previous.clone());
    }
    Ok(past)
}

/// The collection in list order, with `past` in place of what is there now.
fn walk<'a>(
    resource_type: &ResourceType,
    snapshot: &'a Snapshot,
    target: &'a ResourceTarget,
    start: Option<(Name, Name)>,
    past: &'a Past,
) -> impl Iterator<Item = &'a Arc<Object>> {
    let from = start.unwrap_or_else(|| (target.namespace.clone(), Name::default()));
    let mut now = snapshot
        .cluster
        .list_after(&resource_type.storage, &from)
        .peekable();
    let mut then = past
        .range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded))
        .peekable();
    let namespace = &target.namespace;
    let name = &target.name;
    std::iter::from_fn(move || {
        loop {
            let ahead = now
                .peek()
                .map(|object| (&object.key.namespace, &object.key.name));
            let behind = then.peek().map(|((space, name), _)| (space, name));
            let found = match (ahead, behind) {
                (None, None) => return None,
                (Some(ahead), Some(behind)) if ahead == behind => {
                    now.next();
                    then.next().and_then(|(_, object)| object.as_ref())
                }
                (Some(ahead), Some(behind)) if ahead < behind => now.next(),
                (Some(_), None) => now.next(),
                (_, Some(_)) => then.next().and_then(|(_, object)| object.as_ref()),
            };
            if let Some(object) = found {
                return Some(object);
            }
        }
    })
    .take_while(move |object| namespace.is_empty() || object.key.namespace == *namespace)
    .filter(move |object| name.is_empty() || object.key.name == *name)
}

impl Token {
    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let token: Self = serde_json::from_slice(&bytes).ok()?;
        (token.version == TOKEN_VERSION).then_some(token)
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A list that was continued too late may go on from where it was, as upstream's
/// `handleCompactedErrorForPaging` offers.
fn gone(expired: crate::store::Expired, token: Option<&Token>) -> Status {
    let Some(token) = token else {
        return Status::expired(expired.to_string());
    };
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between \
         the time the first chunk was returned and now may show up in the list.",
    );
    status.continue_token = Token {
        version: TOKEN_VERSION.into(),
        revision: INCONSISTENT,
        start: token.start.clone(),
        left: None,
    }
    .encode();
    status
}

fn too_large(asked: Revision, current: Revision) -> Status {
    let mut status = Status::new(
        504,
        "Timeout",
        format!("Too large resource version: {asked}, current: {current}"),
    );
    status.details = Some(Box::new(super::status::Details {
        causes: vec![super::status::Cause::of(
            "ResourceVersionTooLarge",
            "",
            "Too large resource version".into(),
        )],
        retry_after_seconds: 1,
        ..super::status::Details::default()
    }));
    status
}
