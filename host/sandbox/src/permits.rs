//! Named semaphores, shared by all plugins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use agentkube_contract::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Named semaphores; one that is not configured has one place.
#[derive(Debug, Default)]
pub struct Permits {
    sizes: BTreeMap<String, usize>,
    made: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

impl Permits {
    /// Semaphores of these sizes.
    pub fn new(sizes: BTreeMap<String, usize>) -> Self {
        Permits { sizes, made: Mutex::default() }
    }

    /// One place in each, taken in sorted order so that nobody waits for each other.
    pub(crate) async fn take(&self, names: &[String]) -> Result<Vec<OwnedSemaphorePermit>, Fault> {
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut taken = Vec::new();
        for name in sorted {
            let permit = self.semaphore(name).acquire_owned().await;
            taken.push(permit.map_err(|_| Fault::internal("PERMITS_CLOSED", "the host is ending"))?);
        }
        Ok(taken)
    }

    fn semaphore(&self, name: &str) -> Arc<Semaphore> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // Names come from guests: those that nobody holds are forgotten again.
        if made.len() > 1024 {
            made.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let size = self.sizes.get(name).copied().unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS);
        Arc::clone(made.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(size))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test]
    async fn opposite_orders_do_not_wait_for_each_other_and_sizes_hold() {
        let permits = Arc::new(Permits::new(BTreeMap::from([("two".to_owned(), 2)])));
        let mut tasks = tokio::task::JoinSet::new();
        for turn in 0..40 {
            let permits = Arc::clone(&permits);
            let wanted = if turn % 2 == 0 { names(&["a", "b", "a"]) } else { names(&["b", "a"]) };
            tasks.spawn(async move {
                let _held = permits.take(&wanted).await.unwrap();
                tokio::task::yield_now().await;
            });
        }
        tokio::time::timeout(Duration::from_secs(5), tasks.join_all()).await.unwrap();
        let _held = (permits.take(&names(&["two"])).await.unwrap(), permits.take(&names(&["two"])).await.unwrap());
        let third = tokio::time::timeout(Duration::from_millis(20), permits.take(&["two".to_owned()])).await;
        assert!(third.is_err());
    }
}
