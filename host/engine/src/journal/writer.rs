//! The one writer: a thread that takes what waits, runs it in one transaction and answers after the commit.
//!
//! A commit costs one flush of the disk however much is in it, so many services share the price of one.

use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::place::Place;
use crate::{Error, Result};

/// Asked around each commit by tests: `false` ends the writer as a crash would.
#[cfg(test)]
pub(crate) type Hook = std::sync::Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Queue and thread.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<JoinHandle<()>>,
}

trait Work: Send {
    fn run(&mut self, connection: &Connection);
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Pending<T, F> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Work for Pending<T, F> {
    fn run(&mut self, connection: &Connection) {
        self.outcome = self.work.take().map(|work| alone(connection, work));
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let outcome = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(Error::Closed),
            (Err(error), _) => Err(error),
        };
        // Nobody listens any more when the asking task was dropped; the write stands all the same.
        let _ = self.reply.send(outcome);
    }
}

/// Runs one piece of work so that its failure leaves the others of the transaction alone.
fn alone<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    connection.execute_batch("SAVEPOINT work")?;
    let outcome = work(connection);
    if outcome.is_err() {
        connection.execute_batch("ROLLBACK TO work")?;
    }
    connection.execute_batch("RELEASE work")?;
    outcome
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        place: Place,
        batch: usize,
        #[cfg(test)] hook: Option<Hook>,
    ) -> Result<Writer> {
        let (queue, waiting) = mpsc::channel();
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            serve(
                &connection,
                &place,
                &waiting,
                batch,
                #[cfg(test)]
                hook,
            );
        })?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Durable when it returns. Dropping the future does not take the work back.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let pending = Box::new(Pending { work: Some(work), outcome: None, reply });
        self.queue.as_ref().and_then(|queue| queue.send(pending).ok()).ok_or(Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // What was queued is committed before the file is closed.
            let _ = thread.join();
        }
    }
}

fn serve(
    connection: &Connection,
    place: &Place,
    waiting: &mpsc::Receiver<Box<dyn Work>>,
    batch: usize,
    #[cfg(test)] hook: Option<Hook>,
) {
    while let Ok(first) = waiting.recv() {
        let mut work = vec![first];
        while work.len() < batch {
            match waiting.try_recv() {
                Ok(next) => work.push(next),
                Err(_) => break,
            }
        }
        if place.check().is_err() {
            work.into_iter().for_each(|work| work.answer(place.check()));
            continue;
        }
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        if begun.is_ok() {
            work.iter_mut().for_each(|work| work.run(connection));
        }
        #[cfg(test)]
        if hook.as_ref().is_some_and(|hook| !hook("before commit")) {
            return;
        }
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT"));
        if committed.is_err() && !connection.is_autocommit() {
            // The answer below says that nothing was stored; make that true.
            let _ = connection.execute_batch("ROLLBACK");
        }
        #[cfg(test)]
        if hook.as_ref().is_some_and(|hook| !hook("after commit")) {
            return;
        }
        let committed = committed.map_err(|error| error.to_string());
        work.into_iter().for_each(|work| work.answer(committed.clone().map_err(Error::Commit)));
    }
}
