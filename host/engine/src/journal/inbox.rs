//! Jobs as their source showed them: noted before anything is done about them.

use agentkube_contract::{Fault, Job, Millis, ServiceKey, Settlement};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Journal, audit, ledger::ENGINE, outbox, sql};
use crate::Result;

/// What the inbox knows of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InboxState {
    Seen,
    Claimed,
    Refused,
    Lost,
    Settled,
}

impl InboxState {
    fn parse(text: &str) -> Self {
        match text {
            "claimed" => InboxState::Claimed,
            "refused" => InboxState::Refused,
            "lost" => InboxState::Lost,
            "settled" => InboxState::Settled,
            _ => InboxState::Seen,
        }
    }
}

pub(super) fn set_inbox(connection: &Connection, at: Millis, source: &str, job: &str, state: &str) -> Result<()> {
    connection
        .prepare_cached("UPDATE inbox SET state = ?3, changed_ms = ?4 WHERE source = ?1 AND job = ?2")?
        .execute(params![source, job, state, sql(at)])?;
    Ok(())
}

impl Journal {
    /// Notes a job before anything is done about it; gives what is known of it already.
    pub(crate) async fn seen(&self, source: &str, job: &Job) -> Result<InboxState> {
        if let Some(known) = self.inbox(source, &job.id)? {
            return Ok(known);
        }
        let (at, source) = (self.now(), source.to_owned());
        let (job, service, action) = (job.id.clone(), job.service.clone(), job.action.clone());
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO inbox (source, job, service, action, state, seen_ms, changed_ms) \
                     VALUES (?1, ?2, ?3, ?4, 'seen', ?5, ?5) ON CONFLICT (source, job) DO NOTHING",
                )?
                .execute(params![source, job, service, action, sql(at)])?;
            Ok(InboxState::Seen)
        })
        .await
    }

    /// What is known of a job.
    pub(crate) fn inbox(&self, source: &str, job: &str) -> Result<Option<InboxState>> {
        self.read(|connection| {
            let state: Option<String> = connection
                .prepare_cached("SELECT state FROM inbox WHERE source = ?1 AND job = ?2")?
                .query_row([source, job], |row| row.get(0))
                .optional()?;
            Ok(state.as_deref().map(InboxState::parse))
        })
    }

    /// Somebody else has the job.
    pub(crate) async fn lost(&self, source: &str, job: &str) -> Result<()> {
        let (at, source, job) = (self.now(), source.to_owned(), job.to_owned());
        self.write(move |connection| set_inbox(connection, at, &source, &job, "lost")).await
    }

    /// The job is claimed and cannot be carried out: its failure waits in the outbox.
    pub(crate) async fn refuse(&self, key: &ServiceKey, job: &str, fault: Fault) -> Result<()> {
        let (at, key, job) = (self.now(), key.clone(), job.to_owned());
        self.write(move |connection| {
            set_inbox(connection, at, &key.source, &job, "refused")?;
            audit::append(connection, at, (&key.source, &key.service), ENGINE, "refused", &format!("{job}: {fault}"))?;
            outbox::put(connection, at, &key, &job, &Settlement::failed(fault))
        })
        .await
    }
}
