//! `/service-types` and `/agent-types`.

use lab_wire::Response;
use serde::Deserialize;

use crate::auth::Scope;
use crate::call::{Call, Id, Reply};
use crate::errors::Error;
use crate::lifecycle::Lifecycle;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::schema::{Dialect, Schema};
use crate::store::{AgentType, ServiceType};
use crate::{Core, template, views};

const SERVICE_FILTERS: &Filters<ServiceType> = &[("name", Filter::Contains(|row| row.name.clone()))];
const SERVICE_SORTS: &Sorts<ServiceType> = &[("name", |row| Key::Text(row.name.clone()))];
const AGENT_FILTERS: &Filters<AgentType> = &[("name", Filter::Contains(|row| row.name.clone()))];
const AGENT_SORTS: &Sorts<AgentType> = &[("name", |row| Key::Text(row.name.clone()))];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceTypeBody {
    name: Option<String>,
    property_schema: Option<Schema>,
    lifecycle_schema: Option<Lifecycle>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AgentTypeBody {
    name: Option<String>,
    service_type_ids: Option<Vec<Id>>,
    configuration_schema: Option<Schema>,
    config_template: Option<String>,
    cmd_template: Option<String>,
    config_content_type: Option<String>,
}

impl Core {
    pub(crate) fn service_types_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let may = |call: &Call<'_>, action| call.identity.may(action, "service_type", &Scope::everybody());
        match (call.method(), rest) {
            ("GET", []) => {
                may(call, "read")?;
                page(call, self.store.service_types.iter(), SERVICE_FILTERS, SERVICE_SORTS, views::service_type)
            }
            ("POST", []) => {
                let body: ServiceTypeBody = call.body("CreateServiceTypeReq")?;
                may(call, "create")?;
                let row = ServiceType {
                    meta: call.meta(),
                    name: String::new(),
                    properties: Schema::default(),
                    lifecycle: Lifecycle::default(),
                };
                self.save_service_type(call, row, body, "service_type.created", 201)
            }
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "read")?;
                let row = self.store.service_types.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::service_type(row)))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: ServiceTypeBody = call.body("UpdateServiceTypeReq")?;
                may(call, "update")?;
                let row = self.store.service_types.get(&id).cloned().ok_or(Error::NotFound)?;
                self.save_service_type(call, row, body, "service_type.updated", 200)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "delete")?;
                self.store.service_types.get(&id).ok_or(Error::NotFound)?;
                let services = self.store.services.iter().filter(|row| row.service_type == id).count();
                dependents("service type", &id, services, "service")?;
                self.store.service_types.remove(&id);
                self.record(call, "service_type.deleted", &id, &Scope::everybody());
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn save_service_type(
        &mut self,
        call: &mut Call<'_>,
        mut row: ServiceType,
        body: ServiceTypeBody,
        event: &str,
        status: u16,
    ) -> Reply {
        row.name = body.name.unwrap_or(row.name);
        row.properties = body.property_schema.unwrap_or(row.properties);
        row.lifecycle = body.lifecycle_schema.unwrap_or(row.lifecycle);
        row.properties
            .check(Dialect::Service)
            .map_err(|error| Error::invalid(format!("invalid property schema: {error}")))?;
        if row.name.is_empty() {
            return Err(Error::invalid("service type name cannot be empty"));
        }
        row.lifecycle
            .check()
            .map_err(|error| Error::invalid(format!("lifecycle schema validation failed: {error}")))?;
        if self.store.service_types.iter().any(|other| other.name == row.name && other.meta.id != row.meta.id) {
            return Err(Error::duplicate("uni_service_types_name"));
        }
        self.record(call, event, &row.meta.id, &Scope::everybody());
        let answer = views::service_type(&row);
        self.store.service_types.save(row, call.now);
        Ok(Response::json(status, &answer))
    }

    pub(crate) fn agent_types_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let may = |call: &Call<'_>, action| call.identity.may(action, "agent_type", &Scope::everybody());
        match (call.method(), rest) {
            ("GET", []) => {
                may(call, "read")?;
                let view = |row: &AgentType| views::agent_type(row, true);
                page(call, self.store.agent_types.iter(), AGENT_FILTERS, AGENT_SORTS, view)
            }
            ("POST", []) => {
                let body: AgentTypeBody = call.body("CreateAgentTypeReq")?;
                may(call, "create")?;
                let row = AgentType {
                    meta: call.meta(),
                    name: String::new(),
                    service_types: Vec::new(),
                    configuration: Schema::default(),
                    config_template: String::new(),
                    cmd_template: String::new(),
                    config_content_type: String::new(),
                };
                self.save_agent_type(call, row, body, "agent_type.created", 201)
            }
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "read")?;
                let row = self.store.agent_types.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::agent_type(row, true)))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: AgentTypeBody = call.body("UpdateAgentTypeReq")?;
                may(call, "update")?;
                let row = self.store.agent_types.get(&id).cloned().ok_or(Error::NotFound)?;
                self.save_agent_type(call, row, body, "agent_type.updated", 200)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "delete")?;
                self.store.agent_types.get(&id).ok_or(Error::NotFound)?;
                let agents = self.store.agents.iter().filter(|row| row.agent_type == id).count();
                dependents("agent type", &id, agents, "agent")?;
                self.store.agent_types.remove(&id);
                self.record(call, "agent_type.deleted", &id, &Scope::everybody());
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn save_agent_type(
        &mut self,
        call: &mut Call<'_>,
        mut row: AgentType,
        body: AgentTypeBody,
        event: &str,
        status: u16,
    ) -> Reply {
        row.name = body.name.unwrap_or(row.name);
        if let Some(ids) = body.service_type_ids {
            // The given list replaces the old one.
            row.service_types = ids.into_iter().map(|id| id.0).collect();
        }
        row.configuration = body.configuration_schema.unwrap_or(row.configuration);
        row.config_template = body.config_template.unwrap_or(row.config_template);
        row.cmd_template = body.cmd_template.unwrap_or(row.cmd_template);
        row.config_content_type = body.config_content_type.unwrap_or(row.config_content_type);
        if row.config_content_type.is_empty() {
            row.config_content_type = "text/plain".to_owned();
        }
        if row.name.is_empty() {
            return Err(Error::invalid("agent type name cannot be empty"));
        }
        row.configuration
            .check(Dialect::Configuration)
            .map_err(|error| Error::invalid(format!("configurationSchema: {error}")))?;
        template::check(&row).map_err(Error::Invalid)?;
        if self.store.agent_types.iter().any(|other| other.name == row.name && other.meta.id != row.meta.id) {
            return Err(Error::duplicate("uni_agent_types_name"));
        }
        self.record(call, event, &row.meta.id, &Scope::everybody());
        let answer = views::agent_type(&row, true);
        self.store.agent_types.save(row, call.now);
        Ok(Response::json(status, &answer))
    }
}

/// A row that others depend on is not deleted; as Core's delete handlers have it, the refusal is a 500.
pub(crate) fn dependents(what: &str, id: &str, count: usize, on: &str) -> Result<(), Error> {
    match count {
        0 => Ok(()),
        _ => Err(Error::Internal(format!("invalid input: cannot delete {what} {id}: {count} dependent {on}(s) exist"))),
    }
}
