//! Privileges, one by one, against what this configuration needs.

use std::collections::{BTreeMap, BTreeSet};

use agentkube_sdk::fan_out::try_fan_out;
use agentkube_sdk::prelude::*;
use serde_json::Value;

use super::Look;
use super::templates::Seen;
use crate::api::{at, fetch, property};
use crate::{Proxmox, bootstrap_log};

/// A privilege and what it is for.
type Need = (&'static str, &'static str);

/// On the pool of the machines.
const MACHINES: &[Need] = &[
    ("VM.Allocate", "to make and delete machines"),
    ("VM.Audit", "to read the marks of machines"),
    ("VM.Config.CDROM", "to put seed images in and take them out"),
    ("VM.Config.CPU", "to set cores"),
    ("VM.Config.Cloudinit", "to remove a template's cloud-init drive"),
    ("VM.Config.Disk", "to grow disks"),
    ("VM.Config.Memory", "to set memory"),
    ("VM.Config.Network", "to set network cards"),
    ("VM.Config.Options", "to set names, marks and tags"),
    ("VM.PowerMgmt", "to start and stop machines"),
];
const TEMPLATE: &[Need] = &[("VM.Audit", "to see the template"), ("VM.Clone", "to clone it")];
const DISKS: &[Need] =
    &[("Datastore.AllocateSpace", "to make disks"), ("Datastore.Audit", "to see how much room there is")];
const SEEDS: &[Need] = &[
    ("Datastore.Allocate", "to delete seed images"),
    ("Datastore.AllocateTemplate", "to upload seed images"),
    ("Datastore.Audit", "to put seed images into drives"),
];
const CARDS: &[Need] = &[("SDN.Use", "to connect network cards")];

impl Proxmox {
    /// Every privilege that is needed, on every path.
    pub(super) async fn privileges(&self, look: &mut Look, major: u32, templates: &[Seen]) -> Result<()> {
        let checks = self.needed(major, templates).into_iter().map(|(path, needs)| async move {
            let request = self.api.get(at!("access", "permissions")).query("path", &path);
            let held: BTreeMap<String, BTreeMap<String, Value>> = fetch(request).await?;
            let held = held.get(&path).cloned().unwrap_or_default();
            Ok::<_, Fault>((path, needs, held))
        });
        for (path, needs, held) in try_fan_out(2, checks).await? {
            let (has, lacks): (Vec<Need>, Vec<Need>) =
                needs.into_iter().partition(|(privilege, _)| held.contains_key(*privilege));
            if !has.is_empty() {
                let names: Vec<&str> = has.iter().map(|(privilege, _)| *privilege).collect();
                look.ok("PRIVILEGES", format!("on {path}: {}", names.join(" ")));
            }
            for (privilege, purpose) in lacks {
                let message = format!("the token lacks {privilege} on {path}, {purpose}");
                let remedy = format!("give the user and the token a role with {privilege} on {path}");
                look.error("PRIVILEGE_MISSING", message, &remedy);
                look.lacking.insert((path.clone(), privilege));
            }
        }
        Ok(())
    }

    /// The least that making machines takes, by path.
    fn needed(&self, major: u32, templates: &[Seen]) -> BTreeMap<String, BTreeSet<Need>> {
        let mut needed: BTreeMap<String, BTreeSet<Need>> = BTreeMap::new();
        let mut need = |path: String, needs: &[Need]| needed.entry(path).or_default().extend(needs);
        let machines = self.machines_path();
        need(machines.clone(), MACHINES);
        need(machines.clone(), &self.of_guests(major));
        if self.config.pool.is_some() {
            need(machines, &[("Pool.Audit", "to see that the pool exists")]);
        }
        for vmid in templates.iter().map(|seen| seen.vmid).chain(self.named_templates()) {
            need(format!("/vms/{vmid}"), TEMPLATE);
        }
        for storage in self.disk_storages(templates) {
            need(format!("/storage/{storage}"), DISKS);
        }
        need(format!("/storage/{}", self.config.seed_storage), SEEDS);
        // A clone takes them for the cards of its template, too.
        for path in templates.iter().flat_map(|seen| self.template_cards(seen)).chain(self.card_path()) {
            need(path, CARDS);
        }
        needed
    }

    /// What asking the guest agent takes: one privilege before 9.0, which split it into several and refuses roles with the old one.
    fn of_guests(&self, major: u32) -> Vec<Need> {
        let mut needs = Vec::new();
        if self.config.agent {
            let privilege = if major >= 9 { "VM.GuestAgent.Audit" } else { "VM.Monitor" };
            needs.push((privilege, "to ask the guest agent for addresses"));
        }
        let reading = bootstrap_log::privilege(major);
        if self.config.bootstrap_log && needs.iter().all(|(privilege, _)| *privilege != reading) {
            needs.push((reading, "to read first-boot logs through the guest agent"));
        }
        needs
    }

    /// Where privileges for machines are given.
    pub(super) fn machines_path(&self) -> String {
        self.config.pool.as_ref().map_or("/vms".to_owned(), |pool| format!("/pool/{pool}"))
    }

    /// Where the privilege for the configured card is given.
    pub(super) fn card_path(&self) -> Option<String> {
        let card = self.config.card.as_ref()?;
        let vlan = card.vlan.map(|vlan| format!("/{vlan}")).unwrap_or_default();
        Some(format!("/sdn/zones/{}/{}{vlan}", card.zone, card.bridge))
    }

    fn template_cards(&self, seen: &Seen) -> Vec<String> {
        let zone = |bridge: &str| match &self.config.card {
            Some(card) if card.bridge == bridge => card.zone.clone(),
            _ => "localnetwork".to_owned(),
        };
        let cards = seen.config.iter().flat_map(|config| config.family("net"));
        let paths = cards.filter_map(|(_, card)| {
            let bridge = property(&card, "bridge")?;
            let vlan = property(&card, "tag").map(|vlan| format!("/{vlan}")).unwrap_or_default();
            Some(format!("/sdn/zones/{}/{bridge}{vlan}", zone(bridge)))
        });
        paths.collect()
    }
}
