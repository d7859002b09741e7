//! One trait per role. The sandbox implements them with plugins, tests with scripts.
//!
//! Every function may be called again at any time with the same arguments, also after an earlier call was killed half way.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Beat, Claimed, Cluster, Condition, Finding, Health, Identity, Instance, Job, MachineKey, Millis, More, Owned,
    Owner, Page, Phase, Pool, Reference, Result, Sample, ServiceRow, Settled, Settlement,
};

/// Said with every call that concerns one service.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whom the work is for.
    pub owner: Owner,
    /// When the call is ended.
    pub deadline: Millis,
    /// 1 for the first try of a step.
    pub attempt: u32,
}

/// Where jobs come from, and where results go.
#[async_trait]
pub trait JobSource: Send + Sync {
    /// Checks connection, credential and what must be registered there.
    async fn preflight(&self) -> Result<Vec<Finding>>;
    /// Who we are there.
    async fn identify(&self) -> Result<Identity>;
    /// Says that we live; changes nothing where an administrator disabled us.
    async fn heartbeat(&self, health: Health) -> Result<Beat>;
    /// Jobs that wait for us, most urgent first.
    async fn pending(&self) -> Result<Vec<Job>>;
    /// Jobs claimed by us and not over.
    async fn unfinished(&self) -> Result<Vec<Job>>;
    /// One job as it is now.
    async fn job_by_id(&self, id: &str) -> Result<Option<Job>>;
    /// Takes a job.
    async fn claim(&self, job: &str) -> Result<Claimed>;
    /// Ends a job.
    async fn settle(&self, job: &str, service: &str, settlement: &Settlement) -> Result<Settled>;
    /// One page of the services that are ours.
    async fn services(&self, page: Option<&str>) -> Result<Page<ServiceRow>>;
    /// Reports measurements of one service; gives the names that the source knows no measurement under.
    async fn report(&self, service: &str, samples: &[Sample]) -> Result<Vec<String>>;
}

/// How far [`ControlPlane::ensure`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The object exists and is ours: the fence.
    Claimed,
    /// The endpoint is known and machines can join.
    Joinable,
    /// All that was wanted is there and stable.
    Ready,
}

/// A control plane as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPlaneStatus {
    /// The provider's own id of it.
    pub id: String,
    /// What it is doing.
    pub phase: Phase,
    /// `host:port`.
    pub endpoint: Option<String>,
    /// Version that serves.
    pub version: Option<String>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Whatever else.
    pub more: More,
}

/// References to a cluster's kubeconfigs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubeconfigs {
    /// For the host.
    pub operator: Reference,
    /// For the owner of the cluster.
    pub owner: Reference,
}

/// Who runs the control plane of a cluster.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// Minor number of the oldest Kubernetes that it makes; 0 for any.
    fn oldest_minor(&self) -> u32;
    /// Checks reachability, versions, privileges, prerequisites.
    async fn preflight(&self) -> Result<Vec<Finding>>;
    /// Creates or changes the control plane until it is at `stage`.
    async fn ensure(&self, call: &Call, wanted: &Cluster, stage: Stage) -> Result<ControlPlaneStatus>;
    /// The control plane as it is.
    async fn observe(&self, call: &Call) -> Result<Option<ControlPlaneStatus>>;
    /// Hibernates or wakes it and waits.
    async fn power(&self, call: &Call, on: bool) -> Result<ControlPlaneStatus>;
    /// Deletes it and waits until nothing of it is left.
    async fn delete(&self, call: &Call) -> Result<()>;
    /// One page of what the installation owns there.
    async fn list_owned(&self, installation: &str, page: Option<&str>) -> Result<Page<Owned>>;
    /// References to its kubeconfigs.
    async fn kubeconfig(&self, call: &Call) -> Result<Kubeconfigs>;
    /// Renews certificates and kubeconfigs and waits.
    async fn rotate(&self, call: &Call) -> Result<()>;
    /// Measurements of the control plane.
    async fn metrics(&self, call: &Call) -> Result<Vec<Sample>>;
}

/// First-boot data.
#[derive(Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// cloud-config. Holds the join token: never journalled, never logged.
    pub user_data: Vec<u8>,
    /// `instance-id` and the like.
    pub meta_data: Vec<(String, String)>,
    /// Network configuration (version 2), when addresses are static.
    pub network_config: Option<Vec<u8>>,
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bootstrap({} bytes)", self.user_data.len())
    }
}

/// Where a machine joins that does not join by kubeadm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port` of the API server.
    pub server: String,
    /// CA certificates, PEM.
    pub ca: String,
}

/// What to do with a machine's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// On.
    Start,
    /// Asks the guest, then forces it.
    Shutdown,
    /// Off at once.
    Stop,
    /// Off and on.
    Reboot,
}

/// Who makes machines.
#[async_trait]
pub trait NodeProvider: Send + Sync {
    /// Whether the first-boot data must be there when the machine is made.
    fn bootstrap_at_create(&self) -> bool;
    /// Checks reachability, versions, privileges, templates, storages.
    async fn preflight(&self) -> Result<Vec<Finding>>;
    /// The machine with this key, found by its mark.
    async fn find(&self, call: &Call, key: &MachineKey) -> Result<Option<Instance>>;
    /// Makes the machine, from whatever stage `found` has; it ends stopped or allocated.
    async fn create(
        &self,
        call: &Call,
        key: &MachineKey,
        pool: &Pool,
        found: Option<&Instance>,
        bootstrap: Option<&Bootstrap>,
    ) -> Result<Instance>;
    /// Delivers the first-boot data and starts the machine.
    async fn boot(&self, call: &Call, key: &MachineKey, instance: &Instance, bootstrap: &Bootstrap)
    -> Result<Instance>;
    /// After the join: removes everything that carried first-boot data.
    async fn finish_bootstrap(&self, call: &Call, key: &MachineKey, instance: &Instance) -> Result<()>;
    /// The machine as it is.
    async fn observe(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<Instance>>;
    /// Changes the power state and waits.
    async fn power(&self, call: &Call, key: &MachineKey, id: &str, action: PowerAction) -> Result<Instance>;
    /// Gives the machine another shape.
    async fn resize(&self, call: &Call, key: &MachineKey, id: &str, pool: &Pool) -> Result<Instance>;
    /// Deletes the machine and everything made for it, after proving ownership.
    async fn delete(&self, call: &Call, key: &MachineKey, id: Option<&str>) -> Result<()>;
    /// One page of what the installation owns there.
    async fn list_owned(&self, installation: &str, page: Option<&str>) -> Result<Page<Owned>>;
    /// Measurements of one machine.
    async fn metrics(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Vec<Sample>>;

    /// The last lines of the machine's first-boot log, as the provider gives them: unbounded, with whatever is in them. `None` when
    /// the provider does not offer it.
    async fn bootstrap_log(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<String>> {
        let _ = (call, key, id);
        Ok(None)
    }

    /// Whether the provider renders first-boot data itself, since its machines do not join by kubeadm.
    fn renders_bootstrap(&self) -> bool {
        false
    }

    /// First-boot data for one machine, instead of the host's template. `None` when the provider does not offer it.
    async fn join_material(
        &self,
        call: &Call,
        key: &MachineKey,
        pool: &Pool,
        endpoint: &Endpoint,
    ) -> Result<Option<Vec<u8>>> {
        let _ = (call, key, pool, endpoint);
        Ok(None)
    }
}
