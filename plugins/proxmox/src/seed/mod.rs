//! The seed: first-boot data as a CD image, from its upload to its end.
//!
//! It holds the join token, so it lives as short as possible: uploaded just before the first start, deleted after the join. It has a
//! ledger row of its own, with the node that it was uploaded to, since a storage may be local to its node.

mod iso;
mod upload;

use agentkube_sdk::http;
use agentkube_sdk::ledger::{self, Item, Note};
use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::node_provider::Bootstrap;
use agentkube_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Proxmox;
use crate::api::{VmConfig, at, start};
use crate::configure::Change;
use crate::find::Machine;

/// Kind of the ledger row.
const SEED: &str = "seed";
/// Volume label that cloud-init's NoCloud source looks for.
const LABEL: &str = "cidata";
/// Slots for the drive, in the order in which they are tried. Cloud-init drives of templates mostly sat in `ide2`.
const SLOTS: [&str; 10] = ["ide2", "ide0", "ide3", "ide1", "sata0", "sata1", "sata2", "sata3", "sata4", "sata5"];
/// What a drive without a disc says.
const EMPTY: &str = "none,media=cdrom";
/// Seconds that a deletion may take before its answer is a task instead.
const IN_TIME: u32 = 5;

/// Where a seed is uploaded to.
#[derive(Serialize, Deserialize)]
struct Uploaded {
    node: String,
    /// The upload's task is over. Until then it may put the file into place after all.
    placed: bool,
}

impl Note for Uploaded {
    const SCHEMA: u32 = 1;
}

impl Proxmox {
    /// File name of a machine's seed; the machine's name comes from its identity, so nobody else's is called so.
    fn seed_name(key: &MachineKey) -> String {
        format!("seed-{}.iso", key.name)
    }

    /// Volume id of a machine's seed.
    fn seed_volume(&self, key: &MachineKey) -> String {
        format!("{}:iso/{}", self.config.seed_storage, Self::seed_name(key))
    }

    /// The drive that holds the machine's seed.
    pub(crate) fn seed_slot(&self, config: &VmConfig, key: &MachineKey) -> Option<String> {
        let volume = self.seed_volume(key);
        let holds = |drive: &str| drive.split(',').next() == Some(volume.as_str());
        config.drives().find(|(_, drive)| holds(drive)).map(|(slot, _)| slot.to_owned())
    }

    /// Uploads the seed and puts it into a drive of the stopped machine. Doing it again replaces the image.
    pub(crate) async fn deliver(
        &self,
        call: &Call,
        key: &MachineKey,
        machine_entry: Entry,
        machine: Machine,
        bootstrap: &Bootstrap,
    ) -> Result<Machine> {
        let image = image(key, bootstrap)?;
        let mut item = ledger::intend(SEED, &Self::seed_name(key), "").await?;
        let before: Option<Uploaded> = item.read_note()?;
        if before.as_ref().is_some_and(|before| !before.placed) {
            item = self.settle(call, item).await?;
        }
        if let Some(before) = before.filter(|before| before.node != machine.node) {
            self.delete_image(call, key, &item, &before.node).await?;
        }
        let node = machine.node.clone();
        item.write_note(&Uploaded { node: node.clone(), placed: false }).await?;
        self.insist(call, || self.upload(call, key, &node, item.entry, &image)).await?;
        item.created(&self.seed_volume(key)).await?;
        item.write_note(&Uploaded { node, placed: true }).await?;
        self.change(call, key, machine_entry, machine, |config| {
            if self.seed_slot(config, key).is_some() {
                return Ok(Change::default());
            }
            let slot = free_slot(config).ok_or_else(|| {
                let message = "every ide and sata slot of the template is in use: the seed needs one".to_owned();
                Fault::invalid("NO_FREE_SLOT", message).scope(Scope::Pool)
            })?;
            Ok(Change::default().set(slot, format!("{},media=cdrom", self.seed_volume(key))))
        })
        .await
    }

