//! A plugin as a node provider.

use std::sync::Arc;

use agentkube_contract::{
    Bootstrap, Call, Endpoint, Finding, Instance, MachineKey, NodeProvider, Owned, Page, Pool, PowerAction, Result,
    Sample,
};
use async_trait::async_trait;

use super::common::all;
use super::invoke;
use super::node_provider_world::NodeProviderPluginPre;
use super::node_provider_world::exports::agentkube::provider::node_provider as wit;
use super::offers::Offers;
use crate::plugin::Plugin;
use crate::state::State;

/// A plugin as a node provider.
pub(crate) struct NodeProviderPlugin {
    pub(super) plugin: Arc<Plugin>,
    pre: NodeProviderPluginPre<State>,
    pub(super) offers: Offers,
}

impl NodeProviderPlugin {
    /// `None` when the plugin has another role.
    pub fn new(plugin: &Arc<Plugin>) -> Option<Self> {
        let pre = NodeProviderPluginPre::new(plugin.pre()).ok()?;
        Some(NodeProviderPlugin { plugin: Arc::clone(plugin), pre, offers: Offers::of(plugin) })
    }
}

#[async_trait]
impl NodeProvider for NodeProviderPlugin {
    fn bootstrap_at_create(&self) -> bool {
        self.plugin.manifest().flags.iter().any(|flag| flag == "bootstrap-at-create")
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        let spec = self.plugin.general("preflight");
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_preflight(a)).map(all)
    }

    async fn find(&self, call: &Call, key: &MachineKey) -> Result<Option<Instance>> {
        let (spec, call, key) = (self.plugin.serving("find", call), call.into(), key.into());
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_find(a, call, key))
            .map(|found| found.map(Into::into))
    }

    async fn create(
        &self,
        call: &Call,
        key: &MachineKey,
        pool: &Pool,
        found: Option<&Instance>,
        bootstrap: Option<&Bootstrap>,
    ) -> Result<Instance> {
        let (spec, call, key, pool) = (self.plugin.serving("create", call), call.into(), key.into(), pool.into());
        let (found, bootstrap) = (found.map(Into::into), bootstrap.map(Into::into));
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest
            .call_create(a, call, key, pool, found, bootstrap))
        .map(Into::into)
    }

    async fn boot(
        &self,
        call: &Call,
        key: &MachineKey,
        instance: &Instance,
        bootstrap: &Bootstrap,
    ) -> Result<Instance> {
        let (spec, call, key) = (self.plugin.serving("boot", call), call.into(), key.into());
        let (instance, bootstrap) = (instance.into(), bootstrap.into());
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest
            .call_boot(a, call, key, instance, bootstrap))
        .map(Into::into)
    }

    async fn finish_bootstrap(&self, call: &Call, key: &MachineKey, instance: &Instance) -> Result<()> {
        let spec = self.plugin.serving("finish-bootstrap", call);
        let (call, key, instance) = (call.into(), key.into(), instance.into());
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest
            .call_finish_bootstrap(a, call, key, instance))
    }

    async fn observe(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<Instance>> {
        let (spec, call, key, id) = (self.plugin.serving("observe", call), call.into(), key.into(), id.to_owned());
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_observe(a, call, key, id))
            .map(|found| found.map(Into::into))
    }

    async fn power(&self, call: &Call, key: &MachineKey, id: &str, action: PowerAction) -> Result<Instance> {
        let (spec, call, key, id) = (self.plugin.serving("power", call), call.into(), key.into(), id.to_owned());
        let action = match action {
            PowerAction::Start => wit::PowerAction::Start,
            PowerAction::Shutdown => wit::PowerAction::Shutdown,
            PowerAction::Stop => wit::PowerAction::Stop,
            PowerAction::Reboot => wit::PowerAction::Reboot,
        };
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_power(a, call, key, id, action))
            .map(Into::into)
    }

    async fn resize(&self, call: &Call, key: &MachineKey, id: &str, pool: &Pool) -> Result<Instance> {
        let (spec, call, key) = (self.plugin.serving("resize", call), call.into(), key.into());
        let (id, pool) = (id.to_owned(), pool.into());
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_resize(a, call, key, id, pool))
            .map(Into::into)
    }

    async fn delete(&self, call: &Call, key: &MachineKey, id: Option<&str>) -> Result<()> {
        let (spec, call, key) = (self.plugin.serving("delete", call), call.into(), key.into());
        let id = id.map(str::to_owned);
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_delete(a, call, key, id))
    }

    async fn list_owned(&self, installation: &str, page: Option<&str>) -> Result<Page<Owned>> {
        let spec = self.plugin.general("list-owned");
        let (installation, page) = (installation.to_owned(), page.map(str::to_owned));
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_list_owned(a, installation, page))
            .map(Into::into)
    }

    async fn metrics(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Vec<Sample>> {
        let (spec, call, key, id) = (self.plugin.serving("metrics", call), call.into(), key.into(), id.to_owned());
        invoke!(self, spec, agentkube_provider_node_provider, |guest, a| guest.call_metrics(a, call, key, id)).map(all)
    }

    async fn bootstrap_log(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<String>> {
        self.tail(call, key, id).await
    }

    fn renders_bootstrap(&self) -> bool {
        self.offers.renders()
    }

    async fn join_material(
        &self,
        call: &Call,
        key: &MachineKey,
        pool: &Pool,
        endpoint: &Endpoint,
    ) -> Result<Option<Vec<u8>>> {
        self.render(call, key, pool, endpoint).await
    }
}

impl From<&Bootstrap> for wit::Bootstrap {
    fn from(b: &Bootstrap) -> Self {
        wit::Bootstrap {
            user_data: b.user_data.clone(),
            meta_data: b.meta_data.clone(),
            network_config: b.network_config.clone(),
        }
    }
}
