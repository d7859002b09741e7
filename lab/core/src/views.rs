//! Rows as answers show them. Empty fields are absent, not null, except where Core itself sends null.

use lab_wire::{Millis, rfc3339};
use serde_json::{Value, json};

use crate::call::number_of;
use crate::store::*;

/// An object under construction.
struct View(Object);

impl View {
    fn new(meta: &Meta) -> Self {
        let mut view = View(Object::new());
        view.set("id", meta.id.as_str());
        view.set("createdAt", rfc3339(meta.created));
        view.set("updatedAt", rfc3339(meta.updated));
        view
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    fn time(&mut self, key: &str, value: Option<Millis>) {
        self.maybe(key, value.map(rfc3339));
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// A participant.
pub fn participant(row: &Participant) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("status", row.status.as_str());
    view.done()
}

/// A service type.
pub fn service_type(row: &ServiceType) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("propertySchema", json!(row.properties));
    view.set("lifecycleSchema", json!(row.lifecycle));
    view.done()
}

/// An agent type; its service types are empty where Core does not load them.
pub fn agent_type(row: &AgentType, with_service_types: bool) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("serviceTypeIds", if with_service_types { json!(row.service_types) } else { json!([]) });
    view.set("configurationSchema", json!(row.configuration));
    view.set("configTemplate", row.config_template.as_str());
    view.set("cmdTemplate", row.cmd_template.as_str());
    view.set("configContentType", row.config_content_type.as_str());
    view.done()
}

/// What an agent's answer brings along.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Nothing: inside other answers, and just created.
    Nothing,
    /// Participant and type, the latter without its service types: in lists.
    Listed,
    /// Participant and type.
    Whole,
}

/// An agent.
pub fn agent(store: &Store, row: &Agent, along: Along) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("status", row.status.as_str());
    view.set("providerId", row.provider.as_str());
    view.set("agentTypeId", row.agent_type.as_str());
    view.set("tags", json!(row.tags));
    view.maybe("configuration", row.configuration.clone());
    view.maybe("servicePoolSetId", row.pool_set.as_deref());
    if along != Along::Nothing {
        view.maybe("participant", store.participants.get(&row.provider).map(participant));
        let found = store.agent_types.get(&row.agent_type);
        view.maybe("agentType", found.map(|row| agent_type(row, along == Along::Whole)));
    }
    view.done()
}

/// A service group.
pub fn group(row: &Group, consumer: Option<&Participant>) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("consumerId", row.consumer.as_str());
    view.maybe("consumer", consumer.map(participant));
    view.done()
}

/// A service, alone.
pub fn service(row: &Service) -> Value {
    service_view(row).done()
}

/// A service with its agent and type.
pub fn service_whole(store: &Store, row: &Service) -> Value {
    let mut view = service_view(row);
    view.maybe("agent", store.agents.get(&row.agent).map(|row| agent(store, row, Along::Nothing)));
    view.maybe("serviceType", store.service_types.get(&row.service_type).map(service_type));
    view.done()
}

fn service_view(row: &Service) -> View {
    let mut view = View::new(&row.meta);
    view.set("providerId", row.provider.as_str());
    view.set("consumerId", row.consumer.as_str());
    view.set("agentId", row.agent.as_str());
    view.set("serviceTypeId", row.service_type.as_str());
    view.set("groupId", row.group.as_str());
    view.set("name", row.name.as_str());
    view.set("status", row.status.as_str());
    view.maybe("agentInstanceId", row.instance_id.as_deref());
    view.maybe("properties", row.properties.clone());
    view.maybe("agentInstanceData", row.instance_data.clone());
    view
}

/// A job with its service only, as the pending list shows it.
pub fn pending_job(store: &Store, row: &Job) -> Value {
    job_view(store, row).done()
}

/// A job.
pub fn job(store: &Store, row: &Job) -> Value {
    let mut view = job_view(store, row);
    view.maybe("agent", store.agents.get(&row.agent).map(|row| agent(store, row, Along::Nothing)));
    view.maybe("provider", store.participants.get(&row.provider).map(participant));
    view.maybe("consumer", store.participants.get(&row.consumer).map(participant));
    view.done()
}

