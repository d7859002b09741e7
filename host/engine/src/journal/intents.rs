//! Services, and the intents that came of their jobs.

use std::collections::BTreeMap;

use agentkube_contract::{Class, Cluster, Completion, Fault, Millis, Owner, ServiceKey, Settlement};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::inbox::set_inbox;
use super::{Journal, audit, ledger::ENGINE, outbox, schema, sql};
use crate::Result;
use crate::plan::Action;

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServicePhase {
    /// It is being made.
    Creating,
    /// All is as wanted.
    Ready,
    /// The last intent failed; what is left is kept.
    Failed,
    /// It is being deleted.
    Deleting,
    /// Nothing is left.
    Gone,
}

impl ServicePhase {
    pub(super) fn text(self) -> &'static str {
        match self {
            ServicePhase::Creating => "creating",
            ServicePhase::Ready => "ready",
            ServicePhase::Failed => "failed",
            ServicePhase::Deleting => "deleting",
            ServicePhase::Gone => "gone",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        match text {
            "creating" => ServicePhase::Creating,
            "ready" => ServicePhase::Ready,
            "deleting" => ServicePhase::Deleting,
            "gone" => ServicePhase::Gone,
            _ => ServicePhase::Failed,
        }
    }
}

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentState {
    /// Its plan is being carried out.
    Running,
    /// It failed, and what it made is being removed.
    Undoing,
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
    /// A newer one took over.
    Superseded,
}

impl IntentState {
    fn text(self) -> &'static str {
        match self {
            IntentState::Running => "running",
            IntentState::Undoing => "undoing",
            IntentState::Done => "done",
            IntentState::Failed => "failed",
            IntentState::Superseded => "superseded",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "running" => IntentState::Running,
            "undoing" => IntentState::Undoing,
            "done" => IntentState::Done,
            "superseded" => IntentState::Superseded,
            _ => IntentState::Failed,
        }
    }
}

/// One thing that somebody wants of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intent {
    /// Its number.
    pub id: u64,
    /// For which service.
    pub key: ServiceKey,
    /// For people.
    pub display_name: String,
    /// Counts the intents of the service.
    pub generation: u64,
    /// What to do.
    pub action: Action,
    /// What is wanted, with the names of the providers.
    pub wanted: Option<Cluster>,
    /// The job that asked.
    pub job: Option<String>,
    /// Where it stands.
    pub state: IntentState,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// When it was accepted.
    pub began: Millis,
    /// When it was over.
    pub ended: Option<Millis>,
}

/// A claimed job that becomes an intent.
pub(crate) struct Accepted {
    pub owner: Owner,
    pub job: String,
    pub action: Action,
    pub wanted: Option<Cluster>,
    /// Digest of each plugin that serves it.
    pub digests: BTreeMap<String, String>,
}

const COLUMNS: &str = "intents.id, intents.source, intents.service, services.display_name, intents.generation, action, \
     intents.wanted, job, state, fault, began_ms, ended_ms";
const FROM: &str =
    "FROM intents JOIN services ON services.source = intents.source AND services.service = intents.service";

struct Raw {
    intent: Intent,
    wanted: Option<String>,
    fault: Option<String>,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        intent: Intent {
            id: row.get::<_, i64>(0)?.unsigned_abs(),
            key: ServiceKey { source: row.get(1)?, service: row.get(2)? },
            display_name: row.get(3)?,
            generation: row.get::<_, i64>(4)?.unsigned_abs(),
            action: Action::parse(&row.get::<_, String>(5)?),
            wanted: None,
            job: row.get(7)?,
            state: IntentState::parse(&row.get::<_, String>(8)?),
            fault: None,
            began: row.get::<_, i64>(10)?.unsigned_abs(),
            ended: row.get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
        },
        wanted: row.get(6)?,
        fault: row.get(9)?,
    })
}

impl Raw {
    fn read(self) -> Result<Intent> {
        Ok(Intent {
            wanted: self.wanted.as_deref().map(serde_json::from_str).transpose()?,
            fault: self.fault.as_deref().map(serde_json::from_str).transpose()?,
            ..self.intent
        })
    }
}

fn set_phase(connection: &Connection, at: Millis, key: &ServiceKey, phase: ServicePhase) -> Result<()> {
    connection
        .prepare_cached("UPDATE services SET phase = ?3, changed_ms = ?4 WHERE source = ?1 AND service = ?2")?
        .execute(params![key.source, key.service, phase.text(), sql(at)])?;
    Ok(())
}

