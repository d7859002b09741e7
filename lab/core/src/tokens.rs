//! `/tokens`: who may call.

use lab_wire::{Millis, Response, parse_rfc3339};
use serde::Deserialize;

use crate::auth::{ADMIN, AGENT, PARTICIPANT, Scope, hash, new_token};
use crate::call::{Call, Id, Reply};
use crate::errors::Error;
use crate::jobs::unloadable;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::store::Token;
use crate::{Core, views};

const DAY: Millis = 24 * 60 * 60 * 1000;

const FILTERS: &Filters<Token> = &[
    ("name", Filter::Contains(|row| row.name.clone())),
    ("role", Filter::Exact(|row| row.role.clone())),
    ("participantId", Filter::Id(|row| row.participant.clone().unwrap_or_default())),
    ("agentId", Filter::Id(|row| row.agent.clone().unwrap_or_default())),
];

const SORTS: &Sorts<Token> = &[
    ("name", |row| Key::Text(row.name.clone())),
    ("expireAt", |row| row.expires.into()),
    ("createdAt", |row| row.meta.created.into()),
];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    role: Option<String>,
    scope_id: Option<Id>,
    expire_at: Option<String>,
}

impl Body {
    fn expires(&self) -> Result<Option<Millis>, Error> {
        let Some(text) = &self.expire_at else { return Ok(None) };
        match time(text) {
            Some(time) => Ok(Some(time)),
            None => Err(Error::Request(format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\""))),
        }
    }
}

/// Reads a time with `Z` or an offset.
pub(crate) fn time(text: &str) -> Option<Millis> {
    if let Some(time) = parse_rfc3339(text) {
        return Some(time);
    }
    let (at, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let offset_ms = (hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?) * 60_000;
    let local = parse_rfc3339(&format!("{at}Z"))?;
    match offset.chars().next()? {
        '+' => local.checked_sub(offset_ms),
        '-' => Some(local + offset_ms),
        _ => None,
    }
}

impl Core {
    pub(crate) fn tokens_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        match (call.method(), rest) {
            ("GET", []) => {
                call.identity.may("read", "token", &Scope::everybody())?;
                let own = call.identity.participant.clone();
                let seen = self.store.tokens.iter().filter(|row| own.is_none() || own == row.participant);
                page(call, seen, FILTERS, SORTS, |row| views::token(&self.store, row, None, true))
            }
            ("POST", []) => self.create_token(call),
            ("GET", [id]) => {
                let id = Id::in_path(id)?;
                call.identity.may("read", "token", &self.token_scope(&id)?)?;
                let row = self.store.tokens.get(&id).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &views::token(&self.store, row, None, true)))
            }
            ("PATCH", [id]) => {
                let id = Id::in_path(id)?;
                let body: Body = call.body("UpdateTokenReq")?;
                let expires = body.expires()?;
                call.identity.may("update", "token", &self.token_scope(&id)?)?;
                let mut row = self.store.tokens.get(&id).cloned().ok_or(Error::NotFound)?;
                row.name = body.name.unwrap_or(row.name);
                row.expires = expires.unwrap_or(row.expires);
                if row.name.is_empty() {
                    return Err(Error::Internal("token name cannot be empty".to_owned()));
                }
                self.record(call, "token.updated", &id, &Scope::everybody());
                let answer = views::token(&self.store, &row, None, true);
                self.store.tokens.save(row, call.now);
                Ok(Response::json(200, &answer))
            }
            ("DELETE", [id]) => {
                let id = Id::in_path(id)?;
                call.identity.may("delete", "token", &self.token_scope(&id)?)?;
                self.store.tokens.remove(&id);
                self.record(call, "token.deleted", &id, &Scope::everybody());
                Ok(Response::empty(204))
            }
            ("POST", [id, "regenerate"]) => {
                let id = Id::in_path(id)?;
                call.identity.may("generate_token", "token", &self.token_scope(&id)?)?;
                let mut row = self.store.tokens.get(&id).cloned().ok_or(Error::NotFound)?;
                let value = new_token(call.random);
                row.hash = hash(&value);
                self.record(call, "token.regenerated", &id, &Scope::everybody());
                let answer = views::token(&self.store, &row, Some(&value), true);
                self.store.tokens.save(row, call.now);
                Ok(Response::json(200, &answer))
            }
            (_, [] | [_] | [_, "regenerate"]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    fn token_scope(&self, id: &str) -> Result<Scope, Error> {
        let row = self.store.tokens.get(id).ok_or_else(unloadable)?;
        Ok(Scope { participants: row.participant.iter().cloned().collect(), agent: row.agent.clone() })
    }

    fn create_token(&mut self, call: &mut Call<'_>) -> Reply {
        let body: Body = call.body("CreateTokenReq")?;
        let expires = body.expires()?.unwrap_or(call.now + DAY);
        let role = body.role.clone().unwrap_or_default();
        let scope_id = body.scope_id.map(|id| id.0);
        let missing = || Error::Forbidden(format!("scopeId required for {role} tokens"));
        let scope = match role.as_str() {
            PARTICIPANT => Scope::of(scope_id.as_deref().ok_or_else(missing)?),
            AGENT => self
                .agent_scope(scope_id.as_deref().ok_or_else(missing)?)
                .map_err(|_| Error::Forbidden("resource not found: sql: no rows in result set".to_owned()))?,
            ADMIN => Scope::everybody(),
            _ => return Err(Error::Forbidden("invalid role".to_owned())),
        };
        let own = call.identity.role.as_str();
        if own == AGENT || (own == PARTICIPANT && role == ADMIN) {
            let text = format!("access denied: role '{own}' cannot create tokens with role '{role}'");
            return Err(Error::Forbidden(text));
        }
        call.identity.may("create", "token", &scope)?;
        let value = new_token(call.random);
        let mut row = Token {
            meta: call.meta(),
            name: body.name.unwrap_or_default(),
            role,
            hash: hash(&value),
            expires,
            participant: None,
            agent: None,
        };
        match (row.role.as_str(), scope_id) {
            (PARTICIPANT, Some(id)) => {
                if self.store.participants.get(&id).is_none() {
                    return Err(Error::invalid(format!("invalid participant ID: {id}")));
                }
                row.participant = Some(id);
            }
            (AGENT, Some(id)) => {
                row.participant = self.store.agents.get(&id).map(|agent| agent.provider.clone());
                row.agent = Some(id);
            }
            _ => {}
        }
        if row.name.is_empty() {
            return Err(Error::invalid("token name cannot be empty"));
        }
        self.record(call, "token.created", &row.meta.id, &Scope::everybody());
        let answer = views::token(&self.store, &row, Some(&value), false);
        self.store.tokens.place(row);
        Ok(Response::json(201, &answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_an_offset_are_read() {
        assert_eq!(time("2035-01-01T02:30:00+02:30"), time("2035-01-01T00:00:00Z"));
        assert_eq!(time("2034-12-31T23:00:00-01:00"), time("2035-01-01T00:00:00Z"));
        assert_eq!(time("soon"), None);
    }
}
