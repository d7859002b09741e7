//! The role of a node provider: who makes machines.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::bindings::node_provider::exports::agentkube::provider::node_provider::{Bootstrap, PowerAction};
use crate::call::Call;
use crate::cluster::Pool;
use crate::machine::{Instance, MachineKey};
use crate::observed::{Finding, OwnedPage, Sample};
use crate::{Fault, Result};

/// A node provider. Every function may be called again at any time, also after an earlier call was killed half way.
#[allow(async_fn_in_trait)]
pub trait NodeProvider: Sized + 'static {
    /// The plugin's configuration; its schema stands in the manifest.
    type Config: DeserializeOwned + JsonSchema;

    /// Made anew for each call.
    fn new(config: Self::Config) -> Result<Self>;

    /// Checks reachability, versions, privileges one by one, templates, storages.
    async fn preflight(&self) -> Result<Vec<Finding>>;

    /// The machine with this key, found by its mark. `None` is said only after asking for the intended id itself, with no job of
    /// ours still running there, and after the provider's visibility delay.
    async fn find(&self, call: Call, key: MachineKey) -> Result<Option<Instance>>;

    /// Makes the machine, from whatever stage `found` has, and ends with a stopped machine (or an allocation) that has its shape.
    /// With `bootstrap` when the manifest says `bootstrap-at-create`. A second call goes on, or gives the machine.
    async fn create(
        &self,
        call: Call,
        key: MachineKey,
        pool: Pool,
        found: Option<Instance>,
        bootstrap: Option<Bootstrap>,
    ) -> Result<Instance>;

    /// Delivers the first-boot data and starts the machine; a machine that runs already is left alone.
    async fn boot(&self, call: Call, key: MachineKey, instance: Instance, bootstrap: Bootstrap) -> Result<Instance>;

    /// After the join: detaches, deletes and redacts everything that carried first-boot data. A second call does nothing.
    async fn finish_bootstrap(&self, call: Call, key: MachineKey, instance: Instance) -> Result<()>;

    /// The machine as it is; `None` when it is gone.
    async fn observe(&self, call: Call, key: MachineKey, instance_id: String) -> Result<Option<Instance>>;

    /// Changes the power state and waits until it is so.
    async fn power(&self, call: Call, key: MachineKey, instance_id: String, action: PowerAction) -> Result<Instance>;

    /// Gives the machine another shape; disks only grow. Left out: `UNSUPPORTED`.
    async fn resize(&self, call: Call, key: MachineKey, instance_id: String, pool: Pool) -> Result<Instance> {
        let _ = (call, key, instance_id, pool);
        Err(Fault::unsupported("UNSUPPORTED", "this provider cannot give a machine another shape"))
    }

    /// Deletes the machine and everything made for it, and waits until it is gone. Proves ownership first: `conflict`
    /// (`NOT_OURS`, [`Fault::not_ours`]) and nothing done when the mark is missing. Deleting what does not exist is success.
    async fn delete(&self, call: Call, key: MachineKey, instance_id: Option<String>) -> Result<()>;

    /// One page of what this installation owns there.
    async fn list_owned(&self, installation: String, page: Option<String>) -> Result<OwnedPage>;

    /// Measurements of one machine. Left out: `UNSUPPORTED`.
    async fn metrics(&self, call: Call, key: MachineKey, instance_id: String) -> Result<Vec<Sample>> {
        let _ = (call, key, instance_id);
        Err(Fault::unsupported("UNSUPPORTED", "this provider measures nothing"))
    }
}
