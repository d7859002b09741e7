//! Looking again until something is so.

use std::time::{Duration, Instant};

/// How long a test waits for something that should take seconds: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Looks every few milliseconds until there is something; panics when there is nothing in time.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
