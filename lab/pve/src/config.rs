//! Writing a VM's configuration: what a value becomes, and what happens to the volume that a drive leaves.

use std::collections::BTreeMap;

use lab_wire::Random;

use crate::Pve;
use crate::drive::{Drive, is_drive};
use crate::effects::mac;
use crate::form::percent_decode;
use crate::formats::split;
use crate::property;
use crate::store::{Net, Vm, is_indexed};

/// What a request changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub set: BTreeMap<String, String>,
    pub delete: Vec<String>,
    /// Remove the volumes of deleted drives instead of keeping them as unused.
    pub force: bool,
}

impl Pve {
    pub(crate) fn configure(&mut self, vmid: u32, change: Change, random: &mut Random) -> Result<(), String> {
        for key in &change.delete {
            self.delete_key(vmid, key, change.force)?;
        }
        for (key, value) in change.set {
            if is_drive(&key) {
                self.set_drive(vmid, &key, &value)?;
                continue;
            }
            let value = normal(&key, value, random)?;
            self.vm_mut(vmid)?.config.insert(key, value);
        }
        Ok(())
    }

    fn delete_key(&mut self, vmid: u32, key: &str, force: bool) -> Result<(), String> {
        if is_drive(key) {
            self.leave_drive(vmid, key, force)?;
            let vm = self.vm_mut(vmid)?;
            edit_boot(vm, |order| order.retain(|entry| entry != key));
        } else if is_indexed(key, "unused") {
            let vm = self.vm_mut(vmid)?;
            let node = vm.node.clone();
            if let Some(volid) = vm.config.get(key).cloned() {
                self.store.remove_volume(&self.settings, &volid, &node);
            }
        }
        self.vm_mut(vmid)?.config.remove(key);
        Ok(())
    }

    /// What happens to the volume of a drive that is removed or replaced: a cloud-init drive goes, an image stays where
    /// it is, a disk is kept as unused unless forced.
    fn leave_drive(&mut self, vmid: u32, key: &str, force: bool) -> Result<(), String> {
        let vm = self.vm_mut(vmid)?;
        let node = vm.node.clone();
        let Some(old) = vm.config.get(key).and_then(|text| Drive::parse(key, text)) else { return Ok(()) };
        if vm.protected() {
            return Err(format!("can't remove drive '{key}' - protection mode enabled"));
        }
        if old.cloudinit() || (force && !old.cdrom()) {
            self.store.remove_volume(&self.settings, &old.file, &node);
        } else if !old.cdrom() && old.storage().is_some() {
            let free = (0..256).map(|index| format!("unused{index}")).find(|name| !vm.config.contains_key(name));
            if let Some(free) = free {
                vm.config.insert(free, old.file);
            }
        }
        Ok(())
    }

    fn set_drive(&mut self, vmid: u32, key: &str, text: &str) -> Result<(), String> {
        let mut drive = Drive::parse(key, text).ok_or_else(|| format!("unable to parse drive options '{text}'"))?;
        let vm = self.store.vm(vmid).ok_or_else(|| self.missing(vmid))?;
        let node = vm.node.clone();
        let old = vm.config.get(key).and_then(|text| Drive::parse(key, text));
        let new_cdrom = drive.cdrom();
        if let Some((storage, name)) = drive.file.clone().split_once(':') {
            let now = self.now;
            let gigabytes = name.parse::<f64>().ok();
            if name == "cloudinit" {
                let name = format!("vm-{vmid}-cloudinit");
                drive.file = self.allocate(storage, &node, &name, 4 << 20, vmid, None, now)?;
                drive.rest.insert("media".to_owned(), "cdrom".to_owned());
            } else if let Some(gigabytes) = gigabytes {
                let size = (gigabytes * f64::from(1 << 30)) as u64;
                let name = self.store.free_disk_name(storage, vmid, "vm");
                drive.file = self.allocate(storage, &node, &name, size, vmid, None, now)?;
                drive.rest.insert("size".to_owned(), property::size(size));
            } else {
                if self.settings.storage(storage).is_none() {
                    return Err(format!("storage '{storage}' does not exist"));
                }
                let volume = self.store.volume(&self.settings, &drive.file, &node);
                let size = volume.ok_or_else(|| format!("volume '{}' does not exist", drive.file))?.size;
                drive.rest.insert("size".to_owned(), property::size(size));
            }
        }
        if old.as_ref().is_some_and(|old| old.file != drive.file) {
            self.leave_drive(vmid, key, false)?;
        }
        let vm = self.vm_mut(vmid)?;
        vm.config.insert(key.to_owned(), drive.write());
        if new_cdrom && old.is_none() {
            edit_boot(vm, |order| order.push(key.to_owned()));
        }
        Ok(())
    }
}

/// Edits `boot: order=…`; the old form without an order implies every CD-ROM and stays as it is.
fn edit_boot(vm: &mut Vm, edit: impl FnOnce(&mut Vec<String>)) {
    let Some(order) = vm.config.get("boot").and_then(|boot| boot.strip_prefix("order=")) else { return };
    let mut order: Vec<String> = order.split(';').filter(|entry| !entry.is_empty()).map(str::to_owned).collect();
    edit(&mut order);
    vm.config.insert("boot".to_owned(), format!("order={}", order.join(";")));
}

/// What a value becomes on its way into the file.
fn normal(key: &str, value: String, random: &mut Random) -> Result<String, String> {
    if is_indexed(key, "net") {
        let mut net = Net::parse(key, &value).ok_or_else(|| format!("unable to parse network options '{value}'"))?;
        net.mac = Some(net.mac.map_or_else(|| mac(random), |mac| mac.to_uppercase()));
        return Ok(net.write());
    }
    Ok(match key {
        // Tags are folded, sorted and made unique unless the data centre's tag style says otherwise.
        "tags" => {
            let mut tags: Vec<String> = split(&value).map(str::to_lowercase).collect();
            tags.sort();
            tags.dedup();
            tags.join(";")
        }
        "sshkeys" => {
            let keys = percent_decode(&value);
            let good = |line: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| line.starts_with(kind));
            if !keys.lines().map(str::trim).filter(|line| !line.is_empty()).all(good) {
                return Err("SSH public key validation error".to_owned());
            }
            value
        }
        "acpi" | "autostart" | "ciupgrade" | "freeze" | "kvm" | "localtime" | "numa" | "onboot" | "protection"
        | "reboot" | "tablet" | "tdf" | "template" => {
            crate::params::boolean(&value).map_or(value, |on| u8::from(on).to_string())
        }
        _ => value,
    })
}
