//! Property strings: `key=value,…` with one key that may be left out, and the shapes of those that VMs have.

use std::collections::BTreeMap;

use crate::formats::{ADDRESS, DISK_SIZE, IPV4_CONFIG, IPV6_CONFIG, MAC, URL_ENCODED, UUID, VOLUME};
use crate::params::{Kind, value_fault};

/// Which keys a property string has.
#[derive(Debug)]
pub struct Shape {
    /// The key that may be left out.
    pub default: Option<&'static str>,
    /// Keys and what their values must be.
    pub keys: &'static [(&'static str, Kind)],
    /// Keys of which one must be there.
    pub needed: &'static [&'static str],
}

impl Shape {
    /// Takes a string apart; the error names the place.
    pub fn parse(&self, path: &str, text: &str) -> Result<BTreeMap<String, String>, String> {
        let mut found = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = match (part.split_once('='), self.default) {
                (Some(pair), _) => pair,
                (None, Some(default)) if !found.contains_key(default) => (default, part),
                (None, _) => {
                    return Err(format!("{path}: value without key, but schema does not define a default key"));
                }
            };
            let Some((_, kind)) = self.keys.iter().find(|(name, _)| *name == key) else {
                let problem = "property is not defined in schema and the schema does not allow additional properties";
                return Err(format!("{path}.{key}: {problem}"));
            };
            if let Some(fault) = value_fault(*kind, path, value) {
                return Err(format!("{path}.{key}: {}", fault.trim_end()));
            }
            if found.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("{path}.{key}: duplicate key in comma-separated list property"));
            }
        }
        let satisfied = self.needed.is_empty() || self.needed.iter().any(|key| found.contains_key(*key));
        match self.needed.first() {
            Some(first) if !satisfied => Err(format!("{path}.{first}: property is missing and it is not optional")),
            _ => Ok(found),
        }
    }

    /// What is wrong with a string, if anything.
    pub fn fault(&self, path: &str, text: &str) -> Option<String> {
        self.parse(path, text).err().map(|problem| format!("invalid format - format error\n{problem}\n"))
    }
}

const ANY: Kind = Kind::Text;
const COUNT: Kind = Kind::Integer(0, i64::MAX);
const LENGTH: Kind = Kind::Integer(1, i64::MAX);
const RATE: Kind = Kind::Number(0.0, f64::MAX);
const FLAG: Kind = Kind::Boolean;

/// Models of network cards, each also a key whose value is the MAC.
pub const MODELS: &[&str] = &[
    "e1000",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "e1000e",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "virtio",
    "vmxnet3",
];

/// A network card.
pub static NET: Shape = Shape {
    default: Some("model"),
    keys: &[
        ("model", Kind::Word(MODELS)),
        ("macaddr", MAC),
        ("bridge", ANY),
        ("firewall", FLAG),
        ("link_down", FLAG),
        ("mtu", Kind::Integer(1, 65_520)),
        ("queues", Kind::Integer(0, 64)),
        ("rate", RATE),
        ("tag", Kind::Integer(1, 4094)),
        ("trunks", ANY),
        ("e1000", MAC),
        ("e1000-82540em", MAC),
        ("e1000-82544gc", MAC),
        ("e1000-82545em", MAC),
        ("e1000e", MAC),
        ("i82551", MAC),
        ("i82557b", MAC),
        ("i82559er", MAC),
        ("ne2k_isa", MAC),
        ("ne2k_pci", MAC),
        ("pcnet", MAC),
        ("rtl8139", MAC),
        ("virtio", MAC),
        ("vmxnet3", MAC),
    ],
    needed: MODELS_OR_MODEL,
};

const MODELS_OR_MODEL: &[&str] = &[
    "model",
    "e1000",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "e1000e",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "virtio",
    "vmxnet3",
];

