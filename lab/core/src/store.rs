//! The rows that Core keeps, and the tables they live in.

use std::collections::{BTreeMap, HashMap};

use lab_wire::Millis;
use serde_json::{Map, Value};

use crate::lifecycle::Lifecycle;
use crate::schema::Schema;
use crate::vault::Vault;

/// A JSON object, as properties and agent data are.
pub type Object = Map<String, Value>;

/// What every row has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// UUID in its usual text form.
    pub id: String,
    /// When the row was made.
    pub created: Millis,
    /// When it was last saved.
    pub updated: Millis,
}

/// A row of a [`Table`].
pub trait Row: Clone {
    /// Its id and times.
    fn meta(&self) -> &Meta;
    /// The same, to be changed when the row is saved.
    fn meta_mut(&mut self) -> &mut Meta;
}

macro_rules! rows {
    ($($name:ident),*) => { $(
        impl Row for $name {
            fn meta(&self) -> &Meta { &self.meta }
            fn meta_mut(&mut self) -> &mut Meta { &mut self.meta }
        }
    )* };
}

rows!(
    Participant,
    ServiceType,
    AgentType,
    Agent,
    Group,
    Service,
    Job,
    MetricType,
    MetricEntry,
    OptionType,
    ServiceOption,
    Token,
    InstallToken,
    Event
);

/// A provider or a consumer of services.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Id and times.
    pub meta: Meta,
    /// Display name.
    pub name: String,
    /// `Enabled` or `Disabled`; gates nothing.
    pub status: String,
}

/// What kind of service can be ordered.
#[derive(Clone, Debug)]
pub struct ServiceType {
    /// Id and times.
    pub meta: Meta,
    /// Unique name.
    pub name: String,
    /// What its properties may be.
    pub properties: Schema,
    /// Its states and actions.
    pub lifecycle: Lifecycle,
}

/// What kind of agent can serve which service types.
#[derive(Clone, Debug)]
pub struct AgentType {
    /// Id and times.
    pub meta: Meta,
    /// Unique name.
    pub name: String,
    /// Service types that its agents serve.
    pub service_types: Vec<String>,
    /// What its agents' configuration may be.
    pub configuration: Schema,
    /// Template of the configuration file, `""` without an install flow.
    pub config_template: String,
    /// Template of the install command, `""` without an install flow.
    pub cmd_template: String,
    /// Media type of the rendered configuration.
    pub config_content_type: String,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Id and times.
    pub meta: Meta,
    /// Display name.
    pub name: String,
    /// `New`, `Connected`, `Disconnected`, `Error` or `Disabled`.
    pub status: String,
    /// Last heartbeat; no answer shows it.
    pub last_status_update: Millis,
    /// Capabilities; `None` when never given.
    pub tags: Option<Vec<String>>,
    /// Configuration with secrets as references.
    pub configuration: Option<Object>,
    /// Its type.
    pub agent_type: String,
    /// The participant that runs it.
    pub provider: String,
    /// Pool set, only echoed.
    pub pool_set: Option<String>,
}

/// A group of services of one consumer: jobs of a group run one after the other.
#[derive(Clone, Debug)]
pub struct Group {
    /// Id and times.
    pub meta: Meta,
    /// Display name.
    pub name: String,
    /// Its consumer.
    pub consumer: String,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Id and times.
    pub meta: Meta,
    /// Display name: neither unique nor stable.
    pub name: String,
    /// A state of its type's lifecycle.
    pub status: String,
    /// Properties; `None` once an update without parameters was completed.
    pub properties: Option<Object>,
    /// The agent's own id for it, unique over all services.
    pub instance_id: Option<String>,
    /// The agent's own data, replaced whole.
    pub instance_data: Option<Object>,
    /// Who provides it.
    pub provider: String,
    /// Who ordered it.
    pub consumer: String,
    /// Its group.
    pub group: String,
    /// The agent that serves it.
    pub agent: String,
    /// Its type.
    pub service_type: String,
}

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Waits to be claimed.
    Pending,
    /// Claimed.
    Processing,
    /// Done.
    Completed,
    /// Failed, by the agent or by the timeout.
    Failed,
}

impl JobStatus {
    /// As it stands in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Pending => "Pending",
            JobStatus::Processing => "Processing",
            JobStatus::Completed => "Completed",
            JobStatus::Failed => "Failed",
        }
    }

    /// Whether it blocks other actions on its service.
    pub fn active(self) -> bool {
        matches!(self, JobStatus::Pending | JobStatus::Processing)
    }
}

/// One intent for a service.
#[derive(Clone, Debug)]
pub struct Job {
    /// Id and times.
    pub meta: Meta,
    /// `create`, `update`, `delete` or an action of the lifecycle.
    pub action: String,
    /// The desired properties, on create and update.
    pub params: Option<Object>,
    /// Where it stands.
    pub status: JobStatus,
    /// Why it failed.
    pub error: String,
    /// When it was claimed.
    pub claimed: Option<Millis>,
    /// When it was completed or timed out; a job failed by its agent has none.
    pub completed: Option<Millis>,
    /// The agent that must do it.
    pub agent: String,
    /// Its service.
    pub service: String,
    /// The service's provider.
    pub provider: String,
    /// The service's consumer.
    pub consumer: String,
}

