//! What the token sees when it looks around, and how time passes when nobody asks.

mod common;

use common::Client;
use lab_pve::{Release, Settings};
use lab_wire::{Request, Server};
use serde_json::{Value, json};

fn column(rows: &Value, key: &str) -> Vec<String> {
    let text = |row: &Value| row[key].as_str().map_or(row[key].to_string(), str::to_owned);
    rows.as_array().unwrap().iter().map(text).collect()
}

#[test]
fn lists_hold_what_the_token_may_see() {
    let mut client = Client::new(Settings::default().with_scale(0.1));
    let nodes = client.ok("GET", "/nodes", &[]);
    assert_eq!(column(&nodes, "node"), ["pve1", "pve2"]);
    assert_eq!(nodes[0].get("maxcpu"), None, "without Sys.Audit");
    assert_eq!(client.fails("GET", "/nodes/pve2/status", &[]).1, "Permission check failed (/nodes/pve2, Sys.Audit)");
    let mut root = Client::new(Settings::default()).root();
    assert_eq!(root.ok("GET", "/nodes", &[])[0]["maxcpu"], 64);
    assert_eq!(root.ok("GET", "/nodes/pve2/status", &[])["cpuinfo"]["cpus"], 64);
    assert_eq!(column(&client.ok("GET", "/storage", &[]), "storage"), ["seeds", "vmdata"], "not `local`");
    assert_eq!(column(&client.ok("GET", "/nodes/pve1/storage?content=iso", &[]), "storage"), ["seeds"]);
    let disks = client.ok("GET", "/nodes/pve1/storage/vmdata/status", &[]);
    assert_eq!((disks["type"].clone(), disks["shared"].clone()), (json!("rbd"), json!(1)));
    assert_eq!(client.fails("GET", "/nodes/pve1/storage/local/status", &[]).0, 403);
    assert_eq!(column(&client.ok("GET", "/pools", &[]), "poolid"), ["agentkube"], "Pool.Audit on that one only");
    assert_eq!(client.fails("GET", "/pools/templates", &[]).0, 403);
    assert_eq!(column(&client.ok("GET", "/nodes/pve1/network?type=any_bridge", &[]), "iface"), ["vmbr0"]);
    assert_eq!(client.fails("GET", "/cluster/status", &[]).1, "Permission check failed (/, Sys.Audit)");
    assert_eq!(column(&client.ok("GET", "/nodes/pve1/qemu", &[]), "vmid"), ["9000"]);
    client.clone(104);
    assert_eq!(client.ok("GET", "/pools/agentkube", &[])["members"][0]["vmid"], 104);
    assert_eq!(column(&client.ok("GET", "/nodes/pve1/tasks", &[]), "type"), ["qmclone"]);
    let kinds = column(&client.ok("GET", "/cluster/resources", &[]), "type");
    assert_eq!(kinds, ["qemu", "qemu", "node", "node", "storage", "storage", "storage", "storage"]);
}

#[test]
fn the_releases_tell_themselves_apart() {
    for (release, text) in [(Release::V8_2, "8.2"), (Release::V8_4, "8.4"), (Release::V9_1, "9.1")] {
        let mut client = Client::new(Settings::new(release).with_scale(0.1)).root();
        assert_eq!(client.ok("GET", "/version", &[])["release"], text);
        let points = client.ok("GET", "/nodes/pve1/rrddata?timeframe=day", &[]);
        assert_eq!(points.as_array().unwrap().len(), if release == Release::V9_1 { 1440 } else { 70 });
    }
}

#[test]
fn a_vm_joins_a_pool_by_root() {
    let mut client = Client::new(Settings::default().with_scale(0.1)).root();
    client.clone(104);
    client.ok("PUT", "/pools", &[("poolid", "agentkube"), ("vms", "104"), ("delete", "1")]);
    assert_eq!(client.pve.vm(104).unwrap().pool, None);
    client.ok("PUT", "/pools", &[("poolid", "templates"), ("vms", "104")]);
    let (_, refused) = client.fails("PUT", "/pools", &[("poolid", "agentkube"), ("vms", "104")]);
    assert_eq!(refused, "VM 104 belongs already to pool 'templates'");
}

#[test]
fn tasks_end_by_their_timers_alone() {
    let mut client = Client::new(Settings::default());
    let started = client.now;
    let body = json!({ "newid": 104, "pool": "agentkube", "full": 1 });
    client.response(Request::new("POST", "/api2/extjs/nodes/pve1/qemu/9000/clone").json(&body));
    let mut ticks = 0;
    while let Some(at) = client.pve.next_timer() {
        client.pve.tick(at, &mut client.random);
        client.now = at;
        ticks += 1;
        assert!(ticks < 20, "a timer that does not move");
    }
    assert!((20_000..=122_000).contains(&(client.now - started)), "{}", client.now - started);
    assert_eq!(client.pve.vm(104).unwrap().lock(), None);
}

#[test]
fn thin_volumes_do_not_show_their_base() {
    let mut client = Client::new(Settings::default().with_local_disks().with_scale(0.1));
    client.clone(104);
    assert!(client.pve.vm(104).unwrap().config["scsi0"].starts_with("vmdata:vm-104-disk-0,"));
    let volumes = client.ok("GET", "/nodes/pve1/storage/vmdata/content?vmid=104", &[]);
    assert_eq!(column(&volumes, "volid"), ["vmdata:vm-104-cloudinit", "vmdata:vm-104-disk-0"]);
    assert_eq!(client.ok("GET", "/nodes/pve2/storage/vmdata/content", &[]), json!([]), "local to its node");
}
