//! The role of a control-plane provider: who runs the control plane of a cluster. It ends where Kubernetes begins.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::bindings::control_plane::exports::agentkube::provider::control_plane::{
    Kubeconfigs, Phase, Stage, Status,
};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::observed::{Finding, OwnedPage, Sample};
use crate::{Fault, Result};

/// A control-plane provider. Every function may be called again at any time, also after an earlier call was killed half way.
#[allow(async_fn_in_trait)]
pub trait ControlPlane: Sized + 'static {
    /// The plugin's configuration; its schema stands in the manifest.
    type Config: DeserializeOwned + JsonSchema;

    /// Made anew for each call.
    fn new(config: Self::Config) -> Result<Self>;

    /// Checks reachability, versions, privileges, prerequisites.
    async fn preflight(&self) -> Result<Vec<Finding>>;

    /// Creates or changes the control plane until it is at `stage`, or its deadline. `conflict` (`FOREIGN_CONTROL_PLANE`) when it
    /// exists with another's mark. A second call goes on.
    async fn ensure(&self, call: Call, wanted: Cluster, stage: Stage) -> Result<Status>;

    /// The control plane as it is; `None` when it does not exist.
    async fn observe(&self, call: Call) -> Result<Option<Status>>;

    /// Hibernates or wakes it and waits until that is so. Left out: `UNSUPPORTED`.
    async fn power(&self, call: Call, on: bool) -> Result<Status> {
        let _ = (call, on);
        Err(Fault::unsupported("UNSUPPORTED", "this provider cannot hibernate control planes"))
    }

    /// Deletes it and waits until nothing of it is left. Deleting what does not exist is success.
    async fn delete(&self, call: Call) -> Result<()>;

    /// One page of what this installation owns there.
    async fn list_owned(&self, installation: String, page: Option<String>) -> Result<OwnedPage>;

    /// References to its kubeconfigs.
    async fn kubeconfig(&self, call: Call) -> Result<Kubeconfigs>;

    /// Renews certificates and kubeconfigs (not the CA) and waits until that is done. Left out: `UNSUPPORTED`.
    async fn rotate(&self, call: Call) -> Result<()> {
        let _ = call;
        Err(Fault::unsupported("UNSUPPORTED", "this provider cannot renew certificates on request"))
    }

    /// Measurements of the control plane. Left out: `UNSUPPORTED`.
    async fn metrics(&self, call: Call) -> Result<Vec<Sample>> {
        let _ = call;
        Err(Fault::unsupported("UNSUPPORTED", "this provider measures nothing"))
    }
}
