//! What goes wrong on real clusters, one test each.

use agentkube_sdk::fan_out::fan_out;
use agentkube_sdk::machine::Lifecycle;
use lab_pve::{Fault as Trouble, Lock, On, TaskFault};

use super::*;

fn delete<'a>(world: &World, plugin: &'a Proxmox, id: &str) -> impl Future<Output = Result<()>> + 'a {
    plugin.delete(world.a_call(), key(1), Some(id.to_owned()))
}

fn task(kind: &str, fault: TaskFault) -> Trouble {
    Trouble::Task { kind: kind.to_owned(), times: 1, fault }
}

#[test]
fn a_lost_reply_of_a_clone_makes_no_second_one() {
    let (world, (lab, plugin)) = scene();
    lab.with(|pve| pve.fault(Trouble::DropReply(On::new("POST", "/clone", 1))));
    let instance = world.run(made(&world, &plugin, 1)).unwrap();
    assert_eq!(world.sent("POST", "/api2/extjs/nodes/*/qemu/*/clone"), 1);
    assert_eq!((lab.machines(&world).len(), instance.id.as_str()), (1, "104"));
}

#[test]
fn a_clone_that_one_node_could_not_tell_another_is_found() {
    let (world, (lab, plugin)) = scene();
    lab.with(|pve| pve.fault(Trouble::ProxyTimeout(On::new("POST", "/clone", 1))));
    world.run(made(&world, &plugin, 1)).unwrap();
    assert_eq!((lab.machines(&world).len(), world.sent("POST", "/api2/extjs/nodes/*/qemu/*/clone")), (1, 1));
}

#[test]
fn a_number_that_another_took_is_burnt() {
    for node in ["pve1", "pve2"] {
        let (world, (lab, plugin)) = scene();
        lab.with(|pve| pve.fault(Trouble::ForeignTakesNextClone(node.into())));
        let instance = world.run(made(&world, &plugin, 1)).unwrap();
        assert_eq!(instance.id, "105");
        let foreign = lab.with(|pve| pve.vm(104).unwrap().clone());
        assert_eq!((foreign.name().as_str(), foreign.config["cores"].as_str()), ("somebody-elses", "1"));
    }
}

#[test]
fn a_storage_that_is_locked_is_tried_again() {
    let (world, (lab, plugin)) = scene();
    let lock = Lock::Storage { id: "vmdata".into(), node: None };
    lab.with(|pve| pve.fault(Trouble::Hold(lock, 15_000)));
    let instance = world.run(made(&world, &plugin, 1)).unwrap();
    assert_eq!((instance.id.as_str(), lab.machines(&world).len()), ("104", 1));
    assert!(world.sent("POST", "/api2/extjs/nodes/*/qemu/*/clone") > 1);
}

#[test]
fn many_machines_at_once_meet_no_lock_with_permits_and_survive_them_without() {
    for (places, tasks) in [(1, Some(8)), (8, None)] {
        let mut linked = config();
        linked["clone"] = json!("linked");
        linked.as_object_mut().unwrap().remove("storage");
        let (world, (lab, plugin)) = scene_of(Cluster::default().with_scale(0.1), linked);
        world.permit_size("pve/template/9000", places);
        let all = (1..=8).map(|index| made(&world, &plugin, index));
        let instances: Vec<Instance> = world.run(fan_out(8, all)).into_iter().map(Result::unwrap).collect();
        assert_eq!((instances.len(), lab.machines(&world).len()), (8, 8));
        let clones = lab.with(|pve| pve.tasks().iter().filter(|task| task.kind == "qmclone").count());
        assert!(tasks.is_none_or(|tasks| tasks == clones), "{clones} clone tasks for 8 machines");
        assert!(tasks.is_some() || clones > 8, "without permits they get into each other's way");
    }
}

#[test]
fn a_machine_that_moved_is_found_where_it_is() {
    let (world, (lab, plugin)) = scene();
    let instance = world.run(up(&world, &plugin, 1)).unwrap();
    let vmid = instance.id.parse().unwrap();
    lab.with(|pve| pve.fault(Trouble::Move(vmid, "pve2".into())));
    let seen = world.run(plugin.observe(world.a_call(), key(1), instance.id.clone())).unwrap().unwrap();
    assert_eq!(seen.location, "pve2");
    world.run(plugin.finish_bootstrap(world.a_call(), key(1), instance.clone())).unwrap();
    lab.with(|pve| pve.fault(Trouble::Move(vmid, "pve1".into())));
    world.run(delete(&world, &plugin, &instance.id)).unwrap();
    assert!(lab.leftovers(&world).is_empty(), "{:?}", lab.leftovers(&world));
}

