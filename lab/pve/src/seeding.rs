//! The cluster at its start.

use std::collections::BTreeMap;

use crate::Pve;
use crate::property;
use crate::settings::{Settings, Template};
use crate::store::{Broadcast, Store, Volume};

impl Pve {
    /// A cluster with its templates and nothing else.
    pub fn new(settings: Settings) -> Self {
        let mut pve = Pve {
            store: Store::default(),
            tasks: Default::default(),
            locks: Default::default(),
            faults: Default::default(),
            log: Vec::new(),
            events: Vec::new(),
            now: 0,
            next_broadcast: 0,
            settings,
        };
        for template in pve.settings.templates.clone() {
            pve.add_template(&template);
        }
        pve
    }

    /// Adds a template: stopped, one disk, a cloud-init drive, one card.
    pub fn add_template(&mut self, template: &Template) {
        let Template { vmid, storage, .. } = template;
        let disk = format!("base-{vmid}-disk-0");
        let seed = format!("vm-{vmid}-cloudinit");
        let shared = self.settings.storage(storage).is_some_and(|storage| storage.shared);
        for (name, size) in [(&disk, template.disk), (&seed, 4 << 20)] {
            self.store.add_volume(Volume {
                storage: storage.clone(),
                node: (!shared).then(|| template.node.clone()),
                name: name.clone(),
                size,
                bytes: Vec::new(),
                vmid: Some(*vmid),
                ctime: 1_750_000_000,
                parent: None,
            });
        }
        let config: BTreeMap<String, String> = [
            ("agent", "enabled=1,fstrim_cloned_disks=1".to_owned()),
            ("boot", "order=scsi0;ide2".to_owned()),
            ("ciuser", "ubuntu".to_owned()),
            ("cores", "2".to_owned()),
            ("cpu", "host".to_owned()),
            ("description", "Ubuntu 24.04 with cloud-init and the guest agent".to_owned()),
            ("ide2", format!("{storage}:{seed},media=cdrom,size=4M")),
            ("ipconfig0", "ip=dhcp".to_owned()),
            ("memory", "2048".to_owned()),
            ("name", template.name.clone()),
            (
                "net0",
                format!("virtio=BC:24:11:00:{:02X}:{:02X},bridge={}", vmid >> 8 & 255, vmid & 255, template.bridge),
            ),
            ("ostype", "l26".to_owned()),
            ("scsi0", format!("{storage}:{disk},discard=on,size={},ssd=1", property::size(template.disk))),
            ("scsihw", "virtio-scsi-single".to_owned()),
            ("serial0", "socket".to_owned()),
            ("smbios1", format!("uuid=00000000-0000-4000-8000-{vmid:012}")),
            ("tags", "template".to_owned()),
            ("template", "1".to_owned()),
            ("vga", "serial0".to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        let vm = self.store.register(*vmid, &template.node, config);
        vm.pool = template.pool.clone();
        vm.broadcast = Some(Broadcast { name: template.name.clone(), running: false });
    }
}
