//! The logs of this node's containers, read from disk, for whoever asks its kubelet.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::container::log::{Query, Reader};
use super::container::{Folder, log_file, logs_folder};
use crate::agent::pod::Pod;
use crate::k8s::Object;
use crate::serve::nodes::LogQuery;

/// How soon a followed log shows what was written.
const LOOK: Duration = Duration::from_millis(100);

/// A container's log, read below the node's folder.
pub fn log(
    run: &Path,
    pod: &Object,
    query: &LogQuery,
) -> Result<BoxStream<'static, Bytes>, String> {
    let name = pod.key.name.to_string();
    let parsed: Pod = pod
        .typed()
        .map_err(|error| format!("pod \"{name}\": {error}"))?;
    let first = parsed.spec.containers.first().map(|it| it.name.to_string());
    let container = match query.container.as_str() {
        "" => first.unwrap_or_default(),
        named => named.to_owned(),
    };
    let is_one = (0..parsed.spec.slots()).any(|slot| {
        parsed
            .spec
            .container(slot)
            .is_some_and(|it| it.name == container)
    });
    if !is_one {
        return Err(format!("container {container} is not valid for pod {name}"));
    }
    let folder = run.join("pods").join(pod.uid.0.as_str());
    let waiting = || {
        format!(
            "container \"{container}\" in pod \"{name}\" is waiting to start: ContainerCreating"
        )
    };
    let last = last_attempt(&logs_folder(&folder, &container)).ok_or_else(waiting)?;
    let attempt = if query.previous {
        last.checked_sub(1).ok_or_else(|| {
            format!("previous terminated container \"{container}\" in pod \"{name}\" not found")
        })?
    } else {
        last
    };
    let path = log_file(&folder, &container, attempt);
    let wanted = Query {
        tail: query.tail,
        since: query.since,
        timestamps: query.timestamps,
    };
    let reader = Reader::open(&path, wanted).map_err(|error| error.to_string())?;
    let shim = Folder::of(&folder, &container, attempt);
    Ok(read(reader, shim, query.follow))
}

/// The last run of a container that has a log.
pub fn last_attempt(logs: &Path) -> Option<u32> {
    let entries = std::fs::read_dir(logs).ok()?.flatten();
    entries
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".log")?
                .parse()
                .ok()
        })
        .max()
}

/// How a log is read on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Backlog,
    News,
}

/// What there is; then what comes, until the container has ended and all was read.
fn read(reader: Reader, shim: Folder, follow: bool) -> BoxStream<'static, Bytes> {
    let state = (reader, shim, Phase::Backlog);
    let chunks = stream::unfold(state, move |(mut reader, shim, phase)| async move {
        if phase == Phase::Backlog {
            let bytes = reader.backlog().ok()?;
            if !bytes.is_empty() {
                return Some((Bytes::from(bytes), (reader, shim, phase)));
            }
        }
        if !follow {
            return None;
        }
        loop {
            // Asked before reading: what is written before the end is read after it.
            let is_over = shim.exit().is_some() || !shim.path().exists();
            let news = reader.news().ok()?;
            if !news.is_empty() {
                return Some((Bytes::from(news), (reader, shim, Phase::News)));
            }
            if is_over {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    chunks.boxed()
}
