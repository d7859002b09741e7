//! Drives of a VM: disks, CD-ROMs, cloud-init drives.

use std::collections::BTreeMap;

use crate::property;

/// Buses that drives sit on, with how many each takes.
pub const BUSES: [(&str, u32); 4] = [("ide", 4), ("sata", 6), ("scsi", 31), ("virtio", 16)];

/// One drive, as it stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// Volume, path, `none` or `cdrom`.
    pub file: String,
    /// Everything else.
    pub rest: BTreeMap<String, String>,
}

impl Drive {
    /// Reads a drive; `None` when the key is no drive or the text is none.
    pub fn parse(key: &str, text: &str) -> Option<Drive> {
        if !is_drive(key) {
            return None;
        }
        let mut keys = property::DRIVE.parse(key, text).ok()?;
        Some(Drive { file: keys.remove("file")?, rest: keys })
    }

    /// Whether it is a CD-ROM; a cloud-init drive is one.
    pub fn cdrom(&self) -> bool {
        self.rest.get("media").is_some_and(|media| media == "cdrom") || self.cloudinit()
    }

    /// Whether it is a cloud-init drive that Proxmox VE writes itself.
    pub fn cloudinit(&self) -> bool {
        self.file.ends_with(":cloudinit") || self.file.ends_with("-cloudinit")
    }

    /// The storage that its volume is on.
    pub fn storage(&self) -> Option<&str> {
        self.file.split_once(':').map(|(storage, _)| storage)
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.rest.get("size").and_then(|size| property::bytes(size)).unwrap_or_default()
    }

    /// Writes it the way it stands in the configuration.
    pub fn write(&self) -> String {
        property::join(&self.file, &self.rest)
    }
}

/// Whether a configuration key is a drive.
pub fn is_drive(key: &str) -> bool {
    BUSES.iter().any(|(bus, count)| {
        key.strip_prefix(bus).and_then(|index| index.parse::<u32>().ok()).is_some_and(|index| index < *count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_told_from_other_keys() {
        assert!(is_drive("scsi30") && !is_drive("scsi31") && !is_drive("scsihw") && !is_drive("unused0"));
        let drive = Drive::parse("ide2", "vmdata:vm-9000-cloudinit,media=cdrom").unwrap();
        assert!(drive.cdrom() && drive.cloudinit());
        assert_eq!(drive.write(), "vmdata:vm-9000-cloudinit,media=cdrom");
    }
}
