//! Jobs that were claimed and could not be carried out at all: nothing was touched, and there is no intent of them.

use agentkube_contract::{Fault, Millis, ServiceKey, Settlement};
use serde::Serialize;

use super::{Journal, sql};
use crate::Result;

/// A refused job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RefusedJob {
    /// For which service.
    pub key: ServiceKey,
    /// The job.
    pub job: String,
    /// What it asked for.
    pub action: String,
    /// Why it was refused.
    pub fault: Fault,
    /// When.
    pub at: Millis,
}

impl Journal {
    /// The newest refused jobs, newest first.
    pub fn refused(&self, most: u32) -> Result<Vec<RefusedJob>> {
        let rows = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT inbox.source, inbox.service, inbox.job, inbox.action, outbox.settlement, outbox.created_ms \
                 FROM inbox JOIN outbox ON outbox.source = inbox.source AND outbox.job = inbox.job \
                 WHERE NOT EXISTS (SELECT 1 FROM intents WHERE intents.source = inbox.source \
                     AND intents.service = inbox.service AND intents.job = inbox.job) \
                 ORDER BY outbox.created_ms DESC, inbox.job LIMIT ?1",
            )?;
            let rows = statement.query_map([sql(most.into())], |row| {
                let key = ServiceKey { source: row.get(0)?, service: row.get(1)? };
                let (job, action, settlement): (_, _, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
                Ok((key, job, action, settlement, row.get::<_, i64>(5)?.unsigned_abs()))
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        let mut refused = Vec::new();
        for (key, job, action, settlement, at) in rows {
            if let Settlement::Failed(failure) = serde_json::from_str(&settlement)? {
                refused.push(RefusedJob { key, job, action, fault: failure.fault, at });
            }
        }
        Ok(refused)
    }
}
