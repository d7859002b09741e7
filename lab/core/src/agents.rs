//! `/agents`: agents, and what an agent may say about itself.

use lab_wire::Response;
use serde::Deserialize;

use crate::auth::{AGENT, Scope};
use crate::call::{Call, Id, Reply};
use crate::errors::{Error, json_column, text_column};
use crate::jobs::unloadable;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::schema::Schema;
use crate::store::{Agent, Object};
use crate::validators::Surroundings;
use crate::values::Application;
use crate::views::Along;
use crate::{Core, views};

/// The statuses that an agent can have.
const STATUSES: &[&str] = &["New", "Connected", "Disconnected", "Error", "Disabled"];

const FILTERS: &Filters<Agent> = &[
    ("name", Filter::Contains(|row| row.name.clone())),
    ("status", Filter::Word(|row| row.status.clone(), STATUSES, "invalid agent status")),
    ("providerId", Filter::Id(|row| row.provider.clone())),
    ("agentTypeId", Filter::Id(|row| row.agent_type.clone())),
];

const SORTS: &Sorts<Agent> = &[("name", |row| Key::Text(row.name.clone()))];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NewAgent {
    name: Option<String>,
    provider_id: Option<Id>,
    agent_type_id: Option<Id>,
    tags: Option<Vec<String>>,
    configuration: Option<Object>,
    service_pool_set_id: Option<Id>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Change {
    name: Option<String>,
    status: Option<String>,
    tags: Option<Vec<String>>,
    configuration: Option<Object>,
    service_pool_set_id: Option<Id>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    status: Option<String>,
}

impl Core {
    pub(crate) fn agents_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        match (call.method(), rest) {
            ("GET", ["me"]) => {
                call.identity.must_be(&[AGENT])?;
                self.agent_response(&call.identity.agent.clone().unwrap_or_default())
            }
            ("PUT", ["me", "status"]) => self.heartbeat(call),
            (_, ["me", "status"]) => Err(Error::NoMethod),
            (_, ["install", _, "config"] | [_, "install-command"] | [_, "install-command", "regenerate"]) => {
                self.install_route(call, rest)
            }
            ("GET", []) => {
                call.identity.may("read", "agent", &Scope::everybody())?;
                let own = call.identity.participant.clone();
                let seen = self.store.agents.iter().filter(|row| own.as_ref().is_none_or(|own| *own == row.provider));
                page(call, seen, FILTERS, SORTS, |row| views::agent(&self.store, row, Along::Listed))
            }
            ("POST", []) => self.create_agent(call),
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                call.identity.may("read", "agent", &self.agent_scope(&id)?)?;
                self.agent_response(&id)
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                self.change_agent(call, &id)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                call.identity.may("delete", "agent", &self.agent_scope(&id)?)?;
                if self.store.services.iter().any(|row| row.agent == id) {
                    return Err(Error::Internal("cannot delete agent with associated services".to_owned()));
                }
                let scope = self.agent_scope(&id)?;
                self.store.tokens.remove_where(|row| row.agent.as_ref() == Some(&id));
                self.store.install_tokens.remove_where(|row| row.agent == id);
                self.store.agents.remove(&id);
                self.record(call, "agent.deleted", &id, &scope);
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    pub(crate) fn agent_scope(&self, id: &str) -> Result<Scope, Error> {
        let row = self.store.agents.get(id).ok_or_else(unloadable)?;
        Ok(Scope { participants: vec![row.provider.clone()], agent: Some(id.to_owned()) })
    }

    fn agent_response(&self, id: &str) -> Reply {
        let row = self.store.agents.get(id).ok_or(Error::NotFound)?;
        Ok(Response::json(200, &views::agent(&self.store, row, Along::Whole)))
    }

    /// Every call writes an event.
    fn heartbeat(&mut self, call: &mut Call<'_>) -> Reply {
        call.identity.must_be(&[AGENT])?;
        let body: Status = call.body("UpdateAgentStatusReq")?;
        let id = call.identity.agent.clone().unwrap_or_default();
        let mut agent = self.store.agents.get(&id).cloned().ok_or(Error::NotFound)?;
        agent.status = body.status.unwrap_or_default();
        agent.last_status_update = call.now;
        self.save_agent(call, agent, "agent.updated")?;
        self.agent_response(&id)
    }

    fn save_agent(&mut self, call: &mut Call<'_>, agent: Agent, event: &str) -> Result<(), Error> {
        if agent.name.is_empty() {
            return Err(Error::invalid("agent name cannot be empty"));
        }
        if !STATUSES.contains(&agent.status.as_str()) {
            return Err(Error::invalid(format!("invalid agent status: {}", agent.status)));
        }
        for (at, tag) in agent.tags.iter().flatten().enumerate() {
            if tag.is_empty() {
                return Err(Error::invalid(format!("tag at index {at} cannot be empty")));
            }
            if tag.len() > 100 {
                return Err(Error::invalid(format!("tag at index {at} exceeds maximum length of 100 characters")));
            }
            text_column(tag)?;
        }
        text_column(&agent.name)?;
        json_column(agent.configuration.as_ref())?;
        let scope = Scope { participants: vec![agent.provider.clone()], agent: Some(agent.meta.id.clone()) };
        self.record(call, event, &agent.meta.id, &scope);
        self.store.agents.save(agent, call.now);
        Ok(())
    }

    fn create_agent(&mut self, call: &mut Call<'_>) -> Reply {
        let body: NewAgent = call.body("CreateAgentReq")?;
        let provider = body.provider_id.unwrap_or_default().0;
        call.identity.may("create", "agent", &Scope::of(&provider))?;
        if self.store.participants.get(&provider).is_none() {
            return Err(Error::invalid(format!("provider with ID {provider} does not exist")));
        }
        let type_id = body.agent_type_id.unwrap_or_default().0;
        let Some(kind) = self.store.agent_types.get(&type_id).cloned() else {
            return Err(Error::invalid(format!("agent type with ID {type_id} does not exist")));
        };
        if let Some(Id(id)) = body.service_pool_set_id {
            return Err(Error::invalid(format!("service pool set with ID {id} does not exist")));
        }
        // Without a configuration not even the schema's defaults apply.
        let configuration = match body.configuration {
            Some(new) => Some(self.configure(call, &kind.configuration, None, &new)?),
            None => None,
        };
        let agent = Agent {
            meta: call.meta(),
            name: body.name.unwrap_or_default(),
            status: "Disconnected".to_owned(),
            last_status_update: call.now,
            tags: body.tags,
            configuration,
            agent_type: type_id,
            provider,
            pool_set: None,
        };
        self.save_agent(call, agent.clone(), "agent.created")?;
        Ok(Response::json(201, &views::agent(&self.store, &agent, Along::Nothing)))
    }

    fn change_agent(&mut self, call: &mut Call<'_>, id: &str) -> Reply {
        let body: Change = call.body("UpdateAgentReq")?;
        call.identity.may("update", "agent", &self.agent_scope(id)?)?;
        let mut agent = self.store.agents.get(id).cloned().ok_or(Error::NotFound)?;
        let kind = self.store.agent_types.get(&agent.agent_type).cloned().ok_or(Error::NotFound)?;
        if body.service_pool_set_id.is_some() {
            return Err(Error::NotFound);
        }
        if let Some(status) = body.status {
            agent.status = status;
            agent.last_status_update = call.now;
        }
        if let Some(name) = body.name {
            agent.name = name;
        }
        if let Some(tags) = body.tags {
            agent.tags = Some(tags);
        }
        if let Some(new) = body.configuration {
            let old = agent.configuration.take().unwrap_or_default();
            agent.configuration = Some(self.configure(call, &kind.configuration, Some(&old), &new)?);
        }
        self.save_agent(call, agent, "agent.updated")?;
        self.agent_response(id)
    }

    fn configure(
        &mut self,
        call: &mut Call<'_>,
        schema: &Schema,
        old: Option<&Object>,
        new: &Object,
    ) -> Result<Object, Error> {
        let mut vault = std::mem::take(&mut self.store.vault);
        let mut application = Application {
            actor: call.identity.actor(),
            state: None,
            surroundings: Surroundings { store: &self.store, provider: "", consumer: "", group: "" },
            vault: self.settings.vault.then_some(&mut vault),
            random: call.random,
        };
        let applied = application.apply(schema, old, new);
        self.store.vault = vault;
        applied.map_err(|details| Error::invalid(format!("configuration: {}", Error::Validation(details))))
    }
}
