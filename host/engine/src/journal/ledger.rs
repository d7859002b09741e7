//! The ledger: every external object that we own or mean to own. Plugins write it through their capability, the engine writes
//! rows of its own (holder [`ENGINE`]) in the transactions of its steps.

use agentkube_contract::{Answer, Class, EntryId, Fault, Holder, Item, Ledger, Millis, ServiceKey, State};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{Journal, audit, schema, scope, sql};
use crate::Result;

/// Holder of the engine's own rows: machines, control planes, join tokens.
pub(crate) const ENGINE: &str = "engine";

/// A row as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerRow {
    /// Its number.
    pub entry: EntryId,
    /// Whose it is; `None`: of no one service.
    pub service: Option<ServiceKey>,
    /// Plugin, or `engine`.
    pub plugin: String,
    /// Kind of object.
    pub kind: String,
    /// Name, unique within service, plugin and kind.
    pub name: String,
    /// What was said when it was declared.
    pub detail: String,
    /// Where it stands.
    pub state: State,
    /// The provider's id.
    pub external_id: Option<String>,
    /// A request whose answer is not known.
    pub in_doubt: Option<String>,
    /// When it was declared.
    pub created: Millis,
}

/// A row that the engine declares before a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewRow {
    pub kind: &'static str,
    pub name: String,
    pub detail: String,
}

/// What a step's success means for a row of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowChange {
    pub kind: &'static str,
    pub name: String,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Created(String),
    Gone,
}

const COLUMNS: &str = "id, kind, name, detail, state, external_id, note, answer_request, answer_status, answer_body, \
     answer_ms, (SELECT request FROM doubts WHERE entry = ledger.id ORDER BY sent_ms DESC, request LIMIT 1)";

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let request: Option<String> = row.get(7)?;
    let last_answer = match request {
        None => None,
        Some(request) => Some(Answer {
            request,
            status: u16::try_from(row.get::<_, i64>(8)?).unwrap_or(0),
            body: row.get(9)?,
            at: row.get::<_, i64>(10)?.unsigned_abs(),
        }),
    };
    Ok(Item {
        entry: row.get::<_, i64>(0)?.unsigned_abs(),
        kind: row.get(1)?,
        name: row.get(2)?,
        detail: row.get(3)?,
        state: state(&row.get::<_, String>(4)?),
        external_id: row.get(5)?,
        note: row.get(6)?,
        last_answer,
        in_doubt: row.get(11)?,
    })
}

fn state(text: &str) -> State {
    match text {
        "live" => State::Live,
        "gone" => State::Gone,
        _ => State::Intended,
    }
}

/// Declares a row; a row that is gone starts again from nothing.
pub(super) fn intend(
    connection: &Connection,
    at: Millis,
    holder: &Holder,
    kind: &str,
    name: &str,
    detail: &str,
) -> Result<Item> {
    let (source, service) = scope(holder.service.as_ref());
    let known: Option<(i64, String)> = connection
        .prepare_cached(
            "SELECT id, state FROM ledger WHERE source = ?1 AND service = ?2 AND plugin = ?3 AND kind = ?4 AND name = ?5",
        )?
        .query_row(params![source, service, holder.plugin, kind, name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let id = match known {
        Some((id, state)) if state != "gone" => id,
        Some((id, _)) => {
            connection
                .prepare_cached(
                    "UPDATE ledger SET state = 'intended', detail = ?2, external_id = NULL, note = NULL, \
                     note_digest = NULL, answer_request = NULL, answer_status = NULL, answer_body = NULL, \
                     answer_ms = NULL, created_ms = ?3, changed_ms = ?3 WHERE id = ?1",
                )?
                .execute(params![id, detail, sql(at)])?;
            id
        }
        None => {
            let id = sql(schema::next(connection, "ledger")?);
            connection
                .prepare_cached(
                    "INSERT INTO ledger (id, source, service, plugin, kind, name, detail, state, created_ms, changed_ms) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'intended', ?8, ?8)",
                )?
                .execute(params![id, source, service, holder.plugin, kind, name, detail, sql(at)])?;
            id
        }
    };
    Ok(connection.prepare_cached(&format!("SELECT {COLUMNS} FROM ledger WHERE id = ?1"))?.query_row([id], item)?)
}

/// The row, when it is the holder's.
fn owned(connection: &Connection, holder: &Holder, entry: EntryId) -> Result<Item> {
    let (source, service) = scope(holder.service.as_ref());
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM ledger WHERE id = ?1 AND source = ?2 AND service = ?3 AND plugin = ?4"
        ))?
        .query_row(params![sql(entry), source, service, holder.plugin], item)
        .optional()?;
    Ok(found.ok_or_else(|| {
        Fault::new(
            Class::Denied,
            "NOT_YOUR_ENTRY",
            format!(
                "ledger entry {entry} is none of plugin `{}` for this service: use the entry that `intend` gave",
                holder.plugin
            ),
        )
    })?)
}

