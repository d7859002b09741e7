//! A machine of the cloud.

use std::collections::BTreeMap;

use lab_wire::{Boot, GuestReport, Media, Millis, rfc3339};
use serde::Serialize;
use serde_json::{Value, json};

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being made.
    Creating,
    /// Off.
    Stopped,
    /// Being started.
    Starting,
    /// On.
    Running,
    /// Being stopped.
    Stopping,
    /// Being deleted; afterwards the machine is unknown.
    Deleting,
    /// Its creation failed; it can only be deleted.
    Failed,
}

/// A machine, as the cloud keeps it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Given by the cloud, never used again.
    pub id: String,
    /// Given by the client; neither unique nor an identity.
    pub name: String,
    /// CPU cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Name of its image.
    pub image: String,
    /// The client's own marks: what machines are found by.
    pub tags: BTreeMap<String, String>,
    /// First-boot data that the metadata service hands out.
    pub user_data: Option<Vec<u8>>,
    /// MAC address of its only network card.
    pub mac: String,
    /// What it does.
    pub state: State,
    /// When it was ordered.
    pub created: Millis,
    /// The operation that runs on it.
    pub operation: Option<String>,
    /// What the guest last told about itself.
    pub guest: GuestReport,
}

impl Machine {
    /// The machine as the API shows it. User data is never shown, only whether there is any.
    pub(crate) fn view(&self) -> Value {
        let outside = self.guest.addresses.iter().filter(|address| address.interface != "lo");
        let addresses: Vec<&str> = outside.map(|address| address.address.as_str()).collect();
        json!({
            "id": self.id,
            "name": self.name,
            "cores": self.cores,
            "memory_mib": self.memory_mib,
            "image": self.image,
            "tags": self.tags,
            "has_user_data": self.user_data.is_some(),
            "mac": self.mac,
            "state": self.state,
            "created_at": rfc3339(self.created),
            "operation": self.operation,
            "hostname": self.guest.hostname,
            "addresses": addresses,
        })
    }

    /// What the machine finds when it starts.
    pub(crate) fn boot(&self) -> Boot {
        let media = self
            .user_data
            .as_ref()
            .map(|user_data| Media::Metadata { user_data: user_data.clone(), hostname: self.name.clone() });
        Boot {
            id: self.id.clone(),
            name: self.name.clone(),
            macs: vec![self.mac.clone()],
            cores: self.cores,
            memory_mib: self.memory_mib,
            media: media.into_iter().collect(),
        }
    }

    pub(crate) fn has_tags(&self, wanted: &[(String, String)]) -> bool {
        wanted.iter().all(|(key, value)| self.tags.get(key) == Some(value))
    }
}