#[test]
fn another_machine_under_our_number_is_never_touched() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(up(&world, &plugin, 1)).unwrap().id;
    let vmid = id.parse().unwrap();
    lab.with(|pve| {
        pve.fault(Trouble::Vanish(vmid));
        pve.fault(Trouble::ForeignVm(vmid, "pve1".into()));
    });
    assert_eq!(world.run(plugin.observe(world.a_call(), key(1), id.clone())), Ok(None));
    let before = world.requests().len();
    world.run(delete(&world, &plugin, &id)).unwrap();
    let touched = |sent: &&Sent| sent.method() != "GET" && sent.path().contains("/qemu/");
    assert_eq!(world.requests()[before..].iter().filter(touched).count(), 0);
    assert_eq!(lab.leftovers(&world), [format!("VM {vmid} somebody-elses")], "our seed is gone, and so is our claim");
    assert!(world.items().is_empty());
}

/// Another machine of ours, with the mark of another index.
#[test]
fn a_wrong_number_is_refused() {
    let (world, (lab, plugin)) = scene();
    let first = world.run(made(&world, &plugin, 1)).unwrap().id;
    let second = world.run(made(&world, &plugin, 2)).unwrap().id;
    let fault = world.run(delete(&world, &plugin, &second)).unwrap_err();
    assert_eq!(fault.code, "NOT_OURS");
    assert_eq!(lab.machines(&world).len(), 2);
    assert_ne!(first, second);
}

#[test]
fn a_machine_whose_mark_was_erased_is_left_to_people() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(made(&world, &plugin, 1)).unwrap().id;
    let mut config = world.run(async { plugin.present(&world.a_call(), &key(1), &id).await }).unwrap();
    config.config.0.clear();
    let entry = world.item("machine", &key(1).name).unwrap().entry;
    let erase = || crate::configure::Change::default().set("description", "mine");
    world
        .run(async {
            plugin
                .change(&world.a_call(), &key(1), entry, config, |now| {
                    Ok(if now.text("description").is_some() { crate::configure::Change::default() } else { erase() })
                })
                .await
        })
        .unwrap();
    world.pass(2_000);
    let fault = world.run(delete(&world, &plugin, &id)).unwrap_err();
    assert_eq!(fault.code, "NOT_OURS");
    assert_eq!(lab.with(|pve| pve.vms().count()), 2);
}

#[test]
fn a_token_that_lost_its_rights_does_not_forget_machines() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(made(&world, &plugin, 1)).unwrap().id;
    lab.with(|pve| pve.fault(Trouble::Withhold("VM.Audit".into(), true)));
    let fault = world.run(delete(&world, &plugin, &id)).unwrap_err();
    assert_eq!(fault.code, "PERMISSION_MISSING");
    assert!(world.run(plugin.observe(world.a_call(), key(1), id)).is_err());
    assert_eq!(world.items().len(), 1);
}

#[test]
fn a_clone_whose_worker_was_killed_is_left_and_another_number_taken() {
    let (world, (lab, plugin)) = scene();
    lab.with(|pve| pve.fault(task("qmclone", TaskFault::Killed)));
    let instance = world.run(made(&world, &plugin, 1)).unwrap();
    assert_eq!((instance.id.as_str(), lab.machines(&world).len()), ("105", 1));
    assert!(world.logs().iter().any(|line| line.contains("vmid=104")), "{:?}", world.logs());
}

#[test]
fn other_workers_that_were_killed_are_gone_over_again() {
    for kind in ["qmconfig", "resize", "imgcopy", "qmstart"] {
        let (world, (lab, plugin)) = scene();
        lab.with(|pve| pve.fault(task(kind, TaskFault::Killed)));
        let mut result = world.run(up(&world, &plugin, 1));
        if let Err(fault) = &result {
            assert_eq!((fault.code.as_str(), fault.outcome), ("WORKER_KILLED", Outcome::Unknown), "{kind}");
            result = world.run(up(&world, &plugin, 1));
        }
        assert_eq!(result.unwrap().lifecycle, Lifecycle::Running, "{kind}");
        assert_eq!(lab.machines(&world).len(), 1, "{kind}");
    }
}

