//! Waiting until something is so, with deadline and back-off.

use std::future::Future;

use crate::{Fault, Result, clock, random};

/// Time that is kept free before a deadline, in milliseconds, so that a fault can still be reported.
pub const MARGIN_MS: u64 = 250;

/// How the time between two looks grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Milliseconds before the second look.
    pub first_ms: u64,
    /// Longest time between two looks, in milliseconds.
    pub most_ms: u64,
    /// By what the time grows after each look, in percent: 150 is half as long again.
    pub growth_percent: u64,
}

impl Backoff {
    /// Every so many milliseconds (with jitter), never slower.
    pub const fn every(ms: u64) -> Self {
        Backoff { first_ms: ms, most_ms: ms, growth_percent: 100 }
    }

    /// Beginning with `first_ms`, half as long again after each look, up to `most_ms`.
    pub const fn growing(first_ms: u64, most_ms: u64) -> Self {
        Backoff { first_ms, most_ms, growth_percent: 150 }
    }

    fn after(self, ms: u64) -> u64 {
        (ms.saturating_mul(self.growth_percent) / 100).min(self.most_ms)
    }
}

impl Default for Backoff {
    /// From 0.5 s to 5 s.
    fn default() -> Self {
        Backoff::growing(500, 5_000)
    }
}

/// Looks again and again until `look` gives a value. Faults that waiting can mend (`busy`, `unavailable`, `timeout`) are waited
/// out, heeding what they say about when to come back; any other ends the wait.
///
/// Each pause is shortened by up to a quarter at random, so that many waiters do not look at the same moment. Shortly before
/// `deadline_ms` (milliseconds since the epoch, usually [`Call::deadline_ms`](crate::call::Call)) it gives up with a fault of class
/// `timeout`, code `DEADLINE`, which names the last trouble if there was one. Uses the capabilities `clock` and `random`.
///
/// ```
/// # let world = agentkube_sdk::testing::World::new();
/// # use agentkube_sdk::{clock, Result};
/// use agentkube_sdk::wait::{self, Backoff};
///
/// # let result: Result<u64> = world.run(async {
/// let start = clock::now();
/// wait::until(start + 60_000, Backoff::every(1_000), || async move {
///     let elapsed = clock::now() - start;
///     Ok((elapsed > 5_000).then_some(elapsed))
/// })
/// .await
/// # });
/// # assert!(result.unwrap() < 7_000);
/// ```
pub async fn until<T, F>(deadline_ms: u64, backoff: Backoff, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let mut pause = backoff.first_ms;
    loop {
        let trouble = match look().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(fault) if fault.is_transient() => Some(fault),
            Err(fault) => return Err(fault),
        };
        let least = trouble.as_ref().and_then(|fault| fault.retry_after_ms).unwrap_or(0);
        let jittered = (pause - random::below(pause / 4 + 1)).max(least).max(1);
        if clock::now().saturating_add(jittered).saturating_add(MARGIN_MS) > deadline_ms {
            let message = match trouble {
                Some(fault) => format!("the call's time is over; the last trouble was {fault}"),
                None => "the call's time is over and what was waited for has not happened".to_owned(),
            };
            return Err(Fault::timeout("DEADLINE", message));
        }
        clock::sleep(jittered).await;
        pause = backoff.after(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::{EPOCH, World};

    #[test]
    fn trouble_that_waiting_mends_is_waited_out() {
        let world = World::new();
        let looks = Cell::new(0);
        let look = || async {
            looks.set(looks.get() + 1);
            match looks.get() {
                1 => Err(Fault::busy("LOCKED", "somebody works on it").retry_after_ms(9_000)),
                2 => Ok(None),
                _ => Ok(Some(7)),
            }
        };
        assert_eq!(world.run(until(EPOCH + 60_000, Backoff::every(100), look)), Ok(7));
        assert!(world.now() >= EPOCH + 9_000, "the hint was heeded");
    }

    #[test]
    fn other_trouble_ends_the_wait_at_once() {
        let world = World::new();
        let look = || async { Err::<Option<()>, _>(Fault::not_found("GONE", "it is gone")) };
        assert_eq!(world.run(until(EPOCH + 60_000, Backoff::default(), look)).unwrap_err().code, "GONE");
        assert_eq!(world.now(), EPOCH);
    }

    #[test]
    fn it_gives_up_before_the_deadline_and_says_why() {
        let world = World::new();
        let look = || async { Err::<Option<()>, _>(Fault::unavailable("DOWN", "no answer")) };
        let fault = world.run(until(EPOCH + 10_000, Backoff::default(), look)).unwrap_err();
        assert_eq!(fault.code, "DEADLINE");
        assert!(fault.message.contains("DOWN"), "{}", fault.message);
        assert!(world.now() <= EPOCH + 10_000 - MARGIN_MS);
    }
}
