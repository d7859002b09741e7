//! Locks of workers that were killed: told, and waited for until somebody takes them out.

use lab_pve::{Fault as Trouble, On, TaskFault};

use super::*;
use crate::api::{at, start};

fn lock(vmid: u32, word: Option<&str>) -> Trouble {
    Trouble::ConfigLock(vmid, word.map(str::to_owned))
}

fn delete<'a>(world: &World, plugin: &'a Proxmox, id: Option<&str>) -> impl Future<Output = Result<()>> + 'a {
    plugin.delete(world.a_call(), key(1), id.map(str::to_owned))
}

fn warned(world: &World) -> bool {
    world.logs().iter().any(|line| line.contains("the lock of a dead worker") && line.contains("vmid=104"))
}

/// Told at once, without a request that changes anything, and not for another try at once.
fn told(world: &World, result: Result<()>, words: &[&str]) {
    let fault = result.unwrap_err();
    assert_eq!(
        (fault.code.as_str(), fault.class, fault.scope, fault.outcome),
        ("MACHINE_LOCKED", Class::Conflict, Scope::Machine, Outcome::NotApplied)
    );
    assert!(words.iter().all(|word| fault.message.contains(word)), "{}", fault.message);
    assert!(warned(world), "{:?}", world.logs());
    assert_eq!(world.items().iter().filter(|item| item.kind == "machine").count(), 1, "the claim stays");
}

fn nothing_left(world: &World, lab: &Lab) {
    assert!(lab.leftovers(world).is_empty(), "{:?}", lab.leftovers(world));
    assert!(world.items().is_empty());
}

#[test]
fn a_machine_that_a_dead_worker_locked_is_deleted_once_it_is_unlocked() {
    for (word, by_id) in [("clone", true), ("clone", false), ("destroyed", true), ("destroyed", false)] {
        let (world, (lab, plugin)) = scene();
        let instance = world.run(made(&world, &plugin, 1)).unwrap();
        let id = by_id.then_some(instance.id.as_str());
        lab.with(|pve| pve.fault(lock(104, Some(word))));
        for _ in 0..2 {
            let (began, sent) = (world.now(), world.requests().len());
            let result = world.run(delete(&world, &plugin, id));
            told(&world, result, &["VM 104", "node pve1", &format!("`lock: {word}`"), "`qm unlock 104` as root"]);
            assert!(world.now() - began < 10_000, "it is told at once");
            assert!(world.requests()[sent..].iter().all(|sent| sent.method() == "GET"));
        }
        lab.with(|pve| pve.fault(lock(104, None)));
        world.run(delete(&world, &plugin, id)).unwrap();
        nothing_left(&world, &lab);
    }
}

#[test]
fn what_a_killed_destroy_leaves_is_not_called_gone() {
    for by_id in [true, false] {
        let (world, (lab, plugin)) = scene();
        let instance = world.run(up(&world, &plugin, 1)).unwrap();
        let id = by_id.then_some(instance.id.as_str());
        lab.with(|pve| {
            pve.fault(Trouble::Task { kind: "qmdestroy".into(), times: 1, fault: TaskFault::Killed });
        });
        for _ in 0..2 {
            let result = world.run(delete(&world, &plugin, id));
            told(&world, result, &["VM 104", "node pve1", "`lock: destroyed`", "`qm destroy 104 --skiplock` as root"]);
        }
        assert_eq!(world.sent("DELETE", "/api2/extjs/nodes/*/qemu/*"), 1);
        assert_eq!(lab.with(|pve| pve.vm(104).unwrap().lock().map(str::to_owned)).as_deref(), Some("destroyed"));
        // What `qm destroy --skiplock` does.
        lab.with(|pve| pve.fault(Trouble::Vanish(104)));
        world.run(delete(&world, &plugin, id)).unwrap();
        nothing_left(&world, &lab);
    }
}

