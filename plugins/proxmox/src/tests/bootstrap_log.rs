//! What a machine wrote during its first boot, on every version, and when it cannot be had.

use agentkube_sdk::BootstrapLog;
use agentkube_sdk::prelude::*;
use lab_pve::{Fault as Switch, Release, Settings as Cluster};
use lab_wire::{GuestReport, Hypervisor};
use serde_json::{Value, json};

use super::{Lab, config, key, scene_of, up};
use crate::Proxmox;

const LOG: &str = "/var/log/cloud-init-output.log";

fn switched_on() -> Value {
    let mut config = config();
    config["bootstrap-log"] = json!(true);
    config
}

/// The first machine's guest answers, with so much in its log.
fn wrote(world: &agentkube_sdk::testing::World, lab: &Lab, text: &str) {
    let id = lab.machines(world)[0].machine_id();
    let logs = [(LOG.to_owned(), text.as_bytes().to_vec())].into();
    let report = GuestReport { agent: true, logs, ..GuestReport::default() };
    lab.with(|pve| pve.guest_report(&id, report, world.now()));
}

fn tail(world: &agentkube_sdk::testing::World, plugin: &Proxmox, id: &str) -> Result<String> {
    world.run(plugin.tail(world.a_call(), key(1), id.to_owned()))
}

#[test]
fn the_log_is_read_through_the_agent_with_the_smallest_privilege() {
    for (release, privilege) in
        [(Release::V8_2, "VM.Monitor"), (Release::V8_4, "VM.Monitor"), (Release::V9_1, "VM.GuestAgent.FileRead")]
    {
        let (world, (lab, plugin)) = scene_of(Cluster::new(release).with_scale(0.1), switched_on());
        let machine = world.run(up(&world, &plugin, 1)).unwrap();
        let silent = tail(&world, &plugin, &machine.id).unwrap_err();
        assert_eq!(silent.code, "AGENT_SILENT", "{release:?}");
        wrote(&world, &lab, &format!("first\n{}[preflight] no route\n", "x\n".repeat(10_000)));
        let said = tail(&world, &plugin, &machine.id).unwrap();
        assert!(
            said.ends_with("[preflight] no route\n") && !said.contains("first") && said.len() <= 16 << 10,
            "{said}"
        );

        lab.with(|pve| pve.fault(Switch::Withhold(privilege.to_owned(), true)));
        let denied = tail(&world, &plugin, &machine.id).unwrap_err();
        assert_eq!((denied.class, denied.code.as_str()), (Class::Unauthorized, "PERMISSION_MISSING"), "{release:?}");
        let found = world.run(plugin.preflight()).unwrap();
        let missing: Vec<&str> = found
            .iter()
            .filter(|finding| finding.code == "PRIVILEGE_MISSING")
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(missing.len(), 1, "{release:?}: {missing:?}");
        assert!(missing[0].contains(privilege), "{release:?}: {missing:?}");
    }
}

#[test]
fn a_log_that_is_not_there_yet_is_empty() {
    let (world, (lab, plugin)) = scene_of(Cluster::default().with_scale(0.1), switched_on());
    let machine = world.run(up(&world, &plugin, 1)).unwrap();
    let id = lab.machines(&world)[0].machine_id();
    lab.with(|pve| pve.guest_report(&id, GuestReport { agent: true, ..GuestReport::default() }, world.now()));
    assert_eq!(tail(&world, &plugin, &machine.id).unwrap(), "");
}

#[test]
fn it_is_not_asked_unless_it_was_switched_on() {
    let (world, (lab, plugin)) = scene_of(Cluster::default().with_scale(0.1), config());
    let machine = world.run(up(&world, &plugin, 1)).unwrap();
    wrote(&world, &lab, "secret things\n");
    let before = world.requests().len();
    let fault = tail(&world, &plugin, &machine.id).unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (Class::Unsupported, "BOOTSTRAP_LOG_OFF"));
    assert_eq!(world.requests().len(), before);
    // Nor is its privilege asked for.
    lab.with(|pve| pve.fault(Switch::Withhold("VM.GuestAgent.FileRead".to_owned(), true)));
    let found = world.run(plugin.preflight()).unwrap();
    assert!(found.iter().all(|finding| finding.code != "PRIVILEGE_MISSING"), "{found:?}");
}
