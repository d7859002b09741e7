//! What a job source asks for, and what it is told.

use serde::{Deserialize, Serialize};

use crate::{Cluster, Condition, Fault, Millis, More, Reference};

/// Who we are at the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Our id there.
    pub id: String,
    /// Our name there.
    pub name: String,
    /// An administrator switched us off.
    pub disabled: bool,
    /// Intervals and defaults that the source sets: a JSON object.
    pub settings: String,
}

/// How we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Connected,
    /// Here, and unable to work.
    Error,
    /// Leaving.
    Disconnected,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// An administrator switched us off; the beat was withheld.
    pub disabled: bool,
}

/// One intent for a service, as the queue has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The job's id.
    pub id: String,
    /// What it is about.
    pub service: String,
    /// Display name of the service.
    pub service_name: String,
    /// Jobs of one group never run at the same time there.
    pub group: String,
    /// `create`, `update`, `start`, `stop`, `delete`, `upgrade`, or a word that we refuse.
    pub action: String,
    /// Higher is more urgent.
    pub priority: i32,
    /// When it was made.
    pub created_ms: Millis,
    /// What is wanted.
    pub wanted: Option<Cluster>,
    /// Why the description cannot be understood.
    pub problem: Option<Fault>,
    /// Whatever else.
    pub more: More,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours.
    Ours,
    /// Somebody else has it, or it is over.
    Lost,
}

/// A node as the source is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Node name.
    pub name: String,
    /// Pool name.
    pub pool: String,
    /// Whether Kubernetes calls it Ready.
    pub ready: bool,
    /// Kubelet version.
    pub version: String,
    /// Internal address.
    pub address: String,
}

/// What the source is told when a job succeeded: the status record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// Stable id of what was made.
    pub instance_id: String,
    /// `https://…`.
    pub endpoint: Option<String>,
    /// CA certificates, PEM.
    pub ca: Option<String>,
    /// The owner's kubeconfig.
    pub kubeconfig: Option<Reference>,
    /// Version that serves.
    pub version: Option<String>,
    /// `Provisioned`, `Deleted` …
    pub phase: String,
    /// With their transition times in `message` where known.
    pub conditions: Vec<Condition>,
    /// The nodes.
    pub nodes: Vec<NodeReport>,
    /// Number of the intent that was carried out.
    pub observed_generation: u64,
    /// Whatever else.
    pub more: More,
}

/// How a job ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// It succeeded.
    Completed(Box<Completion>),
    /// It failed; the code begins the text.
    Failed(Fault),
}

/// The source's answer to a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The source has it.
    Accepted,
    /// The source gave the job up before: the result stays with us.
    Late,
}

/// A service as the source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRow {
    /// Its id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// The source's word for its state.
    pub state: String,
    /// The instance id that we gave.
    pub instance_id: Option<String>,
}