pub(super) fn created(connection: &Connection, at: Millis, holder: &Holder, entry: EntryId, id: &str) -> Result<()> {
    let row = owned(connection, holder, entry)?;
    match (row.state, row.external_id.as_deref()) {
        (State::Live, Some(known)) if known != id => Err(Fault::new(
            Class::Conflict,
            "OTHER_ID",
            format!("ledger entry {entry} ({} `{}`) is live with id `{known}`, not `{id}`", row.kind, row.name),
        )
        .into()),
        (State::Gone, _) => Err(Fault::new(
            Class::Conflict,
            "ENTRY_GONE",
            format!("ledger entry {entry} ({} `{}`) is gone: declare it again first", row.kind, row.name),
        )
        .into()),
        (State::Live, Some(_)) => settle_doubts(connection, entry),
        _ => {
            connection
                .prepare_cached("UPDATE ledger SET state = 'live', external_id = ?2, changed_ms = ?3 WHERE id = ?1")?
                .execute(params![sql(entry), id, sql(at)])?;
            settle_doubts(connection, entry)?;
            record(connection, at, holder, "created", &format!("{} {} = {id}", row.kind, row.name))
        }
    }
}

pub(super) fn gone(connection: &Connection, at: Millis, holder: &Holder, entry: EntryId) -> Result<()> {
    let row = owned(connection, holder, entry)?;
    if row.state == State::Gone {
        return Ok(());
    }
    connection
        .prepare_cached("UPDATE ledger SET state = 'gone', changed_ms = ?2 WHERE id = ?1")?
        .execute(params![sql(entry), sql(at)])?;
    connection.prepare_cached("DELETE FROM reservations WHERE entry = ?1")?.execute([sql(entry)])?;
    settle_doubts(connection, entry)?;
    record(connection, at, holder, "gone", &format!("{} {}", row.kind, row.name))
}

fn settle_doubts(connection: &Connection, entry: EntryId) -> Result<()> {
    connection.prepare_cached("DELETE FROM doubts WHERE entry = ?1")?.execute([sql(entry)])?;
    Ok(())
}

fn record(connection: &Connection, at: Millis, holder: &Holder, event: &str, detail: &str) -> Result<()> {
    let (source, service) = scope(holder.service.as_ref());
    audit::append(connection, at, (&source, &service), &holder.plugin, event, detail)
}

fn rows_of(connection: &Connection, holder: &Holder, kind: &str) -> Result<Vec<Item>> {
    let (source, service) = scope(holder.service.as_ref());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM ledger WHERE source = ?1 AND service = ?2 AND plugin = ?3 AND kind = ?4 \
         AND state <> 'gone' ORDER BY id"
    ))?;
    let rows = statement.query_map(params![source, service, holder.plugin, kind], item)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The engine as holder of rows of a service.
pub(super) fn engine(key: &ServiceKey) -> Holder {
    Holder {
        plugin: ENGINE.to_owned(),
        digest: concat!("engine ", env!("CARGO_PKG_VERSION")).to_owned(),
        service: Some(key.clone()),
    }
}

/// Applies what a step's success means for a row of the engine.
pub(super) fn apply(connection: &Connection, at: Millis, key: &ServiceKey, change: &RowChange) -> Result<()> {
    let holder = engine(key);
    let entry = intend_known(connection, &holder, change)?;
    match (&change.change, entry) {
        (_, None) => Ok(()),
        (Change::Created(id), Some(entry)) => created(connection, at, &holder, entry, id),
        (Change::Gone, Some(entry)) => gone(connection, at, &holder, entry),
    }
}

fn intend_known(connection: &Connection, holder: &Holder, change: &RowChange) -> Result<Option<EntryId>> {
    Ok(rows_of(connection, holder, change.kind)?.into_iter().find(|row| row.name == change.name).map(|row| row.entry))
}

#[async_trait]
impl Ledger for Journal {
    async fn intend(&self, holder: &Holder, kind: &str, name: &str, detail: &str) -> agentkube_contract::Result<Item> {
        let (at, holder) = (self.now(), holder.clone());
        let (kind, name, detail) = (kind.to_owned(), name.to_owned(), detail.to_owned());
        Ok(self.write(move |connection| intend(connection, at, &holder, &kind, &name, &detail)).await?)
    }

    async fn note(&self, holder: &Holder, entry: EntryId, note: Vec<u8>) -> agentkube_contract::Result<()> {
        if note.len() > Answer::LIMIT {
            return Err(Fault::invalid("NOTE_SIZE", format!("a note of {} bytes; at most 65536 are kept", note.len())));
        }
        let (at, holder) = (self.now(), holder.clone());
        let work = move |connection: &Connection| {
            owned(connection, &holder, entry)?;
            connection
                .prepare_cached("UPDATE ledger SET note = ?2, note_digest = ?3, changed_ms = ?4 WHERE id = ?1")?
                .execute(params![sql(entry), note, holder.digest, sql(at)])?;
            Ok(())
        };
        Ok(self.write(work).await?)
    }

