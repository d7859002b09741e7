//! `[addons.NAME]`: which add-ons there are.
//!
//! ```
//! let addons: agentkube_kubernetes::addons::AddonSettings = toml::from_str(
//!     r#"
//!     [network]
//!     path = "/etc/agentkube/addons/network"   # every *.yaml in it, in the order of names
//!     phase = "network"
//!
//!     [metrics]
//!     path = "/etc/agentkube/addons/metrics.yaml"
//!     "#,
//! )?;
//! assert_eq!(addons["metrics"].phase, agentkube_kubernetes::addons::Phase::Other);
//! # Ok::<(), toml::de::Error>(())
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// All add-ons of the configuration, by name.
pub type AddonSettings = BTreeMap<String, Addon>;

/// One add-on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Addon {
    /// A directory whose `*.yaml` and `*.yml` files are applied in the order of their names, or one such file. Read each time it is
    /// applied.
    pub path: PathBuf,
    /// When it is applied.
    #[serde(default)]
    pub phase: Phase,
}

/// The order in which add-ons are applied: nodes get Ready by the network, volumes come before what uses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// What makes nodes Ready.
    Network,
    /// What provides volumes.
    Storage,
    /// Everything else.
    #[default]
    Other,
}
