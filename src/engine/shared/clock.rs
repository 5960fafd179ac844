//! The time of day, as it is recorded.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, for the record only: nothing depends on it.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
