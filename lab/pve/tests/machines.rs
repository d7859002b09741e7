//! What VMs, tasks and locks do that breaks naive clients: one test per quirk.

mod common;

use common::Client;
use lab_pve::{Fault, Lock, Settings, TaskFault};
use lab_wire::{GuestReport, Hypervisor, MachineEvent, Media};
use serde_json::{Value, json};

fn fast() -> Client {
    Client::new(Settings::default().with_scale(0.1))
}

const CLONE: &str = "/nodes/pve1/qemu/9000/clone";

fn clone_fields(vmid: &str) -> [(&'static str, &str); 3] {
    [("newid", vmid), ("pool", "agentkube"), ("full", "0")]
}

#[test]
fn upids_have_their_form_and_are_unknown_for_a_moment() {
    let mut client = fast();
    let upid = client.ok("POST", CLONE, &clone_fields("104"));
    let upid = upid.as_str().unwrap();
    let parts: Vec<&str> = upid.split(':').collect();
    assert_eq!(
        (parts[0], parts[1], parts[5], parts[6], parts[7], parts[8]),
        ("UPID", "pve1", "qmclone", "9000", "agentkube@pve!lab", "")
    );
    assert!(parts[2..5].iter().all(|hex| hex.len() == 8 && u64::from_str_radix(hex, 16).is_ok()));
    let (status, body) = client.call("GET", &format!("/nodes/pve1/tasks/{upid}/status"), &[]);
    assert_eq!((status, body["errors"]["upid"].clone()), (400, json!("no such task")));
    client.now += 100;
    let status = client.ok("GET", &format!("/nodes/pve1/tasks/{upid}/status"), &[]);
    assert_eq!((status["user"].clone(), status["tokenid"].clone()), (json!("agentkube@pve"), json!("lab")));
    assert_eq!((status["status"].clone(), status["exitstatus"].clone()), (json!("running"), Value::Null));
    let (status, _) = client.call("GET", &format!("/nodes/pve2/tasks/{upid}/status"), &[]);
    assert_eq!(status, 400, "only the node in the UPID knows it");
    assert_eq!(client.wait(&json!(upid)), "OK");
    let (_, log) = client.call("GET", &format!("/nodes/pve1/tasks/{upid}/log?start=0&limit=50"), &[]);
    assert_eq!((log["data"][0]["t"].clone(), log["total"].clone()), (json!("TASK OK"), json!(1)));
}

#[test]
fn a_clone_is_locked_and_out_of_sight_until_its_task_ends() {
    let mut client = fast();
    let upid = client.ok("POST", CLONE, &[("newid", "104"), ("pool", "agentkube"), ("target", "pve2"), ("full", "0")]);
    client.now += 200;
    assert_eq!(client.fails("GET", "/nodes/pve1/qemu/104/config", &[]).0, 403, "not in its pool yet");
    let seen = client.ok("GET", "/cluster/nextid", &[]);
    assert_eq!(seen, "100");
    assert_eq!(client.call("GET", "/cluster/nextid?vmid=104", &[]).1["errors"]["vmid"], "VM 104 already exists");
    let half = client.pve.vm(104).unwrap();
    assert_eq!((half.node.as_str(), half.lock()), ("pve1", Some("clone")));
    assert_eq!(client.wait(&upid), "OK");
    let vm = client.pve.vm(104).unwrap();
    assert_eq!((vm.node.as_str(), vm.lock(), vm.pool.as_deref()), ("pve2", None, Some("agentkube")));
    let template = client.pve.vm(9000).unwrap();
    assert_ne!(vm.macs(), template.macs());
    assert_ne!(vm.config["smbios1"], template.config["smbios1"]);
    assert_eq!(vm.config["name"], "Copy-of-ubuntu-24.04-kube");
    assert_eq!(vm.config["ide2"], "vmdata:vm-104-cloudinit,media=cdrom,size=4M");
    assert!(vm.config["scsi0"].starts_with("vmdata:base-9000-disk-0/vm-104-disk-0,"), "{}", vm.config["scsi0"]);
}

#[test]
fn the_index_lags_behind() {
    let mut client = Client::new(Settings::default());
    client.ok("GET", "/cluster/resources?type=vm", &[]);
    client.clone(104);
    let entry = |client: &mut Client| {
        let all = client.ok("GET", "/cluster/resources?type=vm", &[]);
        all.as_array().unwrap().iter().find(|vm| vm["vmid"] == 104).cloned().unwrap()
    };
    client.run("POST", "/nodes/pve1/qemu/104/config", &[("name", "renamed"), ("tags", "now")]);
    let mut fresh = entry(&mut client);
    for _ in 0..200 {
        if fresh["status"] != "unknown" {
            break;
        }
        assert!(fresh["name"].is_null());
        assert_eq!(fresh["tags"], "now", "tags are live");
        client.now += 100;
        fresh = entry(&mut client);
    }
    assert_eq!((fresh["status"].clone(), fresh["name"].clone()), (json!("stopped"), json!("renamed")));
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    assert_eq!(entry(&mut client)["status"], "stopped", "still the old broadcast");
    client.now += 10_000;
    assert_eq!(entry(&mut client)["status"], "running");
}

#[test]
fn an_id_can_be_lost_to_somebody_else() {
    let mut client = fast();
    client.clone(104);
    let same_node = client.fails("POST", CLONE, &clone_fields("104"));
    assert_eq!(same_node, (500, "unable to create VM 104: config file already exists".to_owned()));
    client.pve.fault(Fault::ForeignTakesNextClone("pve2".to_owned()));
    let exit = client.run("POST", CLONE, &clone_fields("105"));
    assert_eq!(exit, "close (rename) atomic file '/etc/pve/nodes/pve1/qemu-server/105.conf' failed: File exists");
    assert_eq!(client.pve.vm(105).unwrap().name(), "somebody-elses");
}

#[test]
fn parallel_clones_share_the_template_but_wait_for_the_storage() {
    let mut client = Client::new(Settings::default());
    let upids: Vec<Value> = (104..112).map(|vmid| client.ok("POST", CLONE, &clone_fields(&vmid.to_string()))).collect();
    let exits: Vec<String> = upids.iter().map(|upid| client.wait(upid)).collect();
    let ok = exits.iter().filter(|exit| *exit == "OK").count();
    let late = "clone failed: cfs-lock 'storage-vmdata' error: got lock request timeout";
    assert!(exits.iter().all(|exit| exit == "OK" || exit == late), "{exits:?}");
    // Two disks of a second each per clone: six get the lock within ten seconds.
    assert_eq!((ok, exits.len() - ok), (6, 2));
    assert_eq!(client.pve.vms().count(), 7, "a clone that failed leaves nothing");
}

#[test]
fn the_lock_of_a_shared_storage_kills_who_holds_it_too_long() {
    let mut settings = Settings::default();
    settings.durations.allocation = 40_000;
    let mut client = Client::new(settings);
    let exit = client.run("POST", CLONE, &clone_fields("104"));
    assert_eq!(exit, "clone failed: 'storage-vmdata'-locked command timed out - aborting");
}

#[test]
fn a_clone_gives_up_on_a_locked_source_after_a_second() {
    let mut client = Client::new(Settings::default());
    client.pve.fault(Fault::Hold(Lock::Vm(9000), 5_000));
    let exit = client.run("POST", CLONE, &clone_fields("104"));
    assert_eq!(exit, "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout");
}

#[test]
fn linked_clones_take_no_storage_and_local_disks_stay() {
    let mut client = fast();
    let refused =
        client.fails("POST", CLONE, &[("newid", "104"), ("pool", "agentkube"), ("full", "0"), ("storage", "vmdata")]);
    assert_eq!(refused.1, "parameter 'storage' not allowed for linked clones");
    let mut client = Client::new(Settings::default().with_local_disks());
    let refused = client.fails("POST", CLONE, &[("newid", "104"), ("pool", "agentkube"), ("target", "pve2")]);
    assert_eq!(refused, (500, "can't clone VM to node 'pve2' (VM uses local storage)".to_owned()));
}

#[test]
fn a_template_drive_left_in_place_boots_a_second_seed() {
    let mut client = fast();
    client.clone(104);
    let upid = client.upload("pve1", "seed.iso", b"ours").value()["data"].clone();
    client.wait(&upid);
    client.ok("PUT", "/nodes/pve1/qemu/104/config", &[("ide3", "seeds:iso/seed.iso,media=cdrom")]);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    let events = client.pve.machine_events();
    let [MachineEvent::Started(boot)] = events.as_slice() else { panic!("{events:?}") };
    let [Media::Iso(theirs), Media::Iso(ours)] = boot.media.as_slice() else { panic!("{:?}", boot.media) };
    assert_eq!(ours, b"ours");
    assert_eq!(&theirs[0x8028..0x802e], b"cidata");
}

#[test]
fn the_config_has_its_habits() {
    let mut client = fast();
    client.clone(104);
    let path = "/nodes/pve1/qemu/104/config";
    client.ok("PUT", path, &[("tags", "Zeta,alpha;alpha"), ("net1", "virtio,bridge=vmbr0"), ("cipassword", "secret")]);
    let config = client.ok("GET", path, &[]);
    assert_eq!(config["tags"], "alpha;zeta");
    assert!(config["net1"].as_str().unwrap().starts_with("virtio=BC:24:11:"));
    assert_eq!(config["cipassword"], "**********");
    let stale = config["digest"].as_str().unwrap().to_owned();
    client.ok("PUT", path, &[("cores", "4"), ("digest", &stale)]);
    let mismatch = client.fails("PUT", path, &[("cores", "8"), ("digest", &stale)]);
    assert_eq!(mismatch, (500, "checksum mismatch (file change by other user?)".to_owned()));
    let keys = "ssh-ed25519%20AAAA%20me";
    client.ok("PUT", path, &[("sshkeys", keys)]);
    assert_eq!(client.ok("GET", path, &[])["sshkeys"], keys);
    let (_, body) = client.call("PUT", path, &[("sshkeys", "ssh-ed25519 AAAA me")]);
    assert!(body["errors"]["sshkeys"].as_str().unwrap().starts_with("invalid format - invalid urlencoded string"));
    let missing = client.fails("PUT", path, &[("ide3", "seeds:iso/none.iso,media=cdrom")]);
    assert_eq!(missing.1, "volume 'seeds:iso/none.iso' does not exist");
    client.ok("PUT", path, &[("delete", "scsi0")]);
    let config = client.ok("GET", path, &[]);
    assert!(config["unused0"].is_string() && config["scsi0"].is_null(), "a disk is kept: {config}");
    assert_eq!(config["boot"], "order=ide2");
    client.ok("PUT", path, &[("delete", "unused0")]);
    assert!(!client.pve.volumes().any(|volume| volume.name.ends_with("vm-104-disk-0")));
    let upid = client.ok("POST", path, &[("cores", "2")]);
    assert!(upid.as_str().unwrap().contains(":qmconfig:104:"));
    client.wait(&upid);
    assert_eq!(client.ok("POST", path, &[("cores", "3"), ("background_delay", "5")]), Value::Null);
}

#[test]
fn requests_wait_for_the_lock_and_give_up_after_ten_seconds() {
    let mut client = Client::new(Settings::default());
    client.clone(104);
    client.pve.fault(Fault::Hold(Lock::Vm(104), 4_000));
    client.ok("GET", "/version", &[]);
    let before = client.now;
    client.ok("PUT", "/nodes/pve1/qemu/104/config", &[("cores", "4")]);
    assert_eq!(client.now - before, 4_000);
    client.pve.fault(Fault::Hold(Lock::Vm(104), 40_000));
    client.ok("GET", "/version", &[]);
    let before = client.now;
    let timeout = client.fails("PUT", "/nodes/pve1/qemu/104/config", &[("cores", "4")]);
    assert_eq!(timeout.1, "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout");
    assert_eq!(client.now - before, 10_000);
}

#[test]
fn disks_grow_and_never_shrink() {
    let mut client = fast();
    client.clone(104);
    let path = "/nodes/pve1/qemu/104/resize";
    for (size, exit) in [("+2G", "OK"), ("10G", "OK"), ("4G", "shrinking disks is not supported")] {
        assert_eq!(client.run("PUT", path, &[("disk", "scsi0"), ("size", size)]), exit);
    }
    assert_eq!(client.pve.vm(104).unwrap().disk(), 10 << 30);
    client.pve.fault(Fault::StorageFull("vmdata".to_owned(), true));
    assert!(client.run("PUT", path, &[("disk", "scsi0"), ("size", "+1G")]).contains("No space left on device"));
    assert!(client.run("POST", CLONE, &clone_fields("105")).starts_with("clone failed: unable to create image"));
    assert!(client.pve.vm(105).is_none());
}

#[test]
fn power_tasks_say_what_went_wrong() {
    let mut client = fast();
    client.clone(104);
    let status = "/nodes/pve1/qemu/104/status";
    assert_eq!(client.fails("POST", &format!("{status}/reboot"), &[]), (500, "VM 104 not running".to_owned()));
    assert_eq!(client.run("POST", &format!("{status}/stop"), &[]), "OK", "stopping what is stopped");
    assert_eq!(client.run("POST", &format!("{status}/start"), &[]), "OK");
    assert_eq!(client.run("POST", &format!("{status}/start"), &[]), "VM 104 already running");
    let template = client.run_as_root("/nodes/pve1/qemu/9000/status/start");
    assert_eq!(template, "you can't start a vm if it's a template");
    client.pve.fault(Fault::ShutdownIgnored(true));
    assert_eq!(
        client.run("POST", &format!("{status}/shutdown"), &[("timeout", "3")]),
        "VM quit/powerdown failed - got timeout"
    );
    assert_eq!(client.run("POST", &format!("{status}/shutdown"), &[("timeout", "3"), ("forceStop", "1")]), "OK");
    assert!(client.pve.vm(104).unwrap().running.is_none());
}

#[test]
fn stop_overrules_a_shutdown_that_hangs() {
    let mut client = fast();
    client.clone(104);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    client.pve.fault(Fault::ShutdownIgnored(true));
    client.ok("POST", "/nodes/pve1/qemu/104/status/shutdown", &[]);
    let late = client.run("POST", "/nodes/pve1/qemu/104/status/stop", &[]);
    assert_eq!(late, "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout");
    let exit = client.run("POST", "/nodes/pve1/qemu/104/status/stop", &[("overrule-shutdown", "1")]);
    assert_eq!(exit, "OK");
}

#[test]
fn destroying_before_the_stop_ended_is_refused() {
    let mut client = fast();
    client.clone(104);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    let stop = client.ok("POST", "/nodes/pve1/qemu/104/status/stop", &[]);
    assert_eq!(client.fails("DELETE", "/nodes/pve1/qemu/104", &[]).1, "VM 104 is running - destroy failed");
    client.wait(&stop);
    let destroy = client.ok("DELETE", "/nodes/pve1/qemu/104?purge=1", &[]);
    assert_eq!(client.pve.vm(104).unwrap().lock(), Some("destroyed"), "the id is not free yet");
    assert_eq!(client.wait(&destroy), "OK");
    assert!(client.pve.vm(104).is_none());
}

#[test]
fn a_destroy_that_is_killed_leaves_nothing_but_a_lock() {
    let mut client = fast();
    client.clone(104);
    client.pve.fault(Fault::Task { kind: "qmdestroy".into(), times: 1, fault: TaskFault::Killed });
    assert_eq!(client.run("DELETE", "/nodes/pve1/qemu/104", &[]), "unexpected status");
    let left: Vec<_> = client.pve.vm(104).unwrap().config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(left, ["lock=destroyed"]);
    assert!(!client.pve.volumes().any(|volume| volume.vmid == Some(104)));
    assert_eq!(client.run("DELETE", "/nodes/pve1/qemu/104", &[]), "VM is locked (destroyed)");
    client.pve.fault(Fault::ConfigLock(104, None));
    assert_eq!(client.run("DELETE", "/nodes/pve1/qemu/104", &[]), "OK");
}

#[test]
fn unreferenced_disks_stay_unless_asked_for() {
    let mut client = fast();
    client.clone(104);
    // A disk that lost its line in the configuration.
    client.ok("PUT", "/nodes/pve1/qemu/104/config", &[("scsi1", "vmdata:1")]);
    client.ok("PUT", "/nodes/pve1/qemu/104/config", &[("delete", "scsi1")]);
    assert_eq!(client.pve.vm(104).unwrap().config["unused0"], "vmdata:vm-104-disk-1");
    client.run("DELETE", "/nodes/pve1/qemu/104?destroy-unreferenced-disks=1", &[]);
    assert!(!client.pve.volumes().any(|volume| volume.vmid == Some(104)));
}

#[test]
fn a_template_with_linked_clones_cannot_go() {
    let mut client = fast().root();
    client.clone(104);
    let exit = client.run("DELETE", "/nodes/pve1/qemu/9000", &[]);
    assert!(exit.starts_with("base volume 'vmdata:base-9000-disk-0' is still in use"), "{exit}");
}

#[test]
fn workers_die_in_every_way() {
    let mut client = fast();
    for (fault, exit) in [
        (TaskFault::Warns, "WARNINGS: 1"),
        (TaskFault::Fails("clone exploded".to_owned()), "clone failed: clone exploded"),
        (TaskFault::Killed, "unexpected status"),
    ] {
        client.pve.fault(Fault::Task { kind: "qmclone".to_owned(), times: 1, fault });
        assert_eq!(client.run("POST", CLONE, &clone_fields("104")), exit);
        match exit {
            "WARNINGS: 1" => {
                assert_eq!(client.run("DELETE", "/nodes/pve1/qemu/104", &[]), "OK");
            }
            "unexpected status" => assert_eq!(client.pve.vm(104).unwrap().lock(), Some("clone"), "left behind"),
            _ => assert!(client.pve.vm(104).is_none(), "cleaned up"),
        }
    }
    let before = client.now;
    client.pve.fault(Fault::Task { kind: "qmclone".to_owned(), times: 1, fault: TaskFault::Slow(100_000) });
    client.clone(105);
    assert!(client.now - before >= 10_000);
}

#[test]
fn vms_vanish_and_move() {
    let mut client = fast();
    client.clone(104);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    client.pve.machine_events();
    client.pve.fault(Fault::Move(104, "pve2".to_owned()));
    assert_eq!(
        client.fails("GET", "/nodes/pve1/qemu/104/config", &[]),
        (500, "Configuration file 'nodes/pve1/qemu-server/104.conf' does not exist".to_owned())
    );
    let all = client.ok("GET", "/cluster/resources?type=vm", &[]);
    assert!(all.as_array().unwrap().iter().any(|vm| vm["vmid"] == 104 && vm["node"] == "pve2"));
    client.pve.fault(Fault::Vanish(104));
    let events = client.pve.machine_events();
    assert!(matches!(events.as_slice(), [MachineEvent::Stopped { .. }, MachineEvent::Destroyed { .. }]));
    assert!(client.pve.vm(104).is_none());
}

#[test]
fn ids_of_machines_are_never_reused() {
    let mut client = fast();
    let mut seen = Vec::new();
    for _ in 0..2 {
        client.clone(104);
        seen.push(client.pve.vm(104).unwrap().machine_id());
        client.run("DELETE", "/nodes/pve1/qemu/104", &[]);
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn a_silent_agent_blocks_for_three_seconds() {
    let mut client = Client::new(Settings::default());
    client.clone(104);
    let ping = "/nodes/pve1/qemu/104/agent/ping";
    assert_eq!(client.fails("POST", ping, &[]).1, "VM 104 is not running");
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    let before = client.now;
    assert_eq!(client.fails("POST", ping, &[]).1, "QEMU guest agent is not running");
    assert_eq!(client.now - before, 3_000);
    let id = client.pve.vm(104).unwrap().machine_id();
    client.pve.guest_report(&id, GuestReport { agent: true, ..GuestReport::default() }, client.now);
    assert_eq!(client.ok("POST", ping, &[]), json!({ "result": {} }));
    client.pve.fault(Fault::AgentSilent(Some(104), true));
    assert_eq!(client.fails("POST", ping, &[]).1, "QEMU guest agent is not running");
    client.ok("PUT", "/nodes/pve1/qemu/104/config", &[("agent", "0")]);
    assert_eq!(client.fails("POST", ping, &[]).1, "No QEMU guest agent configured");
}

#[test]
fn commands_run_in_the_guest_are_written_down() {
    let mut client = fast().root();
    client.clone(104);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    let id = client.pve.vm(104).unwrap().machine_id();
    client.pve.guest_report(&id, GuestReport { agent: true, ..GuestReport::default() }, client.now);
    let fields = [("command", "cloud-init"), ("command", "status")];
    let pid = client.ok("POST", "/nodes/pve1/qemu/104/agent/exec", &fields)["pid"].clone();
    let status = client.ok("GET", &format!("/nodes/pve1/qemu/104/agent/exec-status?pid={pid}"), &[]);
    assert_eq!((status["exitcode"].clone(), status["out-data"].clone()), (json!(0), json!("status: done\n")));
    assert_eq!(client.pve.vm(104).unwrap().executed, [["cloud-init", "status"]]);
}

#[test]
fn under_ha_requests_end_before_anything_happened() {
    let mut client = fast();
    client.clone(104);
    client.pve.fault(Fault::HighAvailability(104, true));
    let upid = client.ok("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    assert!(upid.as_str().unwrap().contains(":hastart:104:"));
    assert_eq!(client.wait(&upid), "OK");
    assert_eq!(client.ok("GET", "/nodes/pve1/qemu/104/status/current", &[])["status"], "stopped");
    client.now += 2_000;
    let current = client.ok("GET", "/nodes/pve1/qemu/104/status/current", &[]);
    assert_eq!((current["status"].clone(), current["ha"]["managed"].clone()), (json!("running"), json!(1)));
}

#[test]
fn vms_migrate_and_their_metrics_start_with_them() {
    let mut client = fast().root();
    client.clone(104);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    let (_, body) = client.call("POST", "/nodes/pve1/qemu/104/migrate", &[("target", "pve2")]);
    assert!(body["errors"]["online"].is_string());
    assert_eq!(client.run("POST", "/nodes/pve1/qemu/104/migrate", &[("target", "pve2"), ("online", "1")]), "OK");
    client.now += 120_000;
    let points = client.ok("GET", "/nodes/pve2/qemu/104/rrddata?timeframe=hour", &[]);
    let points = points.as_array().unwrap();
    assert_eq!(points.len(), 60);
    assert!(points[0].get("cpu").is_none() && points[59]["maxcpu"] == 2, "{:?}", points[59]);
}

#[test]
fn a_running_task_can_be_cancelled() {
    let mut client = fast();
    let upid = client.ok("POST", CLONE, &clone_fields("104"));
    client.now += 100;
    client.ok("DELETE", &format!("/nodes/pve1/tasks/{}", upid.as_str().unwrap()), &[]);
    assert_eq!(client.wait(&upid), "interrupted by signal");
}