fn open_intents(connection: &Connection, key: &ServiceKey) -> Result<Vec<Intent>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} {FROM} WHERE intents.source = ?1 AND intents.service = ?2 AND state IN ('running', 'undoing') \
         ORDER BY intents.id"
    ))?;
    let rows = statement.query_map(params![key.source, key.service], raw)?.collect::<rusqlite::Result<Vec<_>>>()?;
    rows.into_iter().map(Raw::read).collect()
}

/// Tries that were dropped where they stood.
fn cancel_steps(connection: &Connection, at: Millis, intent: u64) -> Result<()> {
    connection
        .prepare_cached("UPDATE steps SET ended_ms = ?2, outcome = 'cancelled' WHERE intent = ?1 AND ended_ms IS NULL")?
        .execute(params![sql(intent), sql(at)])?;
    Ok(())
}

/// The older intents of the service end here; what their jobs are told waits in the outbox.
fn supersede(connection: &Connection, at: Millis, key: &ServiceKey, by: Action) -> Result<()> {
    for old in open_intents(connection, key)? {
        connection
            .prepare_cached("UPDATE intents SET state = 'superseded', ended_ms = ?2 WHERE id = ?1")?
            .execute(params![sql(old.id), sql(at)])?;
        cancel_steps(connection, at, old.id)?;
        let fault = old.fault.unwrap_or_else(|| {
            Fault::new(Class::Conflict, "SUPERSEDED", format!("a newer job ({}) for the service took over", by.text()))
        });
        if let Some(job) = old.job {
            outbox::put(connection, at, key, &job, &Settlement::failed(fault))?;
        }
    }
    Ok(())
}

impl Journal {
    /// The job is claimed: it becomes the service's newest intent, and older ones end.
    pub(crate) async fn accept(&self, accepted: Accepted) -> Result<Intent> {
        let at = self.now();
        self.write(move |connection| {
            let Accepted { owner, job, action, wanted, digests } = accepted;
            let key = owner.key.clone();
            set_inbox(connection, at, &key.source, &job, "claimed")?;
            supersede(connection, at, &key, action)?;
            let wanted_text = wanted.as_ref().map(serde_json::to_string).transpose()?;
            let phase = if action == Action::Delete { ServicePhase::Deleting } else { ServicePhase::Creating };
            let generation: i64 = connection
                .prepare_cached(
                    "INSERT INTO services (source, service, cluster, display_name, phase, generation, wanted, created_ms, \
                     changed_ms) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?7) \
                     ON CONFLICT (source, service) DO UPDATE SET display_name = excluded.display_name, \
                     phase = excluded.phase, generation = services.generation + 1, \
                     wanted = COALESCE(excluded.wanted, services.wanted), changed_ms = excluded.changed_ms \
                     RETURNING generation",
                )?
                .query_row(
                    params![
                        key.source,
                        key.service,
                        owner.cluster,
                        owner.display_name,
                        phase.text(),
                        wanted_text,
                        sql(at)
                    ],
                    |row| row.get(0),
                )?;
            let id = schema::next(connection, "intents")?;
            connection
                .prepare_cached(
                    "INSERT INTO intents (id, source, service, generation, action, wanted, job, digests, state, began_ms) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'running', ?9)",
                )?
                .execute(params![
                    sql(id),
                    key.source,
                    key.service,
                    generation,
                    action.text(),
                    wanted_text,
                    job,
                    serde_json::to_string(&digests)?,
                    sql(at)
                ])?;
            let detail = format!("{id}: {} by job {job}", action.text());
            audit::append(connection, at, (&key.source, &key.service), ENGINE, "intent", &detail)?;
            Ok(Intent {
                id,
                key,
                display_name: owner.display_name,
                generation: generation.unsigned_abs(),
                action,
                wanted,
                job: Some(job),
                state: IntentState::Running,
                fault: None,
                began: at,
                ended: None,
            })
        })
        .await
    }

    /// The newest intent of the service that is not over.
    pub(crate) fn open_intent(&self, key: &ServiceKey) -> Result<Option<Intent>> {
        self.read(|connection| Ok(open_intents(connection, key)?.pop()))
    }

