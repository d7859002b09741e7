//! Options of a VM: what each must be, and the privilege that changing it takes.

use crate::drive::is_drive;
use crate::formats::{ADDRESSES, CONFIG_IDS, DNS_NAME, STORAGE, TAGS, URL_ENCODED};
use crate::params::{Kind, Param, may};
use crate::property::{AGENT, DRIVE, IPCONFIG, MEMORY, NET, SMBIOS};
use crate::settings::Release;
use crate::store::is_indexed;

const FLAG: Kind = Kind::Boolean;
const ANY: Kind = Kind::Text;
const POSITIVE: Kind = Kind::Integer(1, i64::MAX);
const NATURAL: Kind = Kind::Integer(0, i64::MAX);
const DRIVES: Kind = Kind::Properties(&DRIVE);

/// Every option that can be set.
pub(super) const OPTIONS: &[Param] = &[
    may("acpi", FLAG),
    may("affinity", ANY),
    may("agent", Kind::Properties(&AGENT)),
    may("allow-ksm", FLAG).since(Release::V9_1),
    may("amd-sev", ANY),
    may("arch", Kind::Word(&["x86_64", "aarch64"])),
    may("args", ANY),
    may("audio0", ANY),
    may("autostart", FLAG),
    may("balloon", NATURAL),
    may("bios", Kind::Word(&["seabios", "ovmf"])),
    may("boot", ANY),
    may("bootdisk", ANY),
    may("cdrom", ANY),
    may("cicustom", ANY),
    may("cipassword", ANY),
    may("citype", Kind::Word(&["configdrive2", "nocloud", "opennebula"])),
    may("ciupgrade", FLAG),
    may("ciuser", ANY),
    may("cores", POSITIVE),
    may("cpu", ANY),
    may("cpulimit", Kind::Number(0.0, 128.0)),
    may("cpuunits", Kind::Integer(1, 262_144)),
    may("description", Kind::Short(8192)),
    may("efidisk0", ANY),
    may("freeze", FLAG),
    may("hookscript", ANY),
    may("hostpci[n]", ANY).family(16),
    may("hotplug", ANY),
    may("hugepages", Kind::Word(&["any", "2", "1024"])),
    may("ide[n]", DRIVES).family(4),
    may("intel-tdx", ANY).since(Release::V9_1),
    may("ipconfig[n]", Kind::Properties(&IPCONFIG)).family(32),
    may("ivshmem", ANY),
    may("keephugepages", FLAG),
    may("keyboard", ANY),
    may("kvm", FLAG),
    may("localtime", FLAG),
    may(
        "lock",
        Kind::Word(&[
            "backup",
            "clone",
            "create",
            "migrate",
            "rollback",
            "snapshot",
            "snapshot-delete",
            "suspending",
            "suspended",
        ]),
    ),
    may("machine", ANY),
    may("memory", Kind::Properties(&MEMORY)),
    may("migrate_downtime", Kind::Number(0.0, f64::MAX)),
    may("migrate_speed", NATURAL),
    may("name", DNS_NAME),
    may("nameserver", ADDRESSES),
    may("net[n]", Kind::Properties(&NET)).family(32),
    may("numa", FLAG),
    may("numa[n]", ANY).family(8),
    may("onboot", FLAG),
    may(
        "ostype",
        Kind::Word(&[
            "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris",
        ]),
    ),
    may("parallel[n]", ANY).family(3),
    may("protection", FLAG),
    may("reboot", FLAG),
    may("rng0", ANY),
    may("sata[n]", DRIVES).family(6),
    may("scsi[n]", DRIVES).family(31),
    may("scsihw", Kind::Word(&["lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"])),
    may("searchdomain", ANY),
    may("serial[n]", ANY).family(4),
    may("shares", Kind::Integer(0, 50_000)),
    may("smbios1", Kind::Properties(&SMBIOS)),
    may("smp", POSITIVE),
    may("sockets", POSITIVE),
    may("spice_enhancements", ANY),
    may("sshkeys", URL_ENCODED),
    may("startdate", ANY),
    may("startup", ANY),
    may("tablet", FLAG),
    may("tags", TAGS),
    may("tdf", FLAG),
    may("template", FLAG),
    may("tpmstate0", ANY),
    may("unused[n]", ANY).family(256),
    may("usb[n]", ANY).family(14),
    may("vcpus", POSITIVE),
    may("vga", ANY),
    may("virtio[n]", DRIVES).family(16),
    may("virtiofs[n]", ANY).family(10),
    may("vmgenid", ANY),
    may("vmstatestorage", STORAGE),
    may("watchdog", ANY),
];

/// Parameters of a change beside the options.
pub(super) const CHANGE: &[Param] = &[
    may("delete", CONFIG_IDS),
    may("digest", Kind::Short(40)),
    may("force", FLAG).requires("delete"),
    may("revert", CONFIG_IDS),
    may("skiplock", FLAG),
];

/// What changing an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// One of these privileges on the VM.
    OneOf(&'static [&'static str]),
    /// To be `root@pam`, by password and not by token.
    Root,
}

/// What changing an option takes; `cdrom` when it is a drive that is or becomes a CD-ROM.
pub(super) fn takes(key: &str, cdrom: bool) -> Takes {
    let one = Takes::OneOf;
    if is_drive(key) || is_indexed(key, "unused") || matches!(key, "efidisk0" | "tpmstate0") {
        return if cdrom { one(&["VM.Config.CDROM"]) } else { one(&["VM.Config.Disk"]) };
    }
    if is_indexed(key, "net") {
        return one(&["VM.Config.Network"]);
    }
    if is_indexed(key, "ipconfig") {
        return one(&["VM.Config.Cloudinit", "VM.Config.Network"]);
    }
    if is_indexed(key, "serial") || is_indexed(key, "usb") {
        return one(&["VM.Config.HWType"]);
    }
    match key {
        "cores" | "cpu" | "cpulimit" | "cpuunits" | "numa" | "smp" | "sockets" | "vcpus" => one(&["VM.Config.CPU"]),
        "balloon" | "memory" | "shares" | "allow-ksm" => one(&["VM.Config.Memory"]),
        "acpi" | "audio0" | "hotplug" | "kvm" | "machine" | "rng0" | "scsihw" | "smbios1" | "tablet" | "vga"
        | "watchdog" => one(&["VM.Config.HWType"]),
        "agent" | "autostart" | "bios" | "description" | "keyboard" | "localtime" | "migrate_downtime"
        | "migrate_speed" | "name" | "onboot" | "ostype" | "protection" | "reboot" | "startdate" | "startup"
        | "tags" | "tdf" | "template" => one(&["VM.Config.Options"]),
        "boot" | "bootdisk" | "vmstatestorage" => one(&["VM.Config.Disk"]),
        "cdrom" => one(&["VM.Config.CDROM"]),
        "cicustom" | "cipassword" | "citype" | "ciupgrade" | "ciuser" | "nameserver" | "searchdomain" | "sshkeys" => {
            one(&["VM.Config.Cloudinit", "VM.Config.Network"])
        }
        "freeze" => one(&["VM.PowerMgmt"]),
        _ => Takes::Root,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_takes_its_own_privilege() {
        assert_eq!(takes("ide2", true), Takes::OneOf(&["VM.Config.CDROM"]));
        assert_eq!(takes("ide2", false), Takes::OneOf(&["VM.Config.Disk"]));
        assert_eq!(takes("net3", false), Takes::OneOf(&["VM.Config.Network"]));
        assert_eq!(takes("args", false), Takes::Root);
        assert_eq!(takes("lock", false), Takes::Root);
    }
}
