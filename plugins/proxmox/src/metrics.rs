//! Measurements of one machine.

use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::prelude::*;

use crate::Proxmox;
use crate::api::Resource;
use crate::find::vmid;
use crate::mark::TAG;

impl Proxmox {
    /// `cpu.usage` is in percent of the machine's cores, memory, network and disk are in bytes, `uptime` in seconds. What a machine
    /// that is off has not got is left out.
    pub(crate) async fn measured(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Vec<Sample>> {
        // The index has it all, up to ten seconds old, for one request.
        let all = self.api.resources(Some("vm")).await?;
        let vmid = vmid(id)?;
        let own =
            |entry: &Resource| entry.vm() == Some(vmid) && entry.tagged(TAG) && entry.name.as_ref() == Some(&key.name);
        let current = match all.into_iter().find(own) {
            Some(entry) => entry.current(),
            // One of the last ten seconds, or one whose name somebody changed.
            None => {
                let machine = self.present(call, key, id).await?;
                self.api.current(&machine.node, machine.vmid).await?
            }
        };
        let running = if current.running() { 1.0 } else { 0.0 };
        let mut samples = vec![Sample::new("machine.running", &key.name, running)];
        let names = [
            ("cpu.usage", "cpu", 100.0),
            ("memory.usage", "mem", 1.0),
            ("memory.size", "maxmem", 1.0),
            ("network.received", "netin", 1.0),
            ("network.sent", "netout", 1.0),
            ("disk.read", "diskread", 1.0),
            ("disk.written", "diskwrite", 1.0),
            ("uptime", "uptime", 1.0),
        ];
        let all = names.into_iter().filter_map(|(name, own, factor)| Some((name, current.measured(own)? * factor)));
        samples.extend(all.map(|(name, value)| Sample::new(name, &key.name, value)));
        Ok(samples)
    }
}