#[test]
fn warnings_are_success() {
    let (world, (lab, plugin)) = scene();
    lab.with(|pve| ["qmclone", "qmstart", "imgcopy"].map(|kind| pve.fault(task(kind, TaskFault::Warns))));
    world.run(joined(&world, &plugin, 1)).unwrap();
    assert_eq!(lab.machines(&world).len(), 1);
}

#[test]
fn a_full_storage_says_so() {
    let (world, (lab, plugin)) = scene();
    lab.with(|pve| pve.fault(Trouble::StorageFull("vmdata".into(), true)));
    let fault = world.run(made(&world, &plugin, 1)).unwrap_err();
    assert_eq!((fault.code.as_str(), fault.class, fault.scope), ("STORAGE_FULL", Class::Exhausted, Scope::Placement));
    world.run(plugin.delete(world.a_call(), key(1), None)).unwrap();
    assert!(lab.leftovers(&world).is_empty() && world.items().is_empty());
}

#[test]
fn a_machine_that_was_started_by_hand_is_given_its_seed() {
    let (world, (lab, plugin)) = scene();
    let instance = world.run(made(&world, &plugin, 1)).unwrap();
    let entry = world.item("machine", &key(1).name).unwrap().entry;
    let machine = world.run(async { plugin.present(&world.a_call(), &key(1), &instance.id).await }).unwrap();
    world.run(async { plugin.start_up(&world.a_call(), &key(1), entry, &machine).await }).unwrap();
    world.run(plugin.boot(world.a_call(), key(1), instance.clone(), bootstrap())).unwrap();
    assert_eq!(
        lab.machines(&world)[0].config["ide2"].split(',').next(),
        Some("seeds:iso/seed-kabcdefghij-workers-01.iso")
    );
    // Once it had its data it is left alone, also when the seed is gone.
    world.run(plugin.finish_bootstrap(world.a_call(), key(1), instance.clone())).unwrap();
    let before = world.requests().len();
    world.run(plugin.boot(world.a_call(), key(1), instance, bootstrap())).unwrap();
    assert!(world.requests()[before..].iter().all(|sent| sent.method() == "GET"));
}

#[test]
fn a_journal_that_was_lost_is_made_up_for_by_the_mark() {
    let (world, (lab, plugin)) = scene();
    let first = world.run(made(&world, &plugin, 1)).unwrap();
    let other = World::new();
    other.pass(world.now() - other.now() + 5_000);
    other.config(config()).manifest(manifest()).range("vmid", 104..120);
    lab.serve(&other);
    let found = other.run(plugin.find(other.a_call(), key(1))).unwrap().unwrap();
    assert_eq!(found.id, first.id);
    let again = other.run(plugin.create(other.a_call(), key(1), pool(), Some(found), None)).unwrap();
    assert_eq!((again.id, lab.machines(&world).len()), (first.id, 1));
    let second = other.run(made(&other, &plugin, 2)).unwrap();
    assert_eq!((second.id.as_str(), lab.machines(&world).len()), ("105", 2));
}

#[test]
fn a_seed_that_no_journal_knows_goes_with_its_machine() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(up(&world, &plugin, 1)).unwrap().id;
    let other = World::new();
    other.pass(world.now() - other.now() + 5_000);
    other.config(config()).manifest(manifest()).range("vmid", 104..120);
    lab.serve(&other);
    other.run(plugin.delete(other.a_call(), key(1), Some(id))).unwrap();
    assert!(lab.leftovers(&other).is_empty(), "{:?}", lab.leftovers(&other));
    assert!(other.items().is_empty());
}

#[test]
fn a_machine_that_vanished_is_made_again() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(joined(&world, &plugin, 1)).unwrap().id;
    lab.with(|pve| pve.fault(Trouble::Vanish(id.parse().unwrap())));
    let again = world.run(up(&world, &plugin, 1)).unwrap();
    assert_eq!((again.lifecycle, lab.machines(&world).len()), (Lifecycle::Running, 1));
    assert!(lab.leftovers(&world).iter().any(|left| left.starts_with("seeds:")), "the new one got a seed of its own");
}

#[test]
fn a_task_that_its_node_forgot_is_over() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(up(&world, &plugin, 1)).unwrap().id;
    let gone = "{\"errors\": {\"upid\": \"no such task\"}}";
    lab.with(|pve| pve.fault(Trouble::Status(On::new("GET", "/tasks/", 99), 400, format!("no such task {gone}"))));
    world.pass(60_000);
    let before = world.now();
    world.run(plugin.power(world.a_call(), key(1), id, agentkube_sdk::node_provider::PowerAction::Start)).unwrap();
    assert_eq!(world.now(), before, "nobody waits for what was started a minute ago");
}

