//! Finding a machine: by the number that we gave it, then by its name; its mark decides.

use agentkube_sdk::ledger::{Item, State};
use agentkube_sdk::log;
use agentkube_sdk::machine::{Instance, MachineKey};
use agentkube_sdk::prelude::*;
use agentkube_sdk::reservations;

use crate::Proxmox;
use crate::api::{Resource, VmConfig, at, fetch};
use crate::mark::{Mark, TAG};

/// How often a VM that moves between two requests is followed.
const MOVES: usize = 3;

/// A VM with the mark of the machine that was looked for.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub vmid: u32,
    /// Where it is now. It may move at any time.
    pub node: String,
    pub config: VmConfig,
}

/// What is found under a number.
#[derive(Debug)]
pub(crate) enum Sight {
    /// The machine.
    Ours(Box<Machine>),
    /// A VM with another mark, or none; its name.
    Foreign(Option<String>),
    /// What a destroy has still to remove, or left when it died: a lock, and nothing that says whose it was; its node.
    Remains(String),
    /// A VM that the token may not see: another's, or half made.
    Hidden,
    /// Nothing.
    Absent,
}

impl Proxmox {
    /// What there is under a number.
    pub(crate) async fn look(&self, owner: &Owner, key: &MachineKey, vmid: u32) -> Result<Sight> {
        let all = self.api.resources(Some("vm")).await?;
        self.look_among(owner, key, vmid, all).await
    }

    async fn look_among(&self, owner: &Owner, key: &MachineKey, vmid: u32, all: Vec<Resource>) -> Result<Sight> {
        let mut all = all;
        for _ in 0..MOVES {
            let Some(entry) = all.iter().find(|entry| entry.vm() == Some(vmid)) else {
                return Ok(if self.api.is_taken(vmid).await? { Sight::Hidden } else { Sight::Absent });
            };
            if let Some(config) = self.api.config(&entry.node, vmid).await? {
                if config.mark() == Some(Mark::new(owner, key)) {
                    let node = entry.node.clone();
                    return Ok(Sight::Ours(Box::new(Machine { vmid, node, config })));
                }
                return Ok(match config.text("lock") {
                    Some(lock) if lock == "destroyed" && !config.0.contains_key("name") => {
                        Sight::Remains(entry.node.clone())
                    }
                    _ => Sight::Foreign(config.text("name")),
                });
            }
            // It moved, or went, between the two requests.
            all = self.api.resources(Some("vm")).await?;
        }
        Err(Fault::busy("VM_MOVING", format!("VM {vmid} moves from node to node")).scope(Scope::Machine))
    }

    /// The machine, or `None` when it is certain that there is none: no request of ours is under way, no task of ours runs, the number
    /// that it was to have was asked for, and so was its name.
    pub(crate) async fn locate(&self, call: &Call, key: &MachineKey, item: Option<Item>) -> Result<Option<Machine>> {
        let mut asked = None;
        let item = match item {
            Some(item) if !item.is_fresh() => Some(self.settle(call, item).await?),
            _ => None,
        };
        let all = self.api.resources(Some("vm")).await?;
        let vmid = match item {
            Some(item) => match self.number(&item).await {
                Ok(vmid) => Some(vmid),
                // It never got one, and there is none left.
                Err(fault) if fault.class == Class::Exhausted => None,
                Err(fault) => return Err(fault),
            },
            None => None,
        };
        if let Some(vmid) = vmid {
            if let Sight::Ours(machine) = self.look_among(&call.owner, key, vmid, all.clone()).await? {
                return Ok(Some(*machine));
            }
            asked = Some(vmid);
        }
        // Without a row, or with one whose number leads nowhere: a machine that an earlier journal knew still has its name and mark.
        let mark = Mark::new(&call.owner, key);
        for entry in &all {
            // A VM of the last ten seconds shows no name yet; it is ours only if it has the tags of our cluster, or none of ours yet.
            let young = || entry.tagged(&call.owner.cluster) || !entry.tagged(TAG);
            let named = entry.name.as_ref().map_or_else(young, |name| *name == key.name);
            let Some(vmid) = entry.vm().filter(|vmid| named && !entry.template && Some(*vmid) != asked) else {
                continue;
            };
            if let Some(config) =
                self.api.config(&entry.node, vmid).await?.filter(|config| config.mark().as_ref() == Some(&mark))
            {
                return Ok(Some(Machine { vmid, node: entry.node.clone(), config }));
            }
        }
        Ok(None)
    }

