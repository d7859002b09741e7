//! Each try of each step, with its outcome and output, so that a restart goes on where the plan stood.

use std::collections::BTreeMap;

use agentkube_contract::Fault;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::records::StepRecord;
use super::{Journal, NewRow, RowChange, ledger, sql};
use crate::journal::Intent;
use crate::{Error, Result};

/// How a try ended.
#[derive(Clone, Debug)]
pub(crate) enum StepEnd {
    Done(Value),
    Failed(Fault),
}

/// Steps that are over, with their outputs.
pub(crate) type Finished = BTreeMap<String, Value>;

impl Journal {
    /// A try begins: its number is stored, and the row of what it may make, in one transaction. Refused once a newer intent
    /// took over.
    pub(crate) async fn start_step(&self, intent: &Intent, step: &str, row: Option<NewRow>) -> Result<u32> {
        let (at, id, key, step) = (self.now(), sql(intent.id), intent.key.clone(), step.to_owned());
        self.write(move |connection| {
            let open: Option<i64> = connection
                .prepare_cached("SELECT id FROM intents WHERE id = ?1 AND state IN ('running', 'undoing')")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            if open.is_none() {
                return Err(Error::Superseded);
            }
            // Tries that a crash cut off keep their number and get their end here.
            connection
                .prepare_cached(
                    "UPDATE steps SET ended_ms = ?3, outcome = 'cancelled' \
                     WHERE intent = ?1 AND step = ?2 AND ended_ms IS NULL",
                )?
                .execute(params![id, step, sql(at)])?;
            let attempt: i64 = connection
                .prepare_cached("SELECT COALESCE(MAX(attempt), 0) + 1 FROM steps WHERE intent = ?1 AND step = ?2")?
                .query_row(params![id, step], |row| row.get(0))?;
            connection
                .prepare_cached("INSERT INTO steps (intent, step, attempt, started_ms) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![id, step, attempt, sql(at)])?;
            if let Some(row) = row {
                ledger::intend(connection, at, &ledger::engine(&key), row.kind, &row.name, &row.detail)?;
            }
            Ok(u32::try_from(attempt).unwrap_or(u32::MAX))
        })
        .await
    }

    /// A try ends; what it means for the ledger is stored with it.
    pub(crate) async fn end_step(
        &self,
        intent: &Intent,
        step: &str,
        attempt: u32,
        end: StepEnd,
        changes: Vec<RowChange>,
    ) -> Result<()> {
        let (at, id, key, step) = (self.now(), sql(intent.id), intent.key.clone(), step.to_owned());
        self.write(move |connection| {
            let (outcome, output, fault) = match &end {
                StepEnd::Done(output) => ("done", Some(output.to_string()), None),
                StepEnd::Failed(fault) => ("failed", None, Some(serde_json::to_string(fault)?)),
            };
            connection
                .prepare_cached(
                    "UPDATE steps SET ended_ms = ?4, outcome = ?5, output = ?6, fault = ?7 \
                     WHERE intent = ?1 AND step = ?2 AND attempt = ?3",
                )?
                .execute(params![id, step, attempt, sql(at), outcome, output, fault])?;
            changes.iter().try_for_each(|change| ledger::apply(connection, at, &key, change))
        })
        .await
    }

    /// The steps of an intent that are over and need not run again.
    pub(crate) fn finished_steps(&self, intent: u64) -> Result<Finished> {
        let rows = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT step, output FROM steps WHERE intent = ?1 AND outcome = 'done' ORDER BY attempt",
            )?;
            let rows = statement
                .query_map([sql(intent)], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        rows.into_iter()
            .map(|(step, output)| Ok((step, serde_json::from_str(output.as_deref().unwrap_or("null"))?)))
            .collect()
    }

    /// How often a step has failed; tries that a crash or a newer intent cut off do not count.
    pub(crate) fn failures(&self, intent: u64, step: &str) -> Result<u32> {
        self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT COUNT(*) FROM steps WHERE intent = ?1 AND step = ?2 AND outcome = 'failed'")?
                .query_row(params![sql(intent), step], |row| row.get(0))?)
        })
    }

    /// All tries of an intent's steps, in the order in which they began.
    pub fn steps(&self, intent: u64) -> Result<Vec<StepRecord>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT step, attempt, started_ms, ended_ms, outcome, fault FROM steps WHERE intent = ?1 \
                 ORDER BY started_ms, step, attempt",
            )?;
            let rows = statement.query_map([sql(intent)], StepRecord::read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}
