//! What must be so before the first machine.

use std::collections::BTreeMap;

use agentkube_sdk::fan_out::fan_out;
use agentkube_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::Proxmox;
use crate::api::{Resource, at, fetch, is_set};
use crate::place;

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Storage {
    storage: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    shared: Value,
}

#[derive(Deserialize)]
struct Interface {
    iface: String,
}

/// Privileges on a path, and what for.
struct Demand {
    path: String,
    privileges: Vec<&'static str>,
}

impl Proxmox {
    /// Reachability, version, privileges one by one, templates, storages, bridge.
    pub(crate) async fn look_before(&self) -> Result<Vec<Finding>> {
        let version: Version = match fetch(self.api.get(at!("version"))).await {
            Ok(version) => version,
            Err(fault) => {
                let remedy = "check the connection's endpoints, its CA or fingerprint, and the token";
                return Ok(vec![Finding::error(
                    "UNREACHABLE",
                    format!("the cluster does not answer: {fault}"),
                    remedy,
                )]);
            }
        };
        let major: u32 = version.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        let mut findings = vec![if (8..=9).contains(&major) {
            Finding::ok("VERSION", format!("Proxmox VE {}", version.version))
        } else {
            let message = format!("Proxmox VE {} was never tried", version.version);
            Finding::warning("VERSION", message, "versions 8 and 9 are supported")
        }];
        let all = self.api.resources(None).await?;
        let templates = match place::templates(&all, &self.config.template) {
            Ok(templates) => templates,
            Err(fault) => {
                findings.push(Finding::error(
                    &fault.code,
                    fault.message,
                    "see `template` in the plugin's configuration",
                ));
                Vec::new()
            }
        };
        for (node, vmid) in &templates {
            findings.push(Finding::ok("TEMPLATE", format!("template {vmid} is on {node}")));
        }
        let demands = self.demands(major, &templates);
        let checks = demands.into_iter().map(|demand| self.permitted(demand));
        for finding in fan_out(2, checks).await {
            findings.extend(finding?);
        }
        let nodes = self.nodes(&all, &templates);
        for node in nodes {
            findings.extend(self.node(&node).await?);
        }
        Ok(findings)
    }

    /// Nodes that machines will be made on and that are online.
    fn nodes(&self, all: &[Resource], templates: &[(String, u32)]) -> Vec<String> {
        let mut nodes = self.config.nodes.clone();
        if nodes.is_empty() {
            nodes = templates.iter().map(|(node, _)| node.clone()).collect();
        }
        nodes.sort();
        nodes.dedup();
        nodes.retain(|node| {
            all.iter().any(|entry| entry.kind == "node" && entry.node == *node && entry.status == "online")
        });
        nodes
    }

    /// The least that making machines takes. 9.0 split what asking the guest agent takes off `VM.Monitor`, and a role of 9 cannot name
    /// that any more.
    fn demands(&self, major: u32, templates: &[(String, u32)]) -> Vec<Demand> {
        let mut machines = vec!["VM.Allocate", "VM.Audit", "VM.Clone", "VM.PowerMgmt"];
        machines.extend(["VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk"]);
        machines.extend(["VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"]);
        if self.config.agent {
            machines.push(if major >= 9 { "VM.GuestAgent.Audit" } else { "VM.Monitor" });
        }
        let path = self.config.pool.as_ref().map_or("/vms".to_owned(), |pool| format!("/pool/{pool}"));
        let mut demands = vec![Demand { path, privileges: machines }];
        for (_, vmid) in templates {
            demands.push(Demand { path: format!("/vms/{vmid}"), privileges: vec!["VM.Audit", "VM.Clone"] });
        }
        if let Some(storage) = &self.config.storage {
            let privileges = vec!["Datastore.AllocateSpace", "Datastore.Audit"];
            demands.push(Demand { path: format!("/storage/{storage}"), privileges });
        }
        let privileges = vec!["Datastore.AllocateTemplate", "Datastore.Allocate", "Datastore.Audit"];
        demands.push(Demand { path: format!("/storage/{}", self.config.seed_storage), privileges });
        if let Some(card) = &self.config.card {
            let vlan = card.vlan.map(|vlan| format!("/{vlan}")).unwrap_or_default();
            let path = format!("/sdn/zones/{}/{}{vlan}", card.zone, card.bridge);
            demands.push(Demand { path, privileges: vec!["SDN.Use"] });
        }
        demands
    }

