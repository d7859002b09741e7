//! Time and randomness, injected from the first day so that a run can be simulated and repeated.

use std::time::Duration;

use async_trait::async_trait;

use crate::Millis;

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Millis;

    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// Randomness fit for identifiers and secrets.
pub trait Random: Send + Sync {
    /// Fills the slice.
    fn fill(&self, bytes: &mut [u8]);

    /// A number in `0..bound`, for jitter; 0 for a bound of 0.
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }
}