    /// Services with an intent that is not over, with the number of the newest.
    pub(crate) fn unfinished(&self) -> Result<Vec<(ServiceKey, u64)>> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT source, service, MAX(id) FROM intents WHERE state IN ('running', 'undoing') \
                 GROUP BY source, service ORDER BY MAX(id)",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((ServiceKey { source: row.get(0)?, service: row.get(1)? }, row.get::<_, i64>(2)?.unsigned_abs()))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The intent failed; what it made is removed next.
    pub(crate) async fn undo(&self, intent: &Intent, fault: Fault) -> Result<()> {
        let (at, id, key) = (self.now(), sql(intent.id), intent.key.clone());
        self.write(move |connection| {
            let changed = connection
                .prepare_cached("UPDATE intents SET state = 'undoing', fault = ?2 WHERE id = ?1 AND state = 'running'")?
                .execute(params![id, serde_json::to_string(&fault)?])?;
            if changed > 0 {
                cancel_steps(connection, at, id.unsigned_abs())?;
                set_phase(connection, at, &key, ServicePhase::Deleting)?;
                let detail = format!("{id}: {fault}");
                audit::append(connection, at, (&key.source, &key.service), ENGINE, "undo", &detail)?;
            }
            Ok(())
        })
        .await
    }

    /// The job is told before its intent is over; the intent goes on. A second result for a job is not kept.
    pub(crate) async fn report(&self, intent: &Intent, settlement: Settlement) -> Result<()> {
        let Some(job) = intent.job.clone() else { return Ok(()) };
        let (at, key) = (self.now(), intent.key.clone());
        self.write(move |connection| outbox::put(connection, at, &key, &job, &settlement)).await
    }

    /// The intent is over: its end, the service's phase and the job's result in one transaction. Nothing when a newer intent
    /// ended it before.
    pub(crate) async fn finish(&self, intent: &Intent, settlement: Settlement, phase: ServicePhase) -> Result<()> {
        let (at, intent) = (self.now(), intent.clone());
        self.write(move |connection| {
            let (state, fault, observed) = match &settlement {
                Settlement::Completed(completion) => {
                    (IntentState::Done, None, Some(serde_json::to_string(completion)?))
                }
                Settlement::Failed(failure) => (
                    IntentState::Failed,
                    Some(serde_json::to_string(&failure.fault)?),
                    failure.status.as_ref().map(serde_json::to_string).transpose()?,
                ),
            };
            let changed = connection
                .prepare_cached(
                    "UPDATE intents SET state = ?2, fault = ?3, ended_ms = ?4 \
                     WHERE id = ?1 AND state IN ('running', 'undoing')",
                )?
                .execute(params![sql(intent.id), state.text(), fault, sql(at)])?;
            if changed == 0 {
                return Ok(());
            }
            cancel_steps(connection, at, intent.id)?;
            set_phase(connection, at, &intent.key, phase)?;
            if observed.is_some() {
                connection
                    .prepare_cached("UPDATE services SET observed = ?3 WHERE source = ?1 AND service = ?2")?
                    .execute(params![intent.key.source, intent.key.service, observed])?;
            }
            if let Some(job) = &intent.job {
                outbox::put(connection, at, &intent.key, job, &settlement)?;
            }
            let detail = format!("{}: {}", intent.id, state.text());
            audit::append(connection, at, (&intent.key.source, &intent.key.service), ENGINE, "end", &detail)
        })
        .await
    }

    /// The description last asked for and the status last reported.
    pub(crate) fn service_wanted(&self, key: &ServiceKey) -> Result<Option<Cluster>> {
        let text: Option<Option<String>> = self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT wanted FROM services WHERE source = ?1 AND service = ?2")?
                .query_row([&key.source, &key.service], |row| row.get(0))
                .optional()?)
        })?;
        Ok(text.flatten().as_deref().map(serde_json::from_str).transpose()?)
    }

    /// The status record last reported for a service.
    pub fn observed(&self, key: &ServiceKey) -> Result<Option<Completion>> {
        let text: Option<Option<String>> = self.read(|connection| {
            Ok(connection
                .prepare_cached("SELECT observed FROM services WHERE source = ?1 AND service = ?2")?
                .query_row([&key.source, &key.service], |row| row.get(0))
                .optional()?)
        })?;
        Ok(text.flatten().as_deref().map(serde_json::from_str).transpose()?)
    }

    /// The newest intents, newest first.
    pub fn intents(&self, most: u32) -> Result<Vec<Intent>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare(&format!("SELECT {COLUMNS} {FROM} ORDER BY intents.id DESC LIMIT ?1"))?;
            let rows = statement.query_map([most], raw)?.collect::<rusqlite::Result<Vec<_>>>()?;
            rows.into_iter().map(Raw::read).collect()
        })
    }
}