    async fn permitted(&self, demand: Demand) -> Result<Vec<Finding>> {
        let Demand { path, privileges } = demand;
        let request = self.api.get(at!("access", "permissions")).query("path", &path);
        let held: BTreeMap<String, BTreeMap<String, Value>> = fetch(request).await?;
        let held = held.get(&path);
        let (held, missing): (Vec<&str>, Vec<&str>) =
            privileges.into_iter().partition(|name| held.is_some_and(|held| held.contains_key(*name)));
        let mut findings = Vec::new();
        if !held.is_empty() {
            findings.push(Finding::ok("PRIVILEGES", format!("on {path}: {}", held.join(" "))));
        }
        for privilege in missing {
            let message = format!("the token lacks {privilege} on {path}");
            let remedy = format!("give user and token a role with {privilege} on {path}");
            findings.push(Finding::error("PRIVILEGE_MISSING", message, remedy));
        }
        Ok(findings)
    }

    async fn node(&self, node: &str) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let storages: Vec<Storage> = fetch(self.api.get(at!("nodes", node, "storage"))).await?;
        let seeds = &self.config.seed_storage;
        findings.push(match storages.iter().find(|storage| storage.storage == *seeds) {
            None => Finding::error(
                "SEED_STORAGE_MISSING",
                format!("storage {seeds} is not on {node}, or the token may not see it"),
                "name in `seed-storage` a storage that every node has, or give the token Datastore.Audit on it",
            ),
            Some(storage) if !takes(storage, "iso") || !is_directory(&storage.kind) => Finding::error(
                "SEED_STORAGE_UNFIT",
                format!("storage {seeds} of type {} takes no uploads of content type iso", storage.kind),
                "make a directory storage with content type iso, used for nothing else",
            ),
            Some(storage) => {
                let reach = if is_set(&storage.shared) { "shared" } else { "local" };
                Finding::ok("SEED_STORAGE", format!("storage {seeds} on {node} takes seeds ({reach})"))
            }
        });
        if let Some(disks) = &self.config.storage {
            findings.push(match storages.iter().find(|storage| storage.storage == *disks) {
                Some(storage) if takes(storage, "images") => {
                    Finding::ok("DISK_STORAGE", format!("storage {disks} on {node} takes disks"))
                }
                _ => Finding::error(
                    "DISK_STORAGE_UNFIT",
                    format!("storage {disks} on {node} is missing, invisible, or takes no disk images"),
                    "name in `storage` one with content type images, on which the token has Datastore.AllocateSpace",
                ),
            });
        }
        if let Some(card) = &self.config.card {
            let request = self.api.get(at!("nodes", node, "network")).query("type", "any_bridge");
            let bridges: Vec<Interface> = fetch(request).await?;
            findings.push(if bridges.iter().any(|bridge| bridge.iface == card.bridge) {
                Finding::ok("BRIDGE", format!("bridge {} is on {node}", card.bridge))
            } else {
                Finding::warning(
                    "BRIDGE_NOT_SEEN",
                    format!(
                        "bridge {} is not seen on {node}; a virtual network of SDN may not be listed there",
                        card.bridge
                    ),
                    "check `card`, and SDN.Use for the token",
                )
            });
        }
        Ok(findings)
    }
}

fn takes(storage: &Storage, content: &str) -> bool {
    storage.content.split(',').any(|own| own.trim() == content)
}

/// Storages that are directories take uploads.
fn is_directory(kind: &str) -> bool {
    matches!(kind, "dir" | "nfs" | "cifs" | "cephfs" | "btrfs" | "glusterfs")
}
