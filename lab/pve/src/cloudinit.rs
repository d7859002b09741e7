//! What Proxmox VE puts on a cloud-init drive, from the `ci*`, `ipconfig*`, `sshkeys` and `nameserver` options.

use crate::form::percent_decode;

use crate::iso;
use crate::property::IPCONFIG;
use crate::store::{Net, Vm, is_indexed};

/// The image on a VM's cloud-init drive, as it is generated anew with every start.
pub fn image(vm: &Vm) -> Vec<u8> {
    let hostname = vm.config.get("name").cloned().unwrap_or_else(|| format!("VM{}", vm.vmid));
    let user_data = user_data(vm, &hostname);
    let network = network(vm);
    // The real instance id is a hash over user and network data as well: it changes whenever they do.
    let instance = vm.digest();
    iso::write(
        "cidata",
        &[
            ("meta-data", format!("instance-id: {instance}\n").into_bytes()),
            ("network-config", network.into_bytes()),
            ("user-data", user_data.into_bytes()),
            ("vendor-data", Vec::new()),
        ],
    )
}

fn user_data(vm: &Vm, hostname: &str) -> String {
    let mut out = format!("#cloud-config\nhostname: {hostname}\nmanage_etc_hosts: true\n");
    if let Some(user) = vm.config.get("ciuser") {
        out.push_str(&format!("user: {user}\n"));
    }
    if let Some(password) = vm.config.get("cipassword") {
        out.push_str(&format!("password: {password}\n"));
    }
    if let Some(keys) = vm.config.get("sshkeys") {
        out.push_str("ssh_authorized_keys:\n");
        for key in percent_decode(keys).lines().filter(|key| !key.is_empty()) {
            out.push_str(&format!("  - {key}\n"));
        }
    }
    out.push_str("chpasswd:\n  expire: False\nusers:\n  - default\n");
    let upgrade = vm.config.get("ciupgrade").is_none_or(|value| value == "1");
    out.push_str(&format!("package_upgrade: {upgrade}\n"));
    out
}

fn network(vm: &Vm) -> String {
    let mut out = "version: 1\nconfig:\n".to_owned();
    for (key, value) in vm.config.iter().filter(|(key, _)| is_indexed(key, "net")) {
        let index = key.trim_start_matches("net");
        let mac = Net::parse(key, value).and_then(|net| net.mac).unwrap_or_default().to_lowercase();
        out.push_str(&format!(
            "    - type: physical\n      name: eth{index}\n      mac_address: '{mac}'\n      subnets:\n"
        ));
        let config = vm.config.get(&format!("ipconfig{index}")).map(String::as_str).unwrap_or_default();
        let keys = IPCONFIG.parse("ipconfig", config).unwrap_or_default();
        match keys.get("ip").map(String::as_str) {
            Some("dhcp") => out.push_str("      - type: dhcp4\n"),
            Some(address) => {
                out.push_str(&format!("      - type: static\n        address: '{address}'\n"));
                if let Some(gateway) = keys.get("gw") {
                    out.push_str(&format!("        gateway: '{gateway}'\n"));
                }
            }
            None => {}
        }
    }
    if let Some(servers) = vm.config.get("nameserver") {
        out.push_str("    - type: nameserver\n      address:\n");
        for server in crate::formats::split(servers) {
            out.push_str(&format!("      - '{server}'\n"));
        }
    }
    out
}
