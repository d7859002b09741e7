//! `/jobs`: what agents poll, claim, complete and fail.

use std::collections::{BTreeMap, BTreeSet};

use lab_wire::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::{AGENT, Scope};
use crate::call::{Call, Id, Reply};
use crate::errors::{Error, json_column, text_column};
use crate::lifecycle::NoTransition;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::store::{Job, JobStatus, Object, Row, Service, ServiceType};
use crate::{Core, views};

const FILTERS: &Filters<Job> = &[
    ("action", Filter::Exact(|row| row.action.clone())),
    (
        "status",
        Filter::Word(
            |row| row.status.as_str().to_owned(),
            &["Pending", "Processing", "Completed", "Failed"],
            "invalid job status",
        ),
    ),
    ("agentId", Filter::Id(|row| row.agent.clone())),
    ("serviceId", Filter::Id(|row| row.service.clone())),
];

const SORTS: &Sorts<Job> = &[
    ("priority", |_| Key::Number(1.0)),
    ("createdAt", |row| row.meta.created.into()),
    ("claimedAt", |row| row.claimed.into()),
    ("completedAt", |row| row.completed.into()),
];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Completion {
    agent_instance_id: Option<String>,
    agent_instance_data: Option<Object>,
    properties: Option<Object>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Failure {
    error_message: Option<String>,
}

impl Core {
    pub(crate) fn jobs_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        match (call.method(), rest) {
            ("GET", []) => {
                call.identity.may("read", "job", &Scope::everybody())?;
                let seen = self.store.jobs.iter().filter(|row| call.identity.sees(&row.provider, &row.consumer));
                page(call, seen, FILTERS, SORTS, |row| views::job(&self.store, row))
            }
            ("GET", ["pending"]) => self.pending(call),
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                call.identity.may("read", "job", &self.job_scope(&id)?)?;
                let row = self.store.jobs.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::job(&self.store, row)))
            }
            ("POST", [id, action @ ("claim" | "complete" | "fail")]) => {
                let id = Id::in_path(id)?;
                call.identity.must_be(&[AGENT])?;
                match *action {
                    "claim" => self.claim(call, &id)?,
                    "complete" => self.complete(call, &id)?,
                    _ => self.fail(call, &id)?,
                }
                Ok(Response::empty(204))
            }
            (_, [] | [_] | [_, "claim" | "complete" | "fail"]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn job_scope(&self, id: &str) -> Result<Scope, Error> {
        let row = self.store.jobs.get(id).ok_or_else(unloadable)?;
        Ok(Scope::shared(&row.provider, &row.consumer, &row.agent))
    }

    /// The oldest pending job of each group in which this agent works on nothing, in no order at all.
    fn pending(&mut self, call: &mut Call<'_>) -> Reply {
        call.identity.must_be(&[AGENT])?;
        let agent = call.identity.agent.clone().unwrap_or_default();
        let limit = call.request.query_value("limit").and_then(|text| text.parse::<usize>().ok());
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(10);
        let store = &self.store;
        let own = |status: JobStatus| store.jobs.iter().filter(move |row| row.status == status);
        let group = |row: &Job| store.services.get(&row.service).map(|service| service.group.clone());
        let busy: BTreeSet<String> =
            own(JobStatus::Processing).filter(|row| row.agent == agent).filter_map(group).collect();
        let mut first: BTreeMap<String, &Job> = BTreeMap::new();
        for row in own(JobStatus::Pending).filter(|row| row.agent == agent) {
            let Some(group) = group(row).filter(|group| !busy.contains(group)) else { continue };
            let held = first.entry(group).or_insert(row);
            if row.meta.created < held.meta.created {
                *held = row;
            }
        }
        let mut found: Vec<&Job> = first.into_values().collect();
        for at in (1..found.len()).rev() {
            found.swap(at, call.random.below(at as u64 + 1) as usize);
        }
        let found: Vec<Value> = found.into_iter().take(limit).map(|row| views::pending_job(store, row)).collect();
        Ok(Response::json(200, &found))
    }

    fn claim(&mut self, call: &mut Call<'_>, id: &str) -> Result<(), Error> {
        call.identity.may("claim", "job", &self.job_scope(id)?)?;
        let mut job = self.store.jobs.get(id).cloned().ok_or(Error::NotFound)?;
        // Core reads, checks and saves without a lock: of two claims at the same moment both may win.
        let race = self.settings.claim_race_ms;
        let racing = job.status == JobStatus::Processing
            && race > 0
            && job.claimed.is_some_and(|claimed| claimed + race >= call.now)
            && call.random.one_in(3);
        if job.status != JobStatus::Pending && !racing {
            return Err(Error::invalid("cannot claim a job not in pending status"));
        }
        job.status = JobStatus::Processing;
        job.claimed = Some(call.now);
        self.store.jobs.save(job, call.now);
        Ok(())
    }

    /// The rows of a job, in a transaction that [`Core::settle`] commits.
    fn begin(&self, id: &str) -> Result<(Job, Service, ServiceType), Error> {
        let job = self.store.jobs.get(id).cloned().ok_or(Error::NotFound)?;
        let service = self.store.services.get(&job.service).cloned().ok_or(Error::NotFound)?;
        let kind = self.store.service_types.get(&service.service_type).cloned().ok_or(Error::NotFound)?;
        Ok((job, service, kind))
    }

    fn complete(&mut self, call: &mut Call<'_>, id: &str) -> Result<(), Error> {
        let body: Completion = call.body("CompleteJobReq")?;
        call.identity.may("complete", "job", &self.job_scope(id)?)?;
        let (mut job, mut service, kind) = self.begin(id)?;
        if job.status != JobStatus::Processing {
            return Err(Error::invalid("cannot complete a job not in processing status"));
        }
        job.status = JobStatus::Completed;
        job.completed = Some(call.now);
        if let Some(new) = body.properties.filter(|new| !new.is_empty()) {
            let old = service.properties.clone().unwrap_or_default();
            let applied = self
                .apply_properties(call, &service, &kind.properties, Some((&old, &service.status)), &new)
                .map_err(|details| Error::invalid(Error::Validation(details).to_string()))?;
            service.properties.get_or_insert_with(Object::new).extend(applied);
        }
        let next = kind.lifecycle.next_state(&service.status, &job.action, None);
        service.status = next.map_err(|error| Error::invalid(error.text()))?;
        if let Some(data) = body.agent_instance_data {
            service.instance_data = Some(data);
        }
        if let Some(instance) = body.agent_instance_id {
            service.instance_id = Some(instance);
        }
        if job.action == "update" {
            // Whatever the agent has just set is lost.
            service.properties = job.params.clone();
        }
        let terminal = kind.lifecycle.terminal(&service.status);
        if terminal {
            service.instance_id = None;
        }
        self.check_service_columns(&service)?;
        if let Some(properties) = service.properties.clone() {
            self.store.vault.forget_ephemeral(&kind.properties.properties, &properties);
            if terminal {
                self.store.vault.forget_all(&Value::Object(properties));
            }
        }
        self.settle(call, job, Some(service));
        Ok(())
    }

    fn fail(&mut self, call: &mut Call<'_>, id: &str) -> Result<(), Error> {
        let body: Failure = call.body("FailJobReq")?;
        call.identity.may("fail", "job", &self.job_scope(id)?)?;
        let (mut job, mut service, kind) = self.begin(id)?;
        if job.status != JobStatus::Processing {
            return Err(Error::invalid("cannot fail a job not in processing status"));
        }
        job.status = JobStatus::Failed;
        job.error = body.error_message.unwrap_or_default();
        text_column(&job.error)?;
        let moved = match kind.lifecycle.next_state(&service.status, &job.action, Some(&job.error)) {
            Ok(state) => {
                service.status = state;
                if job.action == "update" {
                    // Also on failure: the wanted properties become the current ones.
                    service.properties = job.params.clone();
                }
                true
            }
            Err(NoTransition::None(_)) => false,
            Err(NoTransition::UnknownAction(text)) => return Err(Error::Invalid(text)),
        };
        if let Some(properties) = &service.properties {
            self.store.vault.forget_ephemeral(&kind.properties.properties, properties);
        }
        self.settle(call, job, Some(service).filter(|_| moved));
        Ok(())
    }

    fn settle(&mut self, call: &mut Call<'_>, job: Job, service: Option<Service>) {
        let scope = Scope::shared(&job.provider, &job.consumer, &job.agent);
        self.record(call, "service.transitioned", &job.service, &scope);
        self.store.jobs.save(job, call.now);
        if let Some(service) = service {
            self.store.services.save(service, call.now);
        }
    }

    /// What the database refuses when a service is saved.
    pub(crate) fn check_service_columns(&self, service: &Service) -> Result<(), Error> {
        text_column(&service.name)?;
        json_column(service.properties.as_ref())?;
        json_column(service.instance_data.as_ref())?;
        let Some(instance) = &service.instance_id else { return Ok(()) };
        text_column(instance)?;
        let taken = |row: &Service| row.instance_id.as_ref() == Some(instance) && row.meta().id != service.meta.id;
        match self.store.services.iter().any(taken) {
            true => Err(Error::duplicate("service_agent_instance_id_uniq")),
            false => Ok(()),
        }
    }
}

/// The scope of an unknown row cannot be loaded: forbidden, not missing.
pub(crate) fn unloadable() -> Error {
    Error::Forbidden("cannot load resource: resource not found: sql: no rows in result set".to_owned())
}
