//! From a clone to the machine that was wanted: only what differs is changed, so that doing it twice does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use agentkube_sdk::cluster::Pool;
use agentkube_sdk::log;
use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait::{self, Backoff};
use serde_json::Value;

use crate::Proxmox;
use crate::agent;
use crate::api::{VmConfig, at, mac, property, start};
use crate::config::Choice;
use crate::find::Machine;
use crate::mark::{Mark, TAG};

/// Seconds that a change of the configuration may take before its answer is a task instead.
const IN_TIME: u32 = 5;

/// What is to change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    set: BTreeMap<String, String>,
    delete: Vec<String>,
}

impl Change {
    /// Sets one key.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set.insert(key.to_owned(), value.into());
        self
    }

    /// Sets one key unless it is so already.
    fn want(&mut self, config: &VmConfig, key: &str, value: impl ToString) {
        let value = value.to_string();
        if config.text(key).as_ref() != Some(&value) {
            self.set.insert(key.to_owned(), value);
        }
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.delete.is_empty()
    }
}

impl Proxmox {
    /// Gives the machine its shape.
    pub(crate) async fn configure(
        &self,
        call: &Call,
        key: &MachineKey,
        pool: &Pool,
        choice: &Choice,
        entry: Entry,
        machine: Machine,
    ) -> Result<Machine> {
        let machine = self.grow(call, pool, entry, machine).await?;
        let wanted = |config: &VmConfig| self.changes(config, &call.owner, key, pool, choice);
        let mut machine = self.change(call, key, entry, machine, wanted).await?;
        if machine.config.family("net").any(|(_, card)| mac(&card).is_none()) {
            // A card that is new got its MAC there.
            machine = self.present(call, key, &machine.vmid.to_string()).await?;
        }
        Ok(machine)
    }

    /// Changes the configuration until nothing is left to change, and gives it as it then is.
    pub(crate) async fn change(
        &self,
        call: &Call,
        key: &MachineKey,
        entry: Entry,
        machine: Machine,
        wanted: impl Fn(&VmConfig) -> Result<Change>,
    ) -> Result<Machine> {
        let known = std::cell::Cell::new(Some(machine.clone()));
        self.insist(call, || async {
            let mut machine = match known.take() {
                Some(machine) => machine,
                None => self.present(call, key, &machine.vmid.to_string()).await?,
            };
            let change = wanted(&machine.config)?;
            if change.is_empty() {
                return Ok(machine);
            }
            let mut form: Vec<(String, String)> = change.set.clone().into_iter().collect();
            if !change.delete.is_empty() {
                form.push(("delete".to_owned(), change.delete.join(",")));
            }
            // Somebody may have changed it since it was read: then it is read again.
            form.extend(machine.config.text("digest").map(|digest| ("digest".to_owned(), digest)));
            form.push(("background_delay".to_owned(), IN_TIME.to_string()));
            let path = at!("nodes", machine.node, "qemu", machine.vmid, "config");
            let upid = start(self.api.change("POST", path, entry).form(form)).await?;
            self.done(call, upid).await?;
            let config = &mut machine.config.0;
            config.remove("digest");
            change.delete.iter().for_each(|key| drop(config.remove(key)));
            config.extend(change.set.into_iter().map(|(key, value)| (key, Value::String(value))));
            Ok(machine)
        })
        .await
    }

    /// Does something again as long as somebody else holds a lock, or changed what it was based on.
    pub(crate) async fn insist<T, F: Future<Output = Result<T>>>(&self, call: &Call, act: impl Fn() -> F) -> Result<T> {
        let again = |fault: &Fault| fault.class == Class::Busy || fault.code == "CONFIG_CHANGED";
        wait::until(
            call.deadline_ms,
            Backoff::growing(self.config.timings.first_poll_ms, self.config.timings.lock_retry_ms),
            || async {
                match act().await {
                    Err(fault) if again(&fault) => Err(Fault { class: Class::Busy, ..fault }),
                    other => Ok(Some(other)),
                }
            },
        )
        .await?
    }

    fn changes(
        &self,
        config: &VmConfig,
        owner: &Owner,
        key: &MachineKey,
        pool: &Pool,
        choice: &Choice,
    ) -> Result<Change> {
        let mut change = Change::default();
        change.want(config, "name", &key.name);
        change.want(config, "cores", pool.shape.cores);
        change.want(config, "memory", pool.shape.memory_mib);
        if config.number("sockets", 1) != 1 {
            change.want(config, "sockets", 1);
        }
        if let Some(balloon) = self.config.balloon_mib {
            change.want(config, "balloon", balloon);
        }
        if let Some(cpu) = &choice.cpu {
            change.want(config, "cpu", cpu);
        }
        if config.number("onboot", 0) != u64::from(self.config.onboot) {
            change.want(config, "onboot", u8::from(self.config.onboot));
        }
        if self.config.agent && !config.text("agent").is_some_and(|value| agent::is_on(&value)) {
            change.want(config, "agent", "enabled=1");
        }
        let own = [TAG, owner.cluster.as_str()].into_iter().map(str::to_lowercase);
        let tags: BTreeSet<String> = choice.tags.iter().map(|tag| tag.to_lowercase()).chain(own).collect();
        let tags: Vec<String> = tags.into_iter().collect();
        change.want(config, "tags", tags.join(";"));
        if config.mark().is_none() {
            change.set.insert("description".to_owned(), Mark::new(owner, key).description(owner)?);
        }
        // The template's own cloud-init drive would be a second seed, and the one that is believed.
        change
            .delete
            .extend(config.drives().filter(|(_, drive)| drive.contains("cloudinit")).map(|(key, _)| key.to_owned()));
        self.cards(config, pool, &mut change);
        Ok(change)
    }

