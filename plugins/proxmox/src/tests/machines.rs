//! One machine's life, as it should be.

use agentkube_sdk::machine::Lifecycle;
use agentkube_sdk::node_provider::PowerAction;
use agentkube_sdk::testing::check_manifest;
use lab_pve::{Fault as Trouble, Release};
use lab_wire::{GuestAddress, GuestReport, Hypervisor, MachineEvent, Media};

use super::*;

/// What one machine made, booted and cleaned up after costs. Measured here, and said in docs/proxmox.md.
const REQUESTS: usize = 22;

// Checklist 41, 42.
#[test]
fn a_machine_comes_and_goes() {
    let (world, (lab, plugin)) = scene();
    let made = world.run(made(&world, &plugin, 1)).unwrap();
    assert_eq!((made.lifecycle, made.cores, made.memory_mib), (Lifecycle::Stopped, 4, 8192));
    let vm = lab.machines(&world).remove(0);
    assert_eq!(vm.config["name"], key(1).name);
    assert_eq!(vm.config["tags"], "agentkube;kabcdefghij");
    assert_eq!((vm.config["onboot"].as_str(), vm.pool.as_deref()), ("1", Some("agentkube")));
    assert!(vm.config["scsi0"].contains("size=20G"), "{:?}", vm.config);
    assert!(!vm.config.contains_key("ide2"), "the template's cloud-init drive is gone");
    assert_eq!(made.macs, vm.macs().iter().map(|mac| mac.to_lowercase()).collect::<Vec<_>>());
    assert_eq!(made.provider_id, Some(format!("proxmox://{}", &vm.config["smbios1"]["uuid=".len()..])));

    let booted = world.run(plugin.boot(world.a_call(), key(1), made.clone(), bootstrap())).unwrap();
    assert_eq!((booted.lifecycle, &booted.id), (Lifecycle::Running, &made.id));
    let events = lab.with(|pve| pve.machine_events());
    let [MachineEvent::Started(boot)] = events.as_slice() else { panic!("{events:?}") };
    let [Media::Iso(seed)] = boot.media.as_slice() else { panic!("the seed alone: {:?}", boot.media) };
    assert!(String::from_utf8_lossy(seed).contains("#cloud-config"));

    let address =
        GuestAddress { interface: "eth0".into(), mac: boot.macs[0].clone(), address: "10.0.0.5".into(), prefix: 24 };
    let report = GuestReport { agent: true, hostname: key(1).name, addresses: vec![address], ..GuestReport::default() };
    lab.with(|pve| pve.guest_report(&boot.id, report, world.now()));
    let seen = world.run(plugin.observe(world.a_call(), key(1), made.id.clone())).unwrap().unwrap();
    assert_eq!(seen.addresses.iter().map(|address| address.ip.as_str()).collect::<Vec<_>>(), ["10.0.0.5"]);

    world.run(plugin.finish_bootstrap(world.a_call(), key(1), booted.clone())).unwrap();
    let before = world.requests().len();
    world.run(plugin.finish_bootstrap(world.a_call(), key(1), booted)).unwrap();
    assert!(world.requests()[before..].iter().all(|request| request.method() == "GET"), "a second call does nothing");
    assert!(lab.leftovers(&world).iter().all(|left| !left.contains("seeds:")), "{:?}", lab.leftovers(&world));
    assert_eq!(world.items().len(), 1);

    world.pass(1_000);
    let owned = world.run(plugin.list_owned("lab".into(), None)).unwrap();
    assert_eq!((owned.items[0].owner.service.as_str(), &owned.items[0].id), ("svc-1", &made.id));
    assert!(world.run(plugin.list_owned("another".into(), None)).unwrap().items.is_empty());

    world.run(plugin.delete(world.a_call(), key(1), Some(made.id.clone()))).unwrap();
    assert!(lab.leftovers(&world).is_empty(), "{:?}", lab.leftovers(&world));
    assert!(world.items().is_empty());
    assert_eq!(world.run(plugin.observe(world.a_call(), key(1), made.id.clone())), Ok(None));
    world.run(plugin.delete(world.a_call(), key(1), Some(made.id))).unwrap();
    world.run(plugin.delete(world.a_call(), key(1), None)).unwrap();
}

