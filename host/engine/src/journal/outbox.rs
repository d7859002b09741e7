//! Results that wait until their source has taken them.

use agentkube_contract::{Fault, Millis, ServiceKey, Settled, Settlement};
use rusqlite::{Connection, params};

use super::{Journal, audit, ledger::ENGINE, sql};
use crate::Result;

/// A result that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// Whose job it was.
    pub key: ServiceKey,
    /// The job.
    pub job: String,
    /// What the source is to hear.
    pub settlement: Settlement,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next: Millis,
}

/// The first result of a job stands; later ones are not kept.
pub(super) fn put(
    connection: &Connection,
    at: Millis,
    key: &ServiceKey,
    job: &str,
    settlement: &Settlement,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO outbox (source, job, service, settlement, state, attempts, next_ms, created_ms, changed_ms) \
             VALUES (?1, ?2, ?3, ?4, 'waiting', 0, ?5, ?5, ?5) ON CONFLICT (source, job) DO NOTHING",
        )?
        .execute(params![key.source, job, key.service, serde_json::to_string(settlement)?, sql(at)])?;
    Ok(())
}

impl Journal {
    /// Results for one source that wait, the next one due first.
    pub fn outbox(&self, source: &str) -> Result<Vec<OutboxRow>> {
        let rows = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT job, service, settlement, attempts, next_ms FROM outbox \
                 WHERE state = 'waiting' AND source = ?1 ORDER BY next_ms, created_ms",
            )?;
            let rows = statement.query_map([source], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, u32>(3)?,
                    row.get::<_, i64>(4)?,
                ))
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        rows.into_iter()
            .map(|(job, service, settlement, attempts, next)| {
                Ok(OutboxRow {
                    key: ServiceKey { source: source.to_owned(), service },
                    job,
                    settlement: serde_json::from_str(&settlement)?,
                    attempts,
                    next: next.unsigned_abs(),
                })
            })
            .collect()
    }

    /// The source has answered.
    pub(crate) async fn settled(&self, row: &OutboxRow, answer: Settled) -> Result<()> {
        let (at, key, job) = (self.now(), row.key.clone(), row.job.clone());
        let state = match answer {
            Settled::Accepted => "accepted",
            Settled::Late => "late",
        };
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE outbox SET state = ?3, changed_ms = ?4 WHERE source = ?1 AND job = ?2")?
                .execute(params![key.source, job, state, sql(at)])?;
            connection
                .prepare_cached("UPDATE inbox SET state = 'settled', changed_ms = ?3 WHERE source = ?1 AND job = ?2")?
                .execute(params![key.source, job, sql(at)])?;
            audit::append(connection, at, (&key.source, &key.service), ENGINE, "settled", &format!("{job}: {state}"))
        })
        .await
    }

    /// The source could not be told; `next` is when to try again.
    pub(crate) async fn unsettled(&self, row: &OutboxRow, fault: Fault, next: Millis) -> Result<()> {
        let (at, source, job) = (self.now(), row.key.source.clone(), row.job.clone());
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE outbox SET attempts = attempts + 1, next_ms = ?3, fault = ?4, changed_ms = ?5 \
                     WHERE source = ?1 AND job = ?2",
                )?
                .execute(params![source, job, sql(next), serde_json::to_string(&fault)?, sql(at)])?;
            Ok(())
        })
        .await
    }

    /// The source calls the job unfinished although it answered a result: the result is delivered again.
    pub(crate) async fn deliver_again(&self, source: &str, job: &str) -> Result<()> {
        let (at, source, job) = (self.now(), source.to_owned(), job.to_owned());
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE outbox SET state = 'waiting', next_ms = ?3, changed_ms = ?3 \
                     WHERE source = ?1 AND job = ?2 AND state <> 'waiting'",
                )?
                .execute(params![source, job, sql(at)])?;
            Ok(())
        })
        .await
    }
}
