//! What the cluster holds: VMs with their configuration, and volumes.

use std::collections::BTreeMap;

use lab_wire::{GuestReport, Millis};
use sha1::{Digest, Sha1};

use crate::drive::Drive;
use crate::property;
use crate::settings::Settings;

/// A VM or template.
#[derive(Clone, Debug)]
pub struct Vm {
    /// Its id, reused once the VM is gone.
    pub vmid: u32,
    /// The node that it is registered on.
    pub node: String,
    /// Counts every VM ever made, so that two VMs with one id can be told apart.
    pub serial: u64,
    /// The configuration file.
    pub config: BTreeMap<String, String>,
    /// The pool that it belongs to.
    pub pool: Option<String>,
    /// What runs, if it runs.
    pub running: Option<Running>,
    /// Whether the HA manager starts and stops it.
    pub ha: bool,
    /// What the last broadcast said about it; nothing for a VM newer than that.
    pub broadcast: Option<Broadcast>,
    /// What its guest last reported.
    pub guest: GuestReport,
    /// Commands that the guest agent ran; the process id is the position.
    pub executed: Vec<Vec<String>>,
}

/// A running VM process.
#[derive(Clone, Debug)]
pub struct Running {
    /// Since when.
    pub since: Millis,
    /// Its process id.
    pub pid: u32,
    /// Cores that it was started with.
    pub cores: u32,
    /// Memory that it was started with, in MiB.
    pub memory_mib: u64,
}

/// What nodes tell each other about a VM every ten seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Its name then.
    pub name: String,
    /// Whether it ran then.
    pub running: bool,
}

impl Vm {
    /// Id towards the machine that boots in it: never reused.
    pub fn machine_id(&self) -> String {
        format!("{}.{}", self.vmid, self.serial)
    }

    /// Its name, made up from the id while there is none.
    pub fn name(&self) -> String {
        self.config.get("name").cloned().unwrap_or_else(|| format!("VM {}", self.vmid))
    }

    /// Whether it is a template.
    pub fn template(&self) -> bool {
        self.config.get("template").is_some_and(|value| value == "1")
    }

    /// Whether it must not be removed.
    pub fn protected(&self) -> bool {
        self.config.get("protection").is_some_and(|value| value == "1")
    }

    /// The lock that stands in its configuration.
    pub fn lock(&self) -> Option<&str> {
        self.config.get("lock").map(String::as_str)
    }

    /// Cores over all sockets.
    pub fn cores(&self) -> u32 {
        let number = |key: &str| self.config.get(key).and_then(|value| value.parse::<u32>().ok()).unwrap_or(1);
        number("cores") * number("sockets")
    }

    /// Memory in MiB.
    pub fn memory_mib(&self) -> u64 {
        let memory = self.config.get("memory").and_then(|value| property::MEMORY.parse("memory", value).ok());
        memory.and_then(|keys| keys.get("current")?.parse().ok()).unwrap_or(512)
    }

    /// Whether the guest agent is switched on in its configuration.
    pub fn agent(&self) -> bool {
        let agent = self.config.get("agent").and_then(|value| property::AGENT.parse("agent", value).ok());
        agent.is_some_and(|keys| keys.get("enabled").is_some_and(|value| value == "1"))
    }

    /// Its drives in the order of their buses.
    pub fn drives(&self) -> impl Iterator<Item = (&str, Drive)> {
        self.config.iter().filter_map(|(key, value)| Some((key.as_str(), Drive::parse(key, value)?)))
    }

    /// Size of its first disk in bytes.
    pub fn disk(&self) -> u64 {
        self.drives().find(|(_, drive)| !drive.cdrom()).map(|(_, drive)| drive.size()).unwrap_or_default()
    }

    /// MACs of its network cards, as written in the configuration.
    pub fn macs(&self) -> Vec<String> {
        let nets = self.config.iter().filter(|(key, _)| is_indexed(key, "net"));
        nets.filter_map(|(key, value)| Net::parse(key, value)?.mac).collect()
    }

