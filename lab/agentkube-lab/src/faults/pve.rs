//! What befalls Proxmox VE.

use lab_pve::{Fault, Lock, On, TaskFault};
use lab_wire::Random;

use super::{Named, Servers, pick};

pub(super) const ALL: &[Named] = &[
    Named {
        name: "pve-lost-replies",
        says: "Proxmox VE does what it is asked, and the connection closes without an answer.",
        passes: true,
        strike: |servers, random| on(servers, Fault::DropReply(any(random))),
        end: None,
    },
    Named {
        name: "pve-errors",
        says: "Proxmox VE answers with 500, 503, or 595 from the node that passes requests on.",
        passes: true,
        strike: errors,
        end: None,
    },
    Named {
        name: "pve-proxy-timeouts",
        says: "The node that passes a request on gives up after 30 s with 596, and the request is carried out all the same.",
        passes: true,
        strike: |servers, random| on(servers, Fault::ProxyTimeout(any(random))),
        end: None,
    },
    Named {
        name: "pve-locks",
        says: "Somebody holds the lock of a VM or of a storage for twelve seconds: what wants it dies with `got timeout`.",
        passes: true,
        strike: locks,
        end: None,
    },
    Named {
        name: "pve-slow-tasks",
        says: "A task takes twenty seconds longer.",
        passes: true,
        strike: |servers, random| task(servers, random, &TASKS, TaskFault::Slow(20_000)),
        end: None,
    },
    Named {
        name: "pve-killed-tasks",
        says: "The worker of a task that changes, starts or stops a VM is killed before its last effect: `unexpected status`.",
        passes: true,
        strike: |servers, random| task(servers, random, &CHANGES, TaskFault::Killed),
        end: None,
    },
    Named {
        name: "pve-killed-clones",
        says: "The worker of a clone is killed: a VM with `lock: clone` stays, which only root can unlock.",
        passes: false,
        strike: |servers, random| task(servers, random, &["qmclone"], TaskFault::Killed),
        end: None,
    },
    Named {
        name: "pve-killed-destroys",
        says: "The worker of a destroy is killed: a VM of which nothing but `lock: destroyed` is left stays, which only root can remove.",
        passes: false,
        strike: |servers, random| task(servers, random, &["qmdestroy"], TaskFault::Killed),
        end: None,
    },
    Named {
        name: "pve-failed-tasks",
        says: "A task, but not a destroy, ends with a lock timeout after its request was answered with success.",
        passes: true,
        strike: |servers, random| {
            let text = "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout";
            task(servers, random, &REPEATABLE, TaskFault::Fails(text.to_owned()));
        },
        end: None,
    },
    Named {
        name: "pve-warnings",
        says: "A task ends with `WARNINGS: 1`, which is success.",
        passes: true,
        strike: |servers, random| task(servers, random, &TASKS, TaskFault::Warns),
        end: None,
    },
    Named {
        name: "pve-silent-agents",
        says: "No guest agent answers for a while.",
        passes: true,
        strike: |servers, _| on(servers, Fault::AgentSilent(None, true)),
        end: Some(|servers| on(servers, Fault::AgentSilent(None, false))),
    },
    Named {
        name: "pve-full-storage",
        says: "The storage of the disks has no space left for a while.",
        passes: true,
        strike: |servers, _| on(servers, Fault::StorageFull("vmdata".to_owned(), true)),
        end: Some(|servers| on(servers, Fault::StorageFull("vmdata".to_owned(), false))),
    },
    Named {
        name: "pve-foreign-ids",
        says: "Somebody else's VM takes the id of the next clone just before it is made, and stays.",
        passes: false,
        strike: |servers, _| on(servers, Fault::ForeignTakesNextClone("pve2".to_owned())),
        end: None,
    },
    Named {
        name: "pve-offline-node",
        says: "One node is offline for a while: 595 for what it should do.",
        passes: false,
        strike: |servers, _| on(servers, Fault::NodeOffline("pve2".to_owned(), true)),
        end: Some(|servers| on(servers, Fault::NodeOffline("pve2".to_owned(), false))),
    },
    Named {
        name: "pve-vanished-vms",
        says: "Somebody deletes one of our VMs with its disks.",
        passes: false,
        strike: vanish,
        end: None,
    },
];

fn on(servers: &Servers, fault: Fault) {
    servers.proxmox.with(|pve, _, _| pve.fault(fault));
}

/// The next request to change a VM or a storage, or the next at all.
fn any(random: &mut Random) -> On {
    let (method, path) =
        pick(random, &[("POST", "/qemu"), ("POST", ""), ("DELETE", ""), ("", "")]).unwrap_or(&("", ""));
    On::new(method, path, 1)
}

fn errors(servers: &Servers, random: &mut Random) {
    let answers =
        [(500, "got no worker upid - start worker failed"), (503, "service unavailable"), (595, "No route to host")];
    if let Some((status, text)) = pick(random, &answers) {
        on(servers, Fault::Status(any(random), *status, (*text).to_owned()));
    }
}

fn locks(servers: &Servers, random: &mut Random) {
    servers.proxmox.with(|pve, _, _| {
        let mut locks: Vec<Lock> = pve.vms().filter(|vm| !vm.template()).map(|vm| Lock::Vm(vm.vmid)).collect();
        for node in pve.settings().nodes.iter().map(|node| Some(node.name.clone())).chain([None]) {
            locks.push(Lock::Storage { id: "vmdata".to_owned(), node });
        }
        if let Some(lock) = pick(random, &locks) {
            pve.fault(Fault::Hold(lock.clone(), 12_000));
        }
    });
}

/// Tasks that an agent starts.
const TASKS: [&str; 7] = ["qmclone", "qmconfig", "resize", "qmstart", "qmstop", "qmdestroy", "imgcopy"];
/// Those that can be asked for again after they failed: a destroy that dies half way leaves a lock.
const REPEATABLE: [&str; 6] = ["qmclone", "qmconfig", "resize", "qmstart", "qmstop", "imgcopy"];
/// Those after which the VM is as it was when they did not come to their end.
const CHANGES: [&str; 4] = ["qmconfig", "resize", "qmstart", "qmstop"];

fn task(servers: &Servers, random: &mut Random, kinds: &[&str], fault: TaskFault) {
    if let Some(kind) = pick(random, kinds) {
        on(servers, Fault::Task { kind: (*kind).to_owned(), times: 1, fault });
    }
}

fn vanish(servers: &Servers, random: &mut Random) {
    servers.proxmox.with(|pve, _, _| {
        let ours = |text: &String| text.contains("agentkube {");
        let ids: Vec<u32> =
            pve.vms().filter(|vm| vm.config.get("description").is_some_and(ours)).map(|vm| vm.vmid).collect();
        if let Some(vmid) = pick(random, &ids) {
            pve.fault(Fault::Vanish(*vmid));
        }
    });
}