    async fn created(&self, holder: &Holder, entry: EntryId, external_id: &str) -> agentkube_contract::Result<()> {
        let (at, holder, id) = (self.now(), holder.clone(), external_id.to_owned());
        Ok(self.write(move |connection| created(connection, at, &holder, entry, &id)).await?)
    }

    async fn gone(&self, holder: &Holder, entry: EntryId) -> agentkube_contract::Result<()> {
        let (at, holder) = (self.now(), holder.clone());
        Ok(self.write(move |connection| gone(connection, at, &holder, entry)).await?)
    }

    async fn mine(&self, holder: &Holder, kind: &str) -> agentkube_contract::Result<Vec<Item>> {
        Ok(self.read(|connection| rows_of(connection, holder, kind))?)
    }

    async fn sent(&self, holder: &Holder, entry: EntryId, request: &str) -> agentkube_contract::Result<()> {
        let (at, holder, request) = (self.now(), holder.clone(), request.to_owned());
        let work = move |connection: &Connection| {
            let row = owned(connection, &holder, entry)?;
            if row.state == State::Gone {
                return Err(Fault::invalid(
                    "ENTRY_GONE",
                    format!("ledger entry {entry} ({} `{}`) is gone: declare it again first", row.kind, row.name),
                )
                .into());
            }
            connection
                .prepare_cached(
                    "INSERT INTO doubts (entry, request, sent_ms) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (entry, request) DO UPDATE SET sent_ms = excluded.sent_ms",
                )?
                .execute(params![sql(entry), request, sql(at)])?;
            record(connection, at, &holder, "request", &format!("{} {}: {request}", row.kind, row.name))
        };
        Ok(self.write(work).await?)
    }

    async fn answered(&self, holder: &Holder, entry: EntryId, mut answer: Answer) -> agentkube_contract::Result<()> {
        answer.body.truncate(Answer::LIMIT);
        let holder = holder.clone();
        let work = move |connection: &Connection| {
            owned(connection, &holder, entry)?;
            connection
                .prepare_cached(
                    "UPDATE ledger SET answer_request = ?2, answer_status = ?3, answer_body = ?4, answer_ms = ?5, \
                     changed_ms = ?5 WHERE id = ?1",
                )?
                .execute(params![sql(entry), answer.request, i64::from(answer.status), answer.body, sql(answer.at)])?;
            resolve(connection, entry, &answer.request)
        };
        Ok(self.write(work).await?)
    }

    async fn unsent(&self, holder: &Holder, entry: EntryId, request: &str) -> agentkube_contract::Result<()> {
        let (holder, request) = (holder.clone(), request.to_owned());
        let work = move |connection: &Connection| {
            owned(connection, &holder, entry)?;
            resolve(connection, entry, &request)
        };
        Ok(self.write(work).await?)
    }
}

fn resolve(connection: &Connection, entry: EntryId, request: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM doubts WHERE entry = ?1 AND request = ?2")?
        .execute(params![sql(entry), request])?;
    Ok(())
}

impl Journal {
    /// Rows of the engine for one service that are not gone: everything of ours that may exist.
    pub(crate) fn engine_rows(&self, key: &ServiceKey) -> Result<Vec<Item>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM ledger WHERE source = ?1 AND service = ?2 AND plugin = ?3 AND state <> 'gone' \
                 ORDER BY id"
            ))?;
            let rows = statement.query_map(params![key.source, key.service, ENGINE], item)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Declares a row of the engine outside a step.
    pub(crate) async fn declare(&self, key: &ServiceKey, row: NewRow) -> Result<()> {
        let (at, holder) = (self.now(), engine(key));
        self.write(move |connection| intend(connection, at, &holder, row.kind, &row.name, &row.detail)).await?;
        Ok(())
    }

    /// All rows that are not gone, of every service.
    pub fn ledger_live(&self) -> Result<Vec<LedgerRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!(
                "SELECT {COLUMNS}, source, service, plugin, created_ms FROM ledger WHERE state <> 'gone' \
                 ORDER BY source, service, id"
            ))?;
            let rows = statement.query_map([], |row| {
                let item = item(row)?;
                let key = ServiceKey { source: row.get(12)?, service: row.get(13)? };
                Ok(LedgerRow {
                    entry: item.entry,
                    service: (!key.source.is_empty()).then_some(key),
                    plugin: row.get(14)?,
                    kind: item.kind,
                    name: item.name,
                    detail: item.detail,
                    state: item.state,
                    external_id: item.external_id,
                    in_doubt: item.in_doubt,
                    created: row.get::<_, i64>(15)?.unsigned_abs(),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}