    /// Digest of the configuration file.
    pub fn digest(&self) -> String {
        let mut hash = Sha1::new();
        for (key, value) in &self.config {
            hash.update(format!("{key}: {value}\n"));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A network card.
#[derive(Clone, Debug)]
pub struct Net {
    /// Model, such as `virtio`.
    pub model: String,
    /// Its MAC.
    pub mac: Option<String>,
    /// Everything else.
    pub rest: BTreeMap<String, String>,
}

impl Net {
    /// Reads `netN`.
    pub fn parse(key: &str, text: &str) -> Option<Net> {
        let mut keys = property::NET.parse(key, text).ok()?;
        let alias = property::MODELS.iter().find(|model| keys.contains_key(**model));
        let (model, mac) = match alias {
            Some(model) => ((*model).to_owned(), keys.remove(*model)),
            None => (keys.remove("model")?, keys.remove("macaddr")),
        };
        Some(Net { model, mac, rest: keys })
    }

    /// Writes it the way it stands in the configuration.
    pub fn write(&self) -> String {
        let mac = self.mac.clone().unwrap_or_default();
        property::join(&format!("{}={mac}", self.model), &self.rest)
    }
}

/// Whether `key` is `stem` and a number.
pub fn is_indexed(key: &str, stem: &str) -> bool {
    key.strip_prefix(stem).is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
}

/// A volume on a storage.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Storage id.
    pub storage: String,
    /// The node of a local storage.
    pub node: Option<String>,
    /// Name within the storage, such as `iso/seed.iso` or `vm-104-disk-0`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Content, of files.
    pub bytes: Vec<u8>,
    /// The VM that it belongs to.
    pub vmid: Option<u32>,
    /// When it was made, in seconds since 1970.
    pub ctime: u64,
    /// The volume that a linked clone stands on.
    pub parent: Option<String>,
}

impl Volume {
    /// `storage:name`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.storage, self.name)
    }

    /// Content type.
    pub fn content(&self) -> &'static str {
        match self.name.split_once('/').map(|(folder, _)| folder) {
            Some("iso") => "iso",
            Some("vztmpl") => "vztmpl",
            Some("import") => "import",
            _ => "images",
        }
    }

    /// Format as listings tell it.
    pub fn format(&self) -> &'static str {
        match self.content() {
            "iso" => "iso",
            "vztmpl" => "tgz",
            _ => "raw",
        }
    }
}

/// All VMs and volumes.
#[derive(Clone, Debug, Default)]
pub struct Store {
    vms: BTreeMap<u32, Vm>,
    volumes: BTreeMap<(String, Option<String>, String), Volume>,
    made: u64,
}

impl Store {
    /// Every VM, by id.
    pub fn vms(&self) -> impl Iterator<Item = &Vm> {
        self.vms.values()
    }

    pub(crate) fn vms_mut(&mut self) -> impl Iterator<Item = &mut Vm> {
        self.vms.values_mut()
    }

    /// One VM.
    pub fn vm(&self, vmid: u32) -> Option<&Vm> {
        self.vms.get(&vmid)
    }

    pub(crate) fn vm_mut(&mut self, vmid: u32) -> Option<&mut Vm> {
        self.vms.get_mut(&vmid)
    }

    /// Registers a VM under an id that is free.
    pub(crate) fn register(&mut self, vmid: u32, node: &str, config: BTreeMap<String, String>) -> &mut Vm {
        self.made += 1;
        let vm = Vm {
            vmid,
            node: node.to_owned(),
            serial: self.made,
            config,
            pool: None,
            running: None,
            ha: false,
            broadcast: None,
            guest: GuestReport::default(),
            executed: Vec::new(),
        };
        self.vms.entry(vmid).insert_entry(vm).into_mut()
    }

    pub(crate) fn unregister(&mut self, vmid: u32) -> Option<Vm> {
        self.vms.remove(&vmid)
    }

    /// Every volume.
    pub fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values()
    }

    /// A volume as one node sees it.
    pub fn volume(&self, settings: &Settings, volid: &str, node: &str) -> Option<&Volume> {
        self.volumes.get(&key(settings, volid, node)?)
    }

    pub(crate) fn volume_mut(&mut self, settings: &Settings, volid: &str, node: &str) -> Option<&mut Volume> {
        self.volumes.get_mut(&key(settings, volid, node)?)
    }

    pub(crate) fn add_volume(&mut self, volume: Volume) {
        self.volumes.insert((volume.storage.clone(), volume.node.clone(), volume.name.clone()), volume);
    }

    pub(crate) fn remove_volume(&mut self, settings: &Settings, volid: &str, node: &str) -> Option<Volume> {
        self.volumes.remove(&key(settings, volid, node)?)
    }

    pub(crate) fn remove_volumes_of(&mut self, vmid: u32) {
        self.volumes.retain(|_, volume| volume.vmid != Some(vmid));
    }

    /// A disk name that is free on a storage.
    pub(crate) fn free_disk_name(&self, storage: &str, vmid: u32, prefix: &str) -> String {
        let own = |volume: &Volume| volume.name.rsplit('/').next().unwrap_or_default().to_owned();
        let taken = |name: &str| self.volumes.values().any(|v| v.storage == storage && own(v) == name);
        (0..).map(|index| format!("{prefix}-{vmid}-disk-{index}")).find(|name| !taken(name)).unwrap_or_default()
    }

    /// Bytes used on a storage, as one node sees it.
    pub fn used(&self, storage: &str, node: &str) -> u64 {
        let here = |volume: &&Volume| volume.storage == storage && volume.node.as_deref().is_none_or(|n| n == node);
        self.volumes.values().filter(here).map(|volume| volume.size).sum()
    }
}

fn key(settings: &Settings, volid: &str, node: &str) -> Option<(String, Option<String>, String)> {
    let (storage, name) = volid.split_once(':')?;
    let shared = settings.storage(storage)?.shared;
    Some((storage.to_owned(), (!shared).then(|| node.to_owned()), name.to_owned()))
}
