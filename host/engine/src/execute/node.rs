//! From a booted machine to its Ready node; and when there is none, what the machine has to say about it.

use std::time::Duration;

use agentkube_contract::{Class, Fault, Instance, Lifecycle, Scope};

use super::machine::step;
use super::perform::plain;
use super::retry::Done;
use super::tail::presentable;
use super::{Run, json};
use crate::plan::{Machine, Work};

/// The machine is looked at so often while its node is waited for: seldom, since nearly always nothing is wrong with it.
const LOOKS: u32 = 4;
/// The longest that a machine is asked for its log.
const ASKING: Duration = Duration::from_secs(30);
/// Code of a machine whose provider says that it failed.
const FAILED: &str = "MACHINE_FAILED";
/// Code of a machine that went while its node was waited for.
const GONE: &str = "MACHINE_GONE";

/// Whether the fault says that a machine will not become a node. The time for it counts from the boot and is the operator's; a machine
/// that has used it up is not given it again.
pub(super) fn never_joined(work: &Work, fault: &Fault) -> bool {
    let over = fault.class == Class::Timeout || fault.code == FAILED || fault.code == GONE;
    matches!(work, Work::AwaitNode(_)) && over
}

impl Run<'_> {
    /// Waits until the node is Ready, its provider says that the machine failed, or the time is over.
    pub(super) async fn await_node(&self, machine: &Machine, attempt: u32, limit: Duration) -> Result<Done, Fault> {
        let tenant = self.tenant(attempt).await?;
        let node = tokio::select! {
            biased;
            node = tenant.node(&machine.key.name, self.pool(machine)?, true, limit) => node?,
            fault = self.watch(machine, attempt, limit / LOOKS) => return Err(fault),
        };
        Ok(plain(json(&node)?))
    }

    /// Ends with a fault when the machine is gone or has failed. What cannot be asked is asked again later.
    async fn watch(&self, machine: &Machine, attempt: u32, pause: Duration) -> Fault {
        loop {
            self.shared.world.clock.sleep(pause.max(Duration::from_millis(1))).await;
            let (Ok(provider), Some(id)) = (self.shared.world.nodes(&machine.provider), self.instance_id(machine))
            else {
                continue;
            };
            let call = self.call(attempt, self.shared.settings.times.short);
            let name = &machine.key.name;
            match provider.observe(&call, &machine.key, &id).await {
                Ok(None) => {
                    let message = format!("machine {name} went before its node was Ready");
                    return Fault::new(Class::NotFound, GONE, message).scope(Scope::Machine);
                }
                Ok(Some(seen)) if seen.lifecycle == Lifecycle::Failed => {
                    let message = format!("machine {name} failed before its node was Ready, says its provider");
                    return Fault::internal(FAILED, message).scope(Scope::Machine);
                }
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }

    fn instance_id(&self, machine: &Machine) -> Option<String> {
        let instance: Option<Instance> = self.output(&step(machine, "boot"));
        instance.map(|instance| instance.id)
    }

    /// The fault with which a create ends: for a machine that never joined, with the end of its first-boot log where its provider
    /// offers one.
    pub(super) async fn explained(&self, work: &Work, mut fault: Fault) -> Fault {
        let Work::AwaitNode(machine) = work else { return fault };
        if !never_joined(work, &fault) || fault.code == GONE {
            return fault;
        }
        if let Some(tail) = self.first_boot_tail(machine).await {
            fault.message = format!("{}; the end of its first-boot log:\n{tail}", fault.message);
        }
        fault
    }

    /// What the machine said last, fit to be shown. None where nothing was said, nothing is offered, or nobody answers.
    async fn first_boot_tail(&self, machine: &Machine) -> Option<String> {
        let provider = self.shared.world.nodes(&machine.provider).ok()?;
        let id = self.instance_id(machine)?;
        let limit = self.shared.settings.times.short.min(ASKING);
        let call = self.call(1, limit);
        let text = tokio::select! {
            biased;
            text = provider.bootstrap_log(&call, &machine.key, &id) => text,
            () = self.shared.world.clock.sleep(limit) => return None,
        };
        let said = match text {
            Ok(text) => text?,
            Err(fault) if fault.class == Class::Unsupported => return None,
            Err(fault) => return Some(format!("(it cannot be read: {fault})")),
        };
        let secrets: Vec<String> = self.join.lock().await.iter().map(|info| info.token.secret.clone()).collect();
        Some(presentable(&said, &secrets)).filter(|tail| !tail.is_empty())
    }
}
