//! What an installation owns on the cluster, by the marks.

use agentkube_sdk::fan_out::try_fan_out;
use agentkube_sdk::prelude::*;

use crate::Proxmox;
use crate::mark::TAG;

/// Machines on one page.
const PAGE: usize = 50;
/// Configurations read at once; the API has three workers a node.
const AT_ONCE: usize = 3;

impl Proxmox {
    /// One page of the machines of an installation. Candidates are found by tag and pool, both of which are live; marks decide.
    pub(crate) async fn owned(&self, installation: &str, page: Option<&str>) -> Result<OwnedPage> {
        let after: u32 = page.and_then(|page| page.parse().ok()).unwrap_or(0);
        let pooled = |pool: &Option<String>| pool.is_some() && *pool == self.config.pool;
        let mut all: Vec<(u32, String)> = self
            .api
            .resources(Some("vm"))
            .await?
            .into_iter()
            .filter(|entry| !entry.template && (entry.tagged(TAG) || pooled(&entry.pool)))
            .filter_map(|entry| Some((entry.vm().filter(|vmid| *vmid > after)?, entry.node)))
            .collect();
        all.sort();
        let next = all.get(PAGE - 1).filter(|_| all.len() > PAGE).map(|(vmid, _)| vmid.to_string());
        let configs = all.into_iter().take(PAGE).map(|(vmid, node)| async move {
            let config = self.api.config(&node, vmid).await?;
            Ok::<_, Fault>(config.and_then(|config| config.mark()).map(|mark| (vmid, mark)))
        });
        let marks = try_fan_out(AT_ONCE, configs).await?;
        let own = marks.into_iter().flatten().filter(|(_, mark)| mark.installation == installation);
        let items = own.map(|(vmid, mark)| Owned {
            kind: "machine".to_owned(),
            id: vmid.to_string(),
            name: mark.machine.clone(),
            owner: mark.owner(),
        });
        Ok(OwnedPage { items: items.collect(), next })
    }
}
