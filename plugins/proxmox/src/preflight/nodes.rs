//! The nodes: online, each reachable for uploads, with its storages and its bridge.

use std::collections::BTreeSet;

use agentkube_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::templates::Seen;
use super::{Look, size, unless_off};
use crate::Proxmox;
use crate::api::{Resource, at, fetch, is_set, number};

/// Room for seeds, in bytes: a hundred machines at once, far more than they will take.
const SEEDS_ROOM: u64 = 64 << 20;

#[derive(Deserialize)]
struct Storage {
    storage: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    shared: Value,
    #[serde(default)]
    active: Value,
    #[serde(default)]
    avail: Value,
    #[serde(default)]
    total: Value,
}

#[derive(Deserialize)]
struct Interface {
    iface: String,
}

impl Proxmox {
    /// Looks at every node that machines may be made on.
    pub(super) async fn nodes(&self, look: &mut Look, all: &[Resource], templates: &[Seen]) {
        let mut names: BTreeSet<&str> = self.config.nodes.iter().map(String::as_str).collect();
        if names.is_empty() {
            names = templates.iter().filter(|seen| seen.usual).map(|seen| seen.node.as_str()).collect();
        }
        let mut online = Vec::new();
        for name in &names {
            match all.iter().find(|entry| entry.kind == "node" && entry.node == *name) {
                Some(entry) if entry.status == "online" => online.push(*name),
                Some(_) => {
                    let remedy = "start it, or take it out of `nodes`";
                    look.warning("NODE_OFFLINE", format!("node {name} is offline and is passed over"), remedy);
                }
                None => {
                    let remedy = "name in `nodes` nodes of this cluster";
                    look.error("NODE_UNKNOWN", format!("the cluster has no node {name}"), remedy);
                }
            }
        }
        if online.is_empty() && !names.is_empty() {
            let names: Vec<&str> = names.into_iter().collect();
            let message = format!("none of the nodes {} is online", names.join(", "));
            look.error("NO_NODE_ONLINE", message, "start one, or name others in `nodes`");
        }
        let mut unseen = Vec::new();
        for node in &online {
            if let Err(fault) = self.node(look, node, online.len(), templates).await {
                unseen.push(fault);
            }
        }
        // One node of several that does not answer is passed over when machines are made, too.
        for fault in &unseen {
            match unseen.len() == online.len() {
                true => look.fault(fault),
                false => look.warning(&fault.code, fault.message.clone(), "mend the node, or take it out of `nodes`"),
            }
        }
    }

    async fn node(&self, look: &mut Look, node: &str, of: usize, templates: &[Seen]) -> Result<()> {
        let storages: Vec<Storage> = fetch(self.api.get(at!("nodes", node, "storage"))).await?;
        self.seed_storage(look, node, &storages);
        if of > 1 {
            self.endpoint(look, node).await;
        }
        for storage in self.disk_storages(templates) {
            let here = storages.iter().find(|known| known.storage == storage);
            self.disk_storage(look, node, &storage, here, templates);
        }
        self.reach(look, node, &storages, templates);
        self.bridge(look, node).await
    }

    fn seed_storage(&self, look: &mut Look, node: &str, storages: &[Storage]) {
        let seeds = &self.config.seed_storage;
        let path = format!("/storage/{seeds}");
        let Some(storage) = storages.iter().find(|storage| storage.storage == *seeds) else {
            if !look.lacks(&path, "Datastore.Audit") {
                let remedy = "name in `seed-storage` a storage that every node has";
                look.error("SEED_STORAGE_MISSING", format!("storage {seeds} is not on {node}"), remedy);
            }
            return;
        };
        let (kind, free) = (&storage.kind, number(&storage.avail));
        if !takes(storage, "iso") || !is_directory(kind) {
            let message = format!("storage {seeds} on {node}, of type {kind}, takes no uploads of content type iso");
            let remedy = "make a directory storage with content type iso, used for nothing else";
            look.error("SEED_STORAGE_UNFIT", message, remedy);
        } else if !unless_off(&storage.active) {
            let remedy = "mount it, or name another in `seed-storage`";
            look.error("STORAGE_OFFLINE", format!("storage {seeds} is not active on {node}"), remedy);
        } else if let Some(free) = free.filter(|free| *free < SEEDS_ROOM) {
            let message = format!("storage {seeds} on {node} has {} left for seed images", size(free));
            look.error("STORAGE_FULL", message, "free space on it");
        } else {
            let reach = if is_set(&storage.shared) { "shared" } else { "local" };
            look.ok("SEED_STORAGE", format!("storage {seeds} on {node} takes seeds ({reach})"));
        }
    }

