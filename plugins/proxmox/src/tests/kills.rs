//! Killed wherever it waits, the plugin makes one machine, and leaves none.

use agentkube_sdk::machine::Lifecycle;
use agentkube_sdk::testing::kill_at_every_host_call;

use super::*;

/// A cluster so fast that a task is over at the second look: the kills grow with the square of the host calls.
fn quick() -> (World, (Lab, Proxmox)) {
    let mut config = config();
    config["clone"] = json!("linked");
    config.as_object_mut().unwrap().remove("storage");
    config["timings"] = json!({ "first-poll-ms": 1000, "longest-poll-ms": 1000, "visibility-ms": 1000,
        "task-grace-ms": 1000, "lock-retry-ms": 1000 });
    scene_of(Cluster::default().with_scale(0.05), config)
}

#[test]
fn killed_anywhere_it_makes_one_machine() {
    let call = async |world: &World, (_, plugin): &(Lab, Proxmox)| made(world, plugin, 1).await;
    let calls = kill_at_every_host_call(quick, call, |world, (lab, _), result| {
        let instance = result.unwrap();
        let machines = lab.machines(world);
        assert_eq!((machines.len(), machines[0].vmid.to_string()), (1, instance.id));
        assert_eq!((machines[0].cores(), machines[0].memory_mib(), machines[0].disk() >> 30), (4, 8192, 20));
        assert_eq!(lab.leftovers(world).len(), 2, "the machine and its disk: {:?}", lab.leftovers(world));
    });
    assert!(calls > 10, "{calls} host calls");
}

#[test]
fn killed_anywhere_it_boots_once_with_its_seed() {
    use lab_wire::{Hypervisor, MachineEvent};
    let scene = || {
        let (world, (lab, plugin)) = quick();
        let instance = world.run(made(&world, &plugin, 1)).unwrap();
        (world, (lab, plugin, instance))
    };
    let call = async |world: &World, (_, plugin, instance): &(Lab, Proxmox, Instance)| {
        plugin.boot(world.a_call(), key(1), instance.clone(), bootstrap()).await
    };
    kill_at_every_host_call(scene, call, |world, (lab, ..), result| {
        assert_eq!(result.unwrap().lifecycle, Lifecycle::Running);
        let events = lab.with(|pve| pve.machine_events());
        let [MachineEvent::Started(boot)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(boot.media.len(), 1);
        assert_eq!(
            world.item("seed", "seed-kabcdefghij-workers-01.iso").unwrap().external_id.as_deref(),
            Some("seeds:iso/seed-kabcdefghij-workers-01.iso")
        );
    });
}

#[test]
fn killed_anywhere_it_leaves_no_seed() {
    let scene = || {
        let (world, (lab, plugin)) = quick();
        let instance = world.run(up(&world, &plugin, 1)).unwrap();
        (world, (lab, plugin, instance))
    };
    let call = async |world: &World, (_, plugin, instance): &(Lab, Proxmox, Instance)| {
        plugin.finish_bootstrap(world.a_call(), key(1), instance.clone()).await
    };
    kill_at_every_host_call(scene, call, |world, (lab, ..), result| {
        result.unwrap();
        assert_eq!(lab.leftovers(world).len(), 2, "the machine and its disk: {:?}", lab.leftovers(world));
        assert_eq!(lab.machines(world)[0].config["ide2"], "none,media=cdrom");
        assert_eq!(world.items().len(), 1);
    });
}

#[test]
fn killed_anywhere_it_deletes_and_forgets() {
    let scene = || {
        let (world, (lab, plugin)) = quick();
        world.run(up(&world, &plugin, 1)).unwrap();
        (world, (lab, plugin))
    };
    let call = async |world: &World, (_, plugin): &(Lab, Proxmox)| plugin.delete(world.a_call(), key(1), None).await;
    kill_at_every_host_call(scene, call, |world, (lab, _), result| {
        result.unwrap();
        assert!(lab.leftovers(world).is_empty(), "{:?}", lab.leftovers(world));
        assert!(world.items().is_empty());
    });
}

#[test]
fn a_creation_killed_anywhere_is_undone() {
    let call = async |world: &World, (_, plugin): &(Lab, Proxmox)| {
        // The second run is the undo of the first, as after a job that was given up.
        if world.items().is_empty() {
            made(world, plugin, 1).await.map(|_| false)
        } else {
            plugin.delete(world.a_call(), key(1), None).await.map(|()| true)
        }
    };
    kill_at_every_host_call(quick, call, |world, (lab, _), result| {
        if result.unwrap() {
            assert!(lab.leftovers(world).is_empty(), "{:?}", lab.leftovers(world));
            assert!(world.items().is_empty());
        }
    });
}

/// The upload outlives the call that began it: what it puts into place late must be deleted all the same.
#[test]
fn a_boot_killed_anywhere_is_undone() {
    use lab_pve::{Fault, TaskFault};
    let scene = || {
        let (world, (lab, plugin)) = quick();
        let instance = world.run(made(&world, &plugin, 1)).unwrap();
        let slow = Fault::Task { kind: "imgcopy".into(), times: 1, fault: TaskFault::Slow(40_000) };
        lab.with(|pve| pve.fault(slow));
        (world, (lab, plugin, instance))
    };
    let call = async |world: &World, (_, plugin, instance): &(Lab, Proxmox, Instance)| {
        if world.item("seed", "seed-kabcdefghij-workers-01.iso").is_some() {
            return plugin.delete(world.a_call(), key(1), None).await.map(|()| true);
        }
        plugin.boot(world.a_call(), key(1), instance.clone(), bootstrap()).await.map(|_| false)
    };
    kill_at_every_host_call(scene, call, |world, (lab, ..), result| {
        if result.unwrap() {
            world.pass(10_000);
            assert!(lab.leftovers(world).is_empty(), "{:?}", lab.leftovers(world));
            assert!(world.items().is_empty());
        }
    });
}
