//! Machines on Proxmox VE 8 and 9: cloned from a template, booted from a seed image, never touched by SSH.
//!
//! # Reading on
//!
//! - [`Config`] and [`Settings`]: what the operator and a pool may choose. `mark`: whose a VM is.
//! - The role's functions, each in a file of its own (and `bootstrap_log`, which is offered beside it): `find`, `create` (with `place` and `configure`), `boot` (with `seed` and
//!   `agent`), `power`, `delete`, `owned`, `metrics`, `preflight`.
//! - What they stand on: `api` (envelope, forms, types), `tasks` (waiting, and what a killed call left running), `faults` (what the
//!   cluster's texts mean), `instance` (what the engine sees).
//!
//! # How it survives
//!
//! Every change is described by what should be, not by what to do: read, send what differs, read on. What cannot be described so, the
//! clone, is guarded twice. Its number is reserved before and belongs to the ledger row; its description carries the mark from the
//! first moment. After a doubt, `tasks` waits until nothing of ours runs any more, `find` asks for the number itself, and only then is
//! anything made. The number is never an identity: each call that destroys reads the mark first.

mod agent;
mod api;
mod boot;
mod bootstrap_log;
mod config;
mod configure;
mod create;
mod delete;
mod faults;
mod find;
mod instance;
mod manifest;
mod mark;
mod metrics;
mod owned;
mod place;
mod power;
mod preflight;
mod seed;
mod stuck;
mod tasks;
#[cfg(test)]
mod tests;

use agentkube_sdk::cluster::Pool;
use agentkube_sdk::ledger;
use agentkube_sdk::machine::{Instance, MachineKey};
use agentkube_sdk::node_provider::{Bootstrap, PowerAction};
use agentkube_sdk::prelude::*;

use api::Api;
pub use config::{Card, CardModel, CloneMode, Config, Placement, Settings, Template, Timings};
pub use manifest::manifest;

/// Kind of the ledger rows of machines.
const MACHINE: &str = "machine";

/// The provider.
#[derive(Debug)]
pub struct Proxmox {
    config: Config,
    api: Api,
}

agentkube_sdk::export!(NodeProvider + BootstrapLog for Proxmox);

impl NodeProvider for Proxmox {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        config.check()?;
        let api = Api::new(&config.connection);
        Ok(Proxmox { config, api })
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        self.look_before().await
    }

    async fn find(&self, call: Call, key: MachineKey) -> Result<Option<Instance>> {
        let rows = ledger::mine(MACHINE).await?;
        let row = rows.into_iter().find(|row| row.name == key.name);
        match self.locate(&call, &key, row).await? {
            Some(machine) => self.observed(&machine).await.map(Some),
            None => Ok(None),
        }
    }

    async fn create(
        &self,
        call: Call,
        key: MachineKey,
        pool: Pool,
        found: Option<Instance>,
        _bootstrap: Option<Bootstrap>,
    ) -> Result<Instance> {
        self.make(&call, &key, &pool, found.is_some()).await
    }

    async fn boot(&self, call: Call, key: MachineKey, instance: Instance, bootstrap: Bootstrap) -> Result<Instance> {
        self.first_boot(&call, &key, &instance, &bootstrap).await
    }

    async fn finish_bootstrap(&self, call: Call, key: MachineKey, instance: Instance) -> Result<()> {
        self.after_join(&call, &key, &instance).await
    }

    async fn observe(&self, call: Call, key: MachineKey, instance_id: String) -> Result<Option<Instance>> {
        match self.ours(&call, &key, &instance_id).await? {
            Some(machine) => self.observed(&machine).await.map(Some),
            None => Ok(None),
        }
    }

    async fn power(&self, call: Call, key: MachineKey, instance_id: String, action: PowerAction) -> Result<Instance> {
        let item = ledger::intend(MACHINE, &key.name, "").await?;
        let item = self.settle(&call, item).await?;
        let machine = self.present(&call, &key, &instance_id).await?;
        self.switch(&call, &key, item.entry, &machine, action).await?;
        self.observed(&self.present(&call, &key, &instance_id).await?).await
    }

    async fn resize(&self, call: Call, key: MachineKey, instance_id: String, pool: Pool) -> Result<Instance> {
        let choice = self.config.choice(&pool)?;
        let item = ledger::intend(MACHINE, &key.name, "").await?;
        let item = self.settle(&call, item).await?;
        let machine = self.present(&call, &key, &instance_id).await?;
        let machine = self.configure(&call, &key, &pool, &choice, item.entry, machine).await?;
        self.observed(&machine).await
    }

    async fn delete(&self, call: Call, key: MachineKey, instance_id: Option<String>) -> Result<()> {
        self.remove(&call, &key, instance_id.as_deref()).await
    }

    async fn list_owned(&self, installation: String, page: Option<String>) -> Result<OwnedPage> {
        self.owned(&installation, page.as_deref()).await
    }

    async fn metrics(&self, call: Call, key: MachineKey, instance_id: String) -> Result<Vec<Sample>> {
        self.measured(&call, &key, &instance_id).await
    }
}

impl BootstrapLog for Proxmox {
    async fn tail(&self, call: Call, key: MachineKey, instance_id: String) -> Result<String> {
        self.first_boot_log(&call, &key, &instance_id).await
    }
}
