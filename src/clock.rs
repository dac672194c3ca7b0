//! Floor 0: the only place that reads clocks. Stages get times handed in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds, UTC.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
