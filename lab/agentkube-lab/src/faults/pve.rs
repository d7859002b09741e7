//! What befalls Proxmox VE.

use lab_pve::{Fault, Lock, On, TaskFault, Vm};
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
        says: "Proxmox VE answers with 500 or 503, or with 595 or 596 from the node that passes requests on, and nothing happens.",
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
        says: "The storage of the disks, or that of the seeds, has no space left for a while.",
        passes: true,
        strike: |servers, random| {
            if let Some(storage) = pick(random, &STORAGES) {
                on(servers, Fault::StorageFull((*storage).to_owned(), true));
            }
        },
        end: Some(|servers| STORAGES.iter().for_each(|id| on(servers, Fault::StorageFull((*id).to_owned(), false)))),
    },
    Named {
        name: "pve-backups",
        says: "A backup locks the configuration of one of our VMs for twelve seconds: `VM is locked (backup)`.",
        passes: true,
        strike: |servers, random| one_of_ours(servers, random, |vmid| Fault::Backup(vmid, 12_000)),
        end: None,
    },
    Named {
        name: "pve-edited-vms",
        says: "Somebody writes into the description of one of our VMs: its digest is another.",
        passes: true,
        strike: |servers, random| one_of_ours(servers, random, Fault::Edit),
        end: None,
    },
    Named {
        name: "pve-managed-vms",
        says: "The HA manager takes over one of our VMs: start and stop are only asked for, happen later, and are tried once.",
        passes: false,
        strike: |servers, random| one_of_ours(servers, random, |vmid| Fault::HighAvailability(vmid, true)),
        end: None,
    },
    Named {
        name: "pve-stale-index",
        says: "The index of the cluster stands still for a while: names and power states in it are of before.",
        passes: true,
        strike: |servers, _| on(servers, Fault::StaleIndex(true)),
        end: Some(|servers| on(servers, Fault::StaleIndex(false))),
    },
    Named {
        name: "pve-no-quorum",
        says: "The cluster has no quorum for a while: it can be read, and nothing can be changed.",
        passes: true,
        strike: |servers, _| on(servers, Fault::NoQuorum(true)),
        end: Some(|servers| on(servers, Fault::NoQuorum(false))),
    },
    Named {
        name: "pve-refused-token",
        says: "The token is refused for a while: 401 after three seconds.",
        passes: true,
        strike: |servers, _| on(servers, Fault::TokenRefused(true)),
        end: Some(|servers| on(servers, Fault::TokenRefused(false))),
    },
    Named {
        name: "pve-lost-uploads",
        says: "For a while a file that is uploaded through another node does not reach its storage.",
        passes: true,
        strike: |servers, _| on(servers, Fault::UploadLost(true)),
        end: Some(|servers| on(servers, Fault::UploadLost(false))),
    },
    Named {
        name: "pve-moved-vms",
        says: "One of our VMs moves to another node, at once.",
        passes: true,
        strike: moved,
        end: None,
    },
    Named {
        name: "pve-dead-locks",
        says: "One of our VMs has `lock: destroyed`, as a worker that was killed leaves it, until root takes it out.",
        passes: false,
        strike: |servers, random| {
            one_of_ours(servers, random, |vmid| Fault::ConfigLock(vmid, Some("destroyed".to_owned())));
        },
        end: Some(|servers| {
            each_of_ours(servers, |vm| (vm.lock() == Some("destroyed")).then_some(Fault::ConfigLock(vm.vmid, None)));
        }),
    },
    Named {
        name: "pve-protected-vms",
        says: "One of our VMs is protected from removal for a while.",
        passes: false,
        strike: |servers, random| one_of_ours(servers, random, |vmid| Fault::Protect(vmid, true)),
        end: Some(|servers| each_of_ours(servers, |vm| vm.protected().then_some(Fault::Protect(vm.vmid, false)))),
    },
    Named {
        name: "pve-missing-privilege",
        says: "For a while no role has a privilege that machines need.",
        passes: false,
        strike: |servers, random| {
            if let Some(privilege) = pick(random, &privileges(servers)) {
                on(servers, Fault::Withhold((*privilege).to_owned(), true));
            }
        },
        end: Some(|servers| {
            privileges(servers).into_iter().for_each(|name| on(servers, Fault::Withhold(name.to_owned(), false)));
        }),
    },
    Named {
        name: "pve-reserved-tags",
        says: "For a while the datacenter reserves its tags for those with Sys.Modify on `/`: 403 for a new one.",
        passes: false,
        strike: |servers, _| on(servers, Fault::TagsReserved(true)),
        end: Some(|servers| on(servers, Fault::TagsReserved(false))),
    },
    Named {
        name: "pve-missing-template",
        says: "Somebody deletes the template.",
        passes: false,
        strike: |servers, _| on(servers, Fault::Vanish(9000)),
        end: None,
    },
    Named {
        name: "pve-rebooting-node",
        says: "A node goes down: its workers are killed and its VMs are off; it is back after thirty seconds.",
        passes: false,
        strike: |servers, _| on(servers, Fault::Reboot("pve2".to_owned(), 30_000)),
        end: None,
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
        strike: |servers, random| one_of_ours(servers, random, Fault::Vanish),
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
    let answers = [
        (500, "got no worker upid - start worker failed"),
        (503, "service unavailable"),
        (595, "No route to host"),
        (596, "Connection timed out"),
    ];
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

/// Storages of disks and of seeds.
const STORAGES: [&str; 2] = ["vmdata", "seeds"];

/// Privileges without which no machine is made, or no agent answers.
fn privileges(servers: &Servers) -> [&'static str; 5] {
    let agent = servers.proxmox.with(|pve, _, _| pve.settings().release.agent_privilege());
    ["VM.Config.Options", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "SDN.Use", agent]
}

/// Whether a VM carries an installation's mark.
fn is_ours(vm: &Vm) -> bool {
    vm.config.get("description").is_some_and(|text| text.contains("agentkube {"))
}

/// One of our VMs on which nobody works.
fn one_of_ours(servers: &Servers, random: &mut Random, fault: impl FnOnce(u32) -> Fault) {
    servers.proxmox.with(|pve, _, _| {
        let ids: Vec<u32> = pve.vms().filter(|vm| is_ours(vm) && vm.lock().is_none()).map(|vm| vm.vmid).collect();
        if let Some(vmid) = pick(random, &ids) {
            pve.fault(fault(*vmid));
        }
    });
}

fn each_of_ours(servers: &Servers, fault: impl Fn(&Vm) -> Option<Fault>) {
    servers.proxmox.with(|pve, _, _| {
        let faults: Vec<Fault> = pve.vms().filter(|vm| is_ours(vm)).filter_map(fault).collect();
        faults.into_iter().for_each(|fault| pve.fault(fault));
    });
}

fn moved(servers: &Servers, random: &mut Random) {
    let nodes: Vec<String> =
        servers.proxmox.with(|pve, _, _| pve.settings().nodes.iter().map(|node| node.name.clone()).collect());
    if let Some(node) = pick(random, &nodes).cloned() {
        one_of_ours(servers, random, |vmid| Fault::Move(vmid, node));
    }
}