#[test]
fn a_config_that_somebody_changed_meanwhile_is_read_again() {
    let (world, (lab, plugin)) = scene();
    lab.with(|pve| {
        pve.fault(Trouble::Status(
            On::new("POST", "/config", 1),
            500,
            "checksum mismatch (file change by other user?)\n".into(),
        ))
    });
    world.run(made(&world, &plugin, 1)).unwrap();
    assert_eq!(lab.machines(&world)[0].cores(), 4);
}

#[test]
fn a_worker_that_did_not_start_is_asked_for_again() {
    let (world, (lab, plugin)) = scene();
    let text = || "got no worker upid - start worker failed".to_owned();
    let refusals = ["/clone", "/resize", "/start"].map(|path| Trouble::Status(On::new("", path, 2), 500, text()));
    lab.with(|pve| refusals.into_iter().for_each(|refusal| pve.fault(refusal)));
    assert_eq!(world.run(up(&world, &plugin, 1)).unwrap().lifecycle, Lifecycle::Running);
    assert_eq!(lab.machines(&world).len(), 1);
}

#[test]
fn a_backup_and_an_edit_are_waited_for() {
    for trouble in [Trouble::Backup(0, 20_000), Trouble::Edit(0), Trouble::Hold(Lock::Vm(0), 20_000)] {
        let (world, (lab, plugin)) = scene();
        lab.with(|pve| pve.fault(Trouble::When(On::new("POST", "/config", 1), Box::new(trouble.clone()))));
        world.run(made(&world, &plugin, 1)).unwrap();
        assert_eq!(lab.machines(&world)[0].cores(), 4, "{trouble:?}");
    }
}

#[test]
fn a_machine_that_moved_before_its_boot_is_booted_where_it_is() {
    let (world, (lab, plugin)) = scene();
    let instance = world.run(made(&world, &plugin, 1)).unwrap();
    lab.with(|pve| pve.fault(Trouble::Move(instance.id.parse().unwrap(), "pve2".into())));
    let booted = world.run(plugin.boot(world.a_call(), key(1), instance, bootstrap())).unwrap();
    assert_eq!(booted.location, "pve2");
}

#[test]
fn what_people_must_mend_says_how() {
    let (world, (lab, plugin)) = scene();
    for (trouble, code, cure) in [
        (Trouble::StorageFull("vmdata".into(), true), "STORAGE_FULL", "free space on it"),
        (Trouble::NoQuorum(true), "NO_QUORUM", "bring back enough nodes"),
        (Trouble::TokenRefused(true), "TOKEN_REFUSED", "put a good one"),
        (Trouble::Vanish(9000), "TEMPLATE_MISSING", "is not there"),
    ] {
        lab.with(|pve| pve.fault(trouble));
        let fault = world.run(plugin.create(world.a_call(), key(1), pool(), None, None)).unwrap_err();
        assert!(fault.code == code && fault.message.contains(cure), "{fault:?}");
        lab.with(|pve| [Trouble::NoQuorum(false), Trouble::TokenRefused(false)].map(|over| pve.fault(over)));
    }
}

#[test]
fn a_protected_machine_is_deleted_once_it_may_be() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(made(&world, &plugin, 1)).unwrap().id;
    lab.with(|pve| pve.fault(Trouble::Protect(id.parse().unwrap(), true)));
    let fault = world.run(delete(&world, &plugin, &id)).unwrap_err();
    assert_eq!((fault.code.as_str(), fault.outcome), ("VM_PROTECTED", Outcome::NotApplied));
    lab.with(|pve| pve.fault(Trouble::Protect(id.parse().unwrap(), false)));
    world.run(delete(&world, &plugin, &id)).unwrap();
    assert!(lab.leftovers(&world).is_empty());
}

#[test]
fn an_offline_node_is_passed_over() {
    let mut spread = config();
    spread["nodes"] = json!(["pve1", "pve2"]);
    let (world, (lab, plugin)) = scene_of(Cluster::default().with_scale(0.1), spread);
    lab.with(|pve| pve.fault(Trouble::NodeOffline("pve2".into(), true)));
    world.run(made(&world, &plugin, 1)).unwrap();
    assert_eq!(lab.machines(&world)[0].node, "pve1");
}
