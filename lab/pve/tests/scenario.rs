//! A machine is made, boots from its seed, reports and goes away without a trace.

mod common;

use common::Client;
use lab_pve::Settings;
use lab_wire::{GuestAddress, GuestReport, Hypervisor, MachineEvent, Media};
use serde_json::json;

#[test]
fn a_machine_comes_and_goes() {
    let mut client = Client::new(Settings::default().with_scale(0.1));
    let volumes_before = client.pve.volumes().count();

    assert_eq!(client.ok("GET", "/cluster/nextid", &[]), "100");
    let exit = client.run(
        "POST",
        "/nodes/pve1/qemu/9000/clone",
        &[
            ("newid", "104"),
            ("name", "kabc-w-01"),
            ("full", "1"),
            ("storage", "vmdata"),
            ("target", "pve2"),
            ("pool", "agentkube"),
            ("description", "agentkube machine=u-1"),
        ],
    );
    assert_eq!(exit, "OK");

    let config = client.ok("GET", "/nodes/pve2/qemu/104/config", &[]);
    assert_eq!(config["description"], "agentkube machine=u-1\n");
    assert_eq!(config["tags"], "template", "tags are copied");
    let digest = config["digest"].as_str().unwrap().to_owned();
    let fields = [
        ("cores", "4"),
        ("memory", "4096"),
        ("tags", "Zeta;k8s"),
        ("net0", "virtio,bridge=vmbr0,tag=120"),
        ("agent", "enabled=1"),
        ("delete", "ide2"),
        ("digest", digest.as_str()),
    ];
    assert_eq!(client.run("POST", "/nodes/pve2/qemu/104/config", &fields), "OK");
    assert_eq!(client.run("PUT", "/nodes/pve2/qemu/104/resize", &[("disk", "scsi0"), ("size", "40G")]), "OK");

    let upid = client.upload("pve2", "seed-104.iso", b"seed bytes").value()["data"].clone();
    assert!(upid.as_str().unwrap().contains(":imgcopy::agentkube@pve!lab:"), "{upid}");
    assert_eq!(client.wait(&upid), "OK");
    client.ok("PUT", "/nodes/pve2/qemu/104/config", &[("ide3", "seeds:iso/seed-104.iso,media=cdrom")]);
    let config = client.ok("GET", "/nodes/pve2/qemu/104/config", &[]);
    assert_eq!(config["boot"], "order=scsi0;ide3");
    assert_eq!(config["tags"], "k8s;zeta");
    assert!(config["scsi0"].as_str().unwrap().contains("size=40G"), "{config}");
    let mac = config["net0"].as_str().unwrap()["virtio=".len()..].split(',').next().unwrap().to_lowercase();

    assert_eq!(client.run("POST", "/nodes/pve2/qemu/104/status/start", &[]), "OK");
    let events = client.pve.machine_events();
    let [MachineEvent::Started(boot)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((boot.name.as_str(), boot.cores, boot.memory_mib), ("kabc-w-01", 4, 4096));
    assert_eq!(boot.macs, std::slice::from_ref(&mac));
    let [Media::Iso(seed)] = boot.media.as_slice() else { panic!("the seed alone: {:?}", boot.media) };
    assert_eq!(seed, b"seed bytes");

    let silent = client.fails("GET", "/nodes/pve2/qemu/104/agent/network-get-interfaces", &[]);
    assert_eq!(silent, (500, "QEMU guest agent is not running".to_owned()));
    let own =
        GuestAddress { interface: "eth0".to_owned(), mac: mac.clone(), address: "10.0.0.5".to_owned(), prefix: 24 };
    let report =
        GuestReport { agent: true, hostname: "kabc-w-01".to_owned(), addresses: vec![own], ..GuestReport::default() };
    let (id, now) = (boot.id.clone(), client.now);
    client.pve.guest_report(&id, report, now);
    let found = client.ok("GET", "/nodes/pve2/qemu/104/agent/network-get-interfaces", &[]);
    assert_eq!(found["result"][1]["hardware-address"], json!(mac));
    assert_eq!(found["result"][1]["ip-addresses"][0]["ip-address"], "10.0.0.5");
    assert_eq!(client.ok("GET", "/nodes/pve2/qemu/104/status/current", &[])["status"], "running");

    client.ok("PUT", "/nodes/pve2/qemu/104/config", &[("ide3", "none,media=cdrom")]);
    let gone = client.run("DELETE", "/nodes/pve2/storage/seeds/content/seeds%3Aiso%2Fseed-104.iso", &[]);
    assert_eq!(gone, "OK");

    let early = client.fails("DELETE", "/nodes/pve2/qemu/104?purge=1", &[]);
    assert_eq!(early, (500, "VM 104 is running - destroy failed".to_owned()));
    assert_eq!(client.run("POST", "/nodes/pve2/qemu/104/status/stop", &[]), "OK");
    assert_eq!(client.run("DELETE", "/nodes/pve2/qemu/104?purge=1&destroy-unreferenced-disks=1", &[]), "OK");
    let events = client.pve.machine_events();
    assert!(matches!(events.as_slice(), [MachineEvent::Stopped { .. }, MachineEvent::Destroyed { .. }]), "{events:?}");
    assert!(client.pve.leftovers().is_empty(), "{:?}", client.pve.leftovers());
    assert_eq!(client.pve.volumes().count(), volumes_before);
    assert!(client.pve.tasks().iter().all(|task| !task.running()));
}
