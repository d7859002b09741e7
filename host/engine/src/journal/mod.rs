//! The durable store: jobs seen, intents, steps, ledger, reservations, references, results to deliver, audit.
//!
//! SQLite with a write-ahead log and a flush at every commit; one writer thread, readers on a connection of their own. Nothing
//! secret is stored: join tokens by their public half, kubeconfigs and vault values as locators, first-boot data never.

mod audit;
mod inbox;
mod intents;
mod ledger;
mod outbox;
mod place;
mod records;
mod references;
mod refused;
mod reservations;
mod schema;
mod steps;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use agentkube_contract::{Clock, Millis, ServiceKey};
use rusqlite::Connection;

pub use audit::AuditRow;
pub(crate) use inbox::InboxState;
pub(crate) use intents::Accepted;
pub use intents::{Intent, IntentState, ServicePhase};
pub use ledger::LedgerRow;
pub(crate) use ledger::{Change, NewRow, RowChange};
pub use outbox::OutboxRow;
pub use records::{Counts, ServiceRecord, StepRecord};
pub use refused::RefusedJob;
pub use reservations::Range;
pub(crate) use steps::{Finished, StepEnd};
#[cfg(test)]
pub(crate) use writer::Hook;

use crate::{Error, Result};
use place::Place;

/// How a journal is opened.
pub struct Options {
    /// The installation's id: a file of another one is refused.
    pub installation: String,
    /// Ranges for reservations: `20000-29999`, `10.0.0.0/24` or `10.0.0.10-10.0.0.99`, by name.
    pub ranges: BTreeMap<String, String>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Most requests in one transaction.
    pub batch: usize,
    /// Tests end the writer here.
    #[cfg(test)]
    pub(crate) hook: Option<Hook>,
}

impl Options {
    /// The usual ones.
    pub fn new(installation: &str, clock: Arc<dyn Clock>) -> Self {
        Options {
            installation: installation.to_owned(),
            ranges: BTreeMap::new(),
            clock,
            batch: 512,
            #[cfg(test)]
            hook: None,
        }
    }
}

/// The journal. Clones share one file; when the last is dropped, what was queued is committed and the file closed.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped first: it commits what is queued.
    writer: writer::Writer,
    reader: Mutex<Connection>,
    ranges: BTreeMap<String, Range>,
    clock: Arc<dyn Clock>,
    installation: String,
    place: Place,
    // Dropped last: the file is ours until it is closed.
    _lock: File,
}

impl Journal {
    /// Opens or makes the file, brings it to the newest schema, and refuses one that belongs to another installation.
    pub fn open(path: &Path, options: Options) -> Result<Journal> {
        let ranges = options
            .ranges
            .iter()
            .map(|(name, text)| Ok((name.clone(), Range::parse(name, text)?)))
            .collect::<Result<_>>()?;
        let lock = lock(path)?;
        let mut connection = Connection::open(path)?;
        check(&connection, path)?;
        configure(&connection)?;
        schema::prepare(&mut connection, &options.installation)?;
        let place = Place::of(path)?;
        let reader = Connection::open(path)?;
        configure(&reader)?;
        reader.execute_batch("PRAGMA query_only = ON")?;
        let writer = writer::Writer::start(
            connection,
            place.clone(),
            options.batch.max(1),
            #[cfg(test)]
            options.hook,
        )?;
        Ok(Journal {
            inner: Arc::new(Inner {
                writer,
                reader: Mutex::new(reader),
                ranges,
                clock: options.clock,
                installation: options.installation,
                place,
                _lock: lock,
            }),
        })
    }

    /// The installation's id.
    pub fn installation(&self) -> &str {
        &self.inner.installation
    }

    /// What keeps it from being read or written now.
    pub(crate) fn trouble(&self) -> Option<Error> {
        if !self.inner.writer.is_alive() {
            return Some(Error::Closed);
        }
        self.inner.place.check().and_then(|()| self.unfinished()).err()
    }

    fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.inner.writer.write(work).await
    }

    /// Reads see every acknowledged write. They take microseconds, so they run where they are called.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection)
    }

    /// Refuses a configuration that lacks a source whose services live: all names of their objects come from its name.
    pub fn check_sources<'a>(&self, configured: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let configured: Vec<&str> = configured.into_iter().collect();
        let live = self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT source, COUNT(*) FROM services WHERE phase <> 'gone' GROUP BY source ORDER BY source",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        match live.into_iter().find(|(name, _)| !configured.contains(&name.as_str())) {
            Some((name, services)) => Err(Error::SourceGone { name, services: services.unsigned_abs() }),
            None => Ok(()),
        }
    }
}

/// Two daemons on one journal would be two writers per service. The lock goes with the process, however it ends.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path.with_extension("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// A damaged journal is refused before anything is built on it: every page is read once.
fn check(connection: &Connection, path: &Path) -> Result<()> {
    let found: String = match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)) {
        Ok(found) => found,
        Err(error) if crate::error::damaged(&error) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    if found == "ok" { Ok(()) } else { Err(Error::Broken { path: path.to_owned(), found }) }
}

fn configure(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // NORMAL may lose acknowledged commits when the power fails (sqlite.org/pragma.html#pragma_synchronous).
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A number as the database has it: 64 bits, signed.
fn sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The columns (source, service) of a row; both empty for work that concerns no one service.
fn scope(service: Option<&ServiceKey>) -> (String, String) {
    service.map_or_else(Default::default, |key| (key.source.clone(), key.service.clone()))
}
