//! `bayplan logs`: lines from the cluster's log store.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bayplan::config::env::Environment;
use bayplan::connect::{Access, Notice, Session};
use bayplan::serve::logs::PATH;
use bayplan::stdx::clock;
use bayplan::tui::pages::logs::line::sanitise;
use clap::{Args, ValueEnum};
use futures::{AsyncBufReadExt, StreamExt};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde_json::Value;

use crate::telemetry;

/// Lines of the containers of this machine, also of pods that are gone.
///
/// The cluster's log store takes in what containers on the local node say, and keeps it after their
/// pods are deleted, within `bayplan serve --log-size` and `--log-age`. Lines come in the order of
/// their times: TIME NAMESPACE/POD CONTAINER TEXT.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan logs --since 10m                        everything that was said in the last ten minutes
  bayplan logs -n kiosk -l app=front -f           a workload's lines, and what comes
  bayplan logs --grep refused --since 1h          lines that hold a text
  bayplan logs --grep '/50[0-9] .*checkout/' -c log-shipper
  bayplan logs cart-7d9f-x2x4p --tail 100         a pod, although it is gone
  bayplan logs --since 2026-11-22T20:00:00Z --until 2026-11-22T20:05:00Z -o json")]
pub struct Logs {
    /// Only these pods
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    #[command(flatten)]
    target: super::TargetArguments,
    /// Only this namespace [default: all]
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Only pods with these labels: `app=web,tier!=db`
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only this container of the pods
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Not what is older: a span (`10m`, `1h`, `2d`) or a time (RFC 3339)
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<String>,
    /// Not what is younger: a span or a time
    #[arg(long, value_name = "SPAN|TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// Only lines with this text, or that a regular expression between slashes matches
    #[arg(long, value_name = "TEXT|/REGEX/")]
    grep: Option<String>,
    /// Only the newest lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

pub fn run(command: Logs) -> Result<ExitCode> {
    let environment = Environment::read();
    telemetry::log_to_stderr(environment.log_filter.as_deref());
    super::runtime()?.block_on(read(command))
}

async fn read(command: Logs) -> Result<ExitCode> {
    let path = path(&command, clock::now())?;
    let target = super::target(&command.target, "bayplan logs")?;
    let session = Session::open(target, Access::ReadOnly, None).await?;
    let stop = super::termination()?;
    let outcome = tokio::select! {
        biased;
        () = stop => Ok(true),
        outcome = tell(&session, &path, command.output) => outcome,
    };
    session.close().await;
    Ok(if outcome? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what comes; says whether nothing was damaged.
async fn tell(session: &Session, path: &str, format: Format) -> Result<bool> {
    let request = http::Request::get(path).body(Vec::new())?;
    let lines = match session.client().request_stream(request).await {
        Ok(body) => body.lines(),
        Err(error) => {
            let notice = Notice::from(error);
            bail!("the log store cannot be read: {notice}");
        }
    };
    let is_terminal = std::io::stdout().is_terminal();
    let mut batches = Box::pin(lines.ready_chunks(1024));
    let mut is_whole = true;
    while let Some(batch) = batches.next().await {
        let mut text = String::new();
        for line in batch {
            let line = line.context("the log store stopped in the middle")?;
            let value: Value = serde_json::from_str(&line)
                .with_context(|| format!("this is no answer of a log store: {line}"))?;
            if let Some(problem) = value.get("problem").and_then(Value::as_str) {
                tracing::warn!("{problem}");
                is_whole = false;
                continue;
            }
            match format {
                Format::Json => text.push_str(&line),
                Format::Text => text.push_str(&row(&value, is_terminal)),
            }
            text.push('\n');
        }
        super::print(text.as_bytes())?;
    }
    Ok(is_whole)
}

fn row(value: &Value, is_terminal: bool) -> String {
    let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let time: Option<Timestamp> = part("time").parse().ok();
    let time = time.map_or_else(|| part("time").to_owned(), |time| format!("{time:.3}"));
    let (namespace, pod, container) = (part("namespace"), part("pod"), part("container"));
    let row = format!("{time} {namespace}/{pod} {container} {}", part("text"));
    // What a container wrote must not steer the terminal.
    if is_terminal {
        sanitise(&row).into_owned()
    } else {
        row
    }
}

fn path(command: &Logs, now: Timestamp) -> Result<String> {
    let mut path = format!("{PATH}?");
    let mut add = |name: &str, value: &str| {
        let encoded: String = form(value);
        let _infallible = write!(path, "{name}={encoded}&");
    };
    let texts = [
        ("namespace", &command.namespace),
        ("labelSelector", &command.selector),
        ("container", &command.container),
        ("grep", &command.grep),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            add(name, value);
        }
    }
    if !command.pods.is_empty() {
        add("pod", &command.pods.join(","));
    }
    for (name, value) in [("since", &command.since), ("until", &command.until)] {
        if let Some(value) = value {
            add(name, &time(value, now)?.to_string());
        }
    }
    if let Some(count) = command.tail {
        add("tail", &count.to_string());
    }
    if command.follow {
        add("follow", "true");
    }
    path.pop();
    Ok(path)
}

/// A time, or how long before now.
fn time(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = span(text)?;
    now.checked_sub(ago)
        .with_context(|| format!("`{text}` is too long ago"))
}

/// `10m`, `1h30m`, `7d`: days have 24 hours.
pub fn span(text: &str) -> Result<SignedDuration> {
    let parsed: Option<Span> = text.parse().ok();
    parsed
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .filter(SignedDuration::is_positive)
        .with_context(|| format!("`{text}` is neither a span (10m, 1h, 2d) nor a time (RFC 3339)"))
}

/// Percent-encoded, whatever it is.
fn form(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        logs: Logs,
    }

    fn asked(line: &str) -> Result<String> {
        let now = "2026-11-22T20:00:00Z".parse().unwrap();
        let line = Line::try_parse_from(line.split_whitespace())?;
        path(&line.logs, now)
    }

    #[test]
    fn arguments_become_a_query() {
        for (line, expected) in [
            ("logs", "/bayplan/logs"),
            ("logs a b -n shop", "/bayplan/logs?namespace=shop&pod=a%2Cb"),
            (
                "logs --since 1h30m",
                "/bayplan/logs?since=2026-11-22T18%3A30%3A00Z",
            ),
            (
                "logs --since 2d -f",
                "/bayplan/logs?since=2026-11-20T20%3A00%3A00Z&follow=true",
            ),
            (
                "logs --until 2026-11-21T00:00:00+02:00 --tail 5",
                "/bayplan/logs?until=2026-11-20T22%3A00%3A00Z&tail=5",
            ),
            (
                "logs -l app=x,y!=z --grep /a&b/",
                "/bayplan/logs?labelSelector=app%3Dx%2Cy%21%3Dz&grep=%2Fa%26b%2F",
            ),
        ] {
            assert_eq!(asked(line).unwrap(), expected, "{line}");
        }
        for line in [
            "logs --since soon",
            "logs --since -1h",
            "logs --until 1h -f",
            "logs --tail x",
        ] {
            assert!(asked(line).is_err(), "{line}");
        }
    }

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        let value = serde_json::json!({
            "time": "2026-11-22T20:00:00.123456789Z", "namespace": "shop", "pod": "cart-1",
            "container": "app", "text": "\u{1b}]0;owned\u{7}\u{1b}[31mred",
        });
        let shown = row(&value, true);
        assert!(
            shown.starts_with("2026-11-22T20:00:00.123Z shop/cart-1 app "),
            "{shown}"
        );
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown}");
        assert!(row(&value, false).ends_with("\u{1b}[31mred"));
    }
}
