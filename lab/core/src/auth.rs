//! Who is calling, and what they may do.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lab_wire::{Millis, Random, Request};
use sha2::{Digest, Sha256};

use crate::errors::Error;
use crate::store::Store;
use crate::values::Actor;

/// Role of administrators.
pub const ADMIN: &str = "admin";
/// Role of providers and consumers.
pub const PARTICIPANT: &str = "participant";
/// Role of agents.
pub const AGENT: &str = "agent";

const ALL: &[&str] = &[ADMIN, PARTICIPANT, AGENT];
const PEOPLE: &[&str] = &[ADMIN, PARTICIPANT];

/// Whoever presented a living token.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Id of the token.
    pub token: String,
    /// Name of the token.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Its participant; for agents their provider.
    pub participant: Option<String>,
    /// Its agent.
    pub agent: Option<String>,
}

impl Identity {
    /// Refuses other roles.
    pub fn must_be(&self, roles: &[&str]) -> Result<(), Error> {
        if roles.contains(&self.role.as_str()) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("access denied: user role '{}' is not authorized", self.role)))
    }

    /// As whom it sets properties.
    pub fn actor(&self) -> Actor {
        if self.role == AGENT { Actor::Agent } else { Actor::User }
    }

    /// Whether a row of that provider and consumer is listed for it.
    pub fn sees(&self, provider: &str, consumer: &str) -> bool {
        self.participant.as_deref().is_none_or(|own| own == provider || own == consumer)
    }

    /// Refuses what the rules do not allow, scope first.
    pub fn may(&self, action: &str, object: &str, scope: &Scope) -> Result<(), Error> {
        if !scope.matches(self) {
            return Err(Error::Forbidden("access denied: object context does not match identity".to_owned()));
        }
        if allowed(object, action).contains(&self.role.as_str()) {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "access denied: no matching authorization rule found for action '{action}' on object '{object}'"
        )))
    }
}

/// Whose an object is.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Participants it belongs to, in whatever part.
    pub participants: Vec<String>,
    /// Its agent.
    pub agent: Option<String>,
}

impl Scope {
    /// Everybody's.
    pub fn everybody() -> Self {
        Scope::default()
    }

    /// That participant's.
    pub fn of(participant: &str) -> Self {
        Scope { participants: vec![participant.to_owned()], agent: None }
    }

    /// A service's or job's.
    pub fn shared(provider: &str, consumer: &str, agent: &str) -> Self {
        Scope { participants: vec![provider.to_owned(), consumer.to_owned()], agent: Some(agent.to_owned()) }
    }

    fn matches(&self, identity: &Identity) -> bool {
        let unlimited = identity.participant.is_none() && identity.agent.is_none();
        let open = self.participants.is_empty() && self.agent.is_none();
        let own = identity.participant.as_ref().is_some_and(|id| self.participants.contains(id));
        unlimited || open || own || (self.agent.is_some() && self.agent == identity.agent)
    }
}

fn allowed(object: &str, action: &str) -> &'static [&'static str] {
    match (object, action) {
        ("job", "claim" | "complete" | "fail" | "list_pending") | ("metric_entry", "create") => &[AGENT],
        ("agent" | "service" | "job" | "agent_type" | "service_type" | "metric_type", "read") => ALL,
        ("service_option" | "service_option_type", "read") | ("service_option", _) => ALL,
        ("agent" | "service" | "service_group" | "token", _) => PEOPLE,
        ("participant", "read" | "update") | ("metric_entry" | "event_entry", "read") => PEOPLE,
        ("participant" | "agent_type" | "service_type" | "metric_type" | "service_option_type", _) => &[ADMIN],
        ("event_entry", _) => &[ADMIN],
        _ => &[],
    }
}

/// Base64 of the SHA-256 of a token, as it is stored.
pub fn hash(token: &str) -> String {
    STANDARD.encode(Sha256::digest(token.as_bytes()))
}

/// A new token: 32 random bytes, base64url with padding.
pub fn new_token(random: &mut Random) -> String {
    URL_SAFE.encode(random.bytes(32))
}

/// Finds out who is calling.
pub fn authenticate(store: &Store, request: &Request, now: Millis) -> Result<Identity, Error> {
    let header = request.header_value("authorization").unwrap_or_default();
    let token = header.strip_prefix("Bearer ").ok_or(Error::Unauthenticated)?;
    let hash = hash(token);
    // Of several rows with the same value, the lowest id decides, even when it is expired.
    let row = store.tokens.iter().filter(|row| row.hash == hash).min_by(|a, b| a.meta.id.cmp(&b.meta.id));
    match row {
        Some(row) if now <= row.expires => Ok(Identity {
            token: row.meta.id.clone(),
            name: row.name.clone(),
            role: row.role.clone(),
            participant: row.participant.clone(),
            agent: row.agent.clone(),
        }),
        _ => Err(Error::Forbidden("authentication failed: no valid identity found".to_owned())),
    }
}
