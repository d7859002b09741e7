//! What the cluster's refusals mean.
//!
//! Nearly all of them are status 500 with a text, and the same texts end tasks, so meaning is found by text: one table. The texts are
//! those of qemu-server 9.2 and pve-storage 9.1, and the same since 8.0 where no test says otherwise.

use std::collections::BTreeMap;

use agentkube_sdk::prelude::*;

/// Text, class, reach, code. All of the words of a text, separated by `…`, must occur in this order. First match counts.
type Row = (&'static str, Class, Scope, &'static str);

const TABLE: &[Row] = &[
    ("can't lock file '/var/lock/qemu-server/…got timeout", Class::Busy, Scope::Machine, "VM_LOCKED"),
    ("VM is locked (", Class::Busy, Scope::Machine, "VM_LOCKED"),
    ("can't lock file '/var/lock/pve-manager/pve-storage-", Class::Busy, Scope::Placement, "STORAGE_LOCKED"),
    ("no quorum", Class::Unavailable, Scope::Provider, "NO_QUORUM"),
    ("cfs-lock 'storage-", Class::Busy, Scope::Placement, "STORAGE_LOCKED"),
    ("'storage-…-locked command timed out", Class::Busy, Scope::Placement, "STORAGE_LOCKED"),
    ("config file already exists", Class::Conflict, Scope::Request, "VMID_TAKEN"),
    (".conf' failed: File exists", Class::Conflict, Scope::Request, "VMID_TAKEN"),
    ("VM …already exists", Class::Conflict, Scope::Request, "VMID_TAKEN"),
    ("Configuration file '…' does not exist", Class::Unavailable, Scope::Machine, "VM_MISSING"),
    ("checksum mismatch (file change by other user?)", Class::Conflict, Scope::Request, "CONFIG_CHANGED"),
    ("checksum mismatch: got", Class::Unavailable, Scope::Request, "UPLOAD_DAMAGED"),
    ("No space left on device", Class::Exhausted, Scope::Placement, "STORAGE_FULL"),
    ("not enough free space", Class::Exhausted, Scope::Placement, "STORAGE_FULL"),
    ("out of space", Class::Exhausted, Scope::Placement, "STORAGE_FULL"),
    ("Cannot allocate memory", Class::Exhausted, Scope::Placement, "NODE_MEMORY"),
    ("shrinking disks is not supported", Class::Invalid, Scope::Pool, "DISK_WOULD_SHRINK"),
    ("Linked clone feature is not supported", Class::Unsupported, Scope::Pool, "LINKED_CLONE_UNSUPPORTED"),
    ("can't clone VM to node '…is local", Class::Unsupported, Scope::Placement, "STORAGE_IS_LOCAL"),
    ("can't clone VM to node '…uses local storage", Class::Unsupported, Scope::Placement, "STORAGE_IS_LOCAL"),
    ("base volume '…still in use", Class::Conflict, Scope::Machine, "BASE_IN_USE"),
    ("is running - destroy failed", Class::Conflict, Scope::Machine, "VM_RUNNING"),
    ("already running", Class::Conflict, Scope::Machine, "VM_RUNNING"),
    ("protection mode enabled", Class::Conflict, Scope::Machine, "VM_PROTECTED"),
    ("guest agent is not running", Class::Unavailable, Scope::Machine, "AGENT_SILENT"),
    ("No QEMU guest agent configured", Class::Unavailable, Scope::Machine, "AGENT_SILENT"),
    (" not running", Class::Conflict, Scope::Machine, "VM_STOPPED"),
    ("powerdown failed - got timeout", Class::Timeout, Scope::Machine, "SHUTDOWN_IGNORED"),
    ("can't upload to storage type", Class::Unsupported, Scope::Provider, "SEED_STORAGE_UNFIT"),
    ("does not support '…' content", Class::Unsupported, Scope::Provider, "SEED_STORAGE_UNFIT"),
    ("stat local \"", Class::Unavailable, Scope::Placement, "UPLOAD_LOST"),
    ("volume '…' does not exist", Class::NotFound, Scope::Machine, "VOLUME_MISSING"),
    ("storage '…' does not exist", Class::Invalid, Scope::Pool, "STORAGE_UNKNOWN"),
    ("storage '…' is not available on node", Class::Unavailable, Scope::Placement, "STORAGE_OFFLINE"),
    ("storage '…' is not online", Class::Unavailable, Scope::Placement, "STORAGE_OFFLINE"),
    ("pool '…' does not exist", Class::Invalid, Scope::Provider, "POOL_UNKNOWN"),
    ("bridge '…' does not exist", Class::Invalid, Scope::Placement, "BRIDGE_UNKNOWN"),
    ("got no worker upid", Class::Busy, Scope::Request, "WORKER_NOT_STARTED"),
    ("hostname lookup '", Class::Unavailable, Scope::Placement, "NODE_UNKNOWN"),
    ("no such cluster node", Class::Invalid, Scope::Placement, "NODE_UNKNOWN"),
    ("only root can", Class::Unauthorized, Scope::Pool, "ROOT_ONLY"),
    ("Only root may", Class::Unauthorized, Scope::Pool, "ROOT_ONLY"),
    ("Permission check failed", Class::Unauthorized, Scope::Provider, "PERMISSION_MISSING"),
    ("unexpected status", Class::Unavailable, Scope::Machine, "WORKER_KILLED"),
    ("interrupted by signal", Class::Unavailable, Scope::Machine, "WORKER_KILLED"),
];