    /// The number that a row's machine has, or is to have.
    pub(crate) async fn number(&self, item: &Item) -> Result<u32> {
        let own = item.external_id.clone().filter(|_| item.state == State::Live);
        let number = match own {
            Some(number) => number,
            None => reservations::take(&self.config.vmid_range, item.entry).await?,
        };
        vmid(&number)
    }

    /// The machine with this id, by the mark; `None` when it is gone, which it also is for us when its number is another's now.
    pub(crate) async fn ours(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<Machine>> {
        let vmid = vmid(id)?;
        let sight = self.look(&call.owner, key, vmid).await?;
        self.judged(key, vmid, sight).await
    }

    /// The same for a delete, for which a machine is not gone as long as something is left of it.
    pub(crate) async fn left(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<Machine>> {
        let vmid = vmid(id)?;
        let sight = self.look(&call.owner, key, vmid).await?;
        if let Sight::Remains(node) = &sight {
            self.remains(call, node, vmid).await?;
        }
        self.judged(key, vmid, sight).await
    }

    async fn judged(&self, key: &MachineKey, vmid: u32, sight: Sight) -> Result<Option<Machine>> {
        match sight {
            Sight::Ours(machine) => Ok(Some(*machine)),
            Sight::Absent | Sight::Remains(_) => Ok(None),
            Sight::Foreign(name) => {
                if name.as_ref() == Some(&key.name) {
                    let message = format!(
                        "VM {vmid} is called {} and its description does not say that it is ours: put the \
                        line back that begins with `agentkube`, or give the VM another name",
                        key.name
                    );
                    return Err(Fault::not_ours(message));
                }
                log::warn("the number is another's now", &[("vmid", &vmid), ("machine", &key.name)]);
                Ok(None)
            }
            Sight::Hidden => {
                self.may_see_machines().await?;
                log::warn("the number is of a VM outside our pool now", &[("vmid", &vmid), ("machine", &key.name)]);
                Ok(None)
            }
        }
    }

    /// The same, where it must be there.
    pub(crate) async fn present(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Machine> {
        let found = self.ours(call, key, id).await?;
        found.ok_or_else(|| gone(key, id))
    }

    /// The machine where it was last seen, or else wherever it is now; `None` when it is gone. One that did not move is found with one
    /// request instead of two.
    pub(crate) async fn ours_at(&self, call: &Call, key: &MachineKey, seen: &Instance) -> Result<Option<Machine>> {
        let vmid = vmid(&seen.id)?;
        if let Ok(Some(config)) = self.api.config(&seen.location, vmid).await
            && config.mark() == Some(Mark::new(&call.owner, key))
        {
            return Ok(Some(Machine { vmid, node: seen.location.clone(), config }));
        }
        self.ours(call, key, &seen.id).await
    }

    /// The same, where it must be there.
    pub(crate) async fn present_at(&self, call: &Call, key: &MachineKey, seen: &Instance) -> Result<Machine> {
        self.ours_at(call, key, seen).await?.ok_or_else(|| gone(key, &seen.id))
    }

    /// Fails when our machines would be invisible, too: what cannot be seen is then not known to be another's.
    async fn may_see_machines(&self) -> Result<()> {
        let path = self.config.pool.as_ref().map_or("/vms".to_owned(), |pool| format!("/pool/{pool}"));
        let request = self.api.get(at!("access", "permissions")).query("path", &path);
        let held: serde_json::Value = fetch(request).await?;
        if held.get(&path).and_then(|held| held.get("VM.Audit")).is_some() {
            return Ok(());
        }
        let message = format!("the token has lost VM.Audit on {path}: machines of ours cannot be told from others");
        Err(Fault::new(Class::Unauthorized, "PERMISSION_MISSING", message).scope(Scope::Provider))
    }
}

fn gone(key: &MachineKey, id: &str) -> Fault {
    Fault::not_found("MACHINE_GONE", format!("VM {id} ({}) is gone", key.name)).scope(Scope::Machine)
}

/// An id as a number.
pub(crate) fn vmid(id: &str) -> Result<u32> {
    id.parse().map_err(|_| Fault::invalid("NO_VMID", format!("`{id}` is no VM id")))
}
