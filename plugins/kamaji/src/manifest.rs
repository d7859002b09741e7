//! What the plugin asks for.

use agentkube_sdk::Manifest;
use agentkube_sdk::manifest::KubeUse;

use crate::{Kamaji, Settings};

/// The plugin's manifest.
pub fn manifest() -> Manifest {
    agentkube_sdk::manifest!(ControlPlane for Kamaji, "kamaji")
        .kube(
            KubeUse::new("/connection", "runs tenant control planes in the admin cluster")
                .rule(
                    "kamaji.clastix.io",
                    &["tenantcontrolplanes"],
                    &["get", "list", "watch", "create", "patch", "delete"],
                )
                .rule("kamaji.clastix.io", &["datastores"], &["get"])
                .rule("", &["namespaces"], &["get", "list", "watch", "create", "delete"])
                .rule("", &["secrets"], &["get"])
                .raw("/version"),
        )
        .capabilities(&["clock", "ledger"])
        .settings::<Settings>()
        .build()
}