/// What to do about a fault that does not pass by itself. docs/proxmox.md says more.
const CURES: &[(&str, &str)] = &[
    ("TOKEN_REFUSED", "the token is wrong, expired or removed: put a good one where the connection reads it"),
    ("PERMISSION_MISSING", "give the user and the token a role with it"),
    ("ROOT_ONLY", "only root@pam may do this: leave it out of the configuration"),
    ("TEMPLATE_MISSING", "name a template that is there in `template`, or give the token VM.Audit and VM.Clone on it"),
    ("NOT_A_TEMPLATE", "convert it with `qm template`, or name another"),
    ("STORAGE_FULL", "free space on it, or name another `storage`"),
    ("STORAGE_UNKNOWN", "name a storage of this cluster in `storage` and `seed-storage`"),
    ("STORAGE_OFFLINE", "mount it, or name another"),
    ("STORAGE_IS_LOCAL", "put a template on each node, or both on shared storage"),
    ("SEED_STORAGE_UNFIT", "make a directory storage with content type iso and name it in `seed-storage`"),
    ("UPLOAD_LOST", "nodes cannot copy to each other: give the connection an endpoint for each node"),
    ("POOL_UNKNOWN", "make the pool, or name another in `pool`"),
    ("BRIDGE_UNKNOWN", "name a bridge of that node in `card` or in the pool's networks"),
    ("NODE_UNKNOWN", "name nodes of this cluster in `nodes`"),
    ("NODE_MEMORY", "the node has no memory left: use other `nodes`, or smaller machines"),
    ("VM_PROTECTED", "switch off its option `protection`"),
    ("BASE_IN_USE", "linked clones of it must go first"),
    ("LINKED_CLONE_UNSUPPORTED", "clone in full, or move the template to a storage that can link"),
    ("DISK_WOULD_SHRINK", "disks only grow: order a larger one"),
    ("NO_QUORUM", "bring back enough nodes of the cluster"),
];

/// What to do about a fault with this code.
pub(crate) fn cure(code: &str) -> Option<&'static str> {
    CURES.iter().find(|(known, _)| *known == code).map(|(_, cure)| *cure)
}

/// A message with its cure.
fn told(message: String, code: &str) -> String {
    match cure(code) {
        Some(cure) => format!("{message}; {cure}"),
        None => message,
    }
}

/// What a text means, if the table knows it.
fn known(text: &str) -> Option<&'static Row> {
    let fits = |pattern: &str| {
        let mut rest = text;
        pattern.split('…').all(|words| match rest.find(words).and_then(|at| rest.get(at + words.len()..)) {
            Some(after) => {
                rest = after;
                true
            }
            None => false,
        })
    };
    TABLE.iter().find(|(pattern, ..)| fits(pattern))
}

/// What came back instead of success.
pub(crate) struct Refusal<'a> {
    /// Method and path, for the message.
    pub request: &'a str,
    /// The status: inside the envelope if there was one.
    pub status: u16,
    /// The message, or the reason phrase where there was none.
    pub message: &'a str,
    /// What is wrong with single parameters.
    pub errors: &'a BTreeMap<String, String>,
}

impl Refusal<'_> {
    /// What it means.
    pub fn fault(&self) -> Fault {
        let errors: Vec<String> = self.errors.iter().map(|(name, why)| format!("{name}: {}", why.trim())).collect();
        let text = [self.message.trim(), &errors.join("; ")].join(" ");
        let message = format!("{}: {} {}", self.request, self.status, text.trim());
        if (595..600).contains(&self.status) {
            // One node could not reach another. If it was sent on, it may still be carried out.
            let fault = Fault::unavailable("NODE_UNREACHABLE", message).scope(Scope::Placement);
            return if self.request.starts_with("GET ") { fault } else { fault.outcome(Outcome::Unknown) };
        }
        if let Some((_, class, scope, code)) = known(&text) {
            return Fault::new(*class, code, told(message, code)).scope(*scope);
        }
        let (class, scope, code) = match self.status {
            401 => (Class::Unauthorized, Scope::Provider, "TOKEN_REFUSED"),
            403 => (Class::Unauthorized, Scope::Provider, "PERMISSION_MISSING"),
            404 => (Class::NotFound, Scope::Request, "NOT_FOUND"),
            400..=499 => (Class::Invalid, Scope::Request, "PARAMETER_REFUSED"),
            501 => (Class::Unsupported, Scope::Provider, "NOT_IMPLEMENTED"),
            503 => (Class::Busy, Scope::Provider, "API_BUSY"),
            _ => (Class::Unavailable, Scope::Request, "API_ERROR"),
        };
        let fault = Fault::new(class, code, told(message, code)).scope(scope);
        // A text that nobody knows does not say how far its handler came.
        if code == "API_ERROR" && !self.request.starts_with("GET ") { fault.outcome(Outcome::Unknown) } else { fault }
    }
}

