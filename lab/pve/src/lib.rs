//! A Proxmox VE cluster as a state machine.
//!
//! It behaves like Proxmox VE 8.2, 8.4 or 9.1 towards whoever makes machines with an API token, down to what breaks naive
//! clients: both envelopes, texts of errors, tasks that take time and hold locks, an index that is stale for ten
//! seconds, an upload parser that knows one order of fields, privileges checked call by call.
//!
//! - [`Settings`]: what the cluster is made of, and how fast it is.
//! - [`Pve`]: the machine. [`lab_wire::Server`] serves it, [`lab_wire::Hypervisor`] lets its machines boot.
//! - [`Fault`]: what goes wrong on request ([`Pve::fault`]).
//! - [`Pve::vms`], [`Pve::volumes`], [`Pve::tasks`], [`Pve::log`]: what really is, for whoever judges a test.
//!
//! Inside: `routes` has one file per family of endpoints and the table of all of them with their parameters; `params`,
//! `formats` and `property` check values; `auth` decides; `tasks`, `engine`, `effects` and `locks` are what happens after
//! the answer; `answer` puts outcomes into envelopes.
//!
//! A request is answered with the outcome known at once: where the real server blocks (a held lock, a slow node) the
//! answer is held back, see [`lab_wire::Answer::At`].

mod answer;
mod auth;
mod checksum;
mod cloudinit;
mod config;
mod drive;
mod effects;
mod engine;
mod faults;
mod form;
mod formats;
mod hypervisor;
mod inspect;
mod iso;
mod locks;
mod multipart;
mod params;
mod property;
mod routes;
mod seeding;
mod server;
mod settings;
mod store;
mod tasks;
mod trouble;

use lab_wire::{MachineEvent, Millis};

pub use auth::{AclEntry, Identity, Token};
pub use faults::{Fault, On, TaskFault};
pub use inspect::LogEntry;
pub use locks::Lock;
pub use params::{Kind, Param};
pub use property::Shape;
pub use routes::{Served, served};
pub use settings::{
    Durations, Node, POOL, ROOT_TOKEN, ROOT_TOKEN_SECRET, Release, Settings, Storage, TEMPLATE_POOL, TOKEN,
    TOKEN_SECRET, Template,
};
pub use store::{Broadcast, Running, Vm, Volume};
pub use tasks::Task;

/// The cluster.
pub struct Pve {
    pub(crate) settings: Settings,
    pub(crate) store: store::Store,
    pub(crate) tasks: tasks::Tasks,
    pub(crate) locks: locks::Locks,
    pub(crate) faults: faults::Faults,
    pub(crate) log: Vec<LogEntry>,
    pub(crate) events: Vec<MachineEvent>,
    /// The last time that the machine was told.
    pub(crate) now: Millis,
    pub(crate) next_broadcast: Millis,
}
