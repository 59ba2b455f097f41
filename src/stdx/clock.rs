//! The one place that reads the system's clocks.
//!
//! Cores take `now` as an argument; only the shells (serve, connect, tui/runtime, node, main) come
//! here.

use std::time::Instant;

use jiff::Timestamp;

/// Wall-clock time, for what is written into objects and shown to people.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the wall clock's one home"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Monotonic time, for measuring how long something took.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the monotonic clock's one home"
)]
pub fn instant() -> Instant {
    Instant::now()
}