#[test]
fn every_version_is_served() {
    for release in [Release::V8_2, Release::V8_4, Release::V9_1] {
        let (world, (lab, plugin)) = scene_of(Cluster::new(release).with_scale(0.1), config());
        world.run(joined(&world, &plugin, 1)).unwrap();
        world.run(plugin.delete(world.a_call(), key(1), None)).unwrap();
        assert!(lab.leftovers(&world).is_empty(), "{release:?}: {:?}", lab.leftovers(&world));
    }
}

#[test]
fn a_machine_costs_few_requests() {
    let mut linked = config();
    linked["clone"] = json!("linked");
    linked.as_object_mut().unwrap().remove("storage");
    linked["timings"] = json!({});
    let (world, (_, plugin)) = scene_of(Cluster::default(), linked);
    world.run(joined(&world, &plugin, 1)).unwrap();
    let requests: Vec<String> =
        world.requests().iter().map(|sent| format!("{} {}", sent.method(), sent.path())).collect();
    assert_eq!(requests.len(), REQUESTS, "{requests:#?}");
}

/// The same with full clones of a minute: the first of a template, and one after it. Said in docs/proxmox.md, too.
const FULL: (usize, usize) = (40, 27);

#[test]
fn a_full_clone_is_looked_at_seldom_once_it_is_known_how_long_it_takes() {
    let mut cluster = Cluster::default();
    cluster.durations.full_clone = (60_000, 60_000);
    let mut usual = config();
    usual["timings"] = json!({});
    let (world, (_, plugin)) = scene_of(cluster, usual);
    let cost = |index| {
        let (before, began) = (world.requests().len(), world.now());
        world.run(joined(&world, &plugin, index)).unwrap();
        (world.requests().len() - before, world.now() - began)
    };
    let (first, took) = cost(1);
    let (second, later) = cost(2);
    assert!(later <= took + 4_000, "knowing it makes nobody wait: {took} ms, then {later} ms");
    assert_eq!((first, second), FULL);
}

#[test]
fn measuring_a_machine_costs_one_request() {
    let (world, (_, plugin)) = scene();
    let id = world.run(joined(&world, &plugin, 1)).unwrap().id;
    world.pass(20_000);
    let before = world.requests().len();
    let samples = world.run(plugin.metrics(world.a_call(), key(1), id)).unwrap();
    assert_eq!(world.requests().len(), before + 1);
    assert!(samples.iter().any(|sample| sample.name == "machine.running" && sample.value == 1.0), "{samples:?}");
}

// Checklist 43, 44, 45.
#[test]
fn power_ends_in_the_state_that_was_asked_for() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(joined(&world, &plugin, 1)).unwrap().id;
    for (action, lifecycle) in [
        (PowerAction::Reboot, Lifecycle::Running),
        (PowerAction::Shutdown, Lifecycle::Stopped),
        (PowerAction::Stop, Lifecycle::Stopped),
        (PowerAction::Start, Lifecycle::Running),
        (PowerAction::Stop, Lifecycle::Stopped),
        (PowerAction::Reboot, Lifecycle::Running),
    ] {
        let seen = world.run(plugin.power(world.a_call(), key(1), id.clone(), action)).unwrap();
        assert_eq!(seen.lifecycle, lifecycle, "{action:?}");
    }
    lab.with(|pve| pve.fault(Trouble::ShutdownIgnored(true)));
    let seen = world.run(plugin.power(world.a_call(), key(1), id, PowerAction::Shutdown)).unwrap();
    assert_eq!(seen.lifecycle, Lifecycle::Stopped, "a guest that does not listen is forced");
}

#[test]
fn a_highly_available_machine_is_waited_for() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(joined(&world, &plugin, 1)).unwrap().id;
    lab.with(|pve| pve.fault(Trouble::HighAvailability(id.parse().unwrap(), true)));
    for (action, lifecycle) in [(PowerAction::Stop, Lifecycle::Stopped), (PowerAction::Start, Lifecycle::Running)] {
        let seen = world.run(plugin.power(world.a_call(), key(1), id.clone(), action)).unwrap();
        assert_eq!(seen.lifecycle, lifecycle);
    }
    world.run(plugin.delete(world.a_call(), key(1), Some(id))).unwrap();
    assert!(lab.leftovers(&world).is_empty(), "{:?}", lab.leftovers(&world));
}

