//! Semaphores.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::World;
use super::kill::Moment;
use crate::Result;

#[derive(Default)]
pub(crate) struct Permits {
    sizes: BTreeMap<String, usize>,
    held: BTreeMap<u64, Vec<String>>,
    next: u64,
    waiting: Vec<Waker>,
}

impl Permits {
    pub(crate) fn size(&mut self, name: &str, places: usize) {
        self.sizes.insert(name.to_owned(), places);
    }

    pub(crate) fn held(&self) -> Vec<String> {
        self.held.values().flatten().cloned().collect()
    }

    pub(crate) fn release(&mut self, permit: u64) {
        self.held.remove(&permit);
        self.waiting.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn release_all(&mut self) {
        self.held.clear();
        self.waiting.clear();
    }

    fn try_take(&mut self, names: &[String]) -> Option<u64> {
        let held = self.held();
        let free = |name: &String| {
            let size = self.sizes.get(name).copied().unwrap_or(1);
            held.iter().filter(|other| *other == name).count() < size
        };
        if !names.iter().all(free) {
            return None;
        }
        self.next += 1;
        self.held.insert(self.next, names.to_vec());
        Some(self.next)
    }
}

impl World {
    pub(crate) async fn take_permits(&self, mut names: Vec<String>) -> Result<u64> {
        names.sort();
        names.dedup();
        let number = self.count();
        self.killed_here(number, Moment::Before).await;
        let permit = poll_fn(|context| {
            self.with(|state| match state.permits.try_take(&names) {
                Some(permit) => Poll::Ready(permit),
                None => {
                    state.permits.waiting.push(context.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await;
        self.killed_here(number, Moment::After).await;
        Ok(permit)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{EPOCH, World};
    use crate::{clock, fan_out, permits};

    #[test]
    fn one_place_is_used_by_one_at_a_time() {
        let world = World::new();
        world.permit_size("wide", 2);
        let work = |name: &'static str| async move {
            let _permit = permits::take(&[name]).await.unwrap();
            clock::sleep(10).await;
        };
        world.run(fan_out(4, (0..4).map(|_| work("narrow"))));
        assert_eq!(world.now() - EPOCH, 40);
        world.run(fan_out(4, (0..4).map(|_| work("wide"))));
        assert_eq!(world.now() - EPOCH, 60);
        assert!(world.permits_held().is_empty());
    }
}