    /// Network cards: those of the pool, or the configured one, or as the template has them. A card keeps its MAC.
    fn cards(&self, config: &VmConfig, pool: &Pool, change: &mut Change) {
        let default = self.config.card.iter().map(|card| (card.bridge.as_str(), card.vlan, card.firewall));
        let own = pool.shape.networks.iter().map(|card| (card.network.as_str(), card.vlan, card.firewall));
        let cards: Vec<_> = if pool.shape.networks.is_empty() { default.collect() } else { own.collect() };
        if cards.is_empty() {
            return;
        }
        let model = &self.config.card_model;
        for (index, (bridge, vlan, firewall)) in cards.iter().enumerate() {
            let key = format!("net{index}");
            let current = config.text(&key).unwrap_or_default();
            let mac = mac(&current);
            let mut card = mac.map_or_else(|| model.model.clone(), |mac| format!("{}={mac}", model.model));
            card.push_str(&format!(",bridge={bridge}"));
            let options =
                [("tag", *vlan), ("mtu", model.mtu), ("queues", model.queues), ("firewall", firewall.then_some(1))];
            for (name, value) in options.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                card.push_str(&format!(",{name}={value}"));
            }
            if parts(&current) != parts(&card) {
                change.set.insert(key, card);
            }
        }
        let beyond = |key: &str| {
            key.strip_prefix("net")
                .and_then(|index| index.parse().ok())
                .is_some_and(|index: usize| index >= cards.len())
        };
        change.delete.extend(config.family("net").filter(|(key, _)| beyond(key)).map(|(key, _)| key.to_owned()));
    }

    /// Grows the root disk; a template with a larger one is left as it is.
    async fn grow(&self, call: &Call, pool: &Pool, entry: Entry, machine: Machine) -> Result<Machine> {
        let Some(wanted) = pool.shape.disk_gib.map(u64::from) else { return Ok(machine) };
        let disk = &self.config.disk;
        let drive = machine.config.text(disk).ok_or_else(|| {
            let message = format!("VM {} has no disk `{disk}`: name the template's root disk in `disk`", machine.vmid);
            Fault::invalid("NO_SUCH_DISK", message).scope(Scope::Pool)
        })?;
        let Some(bytes) = property(&drive, "size").and_then(bytes) else { return Ok(machine) };
        if bytes >= wanted << 30 {
            if bytes > wanted << 30 {
                log::info(
                    "the disk is larger than wanted and stays so",
                    &[("vmid", &machine.vmid), ("wanted-gib", &wanted)],
                );
            }
            return Ok(machine);
        }
        self.insist(call, || async {
            let path = at!("nodes", machine.node, "qemu", machine.vmid, "resize");
            let form = [("disk", disk.clone()), ("size", format!("{wanted}G"))];
            let upid = start(self.api.change("PUT", path, entry).form(form)).await?;
            self.done(call, upid).await
        })
        .await?;
        let mut machine = machine;
        // The digest is of the file as it was before.
        machine.config.0.remove("digest");
        Ok(machine)
    }
}

/// A property string without its order.
fn parts(card: &str) -> BTreeSet<String> {
    card.split(',').map(str::to_lowercase).collect()
}

/// A size such as `8G` or `2252M` in bytes.
pub(crate) fn bytes(size: &str) -> Option<u64> {
    let (digits, shift) = match size.chars().last()? {
        'K' => (size.strip_suffix('K')?, 10),
        'M' => (size.strip_suffix('M')?, 20),
        'G' => (size.strip_suffix('G')?, 30),
        'T' => (size.strip_suffix('T')?, 40),
        _ => (size, 0),
    };
    digits.parse::<f64>().ok().map(|number| (number * (1u64 << shift) as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("8G"), Some(8 << 30));
        assert_eq!(bytes("2252M"), Some(2252 << 20));
        assert_eq!(bytes("1024"), Some(1024));
        assert_eq!(bytes("x"), None);
    }

    #[test]
    fn cards_are_compared_without_their_order() {
        assert_eq!(parts("virtio=BC:24,bridge=a,firewall=1"), parts("virtio=bc:24,firewall=1,bridge=a"));
        assert_ne!(parts("virtio=BC:24,bridge=a"), parts("virtio=BC:24,bridge=b"));
    }
}
