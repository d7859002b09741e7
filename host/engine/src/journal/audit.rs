//! What was done, append-only; each row's hash covers the row before it, so that a change to the past shows.

use agentkube_contract::Millis;
use data_encoding::HEXLOWER;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Journal, schema, sql};
use crate::Result;

/// One audited event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Position in the chain.
    pub id: u64,
    /// When.
    pub at: Millis,
    /// Job source, or empty.
    pub source: String,
    /// Service, or empty.
    pub service: String,
    /// Who: `engine` or a plugin's configured name.
    pub actor: String,
    /// `intent`, `request`, `created` …
    pub event: String,
    /// What exactly.
    pub detail: String,
    /// SHA-256 over the hash before and this row.
    pub hash: String,
}

impl AuditRow {
    fn digest(&self, previous: &str) -> String {
        let mut hash = Sha256::new();
        let numbers = [self.id.to_string(), self.at.to_string()];
        let parts =
            [previous, &numbers[0], &numbers[1], &self.source, &self.service, &self.actor, &self.event, &self.detail];
        for part in parts {
            // The length first, so that no two rows have the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        HEXLOWER.encode(&hash.finalize())
    }
}

/// Appends a row within the transaction of what it tells of.
pub(super) fn append(
    connection: &Connection,
    at: Millis,
    scope: (&str, &str),
    actor: &str,
    event: &str,
    detail: &str,
) -> Result<()> {
    let previous: Option<String> = connection
        .prepare_cached("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let mut row = AuditRow {
        id: schema::next(connection, "audit")?,
        at,
        source: scope.0.to_owned(),
        service: scope.1.to_owned(),
        actor: actor.to_owned(),
        event: event.to_owned(),
        detail: detail.to_owned(),
        hash: String::new(),
    };
    row.hash = row.digest(previous.as_deref().unwrap_or_default());
    connection
        .prepare_cached(
            "INSERT INTO audit (id, at_ms, source, service, actor, event, detail, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![sql(row.id), sql(at), row.source, row.service, row.actor, row.event, row.detail, row.hash])?;
    Ok(())
}

impl Journal {
    /// All audited events, oldest first.
    pub fn audit(&self) -> Result<Vec<AuditRow>> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT id, at_ms, source, service, actor, event, detail, hash FROM audit ORDER BY id")?;
            let rows = statement.query_map([], |row| {
                Ok(AuditRow {
                    id: row.get::<_, i64>(0)?.unsigned_abs(),
                    at: row.get::<_, i64>(1)?.unsigned_abs(),
                    source: row.get(2)?,
                    service: row.get(3)?,
                    actor: row.get(4)?,
                    event: row.get(5)?,
                    detail: row.get(6)?,
                    hash: row.get(7)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The first row whose hash or number does not follow from the one before; `None` when the chain is whole.
    pub fn audit_broken_at(&self) -> Result<Option<u64>> {
        let mut previous = (0, String::new());
        for row in self.audit()? {
            if row.id != previous.0 + 1 || row.digest(&previous.1) != row.hash {
                return Ok(Some(row.id));
            }
            previous = (row.id, row.hash);
        }
        Ok(None)
    }
}