/// A drive on any bus.
pub static DRIVE: Shape = Shape {
    default: Some("file"),
    keys: &[
        ("file", VOLUME),
        ("aio", Kind::Word(&["native", "threads", "io_uring"])),
        ("backup", FLAG),
        ("bps", COUNT),
        ("bps_max_length", LENGTH),
        ("bps_rd", COUNT),
        ("bps_rd_max_length", LENGTH),
        ("bps_wr", COUNT),
        ("bps_wr_max_length", LENGTH),
        ("cache", Kind::Word(&["none", "writethrough", "writeback", "unsafe", "directsync"])),
        ("detect_zeroes", FLAG),
        ("discard", Kind::Word(&["ignore", "on"])),
        ("format", Kind::Word(&["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"])),
        ("import-from", ANY),
        ("iops", COUNT),
        ("iops_max", COUNT),
        ("iops_max_length", LENGTH),
        ("iops_rd", COUNT),
        ("iops_rd_max", COUNT),
        ("iops_rd_max_length", LENGTH),
        ("iops_wr", COUNT),
        ("iops_wr_max", COUNT),
        ("iops_wr_max_length", LENGTH),
        ("iothread", FLAG),
        ("mbps", RATE),
        ("mbps_max", RATE),
        ("mbps_rd", RATE),
        ("mbps_rd_max", RATE),
        ("mbps_wr", RATE),
        ("mbps_wr_max", RATE),
        ("media", Kind::Word(&["cdrom", "disk"])),
        ("model", URL_ENCODED),
        ("queues", Kind::Integer(2, i64::MAX)),
        ("replicate", FLAG),
        ("rerror", Kind::Word(&["ignore", "report", "stop"])),
        ("ro", FLAG),
        ("scsiblock", FLAG),
        ("serial", URL_ENCODED),
        ("shared", FLAG),
        ("size", DISK_SIZE),
        ("snapshot", FLAG),
        ("ssd", FLAG),
        ("werror", Kind::Word(&["enospc", "ignore", "report", "stop"])),
        ("wwn", ANY),
    ],
    needed: &["file"],
};

/// The guest agent.
pub static AGENT: Shape = Shape {
    default: Some("enabled"),
    keys: &[
        ("enabled", FLAG),
        ("freeze-fs-on-backup", FLAG),
        ("fstrim_cloned_disks", FLAG),
        ("type", Kind::Word(&["virtio", "isa"])),
    ],
    needed: &["enabled"],
};

/// Memory in MiB.
pub static MEMORY: Shape =
    Shape { default: Some("current"), keys: &[("current", Kind::Integer(16, i64::MAX))], needed: &["current"] };

/// Addresses of a card, as cloud-init gets them.
pub static IPCONFIG: Shape = Shape {
    default: None,
    keys: &[("ip", IPV4_CONFIG), ("gw", ADDRESS), ("ip6", IPV6_CONFIG), ("gw6", ADDRESS)],
    needed: &[],
};

/// What SMBIOS says about the system.
pub static SMBIOS: Shape = Shape {
    default: None,
    keys: &[
        ("base64", FLAG),
        ("family", ANY),
        ("manufacturer", ANY),
        ("product", ANY),
        ("serial", ANY),
        ("sku", ANY),
        ("uuid", UUID),
        ("version", ANY),
    ],
    needed: &[],
};

/// Bytes of a size such as `10G` or `2252M`.
pub fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'K') => (text.get(..at)?, 10),
        (at, 'M') => (text.get(..at)?, 20),
        (at, 'G') => (text.get(..at)?, 30),
        (at, 'T') => (text.get(..at)?, 40),
        _ => (text, 0),
    };
    let number: f64 = digits.parse().ok()?;
    (number >= 0.0).then(|| (number * (1u64 << unit) as f64) as u64)
}

/// A size in the largest unit that divides it.
pub fn size(bytes: u64) -> String {
    for (unit, shift) in [('T', 40), ('G', 30), ('M', 20), ('K', 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Puts a property string together: `first` without its key, the rest in order of their names.
pub fn join(first: &str, rest: &BTreeMap<String, String>) -> String {
    std::iter::once(first.to_owned())
        .chain(rest.iter().map(|(key, value)| format!("{key}={value}")))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_taken_apart_by_shape() {
        let drive = DRIVE.parse("ide2", "seeds:iso/a.iso,media=cdrom").unwrap();
        assert_eq!((drive["file"].as_str(), drive["media"].as_str()), ("seeds:iso/a.iso", "cdrom"));
        assert!(NET.fault("net0", "virtio=BC:24:11:2E:C5:4A,bridge=vmbr0,tag=120,mtu=1,firewall=1").is_none());
        assert!(NET.fault("net0", "bridge=vmbr0").unwrap().contains("net0.model: property is missing"));
        let fault = NET.fault("net0", "virtio,vlan=1").unwrap();
        assert!(fault.starts_with("invalid format - format error\nnet0.vlan: property is not defined"), "{fault}");
        assert!(AGENT.fault("agent", "enabled=1,type=serial").is_some());
    }

    #[test]
    fn sizes_survive_the_round_trip() {
        for text in ["10G", "2252M", "376K", "1T", "513"] {
            assert_eq!(size(bytes(text).unwrap()), text);
        }
        assert_eq!(bytes("ten"), None);
    }
}
