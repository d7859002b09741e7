//! `/service-option-types` and `/service-options`: choices that providers offer.

use lab_wire::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Scope;
use crate::call::{Call, Id, Reply};
use crate::errors::Error;
use crate::jobs::unloadable;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::store::{OptionType, ServiceOption};
use crate::types::dependents;
use crate::{Core, views};

const TYPE_FILTERS: &Filters<OptionType> =
    &[("name", Filter::Contains(|row| row.name.clone())), ("type", Filter::Exact(|row| row.kind.clone()))];
const TYPE_SORTS: &Sorts<OptionType> = &[
    ("name", |row| Key::Text(row.name.clone())),
    ("type", |row| Key::Text(row.kind.clone())),
    ("createdAt", |row| row.meta.created.into()),
];
const FILTERS: &Filters<ServiceOption> = &[
    ("name", Filter::Contains(|row| row.name.clone())),
    ("providerId", Filter::Id(|row| row.provider.clone())),
    ("serviceOptionTypeId", Filter::Id(|row| row.option_type.clone())),
    ("enabled", Filter::Word(|row| row.enabled.to_string(), &["true", "false"], "invalid boolean")),
];
const SORTS: &Sorts<ServiceOption> =
    &[("name", |row| Key::Text(row.name.clone())), ("displayOrder", |row| Key::Number(row.order as f64))];

#[derive(Default, Deserialize)]
#[serde(default)]
struct TypeBody {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    description: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    provider_id: Option<Id>,
    service_option_type_id: Option<Id>,
    name: Option<String>,
    value: Option<Value>,
    enabled: Option<bool>,
    display_order: Option<i64>,
}

impl Core {
    pub(crate) fn option_types_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let may = |call: &Call<'_>, action| call.identity.may(action, "service_option_type", &Scope::everybody());
        match (call.method(), rest) {
            ("GET", []) => {
                may(call, "read")?;
                page(call, self.store.option_types.iter(), TYPE_FILTERS, TYPE_SORTS, views::option_type)
            }
            ("POST", []) => {
                let body: TypeBody = call.body("CreateServiceOptionTypeReq")?;
                may(call, "create")?;
                let kind = body.kind.clone().unwrap_or_default();
                let row = OptionType { meta: call.meta(), name: String::new(), kind, description: String::new() };
                self.save_option_type(call, row, body, 201)
            }
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "read")?;
                let row = self.store.option_types.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::option_type(row)))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: TypeBody = call.body("UpdateServiceOptionTypeReq")?;
                may(call, "update")?;
                let row = self.store.option_types.get(&id).cloned().ok_or(Error::NotFound)?;
                self.save_option_type(call, row, body, 200)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "delete")?;
                self.store.option_types.get(&id).ok_or(Error::NotFound)?;
                let options = self.store.options.iter().filter(|row| row.option_type == id).count();
                dependents("service option type", &id, options, "service option")?;
                self.store.option_types.remove(&id);
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn save_option_type(&mut self, call: &mut Call<'_>, mut row: OptionType, body: TypeBody, status: u16) -> Reply {
        row.name = body.name.unwrap_or(row.name);
        row.description = body.description.unwrap_or(row.description);
        let wordy = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let problem = match (row.name.as_str(), row.kind.as_str()) {
            ("", _) => Some("service option type name cannot be empty"),
            (_, "") => Some("service option type type cannot be empty"),
            (_, kind) if !wordy(kind) => {
                Some("service option type type must contain only alphanumeric characters and underscores")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(Error::invalid(problem));
        }
        if self.store.option_types.iter().any(|other| other.kind == row.kind && other.meta.id != row.meta.id) {
            return Err(Error::duplicate("uni_service_option_types_type"));
        }
        let answer = views::option_type(&row);
        self.store.option_types.save(row, call.now);
        Ok(Response::json(status, &answer))
    }

    pub(crate) fn options_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let may = |call: &Call<'_>, action, scope: &Scope| call.identity.may(action, "service_option", scope);
        match (call.method(), rest) {
            ("GET", []) => {
                may(call, "read", &Scope::everybody())?;
                let own = call.identity.participant.clone();
                let seen = self.store.options.iter().filter(|row| own.as_ref().is_none_or(|id| *id == row.provider));
                page(call, seen, FILTERS, SORTS, views::option)
            }
            ("POST", []) => {
                let body: Body = call.body("CreateServiceOptionReq")?;
                let provider = body.provider_id.clone().unwrap_or_default().0;
                may(call, "create", &Scope::of(&provider))?;
                let option_type = body.service_option_type_id.clone().unwrap_or_default().0;
                if self.store.participants.get(&provider).is_none()
                    || self.store.option_types.get(&option_type).is_none()
                {
                    return Err(Error::NotFound);
                }
                let row = ServiceOption {
                    meta: call.meta(),
                    provider,
                    option_type,
                    name: String::new(),
                    value: Value::Null,
                    enabled: true,
                    order: 0,
                };
                self.save_option(call, row, body, 201)
            }
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "read", &self.option_scope(&id)?)?;
                let row = self.store.options.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::option(row)))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: Body = call.body("UpdateServiceOptionReq")?;
                may(call, "update", &self.option_scope(&id)?)?;
                let row = self.store.options.get(&id).cloned().ok_or(Error::NotFound)?;
                self.save_option(call, row, body, 200)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "delete", &self.option_scope(&id)?)?;
                self.store.options.remove(&id);
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn option_scope(&self, id: &str) -> Result<Scope, Error> {
        self.store.options.get(id).map(|row| Scope::of(&row.provider)).ok_or_else(unloadable)
    }

    fn save_option(&mut self, call: &mut Call<'_>, mut row: ServiceOption, body: Body, status: u16) -> Reply {
        row.name = body.name.unwrap_or(row.name);
        row.value = body.value.unwrap_or(row.value);
        row.enabled = body.enabled.unwrap_or(row.enabled);
        row.order = body.display_order.unwrap_or(row.order);
        if row.name.is_empty() {
            return Err(Error::invalid("service option name cannot be empty"));
        }
        if row.value.is_null() {
            return Err(Error::invalid("service option value cannot be nil"));
        }
        let answer = views::option(&row);
        self.store.options.save(row, call.now);
        Ok(Response::json(status, &answer))
    }
}
