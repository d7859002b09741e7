//! What a node provider exports beside its role. A plugin without them is as complete as one with them.

use agentkube_contract::{Call, Endpoint, MachineKey, Pool, Result};
use agentkube_manifest::Offer;

use super::bootstrap_log_world::BootstrapLogOfferPre;
use super::invoke;
use super::join_material_world::JoinMaterialOfferPre;
use super::join_material_world::exports::agentkube::provider::join_material as wit;
use super::node_provider::NodeProviderPlugin;
use crate::plugin::Plugin;
use crate::state::State;

/// The optional interfaces of one plugin.
pub(super) struct Offers {
    bootstrap_log: Option<BootstrapLogOfferPre<State>>,
    join_material: Option<JoinMaterialOfferPre<State>>,
}

impl Offers {
    /// Those that the manifest names; that it names what is exported was checked before.
    pub fn of(plugin: &Plugin) -> Self {
        let manifest = plugin.manifest();
        Offers {
            bootstrap_log: manifest
                .offers(Offer::BootstrapLog)
                .then(|| BootstrapLogOfferPre::new(plugin.pre()).ok())
                .flatten(),
            join_material: manifest
                .offers(Offer::JoinMaterial)
                .then(|| JoinMaterialOfferPre::new(plugin.pre()).ok())
                .flatten(),
        }
    }

    /// Whether the plugin renders first-boot data.
    pub fn renders(&self) -> bool {
        self.join_material.is_some()
    }
}

impl NodeProviderPlugin {
    /// `None` when it is not offered.
    pub(super) async fn tail(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<String>> {
        let Some(pre) = &self.offers.bootstrap_log else { return Ok(None) };
        let (spec, call, key, id) =
            (self.plugin.serving("bootstrap-log", call), call.into(), key.into(), id.to_owned());
        invoke!(self, pre, spec, agentkube_provider_bootstrap_log, |guest, a| guest.call_tail(a, call, key, id))
            .map(Some)
    }

    /// `None` when it is not offered.
    pub(super) async fn render(
        &self,
        call: &Call,
        key: &MachineKey,
        pool: &Pool,
        endpoint: &Endpoint,
    ) -> Result<Option<Vec<u8>>> {
        let Some(pre) = &self.offers.join_material else { return Ok(None) };
        let (spec, call, key, pool) =
            (self.plugin.serving("join-material", call), call.into(), key.into(), pool.into());
        let endpoint = wit::Endpoint { server: endpoint.server.clone(), ca: endpoint.ca.clone() };
        invoke!(self, pre, spec, agentkube_provider_join_material, |guest, a| guest
            .call_render(a, call, key, pool, endpoint))
        .map(Some)
    }
}
