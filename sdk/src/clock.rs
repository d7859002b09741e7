//! Time, as the host tells it.

use crate::backend;

/// Milliseconds since the Unix epoch.
pub fn now() -> u64 {
    backend::clock::now()
}

/// Waits so many milliseconds.
pub async fn sleep(ms: u64) {
    backend::clock::sleep(ms).await;
}
