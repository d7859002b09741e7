//! The templates: there, templates, with a disk to boot from, the guest agent, and a place for the seed.

use std::collections::BTreeSet;

use agentkube_sdk::prelude::*;

use super::Look;
use crate::api::{Resource, VmConfig, property};
use crate::config::Template;
use crate::configure::bytes;
use crate::{Proxmox, agent, faults, place, seed};

/// A template that the index shows.
pub(super) struct Seen {
    pub vmid: u32,
    pub node: String,
    /// What it is made of, if the token may read that.
    pub config: Option<VmConfig>,
    /// Whether machines are cloned from it unless their pool says otherwise.
    pub usual: bool,
}

impl Seen {
    /// Size of its disks in bytes.
    pub fn size(&self) -> u64 {
        let drives = self.config.iter().flat_map(disks);
        drives.filter_map(|drive| property(&drive, "size").and_then(bytes)).sum()
    }

    /// Storages of its disks.
    pub fn storages(&self) -> BTreeSet<String> {
        let drives = self.config.iter().flat_map(disks);
        drives.filter_map(|drive| Some(drive.split_once(':')?.0.to_owned())).collect()
    }
}

impl Proxmox {
    /// The templates that the index shows, with their configurations.
    pub(super) async fn seen_templates(&self, all: &[Resource]) -> Result<Vec<Seen>> {
        let mut seen: Vec<Seen> = Vec::new();
        for template in self.configured_templates() {
            for (node, vmid) in place::templates(all, template).unwrap_or_default() {
                if !seen.iter().any(|known| known.vmid == vmid) {
                    let config = self.api.config(&node, vmid).await?;
                    seen.push(Seen { vmid, node, config, usual: *template == self.config.template });
                }
            }
        }
        Ok(seen)
    }

    /// What is to be said of them.
    pub(super) fn templates(&self, look: &mut Look, all: &[Resource], seen: &[Seen]) {
        for template in self.configured_templates() {
            // One that is invisible for want of a privilege was named with that.
            let hidden = numbers(template).iter().any(|vmid| look.lacks(&format!("/vms/{vmid}"), "VM.Audit"));
            match place::templates(all, template) {
                Err(fault) if !hidden => {
                    let remedy = faults::cure(&fault.code).unwrap_or_default();
                    look.error(&fault.code, fault.message, remedy);
                }
                _ => {}
            }
        }
        for template in seen {
            if let Some(config) = &template.config {
                self.template(look, template, config);
            }
        }
    }

    fn template(&self, look: &mut Look, template: &Seen, config: &VmConfig) {
        let (vmid, node, disk) = (template.vmid, &template.node, &self.config.disk);
        look.ok("TEMPLATE", format!("template {vmid} is on {node}"));
        let order = config.text("boot").and_then(|boot| property(&boot, "order").map(str::to_owned));
        if config.text(disk).is_none() {
            let remedy = "name the template's root disk in `disk`";
            look.error("NO_SUCH_DISK", format!("template {vmid} has no disk `{disk}`"), remedy);
        } else if order.is_some_and(|order| !order.split(';').any(|drive| drive == disk)) {
            let message = format!("template {vmid} does not boot from its disk `{disk}`");
            look.error(
                "NO_BOOT_DISK",
                message,
                "put the disk into the template's boot order (`qm set … --boot order=…`)",
            );
        }
        let answers = config.text("agent").is_some_and(|value| agent::is_on(&value));
        if self.config.agent && !answers {
            let message = format!("template {vmid} has the guest agent switched off; machines get it switched on");
            let remedy = "install qemu-guest-agent in the template and switch it on, or set `agent = false`";
            look.warning("AGENT_OFF", message, remedy);
        }
        if seed::free_slot(config).is_none() {
            let message = format!("every ide and sata slot of template {vmid} is in use: the seed needs one");
            look.error("NO_FREE_SLOT", message, "remove a drive from the template");
        }
    }

    fn configured_templates(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.config.template).chain(self.config.images.values())
    }

    /// Templates that the configuration names by their numbers.
    pub(super) fn named_templates(&self) -> BTreeSet<u32> {
        self.configured_templates().flat_map(numbers).collect()
    }

    /// Storages that clones are made on.
    pub(super) fn disk_storages(&self, templates: &[Seen]) -> BTreeSet<String> {
        match &self.config.storage {
            Some(storage) => BTreeSet::from([storage.clone()]),
            None => templates.iter().flat_map(Seen::storages).collect(),
        }
    }
}

fn numbers(template: &Template) -> Vec<u32> {
    match template {
        Template::Vmid(vmid) => vec![*vmid],
        Template::PerNode(own) => own.values().copied().collect(),
        Template::Tagged { .. } | Template::Named(_) => Vec::new(),
    }
}

/// Drives that are disks: neither CDs nor cloud-init drives, which are CDs as well.
fn disks(config: &VmConfig) -> impl Iterator<Item = String> {
    config.drives().map(|(_, drive)| drive).filter(|drive| property(drive, "media") != Some("cdrom"))
}
