//! What tasks change, at the moment at which they change it.

use std::collections::BTreeMap;

use lab_wire::{Boot, GuestReport, MachineEvent, Media, Millis, Random};

use crate::Pve;
use crate::cloudinit;
use crate::config::Change;
use crate::drive::Drive;
use crate::property;
use crate::store::{Net, Running, Volume, is_indexed};

/// A clone in the making.
#[derive(Clone, Debug)]
pub(crate) struct Clone {
    pub source: u32,
    pub newid: u32,
    pub name: Option<String>,
    pub description: Option<String>,
    pub pool: Option<String>,
    pub storage: Option<String>,
    pub full: bool,
    pub target: String,
    /// The node that the task runs on.
    pub node: String,
}

/// A change.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Register the new VM, locked and empty.
    BeginClone(Clone),
    /// Make its disks and write its configuration.
    EndClone(Clone),
    /// Write a configuration.
    Configure(u32, Change),
    /// Grow a disk.
    Resize {
        vmid: u32,
        disk: String,
        size: String,
        digest: Option<String>,
    },
    /// Look whether a VM may start.
    CheckStart(u32),
    Start(u32),
    Stop(u32),
    /// Ask the guest to end; `forced` if it is stopped in the end in any case.
    Shutdown {
        vmid: u32,
        forced: bool,
    },
    Reset(u32),
    /// Look whether a VM may be destroyed, remove its disks, and leave nothing in its configuration but a lock.
    BeginDestroy {
        vmid: u32,
        unreferenced: bool,
    },
    /// Give the id back.
    EndDestroy(u32),
    BeginMigrate(u32),
    EndMigrate {
        vmid: u32,
        target: String,
    },
    /// Turn a VM into a template.
    Template(u32),
    /// Put an uploaded file into place.
    Store {
        volume: Volume,
        checksum: Option<(String, String)>,
    },
    DeleteVolume {
        volid: String,
        node: String,
    },
    /// Take the word that locks a configuration out of it.
    Unlock(u32),
    /// A node is back.
    NodeUp(String),
    /// Nothing: HA requests end at once.
    Nothing,
    /// Die with a text.
    Die(String),
    /// The worker is gone.
    Killed,
}

impl Pve {
    pub(crate) fn perform(
        &mut self,
        task: usize,
        effect: Effect,
        at: Millis,
        random: &mut Random,
    ) -> Result<(), String> {
        match effect {
            Effect::BeginClone(clone) => self.begin_clone(task, &clone),
            Effect::EndClone(clone) => self.end_clone(task, &clone, at, random),
            Effect::Configure(vmid, change) => self.configure(vmid, change, random),
            Effect::Resize { vmid, disk, size, digest } => self.resize(vmid, &disk, &size, digest.as_deref()),
            Effect::CheckStart(vmid) => self.check_start(vmid),
            Effect::Start(vmid) => self.start(vmid, at),
            Effect::Stop(vmid) => self.stop(vmid),
            Effect::Shutdown { vmid, forced } => match self.faults.shutdown_ignored && !forced {
                true => Err("VM quit/powerdown failed - got timeout".to_owned()),
                false => self.stop(vmid),
            },
            Effect::Reset(vmid) => {
                self.stop(vmid)?;
                self.start(vmid, at)
            }
            Effect::BeginDestroy { vmid, unreferenced } => self.begin_destroy(vmid, unreferenced),
            Effect::EndDestroy(vmid) => {
                self.forget(vmid);
                Ok(())
            }
            Effect::BeginMigrate(vmid) => {
                self.unlocked(vmid)?;
                self.set_lock(vmid, Some("migrate"))
            }
            Effect::EndMigrate { vmid, target } => {
                self.set_lock(vmid, None)?;
                self.vm_mut(vmid)?.node = target;
                Ok(())
            }
            Effect::Template(vmid) => self.make_template(vmid),
            Effect::Store { volume, checksum } => self.store_file(volume, checksum),
            Effect::DeleteVolume { volid, node } => {
                let settings = &self.settings;
                if self.store.remove_volume(settings, &volid, &node).is_none()
                    && let Some(task) = self.tasks.get_mut(task)
                {
                    task.log.push(format!("disk image '{volid}' does not exist"));
                }
                Ok(())
            }
            Effect::Unlock(vmid) => self.set_lock(vmid, None),
            Effect::NodeUp(node) => {
                self.node_up(&node, at);
                Ok(())
            }
            Effect::Nothing | Effect::Killed => Ok(()),
            Effect::Die(text) => Err(text),
        }
    }

