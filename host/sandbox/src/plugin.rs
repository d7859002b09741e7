//! A plugin, loaded: checked against its manifest, its schema and its grants before anything of it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentkube_contract::{ControlPlane, Fault, JobSource, NodeProvider};
use agentkube_manifest::{Manifest, Offer, Role};
use serde_json::Value;
use tokio::sync::Semaphore;
use wasmtime::component::InstancePre;

use crate::bindings::v0_1;
use crate::core::{Core, names_at};
use crate::grants::Grants;
use crate::package::{self, Inspection};
use crate::sandbox::Sandbox;
use crate::services::Services;
use crate::state::State;
use crate::{Error, Result, needs, schema};

/// A plugin, ready to be called.
pub struct Plugin {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) core: Arc<Core>,
    /// Calls at the same time; more wait.
    pub(crate) calls: Arc<Semaphore>,
    pre: InstancePre<State>,
}

impl Plugin {
    /// Checks what [`load`](Plugin::load) would, but for the types of its functions; nothing is compiled, which is what takes time.
    pub fn check(name: &str, bytes: &[u8], config: &Value, grants: &Grants) -> Result<Inspection> {
        let inspection = package::inspect(bytes)?;
        schema::check_config(name, &inspection.manifest.config_schema, config)?;
        needs::check_grants(name, &inspection.manifest, config, grants)?;
        package::validate(bytes)?;
        Ok(inspection)
    }

    /// Loads a component under its configured name. Nothing of it runs: manifest, imports, configuration and grants are checked,
    /// then it is compiled or taken from the cache.
    pub async fn load(
        sandbox: &Arc<Sandbox>,
        name: &str,
        bytes: Vec<u8>,
        config: &Value,
        grants: Grants,
        services: Services,
    ) -> Result<Arc<Plugin>> {
        let Inspection { manifest, digest, .. } = package::inspect(&bytes)?;
        schema::check_config(name, &manifest.config_schema, config)?;
        needs::check_grants(name, &manifest, config, &grants)?;
        let component = sandbox.component(&digest, bytes).await?;
        let pre =
            sandbox.linker().instantiate_pre(&component).map_err(|e| Error::ContractMismatch(format!("{e:#}")))?;
        let (mut http, mut kube) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for need in &manifest.needs.http {
            for connection in names_at(config, &need.connection) {
                http.entry(connection).or_default().extend(need.requests.iter().cloned());
            }
        }
        for need in &manifest.needs.kube {
            for connection in names_at(config, &need.connection) {
                kube.entry(connection).or_default().push(need.clone());
            }
        }
        let limits = sandbox.settings().limits;
        let core = Core {
            name: name.to_owned(),
            digest,
            manifest,
            config: config.to_string(),
            http,
            kube,
            grants,
            services,
            limits,
            detached: Arc::clone(sandbox.detached()),
            watches: Arc::clone(sandbox.watches()),
        };
        let plugin = Plugin {
            sandbox: Arc::clone(sandbox),
            core: Arc::new(core),
            calls: Arc::new(Semaphore::new(limits.concurrent.clamp(1, Semaphore::MAX_PERMITS))),
            pre,
        };
        plugin.check_exports()?;
        Ok(Arc::new(plugin))
    }

    /// Its configured name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// `sha256:…` of its component.
    pub fn digest(&self) -> &str {
        &self.core.digest
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.core.manifest
    }

    /// Checks the `settings` of a pool or control plane against the plugin's schema for them.
    pub fn check_settings(&self, settings: &str) -> std::result::Result<(), Fault> {
        schema::check_settings(&self.core.name, &self.core.manifest.settings_schema, settings)
    }

    /// As a job source; `None` when that is not its role.
    pub fn job_source(self: &Arc<Self>) -> Option<Arc<dyn JobSource>> {
        v0_1::JobSourcePlugin::new(self).map(|role| Arc::new(role) as _)
    }

    /// As a control-plane provider; `None` when that is not its role.
    pub fn control_plane(self: &Arc<Self>) -> Option<Arc<dyn ControlPlane>> {
        v0_1::ControlPlanePlugin::new(self).map(|role| Arc::new(role) as _)
    }

    /// As a node provider; `None` when that is not its role.
    pub fn node_provider(self: &Arc<Self>) -> Option<Arc<dyn NodeProvider>> {
        v0_1::NodeProviderPlugin::new(self).map(|role| Arc::new(role) as _)
    }

    pub(crate) fn pre(&self) -> InstancePre<State> {
        self.pre.clone()
    }

    /// The exported functions have the types of the contract.
    fn check_exports(&self) -> Result<()> {
        let checked = match self.core.role() {
            Role::JobSource => v0_1::check_job_source(self.pre()),
            Role::ControlPlane => v0_1::check_control_plane(self.pre()),
            Role::NodeProvider => v0_1::check_node_provider(self.pre()),
        };
        checked.map_err(|e| Error::ContractMismatch(format!("{e:#}")))?;
        for offer in Offer::ALL.into_iter().filter(|offer| self.core.manifest.offers(*offer)) {
            v0_1::check_offer(offer, self.pre()).map_err(|e| Error::ContractMismatch(format!("{e:#}")))?;
        }
        Ok(())
    }
}
