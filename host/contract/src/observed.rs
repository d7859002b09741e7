//! Things as they are.

use serde::{Deserialize, Serialize};

use crate::{More, Owner};

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// It is being made.
    Creating,
    /// Powered off.
    Stopped,
    /// Powered on.
    Running,
    /// It is being deleted.
    Deleting,
    /// Broken.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// One address of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// MAC of the card that has it.
    pub mac: Option<String>,
    /// Without prefix.
    pub ip: String,
}

/// A machine as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The provider's own stable id.
    pub id: String,
    /// What the kubelet is told.
    pub provider_id: Option<String>,
    /// What it is doing.
    pub lifecycle: Lifecycle,
    /// Where it runs now.
    pub location: String,
    /// Of its cards, in order.
    pub macs: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// CPU cores.
    pub cores: u32,
    /// MiB.
    pub memory_mib: u64,
    /// Whatever else the provider tells.
    pub more: More,
}

/// What a control plane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is being made.
    Provisioning,
    /// All is as wanted.
    Ready,
    /// Running, and changing version.
    Upgrading,
    /// Hibernated.
    Sleeping,
    /// Serving, with less than it should.
    Degraded,
    /// Broken.
    Failed,
    /// It is being deleted.
    Deleting,
}

/// A condition, as Kubernetes understands the word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `Ready`, `Progressing` …
    pub name: String,
    /// `None`: unknown.
    pub status: Option<bool>,
    /// One word in CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// All is well.
    Ok,
    /// Worth knowing.
    Warning,
    /// Work is not possible.
    Error,
}

/// One finding of a preflight check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable, upper-case.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// What was looked at, what was found.
    pub message: String,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Such as `cpu.usage`.
    pub name: String,
    /// The machine's or object's name.
    pub resource: String,
    /// In the unit that the name's documentation gives.
    pub value: f64,
}

/// An object of ours, found by its mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Whose it is.
    pub owner: Owner,
    /// `machine`, `control-plane`, `seed` …
    pub kind: String,
    /// The provider's id.
    pub id: String,
    /// Its name there.
    pub name: String,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Token of the next page; `None` at the end.
    pub next: Option<String>,
}