#[test]
fn a_machine_gets_another_shape_and_its_disk_never_shrinks() {
    let (world, (lab, plugin)) = scene();
    let id = world.run(made(&world, &plugin, 1)).unwrap().id;
    let mut larger = pool();
    (larger.shape.cores, larger.shape.memory_mib, larger.shape.disk_gib) = (8, 16_384, Some(40));
    let seen = world.run(plugin.resize(world.a_call(), key(1), id.clone(), larger.clone())).unwrap();
    assert_eq!((seen.cores, seen.memory_mib), (8, 16_384));
    larger.shape.disk_gib = Some(10);
    let before = world.requests().len();
    world.run(plugin.resize(world.a_call(), key(1), id, larger)).unwrap();
    assert!(world.requests()[before..].iter().all(|request| request.method() == "GET"), "nothing differs");
    assert!(lab.machines(&world)[0].config["scsi0"].contains("size=40G"));
}

#[test]
fn cards_are_as_the_pool_wants_them_and_keep_their_macs() {
    let (world, (lab, plugin)) = scene();
    let mut wide = pool();
    let card = |vlan, firewall| agentkube_sdk::cluster::Card { network: "vmbr0".into(), vlan, firewall, address: None };
    wide.shape.networks = vec![card(Some(120), true), card(None, false)];
    let instance = world.run(plugin.create(world.a_call(), key(1), wide, None, None)).unwrap();
    let vm = lab.machines(&world).remove(0);
    assert!(vm.config["net0"].contains("tag=120") && vm.config["net0"].contains("firewall=1"), "{:?}", vm.config);
    assert_eq!(instance.macs, vm.macs().iter().map(|mac| mac.to_lowercase()).collect::<Vec<_>>());
    assert_eq!(instance.macs.len(), 2);
    let back = world.run(plugin.resize(world.a_call(), key(1), instance.id, pool())).unwrap();
    assert_eq!(back.macs, instance.macs[..1]);
    assert!(!lab.machines(&world)[0].config.contains_key("net1"));
}

#[test]
fn seeds_go_to_the_machines_own_node() {
    for labelled in [true, false] {
        let mut spread = config();
        spread["nodes"] = json!(["pve1", "pve2"]);
        let (world, (lab, plugin)) = scene_of(Cluster::default().with_scale(0.1), spread);
        lab.0.labelled.set(labelled);
        world.run(up(&world, &plugin, 1)).unwrap();
        assert_eq!(lab.machines(&world)[0].node, "pve2");
        let task = lab.with(|pve| pve.tasks().iter().find(|task| task.kind == "imgcopy").unwrap().node.clone());
        assert_eq!(task, if labelled { "pve2" } else { "pve1" });
    }
}

// Checklist 46.
#[test]
fn measurements_have_their_units() {
    let (world, (_, plugin)) = scene();
    let id = world.run(joined(&world, &plugin, 1)).unwrap().id;
    let samples = world.run(plugin.metrics(world.a_call(), key(1), id)).unwrap();
    let value = |name: &str| samples.iter().find(|sample| sample.name == name).map(|sample| sample.value);
    assert_eq!((value("cpu.usage"), value("memory.size")), (Some(1.0), Some(8192.0 * 1024.0 * 1024.0)));
    assert!(samples.iter().all(|sample| sample.resource == key(1).name));
    // An administrator makes their types known, and finds their names there.
    let (page, install) = (include_str!("../../../../docs/proxmox.md"), include_str!("../../../../docs/fulcrum.md"));
    for Sample { name, .. } in &samples {
        assert!(page.contains(&format!("`{name}`")) && install.contains(name), "{name}");
    }
}

#[test]
fn the_manifest_is_what_the_code_says() {
    check_manifest(&manifest(), include_str!("../../manifest.json"));
}
