//! Where the API server's `pods/log` gets its text: from the agent of the pod's machine.

use jiff::{SignedDuration, Timestamp};

use crate::agent::log::{LogError, Options, text};
use crate::apiserver::{LogQuery, Status};
use crate::k8s::{Cluster, Object};

/// A [`crate::apiserver::PodLog`] over the simulated machines.
pub fn of(
    _cluster: &Cluster,
    pod: &Object,
    query: &LogQuery,
    now: Timestamp,
) -> Result<String, Status> {
    let since_seconds = query.since_seconds.and_then(|seconds| {
        let span = SignedDuration::from_secs(seconds);
        now.checked_sub(span).ok()
    });
    let options = Options {
        tail: query.tail_lines,
        since: query.since_time.or(since_seconds),
        previous: query.previous,
        timestamps: query.timestamps,
    };
    let mut said = text(pod, &query.container, &options).map_err(|error| refusal(&error))?;
    if let Some(limit) = query.limit_bytes {
        said.truncate(said.floor_char_boundary(limit));
    }
    Ok(said)
}

fn refusal(error: &LogError) -> Status {
    match error {
        LogError::Malformed { .. } => Status::internal(error),
        _ => Status::bad_request(error.to_string()),
    }
}
