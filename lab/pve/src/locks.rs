//! Advisory locks: of a VM's configuration file and of a storage's allocations.

use std::collections::BTreeMap;

use crate::settings::Settings;

/// What is locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// Configuration file of a VM.
    Vm(u32),
    /// Allocation on a storage: of the whole cluster when it is shared, of one node otherwise.
    Storage {
        /// Storage id.
        id: String,
        /// The node of a local storage.
        node: Option<String>,
    },
}

impl Lock {
    /// What a task or request dies with when it did not get the lock in time.
    pub fn timed_out(&self) -> String {
        match self {
            Lock::Vm(vmid) => format!("can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"),
            Lock::Storage { id, node: Some(_) } => {
                format!("can't lock file '/var/lock/pve-manager/pve-storage-{id}' - got timeout")
            }
            Lock::Storage { id, node: None } => format!("cfs-lock 'storage-{id}' error: got lock request timeout"),
        }
    }

    /// The lock of a storage as seen from a node.
    pub(crate) fn storage(settings: &Settings, id: &str, node: &str) -> Lock {
        let shared = settings.storage(id).is_some_and(|storage| storage.shared);
        Lock::Storage { id: id.to_owned(), node: (!shared).then(|| node.to_owned()) }
    }
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With others of the same mode.
    Shared,
    /// Alone.
    Exclusive,
}

/// Which locks are held, and by which task.
#[derive(Debug, Default)]
pub struct Locks {
    held: BTreeMap<Lock, Vec<(usize, Mode)>>,
}

impl Locks {
    /// Takes the lock if it is free for this mode.
    pub fn take(&mut self, lock: &Lock, mode: Mode, holder: usize) -> bool {
        let holders = self.held.entry(lock.clone()).or_default();
        let free = match mode {
            Mode::Exclusive => holders.is_empty(),
            Mode::Shared => holders.iter().all(|(_, held)| *held == Mode::Shared),
        };
        if free {
            holders.push((holder, mode));
        }
        free
    }

    /// Gives one lock back.
    pub fn release(&mut self, lock: &Lock, holder: usize) {
        if let Some(holders) = self.held.get_mut(lock) {
            holders.retain(|(held_by, _)| *held_by != holder);
        }
        self.held.retain(|_, holders| !holders.is_empty());
    }

    /// Gives back all that a task holds.
    pub fn release_all(&mut self, holder: usize) {
        self.held.retain(|_, holders| {
            holders.retain(|(held_by, _)| *held_by != holder);
            !holders.is_empty()
        });
    }

    /// The tasks that hold a lock.
    pub fn holders(&self, lock: &Lock) -> Vec<usize> {
        self.held.get(lock).into_iter().flatten().map(|(holder, _)| *holder).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_holders_keep_an_exclusive_one_out() {
        let mut locks = Locks::default();
        let lock = Lock::Vm(100);
        assert!(locks.take(&lock, Mode::Shared, 1));
        assert!(locks.take(&lock, Mode::Shared, 2));
        assert!(!locks.take(&lock, Mode::Exclusive, 3));
        locks.release(&lock, 1);
        locks.release_all(2);
        assert!(locks.take(&lock, Mode::Exclusive, 3));
        assert!(!locks.take(&lock, Mode::Shared, 1));
        assert_eq!(locks.holders(&lock), [3]);
    }
}