fn job_view(store: &Store, row: &Job) -> View {
    let mut view = View::new(&row.meta);
    view.set("providerId", row.provider.as_str());
    view.set("consumerId", row.consumer.as_str());
    view.set("agentId", row.agent.as_str());
    view.set("serviceId", row.service.as_str());
    view.set("action", row.action.as_str());
    view.maybe("params", row.params.clone());
    view.set("status", row.status.as_str());
    view.set("priority", 1);
    view.maybe("errorMessage", Some(row.error.as_str()).filter(|text| !text.is_empty()));
    view.time("claimedAt", row.claimed);
    view.time("completedAt", row.completed);
    view.maybe("service", store.services.get(&row.service).map(service));
    view
}

/// A metric type.
pub fn metric_type(row: &MetricType) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("entityType", row.entity.as_str());
    view.done()
}

/// A metric entry; listed ones bring agent, service and type along.
pub fn metric_entry(store: &Store, row: &MetricEntry, listed: bool) -> Value {
    let mut view = View::new(&row.meta);
    view.set("providerId", row.provider.as_str());
    view.set("consumerId", row.consumer.as_str());
    view.set("agentId", row.agent.as_str());
    view.set("serviceId", row.service.as_str());
    view.set("resourceId", row.resource.as_str());
    view.set("value", number_of(row.value));
    view.set("typeId", row.metric_type.as_str());
    if listed {
        view.maybe("agent", store.agents.get(&row.agent).map(|row| agent(store, row, Along::Nothing)));
        view.maybe("service", store.services.get(&row.service).map(service));
        view.maybe("type", store.metric_types.get(&row.metric_type).map(metric_type));
    }
    view.done()
}

/// A service option type.
pub fn option_type(row: &OptionType) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("type", row.kind.as_str());
    view.set("description", row.description.as_str());
    view.done()
}

/// A service option.
pub fn option(row: &ServiceOption) -> Value {
    let mut view = View::new(&row.meta);
    view.set("providerId", row.provider.as_str());
    view.set("serviceOptionTypeId", row.option_type.as_str());
    view.set("name", row.name.as_str());
    view.set("value", row.value.clone());
    view.set("enabled", row.enabled);
    view.set("displayOrder", row.order);
    view.done()
}

/// A token; its value is shown once.
pub fn token(store: &Store, row: &Token, value: Option<&str>, whole: bool) -> Value {
    let mut view = View::new(&row.meta);
    view.set("name", row.name.as_str());
    view.set("role", row.role.as_str());
    view.set("expireAt", rfc3339(row.expires));
    view.maybe("participantId", row.participant.as_deref());
    view.maybe("agentId", row.agent.as_deref());
    view.maybe("value", value);
    if whole {
        let found = row.participant.as_ref().and_then(|id| store.participants.get(id));
        view.maybe("participant", found.map(participant));
        let found = row.agent.as_ref().and_then(|id| store.agents.get(id));
        view.maybe("agent", found.map(|row| agent(store, row, Along::Nothing)));
    }
    view.done()
}

/// An event.
pub fn event(store: &Store, row: &Event) -> Value {
    let mut view = View::new(&row.meta);
    view.set("sequenceNumber", row.sequence);
    view.set("initiatorType", "user");
    view.set("initiatorId", row.initiator.as_str());
    view.set("type", row.kind.as_str());
    view.set("properties", json!({ "entityId": row.entity }));
    for (key, nested, id) in [("providerId", "provider", &row.provider), ("consumerId", "consumer", &row.consumer)] {
        view.maybe(key, id.as_deref());
        view.maybe(nested, id.as_ref().and_then(|id| store.participants.get(id)).map(participant));
    }
    view.maybe("agentId", row.agent.as_deref());
    let found = row.agent.as_ref().and_then(|id| store.agents.get(id));
    view.maybe("agent", found.map(|row| agent(store, row, Along::Nothing)));
    view.done()
}
