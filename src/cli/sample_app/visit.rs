//! Somebody who visits a service again and again, and says how it was.

use std::time::Duration;

use anyhow::Result;
use bayplan::stdx::clock;
use http::Uri;

use super::{fetch, say};

/// What is asked for, in turn.
const PAGES: [&str; 5] = ["/", "/menu", "/coffee/1", "/coffee/2", "/cake/7"];

pub async fn visit(url: &Uri, every: Duration, stop: impl Future<Output = ()>) -> Result<()> {
    let mut stop = std::pin::pin!(stop);
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for page in PAGES.iter().cycle() {
        tokio::select! {
            biased;
            () = &mut stop => break,
            _ = due.tick() => {}
        }
        let began = clock::instant();
        let path = format!("{}{page}", url.path().trim_end_matches('/'));
        let said = match fetch::get(url, &path).await {
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                let took = began.elapsed().as_millis();
                let status = answer.status.as_u16();
                let severity = if answer.status.is_success() {
                    ""
                } else {
                    "warning: "
                };
                format!(
                    "{severity}{page} {status} in {took} ms: {}",
                    body.trim_end()
                )
            }
            Err(why) => format!("warning: {page}: {why}"),
        };
        say(&said)?;
    }
    say("home again")
}
