//! The thin shell around a lab server: real TLS sockets on loopback, the clock, the timers.
//!
//! One server state sits behind one mutex, shared by all its endpoints. A request is read whole, handed to the state machine
//! together with the time, and its [`Answer`](lab_wire::Answer) is carried out: at once, later, as a stream, or as a closed
//! connection. Nothing of a protocol is known here.
//!
//! - `connection`: one accepted socket, TLS and HTTP/1.1 with keep-alive.
//! - `listeners`: sockets that open and close as the server's own list changes.
//! - `stream`: the body of a watch.

mod connection;
mod listeners;
mod stream;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lab_wire::{Answer, Listener, Millis, Random, Request, Server};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Clock, Error};

/// How long the timer task waits at least, so that a server whose timer stays due cannot spin it.
const TIMER_PAUSE_MS: Millis = 1;

/// A running server. Dropping it closes its sockets and connections.
pub struct Shell<S> {
    shared: Arc<Shared<S>>,
    front: Vec<(String, SocketAddr)>,
    /// What the front addresses were opened with, and who serves them.
    fronts: Vec<(Listener, JoinHandle<()>)>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the sockets, the timers and the owner of a server share.
pub(crate) struct Shared<S> {
    state: Mutex<State<S>>,
    clock: Clock,
    /// Counts every moment at which the state may have changed: streams, timers and listeners wait on it.
    changes: watch::Sender<u64>,
    handshakes: AtomicU64,
    requests: AtomicU64,
}

struct State<S> {
    server: S,
    random: Random,
}

impl<S: Server + 'static> Shell<S> {
    /// Opens the `front` addresses (a port of 0 takes a free one) and serves until dropped. Addresses that the server asks for
    /// through [`Server::listeners`] are opened and closed as they come and go.
    pub async fn start(server: S, front: Vec<Listener>, clock: Clock, seed: u64) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { server, random: Random::new(seed) }),
            clock,
            changes: watch::Sender::new(0),
            handshakes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let mut shell = Shell { shared: Arc::clone(&shared), front: Vec::new(), fronts: Vec::new(), tasks: Vec::new() };
        for listener in front {
            let (address, task) = listeners::open(&shared, &listener).await?;
            shell.front.push((listener.endpoint.clone(), address));
            shell.fronts.push((Listener { address, ..listener }, task));
        }
        shell.tasks.push(tokio::spawn(timers(Arc::clone(&shared))));
        shell.tasks.push(tokio::spawn(listeners::follow(shared)));
        Ok(shell)
    }

    /// Where the first front address really listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.front.first().map(|(_, address)| *address)
    }

    /// Every front address with its label.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.front
    }

    /// Looks into the server, or changes it; whoever waits for a change looks again afterwards.
    pub fn with<R>(&self, look: impl FnOnce(&mut S) -> R) -> R {
        self.shared.with(|server, _, _| look(server))
    }

    /// A handle that outlives borrows of the shell, for tasks that carry events from server to server.
    pub(crate) fn shared(&self) -> Arc<Shared<S>> {
        Arc::clone(&self.shared)
    }

    /// Closes the front addresses with all their connections, as the end of the process would, and opens them again after a while;
    /// until then connections are refused. The state stays, as a database would.
    pub async fn restart(&mut self, down: std::time::Duration) -> Result<(), Error> {
        for (_, task) in &mut self.fronts {
            task.abort();
            // Aborted tasks end with an error, which is what was asked for.
            let _ = task.await;
        }
        tokio::time::sleep(down).await;
        for (listener, task) in &mut self.fronts {
            *task = listeners::open(&self.shared, listener).await?.1;
        }
        Ok(())
    }

    /// Stops serving; the front addresses are free when this returns.
    pub async fn stop(&mut self) {
        let fronts = self.fronts.drain(..).map(|(_, task)| task);
        for task in fronts.chain(self.tasks.drain(..)) {
            task.abort();
            // Aborted tasks end with an error, which is what was asked for.
            let _ = task.await;
        }
    }

    /// TLS handshakes that were finished since the start.
    pub fn handshakes(&self) -> u64 {
        self.shared.handshakes.load(Ordering::Relaxed)
    }

    /// Requests that were handed to the server since the start.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl<S> Drop for Shell<S> {
    fn drop(&mut self) {
        for task in self.fronts.iter().map(|(_, task)| task).chain(&self.tasks) {
            task.abort();
        }
    }
}

impl<S: Server> Shared<S> {
    /// Runs `look` under the lock with the time and the randomness, then wakes whoever waits for a change.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut S, Millis, &mut Random) -> R) -> R {
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let State { server, random } = &mut *state;
            look(server, self.clock.now(), random)
        };
        self.changes.send_modify(|count| *count += 1);
        result
    }

    /// Like [`Shared::with`] for what changes nothing that others wait for.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&mut S) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).server)
    }

    /// Hands one request to the server and lets it tick.
    pub(crate) fn handle(&self, request: &Request) -> Answer {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.with(|server, now, random| {
            let answer = server.exchange(request, now, random);
            server.tick(now, random);
            answer
        })
    }

    /// Is told at every moment at which the state may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    fn shook_hands(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ticks the server whenever its next timer is due.
async fn timers<S: Server>(shared: Arc<Shared<S>>) {
    let mut changes = shared.changes();
    loop {
        changes.mark_unchanged();
        let next = shared.peek(|server| server.next_timer());
        let due = async {
            match next {
                Some(time) => shared.clock.sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {
                shared.with(|server, now, random| server.tick(now, random));
                tokio::time::sleep(std::time::Duration::from_millis(TIMER_PAUSE_MS)).await;
            }
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests;
