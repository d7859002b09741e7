//! The guest agent: whether it is there, its addresses, commands.

use std::collections::BTreeMap;

use lab_wire::Random;
use serde_json::{Value, json};

use super::{Call, Need, ON_VM, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::params::{Kind, may, need};
use crate::settings::Release;
use crate::store::Vm;

pub(super) const ROUTES: &[Route] = &[
    route("POST", "/nodes/{node}/qemu/{vmid}/agent/ping", &[ON_VM], Need::Agent(false), ping),
    route("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", &[ON_VM], Need::Agent(false), interfaces),
    route("GET", "/nodes/{node}/qemu/{vmid}/agent/get-host-name", &[ON_VM], Need::Agent(false), hostname),
    route(
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/file-read",
        &[
            ON_VM,
            &[
                need("file", Kind::Text),
                may("count", Kind::Integer(1, LARGEST as i64)).since(Release::V9_1),
                may("decode", Kind::Boolean).since(Release::V9_1),
                may("offset", Kind::Integer(0, i64::MAX)).since(Release::V9_1),
            ],
        ],
        Need::Check(may_read),
        file_read,
    ),
    route(
        "POST",
        "/nodes/{node}/qemu/{vmid}/agent/exec",
        &[ON_VM, &[need("command", Kind::List), may("input-data", Kind::Short(65_536))]],
        Need::Agent(true),
        exec,
    ),
    route(
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/exec-status",
        &[ON_VM, &[need("pid", Kind::Integer(i64::MIN, i64::MAX))]],
        Need::Agent(true),
        exec_status,
    ),
];

/// The most bytes of a file that are read; from its beginning.
const LARGEST: usize = 16 * 1024 * 1024;

/// To read files inside the guest, for which 9 has a privilege of its own.
fn may_read(pve: &Pve, call: &Call) -> Result<(), String> {
    let vm = format!("/vms/{}", call.args.word("vmid"));
    match pve.settings.release.file_privilege() {
        old @ "VM.Monitor" => pve.access().check(&call.who, &vm, &[old]),
        new => pve.access().check_any(&call.who, &vm, &[new, "VM.GuestAgent.Unrestricted"]),
    }
}

/// The VM, if its agent answers. Asking one that is not there blocks a worker for seconds.
fn answering<'a>(pve: &'a Pve, call: &Call) -> Result<&'a Vm, Failure> {
    let vm = pve.local_vm(call)?;
    if !vm.agent() {
        return Err(Failure::died("No QEMU guest agent configured"));
    }
    if vm.running.is_none() {
        return Err(Failure::died(format!("VM {} is not running", vm.vmid)));
    }
    if !vm.guest.agent || pve.faults.silent(vm.vmid) {
        let probe = pve.now + pve.millis(|d| d.agent_probe);
        return Err(Failure::died("QEMU guest agent is not running").at(probe));
    }
    Ok(vm)
}

fn result(result: Value) -> Handled {
    Ok(json!({ "result": result }).into())
}

fn ping(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    answering(pve, call)?;
    result(json!({}))
}

fn hostname(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = answering(pve, call)?;
    result(json!({ "host-name": vm.guest.hostname }))
}

fn interfaces(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = answering(pve, call)?;
    let address = |address: &str, prefix: u8| {
        let kind = if address.contains(':') { "ipv6" } else { "ipv4" };
        json!({ "ip-address": address, "ip-address-type": kind, "prefix": prefix })
    };
    let statistics = json!({ "rx-bytes": 0, "rx-packets": 0, "rx-errs": 0, "rx-dropped": 0,
        "tx-bytes": 0, "tx-packets": 0, "tx-errs": 0, "tx-dropped": 0 });
    let mut all = vec![json!({ "name": "lo", "hardware-address": "00:00:00:00:00:00", "statistics": statistics,
        "ip-addresses": [address("127.0.0.1", 8), address("::1", 128)] })];
    let mut by_card: BTreeMap<(&str, String), Vec<Value>> = BTreeMap::new();
    for own in &vm.guest.addresses {
        let card = by_card.entry((own.interface.as_str(), own.mac.to_lowercase())).or_default();
        card.push(address(&own.address, own.prefix));
    }
    for ((name, mac), mut addresses) in by_card {
        // Every card that is up has a link-local address, too.
        addresses.push(address(&link_local(&mac), 64));
        all.push(json!({ "name": name, "hardware-address": mac, "statistics": statistics, "ip-addresses": addresses }));
    }
    result(Value::Array(all))
}

/// The link-local address that a MAC gives (EUI-64).
fn link_local(mac: &str) -> String {
    let b: Vec<u8> = mac.split(':').filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    match b.as_slice() {
        [a, b, c, d, e, f] => format!("fe80::{:x}{b:02x}:{c:x}ff:fe{d:02x}:{e:x}{f:02x}", a ^ 2),
        _ => "fe80::1".to_owned(),
    }
}

fn file_read(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = answering(pve, call)?;
    let path = call.args.word("file");
    let missing = || format!("Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory");
    let content = vm.guest.logs.get(path).ok_or_else(|| Failure::died(missing()))?;
    let size = |name: &str| call.args.number(name).and_then(|count| usize::try_from(count).ok());
    let content = content.get(size("offset").unwrap_or_default()..).unwrap_or_default();
    let shown = content.get(..size("count").unwrap_or(LARGEST).min(content.len())).unwrap_or_default();
    let mut answer = json!({ "content": String::from_utf8_lossy(shown) });
    if let Some(answer) = answer.as_object_mut().filter(|_| shown.len() < content.len()) {
        answer.insert("truncated".to_owned(), json!(1));
    }
    Ok(answer.into())
}

fn exec(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vmid = answering(pve, call)?.vmid;
    let command = call.args.list("command").to_vec();
    let vm = pve.store.vm_mut(vmid).ok_or_else(|| Failure::died(format!("VM {vmid} is not running")))?;
    vm.executed.push(command);
    Ok(json!({ "pid": 1000 + vm.executed.len() }).into())
}

/// The lab's guests run nothing: every command succeeds, and `cloud-init status` says that it is done.
fn exec_status(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = answering(pve, call)?;
    let pid = call.args.number("pid").unwrap_or_default();
    let command = pid.checked_sub(1001).and_then(|at| vm.executed.get(at as usize));
    let command = command.ok_or_else(|| Failure::died(format!("Agent error: Invalid parameter 'pid' ({pid})")))?;
    let cloud_init =
        matches!(command.as_slice(), [first, second, ..] if first.ends_with("cloud-init") && second == "status");
    let mut status = json!({ "exited": 1, "exitcode": 0 });
    if let Some(status) = status.as_object_mut().filter(|_| cloud_init) {
        status.insert("out-data".to_owned(), json!("status: done\n"));
    }
    Ok(status.into())
}
