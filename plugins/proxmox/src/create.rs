//! Making a machine: reserve a number, clone, prove, configure. A call that was killed goes on from what is there.

use agentkube_sdk::cluster::Pool;
use agentkube_sdk::ledger::{self, Item};
use agentkube_sdk::machine::{Instance, Lifecycle, MachineKey};
use agentkube_sdk::permits::{self, Permit};
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait::MARGIN_MS;
use agentkube_sdk::{clock, log, random, reservations};

use crate::api::{at, start};
use crate::config::{Choice, CloneMode};
use crate::find::{Machine, Sight, vmid};
use crate::mark::Mark;
use crate::place::{self, Place};
use crate::{MACHINE, Proxmox};

impl Proxmox {
    /// A stopped machine of this pool's shape.
    pub(crate) async fn make(&self, call: &Call, key: &MachineKey, pool: &Pool, found: bool) -> Result<Instance> {
        let choice = self.config.choice(pool)?;
        let mut item = ledger::intend(MACHINE, &key.name, "").await?;
        let mut machine = None;
        if found || !item.is_fresh() {
            let _permit = self.permit_of_a_running_clone(&item, &choice).await?;
            machine = self.locate(call, key, Some(item.clone())).await?;
        }
        let own = machine.as_ref().map(|machine| machine.vmid.to_string());
        if item.is_live() && item.external_id != own {
            // The one that was known vanished; what is made now, or was put back under another number, is another machine.
            item.gone().await?;
            item = ledger::intend(MACHINE, &key.name, "").await?;
        }
        let settled = machine.is_none() || !item.is_fresh();
        let machine = match machine {
            Some(machine) => machine,
            None => self.cloned(call, key, &choice, &item).await?,
        };
        item.created(&machine.vmid.to_string()).await?;
        self.not_stuck(call, &machine, settled).await?;
        let machine = self.configure(call, key, pool, &choice, item.entry, machine).await?;
        Ok(self.instance(&machine, Lifecycle::Stopped, Vec::new()))
    }

    /// A clone of the template with the machine's mark. There was none when this began.
    async fn cloned(&self, call: &Call, key: &MachineKey, choice: &Choice, item: &Item) -> Result<Machine> {
        let range = &self.config.vmid_range;
        loop {
            let number = reservations::take(range, item.entry).await?;
            let vmid = vmid(&number)?;
            let all = self.api.resources(None).await?;
            if all.iter().any(|entry| entry.vmid == Some(u64::from(vmid))) {
                self.burn(item, &number).await?;
                continue;
            }
            let place = place::choose(&all, choice, key.index)?;
            let Err(fault) = self.clone_once(call, key, choice, item, &place, vmid).await else {
                return self.fresh(call, key, &place, vmid).await;
            };
            let doubtful = fault.outcome == Outcome::Unknown;
            if fault.class == Class::Busy && !doubtful {
                self.rest(call, fault).await?;
                continue;
            }
            if !doubtful && fault.code != "VMID_TAKEN" {
                return Err(fault);
            }
            if doubtful {
                let item = ledger::intend(MACHINE, &key.name, "").await?;
                self.settle(call, item).await?;
            }
            match self.look(&call.owner, key, vmid).await? {
                Sight::Ours(machine) => return Ok(*machine),
                Sight::Absent if fault.code == "VMID_TAKEN" => {}
                Sight::Absent => return Err(fault.outcome(Outcome::NotApplied)),
                // Another's, or half made by a worker that was killed: it is not ours to touch.
                Sight::Foreign(_) | Sight::Remains(_) | Sight::Hidden => self.burn(item, &number).await?,
            }
        }
    }

    async fn clone_once(
        &self,
        call: &Call,
        key: &MachineKey,
        choice: &Choice,
        item: &Item,
        place: &Place,
        vmid: u32,
    ) -> Result<()> {
        let mark = Mark::new(&call.owner, key);
        let full = choice.clone == CloneMode::Full;
        let mut form = vec![
            ("newid", vmid.to_string()),
            ("name", key.name.clone()),
            ("description", mark.description(&call.owner)?),
            ("full", u8::from(full).to_string()),
        ];
        form.extend(self.config.pool.clone().map(|pool| ("pool", pool)));
        form.extend(choice.storage.clone().map(|storage| ("storage", storage)));
        if place.target != place.source {
            form.push(("target", place.target.clone()));
        }
        let _permit = self.permit(place.template, choice).await?;
        let path = at!("nodes", place.source, "qemu", place.template, "clone");
        let upid = start(self.api.change("POST", path, item.entry).form(form)).await?;
        log::info(
            "cloning",
            &[("machine", &key.name), ("vmid", &vmid), ("template", &place.template), ("node", &place.target)],
        );
        match choice.clone {
            CloneMode::Full => self.copied(call, upid, place.template).await,
            CloneMode::Linked => self.done(call, upid).await,
        }
    }

    /// The machine that was cloned just now.
    async fn fresh(&self, call: &Call, key: &MachineKey, place: &Place, vmid: u32) -> Result<Machine> {
        let mark = Mark::new(&call.owner, key);
        if let Some(config) =
            self.api.config(&place.target, vmid).await?.filter(|config| config.mark().as_ref() == Some(&mark))
        {
            return Ok(Machine { vmid, node: place.target.clone(), config });
        }
        if let Sight::Ours(machine) = self.look(&call.owner, key, vmid).await? {
            return Ok(*machine);
        }
        let message = format!(
            "VM {vmid} was cloned and the token may not see it: name in `pool` a pool on which it has VM.Audit"
        );
        Err(Fault::new(Class::Unauthorized, "CLONE_INVISIBLE", message).scope(Scope::Provider))
    }

    /// What cannot be cloned twice at once: the template, the storage.
    async fn permit(&self, template: u32, choice: &Choice) -> Result<Permit> {
        let template = self.config.permit(format!("template/{template}"));
        let storage = choice.storage.as_ref().map(|storage| self.config.permit(format!("storage/{storage}")));
        let names: Vec<&str> = storage.iter().map(String::as_str).chain([template.as_str()]).collect();
        permits::take(&names).await
    }

    /// A clone that a killed call began still uses what its permit stands for.
    async fn permit_of_a_running_clone(&self, item: &Item, choice: &Choice) -> Result<Option<Permit>> {
        let request = item.in_doubt.as_ref().or(item.last_answer.as_ref().map(|answer| &answer.request));
        let template = request.and_then(|request| request.strip_suffix("/clone")?.rsplit('/').next()?.parse().ok());
        match template.filter(|_| !item.is_live()) {
            Some(template) => self.permit(template, choice).await.map(Some),
            None => Ok(None),
        }
    }

    /// The number is another's, for good.
    async fn burn(&self, item: &Item, number: &str) -> Result<()> {
        log::warn("the number is not free; the next one is tried", &[("vmid", &number), ("machine", &item.name)]);
        reservations::reject(&self.config.vmid_range, item.entry, number).await
    }

    /// Waits until a lock may be free again, or gives up shortly before the deadline.
    async fn rest(&self, call: &Call, fault: Fault) -> Result<()> {
        let pause = self.config.timings.lock_retry_ms;
        // Between half and one and a half of it, so that those who met do not meet again.
        let pause = pause / 2 + random::below(pause.max(1));
        if clock::now() + pause + MARGIN_MS > call.deadline_ms {
            return Err(fault);
        }
        log::info("a lock was held; trying again", &[("fault", &fault), ("in-ms", &pause)]);
        clock::sleep(pause).await;
        Ok(())
    }
}