    fn begin_clone(&mut self, task: usize, clone: &Clone) -> Result<(), String> {
        self.unlocked(clone.source)?;
        if self.store.vm(clone.newid).is_some() {
            let path = format!("/etc/pve/nodes/{}/qemu-server/{}.conf", clone.node, clone.newid);
            return Err(format!("close (rename) atomic file '{path}' failed: File exists"));
        }
        let config = BTreeMap::from([("lock".to_owned(), "clone".to_owned())]);
        self.store.register(clone.newid, &clone.node, config);
        if let Some(task) = self.tasks.get_mut(task) {
            task.half_clone = Some(clone.newid);
        }
        Ok(())
    }

    fn end_clone(&mut self, task: usize, clone: &Clone, at: Millis, random: &mut Random) -> Result<(), String> {
        let source = self.store.vm(clone.source).ok_or_else(|| self.missing(clone.source))?.clone();
        let mut config = source.config.clone();
        for key in ["template", "lock", "parent"] {
            config.remove(key);
        }
        config.retain(|key, _| !is_indexed(key, "unused"));
        for (key, mut drive) in source.drives() {
            let Some(storage) = drive.storage().map(str::to_owned) else { continue };
            if drive.cdrom() && !drive.cloudinit() {
                continue;
            }
            let target = clone.storage.clone().filter(|_| clone.full).unwrap_or(storage);
            let size = drive.size();
            let name = match drive.cloudinit() {
                true => format!("vm-{}-cloudinit", clone.newid),
                false => self.store.free_disk_name(&target, clone.newid, "vm"),
            };
            let parent = (!clone.full && !drive.cloudinit()).then(|| drive.file.clone());
            let used = if parent.is_some() { 0 } else { size };
            // A linked volume carries its base in its name, but for thin LVM, which hides the relation.
            let base = parent.as_deref().and_then(|base| base.split_once(':')).map(|(_, base)| base.to_owned());
            let thin = self.settings.storage(&target).is_some_and(|storage| storage.kind == "lvmthin");
            let name = base.filter(|_| !thin).map_or(name.clone(), |base| format!("{base}/{name}"));
            drive.file = self.allocate(&target, &clone.node, &name, used, clone.newid, parent, at)?;
            config.insert(key.to_owned(), drive.write());
        }
        for (key, value) in source.config.iter().filter(|(key, _)| is_indexed(key, "net")) {
            if let Some(mut net) = Net::parse(key, value) {
                net.mac = Some(mac(random));
                config.insert(key.clone(), net.write());
            }
        }
        let smbios = source.config.get("smbios1").and_then(|text| property::SMBIOS.parse("smbios1", text).ok());
        let mut smbios = smbios.unwrap_or_default();
        smbios.insert("uuid".to_owned(), random.uuid());
        config.insert("smbios1".to_owned(), property::join("", &smbios).trim_start_matches(',').to_owned());
        if config.contains_key("vmgenid") {
            config.insert("vmgenid".to_owned(), random.uuid());
        }
        let name = clone.name.clone().unwrap_or_else(|| format!("Copy-of-{}", source.name().replace(' ', "-")));
        config.insert("name".to_owned(), name);
        if let Some(description) = &clone.description {
            config.insert("description".to_owned(), description.clone());
        }
        let vm = self.vm_mut(clone.newid)?;
        vm.config = config;
        vm.node = clone.target.clone();
        vm.pool = clone.pool.clone();
        if let Some(task) = self.tasks.get_mut(task) {
            task.half_clone = None;
        }
        Ok(())
    }

    /// Makes a volume and returns its id.
    #[allow(clippy::too_many_arguments, reason = "a volume has that many sides")]
    pub(crate) fn allocate(
        &mut self,
        storage: &str,
        node: &str,
        name: &str,
        size: u64,
        vmid: u32,
        parent: Option<String>,
        at: Millis,
    ) -> Result<String, String> {
        let known = self.settings.storage(storage).ok_or_else(|| format!("storage '{storage}' does not exist"))?;
        if !known.content.iter().any(|content| content == "images") {
            return Err(format!("storage '{storage}' does not support content-type 'images'"));
        }
        let full = self.faults.full.contains(storage) || self.store.used(storage, node) + size > known.total;
        if full {
            return Err(format!("unable to create image: No space left on device on storage '{storage}'"));
        }
        let node = (!known.shared).then(|| node.to_owned());
        let volume = Volume {
            storage: storage.to_owned(),
            node,
            name: name.to_owned(),
            size,
            bytes: Vec::new(),
            vmid: Some(vmid),
            ctime: at / 1000,
            parent,
        };
        let id = volume.id();
        self.store.add_volume(volume);
        Ok(id)
    }

