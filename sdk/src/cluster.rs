//! A cluster as somebody wants it.

use serde::de::DeserializeOwned;

pub use crate::bindings::host::agentkube::provider::types::{
    Card, Cluster, ControlPlaneWish, Network, Pool, Shape, StaticAddress, Taint,
};
use crate::{Fault, Result};

impl Pool {
    /// The provider's own settings of this pool. Fails with `BAD_SETTINGS`, which names the pool and the key.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.settings)
            .map_err(|error| Fault::invalid("BAD_SETTINGS", format!("settings of pool `{}`: {error}", self.name)))
    }
}

impl ControlPlaneWish {
    /// The provider's own settings of this control plane. Fails with `BAD_SETTINGS`, which names the key.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.settings)
            .map_err(|error| Fault::invalid("BAD_SETTINGS", format!("settings of the control plane: {error}")))
    }
}
