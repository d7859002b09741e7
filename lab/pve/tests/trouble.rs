//! What others, and failing hardware, do to a cluster: one test per switch.

mod common;

use common::Client;
use lab_pve::{Fault, On, Release, Settings};
use lab_wire::{Hypervisor, MachineEvent, Request};

fn fast() -> Client {
    Client::new(Settings::default().with_scale(0.1))
}

const CONFIG: &str = "/nodes/pve1/qemu/104/config";

#[test]
fn something_happens_just_before_a_request() {
    let mut client = fast();
    client.clone(104);
    client.pve.fault(Fault::When(On::new("POST", "/104/config", 1), Box::new(Fault::Edit(0))));
    let digest = client.ok("GET", CONFIG, &[])["digest"].as_str().unwrap().to_owned();
    let change = [("cores", "3"), ("digest", digest.as_str())];
    assert_eq!(client.fails("POST", CONFIG, &change).1, "checksum mismatch (file change by other user?)");
    assert!(client.pve.vm(104).unwrap().config["description"].contains("Seen at"));
    let digest = client.ok("GET", CONFIG, &[])["digest"].as_str().unwrap().to_owned();
    assert_eq!(client.run("POST", CONFIG, &[("cores", "3"), ("digest", digest.as_str())]), "OK");
}

#[test]
fn a_backup_locks_the_configuration_for_a_while() {
    let mut client = fast();
    client.clone(104);
    client.pve.fault(Fault::Backup(104, 20_000));
    assert_eq!(client.fails("POST", CONFIG, &[("cores", "3")]).1, "VM is locked (backup)");
    client.now += 2_001;
    assert_eq!(client.run("POST", CONFIG, &[("cores", "3")]), "OK");
}

#[test]
fn a_protected_vm_is_not_removed() {
    let mut client = fast();
    client.clone(104);
    client.pve.fault(Fault::Protect(104, true));
    let text = client.fails("DELETE", "/nodes/pve1/qemu/104", &[]).1;
    assert_eq!(text, "can't remove VM 104 - protection mode enabled");
    client.pve.fault(Fault::Protect(104, false));
    assert_eq!(client.run("DELETE", "/nodes/pve1/qemu/104", &[]), "OK");
}

#[test]
fn without_quorum_nothing_changes_and_everything_is_seen() {
    let mut client = fast();
    client.clone(104);
    client.pve.fault(Fault::NoQuorum(true));
    assert_eq!(client.fails("POST", CONFIG, &[("cores", "3")]).1, "cluster not ready - no quorum?");
    client.ok("GET", CONFIG, &[]);
    client.pve.fault(Fault::NoQuorum(false));
    assert_eq!(client.run("POST", CONFIG, &[("cores", "3")]), "OK");
}

#[test]
fn a_token_can_lose_its_worth() {
    let mut client = fast();
    client.pve.fault(Fault::TokenRefused(true));
    assert_eq!(client.response(Request::new("GET", "/api2/extjs/version")).status, 401);
    client.pve.fault(Fault::TokenRefused(false));
    assert_eq!(client.response(Request::new("GET", "/api2/extjs/version")).status, 200);
}

#[test]
fn a_node_that_reboots_kills_its_workers_and_starts_what_starts_with_it() {
    let mut client = fast();
    client.clone(104);
    client.run("POST", CONFIG, &[("onboot", "1")]);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    client.pve.machine_events();
    let doomed = client.ok("POST", "/nodes/pve1/qemu/104/status/stop", &[]);
    client.pve.fault(Fault::Reboot("pve1".to_owned(), 60_000));
    let killed = client.pve.tasks().iter().find(|task| Some(task.upid.as_str()) == doomed.as_str()).unwrap();
    assert_eq!(killed.exit.as_deref(), Some("unexpected status"));
    client.endpoint = "pve2".to_owned();
    assert_eq!(client.call("GET", CONFIG, &[]).0, 595);
    client.now += 6_001;
    assert_eq!(client.ok("GET", "/nodes/pve1/qemu/104/status/current", &[])["status"], "running");
    let events = client.pve.machine_events();
    assert!(matches!(events.as_slice(), [MachineEvent::Stopped { .. }, MachineEvent::Started(_)]), "{events:?}");
}

#[test]
fn answers_say_what_time_it_is() {
    let mut client = fast();
    let date = |client: &mut Client| {
        let response = client.response(Request::new("GET", "/api2/extjs/version"));
        response.headers.iter().find(|(name, _)| name == "date").unwrap().1.clone()
    };
    assert_eq!(date(&mut client), "Fri, 15 Jan 2027 08:00:00 GMT");
    client.pve.fault(Fault::ClockAhead(-3600));
    assert_eq!(date(&mut client), "Fri, 15 Jan 2027 07:00:00 GMT");
}

#[test]
fn a_cloud_init_drive_goes_with_two_privileges() {
    for release in [Release::V8_4, Release::V9_1] {
        for missing in ["VM.Config.Cloudinit", "VM.Config.CDROM"] {
            let mut client = Client::new(Settings::new(release).with_scale(0.1));
            client.clone(104);
            client.pve.fault(Fault::Withhold(missing.to_owned(), true));
            let (status, text) = client.fails("POST", CONFIG, &[("delete", "ide2")]);
            assert_eq!(
                (status, text.as_str()),
                (403, format!("Permission check failed (/vms/104, {missing})").as_str())
            );
        }
    }
}

#[test]
fn an_index_that_stands_still_knows_no_name_of_what_is_new() {
    let mut client = fast();
    client.pve.fault(Fault::StaleIndex(true));
    client.clone(104);
    let row = |client: &mut Client| {
        let rows = client.ok("GET", "/cluster/resources?type=vm", &[]);
        rows.as_array().unwrap().iter().find(|row| row["vmid"] == 104).unwrap().clone()
    };
    client.now += 60_000;
    let stale = row(&mut client);
    assert_eq!((stale["status"].as_str(), stale.get("name")), (Some("unknown"), None));
    client.pve.fault(Fault::StaleIndex(false));
    client.now += 2_000;
    assert_eq!(row(&mut client)["status"], "stopped");
}

#[test]
fn reserved_tags_may_stay_and_no_other_may_come() {
    let mut client = fast();
    client.clone(104);
    client.ok("PUT", CONFIG, &[("tags", "old")]);
    client.pve.fault(Fault::TagsReserved(true));
    let refused = client.fails("PUT", CONFIG, &[("tags", "old;new")]);
    assert_eq!(refused, (403, "Permission check failed (/, Sys.Modify for modifying tag 'new')".to_owned()));
    client.ok("PUT", CONFIG, &[("tags", "Old")]);
    client.pve.fault(Fault::TagsReserved(false));
    client.ok("PUT", CONFIG, &[("tags", "old;new")]);
}
