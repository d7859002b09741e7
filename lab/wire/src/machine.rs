//! The seam between a hypervisor (Proxmox VE, the toy cloud) and the machines that boot on it.

use std::collections::BTreeMap;

use crate::{Millis, Server};

/// What a machine finds when it starts.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The machine's id on its hypervisor: stable for its life, never reused within one lab.
    pub id: String,
    /// The machine's name there.
    pub name: String,
    /// MAC addresses of its network cards, lower case with colons.
    pub macs: Vec<String>,
    /// CPU cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// What it can read its first-boot data from.
    pub media: Vec<Media>,
}

/// Where a machine can find first-boot data.
#[derive(Clone, Debug)]
pub enum Media {
    /// A CD-ROM with the given bytes.
    Iso(Vec<u8>),
    /// A metadata service that hands out user data and a local host name.
    Metadata {
        /// The user data, as delivered.
        user_data: Vec<u8>,
        /// `local-hostname`.
        hostname: String,
    },
}

/// What happened to a machine, as its hypervisor saw it.
#[derive(Clone, Debug)]
pub enum MachineEvent {
    /// It was powered on (also after a stop: then the machine remembers what it did before).
    Started(Boot),
    /// It was powered off.
    Stopped {
        /// Which machine.
        id: String,
    },
    /// It and its disks are gone.
    Destroyed {
        /// Which machine.
        id: String,
    },
}

/// One address that a guest reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestAddress {
    /// Interface name, such as `eth0`.
    pub interface: String,
    /// MAC of that interface.
    pub mac: String,
    /// The address, without prefix.
    pub address: String,
    /// Prefix length.
    pub prefix: u8,
}

/// What runs inside a machine tells its hypervisor.
#[derive(Clone, Debug, Default)]
pub struct GuestReport {
    /// Whether the guest agent answers.
    pub agent: bool,
    /// Host name inside the guest.
    pub hostname: String,
    /// Its addresses.
    pub addresses: Vec<GuestAddress>,
    /// Logs on its disk that its agent can read, by path.
    pub logs: BTreeMap<String, Vec<u8>>,
}

/// A server whose machines boot.
pub trait Hypervisor: Server {
    /// What happened since the last call, oldest first.
    fn machine_events(&mut self) -> Vec<MachineEvent>;

    /// A guest reports about itself; unknown machines are ignored.
    fn guest_report(&mut self, id: &str, report: GuestReport, now: Millis);
}
