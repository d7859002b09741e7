//! The guest agent: addresses, for the cards that the configuration knows.

use agentkube_sdk::machine::Address;
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait::{self, Backoff};
use agentkube_sdk::{clock, log};
use serde::Deserialize;

use crate::Proxmox;
use crate::api::{at, fetch};
use crate::find::Machine;

#[derive(Deserialize)]
struct Interfaces {
    result: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(rename = "hardware-address", default)]
    mac: String,
    #[serde(rename = "ip-addresses", default)]
    addresses: Vec<Own>,
}

#[derive(Deserialize)]
struct Own {
    #[serde(rename = "ip-address", default)]
    ip: String,
}

impl Proxmox {
    /// Addresses that the agent tells now. A guest whose agent does not answer has none; that is no error.
    pub(crate) async fn addresses(&self, machine: &Machine) -> Vec<Address> {
        let configured = machine.config.text("agent").is_some_and(|agent| is_on(&agent));
        if !self.config.agent || !configured {
            return Vec::new();
        }
        let request = self.api.get(at!("nodes", machine.node, "qemu", machine.vmid, "agent", "network-get-interfaces"));
        match fetch::<Interfaces>(request).await {
            Ok(interfaces) => of_cards(interfaces, &machine.config.macs()),
            Err(fault) => {
                if fault.code != "AGENT_SILENT" {
                    log::debug("the guest agent could not be asked", &[("vmid", &machine.vmid), ("fault", &fault)]);
                }
                Vec::new()
            }
        }
    }

    /// Waits for addresses as long as it is configured: asking an agent that is not there blocks one of the node's few workers for
    /// seconds, so it is asked gently.
    pub(crate) async fn awaited_addresses(&self, call: &Call, machine: &Machine) -> Vec<Address> {
        let timings = &self.config.timings;
        if timings.agent_ms == 0 {
            return Vec::new();
        }
        let deadline = call.deadline_ms.min(clock::now() + timings.agent_ms + wait::MARGIN_MS);
        let look = || async { Ok(Some(self.addresses(machine).await).filter(|found| !found.is_empty())) };
        wait::until(deadline, Backoff::every(timings.agent_poll_ms), look).await.unwrap_or_default()
    }
}

/// Whether a value of `agent` switches it on.
pub(crate) fn is_on(agent: &str) -> bool {
    agent.split(',').any(|pair| matches!(pair, "1" | "enabled=1"))
}

/// Those of the cards of the VM: not of bridges and tunnels inside, and not link-local.
fn of_cards(interfaces: Interfaces, macs: &[String]) -> Vec<Address> {
    let own = interfaces.result.into_iter().map(|card| (card.mac.to_lowercase(), card.addresses));
    own.filter(|(mac, _)| macs.contains(mac))
        .flat_map(|(mac, addresses)| {
            addresses.into_iter().map(move |own| Address { mac: Some(mac.clone()), ip: own.ip })
        })
        .filter(|address| {
            !address.ip.is_empty() && !address.ip.starts_with("fe80:") && !address.ip.starts_with("169.254.")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_those_of_the_cards() {
        let interfaces: Interfaces = serde_json::from_value(json!({"result": [
            {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [{"ip-address": "127.0.0.1"}]},
            {"name": "eth0", "hardware-address": "BC:24:11:00:00:01",
             "ip-addresses": [{"ip-address": "10.0.0.5"}, {"ip-address": "fe80::1"}]},
            {"name": "cni0", "hardware-address": "aa:bb:cc:00:00:01", "ip-addresses": [{"ip-address": "10.244.0.1"}]},
            {"name": "sit0"},
        ]}))
        .unwrap();
        let found = of_cards(interfaces, &["bc:24:11:00:00:01".to_owned()]);
        assert_eq!(found, [Address { mac: Some("bc:24:11:00:00:01".into()), ip: "10.0.0.5".into() }]);
        assert!(is_on("1") && is_on("enabled=1,fstrim_cloned_disks=1") && !is_on("0") && !is_on("enabled=0"));
    }
}
