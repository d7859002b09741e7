//! Waiting for a state, by looking again until a deadline of the injected clock.

use std::time::Duration;

use agentkube_contract::{Clock, Millis};

use crate::{Error, Result};

/// One wait: pauses between looks, and ends with what was seen last.
pub(crate) struct Wait<'a> {
    clock: &'a dyn Clock,
    pause: Duration,
    deadline: Millis,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(clock: &'a dyn Clock, pause: Duration, within: Duration) -> Self {
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Wait { clock, pause, deadline: clock.now().saturating_add(within) }
    }

    /// Time that is left.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_millis(self.deadline.saturating_sub(self.clock.now()))
    }

    /// Pauses before the next look; an error once the time is over. `message` says what was seen.
    pub(crate) async fn again(&self, code: &'static str, message: impl Into<String>) -> Result<()> {
        let left = self.left();
        if left.is_zero() {
            return Err(Error::Late { code, message: message.into() });
        }
        self.clock.sleep(self.pause.min(left)).await;
        Ok(())
    }

    /// The same after a look that failed: a failure that waiting cannot mend is given back at once.
    pub(crate) async fn forgive(&self, code: &'static str, error: Error) -> Result<()> {
        if !error.passing() {
            return Err(error);
        }
        // The fault of the last look says more than "too late" when nothing ever answered.
        if self.left().is_zero() {
            tracing::debug!(code, %error, "the time to wait is over");
            return Err(error);
        }
        self.again(code, String::new()).await
    }
}
