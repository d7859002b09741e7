//! References resolved for the host itself: the kubeconfigs by which it opens tenant clusters.

use std::collections::BTreeMap;

use agentkube_contract::{Class, Fault, Holder, Locator, Owner, Reference};
use zeroize::Zeroizing;

use crate::capabilities::reference;
use crate::grants::{Grants, KubeUse};
use crate::services::Services;

/// Resolves references for the host.
pub struct Secrets {
    services: Services,
    /// By configured name of the plugin.
    grants: BTreeMap<String, Grants>,
}

impl Secrets {
    /// With the grants of all plugins.
    pub fn new(services: Services, grants: BTreeMap<String, Grants>) -> Self {
        Secrets { services, grants }
    }

    /// The value behind a reference that `plugin` gave for the owner's service. A Secret must be one that the plugin was granted to
    /// read, by its name.
    pub async fn resolve_for_host(
        &self,
        owner: &Owner,
        plugin: &str,
        reference: &Reference,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let holder = Holder { plugin: plugin.to_owned(), digest: String::new(), service: Some(owner.key.clone()) };
        let (maker, locator) = reference::find(&self.services, &holder, reference).await?;
        if maker != plugin {
            let message = format!("the reference was made for plugin `{maker}`, not for `{plugin}`");
            return Err(Fault::new(Class::Denied, "REFERENCE_OF_ANOTHER", message));
        }
        let grants = self.grants_of(plugin)?;
        match &locator {
            Locator::KubeSecret { connection, namespace, name, .. } => {
                let (namespace, name) = (Some(namespace.as_str()), Some(name.as_str()));
                grants.kube(connection, &KubeUse { verb: "get", group: "", resource: "secrets", namespace, name })?;
            }
            Locator::Http { connection, .. } => grants.connection(connection)?,
            Locator::Named { name } => grants.secret(name)?,
        }
        reference::read(&self.services.connections, &locator).await
    }

    fn grants_of(&self, plugin: &str) -> Result<&Grants, Fault> {
        self.grants.get(plugin).ok_or_else(|| {
            let message = format!("there is no plugin `{plugin}`; configure it as [plugins.{plugin}]");
            Fault::new(Class::Denied, "NO_SUCH_PLUGIN", message)
        })
    }
}
