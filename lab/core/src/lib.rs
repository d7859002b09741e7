//! Fulcrum Core as its agents meet it: a job queue with services, their types, metrics and a vault.
//!
//! The behaviour is that of `fulcrumproject/core` at commit `499230a` (2026-05-27), its oddities included: an agent that
//! works here has met them. It is a state machine ([`lab_wire::Server`]) without I/O, clock or randomness of its own.
//!
//! The first administrator's token is [`ADMIN_TOKEN`] (`change-me`), valid for one day, as in the real one: a demo uses
//! it over HTTP to make a token of its own.
//!
//! - [`Core`], [`Settings`]: the server and its configuration.
//! - [`Fault`], [`Matching`]: what a test makes go wrong, with [`Core::fault`].
//! - [`Logged`], [`Core::log`], [`Core::jobs`] …: what a test or a demo looks at.
//! - `store`: the rows; `views`: how answers show them; `errors`: how refusals are said.
//! - `auth`: tokens, roles, scopes; `call`: a request on its way; `paging`: lists.
//! - `schema`, `validators`, `values`: property schemas, their rules, and values against them; `lifecycle`: states.
//! - One file per resource: `jobs`, `services`, `agents`, `install`, `types`, `directory` (participants and groups),
//!   `tokens`, `metrics`, `options`, `vault`, `events`; `maintenance`: what happens by itself.
//!
//! Left out: service and configuration pools (their routes are 404, and a `pool` generator finds no pool set), leases
//! of events, aggregation of metrics, Keycloak users, and templates beyond `{{.key}}`.

mod agents;
mod auth;
mod call;
mod directory;
mod errors;
mod events;
mod faults;
mod install;
mod jobs;
mod lifecycle;
mod maintenance;
mod metrics;
mod options;
mod paging;
mod schema;
mod services;
pub mod store;
mod template;
mod tokens;
mod types;
mod validators;
mod values;
mod vault;
mod views;

use std::collections::VecDeque;

use lab_wire::{Answer, Interface, Millis, Random, Request, Response, Server};

use crate::call::{Call, Reply};
use crate::errors::Error;
use crate::faults::Faults;
use crate::maintenance::Rounds;
use crate::store::{Agent, Event, Job, Meta, MetricEntry, Service, Store, Token};

pub use crate::faults::{Fault, Matching};

/// The first administrator's token.
pub const ADMIN_TOKEN: &str = "change-me";

const DAY: Millis = 24 * 60 * 60 * 1000;

/// Configuration of a [`Core`], as the real one has it in its environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where agents reach it, for install commands, such as `https://127.0.0.1:3000`.
    pub public_base_url: String,
    /// Whether there is an encryption key for secrets.
    pub vault: bool,
    /// How often overdue jobs are failed and old ones deleted (ms); never by default.
    pub job_maintenance: Option<Millis>,
    /// After how long, counted from its creation, a job is overdue (ms).
    pub job_timeout_ms: Millis,
    /// How long completed jobs are kept (ms).
    pub job_retention_ms: Millis,
    /// After how much silence connected agents are set to `Disconnected`, and how often that is looked at (ms); never
    /// by default.
    pub agent_health_timeout_ms: Option<Millis>,
    /// How long every answer takes (ms).
    pub answer_delay_ms: Millis,
    /// Within this time (ms) a second claim of a job may succeed too, as it can in the real one. 0 rules it out.
    pub claim_race_ms: Millis,
    /// How many requests the log keeps.
    pub log_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            public_base_url: "http://localhost:3000".to_owned(),
            vault: true,
            job_maintenance: None,
            job_timeout_ms: 5 * 60 * 1000,
            job_retention_ms: 30 * DAY,
            agent_health_timeout_ms: None,
            answer_delay_ms: 0,
            claim_race_ms: 0,
            log_limit: 200_000,
        }
    }
}

/// A request that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When.
    pub at: Millis,
    /// Method.
    pub method: String,
    /// Path, as it came, without the query.
    pub path: String,
    /// Status of the answer; `None` when the request was lost before it had an effect.
    pub status: Option<u16>,
    /// Whether the answer was sent.
    pub answered: bool,
    /// Name of the token, `""` when there was no valid one.
    pub token: String,
}

/// The server.
pub struct Core {
    settings: Settings,
    store: Store,
    faults: Faults,
    log: VecDeque<Logged>,
    rounds: Rounds,
    sequence: u64,
}

impl Core {
    /// A Core that boots now, with nothing in it but the first administrator's token.
    pub fn new(settings: Settings, now: Millis, random: &mut Random) -> Self {
        let rounds = Rounds::from(&settings, now);
        let (store, faults, log) = (Store::default(), Faults::default(), VecDeque::new());
        let mut core = Core { settings, store, faults, log, rounds, sequence: 0 };
        core.boot(now, random);
        core
    }

