//! The tables, as a list of migrations. The SQL is such that PostgreSQL takes it too: no rowid, no type affinity, ids from
//! a table of counters.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{Error, Result};

/// Each entry brings the schema from its index to the next version. Entries are never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// Brings the file to the newest schema and checks whose it is.
pub(super) fn prepare(connection: &mut Connection, installation: &str) -> Result<()> {
    connection.execute_batch("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")?;
    let found: u64 = meta(connection, "schema")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let known = MIGRATIONS.len() as u64;
    if found > known {
        return Err(Error::Schema { found, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        set_meta(&transaction, "schema", &(index + 1).to_string())?;
        transaction.commit()?;
    }
    match meta(connection, "installation")? {
        Some(found) if found != installation => Err(Error::Installation { found, configured: installation.to_owned() }),
        Some(_) => Ok(()),
        None => set_meta(connection, "installation", installation),
    }
}

fn meta(connection: &Connection, key: &str) -> Result<Option<String>> {
    Ok(connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<()> {
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![key, value],
    )?;
    Ok(())
}

/// The next number of a counter.
pub(super) fn next(connection: &Connection, counter: &str) -> Result<u64> {
    let value: i64 = connection
        .prepare_cached(
            "INSERT INTO counters (name, value) VALUES (?1, 1) \
             ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        )?
        .query_row([counter], |row| row.get(0))?;
    Ok(value.unsigned_abs())
}
