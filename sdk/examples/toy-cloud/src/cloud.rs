//! What the cloud says, and what it means to us.

use std::collections::BTreeMap;

use agentkube_sdk::http::Response;
use agentkube_sdk::machine::{Address, Instance, Lifecycle, MachineKey};
use agentkube_sdk::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Images {
    pub(crate) images: Vec<Image>,
}

#[derive(Deserialize)]
pub(crate) struct Image {
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct Machines {
    pub(crate) machines: Vec<Machine>,
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) cores: u32,
    pub(crate) memory_mib: u64,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) has_user_data: bool,
    pub(crate) mac: String,
    pub(crate) state: State,
    pub(crate) operation: Option<String>,
    pub(crate) addresses: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Creating,
    Stopped,
    Starting,
    Running,
    Stopping,
    Deleting,
    Failed,
}

#[derive(Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) machine: String,
    state: Progress,
    error: Option<Said>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Progress {
    Running,
    Succeeded,
    Failed,
}

#[derive(Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
}

impl Operation {
    /// `None` while it runs.
    pub(crate) fn result(self) -> Result<Option<()>> {
        match self.state {
            Progress::Running => Ok(None),
            Progress::Succeeded => Ok(Some(())),
            Progress::Failed => {
                let why = self.error.map(|said| said.message).unwrap_or_default();
                Err(Fault::internal("OPERATION_FAILED", format!("operation {}: {why}", self.id))
                    .outcome(Outcome::Unknown))
            }
        }
    }
}

/// The answer, or what the cloud's refusal means.
pub(crate) fn refusal(response: Response) -> Result<Response> {
    if response.is_success() {
        return Ok(response);
    }
    let fault = response.fault();
    let Ok(Refusal { error }) = response.json() else { return Err(fault) };
    Err(match error.code.as_str() {
        "busy" => Fault::busy("MACHINE_BUSY", error.message),
        "quota_exceeded" => Fault::exhausted("QUOTA_EXCEEDED", error.message).scope(Scope::Provider),
        _ => fault,
    })
}

/// The mark: whom the machine is for, and which one it is. The name is not part of it.
pub(crate) fn tags(owner: &Owner, key: &MachineKey) -> BTreeMap<String, String> {
    let index = key.index.to_string();
    let pairs = [
        ("installation", &owner.installation),
        ("source", &owner.source),
        ("service", &owner.service),
        ("cluster", &owner.cluster),
        ("pool", &key.pool),
        ("index", &index),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.clone())).into()
}

impl From<Machine> for Instance {
    fn from(machine: Machine) -> Self {
        let lifecycle = match machine.state {
            State::Creating => Lifecycle::Creating,
            State::Stopped | State::Starting => Lifecycle::Stopped,
            State::Running | State::Stopping => Lifecycle::Running,
            State::Deleting => Lifecycle::Deleting,
            State::Failed => Lifecycle::Failed,
        };
        let mac = Some(machine.mac.clone());
        Instance {
            provider_id: Some(format!("toy://{}", machine.id)),
            id: machine.id,
            lifecycle,
            location: String::new(),
            addresses: machine.addresses.into_iter().map(|ip| Address { mac: mac.clone(), ip }).collect(),
            macs: vec![machine.mac],
            cores: machine.cores,
            memory_mib: machine.memory_mib,
            more: More::new(),
        }
    }
}

impl From<Machine> for Owned {
    fn from(mut machine: Machine) -> Self {
        let mut tag = |name| machine.tags.remove(name).unwrap_or_default();
        let owner = Owner {
            installation: tag("installation"),
            source: tag("source"),
            service: tag("service"),
            cluster: tag("cluster"),
            display_name: String::new(),
        };
        Owned { owner, kind: "machine".to_owned(), id: machine.id, name: machine.name }
    }
}
