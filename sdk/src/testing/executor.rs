//! Runs one call in virtual time: when nothing can go on, the clock jumps to the next moment at which something can.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::World;

/// Woken or not.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Ready at a moment of virtual time.
struct Sleep {
    world: World,
    until: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.world.with(|state| {
            if state.now >= self.until {
                return Poll::Ready(());
            }
            state.timers.push((self.until, context.waker().clone()));
            Poll::Pending
        })
    }
}

impl World {
    /// Runs a call to its end.
    ///
    /// # Panics
    ///
    /// When the call waits for something that never happens, or is killed.
    pub fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.run_or_kill(call).expect("the call was killed")
    }

    /// Runs a call; `None` when it was killed on the way (by [`kill_at_every_host_call`](super::kill_at_every_host_call)).
    pub(crate) fn run_or_kill<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        self.enter();
        self.with(|state| {
            state.killed = false;
            state.timers.clear();
        });
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let ended = {
            let mut call = pin!(call);
            loop {
                if flag.0.swap(false, Ordering::SeqCst) {
                    let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
                    if let Poll::Ready(value) = polled {
                        break Some(value);
                    }
                    if self.with(|state| state.killed) {
                        break None;
                    }
                } else if !self.jump() {
                    panic!("the call waits for something that never happens");
                }
            }
        };
        // As the host does when a call ends, however it ended.
        self.with(|state| state.permits.release_all());
        ended
    }

    /// Waits in virtual time.
    pub(crate) async fn sleep(&self, ms: u64) {
        let until = self.now() + ms;
        Sleep { world: self.clone(), until }.await;
    }

    /// Lets time pass, with all that happens meanwhile.
    pub fn pass(&self, ms: u64) {
        let world = self.clone();
        self.run(async move { world.sleep(ms).await });
    }

    /// Moves the clock to the next timer or event; false when there is none.
    fn jump(&self) -> bool {
        let (wakers, events) = self
            .with(|state| {
                let next =
                    state.timers.iter().map(|(due, _)| *due).chain(state.events.iter().map(|(due, _)| *due)).min()?;
                state.now = state.now.max(next);
                let now = state.now;
                let wakers: Vec<_> = state.timers.extract_if(.., |(due, _)| *due <= now).collect();
                let events: Vec<_> = state.events.extract_if(.., |(due, _)| *due <= now).collect();
                Some((wakers, events))
            })
            .unwrap_or_default();
        if wakers.is_empty() && events.is_empty() {
            return false;
        }
        for (_, event) in events {
            event(self);
        }
        for (_, waker) in wakers {
            waker.wake();
        }
        true
    }
}