    fn resize(&mut self, vmid: u32, disk: &str, size: &str, digest: Option<&str>) -> Result<(), String> {
        let vm = self.store.vm(vmid).ok_or_else(|| self.missing(vmid))?;
        if digest.is_some_and(|digest| digest != vm.digest()) {
            return Err("checksum mismatch (file change by other user?)".to_owned());
        }
        self.unlocked(vmid)?;
        let found = vm.config.get(disk).and_then(|text| Drive::parse(disk, text));
        let mut drive = found.ok_or_else(|| format!("disk '{disk}' does not exist"))?;
        let node = vm.node.clone();
        if drive.cdrom() {
            return Err("you can't resize a cdrom".to_owned());
        }
        let old = drive.size();
        let new = match size.strip_prefix('+') {
            Some(more) => old + property::bytes(more).unwrap_or_default(),
            None => property::bytes(size).unwrap_or_default(),
        };
        if new < old {
            return Err("shrinking disks is not supported".to_owned());
        }
        let storage = drive.storage().unwrap_or_default().to_owned();
        let total = self.settings.storage(&storage).map(|storage| storage.total).unwrap_or_default();
        if new > old && (self.faults.full.contains(&storage) || self.store.used(&storage, &node) + new - old > total) {
            return Err(format!("resize failed: No space left on device on storage '{storage}'"));
        }
        if let Some(volume) = self.store.volume_mut(&self.settings, &drive.file, &node) {
            volume.size = new;
        }
        drive.rest.insert("size".to_owned(), property::size(new));
        self.vm_mut(vmid)?.config.insert(disk.to_owned(), drive.write());
        Ok(())
    }

    fn check_start(&mut self, vmid: u32) -> Result<(), String> {
        self.unlocked(vmid)?;
        let vm = self.store.vm(vmid).ok_or_else(|| self.missing(vmid))?;
        if vm.template() {
            return Err("you can't start a vm if it's a template".to_owned());
        }
        if vm.running.is_some() {
            return Err(format!("VM {vmid} already running"));
        }
        for (_, drive) in vm.drives().filter(|(_, drive)| drive.storage().is_some()) {
            if self.store.volume(&self.settings, &drive.file, &vm.node).is_none() {
                return Err(format!("volume '{}' does not exist", drive.file));
            }
        }
        Ok(())
    }

    pub(crate) fn start(&mut self, vmid: u32, at: Millis) -> Result<(), String> {
        let vm = self.store.vm(vmid).ok_or_else(|| self.missing(vmid))?;
        let seed = cloudinit::image(vm);
        let mut media = Vec::new();
        for (_, drive) in vm.drives().filter(|(_, drive)| drive.cdrom()) {
            let Some(volume) = self.store.volume(&self.settings, &drive.file, &vm.node) else { continue };
            media.push(Media::Iso(if drive.cloudinit() { seed.clone() } else { volume.bytes.clone() }));
        }
        let boot = Boot {
            id: vm.machine_id(),
            name: vm.name(),
            macs: vm.macs().iter().map(|mac| mac.to_lowercase()).collect(),
            cores: vm.cores(),
            memory_mib: vm.memory_mib(),
            media,
        };
        let (cores, memory_mib) = (boot.cores, boot.memory_mib);
        let vm = self.vm_mut(vmid)?;
        vm.guest = GuestReport::default();
        let pid = 40_000 + (vm.serial as u32 * 13) % 20_000;
        vm.running = Some(Running { since: at, pid, cores, memory_mib });
        self.events.push(MachineEvent::Started(boot));
        Ok(())
    }

    /// Powers a VM off; one that is off already stays so.
    pub(crate) fn stop(&mut self, vmid: u32) -> Result<(), String> {
        let vm = self.vm_mut(vmid)?;
        if vm.running.take().is_some() {
            vm.guest = GuestReport::default();
            let id = vm.machine_id();
            self.events.push(MachineEvent::Stopped { id });
        }
        Ok(())
    }

