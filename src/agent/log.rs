//! The log of a simulated container.
//!
//! A simulated container has no process. Its log says so once and then tells its life: started,
//! ready, terminated. Application output is never invented.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::machine::seconds;
use super::pod::{ContainerStatus, Pod, State};
use super::status;
use crate::k8s::Object;

/// What `GET …/pods/NAME/log` may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The last so many lines.
    pub tail: Option<usize>,
    /// Lines from this time on.
    pub since: Option<Timestamp>,
    /// The instance before the present one.
    pub previous: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
}

/// Why there is no log. The texts are the API server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("container {container} is not valid for pod {pod}")]
    NoContainer { container: String, pod: String },
    #[error("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")]
    Waiting {
        container: String,
        pod: String,
        reason: String,
    },
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious { container: String, pod: String },
    #[error("pod \"{pod}\" is not what its kind requires")]
    Malformed { pod: String },
}

/// One line and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Timestamp,
    pub text: String,
}

/// The log as text, each line with its newline.
pub fn text(pod: &Object, container: &str, options: &Options) -> Result<String, LogError> {
    let mut text = String::new();
    for line in lines(pod, container, options)? {
        if options.timestamps {
            let _ = write!(text, "{} ", seconds(line.at));
        }
        text += &line.text;
        text.push('\n');
    }
    Ok(text)
}

/// The log's lines, oldest first. An empty container name means the first one.
pub fn lines(pod: &Object, container: &str, options: &Options) -> Result<Vec<Line>, LogError> {
    let name = pod.key.name.to_string();
    let Ok(pod) = pod.typed::<Pod>() else {
        return Err(LogError::Malformed { pod: name });
    };
    let wanted = if container.is_empty() {
        pod.spec.containers.first().map_or("", |first| &first.name)
    } else {
        container
    };
    let slot = (0..pod.spec.slots()).find(|slot| {
        pod.spec
            .container(*slot)
            .is_some_and(|it| it.name == wanted)
    });
    let Some(slot) = slot else {
        return Err(LogError::NoContainer {
            container: wanted.to_owned(),
            pod: name,
        });
    };
    let status = pod
        .status
        .init_container_statuses
        .iter()
        .chain(&pod.status.container_statuses)
        .find(|status| status.name == wanted);
    let mut lines = instance(&pod, slot, status, wanted, options.previous)?;
    if let Some(since) = options.since {
        lines.retain(|line| line.at >= since);
    }
    if let Some(tail) = options.tail {
        lines.drain(..lines.len().saturating_sub(tail));
    }
    Ok(lines)
}

fn instance(
    pod: &Pod,
    slot: usize,
    status: Option<&ContainerStatus>,
    container: &str,
    previous: bool,
) -> Result<Vec<Line>, LogError> {
    let name = || pod.metadata.name.to_string();
    let waiting = |reason: &str| LogError::Waiting {
        container: container.to_owned(),
        pod: name(),
        reason: reason.to_owned(),
    };
    let Some(status) = status else {
        return Err(waiting("ContainerCreating"));
    };
    let is_down = status.state.waiting.is_some();
    let has_last = status.last_state.terminated.is_some();
    // Like the kubelet: a container that waits for its restart shows the instance that ended.
    let state = if previous || (is_down && has_last) {
        &status.last_state
    } else {
        &status.state
    };
    if previous && !has_last {
        return Err(LogError::NoPrevious {
            container: container.to_owned(),
            pod: name(),
        });
    }
    let Some(started) = started_at(state) else {
        return Err(waiting(status.state.waiting_reason()));
    };
    let image = pod.spec.container(slot).map_or("", |it| it.image.as_str());
    let mut lines = vec![
        Line {
            at: started,
            text: format!(
                "container \"{container}\" is simulated: it has no process and no output of its own"
            ),
        },
        Line {
            at: started,
            text: format!("started: image {image}"),
        },
    ];
    if state.is_running() && status.ready {
        let at = status::ready_since(&pod.status.conditions).unwrap_or(started);
        lines.push(Line {
            at: at.max(started),
            text: "ready".to_owned(),
        });
    }
    if let Some(end) = &state.terminated {
        lines.push(Line {
            at: end.finished_at.unwrap_or(started),
            text: format!("terminated: {}, exit code {}", end.reason, end.exit_code),
        });
    }
    Ok(lines)
}

fn started_at(state: &State) -> Option<Timestamp> {
    let end = state.terminated.as_ref();
    state
        .running_since()
        .or_else(|| end.and_then(|end| end.started_at))
}
