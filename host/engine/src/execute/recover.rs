//! The ledger of a service from what its providers show: for a delete after the journal was lost. The marks on the objects
//! hold the installation's id, which stands in the configuration.

use agentkube_contract::{Fault, MachineKey, Owned, Page};
use serde_json::Value;

use super::Run;
use super::perform::{machine_row, plain};
use super::retry::Done;
use crate::journal::NewRow;
use crate::plan::known::Detail;
use crate::plan::{CONTROL_PLANE, MACHINE, Machine};

impl Run<'_> {
    pub(super) async fn recover(&self) -> Result<Done, Fault> {
        let world = &self.shared.world;
        let installation = world.journal.installation();
        for (name, provider) in &world.node_providers {
            let mut page = None;
            loop {
                let Page { items, next } = provider.list_owned(installation, page.as_deref()).await?;
                for machine in items.iter().filter(|item| item.kind == MACHINE) {
                    if let Some(key) = self.machine_key(machine) {
                        let machine =
                            Machine { key, provider: name.clone(), external_id: None, bootstrap_at_create: false };
                        world.journal.declare(&self.intent.key, machine_row(&machine)).await?;
                    }
                }
                page = next;
                if page.is_none() {
                    break;
                }
            }
        }
        for (name, provider) in &world.control_planes {
            let mut page = None;
            loop {
                let Page { items, next } = provider.list_owned(installation, page.as_deref()).await?;
                if items.iter().any(|item| item.owner.key == self.intent.key) {
                    let detail = Detail { provider: name.clone(), pool: String::new(), index: 0 }.text();
                    let row = NewRow { kind: CONTROL_PLANE, name: self.owner.cluster.clone(), detail };
                    world.journal.declare(&self.intent.key, row).await?;
                }
                page = next;
                if page.is_none() {
                    break;
                }
            }
        }
        Ok(plain(Value::Null))
    }

    /// The key in a machine's name, when the machine is of this service.
    fn machine_key(&self, item: &Owned) -> Option<MachineKey> {
        if item.owner.key != self.intent.key {
            return None;
        }
        let (pool, index) = item.name.strip_prefix(&self.owner.cluster)?.strip_prefix('-')?.rsplit_once('-')?;
        Some(MachineKey::new(&self.owner.cluster, pool, index.parse().ok()?))
    }
}
