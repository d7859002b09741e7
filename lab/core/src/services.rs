//! `/services`: orders, changes and actions, each of which becomes a job.

use lab_wire::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Scope;
use crate::call::{Call, Id, Reply};
use crate::errors::{Detail, Error};
use crate::jobs::unloadable;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::schema::Schema;
use crate::store::{Agent, Job, JobStatus, Object, Service};
use crate::validators::{Surroundings, go_list};
use crate::values::Application;
use crate::{Core, views};

const FILTERS: &Filters<Service> =
    &[("name", Filter::Contains(|row| row.name.clone())), ("currentStatus", Filter::Exact(|row| row.status.clone()))];

const SORTS: &Sorts<Service> = &[("name", |row| Key::Text(row.name.clone()))];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Order {
    group_id: Option<Id>,
    agent_id: Option<Id>,
    service_type_id: Option<Id>,
    agent_tags: Option<Vec<String>>,
    name: Option<String>,
    properties: Option<Object>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Change {
    name: Option<String>,
    properties: Option<Object>,
}

impl Core {
    pub(crate) fn services_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        match (call.method(), rest) {
            ("GET", []) => {
                call.identity.may("read", "service", &Scope::everybody())?;
                let seen = self.store.services.iter().filter(|row| call.identity.sees(&row.provider, &row.consumer));
                page(call, seen, FILTERS, SORTS, |row| views::service_whole(&self.store, row))
            }
            ("POST", []) => self.order(call),
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                call.identity.may("read", "service", &self.service_scope(&id)?)?;
                self.service_response(&id)
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                self.change(call, &id)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                call.identity.may("delete", "service", &self.service_scope(&id)?)?;
                self.act(call, &id, "delete")?;
                Ok(Response::empty(204))
            }
            ("POST", [id, action]) => {
                let id = Id::in_path(id)?;
                call.identity.may("update", "service", &self.service_scope(&id)?)?;
                self.act(call, &id, action)?;
                self.service_response(&id)
            }
            (_, [] | [_] | [_, _]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn service_scope(&self, id: &str) -> Result<Scope, Error> {
        let row = self.store.services.get(id).ok_or_else(unloadable)?;
        Ok(Scope::shared(&row.provider, &row.consumer, &row.agent))
    }

    fn service_response(&self, id: &str) -> Reply {
        let row = self.store.services.get(id).ok_or(Error::NotFound)?;
        Ok(Response::json(200, &views::service_whole(&self.store, row)))
    }

    fn order(&mut self, call: &mut Call<'_>) -> Reply {
        let body: Order = call.body("CreateServiceReq")?;
        let group_id = body.group_id.unwrap_or_default().0;
        let type_id = body.service_type_id.unwrap_or_default().0;
        let Some(group) = self.store.groups.get(&group_id).cloned() else {
            return Err(Error::Forbidden("resource not found: sql: no rows in result set".to_owned()));
        };
        call.identity.may("create", "service", &Scope::of(&group.consumer))?;
        let agent = self.agent_for(body.agent_id, &type_id, body.agent_tags.unwrap_or_default())?;
        let kind = self.store.service_types.get(&type_id).cloned().ok_or(Error::NotFound)?;
        let serves = self.store.agent_types.get(&agent.agent_type);
        if !serves.is_some_and(|row| row.service_types.contains(&type_id)) {
            let name = serves.map_or("", |row| row.name.as_str());
            return Err(Error::invalid(format!("agent type {name} does not support service type {type_id}")));
        }
        let mut service = Service {
            meta: call.meta(),
            name: body.name.unwrap_or_default(),
            status: kind.lifecycle.initial_state.clone(),
            properties: None,
            instance_id: None,
            instance_data: None,
            provider: agent.provider.clone(),
            consumer: group.consumer,
            group: group_id,
            agent: agent.meta.id.clone(),
            service_type: type_id,
        };
        if service.name.is_empty() {
            return Err(Error::invalid("service name cannot be empty"));
        }
        let wanted = body.properties.unwrap_or_default();
        let applied = self.apply_properties(call, &service, &kind.properties, None, &wanted);
        service.properties = Some(applied.map_err(Error::Validation)?);
        self.check_service_columns(&service)?;
        self.enqueue(call, &service, "create", service.properties.clone());
        let scope = Scope::shared(&service.provider, &service.consumer, &service.agent);
        self.record(call, "service.created", &service.meta.id, &scope);
        self.store.services.place(service.clone());
        Ok(Response::json(201, &views::service(&service)))
    }

    fn agent_for(&self, id: Option<Id>, service_type: &str, tags: Vec<String>) -> Result<Agent, Error> {
        if let Some(Id(id)) = id {
            let found = self.store.agents.get(&id).cloned();
            return found.ok_or_else(|| Error::invalid(format!("agent with ID {id} does not exist")));
        }
        let serves = |row: &Agent| {
            let kind = self.store.agent_types.get(&row.agent_type);
            kind.is_some_and(|kind| kind.service_types.iter().any(|id| id == service_type))
                && tags.iter().all(|tag| row.tags.iter().flatten().any(|own| own == tag))
        };
        self.store.agents.iter().find(|row| serves(row)).cloned().ok_or_else(|| {
            let tags: Vec<Value> = tags.iter().map(|tag| tag.as_str().into()).collect();
            Error::invalid(format!("no agent found for service type {service_type} with tags {}", go_list(&tags)))
        })
    }

    fn change(&mut self, call: &mut Call<'_>, id: &str) -> Reply {
        let body: Change = call.body("UpdateServiceReq")?;
        call.identity.may("update", "service", &self.service_scope(id)?)?;
        let mut service = self.store.services.get(id).cloned().ok_or(Error::NotFound)?;
        let kind = self.store.service_types.get(&service.service_type).cloned().ok_or(Error::NotFound)?;
        let renamed = body.name.is_some();
        if let Some(name) = body.name {
            service.name = name;
        }
        if service.name.is_empty() {
            return Err(Error::invalid("service name cannot be empty"));
        }
        let params = match &body.properties {
            None => None,
            Some(new) => {
                // An update job without parameters has left none: Core follows a null pointer here.
                let old = service.properties.clone().ok_or(Error::Panic)?;
                let state = service.status.clone();
                let applied = self.apply_properties(call, &service, &kind.properties, Some((&old, &state)), new);
                Some(applied.map_err(Error::Validation)?)
            }
        };
        self.check_service_columns(&service)?;
        crate::errors::json_column(params.as_ref())?;
        if params.is_some() {
            self.check_action(&service, "update")?;
            self.enqueue(call, &service, "update", params);
        }
        if renamed {
            // No job: the agent is not told.
            let scope = Scope::shared(&service.provider, &service.consumer, &service.agent);
            self.record(call, "service.updated", id, &scope);
            self.store.services.save(service, call.now);
        }
        self.service_response(id)
    }

    fn act(&mut self, call: &mut Call<'_>, id: &str, action: &str) -> Result<(), Error> {
        let service = self.store.services.get(id).cloned().ok_or(Error::NotFound)?;
        self.check_action(&service, action)?;
        self.enqueue(call, &service, action, None);
        Ok(())
    }

    /// Whether a job of that action can be made now.
    fn check_action(&self, service: &Service, action: &str) -> Result<(), Error> {
        let kind = self.store.service_types.get(&service.service_type).ok_or(Error::NotFound)?;
        let state = &service.status;
        if kind.lifecycle.terminal(state) {
            let text = format!("cannot perform action on service in terminal state: {state}");
            return Err(Error::Invalid(text));
        }
        kind.lifecycle.allowed(state, action).map_err(Error::Invalid)?;
        let id = &service.meta.id;
        let last = self.store.jobs.iter().filter(|row| row.service == *id).max_by_key(|row| row.meta.created);
        match last {
            Some(job) if job.status.active() => {
                Err(Error::invalid(format!("cannot update service {id} while there is an active job {}", job.meta.id)))
            }
            _ => Ok(()),
        }
    }

    fn enqueue(&mut self, call: &mut Call<'_>, service: &Service, action: &str, params: Option<Object>) {
        self.store.jobs.place(Job {
            meta: call.meta(),
            action: action.to_owned(),
            params,
            status: JobStatus::Pending,
            error: String::new(),
            claimed: None,
            completed: None,
            agent: service.agent.clone(),
            service: service.meta.id.clone(),
            provider: service.provider.clone(),
            consumer: service.consumer.clone(),
        });
    }

    /// Applies properties to a service's schema; `old` holds those of an existing service and its state.
    pub(crate) fn apply_properties(
        &mut self,
        call: &mut Call<'_>,
        service: &Service,
        schema: &Schema,
        old: Option<(&Object, &str)>,
        new: &Object,
    ) -> Result<Object, Vec<Detail>> {
        let mut vault = std::mem::take(&mut self.store.vault);
        let mut application = Application {
            actor: call.identity.actor(),
            state: old.map(|(_, state)| state),
            surroundings: Surroundings {
                store: &self.store,
                provider: &service.provider,
                consumer: &service.consumer,
                group: &service.group,
            },
            vault: self.settings.vault.then_some(&mut vault),
            random: call.random,
        };
        let applied = application.apply(schema, old.map(|(old, _)| old), new);
        self.store.vault = vault;
        applied
    }
}