/// A kind of measurement.
#[derive(Clone, Debug)]
pub struct MetricType {
    /// Id and times.
    pub meta: Meta,
    /// Unique name.
    pub name: String,
    /// `Agent`, `Service` or `Resource`; never compared with an entry.
    pub entity: String,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct MetricEntry {
    /// Id and times.
    pub meta: Meta,
    /// What was measured.
    pub resource: String,
    /// The value.
    pub value: f64,
    /// Its type.
    pub metric_type: String,
    /// The agent of the service.
    pub agent: String,
    /// The service.
    pub service: String,
    /// The service's provider.
    pub provider: String,
    /// The service's consumer.
    pub consumer: String,
}

/// A kind of choice that providers offer.
#[derive(Clone, Debug)]
pub struct OptionType {
    /// Id and times.
    pub meta: Meta,
    /// Display name.
    pub name: String,
    /// Unique word that schemas refer to.
    pub kind: String,
    /// Free text.
    pub description: String,
}

/// A choice that one provider offers.
#[derive(Clone, Debug)]
pub struct ServiceOption {
    /// Id and times.
    pub meta: Meta,
    /// Who offers it.
    pub provider: String,
    /// Its [`OptionType`].
    pub option_type: String,
    /// Display name.
    pub name: String,
    /// The value to be chosen.
    pub value: Value,
    /// Whether it can be chosen now.
    pub enabled: bool,
    /// Order of display.
    pub order: i64,
}

/// A bearer token, known by its hash only.
#[derive(Clone, Debug)]
pub struct Token {
    /// Id and times.
    pub meta: Meta,
    /// Display name.
    pub name: String,
    /// `admin`, `participant` or `agent`.
    pub role: String,
    /// Base64 of the SHA-256 of its value.
    pub hash: String,
    /// When it dies.
    pub expires: Millis,
    /// Its participant, for participants and agents.
    pub participant: Option<String>,
    /// Its agent, for agents.
    pub agent: Option<String>,
}

/// The right to fetch one agent's rendered configuration.
#[derive(Clone, Debug)]
pub struct InstallToken {
    /// Id and times.
    pub meta: Meta,
    /// Whose configuration.
    pub agent: String,
    /// Hash of the token in the URL.
    pub hash: String,
    /// When it dies.
    pub expires: Millis,
    /// The bearer token that goes with it.
    pub bootstrap: String,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Id and times.
    pub meta: Meta,
    /// Strict order of events.
    pub sequence: u64,
    /// Such as `service.transitioned`.
    pub kind: String,
    /// Which token did it.
    pub initiator: String,
    /// What it happened to.
    pub entity: String,
    /// Provider, when there is one.
    pub provider: Option<String>,
    /// Consumer, when there is one.
    pub consumer: Option<String>,
    /// Agent, when there is one.
    pub agent: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Key of the row now.
    now: u64,
    /// Its first key: the order of creation, which times alone do not give.
    born: u64,
}

/// A table in the order of a heap: a saved row moves to the end, so lists without a sort have no stable order.
#[derive(Clone, Debug)]
pub struct Table<T> {
    rows: BTreeMap<u64, T>,
    places: HashMap<String, Place>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { rows: BTreeMap::new(), places: HashMap::new(), next: 0 }
    }
}

impl<T: Row> Table<T> {
    /// The row of that id.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.places.get(id).and_then(|place| self.rows.get(&place.now))
    }

    /// All rows in heap order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }

    /// All rows in the order of their creation.
    pub fn oldest_first(&self) -> Vec<&T> {
        let mut rows: Vec<&T> = self.iter().collect();
        rows.sort_by_key(|row| self.places.get(&row.meta().id).map(|place| place.born));
        rows
    }

    /// Inserts or saves a row, with the time of the change.
    pub fn save(&mut self, mut row: T, now: Millis) {
        row.meta_mut().updated = now;
        self.place(row);
    }

    /// Inserts or saves a row as it is.
    pub fn place(&mut self, row: T) {
        let id = row.meta().id.clone();
        let place = self.places.entry(id).or_insert(Place { now: self.next, born: self.next });
        self.rows.remove(&place.now);
        place.now = self.next;
        self.rows.insert(self.next, row);
        self.next += 1;
    }

    /// Removes a row.
    pub fn remove(&mut self, id: &str) -> Option<T> {
        self.places.remove(id).and_then(|place| self.rows.remove(&place.now))
    }

    /// Removes every row for which `gone` holds, and says how many.
    pub fn remove_where(&mut self, gone: impl Fn(&T) -> bool) -> usize {
        let ids: Vec<String> = self.iter().filter(|row| gone(row)).map(|row| row.meta().id.clone()).collect();
        ids.iter().filter_map(|id| self.remove(id)).count()
    }
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Participants.
    pub participants: Table<Participant>,
    /// Service types.
    pub service_types: Table<ServiceType>,
    /// Agent types.
    pub agent_types: Table<AgentType>,
    /// Agents.
    pub agents: Table<Agent>,
    /// Service groups.
    pub groups: Table<Group>,
    /// Services.
    pub services: Table<Service>,
    /// Jobs.
    pub jobs: Table<Job>,
    /// Metric types.
    pub metric_types: Table<MetricType>,
    /// Metric entries.
    pub metric_entries: Table<MetricEntry>,
    /// Service option types.
    pub option_types: Table<OptionType>,
    /// Service options.
    pub options: Table<ServiceOption>,
    /// Tokens.
    pub tokens: Table<Token>,
    /// Install tokens.
    pub install_tokens: Table<InstallToken>,
    /// Events, oldest first.
    pub events: Table<Event>,
    /// Secrets.
    pub vault: Vault,
}
