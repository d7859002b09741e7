//! The real clock and the real randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentkube_contract::{Clock, Millis, Random};
use async_trait::async_trait;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // It cannot fail on a running Linux (getrandom(2) on an initialised pool); without it no name and no token would be safe,
        // so ending is the only answer left.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}
