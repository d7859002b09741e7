//! What a job will do, as a graph of steps. Pure: the same intent over the same ledger gives the same plan, so a restart plans
//! again and leaves out what is over.

mod create;
mod delete;
pub(crate) mod known;
mod render;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use agentkube_contract::MachineKey;
use serde::{Deserialize, Serialize};

pub(crate) use known::{CONTROL_PLANE, JOIN_TOKEN, MACHINE};
pub use known::{Known, KnownMachine, Providers};

/// What a job asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Make the cluster, or finish making it.
    Create,
    /// Change it.
    Update,
    /// Wake it.
    Start,
    /// Hibernate it.
    Stop,
    /// Remove it.
    Delete,
    /// Change its version.
    Upgrade,
    /// A word that means nothing here.
    Unknown,
}

impl Action {
    /// The action of a job's word.
    pub fn parse(text: &str) -> Action {
        match text {
            "create" => Action::Create,
            "update" => Action::Update,
            "start" => Action::Start,
            "stop" => Action::Stop,
            "delete" => Action::Delete,
            "upgrade" => Action::Upgrade,
            _ => Action::Unknown,
        }
    }

    /// The word.
    pub fn text(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Delete => "delete",
            Action::Upgrade => "upgrade",
            Action::Unknown => "unknown",
        }
    }

    /// Whether this version carries it out. All others are claimed and failed with `UNSUPPORTED`.
    pub fn supported(self) -> bool {
        matches!(self, Action::Create | Action::Delete)
    }
}

/// A machine of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Which.
    pub key: MachineKey,
    /// Configured name of its provider.
    pub provider: String,
    /// The provider's id of it, when it is known.
    pub external_id: Option<String>,
    /// Its provider needs the first-boot data at creation.
    pub bootstrap_at_create: bool,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// The control-plane object exists and is ours: the fence between installations.
    ClaimControlPlane,
    /// The endpoint is known.
    ControlPlaneJoinable,
    /// All of the control plane is there and stable.
    ControlPlaneReady,
    /// The tenant's API server answers `/readyz`.
    OpenTenant,
    /// The token with this public half exists, and cluster-info is signed with it.
    JoinToken(String),
    /// Add-ons are applied.
    ApplyAddons,
    /// The machine exists, stopped or allocated.
    CreateMachine(Machine),
    /// The machine runs with its first-boot data.
    BootMachine(Machine),
    /// Its node is Ready, with labels and taints.
    AwaitNode(Machine),
    /// Nothing carries first-boot data any more.
    FinishMachine(Machine),
    /// The token is gone.
    RevokeToken(String),
    /// Add-ons are available.
    AddonsHealthy,
    /// All of it is observed once more; gives the status record.
    Health,
    /// The machine is gone.
    DeleteMachine(Machine),
    /// The Node object of a machine is gone.
    RemoveNode(Machine),
    /// The control plane is gone, and with it the tokens named here.
    DeleteControlPlane(Vec<String>),
    /// The ledger knows what the providers know; for a journal that was lost.
    RecoverLedger,
}

/// One resumable unit of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Deterministic: `machine/k3x…-workers-01/create`.
    pub id: String,
    /// What it does.
    pub work: Work,
    /// Steps that must be over before.
    pub after: Vec<String>,
    /// Configured name of the provider whose limit it counts against.
    pub provider: Option<String>,
    /// It is over: recorded by an earlier run.
    pub done: bool,
}

/// A graph of steps, in an order in which each comes after those that it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What it carries out.
    pub action: Action,
    /// Cluster name.
    pub cluster: String,
    /// The steps.
    pub steps: Vec<Step>,
    /// Their ids.
    #[serde(skip)]
    ids: HashSet<String>,
}

impl Plan {
    fn new(action: Action, cluster: &str) -> Self {
        Plan { action, cluster: cluster.to_owned(), steps: Vec::new(), ids: HashSet::new() }
    }

    fn add(&mut self, id: impl Into<String>, work: Work, provider: Option<&str>, after: &[&str]) -> String {
        let id = id.into();
        // Steps that this plan does not have need not be waited for.
        let after = after.iter().filter(|id| self.ids.contains(**id)).map(|id| (*id).to_owned()).collect();
        self.ids.insert(id.clone());
        self.steps.push(Step { id: id.clone(), work, after, provider: provider.map(str::to_owned), done: false });
        id
    }

    /// Marks the steps that an earlier run finished.
    pub(crate) fn mark_done<'a>(&mut self, finished: impl Fn(&str) -> bool + 'a) {
        for step in &mut self.steps {
            step.done = finished(&step.id);
        }
    }

    /// Machines that the plan leads to.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.steps.iter().filter_map(|step| match &step.work {
            Work::CreateMachine(machine) => Some(machine),
            _ => None,
        })
    }
}
