//! Names come from identity: never from display names, which are neither unique nor stable.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Fault, Result};

/// The key of everything: one service of one job source. The source is its configured name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Configured name of the job source.
    pub source: String,
    /// The service's id there.
    pub service: String,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.service)
    }
}

/// The mark that every object of a service carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The installation's id.
    pub installation: String,
    /// Which service.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// Cluster name made from these three; a DNS label of 11 characters.
    pub cluster: String,
    /// For people; neither unique nor stable.
    pub display_name: String,
}

impl Owner {
    /// The owner of a service in an installation.
    pub fn new(installation: &str, key: &ServiceKey, display_name: &str) -> Self {
        Owner {
            installation: installation.to_owned(),
            key: key.clone(),
            cluster: cluster_name(installation, key),
            display_name: display_name.to_owned(),
        }
    }
}

/// `k` and the first 10 characters of lower-case base32 of SHA-256 over installation, source and service, NUL-joined.
pub fn cluster_name(installation: &str, key: &ServiceKey) -> String {
    let digest = Sha256::digest([installation, &key.source, &key.service].join("\0"));
    let text = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
    format!("k{}", text.get(..10).unwrap_or(&text))
}

/// How one machine is told from every other, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineKey {
    /// Pool name.
    pub pool: String,
    /// Never moves; a replacement takes a new one.
    pub index: u32,
    /// `<cluster>-<pool>-NN`.
    pub name: String,
}

impl MachineKey {
    /// The key of a machine of a cluster.
    pub fn new(cluster: &str, pool: &str, index: u32) -> Self {
        MachineKey { pool: pool.to_owned(), index, name: format!("{cluster}-{pool}-{index:02}") }
    }
}

/// Checks a pool's name: `[a-z0-9-]{1,20}`, not beginning or ending with `-`, so that machine names stay host names.
pub fn check_pool_name(name: &str) -> Result<()> {
    let fits = (1..=20).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(Fault::invalid(
        "POOL_NAME",
        format!("pool name `{}` must be 1 to 20 of a-z, 0-9 and `-`, with `-` only inside", crate::cluster::clip(name)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ServiceKey {
        ServiceKey { source: "core".into(), service: "3b8d".into() }
    }

    // Checklist 137.
    #[test]
    fn names_depend_on_identity_alone() {
        let name = cluster_name("dc1", &key());
        assert_eq!(name.len(), 11);
        assert!(name.starts_with('k') && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert_eq!(Owner::new("dc1", &key(), "shop").cluster, Owner::new("dc1", &key(), "renamed").cluster);
        assert_ne!(name, cluster_name("dc2", &key()));
        // NUL-joined: moving a character between the parts gives another name.
        let other = ServiceKey { source: "core3".into(), service: "b8d".into() };
        assert_ne!(name, cluster_name("dc1", &other));
        assert_eq!(MachineKey::new("kabc", "workers", 3).name, "kabc-workers-03");
    }

    #[test]
    fn pool_names_that_cannot_be_host_names_are_refused() {
        for bad in ["", "Workers", "a_b", "-a", "a-", "aaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(check_pool_name(bad).unwrap_err().code, "POOL_NAME", "{bad}");
        }
        check_pool_name("w-1").unwrap();
    }
}