/// Somebody else destroys it while a journal that knows nothing is to delete it.
#[test]
fn a_destroy_that_still_runs_is_waited_for() {
    for slow in [false, true] {
        let (world, (lab, plugin)) = scene();
        let id = world.run(made(&world, &plugin, 1)).unwrap().id;
        if slow {
            let fault = TaskFault::Slow(600_000);
            lab.with(|pve| pve.fault(Trouble::Task { kind: "qmdestroy".into(), times: 1, fault }));
        }
        let entry = world.item("machine", &key(1).name).unwrap().entry;
        let request = plugin.api.change("DELETE", at!("nodes", "pve1", "qemu", 104), entry);
        world.run(async { start(request).await }).unwrap();
        let other = World::new();
        other.pass(world.now() - other.now());
        other.config(config()).manifest(manifest()).range("vmid", 104..120);
        lab.serve(&other);
        if slow {
            let fault = other.run(delete(&other, &plugin, Some(&id))).unwrap_err();
            assert_eq!((fault.code.as_str(), fault.class), ("VM_LOCKED", Class::Busy));
            other.pass(60_000);
        }
        other.run(delete(&other, &plugin, Some(&id))).unwrap();
        assert!(!warned(&other));
        nothing_left(&other, &lab);
    }
}

#[test]
fn a_lock_of_living_work_is_waited_for() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(made(&world, &plugin, 1)).unwrap().id;
    lab.with(|pve| pve.fault(Trouble::Backup(104, 60_000)));
    world.run(delete(&world, &plugin, Some(&id))).unwrap();
    assert!(!warned(&world));
    nothing_left(&world, &lab);
}

/// A clone that was killed after its first disk has the mark and the lock.
#[test]
fn a_create_says_that_its_clone_is_locked() {
    let (world, (lab, plugin)) = scene();
    lab.with(|pve| {
        pve.fault(Trouble::DropReply(On::new("POST", "/clone", 1)));
        pve.fault(Trouble::When(On::new("GET", "/104/config", 1), Box::new(lock(0, Some("clone")))));
    });
    let result = world.run(made(&world, &plugin, 1)).map(drop);
    told(&world, result, &["VM 104", "`lock: clone`", "`qm unlock 104` as root"]);
    // And again, when it is found there.
    let result = world.run(made(&world, &plugin, 1)).map(drop);
    told(&world, result, &["VM 104"]);
    lab.with(|pve| pve.fault(lock(104, None)));
    assert_eq!(world.run(made(&world, &plugin, 1)).unwrap().id, "104");
    assert_eq!(lab.machines(&world).len(), 1);
}

/// Without a row nothing tells whether the clone still runs but the list of tasks.
#[test]
fn a_clone_that_may_still_run_is_not_called_dead() {
    let (world, (lab, plugin)) = scene();
    world.run(made(&world, &plugin, 1)).unwrap();
    let other = World::new();
    other.pass(world.now() - other.now() + 5_000);
    other.config(config()).manifest(manifest()).range("vmid", 104..120);
    lab.serve(&other);
    lab.with(|pve| pve.fault(lock(104, Some("clone"))));
    let clone = [("newid", "300"), ("full", "1"), ("pool", "agentkube")];
    let path = at!("nodes", "pve1", "qemu", 9000, "clone");
    let entry = world.item("machine", &key(1).name).unwrap().entry;
    world.pass(5_000);
    world.run(async { start(plugin.api.change("POST", path, entry).form(clone)).await }).unwrap();
    let machine = other.run(async { plugin.ours(&other.a_call(), &key(1), "104").await }).unwrap().unwrap();
    let call = other.a_call();
    other.run(async { plugin.not_stuck(&call, &machine, false).await }).unwrap();
    let dead = |settled| other.run(async { plugin.not_stuck(&call, &machine, settled).await }).unwrap_err().code;
    assert_eq!(dead(true), "MACHINE_LOCKED", "a clone of ours is known to be over");
    other.pass(60_000);
    assert_eq!(dead(false), "MACHINE_LOCKED");
}
