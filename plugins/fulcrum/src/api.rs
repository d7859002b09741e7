//! Core's API as an agent uses it: rows, requests, and what its refusals mean.

use std::collections::BTreeMap;

use agentkube_sdk::http::{self, Request, Response};
use agentkube_sdk::{Class, Fault, Outcome, Result, Scope, log};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Most rows that Core puts into one page.
pub const PAGE: usize = 100;

/// How much of Core's own words stands in a message, in characters.
const EXCERPT: usize = 400;

/// An agent: us.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub status: String,
    pub configuration: Option<Object>,
    pub agent_type: Option<AgentType>,
}

impl Agent {
    /// An administrator switched us off. Core itself does not act on it.
    pub fn is_disabled(&self) -> bool {
        self.status == "Disabled"
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentType {
    pub name: String,
    pub service_type_ids: Option<Vec<String>>,
}

/// A job. Everything but its identity may be missing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub id: String,
    #[serde(default)]
    pub agent_id: String,
    #[serde(default)]
    pub service_id: String,
    #[serde(default)]
    pub action: String,
    pub params: Option<Object>,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub priority: i32,
    pub error_message: Option<String>,
    #[serde(default)]
    pub created_at: String,
    pub service: Option<Service>,
}

impl Job {
    /// What is wanted: a change brings its parameters, everything else finds them with the service.
    pub fn desired(&self) -> Option<&Object> {
        self.params.as_ref().or_else(|| self.service.as_ref()?.properties.as_ref())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    pub id: String,
    pub agent_id: String,
    pub service_type_id: String,
    pub group_id: String,
    pub name: String,
    pub status: String,
    pub agent_instance_id: Option<String>,
    pub properties: Option<Object>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceType {
    pub name: String,
    pub property_schema: PropertySchema,
    pub lifecycle_schema: Lifecycle,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PropertySchema {
    pub properties: BTreeMap<String, Property>,
}

/// As much of a property's definition as decides whether the agent may write it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Property {
    #[serde(rename = "type")]
    pub kind: String,
    pub required: bool,
    pub immutable: bool,
    pub authorizers: Option<Vec<Rule>>,
}

impl Property {
    /// Whether there is any status in which an agent may write it.
    pub fn open_to_agent_ever(&self) -> bool {
        let rules = self.authorizers.iter().flatten();
        rules.filter(|rule| rule.kind == "actor").all(|rule| rule.lists("actors", "agent"))
    }

    /// Whether an agent may write it while the service has this status. Without an actor rule everybody may.
    pub fn open_to_agent(&self, status: &str) -> bool {
        self.authorizers.iter().flatten().all(|rule| match rule.kind.as_str() {
            "actor" => rule.lists("actors", "agent"),
            "state" => rule.lists("allowedStates", status),
            // A rule of a later Core: let it decide.
            _ => true,
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    #[serde(rename = "type")]
    pub kind: String,
    pub config: Option<Object>,
}

impl Rule {
    fn lists(&self, key: &str, word: &str) -> bool {
        let list = self.config.as_ref().and_then(|config| config.get(key)).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|item| item == word))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    pub terminal_states: Option<Vec<String>>,
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Action {
    pub name: String,
    pub transitions: Vec<Transition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transition {
    pub to: String,
    pub on_error: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct MetricType {
    pub name: String,
}

/// One page of rows. A row that cannot be read is left out: one odd job must not stop all others.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub has_next: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPage {
    items: Option<Vec<Value>>,
    #[serde(default)]
    has_next: bool,
}

/// Core, by its connection.
#[derive(Clone, Debug)]
pub struct Core {
    connection: String,
}

impl Core {
    pub fn new(connection: &str) -> Self {
        Core { connection: connection.to_owned() }
    }

    /// A GET below `/api/v1`; the path is percent-encoded already.
    pub fn get(&self, path: &str) -> Request {
        http::get(&self.connection, below(path))
    }

    /// A POST below `/api/v1`.
    pub fn post(&self, path: &str) -> Request {
        http::post(&self.connection, below(path))
    }

    /// A PUT below `/api/v1`.
    pub fn put(&self, path: &str) -> Request {
        http::put(&self.connection, below(path))
    }

    /// Who we are.
    pub async fn me(&self) -> Result<Agent> {
        read(self.get("/agents/me").send().await?)
    }

    /// One row; `None` when there is none, which Core says in three ways.
    pub async fn row<T: DeserializeOwned>(&self, request: Request) -> Result<Option<T>> {
        let answer = request.send().await?;
        let unknown = match answer.status {
            404 => true,
            403 => words(&answer).contains(UNKNOWN),
            400 => words(&answer).contains("UUID"),
            _ => false,
        };
        if unknown { Ok(None) } else { read(answer).map(Some) }
    }

    /// One page of a list; numbers begin at 1.
    pub async fn page<T: DeserializeOwned>(&self, request: Request, number: usize) -> Result<Page<T>> {
        let page: RawPage = read(request.query("page", number).query("pageSize", PAGE).send().await?)?;
        Ok(Page { items: rows(page.items.unwrap_or_default()), has_next: page.has_next })
    }

    /// The type of a service.
    pub async fn service_type(&self, id: &str) -> Result<Option<ServiceType>> {
        self.row(self.get(&agentkube_sdk::path!("service-types", id))).await
    }
}

fn below(path: &str) -> String {
    format!("/api/v1{path}")
}

/// The answer's JSON, or what its status means.
pub fn read<T: DeserializeOwned>(answer: Response) -> Result<T> {
    if answer.is_success() { answer.json() } else { Err(refusal(&answer)) }
}

/// The rows that can be read.
pub fn rows<T: DeserializeOwned>(values: Vec<Value>) -> Vec<T> {
    let read = values.into_iter().filter_map(|value| match serde_json::from_value(value) {
        Ok(row) => Some(row),
        Err(error) => {
            log::warn("a row of Core's cannot be understood and is left out", &[("error", &error)]);
            None
        }
    });
    read.collect()
}

/// What Core says about a refusal, whatever it calls the content type; empty when it says nothing.
pub fn words(answer: &Response) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Option<String>,
        status: Option<String>,
    }
    let text = match serde_json::from_slice::<Body>(&answer.body) {
        Ok(body) => body.error.or(body.status).unwrap_or_default(),
        Err(_) => answer.text(),
    };
    text.trim().chars().take(EXCERPT).collect()
}

/// What helps against a token that is dead. A Core that cannot look tokens up says the same.
pub const DEAD: &str = "make a token with POST /tokens (role `agent`, scopeId the agent's id, an expireAt far away; the default is 24 \
                        hours) and put it into the connection's token file, which is read again at once. Core refuses good tokens too \
                        while it does not reach its database: look there when nobody touched the token";
/// How Core says that there is no such row. What follows `cannot load resource` otherwise is trouble with its database.
const UNKNOWN: &str = "cannot load resource: resource not found";

/// What a refusal means, with what to do.
pub fn refusal(answer: &Response) -> Fault {
    let (mut fault, mend) = judged(answer);
    if !mend.is_empty() {
        fault.message = format!("{}; {mend}", fault.message);
    }
    fault
}

/// What a refusal means; and what to do, where something special helps.
pub fn judged(answer: &Response) -> (Fault, &'static str) {
    let text = words(answer);
    let message = format!("{}: {} {text}", answer.request, answer.status);
    let unauthorized = |code: &str| Fault::unauthorized(code, message.as_str()).scope(Scope::Provider);
    match answer.status {
        401 => (unauthorized("TOKEN_MISSING"), "the connection's credential must be of kind `bearer`"),
        403 if text.contains(UNKNOWN) => (Fault::not_found("UNKNOWN_ROW", message), ""),
        // Whose the row is could not be looked up. That comes before everything else, so nothing happened.
        403 if text.contains("cannot load resource") => {
            (Fault::unavailable("DATABASE", message).outcome(Outcome::NotApplied), "")
        }
        403 if text.contains("no valid identity") => (unauthorized("TOKEN_REFUSED"), DEAD),
        403 if text.contains("user role") => (unauthorized("TOKEN_ROLE"), "this is no agent's token"),
        403 if text.contains("object context") => {
            (Fault::conflict("OTHER_PROVIDER", message), "the object belongs to another provider")
        }
        404 if text.contains("page not found") => {
            let mend = "the connection's endpoint must be Core's base URL without `/api/v1`";
            (Fault::unsupported("NO_SUCH_ROUTE", message).scope(Scope::Provider), mend)
        }
        400 => (Fault::invalid("REFUSED", message), ""),
        // The database refused, and the transaction was rolled back: nothing happened.
        500 if text.contains("23505") => (Fault::conflict("TAKEN", message), ""),
        500 if text.contains("SQLSTATE") => (Fault::unavailable("DATABASE", message).outcome(Outcome::NotApplied), ""),
        _ => {
            let general = answer.fault();
            let code = if general.class == Class::Unavailable { "CORE_UNWELL" } else { general.code.as_str() };
            (Fault { code: code.to_owned(), message, ..general.clone() }, "")
        }
    }
}

#[cfg(test)]
mod tests {
    use agentkube_sdk::testing::empty;

    use super::*;

    fn refused(status: u16, body: &str) -> Fault {
        refusal(&Response { request: "POST /x".to_owned(), body: body.into(), ..empty(status) })
    }

    #[test]
    fn a_403_is_told_apart_by_its_words() {
        let dead = r#"{"status":"Forbidden","error":"authentication failed: no valid identity found"}"#;
        assert_eq!(refused(403, dead).code, "TOKEN_REFUSED");
        assert_eq!(refused(403, dead).class, Class::Unauthorized);
        let gone = r#"{"error":"cannot load resource: resource not found: sql: no rows in result set"}"#;
        assert_eq!(refused(403, gone).class, Class::NotFound);
        let slow =
            r#"{"error":"cannot load resource: ERROR: canceling statement due to statement timeout (SQLSTATE 57014)"}"#;
        let fault = refused(403, slow);
        assert_eq!(
            (fault.code.as_str(), fault.class, fault.outcome),
            ("DATABASE", Class::Unavailable, Outcome::NotApplied)
        );
        assert_eq!(
            refused(403, r#"{"error":"access denied: user role 'admin' is not authorized"}"#).code,
            "TOKEN_ROLE"
        );
    }

    #[test]
    fn a_rolled_back_transaction_had_no_effect() {
        let fault = refused(500, r#"{"error":"ERROR: unsupported Unicode escape sequence (SQLSTATE 22P05)"}"#);
        assert_eq!((fault.class, fault.outcome), (Class::Unavailable, Outcome::NotApplied));
        assert_eq!(refused(500, r#"{"error":"ERROR: duplicate key (SQLSTATE 23505)"}"#).class, Class::Conflict);
        assert_eq!(refused(500, "").outcome, Outcome::Unknown, "a panic may have come after the effect");
    }

    #[test]
    fn bodies_that_are_no_json_are_quoted() {
        assert_eq!(refused(404, "404 page not found\n").code, "NO_SUCH_ROUTE");
        assert!(refused(503, "<html>try again</html>").message.ends_with("503 <html>try again</html>"));
    }
}
