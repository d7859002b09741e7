//! Files that the guest agent reads, and the privilege that it takes.

mod common;

use common::Client;
use lab_pve::{Fault, Release, Settings};
use lab_wire::{GuestReport, Hypervisor};
use serde_json::json;

const PATH: &str = "/nodes/pve1/qemu/104/agent/file-read?file=/var/log/cloud-init-output.log";

fn client(release: Release, log: &str) -> Client {
    let mut client = Client::new(Settings::new(release).with_scale(0.1));
    client.clone(104);
    client.run("POST", "/nodes/pve1/qemu/104/status/start", &[]);
    let id = client.pve.vm(104).unwrap().machine_id();
    let logs = [("/var/log/cloud-init-output.log".to_owned(), log.as_bytes().to_vec())].into();
    let report = GuestReport { agent: true, logs, ..GuestReport::default() };
    client.pve.guest_report(&id, report, client.now);
    client
}

#[test]
fn a_file_is_read_with_the_privilege_of_the_version() {
    for (release, privilege) in [(Release::V8_4, "VM.Monitor"), (Release::V9_1, "VM.GuestAgent.FileRead")] {
        let mut client = client(release, "one\ntwo\n");
        assert_eq!(client.ok("GET", PATH, &[]), json!({ "content": "one\ntwo\n" }));
        let missing = client.fails("GET", "/nodes/pve1/qemu/104/agent/file-read?file=/nowhere", &[]);
        assert!(missing.1.contains("failed to open file '/nowhere'"), "{missing:?}");
        client.pve.fault(Fault::Withhold(privilege.to_owned(), true));
        let denied = client.fails("GET", PATH, &[]);
        assert!(denied.0 == 403 && denied.1.contains(privilege), "{denied:?}");
    }
}

#[test]
fn only_9_reads_a_part() {
    let mut new = client(Release::V9_1, "one\ntwo\n");
    assert_eq!(new.ok("GET", &format!("{PATH}&count=4"), &[]), json!({ "content": "one\n", "truncated": 1 }));
    assert_eq!(new.ok("GET", &format!("{PATH}&offset=4"), &[]), json!({ "content": "two\n" }));
    let mut old = client(Release::V8_4, "one\ntwo\n");
    assert_eq!(old.fails("GET", &format!("{PATH}&count=4"), &[]).0, 400);
}