/// What the end of a task means, unless it is success.
pub(crate) fn of_task(kind: &str, exit: &str) -> Fault {
    let message = format!("{kind} ended with: {}", exit.trim());
    match known(exit) {
        Some((_, class, scope, "WORKER_KILLED")) => {
            Fault::new(*class, "WORKER_KILLED", message).scope(*scope).outcome(Outcome::Unknown)
        }
        Some((_, class, scope, code)) => Fault::new(*class, code, told(message, code)).scope(*scope),
        None => Fault::unavailable("TASK_FAILED", message).scope(Scope::Machine).outcome(Outcome::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> Fault {
        Refusal { request: "POST /x", status, message, errors: &BTreeMap::new() }.fault()
    }

    #[test]
    fn texts_of_8_and_9_are_understood() {
        for (text, class, code) in [
            ("can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout\n", Class::Busy, "VM_LOCKED"),
            ("VM is locked (clone)\n", Class::Busy, "VM_LOCKED"),
            (
                "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-a' - got timeout",
                Class::Busy,
                "STORAGE_LOCKED",
            ),
            ("clone failed: cfs-lock 'storage-a' error: got lock request timeout", Class::Busy, "STORAGE_LOCKED"),
            ("'storage-a'-locked command timed out - aborting", Class::Busy, "STORAGE_LOCKED"),
            ("cfs-lock 'storage-a' error: no quorum!", Class::Unavailable, "NO_QUORUM"),
            ("cluster not ready - no quorum?", Class::Unavailable, "NO_QUORUM"),
            ("unable to create VM 104: config file already exists", Class::Conflict, "VMID_TAKEN"),
            (
                "close (rename) atomic file '/etc/pve/nodes/a/qemu-server/104.conf' failed: File exists",
                Class::Conflict,
                "VMID_TAKEN",
            ),
            ("Configuration file 'nodes/a/qemu-server/104.conf' does not exist", Class::Unavailable, "VM_MISSING"),
            ("checksum mismatch (file change by other user?)", Class::Conflict, "CONFIG_CHANGED"),
            ("unable to create image: No space left on device on storage 'a'", Class::Exhausted, "STORAGE_FULL"),
            ("can't clone VM to node 'pve2' (VM uses local storage)", Class::Unsupported, "STORAGE_IS_LOCAL"),
            ("VM 104 is running - destroy failed", Class::Conflict, "VM_RUNNING"),
            ("VM 104 not running", Class::Conflict, "VM_STOPPED"),
            ("QEMU guest agent is not running", Class::Unavailable, "AGENT_SILENT"),
            ("volume 'seeds:iso/a.iso' does not exist", Class::NotFound, "VOLUME_MISSING"),
            ("storage 'seeds' does not support 'iso' content", Class::Unsupported, "SEED_STORAGE_UNFIT"),
            ("stat local \"/var/tmp/pveupload-0\": No such file or directory", Class::Unavailable, "UPLOAD_LOST"),
        ] {
            let fault = refused(500, text);
            assert_eq!((fault.class, fault.code.as_str(), fault.outcome), (class, code, Outcome::NotApplied), "{text}");
            assert_eq!(of_task("qmclone", text).code, code);
        }
    }

    #[test]
    fn a_worker_that_was_killed_leaves_doubt() {
        for exit in ["unexpected status", "interrupted by signal"] {
            let fault = of_task("qmclone", exit);
            assert_eq!((fault.code.as_str(), fault.outcome), ("WORKER_KILLED", Outcome::Unknown));
        }
        assert_eq!(of_task("qmstart", "start failed: QEMU exited with code 1").outcome, Outcome::Unknown);
    }

    #[test]
    fn what_one_node_could_not_tell_another_is_in_doubt() {
        for status in [595, 596, 599] {
            assert_eq!(refused(status, "Connection timed out").outcome, Outcome::Unknown);
        }
        let read = Refusal { request: "GET /x", status: 595, message: "", errors: &BTreeMap::new() }.fault();
        assert_eq!((read.class, read.outcome), (Class::Unavailable, Outcome::NotApplied));
    }

    #[test]
    fn parameters_are_named() {
        let errors = BTreeMap::from([("newid".to_owned(), "property is missing\n".to_owned())]);
        let fault =
            Refusal { request: "POST /x", status: 400, message: "Parameter verification failed.\n", errors: &errors };
        let fault = fault.fault();
        assert_eq!((fault.class, fault.code.as_str()), (Class::Invalid, "PARAMETER_REFUSED"));
        assert!(fault.message.contains("newid: property is missing"), "{}", fault.message);
        assert_eq!(refused(401, "").code, "TOKEN_REFUSED");
        assert_eq!(refused(403, "Permission check failed (/vms/9000, VM.Clone)").code, "PERMISSION_MISSING");
        assert_eq!(refused(500, "something new").outcome, Outcome::Unknown);
    }
}
