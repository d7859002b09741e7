//! Machines that boot from what was delivered to them, and from nothing else.
//!
//! `docs/lab-machines.md` says what a machine interprets. The way of a boot through these files:
//!
//! - [`Machines`] is told by a hypervisor that a machine started ([`lab_wire::MachineEvent`]) and keeps its [`Machine`].
//! - [`guest`]: from power on to power off. It finds the first-boot data ([`seed`], on a CD by [`iso`]), sets up the
//!   [`network`], and carries out the user data ([`cloud_config`], [`script`]) on its [`disk`].
//! - A `kubeadm join` in there is read ([`join_config`]) and done ([`discovery`], [`join`]) over a [`transport`].
//! - [`kubelet`] registers the node and keeps its lease.
//! - Whatever goes wrong is a [`Failure`], on the console and in the machine's [`State`].

pub mod api;
pub mod cloud_config;
pub mod discovery;
pub mod disk;
mod failure;
pub mod guest;
pub mod iso;
pub mod join;
pub mod join_config;
pub mod kubelet;
pub mod network;
mod registry;
pub mod script;
pub mod seed;
mod timings;
pub mod transport;

use std::sync::Arc;

use lab_wire::{GuestAddress, GuestReport, Millis};

pub use disk::Disk;
pub use failure::Failure;
pub use registry::{Machines, Options};
pub use timings::Timings;

/// Tells a hypervisor what a guest reports: the machine's id and the report.
pub type Reporter = Arc<dyn Fn(&str, GuestReport) + Send + Sync>;

/// How far a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Switched off.
    Off,
    /// On its way to its first-boot data.
    Booting,
    /// Up, with nothing to join.
    Running,
    /// In `kubeadm join`.
    Joining,
    /// Its node is registered and its kubelet runs.
    Joined,
    /// It gave up.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// What can be seen of a machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Label of its hypervisor.
    pub hypervisor: String,
    /// Its id there.
    pub id: String,
    /// Its name there.
    pub name: String,
    /// How far it is.
    pub state: State,
    /// Everything it said, with the times.
    pub console: Vec<(Millis, String)>,
    /// Its addresses, without the loopback.
    pub addresses: Vec<GuestAddress>,
    /// What it keeps when it is off.
    pub disk: Disk,
}

impl Machine {
    /// What of the first-boot data is still on its disk, as paths.
    pub fn leftovers(&self) -> Vec<String> {
        self.disk.leftovers()
    }

    /// The console as text.
    pub fn console_text(&self) -> String {
        self.console.iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}
