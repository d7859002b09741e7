//! What the plugin asks for.

use agentkube_sdk::Manifest;
use agentkube_sdk::manifest::KubeUse;

use crate::{Kamaji, Settings};

/// API group, kind and verbs.
pub(crate) type Rule = (&'static str, &'static str, &'static [&'static str]);

/// What the plugin does in the admin cluster, and all that its role has to allow.
pub(crate) const RULES: [Rule; 3] = [
    ("kamaji.clastix.io", "tenantcontrolplanes", &["get", "list", "watch", "create", "patch", "delete"]),
    ("", "namespaces", &["get", "list", "watch", "create", "delete"]),
    ("", "secrets", &["get"]),
];

/// Minor number of the oldest Kubernetes that Kamaji's edge releases of 2026 list in their compatibility matrix. Their webhook refuses
/// what is too new, and nothing that is too old.
const OLDEST_MINOR: u32 = 30;

/// What it reads to say why something does not get on.
pub(crate) const DIAGNOSTICS: [Rule; 2] = [("kamaji.clastix.io", "datastores", &["get"]), ("", "services", &["get"])];

/// Raw paths that the preflight reads.
pub(crate) mod raw {
    /// The server's version.
    pub const VERSION: &str = "/version";
    /// The versions of Kamaji's API group.
    pub const GROUP: &str = "/apis/kamaji.clastix.io";
    /// The kinds of the version that the plugin speaks.
    pub const KINDS: &str = "/apis/kamaji.clastix.io/v1alpha1";
    /// Where the admin cluster's API servers are.
    pub const SERVERS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";
}

/// The plugin's manifest.
pub fn manifest() -> Manifest {
    let mut need = KubeUse::new("/connection", "runs tenant control planes in the admin cluster");
    for (group, plural, verbs) in RULES {
        need = need.rule(group, &[plural], verbs);
    }
    for path in [raw::VERSION, raw::GROUP, raw::KINDS, raw::SERVERS] {
        need = need.raw(path);
    }
    let mut diagnosis = KubeUse::new("/connection", "says why a control plane does not get on").optional();
    for (group, plural, verbs) in DIAGNOSTICS {
        diagnosis = diagnosis.rule(group, &[plural], verbs);
    }
    agentkube_sdk::manifest!(ControlPlane for Kamaji, "kamaji")
        .kube(need)
        .kube(diagnosis)
        .capabilities(&["clock", "ledger"])
        .settings::<Settings>()
        .oldest_minor(OLDEST_MINOR)
        .build()
}
