//! What the journal shows to people: services, steps, counts.

use agentkube_contract::{Millis, ServiceKey};
use rusqlite::Row;
use serde::Serialize;

use super::{Journal, ServicePhase};
use crate::Result;

/// A service as the journal has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceRecord {
    /// Which.
    pub key: ServiceKey,
    /// Cluster name.
    pub cluster: String,
    /// For people.
    pub display_name: String,
    /// Where it stands.
    pub phase: ServicePhase,
    /// Number of intents so far.
    pub generation: u64,
    /// When it was first heard of.
    pub created: Millis,
    /// When its phase last changed.
    pub changed: Millis,
}

/// One try of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Step id.
    pub step: String,
    /// 1 for the first.
    pub attempt: u32,
    /// When it began.
    pub started: Millis,
    /// When it ended; `None` while it runs.
    pub ended: Option<Millis>,
    /// `done`, `failed` or `cancelled`.
    pub outcome: Option<String>,
    /// Why it failed, as text.
    pub fault: Option<String>,
}

impl StepRecord {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<StepRecord> {
        let fault: Option<String> = row.get(5)?;
        let fault: Option<agentkube_contract::Fault> = fault.and_then(|text| serde_json::from_str(&text).ok());
        Ok(StepRecord {
            step: row.get(0)?,
            attempt: row.get(1)?,
            started: row.get::<_, i64>(2)?.unsigned_abs(),
            ended: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
            outcome: row.get(4)?,
            fault: fault.map(|fault| fault.to_string()),
        })
    }
}

/// How many there are of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Ledger rows by kind and state, those that are gone included: (plugin, kind, state, number).
    pub ledger: Vec<(String, String, String, u64)>,
    /// Jobs by action and what became of them: (action, inbox state, number).
    pub jobs: Vec<(String, String, u64)>,
    /// Results by state: (`waiting`, `accepted`, `late`; number).
    pub results: Vec<(String, u64)>,
    /// Intents by action and state.
    pub intents: Vec<(String, String, u64)>,
    /// Requests whose answers are not known.
    pub in_doubt: u64,
}

impl Journal {
    /// All services, those that are gone included, oldest first.
    pub fn services(&self) -> Result<Vec<ServiceRecord>> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT source, service, cluster, display_name, phase, generation, created_ms, changed_ms FROM services \
                 ORDER BY created_ms, source, service",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(ServiceRecord {
                    key: ServiceKey { source: row.get(0)?, service: row.get(1)? },
                    cluster: row.get(2)?,
                    display_name: row.get(3)?,
                    phase: ServicePhase::parse(&row.get::<_, String>(4)?),
                    generation: row.get::<_, i64>(5)?.unsigned_abs(),
                    created: row.get::<_, i64>(6)?.unsigned_abs(),
                    changed: row.get::<_, i64>(7)?.unsigned_abs(),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Counts for metrics and status pages.
    pub fn counts(&self) -> Result<Counts> {
        self.read(|connection| {
            let three = |sql: &str| -> Result<Vec<(String, String, u64)>> {
                let mut statement = connection.prepare(sql)?;
                let rows = statement
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs())))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            };
            let mut statement = connection.prepare(
                "SELECT plugin, kind, state, COUNT(*) FROM ledger GROUP BY plugin, kind, state ORDER BY plugin, kind, state",
            )?;
            let ledger = statement
                .query_map([], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?.unsigned_abs()))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let results = three("SELECT state, '', COUNT(*) FROM outbox GROUP BY state ORDER BY state")?;
            Ok(Counts {
                ledger,
                jobs: three("SELECT action, state, COUNT(*) FROM inbox GROUP BY action, state ORDER BY action, state")?,
                results: results.into_iter().map(|(state, _, number)| (state, number)).collect(),
                intents: three(
                    "SELECT action, state, COUNT(*) FROM intents GROUP BY action, state ORDER BY action, state",
                )?,
                in_doubt: connection
                    .query_row("SELECT COUNT(*) FROM doubts", [], |row| row.get::<_, i64>(0))?
                    .unsigned_abs(),
            })
        })
    }
}
