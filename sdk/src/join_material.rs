//! Optional, for a node provider whose machines do not join by kubeadm.

pub use crate::bindings::join_material::exports::agentkube::provider::join_material::Endpoint;
use crate::call::Call;
use crate::cluster::Pool;
use crate::machine::MachineKey;
use crate::{NodeProvider, Result};

/// What a node provider may offer beside its role: first-boot data of its own, instead of the host's template.
///
/// `export!(NodeProvider + JoinMaterial for Mine)` exports it, and `manifest!(NodeProvider + JoinMaterial for Mine, "mine")` says so.
#[allow(async_fn_in_trait)]
pub trait JoinMaterial: NodeProvider {
    /// First-boot data for one machine, which then joins the API server at `endpoint`.
    async fn render(&self, call: Call, key: MachineKey, pool: Pool, endpoint: Endpoint) -> Result<Vec<u8>>;
}
