//! What a job source asks for, and what it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::mistake::within;
use crate::{Cluster, Condition, Fault, Millis, Mistake, More, Reference};

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
    /// What is wanted; beside mistakes, as much as could be understood.
    pub wanted: Option<Cluster>,
    /// Why the job makes no sense at all.
    pub problem: Option<Fault>,
    /// What is wrong in the description.
    #[serde(default)]
    pub mistakes: Vec<Mistake>,
    /// Whatever else.
    pub more: More,
}

impl Job {
    /// Adds what the host found wrong, under the source's names. What the source found wrong at the same place says it already.
    pub fn found(&mut self, mistakes: impl IntoIterator<Item = Mistake>) {
        let names = self.names();
        let mut found: Vec<Mistake> =
            mistakes.into_iter().map(|mistake| Mistake { path: named(&names, &mistake.path), ..mistake }).collect();
        found.retain(|mistake| self.mistakes.iter().all(|known| !known.covers(&mistake.path)));
        self.mistakes.append(&mut found);
    }

    /// From the host's path of a field to the source's name of it.
    fn names(&self) -> BTreeMap<String, String> {
        let text = self.more.iter().find(|(name, _)| name == "names").map(|(_, text)| text.as_str());
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// The path with its longest known beginning in the source's words.
fn named(names: &BTreeMap<String, String>, path: &str) -> String {
    let longest = names.iter().filter_map(|(name, theirs)| Some((name.len(), theirs, within(path, name)?))).max();
    longest.map_or_else(|| path.to_owned(), |(_, theirs, rest)| format!("{theirs}{rest}"))
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
    /// The node provider's own id of the machine.
    #[serde(default)]
    pub machine: Option<String>,
}

/// A pool as the source is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolReport {
    /// Pool name.
    pub name: String,
    /// Configured name of its node provider.
    pub provider: String,
    /// How many machines are wanted.
    pub wanted: u32,
}

/// A condition, and since when it stands so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// What stands.
    pub condition: Condition,
    /// Since when.
    pub since_ms: Millis,
}

/// How a cluster is: the status record, told whole with each job.
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
    /// `Provisioned`, `Failed`, `Undone`, `Deleted`.
    pub phase: String,
    /// Those of the control-plane provider, and the host's own.
    pub conditions: Vec<Standing>,
    /// The pools.
    #[serde(default)]
    pub pools: Vec<PoolReport>,
    /// The machines, as nodes.
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
    /// It failed.
    Failed(Box<Failure>),
}

/// Why a job failed, and what stands after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The code begins the text that the source keeps.
    pub fault: Fault,
    /// How the cluster is; `None` when nothing was touched.
    pub status: Option<Completion>,
}

impl Settlement {
    /// A failure that touched nothing.
    pub fn failed(fault: Fault) -> Self {
        Settlement::Failed(Box::new(Failure { fault, status: None }))
    }

    /// Why it failed, if it did.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Settlement::Completed(_) => None,
            Settlement::Failed(failure) => Some(&failure.fault),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mistake::place;

    #[test]
    fn what_the_host_finds_is_said_in_the_sources_words_and_once() {
        let names = r#"{"pools": "nodePools", "network.podCidrs": "podCidr", "network": "net"}"#;
        let mut job = Job {
            id: "j".into(),
            service: "s".into(),
            service_name: String::new(),
            group: String::new(),
            action: "create".into(),
            priority: 1,
            created_ms: 0,
            wanted: None,
            problem: None,
            mistakes: vec![
                Mistake::new("nodePools.a", "BAD_TYPE", "is a list"),
                Mistake::new("nodePools.b.lables", "UNKNOWN_KEY", "is not known"),
            ],
            more: vec![("names".into(), names.into())],
        };
        job.found([
            Mistake::new("network.podCidrs[0]", "CIDR", "odd"),
            Mistake::new("pools.a.count", "POOL_SIZE", "within a mistake of the source"),
            Mistake::new("poolsx", "X", "no name of ours"),
            Mistake::new(place("pools", "B.c"), "POOL_NAME", "odd"),
            Mistake::new("pools.b.settings", "SETTINGS", "beside a mistake of the source"),
        ]);
        let paths: Vec<&str> = job.mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
        let expected = [
            "nodePools.a",
            "nodePools.b.lables",
            "podCidr[0]",
            "poolsx",
            r#"nodePools["B.c"]"#,
            "nodePools.b.settings",
        ];
        assert_eq!(paths, expected);
    }
}
