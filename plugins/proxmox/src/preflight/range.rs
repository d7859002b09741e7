//! The range of VM ids: numbers that the cluster takes, enough of them, and nobody else's.

use std::collections::BTreeMap;

use agentkube_sdk::reservations;

use super::Look;
use crate::Proxmox;
use crate::api::Resource;
use crate::mark::TAG;

/// Numbers that Proxmox VE takes for a VM: its API's format `pve-vmid`.
const VMIDS: std::ops::RangeInclusive<u64> = 100..=999_999_999;

/// Machines that are named; the rest is counted.
const NAMED: usize = 3;

impl Proxmox {
    /// Looks at the range that ids are reserved from.
    pub(super) async fn range(&self, look: &mut Look, all: &[Resource]) {
        let name = &self.config.vmid_range;
        let stock = match reservations::look(name).await {
            Ok(stock) => stock,
            Err(fault) => {
                let remedy = "give the range numbers under [ranges], and grant it to the plugin";
                return look.error("VMID_RANGE_MISSING", fault.to_string(), remedy);
            }
        };
        let (first, last) = (stock.first.parse().unwrap_or(0), stock.last.parse().unwrap_or(0));
        if !VMIDS.contains(&first) || !VMIDS.contains(&last) {
            let (first, last) = (&stock.first, &stock.last);
            let message = format!("range `{name}` ({first} to {last}) holds what can be no VM id");
            return look.error("VMID_RANGE_UNFIT", message, "give it numbers from 100 to 999999999");
        }
        let inside = all.iter().filter_map(|entry| Some((entry.vmid.filter(|id| (first..=last).contains(id))?, entry)));
        let inside: BTreeMap<u64, &Resource> = inside.collect();
        let others: Vec<_> = inside.iter().filter(|(_, entry)| !entry.tagged(TAG)).collect();
        if stock.free == 0 || inside.len() as u64 > last - first {
            let message = format!("range `{name}` ({first} to {last}) has no number left for one more machine");
            look.error("VMID_RANGE_FULL", message, "widen it under [ranges]");
        } else if others.is_empty() {
            look.ok("VMID_RANGE", format!("range `{name}`: {first} to {last}, {} free", stock.free));
        } else {
            let shown =
                |(id, entry): &(&u64, &&Resource)| format!("{id} ({})", entry.name.as_deref().unwrap_or("unnamed"));
            let named: Vec<String> = others.iter().take(NAMED).map(shown).collect();
            let message = format!(
                "{} of the numbers of range `{name}` ({first} to {last}) belong to others' machines, such as {}; they are passed over",
                others.len(),
                named.join(", ")
            );
            look.warning("VMID_RANGE_SHARED", message, "give it numbers that nobody else takes");
        }
    }
}