    /// Takes the seed out of its drive. Taking the drive away would wait for the next boot of a machine that runs.
    pub(crate) async fn eject(&self, call: &Call, key: &MachineKey, entry: Entry, machine: Machine) -> Result<Machine> {
        self.change(call, key, entry, machine, |config| {
            Ok(match self.seed_slot(config, key) {
                Some(slot) => Change::default().set(&slot, EMPTY),
                None => Change::default(),
            })
        })
        .await
    }

    /// A seed in a drive of the machine that no row knows, because the journal was lost, gets its row again.
    pub(crate) async fn adopt_seed(&self, key: &MachineKey, machine: &Machine) -> Result<()> {
        if self.seed_slot(&machine.config, key).is_none() {
            return Ok(());
        }
        let item = ledger::intend(SEED, &Self::seed_name(key), "").await?;
        if item.is_fresh() {
            item.write_note(&Uploaded { node: machine.node.clone(), placed: true }).await?;
        }
        Ok(())
    }

    /// Deletes the seed of a machine, if there is one.
    pub(crate) async fn discard(&self, call: &Call, key: &MachineKey) -> Result<()> {
        let name = Self::seed_name(key);
        let rows = ledger::mine(SEED).await?;
        let Some(item) = rows.into_iter().find(|item| item.name == name) else { return Ok(()) };
        // The note comes before the upload: without it there was none.
        let Some(uploaded) = item.read_note::<Uploaded>()? else { return item.gone().await };
        let item = if uploaded.placed { item } else { self.settle(call, item).await? };
        self.delete_image(call, key, &item, &uploaded.node).await?;
        item.gone().await
    }

    async fn delete_image(&self, call: &Call, key: &MachineKey, item: &Item, node: &str) -> Result<()> {
        self.insist(call, || async {
            let path = at!("nodes", node, "storage", self.config.seed_storage, "content", self.seed_volume(key));
            let request: http::Request = self.api.change("DELETE", path, item.entry).query("delay", IN_TIME);
            let deleted = match start(request).await {
                Ok(upid) => self.done(call, upid).await,
                Err(fault) => Err(fault),
            };
            deleted.or_else(|fault| if fault.code == "VOLUME_MISSING" { Ok(()) } else { Err(fault) })
        })
        .await
    }
}

/// A slot for the seed's drive: a cloud-init drive of the template's own does not outlive the clone.
pub(crate) fn free_slot(config: &VmConfig) -> Option<&'static str> {
    let free = |slot: &&str| config.text(slot).is_none_or(|drive| drive == EMPTY || drive.contains("cloudinit"));
    SLOTS.into_iter().find(free)
}

/// The image for a machine.
fn image(key: &MachineKey, bootstrap: &Bootstrap) -> Result<Vec<u8>> {
    let mut names = bootstrap.meta_data.clone();
    for name in ["instance-id", "local-hostname"] {
        if !names.iter().any(|(given, _)| given == name) {
            names.push((name.to_owned(), key.name.clone()));
        }
    }
    // A JSON string is a YAML string.
    let lines = names.iter().map(|(name, value)| format!("{name}: {}\n", serde_json::Value::from(value.as_str())));
    let meta_data: String = lines.collect();
    let mut files = vec![("meta-data", meta_data.as_bytes()), ("user-data", bootstrap.user_data.as_slice())];
    files.extend(bootstrap.network_config.as_ref().map(|config| ("network-config", config.as_slice())));
    iso::image(LABEL, &files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_names_the_machine() {
        let key = MachineKey { pool: "w".into(), index: 1, name: "k-w-01".into() };
        let meta_data = vec![("instance-id".to_owned(), "i: 1".to_owned())];
        let bootstrap = Bootstrap {
            user_data: b"#cloud-config\n".to_vec(),
            meta_data,
            network_config: Some(b"version: 2\n".to_vec()),
        };
        let image = image(&key, &bootstrap).unwrap();
        let text = String::from_utf8_lossy(&image);
        assert!(text.contains("instance-id: \"i: 1\"\nlocal-hostname: \"k-w-01\"\n"), "{text}");
        assert!(text.contains("#cloud-config\n") && text.contains("version: 2\n"));
    }
}