    /// Uploads for a node are copied to it by the node that takes them, unless they go straight to it.
    async fn endpoint(&self, look: &mut Look, node: &str) {
        let label = self.config.endpoint_label.replace("{node}", node);
        match fetch::<Value>(self.api.get(at!("version")).endpoint(&label)).await {
            Ok(_) => look.ok("ENDPOINT", format!("{node} is reached by its own endpoint")),
            Err(fault) if fault.code == "NO_SUCH_ENDPOINT" => {
                let message =
                    format!("the connection has no endpoint `{label}`: seeds for {node} go through another node");
                let remedy = "give the connection an endpoint for each node, labelled with its name";
                look.warning("NO_ENDPOINT_OF_NODE", message, remedy);
            }
            Err(fault) => {
                let message = format!("{node} is not reached by its own endpoint `{label}`: {fault}");
                look.warning("ENDPOINT_UNREACHABLE", message, "mend the endpoint's address, or take it out");
            }
        }
    }

    fn disk_storage(&self, look: &mut Look, node: &str, name: &str, here: Option<&Storage>, templates: &[Seen]) {
        let path = format!("/storage/{name}");
        let Some(storage) = here else {
            // Either privilege makes it visible.
            if !look.lacks(&path, "Datastore.Audit") || !look.lacks(&path, "Datastore.AllocateSpace") {
                let remedy = "name in `storage` one that every node has, or take the node out of `nodes`";
                look.error("STORAGE_UNKNOWN", format!("storage {name} is not on {node}"), remedy);
            }
            return;
        };
        let largest = templates.iter().map(Seen::size).max().unwrap_or(0);
        let (free, total) = (number(&storage.avail), number(&storage.total).unwrap_or(0));
        if !takes(storage, "images") {
            let remedy = "name in `storage` one with content type images";
            look.error("DISK_STORAGE_UNFIT", format!("storage {name} on {node} takes no disk images"), remedy);
        } else if !unless_off(&storage.active) {
            look.error(
                "STORAGE_OFFLINE",
                format!("storage {name} is not active on {node}"),
                "mount it, or name another",
            );
        } else if let Some(free) = free.filter(|free| *free == 0 || *free < largest) {
            let message = format!("storage {name} on {node} has {} left: no room for one more machine", size(free));
            look.error("STORAGE_FULL", message, "free space on it, or name another in `storage`");
        } else if let Some(free) = free.filter(|free| *free < total / 10) {
            let message = format!("storage {name} on {node} has {} of {} left", size(free), size(total));
            look.warning("STORAGE_NEARLY_FULL", message, "free space on it, or name another in `storage`");
        } else {
            look.ok("DISK_STORAGE", format!("storage {name} on {node} takes disks"));
        }
    }

    /// A node without a template of its own takes clones from another, over storage that both see.
    fn reach(&self, look: &mut Look, node: &str, storages: &[Storage], templates: &[Seen]) {
        let usual = || templates.iter().filter(|seen| seen.usual);
        if usual().any(|seen| seen.node == node) {
            return;
        }
        let Some(source) = usual().next() else { return };
        let target = self.config.storage.clone();
        let local = |name: &String| storages.iter().any(|known| known.storage == *name && !is_set(&known.shared));
        if let Some(name) = source.storages().into_iter().chain(target).find(local) {
            let (vmid, home) = (source.vmid, &source.node);
            let message = format!("{node} cannot get clones of template {vmid} on {home}: storage {name} is local");
            look.error("STORAGE_IS_LOCAL", message, "put a template on each node, or both on shared storage");
        }
    }

    async fn bridge(&self, look: &mut Look, node: &str) -> Result<()> {
        let (Some(card), Some(path)) = (&self.config.card, self.card_path()) else { return Ok(()) };
        if look.lacks(&path, "SDN.Use") {
            return Ok(());
        }
        let request = self.api.get(at!("nodes", node, "network")).query("type", "any_bridge");
        let bridges: Vec<Interface> = fetch(request).await?;
        let name = &card.bridge;
        if bridges.iter().any(|bridge| bridge.iface == *name) {
            look.ok("BRIDGE", format!("bridge {name} is on {node}"));
        } else if card.zone == "localnetwork" {
            look.error(
                "BRIDGE_UNKNOWN",
                format!("{node} has no bridge {name}"),
                "name in `card` a bridge of every node",
            );
        } else {
            let message = format!("virtual network {name} is not seen on {node}; not every zone is listed there");
            look.warning("BRIDGE_NOT_SEEN", message, "check `card`, and that the zone reaches the node");
        }
        Ok(())
    }
}

fn takes(storage: &Storage, content: &str) -> bool {
    storage.content.split(',').any(|own| own.trim() == content)
}

/// Storages that are directories take uploads.
fn is_directory(kind: &str) -> bool {
    matches!(kind, "dir" | "nfs" | "cifs" | "cephfs" | "btrfs" | "glusterfs")
}
