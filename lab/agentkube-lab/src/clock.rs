//! The lab's clock: the real one, or one that a test moves by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab_wire::Millis;
use tokio::sync::watch;

/// Tells the time and waits for a time. Clones share the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    manual: Option<watch::Sender<Millis>>,
}

impl Clock {
    /// The clock on the wall.
    pub fn real() -> Self {
        Clock { manual: None }
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Millis) -> Self {
        Clock { manual: Some(watch::Sender::new(start)) }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        match &self.manual {
            Some(time) => *time.borrow(),
            None => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
            }
        }
    }

    /// Moves a manual clock; the real one cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Some(time) = &self.manual {
            time.send_modify(|now| *now += u64::try_from(by.as_millis()).unwrap_or(u64::MAX));
        }
    }

    /// Returns once the time has come.
    pub async fn sleep_until(&self, time: Millis) {
        match &self.manual {
            Some(clock) => {
                let mut now = clock.subscribe();
                // The sender lives in `self`, so waiting can only end with the condition met.
                let _ = now.wait_for(|now| *now >= time).await;
            }
            None => tokio::time::sleep(Duration::from_millis(time.saturating_sub(self.now()))).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(1_000);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(1_500).await }
        });
        clock.advance(Duration::from_millis(499));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_millis(1));
        waiting.await.unwrap();
        assert_eq!(clock.now(), 1_500);
    }
}
