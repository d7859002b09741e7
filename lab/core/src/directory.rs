//! `/participants` and `/service-groups`.

use lab_wire::Response;
use serde::Deserialize;

use crate::auth::Scope;
use crate::call::{Call, Id, Reply};
use crate::errors::{Error, text_column};
use crate::jobs::unloadable;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::store::{Group, Participant};
use crate::types::dependents;
use crate::{Core, views};

const STATUSES: &[&str] = &["Enabled", "Disabled"];

const PARTICIPANT_FILTERS: &Filters<Participant> = &[
    ("name", Filter::Contains(|row| row.name.clone())),
    ("status", Filter::Word(|row| row.status.clone(), STATUSES, "invalid participant status")),
];
const PARTICIPANT_SORTS: &Sorts<Participant> = &[("name", |row| Key::Text(row.name.clone()))];
const GROUP_FILTERS: &Filters<Group> =
    &[("name", Filter::Contains(|row| row.name.clone())), ("consumerId", Filter::Id(|row| row.consumer.clone()))];
const GROUP_SORTS: &Sorts<Group> = &[("name", |row| Key::Text(row.name.clone()))];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    status: Option<String>,
    consumer_id: Option<Id>,
}

impl Core {
    pub(crate) fn participants_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let may = |call: &Call<'_>, action, scope: &Scope| call.identity.may(action, "participant", scope);
        match (call.method(), rest) {
            ("GET", []) => {
                may(call, "read", &Scope::everybody())?;
                let own = call.identity.participant.clone();
                let seen =
                    self.store.participants.iter().filter(|row| own.as_ref().is_none_or(|id| *id == row.meta.id));
                page(call, seen, PARTICIPANT_FILTERS, PARTICIPANT_SORTS, views::participant)
            }
            ("POST", []) => {
                let body: Body = call.body("CreateParticipantReq")?;
                may(call, "create", &Scope::everybody())?;
                let row = Participant { meta: call.meta(), name: String::new(), status: String::new() };
                self.save_participant(call, row, body, "participant.created", 201)
            }
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "read", &self.participant_scope(&id)?)?;
                let row = self.store.participants.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::participant(row)))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: Body = call.body("UpdateParticipantReq")?;
                may(call, "update", &self.participant_scope(&id)?)?;
                let row = self.store.participants.get(&id).cloned().ok_or(Error::NotFound)?;
                self.save_participant(call, row, body, "participant.updated", 200)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "delete", &self.participant_scope(&id)?)?;
                let agents = self.store.agents.iter().filter(|row| row.provider == id).count();
                dependents("participant", &id, agents, "agent")?;
                self.store.tokens.remove_where(|row| row.participant.as_ref() == Some(&id));
                self.store.participants.remove(&id);
                self.record(call, "participant.deleted", &id, &Scope::everybody());
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn participant_scope(&self, id: &str) -> Result<Scope, Error> {
        self.store.participants.get(id).map(|_| Scope::of(id)).ok_or_else(unloadable)
    }

    fn save_participant(
        &mut self,
        call: &mut Call<'_>,
        mut row: Participant,
        body: Body,
        event: &str,
        status: u16,
    ) -> Reply {
        row.name = body.name.unwrap_or(row.name);
        row.status = body.status.unwrap_or(row.status);
        if row.name.is_empty() {
            return Err(Error::invalid("participant name cannot be empty"));
        }
        if !STATUSES.contains(&row.status.as_str()) {
            return Err(Error::invalid(format!("invalid participant status: {}", row.status)));
        }
        text_column(&row.name)?;
        self.record(call, event, &row.meta.id, &Scope::of(&row.meta.id));
        let answer = views::participant(&row);
        self.store.participants.save(row, call.now);
        Ok(Response::json(status, &answer))
    }

    pub(crate) fn groups_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        let may = |call: &Call<'_>, action, scope: &Scope| call.identity.may(action, "service_group", scope);
        match (call.method(), rest) {
            ("GET", []) => {
                may(call, "read", &Scope::everybody())?;
                let own = call.identity.participant.clone();
                let seen = self.store.groups.iter().filter(|row| own.as_ref().is_none_or(|id| *id == row.consumer));
                let view = |row: &Group| views::group(row, self.store.participants.get(&row.consumer));
                page(call, seen, GROUP_FILTERS, GROUP_SORTS, view)
            }
            ("POST", []) => {
                let body: Body = call.body("CreateServiceGroupReq")?;
                let consumer = body.consumer_id.unwrap_or_default().0;
                may(call, "create", &Scope::of(&consumer))?;
                if self.store.participants.get(&consumer).is_none() {
                    return Err(Error::invalid(format!("consumer with ID {consumer} does not exist")));
                }
                let row = Group { meta: call.meta(), name: body.name.unwrap_or_default(), consumer };
                self.save_group(call, row, "service_group.created", 201)
            }
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "read", &self.group_scope(&id)?)?;
                let row = self.store.groups.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::group(row, self.store.participants.get(&row.consumer))))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: Body = call.body("UpdateServiceGroupReq")?;
                may(call, "update", &self.group_scope(&id)?)?;
                let mut row = self.store.groups.get(&id).cloned().ok_or(Error::NotFound)?;
                row.name = body.name.unwrap_or(row.name);
                self.save_group(call, row, "service_group.updated", 200)
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                may(call, "delete", &self.group_scope(&id)?)?;
                if self.store.services.iter().any(|row| row.group == id) {
                    let text = "cannot delete service group with associated services";
                    return Err(Error::Internal(text.to_owned()));
                }
                self.store.groups.remove(&id);
                self.record(call, "service_group.deleted", &id, &Scope::everybody());
                Ok(Response::empty(204))
            }
            (_, [] | [_]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn group_scope(&self, id: &str) -> Result<Scope, Error> {
        self.store.groups.get(id).map(|row| Scope::of(&row.consumer)).ok_or_else(unloadable)
    }

    fn save_group(&mut self, call: &mut Call<'_>, row: Group, event: &str, status: u16) -> Reply {
        if row.name.is_empty() {
            return Err(Error::invalid("service group name cannot be empty"));
        }
        text_column(&row.name)?;
        self.record(call, event, &row.meta.id, &Scope::of(&row.consumer));
        let consumer = self.store.participants.get(&row.consumer).filter(|_| status == 200);
        let answer = views::group(&row, consumer);
        self.store.groups.save(row, call.now);
        Ok(Response::json(status, &answer))
    }
}
