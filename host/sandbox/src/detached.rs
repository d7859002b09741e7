//! Exchanges that belong to the host: they end, and are journalled, even when the call that asked is gone.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentkube_contract::{Fault, Outcome};
use tokio::sync::Notify;

/// The exchanges under way.
#[derive(Default)]
pub(crate) struct Detached {
    running: AtomicUsize,
    /// Told when the last one ended.
    idle: Notify,
}

/// Counts one exchange for as long as it lives, also when it panics.
struct Running(Arc<Detached>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Detached {
    /// Runs the exchange to its end, whether or not somebody goes on waiting for it.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        exchange: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(self));
        let task = tokio::spawn(async move {
            let _running = running;
            exchange.await
        });
        task.await.unwrap_or_else(|_| {
            Err(Fault::internal("EXCHANGE_LOST", "the exchange ended without a result").outcome(Outcome::Unknown))
        })
    }

    /// Waits until none is under way, at most so long. Gives how many still are.
    pub async fn drain(&self, within: Duration) -> usize {
        let all_done = async {
            loop {
                let idle = self.idle.notified();
                if self.running.load(Ordering::SeqCst) == 0 {
                    return;
                }
                idle.await;
            }
        };
        let _ = tokio::time::timeout(within, all_done).await;
        self.running.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_exchange_outlives_whoever_asked_and_drain_waits_for_it() {
        let detached = Arc::new(Detached::default());
        let ended = Arc::new(AtomicUsize::new(0));
        let (inside, counter) = (Arc::clone(&detached), Arc::clone(&ended));
        let asking = async move {
            inside
                .run(async move {
                    tokio::time::sleep(Duration::from_millis(80)).await;
                    counter.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
                .await
        };
        assert!(tokio::time::timeout(Duration::from_millis(10), asking).await.is_err());
        assert_eq!(detached.drain(Duration::from_millis(1)).await, 1);
        assert_eq!(detached.drain(Duration::from_secs(5)).await, 0);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }
}