    fn begin_destroy(&mut self, vmid: u32, unreferenced: bool) -> Result<(), String> {
        self.unlocked(vmid)?;
        let vm = self.store.vm(vmid).ok_or_else(|| self.missing(vmid))?;
        if vm.protected() {
            return Err(format!("can't remove VM {vmid} - protection mode enabled"));
        }
        if vm.running.is_some() {
            return Err(format!("VM {vmid} is running - destroy failed"));
        }
        for (_, drive) in vm.drives() {
            if self.store.volumes().any(|volume| volume.parent.as_deref() == Some(drive.file.as_str())) {
                return Err(format!("base volume '{}' is still in use by linked cloned", drive.file));
            }
        }
        let unused = vm.config.iter().filter(|(key, _)| is_indexed(key, "unused")).map(|(_, volid)| volid.clone());
        let owned = vm.drives().filter(|(_, drive)| !drive.cdrom() || drive.cloudinit()).map(|(_, drive)| drive.file);
        let (gone, node): (Vec<String>, String) = (unused.chain(owned).collect(), vm.node.clone());
        for volid in gone {
            self.store.remove_volume(&self.settings, &volid, &node);
        }
        if unreferenced {
            self.store.remove_volumes_of(vmid);
        }
        self.vm_mut(vmid)?.config = BTreeMap::from([("lock".to_owned(), "destroyed".to_owned())]);
        Ok(())
    }

    /// Takes a VM off the list and tells whoever runs its machine.
    pub(crate) fn forget(&mut self, vmid: u32) {
        if let Some(vm) = self.store.unregister(vmid) {
            if vm.running.is_some() {
                self.events.push(MachineEvent::Stopped { id: vm.machine_id() });
            }
            self.events.push(MachineEvent::Destroyed { id: vm.machine_id() });
        }
    }

    fn make_template(&mut self, vmid: u32) -> Result<(), String> {
        self.unlocked(vmid)?;
        let vm = self.vm_mut(vmid)?;
        if vm.running.is_some() {
            return Err("you can't convert a template if VM is running".to_owned());
        }
        vm.config.insert("template".to_owned(), "1".to_owned());
        Ok(())
    }

    fn store_file(&mut self, volume: Volume, checksum: Option<(String, String)>) -> Result<(), String> {
        if self.faults.full.contains(&volume.storage) {
            return Err(format!("import failed: write error: No space left on device on storage '{}'", volume.storage));
        }
        if let Some((algorithm, wanted)) = checksum {
            let got = crate::checksum::hex(&algorithm, &volume.bytes);
            if !got.eq_ignore_ascii_case(&wanted) {
                return Err(format!("checksum mismatch: got '{got}' != expect '{wanted}'"));
            }
        }
        self.store.add_volume(volume);
        Ok(())
    }

    /// Refuses a VM that is missing or whose configuration is locked.
    pub(crate) fn unlocked(&self, vmid: u32) -> Result<(), String> {
        let vm = self.store.vm(vmid).ok_or_else(|| self.missing(vmid))?;
        match vm.lock() {
            Some(lock) => Err(format!("VM is locked ({lock})")),
            None => Ok(()),
        }
    }

    fn set_lock(&mut self, vmid: u32, lock: Option<&str>) -> Result<(), String> {
        let config = &mut self.vm_mut(vmid)?.config;
        match lock {
            Some(lock) => config.insert("lock".to_owned(), lock.to_owned()),
            None => config.remove("lock"),
        };
        Ok(())
    }

    pub(crate) fn vm_mut(&mut self, vmid: u32) -> Result<&mut crate::store::Vm, String> {
        let missing = self.missing(vmid);
        self.store.vm_mut(vmid).ok_or(missing)
    }

    /// The text for a VM that does not exist, as the first node says it.
    pub(crate) fn missing(&self, vmid: u32) -> String {
        let node = self.settings.nodes.first().map(|node| node.name.as_str()).unwrap_or_default();
        missing_on(node, vmid)
    }
}

/// The text for a VM that a node does not know.
pub(crate) fn missing_on(node: &str, vmid: u32) -> String {
    format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
}

/// A random MAC with the prefix that Proxmox owns.
pub(crate) fn mac(random: &mut Random) -> String {
    random.bytes(3).iter().fold("BC:24:11".to_owned(), |mac, byte| format!("{mac}:{byte:02X}"))
}
