//! Locks that a killed worker left in a configuration, and that only root can take out: a token may not skip locks.
//!
//! `qmclone` writes the new VM's configuration with `lock: clone` after each disk, and takes the lock out at its end. `qmdestroy` puts
//! `lock: destroyed` in place of the whole configuration once the disks are gone, and removes that last (qemu-server 8 and 9). Other
//! locks (backup, migrate, snapshot …) belong to work that ends, and are waited for.

use agentkube_sdk::prelude::*;
use agentkube_sdk::{clock, log};

use crate::Proxmox;
use crate::find::Machine;

/// The locks whose worker is known.
const LEFT: [&str; 2] = ["clone", "destroyed"];

impl Proxmox {
    /// Fails when a machine is locked by a worker that is no more. `settled`: whether it is known that no clone of ours runs.
    pub(crate) async fn not_stuck(&self, call: &Call, machine: &Machine, settled: bool) -> Result<()> {
        let Machine { vmid, node, config } = machine;
        let Some(lock) = config.text("lock").filter(|lock| LEFT.contains(&lock.as_str())) else { return Ok(()) };
        let no_clone = settled || lock != "clone";
        if self.is_worked_on(call, node, *vmid, no_clone).await? || !self.still(node, *vmid, &lock).await? {
            return Ok(());
        }
        let message = format!(
            "VM {vmid} on node {node} has `lock: {lock}`, left by a worker that was killed, and a token may not skip locks: run `qm \
             unlock {vmid}` as root on {node}, the rest is then done by itself"
        );
        Err(stuck(*vmid, node, &lock, message))
    }

    /// Fails as long as a destroy has something left under a number of ours: a VM of which there is nothing but its lock.
    pub(crate) async fn remains(&self, call: &Call, node: &str, vmid: u32) -> Result<()> {
        if self.is_worked_on(call, node, vmid, true).await? {
            return Err(Fault::busy("VM_LOCKED", format!("VM {vmid} is being destroyed")).scope(Scope::Machine));
        }
        if !self.still(node, vmid, "destroyed").await? {
            return Ok(());
        }
        let message = format!(
            "VM {vmid} on node {node} has nothing left but `lock: destroyed`, because the worker that destroyed it was killed, and a \
             token may not skip locks: run `qm destroy {vmid} --skiplock` as root on {node}, the rest is then done by itself"
        );
        Err(stuck(vmid, node, "destroyed", message))
    }

    /// Whether a task about this VM runs. That of a clone names the template, and runs on the template's node.
    async fn is_worked_on(&self, call: &Call, node: &str, vmid: u32, no_clone: bool) -> Result<bool> {
        // A task that was just started is not in its node's list yet.
        clock::sleep(self.config.timings.visibility_ms).await;
        if !self.running(call, node, ("vmid", &vmid.to_string())).await?.is_empty() {
            return Ok(true);
        }
        if no_clone {
            return Ok(false);
        }
        for entry in self.api.resources(Some("node")).await?.iter().filter(|entry| entry.status == "online") {
            if !self.running(call, &entry.node, ("typefilter", "qmclone")).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the lock is still there: its worker may have come to its end before it was looked for.
    async fn still(&self, node: &str, vmid: u32, lock: &str) -> Result<bool> {
        let config = self.api.config(node, vmid).await?;
        Ok(config.and_then(|config| config.text("lock")).is_some_and(|now| now == lock))
    }
}

/// Not for another try at once: somebody has to do something first.
fn stuck(vmid: u32, node: &str, lock: &str, message: String) -> Fault {
    log::warn("the lock of a dead worker", &[("vmid", &vmid), ("node", &node), ("lock", &lock)]);
    Fault::conflict("MACHINE_LOCKED", message).scope(Scope::Machine)
}
