//! A plugin as a control-plane provider.

use std::sync::Arc;

use agentkube_contract::{
    Call, Cluster, ControlPlane, ControlPlaneStatus, Finding, Kubeconfigs, Owned, Page, Phase, Reference, Result,
    Sample, Stage,
};
use async_trait::async_trait;

use super::common::all;
use super::control_plane_world::ControlPlanePluginPre;
use super::control_plane_world::exports::agentkube::provider::control_plane as wit;
use super::invoke;
use crate::plugin::Plugin;
use crate::state::State;

/// A plugin as a control-plane provider.
pub(crate) struct ControlPlanePlugin {
    plugin: Arc<Plugin>,
    pre: ControlPlanePluginPre<State>,
}

impl ControlPlanePlugin {
    /// `None` when the plugin has another role.
    pub fn new(plugin: &Arc<Plugin>) -> Option<Self> {
        let pre = ControlPlanePluginPre::new(plugin.pre()).ok()?;
        Some(ControlPlanePlugin { plugin: Arc::clone(plugin), pre })
    }
}

#[async_trait]
impl ControlPlane for ControlPlanePlugin {
    fn oldest_minor(&self) -> u32 {
        self.plugin.manifest().oldest_minor.unwrap_or(0)
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        let spec = self.plugin.general("preflight");
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_preflight(a)).map(all)
    }

    async fn ensure(&self, call: &Call, wanted: &Cluster, stage: Stage) -> Result<ControlPlaneStatus> {
        let (spec, call, wanted) = (self.plugin.serving("ensure", call), call.into(), wanted.into());
        let stage = match stage {
            Stage::Claimed => wit::Stage::Claimed,
            Stage::Joinable => wit::Stage::Joinable,
            Stage::Ready => wit::Stage::Ready,
        };
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_ensure(a, call, wanted, stage))
            .map(Into::into)
    }

    async fn observe(&self, call: &Call) -> Result<Option<ControlPlaneStatus>> {
        let (spec, call) = (self.plugin.serving("observe", call), call.into());
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_observe(a, call))
            .map(|found| found.map(Into::into))
    }

    async fn power(&self, call: &Call, on: bool) -> Result<ControlPlaneStatus> {
        let (spec, call) = (self.plugin.serving("power", call), call.into());
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_power(a, call, on)).map(Into::into)
    }

    async fn delete(&self, call: &Call) -> Result<()> {
        let (spec, call) = (self.plugin.serving("delete", call), call.into());
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_delete(a, call))
    }

    async fn list_owned(&self, installation: &str, page: Option<&str>) -> Result<Page<Owned>> {
        let spec = self.plugin.general("list-owned");
        let (installation, page) = (installation.to_owned(), page.map(str::to_owned));
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_list_owned(a, installation, page))
            .map(Into::into)
    }

    async fn kubeconfig(&self, call: &Call) -> Result<Kubeconfigs> {
        let (spec, call) = (self.plugin.serving("kubeconfig", call), call.into());
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_kubeconfig(a, call))
            .map(|found| Kubeconfigs { operator: Reference(found.operator), owner: Reference(found.owner) })
    }

    async fn rotate(&self, call: &Call) -> Result<()> {
        let (spec, call) = (self.plugin.serving("rotate", call), call.into());
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_rotate(a, call))
    }

    async fn metrics(&self, call: &Call) -> Result<Vec<Sample>> {
        let (spec, call) = (self.plugin.serving("metrics", call), call.into());
        invoke!(self, spec, agentkube_provider_control_plane, |guest, a| guest.call_metrics(a, call)).map(all)
    }
}

impl From<wit::Status> for ControlPlaneStatus {
    fn from(status: wit::Status) -> Self {
        ControlPlaneStatus {
            id: status.id,
            phase: status.phase.into(),
            endpoint: status.endpoint,
            version: status.version,
            conditions: all(status.conditions),
            more: status.more,
        }
    }
}

impl From<wit::Phase> for Phase {
    fn from(phase: wit::Phase) -> Self {
        match phase {
            wit::Phase::Provisioning => Phase::Provisioning,
            wit::Phase::Ready => Phase::Ready,
            wit::Phase::Upgrading => Phase::Upgrading,
            wit::Phase::Sleeping => Phase::Sleeping,
            wit::Phase::Degraded => Phase::Degraded,
            wit::Phase::Failed => Phase::Failed,
            wit::Phase::Deleting => Phase::Deleting,
        }
    }
}
