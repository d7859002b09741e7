//! The install flow: a command to paste on a host, and the configuration that it fetches.

use lab_wire::{Millis, Response, rfc3339};
use serde_json::json;

use crate::auth::{ADMIN, AGENT, PARTICIPANT, hash, new_token};
use crate::call::{Call, Id, Reply};
use crate::errors::Error;
use crate::store::{Agent, AgentType, InstallToken, Token};
use crate::{Core, template};

/// How long an install token and its bearer token live.
const LIFE: Millis = 5 * 60 * 1000;

impl Core {
    pub(crate) fn install_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        match (call.method(), rest) {
            ("GET", ["install", token, "config"]) => {
                call.identity.must_be(&[ADMIN, PARTICIPANT, AGENT])?;
                self.install_config(call, token).ok_or(Error::NotFound)
            }
            (method, [id, "install-command", tail @ ..]) => {
                let id = Id::in_path(id)?;
                let action = if method == "GET" { "read" } else { "update" };
                let renew = match (method, tail) {
                    ("POST", []) => false,
                    ("POST", ["regenerate"]) => true,
                    ("GET" | "DELETE", []) => false,
                    _ => return Err(Error::NoMethod),
                };
                call.identity.may(action, "agent", &self.agent_scope(&id)?)?;
                match method {
                    "GET" => self.install_metadata(&id),
                    "DELETE" => self.revoke_install(call, &id),
                    _ => self.issue_install(call, &id, renew),
                }
            }
            _ => Err(Error::NoMethod),
        }
    }

    fn install_token(&self, agent: &str) -> Option<&InstallToken> {
        self.store.install_tokens.iter().find(|row| row.agent == agent)
    }

    fn install_metadata(&self, agent: &str) -> Reply {
        let row = self.install_token(agent).ok_or(Error::NotFound)?;
        let times = (rfc3339(row.expires), rfc3339(row.meta.created));
        Ok(Response::json(200, &json!({"id": row.meta.id, "expiresAt": times.0, "createdAt": times.1})))
    }

    fn revoke_install(&mut self, call: &mut Call<'_>, agent: &str) -> Reply {
        let row = self.install_token(agent).cloned().ok_or(Error::NotFound)?;
        self.store.tokens.remove(&row.bootstrap);
        self.store.install_tokens.remove(&row.meta.id);
        let scope = self.agent_scope(agent)?;
        self.record(call, "agent.install_token_revoked", agent, &scope);
        Ok(Response::empty(204))
    }

    fn issue_install(&mut self, call: &mut Call<'_>, id: &str, renew: bool) -> Reply {
        let (agent, kind) = self.agent_and_type(id).ok_or(Error::NotFound)?;
        if kind.config_template.is_empty() || kind.cmd_template.is_empty() {
            return Err(Error::invalid("agent type has no install templates configured"));
        }
        let old = self.install_token(id).cloned();
        match (&old, renew) {
            (Some(_), false) => {
                return Err(Error::Conflict(format!("install token already exists for agent {id}")));
            }
            (None, true) => return Err(Error::NotFound),
            _ => {}
        }
        let (plain, bearer) = (new_token(call.random), new_token(call.random));
        let bootstrap = Token {
            meta: call.meta(),
            name: format!("install-bootstrap-{id}"),
            role: AGENT.to_owned(),
            hash: hash(&bearer),
            expires: call.now + LIFE,
            participant: Some(agent.provider.clone()),
            agent: Some(id.to_owned()),
        };
        let meta = old.as_ref().map_or_else(|| call.meta(), |old| old.meta.clone());
        if let Some(old) = &old {
            self.store.tokens.remove(&old.bootstrap);
        }
        let row = InstallToken {
            meta,
            agent: id.to_owned(),
            hash: hash(&plain),
            expires: call.now + LIFE,
            bootstrap: bootstrap.meta.id.clone(),
        };
        self.store.tokens.place(bootstrap);
        self.store.install_tokens.save(row, call.now);
        let scope = self.agent_scope(id)?;
        let event = if renew { "agent.install_token_regenerated" } else { "agent.install_token_created" };
        self.record(call, event, id, &scope);

        let base = self.settings.public_base_url.trim_end_matches('/');
        let url = format!("{base}/api/v1/agents/install/{plain}/config");
        let mut data = agent.configuration.unwrap_or_default();
        data.insert("configUrl".to_owned(), url.as_str().into());
        data.insert("authToken".to_owned(), bearer.into());
        let command = template::render("cmdTemplate", &kind.cmd_template, &data).map_err(Error::Internal)?;
        let body = json!({"installCommand": command, "url": url, "expiresAt": rfc3339(call.now + LIFE)});
        let status = if renew { 200 } else { 201 };
        Ok(Response::text(status, "application/json; charset=utf-8", format!("{body}\n")))
    }

    fn agent_and_type(&self, id: &str) -> Option<(Agent, AgentType)> {
        let agent = self.store.agents.get(id)?;
        let kind = self.store.agent_types.get(&agent.agent_type)?;
        Some((agent.clone(), kind.clone()))
    }

    /// The rendered configuration; whatever is wrong, the answer is the same.
    fn install_config(&self, call: &Call<'_>, token: &str) -> Option<Response> {
        let hash = hash(token);
        let row = self.store.install_tokens.iter().find(|row| row.hash == hash && call.now <= row.expires)?;
        let (agent, kind) = self.agent_and_type(&row.agent)?;
        if kind.config_template.is_empty() {
            return None;
        }
        let data = agent.configuration.unwrap_or_default();
        let data = self.store.vault.resolve(&kind.configuration.properties, &data)?;
        let text = template::render("configTemplate", &kind.config_template, &data).ok()?;
        let response = Response::text(200, &kind.config_content_type, text);
        Some(response.header("cache-control", "no-store").header("x-content-type-options", "nosniff"))
    }
}
