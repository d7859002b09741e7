//! `/metric-types` and `/metric-entries`.

use lab_wire::Response;
use serde::Deserialize;
use serde_json::json;

use crate::auth::{AGENT, Scope};
use crate::call::{Call, Id, Reply};
use crate::errors::{Error, text_column};
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::store::{MetricEntry, MetricType};
use crate::{Core, views};

const TYPE_FILTERS: &Filters<MetricType> = &[("name", Filter::Contains(|row| row.name.clone()))];
const TYPE_SORTS: &Sorts<MetricType> =
    &[("name", |row| Key::Text(row.name.clone())), ("createdAt", |row| row.meta.created.into())];
const ENTRY_FILTERS: &Filters<MetricEntry> = &[
    ("agentId", Filter::Id(|row| row.agent.clone())),
    ("serviceId", Filter::Id(|row| row.service.clone())),
    ("typeId", Filter::Id(|row| row.metric_type.clone())),
    ("resourceId", Filter::Contains(|row| row.resource.clone())),
];
const ENTRY_SORTS: &Sorts<MetricEntry> =
    &[("createdAt", |row| row.meta.created.into()), ("value", |row| Key::Number(row.value))];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TypeBody {
    name: Option<String>,
    entity_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EntryBody {
    service_id: Option<Id>,
    agent_instance_id: Option<String>,
    resource_id: Option<String>,
    value: Option<f64>,
    type_name: Option<String>,
    // Read, so that nonsense is refused, and then ignored.
    #[serde(rename = "metricTypeId")]
    _metric_type_id: Option<Id>,
    #[serde(rename = "entityType")]
    _entity_type: Option<String>,
    #[serde(rename = "entityId")]
    _entity_id: Option<Id>,
    timestamp: Option<String>,
}

impl Core {
    pub(crate) fn metric_types_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let may = |call: &Call<'_>, action| call.identity.may(action, "metric_type", &Scope::everybody());
        match (call.method(), rest) {
            ("GET", []) => {
                may(call, "read")?;
                page(call, self.store.metric_types.iter(), TYPE_FILTERS, TYPE_SORTS, views::metric_type)
            }
            ("POST", []) => {
                let body: TypeBody = call.body("CreateMetricTypeReq")?;
                may(call, "create")?;
                let entity = body.entity_type.unwrap_or_default();
                let row = MetricType { meta: call.meta(), name: body.name.unwrap_or_default(), entity };
                self.save_metric_type(call, row, "metric_type.created", 201)
            }
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "read")?;
                let row = self.store.metric_types.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::metric_type(row)))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: TypeBody = call.body("UpdateMetricTypeReq")?;
                may(call, "update")?;
                let mut row = self.store.metric_types.get(&id).cloned().ok_or(Error::NotFound)?;
                row.name = body.name.unwrap_or(row.name);
                self.save_metric_type(call, row, "metric_type.updated", 200)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "delete")?;
                self.store.metric_types.get(&id).ok_or(Error::NotFound)?;
                if self.store.metric_entries.iter().any(|row| row.metric_type == id) {
                    let text = "invalid input: cannot delete metric-type with associated entries";
                    return Err(Error::Internal(text.to_owned()));
                }
                self.store.metric_types.remove(&id);
                self.record(call, "metric_type.deleted", &id, &Scope::everybody());
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn save_metric_type(&mut self, call: &mut Call<'_>, row: MetricType, event: &str, status: u16) -> Reply {
        if !["Agent", "Service", "Resource"].contains(&row.entity.as_str()) {
            let text = format!("invalid entity type: invalid {} metric entity type", row.entity);
            return Err(Error::Invalid(text));
        }
        if row.name.is_empty() {
            return Err(Error::invalid("metric type name cannot be empty"));
        }
        if self.store.metric_types.iter().any(|other| other.name == row.name && other.meta.id != row.meta.id) {
            return Err(Error::duplicate("uni_metric_types_name"));
        }
        self.record(call, event, &row.meta.id, &Scope::everybody());
        let answer = views::metric_type(&row);
        self.store.metric_types.save(row, call.now);
        Ok(Response::json(status, &answer))
    }

    pub(crate) fn metric_entries_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let seen = |call: &Call<'_>, row: &MetricEntry| call.identity.sees(&row.provider, &row.consumer);
        match (call.method(), rest) {
            ("GET", []) => {
                call.identity.may("read", "metric_entry", &Scope::everybody())?;
                let rows = self.store.metric_entries.iter().filter(|row| seen(call, row));
                page(call, rows, ENTRY_FILTERS, ENTRY_SORTS, |row| views::metric_entry(&self.store, row, true))
            }
            ("POST", []) => self.create_entry(call),
            ("GET", ["resource-ids"]) => {
                call.identity.may("read", "metric_entry", &Scope::everybody())?;
                let mut names = std::collections::BTreeSet::new();
                let rows = self.store.metric_entries.iter().filter(|row| seen(call, row));
                let distinct = rows.filter(|row| names.insert(row.resource.clone()));
                page(call, distinct, ENTRY_FILTERS, &[], |row| json!(row.resource))
            }
            (_, [] | ["resource-ids"]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    /// An unknown type and an unknown service get the same answer.
    fn create_entry(&mut self, call: &mut Call<'_>) -> Reply {
        let body: EntryBody = call.body("CreateMetricEntryReq")?;
        if body.timestamp.as_deref().is_some_and(|text| crate::tokens::time(text).is_none()) {
            return Err(Error::Request("parsing time as \"2006-01-02T15:04:05Z07:00\"".to_owned()));
        }
        call.identity.may("create", "metric_entry", &Scope::everybody())?;
        let agent = call.identity.agent.clone().filter(|_| call.identity.role == AGENT);
        let service = match (body.service_id, body.agent_instance_id, agent) {
            // Not scoped at all: any agent may measure any service.
            (Some(id), _, _) => self.store.services.get(&id.0),
            (None, Some(instance), Some(agent)) => {
                let mut services = self.store.services.iter();
                services.find(|row| row.agent == agent && row.instance_id.as_ref() == Some(&instance))
            }
            _ => {
                let text = "serviceId or agent role and agentInstanceId are required";
                return Err(Error::Request(text.to_owned()));
            }
        };
        let service = service.cloned().ok_or(Error::NotFound)?;
        let name = body.type_name.unwrap_or_default();
        let kind = self.store.metric_types.iter().find(|row| row.name == name).ok_or(Error::NotFound)?;
        let metric_type = kind.meta.id.clone();
        let resource = body.resource_id.unwrap_or_default();
        if resource.is_empty() {
            return Err(Error::invalid("resource ID cannot be empty"));
        }
        text_column(&resource)?;
        let row = MetricEntry {
            meta: call.meta(),
            resource,
            value: body.value.unwrap_or_default(),
            metric_type,
            agent: service.agent,
            service: service.meta.id,
            provider: service.provider,
            consumer: service.consumer,
        };
        let answer = views::metric_entry(&self.store, &row, false);
        self.store.metric_entries.place(row);
        Ok(Response::json(201, &answer))
    }
}
