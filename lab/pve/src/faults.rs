//! The switchboard: what goes wrong on request.

use std::collections::{BTreeMap, BTreeSet};

use crate::locks::Lock;

/// Which requests or how many tasks a fault hits.
#[derive(Clone, Debug)]
pub struct On {
    /// Upper-case method; any when empty.
    pub method: String,
    /// What the path contains; any when empty.
    pub path: String,
    /// How many of them it hits.
    pub times: u32,
}

impl On {
    /// The next `times` requests with this method whose path contains `path`.
    pub fn new(method: &str, path: &str, times: u32) -> Self {
        On { method: method.to_owned(), path: path.to_owned(), times }
    }

    fn hits(&mut self, method: &str, path: &str) -> bool {
        let hit = self.times > 0
            && (self.method.is_empty() || self.method == method)
            && (self.path.is_empty() || path.contains(&self.path));
        if hit {
            self.times -= 1;
        }
        hit
    }
}

/// What happens to a task.
#[derive(Clone, Debug)]
pub enum TaskFault {
    /// Its end comes so many milliseconds later (before scaling).
    Slow(u64),
    /// It dies with this text instead of its last effect.
    Fails(String),
    /// It ends with `WARNINGS: 1`.
    Warns,
    /// Its worker is killed before its last effect: `unexpected status`, nothing is cleaned up.
    Killed,
}

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another fault happens just before the request that this hits, each time that it does. VM 0 in it is the one in the path.
    When(On, Box<Fault>),
    /// The effect happens, the connection is closed without an answer.
    DropReply(On),
    /// Nothing happens, the answer is this status and text: 500, 503, 595 …
    Status(On, u16, String),
    /// The effect happens, the forwarding node gives up after 30 s with 596.
    ProxyTimeout(On),
    /// The next `times` tasks of a type.
    Task {
        /// Type, such as `qmclone`.
        kind: String,
        /// How many of them.
        times: u32,
        /// What happens.
        fault: TaskFault,
    },
    /// A VM vanishes with its disks, at once.
    Vanish(u32),
    /// Somebody makes a VM with this id on this node, at once.
    ForeignVm(u32, String),
    /// Somebody takes the id of the next clone on this node just before the clone is dispatched.
    ForeignTakesNextClone(String),
    /// A VM moves to another node, at once.
    Move(u32, String),
    /// A storage has no space left, or has it again.
    StorageFull(String, bool),
    /// No guest agent answers in a VM, or again; `None` for all VMs.
    AgentSilent(Option<u32>, bool),
    /// Guests ignore a soft shutdown, or heed it again.
    ShutdownIgnored(bool),
    /// Something else holds a lock for so many milliseconds (before scaling), from the next request on.
    Hold(Lock, u64),
    /// A privilege is missing from every role, or is back.
    Withhold(String, bool),
    /// A node is offline, or back.
    NodeOffline(String, bool),
    /// A file uploaded through another node does not reach its storage.
    UploadLost(bool),
    /// The HA manager takes over a VM, or lets go of it.
    HighAvailability(u32, bool),
    /// A backup locks the configuration of a VM for so many milliseconds (before scaling), at once.
    Backup(u32, u64),
    /// A word that locks the configuration of a VM is left there, as by a worker that was killed; or root takes it out with
    /// `qm unlock`; at once.
    ConfigLock(u32, Option<String>),
    /// A VM is protected from removal, or no longer.
    Protect(u32, bool),
    /// Somebody writes something into the description of a VM, below what is there, at once.
    Edit(u32),
    /// The token has expired or was removed, or is good again.
    TokenRefused(bool),
    /// The cluster has lost its quorum and can change nothing, or has it again.
    NoQuorum(bool),
    /// A node goes down at once, its workers are killed and its VMs are off; it is back after so many milliseconds (before scaling)
    /// and starts those that start with it.
    Reboot(String, u64),
    /// The datacenter's options reserve tags for those with Sys.Modify on `/`, or no longer.
    TagsReserved(bool),
    /// Nodes no longer broadcast names and power states of their VMs, or do so again.
    StaleIndex(bool),
    /// The clocks of all nodes are so many seconds ahead.
    ClockAhead(i64),
}

impl Fault {
    /// The same fault of this VM, when it is one of VM 0.
    fn about(mut self, vmid: u32) -> Fault {
        match &mut self {
            Fault::Vanish(own)
            | Fault::ForeignVm(own, _)
            | Fault::Move(own, _)
            | Fault::HighAvailability(own, _)
            | Fault::Backup(own, _)
            | Fault::ConfigLock(own, _)
            | Fault::Protect(own, _)
            | Fault::Edit(own)
            | Fault::AgentSilent(Some(own), _)
            | Fault::Hold(Lock::Vm(own), _)
                if *own == 0 =>
            {
                *own = vmid;
            }
            _ => {}
        }
        self
    }
}

/// What is switched on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub drops: Vec<On>,
    pub statuses: Vec<(On, u16, String)>,
    pub proxies: Vec<On>,
    tasks: BTreeMap<String, Vec<(u32, TaskFault)>>,
    pub next_clone: Option<String>,
    pub holds: Vec<(Lock, u64)>,
    pub full: BTreeSet<String>,
    pub silent: BTreeSet<u32>,
    pub all_silent: bool,
    pub shutdown_ignored: bool,
    pub withheld: BTreeSet<String>,
    pub offline: BTreeSet<String>,
    pub upload_lost: bool,
    pub whens: Vec<(On, Fault)>,
    pub token_refused: bool,
    pub no_quorum: bool,
    pub stale_index: bool,
    pub tags_reserved: bool,
    pub clock_ahead: i64,
}

impl Faults {
    /// What happens just before a request.
    pub fn due(&mut self, method: &str, path: &str) -> Vec<Fault> {
        let vmid = path.split('/').skip_while(|part| *part != "qemu").nth(1).and_then(|part| part.parse().ok());
        let hit = self.whens.iter_mut().filter_map(|(on, fault)| on.hits(method, path).then(|| fault.clone()));
        hit.map(|fault| fault.about(vmid.unwrap_or(0))).collect()
    }

    pub fn add_task(&mut self, kind: String, times: u32, fault: TaskFault) {
        self.tasks.entry(kind).or_default().push((times, fault));
    }

    /// The fault of the next task of a type, used up by asking.
    pub fn for_task(&mut self, kind: &str) -> Option<TaskFault> {
        let (times, fault) = self.tasks.get_mut(kind)?.iter_mut().find(|(times, _)| *times > 0)?;
        *times -= 1;
        Some(fault.clone())
    }

    pub fn drops(&mut self, method: &str, path: &str) -> bool {
        self.drops.iter_mut().any(|on| on.hits(method, path))
    }

    pub fn status(&mut self, method: &str, path: &str) -> Option<(u16, String)> {
        let (_, status, text) =
            self.statuses.iter_mut().find_map(|fault| fault.0.hits(method, path).then_some(fault))?;
        Some((*status, text.clone()))
    }

    pub fn proxy_timeout(&mut self, method: &str, path: &str) -> bool {
        self.proxies.iter_mut().any(|on| on.hits(method, path))
    }

    pub fn silent(&self, vmid: u32) -> bool {
        self.all_silent || self.silent.contains(&vmid)
    }
}

/// Puts a name into a set, or takes it out.
pub(crate) fn switch<T: Ord>(set: &mut BTreeSet<T>, name: T, on: bool) {
    if on {
        set.insert(name);
    } else {
        set.remove(&name);
    }
}
