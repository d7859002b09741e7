//! The steps of one machine.

use std::time::Duration;

use agentkube_contract::{Fault, Instance, Pool};
use serde_json::Value;

use super::perform::{created, foreign, gone, plain};
use super::retry::Done;
use super::{Run, json};
use crate::plan::{MACHINE, Machine};

type Outcome = Result<Done, Fault>;

impl Run<'_> {
    /// Finds first, then makes, from whatever stage was found. After a crash or a doubt this is what keeps a machine single.
    pub(super) async fn create_machine(&self, machine: &Machine, attempt: u32, limit: Duration) -> Outcome {
        let provider = self.shared.world.nodes(&machine.provider)?;
        let pool = self.pool(machine)?;
        let bootstrap = match machine.bootstrap_at_create {
            true => Some(self.bootstrap(machine, None, attempt).await?),
            false => None,
        };
        let call = self.call(attempt, limit);
        let found = match cfg!(feature = "sabotage-find") {
            true => None,
            false => provider.find(&call, &machine.key).await?,
        };
        let instance = provider.create(&call, &machine.key, pool, found.as_ref(), bootstrap.as_ref()).await?;
        Ok(Done { output: json(&instance)?, changes: vec![created(MACHINE, &machine.key.name, &instance.id)] })
    }

    pub(super) async fn boot_machine(&self, machine: &Machine, attempt: u32, limit: Duration) -> Outcome {
        let instance: Instance = self.expect_output(&step(machine, "create"))?;
        let bootstrap = self.bootstrap(machine, Some(&instance), attempt).await?;
        let provider = self.shared.world.nodes(&machine.provider)?;
        let instance = provider.boot(&self.call(attempt, limit), &machine.key, &instance, &bootstrap).await?;
        Ok(plain(json(&instance)?))
    }

    pub(super) async fn finish_machine(&self, machine: &Machine, attempt: u32, limit: Duration) -> Outcome {
        let instance: Instance = self.expect_output(&step(machine, "boot"))?;
        let provider = self.shared.world.nodes(&machine.provider)?;
        provider.finish_bootstrap(&self.call(attempt, limit), &machine.key, &instance).await?;
        Ok(plain(Value::Null))
    }

    pub(super) async fn delete_machine(&self, machine: &Machine, attempt: u32, limit: Duration) -> Outcome {
        let provider = self.shared.world.nodes(&machine.provider)?;
        let id = machine.external_id.as_deref();
        match provider.delete(&self.call(attempt, limit), &machine.key, id).await {
            // Never seen as ours, and what is there is not ours: nothing of ours is there.
            Err(fault) if foreign(&fault) && id.is_none() => {}
            other => other?,
        }
        // While its Node lives the row stays, so that neither the Node is forgotten nor the index given to another.
        let node_follows = self.plan.steps.iter().any(|other| other.id == step(machine, "remove-node"));
        let changes = if node_follows { Vec::new() } else { vec![gone(MACHINE, &machine.key.name)] };
        Ok(Done { output: Value::Null, changes })
    }

    pub(super) async fn remove_node(&self, machine: &Machine, attempt: u32) -> Outcome {
        self.tenant(attempt).await?.remove_node(&machine.key.name).await?;
        Ok(Done { output: Value::Null, changes: vec![gone(MACHINE, &machine.key.name)] })
    }

    /// The machine's pool as it is wanted.
    pub(super) fn pool(&self, machine: &Machine) -> Result<&Pool, Fault> {
        self.wanted()?
            .pools
            .iter()
            .find(|pool| pool.name == machine.key.pool)
            .ok_or_else(|| Fault::internal("NO_POOL", format!("the description has no pool `{}`", machine.key.pool)))
    }
}

/// Id of a step of a machine.
pub(super) fn step(machine: &Machine, what: &str) -> String {
    format!("machine/{}/{what}", machine.key.name)
}