    /// What every start of the process does, on the same database: another row for the administrator's token.
    pub fn boot(&mut self, now: Millis, random: &mut Random) {
        self.store.tokens.place(Token {
            meta: Meta { id: random.uuid(), created: now, updated: now },
            name: "Admin Token".to_owned(),
            role: auth::ADMIN.to_owned(),
            hash: auth::hash(ADMIN_TOKEN),
            expires: now + DAY,
            participant: None,
            agent: None,
        });
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Restarts it with other settings, on the same rows; the rounds of maintenance begin anew.
    pub fn reconfigure(&mut self, settings: Settings, now: Millis) {
        self.rounds = Rounds::from(&settings, now);
        self.settings = settings;
    }

    /// Switches a fault on; faults add up, and each is used up on its own. What befalls rows happens at once.
    pub fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::ExpireTokens { name } => self.expire_tokens(name.as_deref()),
            Fault::WipeProperties => {
                let services: Vec<Service> = self.store.services.iter().cloned().collect();
                for service in services {
                    self.store.services.place(Service { properties: None, ..service });
                }
            }
            fault => self.faults.add(fault),
        }
    }

    fn expire_tokens(&mut self, name: Option<&str>) {
        let dies = |row: &&Token| name.map_or(row.role != auth::ADMIN, |name| row.name == name);
        let dying: Vec<Token> = self.store.tokens.iter().filter(dies).cloned().collect();
        for token in dying {
            self.store.tokens.place(Token { expires: 0, ..token });
        }
    }

    /// Switches all faults off.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Every request, oldest first.
    pub fn log(&self) -> impl Iterator<Item = &Logged> {
        self.log.iter()
    }

    /// All rows.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// All jobs, in the order of their creation.
    pub fn jobs(&self) -> Vec<&Job> {
        self.store.jobs.oldest_first()
    }

    /// All services, in the order of their creation.
    pub fn services(&self) -> Vec<&Service> {
        self.store.services.oldest_first()
    }

    /// All agents, in the order of their creation.
    pub fn agents(&self) -> Vec<&Agent> {
        self.store.agents.oldest_first()
    }

    /// All metric entries, oldest first.
    pub fn metric_entries(&self) -> Vec<&MetricEntry> {
        self.store.metric_entries.iter().collect()
    }

    /// All events, oldest first.
    pub fn events(&self) -> Vec<&Event> {
        self.store.events.iter().collect()
    }

    /// How many secrets the vault holds now.
    pub fn secrets(&self) -> usize {
        self.store.vault.len()
    }

    fn answer(&mut self, request: &Request, now: Millis, random: &mut Random) -> (Response, String) {
        let Some(path) = request.path.strip_prefix("/api/v1/") else {
            return (Error::NoRoute.response(), String::new());
        };
        let identity = match auth::authenticate(&self.store, request, now) {
            Ok(identity) => identity,
            Err(error) => return (error.response(), String::new()),
        };
        let name = identity.name.clone();
        let segments: Vec<String> = path.split('/').map(decoded).collect();
        let mut segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        // The root of a resource may end in a slash, nothing else may.
        if segments.len() == 2 && segments.last() == Some(&"") {
            segments.pop();
        }
        let mut call = Call { request, identity, now, random };
        let response = self.route(&mut call, &segments).unwrap_or_else(|error| error.response());
        (response, name)
    }

    fn route(&mut self, call: &mut Call<'_>, segments: &[&str]) -> Reply {
        let Some((resource, rest)) = segments.split_first().filter(|(_, rest)| !rest.contains(&"")) else {
            return Err(Error::NoRoute);
        };
        match *resource {
            "agents" => self.agents_route(call, rest),
            "agent-types" => self.agent_types_route(call, rest),
            "events" => self.events_route(call, rest),
            "jobs" => self.jobs_route(call, rest),
            "metric-entries" => self.metric_entries_route(call, rest),
            "metric-types" => self.metric_types_route(call, rest),
            "participants" => self.participants_route(call, rest),
            "service-groups" => self.groups_route(call, rest),
            "service-option-types" => self.option_types_route(call, rest),
            "service-options" => self.options_route(call, rest),
            "service-types" => self.service_types_route(call, rest),
            "services" => self.services_route(call, rest),
            "tokens" => self.tokens_route(call, rest),
            "vault" => self.vault(call, rest),
            _ => Err(Error::NoRoute),
        }
    }
}

fn decoded(segment: &str) -> String {
    // `Request::segments` drops empty segments, which matter here.
    Request::new("", segment).segments().pop().unwrap_or_default()
}

impl Server for Core {
    fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        self.maintain(now);
        let fate = self.faults.meet(request);
        let (response, token) = match fate.instead {
            _ if fate.lost => (None, String::new()),
            Some(response) => (Some(response), String::new()),
            None => {
                let (response, token) = self.answer(request, now, random);
                (Some(response), token)
            }
        };
        if self.log.len() >= self.settings.log_limit.max(1) {
            self.log.pop_front();
        }
        self.log.push_back(Logged {
            at: now,
            method: request.method.clone(),
            path: request.path.clone(),
            status: response.as_ref().map(|response| response.status),
            answered: response.is_some() && !fate.unanswered,
            token,
        });
        let late = fate.late + self.settings.answer_delay_ms;
        match response {
            Some(response) if !fate.unanswered && late > 0 => Answer::At(now + late, response),
            Some(response) if !fate.unanswered => Answer::Now(response),
            _ => Answer::Drop,
        }
    }

    fn interface(&self, request: &Request) -> Option<Interface> {
        // Whoever asks for the root asks whether anybody is there, and nothing of the API.
        (request.path != "/").then(|| Interface::new("fulcrum", "1.0.0"))
    }

    fn tick(&mut self, now: Millis, _random: &mut Random) {
        self.maintain(now);
    }

    fn next_timer(&self) -> Option<Millis> {
        self.rounds.jobs.into_iter().chain(self.rounds.agents).min()
    }
}
